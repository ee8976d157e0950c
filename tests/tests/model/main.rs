//! The machine-checked model of `proofs` against cedarjit's interpreter.
//!
//! Generated policies, entities and requests of the core that the model covers are evaluated by the
//! interpreter; then Coq computes whether the model comes to the same: each policy's outcome with
//! the kind of its failure, as evaluated and as lowered, and the decision with reasons and errors.
//!
//! Without `coqc` the test says so and passes, unless `CEDARJIT_REQUIRE_COQ` is set.

mod expr;
mod world;

use cedar_policy::{Context, Decision, Entities, EntityUid, Request};
use cedarjit::{Engine, ErrorKind, Evaluation, JitMode, Scratch};
use cedarjit_tests::generator::Rng;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use world::{Policy, World};

/// How many worlds, and how many policies in each.
const WORLDS: u64 = 300;
const POLICIES: usize = 10;

/// What one policy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Satisfied,
    Unsatisfied,
    Failed(&'static str),
}

impl Outcome {
    fn coq(self) -> String {
        match self {
            Self::Satisfied => "Ok true".to_owned(),
            Self::Unsatisfied => "Ok false".to_owned(),
            Self::Failed(kind) => format!("Fail {kind}"),
        }
    }
}

/// The model's name for why an evaluation failed.
fn failure(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Type => "TypeError",
        ErrorKind::EntityDoesNotExist => "NoEntity",
        ErrorKind::EntityAttrDoesNotExist | ErrorKind::RecordAttrDoesNotExist => "NoAttribute",
        ErrorKind::EntityTagDoesNotExist => "NoTag",
        ErrorKind::IntegerOverflow => "Overflow",
        other => panic!("not in the core: {other:?}"),
    }
}

/// A world with policies, and what the interpreter said.
struct Case {
    world: World,
    policies: Vec<Policy>,
    outcomes: Vec<Outcome>,
    allowed: bool,
    reasons: Vec<usize>,
    failed: Vec<usize>,
}

impl Case {
    fn generate(seed: u64) -> Self {
        let rng = &mut Rng::new(seed);
        let world = World::generate(rng);
        let policies: Vec<_> = (0..POLICIES)
            .map(|_| Policy::generate(rng, &world))
            .collect();
        // With permits only, every satisfied policy is a reason.
        let outcomes = answer(
            &world,
            &policies,
            |_| "permit",
            |evaluation| {
                let mut outcomes = vec![Outcome::Unsatisfied; POLICIES];
                for id in evaluation.reasons() {
                    outcomes[number(id)] = Outcome::Satisfied;
                }
                for (id, error) in evaluation.errors() {
                    outcomes[number(id)] = Outcome::Failed(failure(error.kind()));
                }
                outcomes
            },
        );
        let effect = |policy: &Policy| if policy.forbid { "forbid" } else { "permit" };
        let (allowed, reasons, failed) = answer(&world, &policies, effect, |evaluation| {
            let allowed = evaluation.decision() == Decision::Allow;
            let mut reasons: Vec<_> = evaluation.reasons().map(number).collect();
            let mut failed: Vec<_> = evaluation.failed().map(number).collect();
            reasons.sort_unstable();
            failed.sort_unstable();
            (allowed, reasons, failed)
        });
        Self {
            world,
            policies,
            outcomes,
            allowed,
            reasons,
            failed,
        }
    }

    fn coq(&self) -> String {
        let policies = expr::list(&self.policies, Policy::coq);
        let outcomes = expr::list(&self.outcomes, |o| o.coq());
        let decision = if self.allowed { "Allow" } else { "Deny" };
        let [reasons, failed] = [&self.reasons, &self.failed]
            .map(|numbers| format!("{}%nat", expr::list(numbers, usize::to_string)));
        let world = self.world.coq();
        format!("Case {world}\n    {policies}\n    {outcomes} {decision} {reasons} {failed}")
    }
}

/// The number in the id `p3`.
fn number(id: &str) -> usize {
    id[1..].parse().unwrap()
}

/// What the interpreter says of the policies, if they have these effects.
fn answer<T>(
    world: &World,
    policies: &[Policy],
    effect: impl Fn(&Policy) -> &'static str,
    read: impl FnOnce(Evaluation<'_>) -> T,
) -> T {
    let texts = policies.iter().enumerate();
    let text: String = texts.map(|(i, p)| p.cedar(i, effect(p))).collect();
    let links = policies.iter().enumerate();
    let links: Vec<_> = links.filter_map(|(i, p)| p.link(i)).collect();
    let entities = Entities::from_json_value(world.entities(), None).unwrap();
    let engine = Engine::builder()
        .policies_str(&text)
        .links_json(serde_json::to_string(&links).unwrap())
        .entities(entities)
        .jit(JitMode::Off)
        .build()
        .unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    let [principal, action, resource] = [world.principal, world.action, world.resource]
        .map(|uid| uid.cedar().parse::<EntityUid>().unwrap());
    let context = Context::from_json_value(world.context(), None).unwrap();
    let request = Request::new(principal, action, resource, context, None).unwrap();
    let bound = engine.snapshot().bind(&request).unwrap();
    read(bound.interpret(&mut Scratch::default()))
}

/// A file that Coq accepts exactly if the model agrees in all cases.
fn file(cases: &[Case]) -> String {
    let mut text = "From Coq Require Import ZArith NArith List.\n\
        From Proofs Require Import Values Syntax Eval Authorizer Run.\n\
        Import ListNotations.\nLocal Open Scope Z_scope.\n"
        .to_owned();
    for (i, case) in cases.iter().enumerate() {
        let _ = writeln!(text, "Definition case{i} : case :=\n  {}.", case.coq());
    }
    let names: Vec<_> = (0..cases.len()).map(|i| format!("case{i}")).collect();
    let _ = writeln!(
        text,
        "Theorem model_agrees : mismatches {} = [].\nProof. vm_compute. reflexivity. Qed.",
        expr::list(&names, Clone::clone)
    );
    text
}

fn proofs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../proofs")
}

/// Whether there is Coq; compiles the model if so.
fn has_coq() -> bool {
    let found = Command::new("coqc").arg("--version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("CEDARJIT_REQUIRE_COQ").is_none(),
            "coqc is required and not there"
        );
        println!("SKIPPED: no coqc; install coq to run the model");
        return false;
    }
    let made = Command::new("make")
        .args(["--silent", "Run.vo"])
        .current_dir(proofs())
        .status();
    assert!(made.unwrap().success(), "the model does not compile");
    true
}

/// What coqc says of a file with these cases; `None` if it accepts them.
fn rejected(name: &str, cases: &[Case]) -> Option<String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, file(cases)).unwrap();
    let coqc = Command::new("coqc")
        .args(["-q", "-noglob", "-Q"])
        .arg(proofs())
        .arg("Proofs")
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&coqc.stderr).into_owned();
    (!coqc.status.success()).then_some(said)
}

#[test]
fn the_model_agrees_with_the_interpreter() {
    if !has_coq() {
        return;
    }
    let mut cases: Vec<_> = (0..WORLDS).map(Case::generate).collect();
    let mut counts = BTreeMap::<Outcome, usize>::new();
    for outcome in cases.iter().flat_map(|case| &case.outcomes) {
        *counts.entry(*outcome).or_default() += 1;
    }
    let allowed = cases.iter().filter(|case| case.allowed).count();
    println!("{WORLDS} worlds, {allowed} requests allowed; policies: {counts:?}");
    assert_eq!(counts.len(), 7, "an outcome that no policy came to");
    assert!(counts.values().all(|count| *count >= 10), "{counts:?}");
    if let Some(said) = rejected("ModelCases.v", &cases) {
        panic!("numbers of the worlds in which the model disagrees:\n{said}");
    }

    // One wrong answer is seen.
    let mut wrong = cases.split_off(cases.len() - 3);
    wrong[1].outcomes[0] = match wrong[1].outcomes[0] {
        Outcome::Satisfied => Outcome::Unsatisfied,
        _ => Outcome::Satisfied,
    };
    let said = rejected("WrongCase.v", &wrong).expect("a wrong answer is accepted");
    assert!(said.contains("[1"), "{said}");
}
