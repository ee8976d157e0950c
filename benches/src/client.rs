//! How the suites ask the engine: the one place that knows the API that is measured.

use crate::Error;
use crate::apps::{Answer, RequestText};
use cedar_policy::{Decision, Request};
use cedarjit::{BoundRequest, Engine, Evaluation, Scratch, Snapshot};
use std::hint::black_box;
use std::sync::Arc;

/// Asks one snapshot of an engine, and keeps what a caller would keep between requests.
#[derive(Debug)]
pub struct Client {
    snapshot: Arc<Snapshot>,
    scratch: Scratch,
    validate: bool,
}

impl Client {
    /// Asks the engine's current snapshot. `validate` says whether requests must fit the schema.
    pub fn new(engine: &Engine, validate: bool) -> Self {
        Self {
            snapshot: engine.snapshot(),
            scratch: Scratch::default(),
            validate,
        }
    }

    /// From texts to a request that can be evaluated any number of times.
    ///
    /// # Errors
    /// When the texts are not a request.
    #[inline]
    pub fn bind(&self, request: &RequestText) -> Result<BoundRequest, Error> {
        let context = serde_json::from_str(&request.context)?;
        Ok(self.snapshot.bind_json(
            &request.principal,
            &request.action,
            &request.resource,
            &context,
            self.validate,
        )?)
    }

    /// From a request of cedar-policy, which may be one that does not fit the schema.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub fn bind_request(&self, request: &Request) -> Result<BoundRequest, Error> {
        Ok(self.snapshot.bind(request)?)
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
        let bound = self.bind(request)?;
        Ok(black_box(bound.evaluate(&mut self.scratch)).decision())
    }

    /// From texts to an answer with everything that there is to compare.
    ///
    /// # Errors
    /// When the texts are not a request.
    pub fn answer(&mut self, request: &RequestText) -> Result<Answer, Error> {
        let bound = self.bind(request)?;
        Ok(self.answer_bound(&bound))
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
