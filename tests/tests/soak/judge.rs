//! What cedar-policy says about answers and states.

use super::world::{Model, policy_set};
use cedar_policy::{Authorizer, Decision, Entities, Request};
use cedarjit::{Evaluation, Snapshot};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Something to be judged.
pub(crate) enum Sample {
    /// An answer that was given on a snapshot.
    Answer(Arc<Snapshot>, Box<Request>, Given),
    /// What a snapshot must hold.
    State(Arc<Snapshot>, Model),
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Given {
    decision: Decision,
    reasons: BTreeSet<String>,
    failed: BTreeSet<String>,
}

impl Given {
    pub(crate) fn of(evaluation: &Evaluation<'_>) -> Self {
        Self {
            decision: evaluation.decision(),
            reasons: evaluation.reasons().map(str::to_owned).collect(),
            failed: evaluation.errors().map(|(id, _)| id.to_owned()).collect(),
        }
    }
}

/// Compares, and counts.
#[derive(Default)]
pub(crate) struct Judge {
    pub(crate) answers: usize,
    pub(crate) allowed: usize,
    pub(crate) states: usize,
}

impl Judge {
    pub(crate) fn check(&mut self, sample: Sample) {
        match sample {
            Sample::Answer(snapshot, request, given) => {
                let expected = answer(&snapshot, &request);
                assert_eq!(given, expected, "{request}");
                self.answers += 1;
                self.allowed += usize::from(given.decision == Decision::Allow);
            }
            Sample::State(snapshot, model) => {
                assert_eq!(entities(&snapshot), model.entities());
                let policies = snapshot.policies().map(|policy| policy.id.to_string());
                assert_eq!(policies.collect::<BTreeSet<_>>(), model.policies);
                self.states += 1;
            }
        }
    }
}

fn entities(snapshot: &Snapshot) -> Entities {
    Entities::from_entities(snapshot.entities(), None).unwrap()
}

fn answer(snapshot: &Snapshot, request: &Request) -> Given {
    let policies = policy_set(snapshot.policies().map(|policy| &*policy.id));
    let response = Authorizer::new().is_authorized(request, &policies, &entities(snapshot));
    let diagnostics = response.diagnostics();
    Given {
        decision: response.decision(),
        reasons: diagnostics.reason().map(ToString::to_string).collect(),
        failed: (diagnostics.errors())
            .map(|error| match error {
                cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                    error.policy_id().to_string()
                }
            })
            .collect(),
    }
}
