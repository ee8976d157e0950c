//! Asking an engine from strings.

use crate::bind::{Binder, BoundRequest};
use crate::engine::Engine;
use crate::evaluate::{Evaluation, Scratch};
use crate::request::{EntityHandle, RequestError, Uid};
use crate::response::Response;
use crate::snapshot::Snapshot;
use arc_swap::{ArcSwap, Cache};
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A thread's own way to ask an engine: from strings to an answer, in memory that is kept.
///
/// Each request is decided on the engine's current state. Once the session has grown to size, a
/// request that is [plain](Binder) and runs native code allocates nothing.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedarjit::{Decision, Engine};
///
/// let engine = Engine::builder()
///     .policies_str(r#"permit (principal == User::"ann", action, resource);"#)
///     .build()?;
/// let mut session = engine.session();
/// let answer =
///     session.is_authorized(r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"plan""#, "{}", true)?;
/// assert_eq!(answer.decision(), Decision::Allow);
/// assert_eq!(answer.reasons().collect::<Vec<_>>(), ["policy0"]);
/// # Ok(())
/// # }
/// ```
pub struct Session {
    engine: Engine,
    current: Cache<Current, Arc<Snapshot>>,
    binder: Binder,
    scratch: Scratch,
}

/// An engine, seen as the place where its current state is.
struct Current(Engine);

impl Deref for Current {
    type Target = ArcSwap<Snapshot>;

    fn deref(&self) -> &ArcSwap<Snapshot> {
        self.0.current()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Clone for Session {
    fn clone(&self) -> Self {
        self.engine().session()
    }
}

impl Session {
    /// The engine that is asked.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Decides a request on the engine's current state, with full diagnostics.
    ///
    /// Uids are texts in Cedar's syntax or handles, the context is JSON. All is read and, if
    /// `validate` is set and there is a schema, validated exactly as cedar-policy does.
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub fn is_authorized<'u>(
        &mut self,
        principal: impl Into<Uid<'u>>,
        action: impl Into<Uid<'u>>,
        resource: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
    ) -> Result<Evaluation<'_>, RequestError> {
        let current = self.current.load();
        if !Arc::ptr_eq(current, self.binder.snapshot()) {
            self.binder.set_snapshot(Arc::clone(current));
        }
        let request = self
            .binder
            .bind(principal, action, resource, context, validate)?;
        Ok(request.evaluate(&mut self.scratch))
    }
}

impl Engine {
    /// Starts a session, for a thread that asks often. It holds one state of the engine: the current
    /// one when it was last asked.
    pub fn session(&self) -> Session {
        Session {
            engine: self.clone(),
            current: Cache::new(Current(self.clone())),
            binder: Binder::new(self.snapshot()),
            scratch: Scratch::default(),
        }
    }

    /// Decides a request given as uids, each as text in Cedar's syntax or as a handle, and a context
    /// in JSON, with full diagnostics.
    ///
    /// The response is a value of its own and takes some memory. A thread that asks often does so
    /// faster in a [`Session`].
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub fn is_authorized_json<'u>(
        &self,
        principal: impl Into<Uid<'u>>,
        action: impl Into<Uid<'u>>,
        resource: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
    ) -> Result<Response, RequestError> {
        let mut binder = Binder::new(self.snapshot());
        binder.bind(principal, action, resource, context, validate)?;
        Ok(respond(binder.into_request()))
    }

    /// Looks up an entity in the current state, as [`Snapshot::resolve`] does.
    ///
    /// # Errors
    /// When the text is not an entity uid.
    pub fn resolve(&self, uid: &str) -> Result<Option<EntityHandle>, RequestError> {
        self.current().load().resolve(uid)
    }
}

/// Evaluates a request that is the response's from then on, in scratch of the thread's own.
pub(crate) fn respond(bound: BoundRequest) -> Response {
    thread_local! {
        static SCRATCH: Cell<Scratch> = Cell::default();
    }
    let mut scratch = SCRATCH.take();
    let outcomes = bound.evaluate(&mut scratch).to_outcomes();
    SCRATCH.set(scratch);
    Response::decided(bound, outcomes)
}
