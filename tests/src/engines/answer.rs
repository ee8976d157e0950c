//! Answers, in forms that compare.

use super::EngineError;
use ::cedarjit::{ErrorKind, EvalError, Evaluation};
use cedar_policy::{AuthorizationError, Decision, EvaluationError, PolicyId, Response};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

/// An answer, or that the request or the world was refused.
pub type Verdict = Result<Answer, EngineError>;

/// One answer, in a form in which two engines' answers compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Allow or deny.
    pub decision: Decision,
    /// Ids of the policies that determined the decision.
    pub reasons: BTreeSet<String>,
    /// Why policies failed, by id of the policy.
    pub errors: BTreeMap<String, Failure>,
    /// The decision is all there is: whoever gave it found out no more.
    pub decision_only: bool,
}

/// Why a policy failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of error.
    pub kind: FailureKind,
    /// The error's message, without any mention of the policy.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The kinds of evaluation errors, as far as cedar-policy tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// An entity does not exist.
    EntityDoesNotExist,
    /// An entity lacks an attribute or a tag.
    EntityAttrDoesNotExist,
    /// A record lacks an attribute.
    RecordAttrDoesNotExist,
    /// An operand has the wrong type.
    Type,
    /// An extension function has too few or too many arguments.
    WrongNumArguments,
    /// An integer operation left what 64 bits hold.
    IntegerOverflow,
    /// An extension function failed.
    ExtensionFailed,
    /// What only one of the engines can have, such as cedar-policy's recursion limit.
    Other,
}

impl From<&EvaluationError> for FailureKind {
    fn from(error: &EvaluationError) -> Self {
        match error {
            EvaluationError::EntityDoesNotExist(_) => Self::EntityDoesNotExist,
            EvaluationError::EntityAttrDoesNotExist(_) => Self::EntityAttrDoesNotExist,
            EvaluationError::RecordAttrDoesNotExist(_) => Self::RecordAttrDoesNotExist,
            EvaluationError::TypeError(_) => Self::Type,
            EvaluationError::WrongNumArguments(_) => Self::WrongNumArguments,
            EvaluationError::IntegerOverflow(_) => Self::IntegerOverflow,
            EvaluationError::FailedExtensionFunctionExecution(_) => Self::ExtensionFailed,
            _ => Self::Other,
        }
    }
}

impl From<ErrorKind> for FailureKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::EntityDoesNotExist => Self::EntityDoesNotExist,
            // cedar-policy does not tell attributes from tags.
            ErrorKind::EntityAttrDoesNotExist | ErrorKind::EntityTagDoesNotExist => {
                Self::EntityAttrDoesNotExist
            }
            ErrorKind::RecordAttrDoesNotExist => Self::RecordAttrDoesNotExist,
            ErrorKind::Type => Self::Type,
            ErrorKind::WrongNumArguments => Self::WrongNumArguments,
            ErrorKind::IntegerOverflow => Self::IntegerOverflow,
            ErrorKind::ExtensionFailed => Self::ExtensionFailed,
            _ => Self::Other,
        }
    }
}

impl Answer {
    /// Whether cedar-policy ran out of stack, so that its answer says nothing about others'.
    pub fn ran_out_of_stack(&self) -> bool {
        let mut failures = self.errors.values();
        failures.any(|failure| failure.text.contains("recursion limit"))
    }
}

impl From<&Response> for Answer {
    fn from(response: &Response) -> Self {
        // The ids as they are, not as they are displayed: that escapes them.
        let raw = |id: &PolicyId| AsRef::<str>::as_ref(id).to_owned();
        let errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => {
                let failure = Failure {
                    kind: error.inner().into(),
                    text: error.inner().to_string(),
                };
                (raw(error.policy_id()), failure)
            }
        });
        Self {
            decision: response.decision(),
            reasons: response.diagnostics().reason().map(raw).collect(),
            errors: errors.collect(),
            decision_only: false,
        }
    }
}

impl From<Evaluation<'_>> for Answer {
    fn from(evaluation: Evaluation<'_>) -> Self {
        let errors = evaluation.errors().map(|(policy, error)| {
            let failure = Failure {
                kind: error.kind().into(),
                text: error.to_string(),
            };
            (policy.to_owned(), failure)
        });
        Self {
            decision: evaluation.decision(),
            reasons: evaluation.reasons().map(str::to_owned).collect(),
            errors: errors.collect(),
            decision_only: false,
        }
    }
}

/// What a mode gave for a request, as cheap as the engine has it: most are only compared.
#[derive(Debug)]
pub enum Given<'a> {
    /// An evaluation.
    Evaluation {
        /// The evaluation.
        evaluation: Evaluation<'a>,
        /// Whether the texts of its errors need comparing. They follow from the bound request and
        /// the failed policy alone, so of several evaluations of one bound request one is enough.
        texts: bool,
    },
    /// An answer.
    Answer(Answer),
    /// The decision alone, from an entry point that finds out no more.
    Decision(Decision),
    /// The request was refused.
    Refused(EngineError),
}

impl From<Verdict> for Given<'_> {
    fn from(verdict: Verdict) -> Self {
        verdict.map_or_else(Given::Refused, Given::Answer)
    }
}

impl From<Result<Decision, EngineError>> for Given<'_> {
    fn from(decision: Result<Decision, EngineError>) -> Self {
        decision.map_or_else(Given::Refused, Given::Decision)
    }
}

impl From<Given<'_>> for Verdict {
    fn from(given: Given<'_>) -> Self {
        match given {
            Given::Evaluation { evaluation, .. } => Ok(evaluation.into()),
            Given::Answer(answer) => Ok(answer),
            Given::Decision(decision) => Ok(Answer {
                decision,
                reasons: BTreeSet::new(),
                errors: BTreeMap::new(),
                decision_only: true,
            }),
            Given::Refused(error) => Err(error),
        }
    }
}

impl Given<'_> {
    /// Whether this is what the judge said. Of refusals only the fact is compared.
    pub fn agrees(&self, expected: &Verdict) -> bool {
        match (self, expected) {
            (Self::Evaluation { evaluation, texts }, Ok(expected)) => {
                same_evaluation(*evaluation, *texts, expected)
            }
            (Self::Answer(answer), Ok(expected)) => answer == expected,
            (Self::Decision(decision), Ok(expected)) => *decision == expected.decision,
            (Self::Refused(_), Err(_)) => true,
            _ => false,
        }
    }
}

/// Compares without copying ids or texts.
fn same_evaluation(evaluation: Evaluation<'_>, texts: bool, expected: &Answer) -> bool {
    evaluation.decision() == expected.decision
        && same_ids(
            evaluation.reasons(),
            expected.reasons.iter().map(String::as_str),
        )
        && same_ids(
            evaluation.failed(),
            expected.errors.keys().map(String::as_str),
        )
        && (!texts
            || evaluation
                .errors()
                .all(|(id, error)| same_failure(id, &error, expected)))
}

/// Whether both have the same ids; an id given twice is one too many.
fn same_ids<'a>(
    given: impl ExactSizeIterator<Item = &'a str> + Clone,
    mut expected: impl ExactSizeIterator<Item = &'a str>,
) -> bool {
    const FEW: usize = 8;
    if given.len() != expected.len() {
        return false;
    }
    if given.len() <= FEW {
        return expected.all(|id| given.clone().any(|other| other == id));
    }
    let given: BTreeSet<&str> = given.collect();
    expected.all(|id| given.contains(id))
}

fn same_failure(id: &str, error: &EvalError, expected: &Answer) -> bool {
    let Some(expected) = expected.errors.get(id) else {
        return false;
    };
    let mut rest = Rest(&expected.text);
    FailureKind::from(error.kind()) == expected.kind
        && write!(rest, "{error}").is_ok()
        && rest.0.is_empty()
}

/// Takes text as long as it is what is left of another.
struct Rest<'a>(&'a str);

impl Write for Rest<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
        Ok(())
    }
}
