//! An engine that checks itself.

use super::{Answer, EngineError, Given, TestRequest, World};
use ::cedarjit::{Engine, EngineBuilder, Scratch, SelfCheck, Snapshot};
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};

/// An engine that makes every decision again, and what it has told of differences.
#[derive(Debug)]
pub(super) struct Checked {
    engine: Engine,
    snapshot: Arc<Snapshot>,
    told: Arc<Mutex<Vec<String>>>,
    scratch: Scratch,
}

/// The engine has found a difference where there is none.
#[derive(Debug, thiserror::Error)]
#[error("the engine says of itself: {0}")]
struct Told(String);

impl Checked {
    pub(super) fn load(world: &World, builder: EngineBuilder) -> Result<Self, EngineError> {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = Arc::clone(&told);
        let check = SelfCheck::one_in(NonZero::<u32>::MIN).on_difference(move |difference| {
            let mut told = sink.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(difference.to_string());
        });
        let builder = builder.policies(&world.policies);
        let builder = builder.entities(world.entities.clone()).self_check(check);
        let engine = builder.build().map_err(EngineError::load)?;
        Ok(Self {
            snapshot: engine.snapshot(),
            engine,
            told,
            scratch: Scratch::default(),
        })
    }

    /// The answer, or what the engine has told by now: all of it, if it is waited for.
    pub(super) fn authorize(&mut self, request: &TestRequest, wait: bool) -> Given<'_> {
        let request = request.parsed.as_ref().map_err(Clone::clone);
        let bound = request.and_then(|request| {
            let bound = self.snapshot.bind(request);
            bound.map_err(EngineError::request)
        });
        let bound = match bound {
            Ok(bound) => bound,
            Err(error) => return Given::Refused(error),
        };
        let answer = Answer::from(bound.evaluate(&mut self.scratch));
        if wait {
            self.engine.wait_checked();
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match told.pop() {
            Some(told) => Given::Refused(EngineError::request(Told(told))),
            None => Ok(answer).into(),
        }
    }
}
