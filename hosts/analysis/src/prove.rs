//! Whether what an engine made of policies means what the policies say.
//!
//! A condition comes to true, to false, or fails. Two conditions are the same if they are true for the
//! same requests and false for the same requests, so two questions decide it, and neither confuses
//! failing with being false: one about the conditions, one about what is satisfied where they are false.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema};
use cedar_policy_symcc::CompiledPolicy;
use serde::Serialize;

use crate::environment::Environment;
use crate::example::{Answer, Example, Judged, NotKnown};
use crate::solver::{Solver, not_known};
use crate::subject::Subject;

/// What is known of one policy in one request environment.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Where.
    pub environment: Environment,
    /// The policy's id.
    pub policy: String,
    /// Whether what was made of it is the same: `No` has a request that tells the two apart, of which
    /// `judged` has the policy and what was made of it.
    #[serde(flatten)]
    pub answer: Answer,
    /// How long it took.
    #[serde(serialize_with = "milliseconds", rename = "milliseconds")]
    pub time: Duration,
}

/// All that is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Proofs {
    /// By policy, then by request environment.
    pub proofs: Vec<Proof>,
}

impl Proofs {
    /// How many are proved, how many refuted, and how many not known.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for proof in &self.proofs {
            match proof.answer {
                Answer::Yes => counts.0 += 1,
                Answer::No(_) => counts.1 += 1,
                Answer::NotKnown(_) => counts.2 += 1,
            }
        }
        counts
    }

    /// The ids of the policies that are not proved in every request environment.
    #[must_use]
    pub fn unproven(&self) -> Vec<&str> {
        let open = self
            .proofs
            .iter()
            .filter(|proof| !matches!(proof.answer, Answer::Yes));
        let mut ids: Vec<&str> = open.map(|proof| proof.policy.as_str()).collect();
        ids.dedup();
        ids
    }

    /// The time that 95 % of the proofs took at most.
    #[must_use]
    pub fn most_within(&self) -> Duration {
        let mut times: Vec<Duration> = self.proofs.iter().map(|proof| proof.time).collect();
        times.sort_unstable();
        let last = (times.len() * 95).div_ceil(100).saturating_sub(1);
        times.get(last).copied().unwrap_or_default()
    }
}

fn milliseconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64() * 1_000.0)
}

/// Compares each policy with what was made of it in each request environment. `made` has that by the
/// policies' ids, as Cedar expressions; `None` stands for one that could not be written. `done` hears
/// of each as it comes.
pub fn prove(
    subject: &Subject,
    made: &HashMap<String, Option<String>>,
    schema: &Schema,
    solver: &mut Solver,
    mut done: impl FnMut(&Proof),
) -> Proofs {
    let environments = Environment::all(schema);
    let mut proofs = Proofs::default();
    for policy in &subject.policies {
        let id: &str = policy.id().as_ref();
        let pair = match made.get(id) {
            Some(Some(expression)) => Pair::new(policy, expression),
            Some(None) => Err(NotKnown::NotTranslated(
                "what was made of it is too large to be written".to_owned(),
            )),
            None => Err(NotKnown::NotTranslated("nothing was made of it".to_owned())),
        };
        for environment in &environments {
            let started = Instant::now();
            let answer = match &pair {
                Ok(pair) => pair.compare(environment, schema, solver),
                Err(why) => Answer::NotKnown(why.clone()),
            };
            let proof = Proof {
                environment: environment.clone(),
                policy: id.to_owned(),
                answer,
                time: started.elapsed(),
            };
            done(&proof);
            proofs.proofs.push(proof);
        }
    }
    proofs
}

/// A policy and what was made of it, each with its opposite.
struct Pair {
    policies: [Policy; 2],
    opposites: [Policy; 2],
    sets: [PolicySet; 2],
}

impl Pair {
    fn new(policy: &Policy, made: &str) -> Result<Self, NotKnown> {
        let effect = match policy.effect() {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        let id = policy.id();
        let of = |kind: &str, condition: &str| {
            let text = format!("{effect} (principal, action, resource) {kind} {{ {condition} }};");
            parse(id, &text)
        };
        // Scope and clauses as one expression, as cedar-policy evaluates it.
        let condition = policy.as_ref().condition().to_string();
        let policies = [policy.clone(), of("when", made)?];
        let alone = |policy: &Policy| {
            let set = PolicySet::from_policies([policy.clone()]);
            set.map_err(|error| NotKnown::NotTranslated(error.to_string()))
        };
        let [written, compiled] = &policies;
        Ok(Self {
            sets: [alone(written)?, alone(compiled)?],
            opposites: [of("unless", &condition)?, of("unless", made)?],
            policies,
        })
    }

    fn compare(&self, environment: &Environment, schema: &Schema, solver: &mut Solver) -> Answer {
        for [written, made] in [&self.policies, &self.opposites] {
            let compile = |policy: &Policy| {
                CompiledPolicy::compile(policy, environment.inner(), schema)
                    .map_err(|error| not_known(&error))
            };
            let (written, made) = match (compile(written), compile(made)) {
                (Ok(written), Ok(made)) => (written, made),
                (Err(why), _) | (_, Err(why)) => return Answer::NotKnown(why),
            };
            let [first, second] = &self.sets;
            let answer = solver.ask(
                async |it| {
                    it.check_matches_equivalent_with_counterexample_opt(&written, &made)
                        .await
                },
                |found| Example::confirmed(found, &[first, second], differs),
            );
            if !matches!(answer, Answer::Yes) {
                return answer;
            }
        }
        Answer::Yes
    }
}

fn parse(id: &PolicyId, text: &str) -> Result<Policy, NotKnown> {
    Policy::parse(Some(id.clone()), text)
        .map_err(|error| NotKnown::NotTranslated(format!("{error} in `{text}`")))
}

/// Whether what cedar-policy says about an example tells the two apart.
fn differs(judged: &[Judged]) -> bool {
    let came_to = |it: &Judged| (it.reasons.is_empty(), it.errors.is_empty());
    matches!(judged, [written, made] if came_to(written) != came_to(made))
}
