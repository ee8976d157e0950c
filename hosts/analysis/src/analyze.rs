//! What policies always do.

use std::fmt;

use cedar_policy::{Policy, PolicySet, Schema};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};
use serde::Serialize;

use crate::environment::Environment;
use crate::example::{Answer, Example, Judged, NotKnown};
use crate::solver::{Solver, not_known};
use crate::subject::Subject;

/// A question that has an answer in each request environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Does the policy never fail? One that fails counts for nothing.
    NeverErrors,
    /// Is the policy never satisfied? Then it is superfluous here.
    NeverMatches,
    /// Is every request allowed?
    AlwaysAllows,
    /// Is every request denied?
    AlwaysDenies,
    /// Do both policy sets decide alike?
    Equivalent,
    /// Does the second policy set allow all that the first allows?
    Implies,
    /// Is there nothing that both policy sets allow?
    Disjoint,
}

impl Question {
    /// All questions: first those about one policy, then one set, then two.
    pub const ALL: [Self; 7] = [
        Self::NeverErrors,
        Self::NeverMatches,
        Self::AlwaysAllows,
        Self::AlwaysDenies,
        Self::Equivalent,
        Self::Implies,
        Self::Disjoint,
    ];

    /// Its name, as it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NeverErrors => "never-errors",
            Self::NeverMatches => "never-matches",
            Self::AlwaysAllows => "always-allows",
            Self::AlwaysDenies => "always-denies",
            Self::Equivalent => "equivalent",
            Self::Implies => "implies",
            Self::Disjoint => "disjoint",
        }
    }

    /// What it asks about.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::NeverErrors | Self::NeverMatches => Scope::Policy,
            Self::AlwaysAllows | Self::AlwaysDenies => Scope::Set,
            Self::Equivalent | Self::Implies | Self::Disjoint => Scope::TwoSets,
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each policy by itself.
    Policy,
    /// A policy set.
    Set,
    /// Two policy sets.
    TwoSets,
}

/// One question with its answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answered {
    /// Where.
    pub environment: Environment,
    /// What was asked.
    pub question: Question,
    /// The id of the policy, if the question is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// All answers.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Analysis {
    /// By request environment, then question, then policy.
    pub answers: Vec<Answered>,
}

impl Analysis {
    /// How many answers are yes, how many no, and how many are not known.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for answered in &self.answers {
            match answered.answer {
                Answer::Yes => counts.0 += 1,
                Answer::No(_) => counts.1 += 1,
                Answer::NotKnown(_) => counts.2 += 1,
            }
        }
        counts
    }
}

/// Asks `questions` about `subject`, and, where they are about two policy sets, about it and `other`;
/// without `other` those are not asked. `answered` hears of each answer as it comes.
pub fn analyze(
    subject: &Subject,
    other: Option<&Subject>,
    schema: &Schema,
    questions: &[Question],
    solver: &mut Solver,
    mut answered: impl FnMut(&Answered),
) -> Analysis {
    let mut analysis = Analysis::default();
    for environment in Environment::all(schema) {
        let mut asker = Asker {
            environment: &environment,
            schema,
            solver,
        };
        let mut tell = |question, policy: Option<&Policy>, answer| {
            let one = Answered {
                environment: environment.clone(),
                question,
                policy: policy.map(|policy| policy.id().to_string()),
                answer,
            };
            answered(&one);
            analysis.answers.push(one);
        };
        for policy in &subject.policies {
            for (question, answer) in asker.policy(policy, questions) {
                tell(question, Some(policy), answer);
            }
        }
        for (question, answer) in asker.sets(&subject.set, other.map(|it| &it.set), questions) {
            tell(question, None, answer);
        }
    }
    analysis
}

struct Asker<'a> {
    environment: &'a Environment,
    schema: &'a Schema,
    solver: &'a mut Solver,
}

type Answers = Vec<(Question, Answer)>;

fn of_scope(questions: &[Question], scope: Scope) -> impl Iterator<Item = Question> {
    questions
        .iter()
        .copied()
        .filter(move |it| it.scope() == scope)
}

impl Asker<'_> {
    fn policy(&mut self, policy: &Policy, questions: &[Question]) -> Answers {
        let asked = of_scope(questions, Scope::Policy);
        let compiled = CompiledPolicy::compile(policy, self.environment.inner(), self.schema)
            .map_err(|error| not_known(&error));
        let alone = PolicySet::from_policies([policy.clone()])
            .map_err(|error| NotKnown::NotTranslated(error.to_string()));
        let (compiled, alone) = match (compiled, alone) {
            (Ok(compiled), Ok(alone)) => (compiled, alone),
            (Err(why), _) | (_, Err(why)) => {
                return asked
                    .map(|question| (question, Answer::NotKnown(why.clone())))
                    .collect();
            }
        };
        asked
            .map(|question| {
                let confirm = |found: &_| {
                    Example::confirmed(found, &[&alone], |judged| refutes(question, judged))
                };
                let answer = match question {
                    Question::NeverErrors => self.solver.ask(
                        async |it| {
                            it.check_never_errors_with_counterexample_opt(&compiled)
                                .await
                        },
                        confirm,
                    ),
                    _ => self.solver.ask(
                        async |it| {
                            it.check_never_matches_with_counterexample_opt(&compiled)
                                .await
                        },
                        confirm,
                    ),
                };
                (question, answer)
            })
            .collect()
    }

    fn sets(
        &mut self,
        set: &PolicySet,
        other: Option<&PolicySet>,
        questions: &[Question],
    ) -> Answers {
        let mut asked: Vec<_> = of_scope(questions, Scope::Set).collect();
        if other.is_some() {
            asked.extend(of_scope(questions, Scope::TwoSets));
        }
        if asked.is_empty() {
            return Vec::new();
        }
        let first = self.compile(set);
        // Nothing is asked of the second where there is none.
        let second = other.map_or_else(|| first.clone(), |other| self.compile(other));
        let (first, second) = match (first, second) {
            (Ok(first), Ok(second)) => (first, second),
            (Err(error), _) | (_, Err(error)) => {
                let not_known = |question| (question, error.clone());
                return asked.into_iter().map(not_known).collect();
            }
        };
        let sets = [set, other.unwrap_or(set)];
        let mut answers = Vec::new();
        for question in asked {
            let about = match question.scope() {
                Scope::TwoSets => &sets[..],
                _ => &sets[..1],
            };
            let answer = self.solver.ask(
                async |it| match question {
                    Question::AlwaysAllows => {
                        it.check_always_allows_with_counterexample_opt(&first).await
                    }
                    Question::AlwaysDenies => {
                        it.check_always_denies_with_counterexample_opt(&first).await
                    }
                    Question::Implies => {
                        it.check_implies_with_counterexample_opt(&first, &second)
                            .await
                    }
                    Question::Disjoint => {
                        it.check_disjoint_with_counterexample_opt(&first, &second)
                            .await
                    }
                    _ => {
                        it.check_equivalent_with_counterexample_opt(&first, &second)
                            .await
                    }
                },
                |found| Example::confirmed(found, about, |judged| refutes(question, judged)),
            );
            answers.push((question, answer));
        }
        answers
    }

    fn compile(&self, set: &PolicySet) -> Result<CompiledPolicySet, Answer> {
        CompiledPolicySet::compile(set, self.environment.inner(), self.schema)
            .map_err(|error| Answer::NotKnown(not_known(&error)))
    }
}

/// Whether what cedar-policy says about an example is a no to a question.
fn refutes(question: Question, judged: &[Judged]) -> bool {
    let allowed = |which: usize| judged.get(which).is_some_and(|it| it.allowed);
    let (first, second) = (allowed(0), allowed(1));
    match question {
        Question::NeverErrors => judged.iter().any(|it| !it.errors.is_empty()),
        Question::NeverMatches => judged.iter().any(|it| !it.reasons.is_empty()),
        Question::AlwaysAllows => !first,
        Question::AlwaysDenies => first,
        Question::Equivalent => first != second,
        Question::Implies => first && !second,
        Question::Disjoint => first && second,
    }
}
