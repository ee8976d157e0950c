//! Forward-auth: a gateway sends a request of its own, whose headers tell of the one in question.
//!
//! 200 lets that go on; another status is the client's answer, or makes the gateway answer it.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, HeaderName, Response, StatusCode};
use axum::routing::any;

use super::{ForwardAuth, Gateway, PeerFrom, Verdict};
use crate::api::ApiError;
use crate::mapping::Refusal;
use crate::mapping::source::{Check, Found, PeerPart, Told};
use crate::state::State;

/// The endpoint.
pub(super) fn router(settings: ForwardAuth) -> Router<Arc<State>> {
    let path = settings.path.clone();
    let settings = Arc::new(settings);
    let answer = async move |extract::State(state): extract::State<Arc<State>>,
                             headers: HeaderMap| {
        let gateway = state.config().gateway.as_ref().ok_or(ApiError::NotFound)?;
        let verdict = judge(&state, gateway, &settings, &headers);
        Ok::<_, ApiError>(answer(gateway, verdict))
    };
    Router::new().route(&path, any(answer))
}

fn judge(state: &State, gateway: &Gateway, settings: &ForwardAuth, headers: &HeaderMap) -> Verdict {
    let told = Headers {
        headers,
        peer: gateway.peer,
    };
    let ask = || {
        let target = once(headers, &settings.uri, "the path, in one header")?;
        let method = once(headers, &settings.method, "the method, in one header")?;
        let target = target.ok_or(Refusal::Untold(
            "the path, in the header that is configured",
        ))?;
        let method = method.ok_or(Refusal::Untold(
            "the method, in the header that is configured",
        ))?;
        let host = once(headers, &settings.host, "the host, in one header")?;
        Ok(Check {
            method,
            target,
            host,
            told: &told,
        })
    };
    match ask() {
        Ok(check) => gateway.judge(state, check),
        Err(refusal) => gateway.refuse(state, &refusal),
    }
}

/// The value of a header that may be there once.
fn once<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    what: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(Refusal::Untold(what)),
        },
        (Some(_), Some(_)) => Err(Refusal::Untold(what)),
    }
}

fn answer(gateway: &Gateway, verdict: Verdict) -> Response<Body> {
    let headers = gateway.headers(&verdict);
    let mut response = match verdict.allowed {
        true => Response::new(Body::empty()),
        false => Response::new(Body::from(gateway.denied.body.clone())),
    };
    *response.status_mut() = match verdict.allowed {
        true => StatusCode::OK,
        false => verdict.status,
    };
    response.headers_mut().extend(headers);
    response
}

/// What the gateway's own request tells.
struct Headers<'a> {
    headers: &'a HeaderMap,
    peer: PeerFrom,
}

impl Told for Headers<'_> {
    fn header(&self, name: &str) -> Vec<Cow<'_, str>> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect()
    }

    /// Nobody tells of claims in this way.
    fn claim(&self, _: &[String]) -> Option<Found<'_>> {
        None
    }

    fn peer(&self, part: PeerPart) -> Option<Cow<'_, str>> {
        let headers = self.header("x-forwarded-client-cert");
        self.peer.in_headers(&headers, part).map(Cow::Owned)
    }
}
