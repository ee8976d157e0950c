//! Why each policy decides about a request as it does, for people.

use crate::bind::BoundRequest;
use crate::error::EvalError;
use crate::interpreter::Interpreter;
use crate::values::ScratchSpace;
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_ir::ids::PolicyIndex;
use std::collections::HashSet;

/// What keeps a policy from being satisfied: the first of its parts, in the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// The policy is about other principals.
    Principal,
    /// The policy is about other actions.
    Action,
    /// The policy is about other resources.
    Resource,
    /// This clause does not hold, counted from 0.
    Clause(usize),
}

/// A policy and a request.
#[derive(Clone, Debug)]
pub struct PolicyVerdict<'a> {
    /// The policy.
    pub policy: &'a BoundPolicy,
    /// Whether the scope index found it, so that it was evaluated. What it leaves out is never
    /// satisfied.
    pub candidate: bool,
    /// What is not met, `None` if the policy is satisfied; or how a clause failed, so that the policy
    /// counts for nothing.
    pub unmet: Result<Option<Unmet>, EvalError>,
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
                unmet: Interpreter::new(self.values(&mut space)).first_unmet(policy),
            }
        });
        let mut verdicts: Vec<_> = verdicts.collect();
        verdicts.sort_unstable_by(|a, b| a.policy.id.cmp(&b.policy.id));
        verdicts
    }
}

#[cfg(test)]
mod tests {
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
            .map(|it| match &it.unmet {
                Err(error) => format!("failed: {error}"),
                Ok(None) => "satisfied".to_owned(),
                Ok(Some(unmet)) => format!("{unmet:?}"),
            })
            .collect();
        assert_eq!(told[..2], ["satisfied", "Principal"]);
        assert_eq!(told[2..4], ["Action", "Resource"]);
        assert_eq!(told[4], "Clause(1)");
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
