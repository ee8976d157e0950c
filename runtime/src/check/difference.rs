//! What is told of a difference.

use super::ReproductionError;
use crate::bind::BoundRequest;
use crate::outcomes::Settled;
use cedar_policy::Decision;
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use std::fmt;
use std::path::PathBuf;

/// A decision that the interpreter made otherwise.
#[derive(Debug)]
#[non_exhaustive]
pub struct Difference {
    /// The principal, in Cedar's syntax.
    pub principal: String,
    /// The action, in Cedar's syntax.
    pub action: String,
    /// The resource, in Cedar's syntax.
    pub resource: String,
    /// What was decided.
    pub given: CheckedAnswer,
    /// What the interpreter decides, on the same state.
    pub expected: CheckedAnswer,
    /// The policies about which the two differ, as far as that is known, by id.
    pub policies: Vec<String>,
    /// What is done from now on.
    pub remedy: Remedy,
    /// Where it was kept for replaying, if that was asked for and 16 are not there yet.
    pub reproduction: Option<Result<PathBuf, ReproductionError>>,
}

/// An answer, in the words of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedAnswer {
    /// Whether the request is allowed.
    pub decision: Decision,
    /// The ids of the policies that determine the decision, and of those that fail, each ascending;
    /// `None` where only the decision was asked for.
    pub diagnostics: Option<(Vec<String>, Vec<String>)>,
}

/// What an engine does about a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The conditions of the policies that differed are interpreted.
    Conditions,
    /// Policies were not visited that apply: every policy of the action is, the scope index is not
    /// asked.
    Index,
    /// Everything is interpreted, since the other remedies did not help.
    Everything,
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conditions => "the conditions of these policies are interpreted",
            Self::Index => "the scope index is not asked any more",
            Self::Everything => "all policies are interpreted",
        })
    }
}

impl fmt::Display for CheckedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.decision)?;
        if let Some((reasons, failed)) = &self.diagnostics {
            write!(f, " (reasons {reasons:?}, errors {failed:?})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal,
            action,
            resource,
            given,
            expected,
            policies,
            remedy,
            ..
        } = self;
        write!(
            f,
            "wrong answer to principal {principal}, action {action}, resource {resource}: {given}, \
             where the interpreter says {expected}; policies that differ: {policies:?}; from now on \
             {remedy}"
        )?;
        match &self.reproduction {
            None => Ok(()),
            Some(Ok(test)) => write!(f, "; see {}", test.display()),
            Some(Err(error)) => write!(f, "; not kept for replaying: {error}"),
        }
    }
}

impl CheckedAnswer {
    /// What policies came to, in the words of a response to this request.
    pub(super) fn of(settled: &Settled, request: &BoundRequest) -> Self {
        let ids = |policies: &[PolicyIndex]| policy_ids(policies, request);
        Self {
            decision: settled.decision(),
            diagnostics: Some((ids(settled.reasons()), ids(&settled.failed))),
        }
    }

    /// A decision of which no more is known.
    pub(super) fn of_decision(decision: Decision) -> Self {
        Self {
            decision,
            diagnostics: None,
        }
    }
}

/// The ids of policies, ascending.
pub(super) fn policy_ids(policies: &[PolicyIndex], request: &BoundRequest) -> Vec<String> {
    let ids = policies.iter().map(|policy| request.policy_id(*policy));
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids
}

/// Principal, action and resource of a request, in Cedar's syntax.
pub(super) fn uid_texts(request: &BoundRequest) -> [String; 3] {
    let values = &request.details.values;
    let text = |id: EntityId| {
        request
            .uid(id)
            .map_or_else(String::new, |uid| uid.to_string())
    };
    [values.principal(), values.action(), values.resource()].map(text)
}
