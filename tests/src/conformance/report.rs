//! What a run found.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use cedar_policy::Decision;

use super::case::CaseError;
use crate::engines::{Answer, EngineError};

/// The answer that a test file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Allow or deny.
    pub decision: Decision,
    /// Ids of the policies that determine the decision.
    pub reasons: BTreeSet<String>,
    /// Ids of the policies that fail.
    pub errors: BTreeSet<String>,
}

impl Expected {
    /// Whether an answer has this decision, these reasons and these failing policies, as far as it
    /// tells.
    pub fn matches(&self, answer: &Answer) -> bool {
        let reasons = || self.reasons == answer.reasons;
        let errors = || self.errors.iter().eq(answer.errors.keys());
        self.decision == answer.decision && (answer.decision_only || (reasons() && errors()))
    }
}

/// Something that is not as it should be.
#[derive(Debug)]
pub struct Mismatch {
    /// The suite, as it was named when opened.
    pub suite: PathBuf,
    /// The test's name inside the suite.
    pub test: String,
    /// The request's position in the test, from 0, and its description; `None` where the whole test
    /// is concerned.
    pub request: Option<(usize, String)>,
    /// The engine; `validator` for cedar-policy's validator, `reader` for what precedes any engine.
    pub engine: String,
    /// What is wrong.
    pub kind: MismatchKind,
}

/// The ways in which a test can fail.
#[derive(Debug)]
pub enum MismatchKind {
    /// The test could not be read. No engine ran.
    Unreadable(CaseError),
    /// Strict validation passed or failed where the file says otherwise.
    Validation {
        /// What the file says.
        should_validate: bool,
    },
    /// The engine refused the world or the request.
    Refused(EngineError),
    /// The engine answered a request that is to be refused.
    NotRefused(Answer),
    /// The engine answered otherwise.
    Answer {
        /// What the file says.
        expected: Expected,
        /// What the engine said.
        got: Answer,
    },
    /// The answer is right but the message of an evaluation error is not cedar-policy's.
    Message {
        /// Id of the policy that failed.
        policy: String,
        /// cedar-policy's message.
        expected: String,
        /// The engine's message.
        got: String,
    },
    /// The engine (or cedar-policy, where the engine is `reader`) panicked; the message is on stderr.
    Panicked,
}

impl Mismatch {
    /// A command line that runs this test (and only this request) again.
    pub fn reproduction(&self) -> String {
        let suite = shell_quoted(&self.suite.display().to_string());
        let test = shell_quoted(&self.test);
        match &self.request {
            Some((index, _)) => {
                format!("cedarjit conformance {suite} --test {test} --request {index}")
            }
            None => format!("cedarjit conformance {suite} --test {test}"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.test, self.engine)?;
        if let Some((index, description)) = &self.request {
            write!(f, " request {index}")?;
            if !description.is_empty() {
                write!(f, " ({description})")?;
            }
        }
        writeln!(f)?;
        match &self.kind {
            MismatchKind::Unreadable(error) => writeln!(f, "  {error}")?,
            MismatchKind::Validation { should_validate } => {
                let (expected, got) = match should_validate {
                    true => ("passes", "failed"),
                    false => ("fails", "passed"),
                };
                writeln!(f, "  expected: strict validation {expected}")?;
                writeln!(f, "  got:      it {got}")?;
            }
            MismatchKind::Refused(error) => writeln!(f, "  {error}")?,
            MismatchKind::NotRefused(got) => {
                let failed = got.errors.keys();
                write!(f, "  expected: the request is refused\n  got:      ")?;
                line(f, got.decision, &got.reasons, failed)?;
            }
            MismatchKind::Answer { expected, got } => {
                let failed = got.errors.keys();
                write!(f, "  expected: ")?;
                line(
                    f,
                    expected.decision,
                    &expected.reasons,
                    expected.errors.iter(),
                )?;
                write!(f, "  got:      ")?;
                line(f, got.decision, &got.reasons, failed)?;
            }
            MismatchKind::Message {
                policy,
                expected,
                got,
            } => {
                writeln!(f, "  expected: {policy} fails with {expected}")?;
                writeln!(f, "  got:      {policy} fails with {got}")?;
            }
            MismatchKind::Panicked => writeln!(f, "  it panicked")?,
        }
        write!(f, "  again:    {}", self.reproduction())
    }
}

fn line<'a>(
    f: &mut fmt::Formatter<'_>,
    decision: Decision,
    reasons: &BTreeSet<String>,
    errors: impl Iterator<Item = &'a String>,
) -> fmt::Result {
    let decision = match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
    };
    let reasons: Vec<_> = reasons.iter().map(String::as_str).collect();
    let errors: Vec<_> = errors.map(String::as_str).collect();
    writeln!(
        f,
        "{decision}, reasons [{}], errors [{}]",
        reasons.join(", "),
        errors.join(", ")
    )
}

/// Quotes a word for a POSIX shell where it needs it.
fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The outcome of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// Tests that were run.
    pub tests: usize,
    /// Requests in them.
    pub requests: usize,
    /// Answers compared: requests times engines.
    pub answers: usize,
    /// Tests that want validation to fail only because a policy applies to no action. Cedar made
    /// that a warning in 4.14; suites recorded before still call it a failure. It is no mismatch.
    pub older_validation: usize,
    /// Everything that was not as it should be, in the order of suites, tests and requests.
    pub mismatches: Vec<Mismatch>,
}

impl Report {
    /// Whether nothing was wrong.
    pub fn passed(&self) -> bool {
        self.mismatches.is_empty()
    }

    /// Adds another report's counts and mismatches.
    pub(super) fn absorb(&mut self, other: Self) {
        self.tests += other.tests;
        self.requests += other.requests;
        self.answers += other.answers;
        self.older_validation += other.older_validation;
        self.mismatches.extend(other.mismatches);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tests,
            requests,
            answers,
            older_validation,
            mismatches,
        } = self;
        let mismatches = mismatches.len();
        write!(
            f,
            "{tests} tests, {requests} requests, {answers} answers compared, {mismatches} mismatches"
        )?;
        if *older_validation > 0 {
            write!(
                f,
                "; {older_validation} tests call a policy invalid that applies to no action: a warning \
                 since Cedar 4.14"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_says_how_to_see_it_again() {
        let mismatch = Mismatch {
            suite: "my suite.tar.gz".into(),
            test: "tests/it's.json".into(),
            request: Some((3, "bob may not".into())),
            engine: "native".into(),
            kind: MismatchKind::Answer {
                expected: Expected {
                    decision: Decision::Deny,
                    reasons: BTreeSet::new(),
                    errors: ["policy1".to_owned()].into(),
                },
                got: Answer {
                    decision: Decision::Allow,
                    reasons: ["policy0".to_owned()].into(),
                    errors: Default::default(),
                    decision_only: false,
                },
            },
        };
        assert_eq!(
            mismatch.to_string(),
            "tests/it's.json [native] request 3 (bob may not)\n  \
             expected: deny, reasons [], errors [policy1]\n  \
             got:      allow, reasons [policy0], errors []\n  \
             again:    cedarjit conformance 'my suite.tar.gz' --test 'tests/it'\\''s.json' --request 3"
        );
    }
}
