//! Why each policy decides about a request as it does, for people.

use crate::bind::BoundRequest;
use crate::error::EvalError;
use crate::interpreter::Interpreter;
use crate::values::ScratchSpace;
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_ir::ids::PolicyIndex;
use std::collections::HashSet;

/// What decides about a policy: the first thing that is not met, in the order of evaluation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Everything is met.
    Satisfied,
    /// The policy is about other principals.
    OtherPrincipal,
    /// The policy is about other actions.
    OtherAction,
    /// The policy is about other resources.
    OtherResource,
    /// A clause is not met.
    Unmet {
        /// Which, from 0.
        clause: usize,
    },
    /// A clause failed, so the policy counts for nothing.
    Failed(EvalError),
}

/// A policy and a request.
#[derive(Clone, Debug)]
pub struct PolicyVerdict<'a> {
    /// The policy.
    pub policy: &'a BoundPolicy,
    /// Whether the scope index found it, so that it was evaluated. What it leaves out is never
    /// satisfied.
    pub candidate: bool,
    /// What came of it.
    pub verdict: Verdict,
}

impl BoundRequest {
    /// Says of each policy why it is satisfied or not, in the order of their ids. Interprets all of
    /// them.
    pub fn verdicts(&self) -> Vec<PolicyVerdict<'_>> {
        let mut found: HashSet<PolicyIndex> = HashSet::new();
        self.visit_candidates(|policy| {
            found.insert(policy);
        });
        let mut space = ScratchSpace::new();
        let policies = self.snapshot.all_policies();
        let verdicts = policies.map(|(index, policy)| {
            space.clear();
            PolicyVerdict {
                policy,
                candidate: found.contains(&index),
                verdict: Interpreter::new(self.values(&mut space)).verdict(policy),
            }
        });
        let mut verdicts: Vec<_> = verdicts.collect();
        verdicts.sort_unstable_by(|a, b| a.policy.id.cmp(&b.policy.id));
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;

    #[test]
    fn each_policy_says_what_decides() {
        let policies = r#"
            permit (principal == User::"ann", action, resource);
            permit (principal == User::"bob", action, resource);
            permit (principal, action == Action::"edit", resource);
            permit (principal, action, resource == Doc::"b");
            permit (principal, action, resource) when { true } unless { context.n > 3 };
            forbid (principal, action, resource) when { context.n + 9223372036854775807 > 0 };
        "#;
        let engine = Engine::builder().policies_str(policies).build().unwrap();
        let context = serde_json::json!({"n": 5});
        let [ann, view, doc] = [r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"a""#];
        let snapshot = engine.snapshot();
        let request = snapshot.bind_json(ann, view, doc, &context, true).unwrap();
        let verdicts = request.verdicts();
        let told: Vec<String> = verdicts
            .iter()
            .map(|it| match &it.verdict {
                Verdict::Failed(error) => format!("failed: {error}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(told[..2], ["Satisfied", "OtherPrincipal"]);
        assert_eq!(told[2..4], ["OtherAction", "OtherResource"]);
        assert_eq!(told[4], "Unmet { clause: 1 }");
        assert!(
            told[5].starts_with("failed: integer overflow"),
            "{}",
            told[5]
        );
        // The action is asked of the index first.
        assert!(verdicts[0].candidate && !verdicts[2].candidate);
        assert!(verdicts[4].candidate && verdicts[5].candidate);
    }
}
