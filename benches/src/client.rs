//! How the suites ask the engine: the one place that knows the API that is measured.

use crate::Error;
use crate::apps::{Answer, App, RequestText};
use cedar_policy::{Decision, Request};
use cedarjit::{Binder, BoundRequest, Engine, Evaluation, Scratch, Session};
use std::hint::black_box;

/// Asks one snapshot of an engine, and keeps what a caller would keep between requests.
#[derive(Debug)]
pub struct Client {
    binder: Binder,
    session: Session,
    scratch: Scratch,
    validate: bool,
}

impl Client {
    /// Asks the engine's current snapshot. `validate` says whether requests must fit the schema.
    pub fn new(engine: &Engine, validate: bool) -> Self {
        Self {
            binder: Binder::new(engine.snapshot()),
            session: engine.session(),
            scratch: Scratch::default(),
            validate,
        }
    }

    /// Asks an application's engine, without a schema where that is possible: some recorded requests
    /// do not fit it.
    ///
    /// # Errors
    /// When the application cannot be loaded.
    pub fn without_schema(app: &App) -> Result<Self, Error> {
        let engine = app.builder(app.actions.is_none())?.build()?;
        Ok(Self::new(&engine, false))
    }

    /// From texts to a request that can be evaluated any number of times.
    ///
    /// # Errors
    /// When the texts are not a request.
    pub fn bind(&mut self, request: &RequestText) -> Result<BoundRequest, Error> {
        Ok(self.rebind(request)?.clone())
    }

    /// From texts to a request, in memory that is used again for the next.
    ///
    /// # Errors
    /// When the texts are not a request.
    #[inline]
    pub fn rebind(&mut self, request: &RequestText) -> Result<&BoundRequest, Error> {
        let [principal, action, resource, context] = request.parts();
        let bound = self
            .binder
            .bind(principal, action, resource, context, self.validate)?;
        Ok(bound)
    }

    /// From a request of cedar-policy, which may be one that does not fit the schema.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind_request(&self, request: &Request) -> Result<BoundRequest, Error> {
        Ok(self.binder.snapshot().bind(request)?)
    }

    /// Decides a bound request, and finds out no more.
    #[inline]
    pub fn decide_bound(&mut self, bound: &BoundRequest) -> Decision {
        bound.decide(&mut self.scratch)
    }

    /// Evaluates a bound request with full diagnostics, and discards them.
    #[inline]
    pub fn evaluate(&mut self, bound: &BoundRequest) {
        black_box(bound.evaluate(&mut self.scratch));
    }

    /// From texts to an evaluation with full diagnostics.
    ///
    /// # Errors
    /// When the texts are not a request.
    #[inline]
    pub fn decide(&mut self, request: &RequestText) -> Result<Decision, Error> {
        let [principal, action, resource, context] = request.parts();
        let validate = self.validate;
        let evaluation = self
            .session
            .is_authorized(principal, action, resource, context, validate)?;
        Ok(black_box(evaluation).decision())
    }

    /// From texts to an answer with everything that there is to compare.
    ///
    /// # Errors
    /// When the texts are not a request.
    pub fn answer(&mut self, request: &RequestText) -> Result<Answer, Error> {
        let bound = self.bind(request)?;
        let answer = self.answer_bound(&bound);
        // Both ways of asking, while this is not timed.
        if self.decide(request)? != answer.decision {
            return Err(format!("a session answers otherwise to {request:?}").into());
        }
        Ok(answer)
    }

    /// From a bound request to an answer with everything that there is to compare.
    pub fn answer_bound(&mut self, bound: &BoundRequest) -> Answer {
        to_answer(bound.evaluate(&mut self.scratch))
    }
}

fn to_answer(evaluation: Evaluation<'_>) -> Answer {
    Answer {
        decision: evaluation.decision(),
        reasons: evaluation.reasons().map(str::to_owned).collect(),
        errors: evaluation.failed().map(str::to_owned).collect(),
    }
}
