//! What a decision came to, as a value of its own.

use crate::bind::BoundRequest;
use crate::error::{ErrorKind, EvalError, to_cedar_error};
use crate::evaluate::{Evaluation, explain_failure};
use crate::outcomes::Outcomes;
use crate::request::RequestError;
use cedar_policy::{Decision, PolicyId};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::fmt;

/// The answer to one request: decision and diagnostics.
///
/// It holds the request and the snapshot that it was decided on; ids and texts are looked up when
/// asked for. Convert it into a [`cedar_policy::Response`] with `into()`.
#[derive(Debug)]
pub struct Response(Inner);

#[derive(Debug)]
enum Inner {
    Decided {
        request: Box<BoundRequest>,
        outcomes: Outcomes,
    },
    /// The request could not be bound.
    Refused(RequestError),
}

impl Response {
    pub(crate) fn decided(request: BoundRequest, outcomes: Outcomes) -> Self {
        Self(Inner::Decided {
            request: Box::new(request),
            outcomes,
        })
    }

    pub(crate) fn refused(error: RequestError) -> Self {
        Self(Inner::Refused(error))
    }

    /// Whether the request is allowed.
    pub fn decision(&self) -> Decision {
        match &self.0 {
            Inner::Decided { outcomes, .. } => outcomes.decision(),
            Inner::Refused(_) => Decision::Deny,
        }
    }

    /// Which policies determined the decision, and which failed.
    pub fn diagnostics(&self) -> Diagnostics<'_> {
        Diagnostics(self)
    }

    /// Why the request was denied without looking at any policy: it has an unknown part, as only
    /// cedar-policy's partial evaluation makes, or its context is too large to be represented.
    pub fn request_error(&self) -> Option<&RequestError> {
        match &self.0 {
            Inner::Decided { .. } => None,
            Inner::Refused(error) => Some(error),
        }
    }
}

/// Which policies determined a decision, and which failed.
#[derive(Clone, Copy, Debug)]
pub struct Diagnostics<'a>(&'a Response);

impl<'a> Diagnostics<'a> {
    /// The ids of the policies that determined the decision, in no particular order: all satisfied
    /// `forbid` policies if there are any, else all satisfied `permit` policies.
    pub fn reason(self) -> impl Iterator<Item = &'a str> {
        let decided = match &self.0.0 {
            Inner::Decided { request, outcomes } => Some((request, outcomes)),
            Inner::Refused(_) => None,
        };
        decided.into_iter().flat_map(|(request, outcomes)| {
            let reasons = outcomes.reasons(request.fused_policies());
            reasons.map(|policy| request.policy_id(policy))
        })
    }

    /// The policies whose evaluation failed, in no particular order.
    ///
    /// Each is evaluated again by the interpreter, to say why.
    pub fn errors(self) -> impl Iterator<Item = PolicyError> {
        let decided = match &self.0.0 {
            Inner::Decided { request, outcomes } => Some((request, outcomes)),
            Inner::Refused(_) => None,
        };
        decided.into_iter().flat_map(|(request, outcomes)| {
            let failed = outcomes.failed(request.fused_policies());
            failed.map(|policy| {
                let (id, error) = explain_failure(request, policy);
                PolicyError {
                    policy_id: id.into(),
                    error,
                }
            })
        })
    }
}

/// A policy whose evaluation failed.
#[derive(Clone, Debug)]
pub struct PolicyError {
    policy_id: SmolStr,
    error: EvalError,
}

impl PolicyError {
    /// The policy.
    pub fn policy_id(&self) -> &str {
        &self.policy_id
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The failure itself; its text is that of cedar-policy's `EvaluationError`.
    pub fn error(&self) -> &EvalError {
        &self.error
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // cedar-policy escapes ids where it shows them.
        let id = self.policy_id.escape_debug();
        write!(f, "error while evaluating policy `{id}`: {}", self.error)
    }
}

impl std::error::Error for PolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<&Response> for cedar_policy::Response {
    fn from(response: &Response) -> Self {
        let diagnostics = response.diagnostics();
        let reasons: HashSet<PolicyId> = diagnostics.reason().map(PolicyId::new).collect();
        let errors = diagnostics
            .errors()
            .filter_map(|e| to_cedar_error(e.policy_id(), &e.error))
            .collect();
        cedar_policy::Response::new(response.decision(), reasons, errors)
    }
}

impl From<Response> for cedar_policy::Response {
    fn from(response: Response) -> Self {
        (&response).into()
    }
}

impl Evaluation<'_> {
    /// The outcomes, detached from the scratch.
    pub(crate) fn to_outcomes(self) -> Outcomes {
        self.outcomes().clone()
    }
}
