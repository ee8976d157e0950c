//! Many requests on one state.

use crate::engine::Engine;
use crate::response::Response;
use crate::session::respond;
use crate::snapshot::Snapshot;
use cedar_policy::Request;
use std::sync::Arc;

impl Engine {
    /// Decides many requests on one state, the current one, with full diagnostics, in their order.
    ///
    /// Each answer is that of [`is_authorized`](Self::is_authorized). Requests are decided as the
    /// iterator reaches them. About many resources of one principal ask with
    /// [`for_resources`](crate::BoundRequest::for_resources) instead.
    pub fn is_authorized_batch<'r>(
        &self,
        requests: impl IntoIterator<Item = &'r Request>,
    ) -> impl Iterator<Item = Response> {
        let snapshot = self.snapshot();
        let requests = requests.into_iter();
        requests.map(move |request| snapshot.is_authorized(request))
    }
}

impl Snapshot {
    /// Decides a request on this state, with full diagnostics.
    ///
    /// As [`Engine::is_authorized`], which asks the current state.
    pub fn is_authorized(self: &Arc<Self>, request: &Request) -> Response {
        match self.bind(request) {
            Ok(bound) => respond(bound),
            Err(error) => Response::refused(error),
        }
    }
}
