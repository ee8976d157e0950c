//! cedar-policy itself: the judge.

use super::{Answer, Answers, EngineError, Given, JUDGE, Loaded, TestEngine, TestRequest, World};
use cedar_policy::{Authorizer, Entities, PolicySet};

/// cedar-policy itself: the judge.
#[derive(Debug, Clone, Copy, Default)]
pub struct CedarEngine;

struct LoadedCedar {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
}

impl TestEngine for CedarEngine {
    fn modes(&self) -> Vec<&'static str> {
        vec![JUDGE]
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        Ok(Box::new(LoadedCedar {
            authorizer: Authorizer::new(),
            policies: world.policies.clone(),
            entities: world.entities.clone(),
        }))
    }
}

impl Loaded for LoadedCedar {
    fn authorize(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let verdict = request
            .parsed
            .as_ref()
            .map_err(Clone::clone)
            .map(|request| {
                let response =
                    self.authorizer
                        .is_authorized(request, &self.policies, &self.entities);
                Answer::from(&response)
            });
        answers(JUDGE, Given::from(verdict));
    }
}
