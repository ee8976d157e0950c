//! What a change of policies changes.

use std::fmt;

use cedar_policy::{PolicySet, Schema};
use cedar_policy_symcc::CompiledPolicySet;
use serde::Serialize;

use crate::environment::Environment;
use crate::example::{Answer, Example, NotKnown};
use crate::solver::{Solver, not_known};
use crate::subject::Subject;

/// What becomes of the requests of one environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Every request is decided as before: proved.
    Unchanged,
    /// Some that were denied are allowed, and none the other way round.
    MorePermissive,
    /// Some that were allowed are denied, and none the other way round.
    LessPermissive,
    /// Some that were denied are allowed, and some that were allowed are denied.
    Both,
    /// At least one direction is not known.
    NotKnown,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Unchanged,
        Self::MorePermissive,
        Self::LessPermissive,
        Self::Both,
        Self::NotKnown,
    ];
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unchanged => "unchanged",
            Self::MorePermissive => "more permissive",
            Self::LessPermissive => "less permissive",
            Self::Both => "both",
            Self::NotKnown => "not known",
        })
    }
}

/// One request environment, before and after.
#[derive(Clone, Debug, Serialize)]
pub struct EnvironmentChange {
    /// Which.
    pub environment: Environment,
    /// What becomes of it.
    pub change: Change,
    /// A request that is allowed now and was denied; `judged` has old and new.
    pub newly_allowed: Option<Box<Example>>,
    /// A request that is denied now and was allowed; `judged` has old and new.
    pub newly_denied: Option<Box<Example>>,
    /// Why one direction or both are not known.
    pub not_known: Vec<NotKnown>,
}

/// What a change of policies changes, by request environment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Diff {
    /// All request environments of the schema, sorted.
    pub environments: Vec<EnvironmentChange>,
}

impl Diff {
    /// How many request environments there are with this change.
    #[must_use]
    pub fn count(&self, change: Change) -> usize {
        let of_it = self.environments.iter().filter(|it| it.change == change);
        of_it.count()
    }
}

/// Says what becomes of the requests of each environment when `old` is replaced with `new`. `done`
/// hears of each as it comes.
pub fn diff(
    old: &Subject,
    new: &Subject,
    schema: &Schema,
    solver: &mut Solver,
    mut done: impl FnMut(&EnvironmentChange),
) -> Diff {
    let mut diff = Diff::default();
    for environment in Environment::all(schema) {
        let compile = |set: &PolicySet| {
            CompiledPolicySet::compile(set, environment.inner(), schema)
                .map_err(|error| not_known(&error))
        };
        let mut change = EnvironmentChange {
            environment: environment.clone(),
            change: Change::NotKnown,
            newly_allowed: None,
            newly_denied: None,
            not_known: Vec::new(),
        };
        match (compile(&old.set), compile(&new.set)) {
            (Ok(old_terms), Ok(new_terms)) => {
                let sets = [&old.set, &new.set];
                let mut allowed_only_by = |first: &_, second: &_, by_new: bool| {
                    solver.ask(
                        async |it| {
                            it.check_implies_with_counterexample_opt(first, second)
                                .await
                        },
                        |found| {
                            Example::confirmed(found, &sets, |judged| {
                                matches!(judged, [old, new]
                                    if old.allowed != by_new && new.allowed == by_new)
                            })
                        },
                    )
                };
                let more = allowed_only_by(&new_terms, &old_terms, true);
                let less = allowed_only_by(&old_terms, &new_terms, false);
                change.newly_allowed = change.keep(more);
                change.newly_denied = change.keep(less);
            }
            (old, new) => {
                let reasons = [old.err(), new.err()];
                change.not_known.extend(reasons.into_iter().flatten());
            }
        }
        change.change = change.kind();
        done(&change);
        diff.environments.push(change);
    }
    diff
}

impl EnvironmentChange {
    /// The example of an answer; why there is none, if nobody knows, is kept.
    fn keep(&mut self, answer: Answer) -> Option<Box<Example>> {
        match answer {
            Answer::Yes => None,
            Answer::No(example) => Some(example),
            Answer::NotKnown(why) => {
                self.not_known.push(why);
                None
            }
        }
    }

    fn kind(&self) -> Change {
        match (&self.newly_allowed, &self.newly_denied) {
            (Some(_), Some(_)) => Change::Both,
            _ if !self.not_known.is_empty() => Change::NotKnown,
            (Some(_), None) => Change::MorePermissive,
            (None, Some(_)) => Change::LessPermissive,
            (None, None) => Change::Unchanged,
        }
    }
}
