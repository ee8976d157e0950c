//! What the engine makes of the public suites' policies is proved to mean what they say.
//!
//! `CEDARJIT_CORPUS` names the folder of the suites, by default `../shared/corpus` beside the
//! repository; `CEDARJIT_PROVE` says how many of their tests are looked at, by default a few. Without
//! the suites or cvc5 there is nothing to prove, and the test says so and passes.

use cedar_policy::{ValidationMode, Validator};
use cedarjit::Engine;
use cedarjit_analysis::{Answer, DEFAULT_TIME_LIMIT, Proof, Solver, Subject, prove};
use cedarjit_tests::conformance::{Plan, Selection, Suite, run};
use cedarjit_tests::engines::{
    Answers, EngineError, Loaded, SchemaText, TestEngine, TestRequest, World,
};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How many tests are looked at if nothing else is said.
const SAMPLE: usize = 20;

/// Proves instead of answering, and keeps what came of it.
struct Prover {
    solver: Mutex<Solver>,
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    worlds: usize,
    milliseconds: Vec<u128>,
    proved: usize,
    refuted: Vec<String>,
    /// How often something was not known, by the reason.
    not_known: BTreeMap<String, usize>,
}

/// Nothing is asked of it.
struct Silent;

impl Loaded for Silent {
    fn authorize(&mut self, _: &TestRequest, _: &mut Answers<'_>) {}
}

impl TestEngine for Prover {
    fn modes(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        let (Some(schema), Some(text)) = (&world.schema, &world.texts.schema) else {
            return Ok(Box::new(Silent));
        };
        let validator = Validator::new(schema.as_ref().clone());
        let result = validator.validate(&world.policies, ValidationMode::Strict);
        if !result.validation_passed() {
            return Ok(Box::new(Silent));
        }
        let builder = Engine::builder().policies(&world.policies);
        let builder = match text {
            SchemaText::Cedar(text) => builder.schema_str(text),
            SchemaText::Json(text) => builder.schema_json(text),
        };
        let engine = builder.build().map_err(EngineError::load)?;
        let made = engine.snapshot().compiled_conditions();
        let made = made.into_iter().map(|made| (made.policy, made.expression));
        let subject = Subject::new(&world.policies).map_err(EngineError::load)?;
        let mut solver = self.solver.lock().expect("not poisoned");
        let mut found = self.found.lock().expect("not poisoned");
        found.worlds += 1;
        prove(&subject, &made.collect(), schema, &mut solver, |proof| {
            found.keep(proof);
        });
        Ok(Box::new(Silent))
    }
}

impl Found {
    fn keep(&mut self, proof: &Proof) {
        self.milliseconds.push(proof.time.as_millis());
        match &proof.answer {
            Answer::Yes => self.proved += 1,
            Answer::No(_) => self.refuted.push(format!("{proof:?}")),
            Answer::NotKnown(why) => {
                let why = why.to_string().chars().take(100).collect();
                *self.not_known.entry(why).or_default() += 1;
            }
        }
    }
}

fn suites() -> Option<Vec<Suite>> {
    let folder: PathBuf = match std::env::var_os("CEDARJIT_CORPUS") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    let archives = ["handwritten-tests.tar.gz", "corpus-tests.tar.gz"];
    let archives = archives.map(|name| folder.join(name));
    if !archives.iter().all(|archive| archive.exists()) {
        let folder = folder.display();
        eprintln!("SKIPPED: no suites in {folder}; set CEDARJIT_CORPUS to their folder");
        return None;
    }
    let open = |archive: &PathBuf| Suite::open(archive).expect("a suite");
    Some(archives.iter().map(open).collect())
}

#[test]
fn policies_of_the_public_suites_are_proved() {
    let Some(suites) = suites() else {
        return;
    };
    let solver = match Solver::start(None, DEFAULT_TIME_LIMIT) {
        Ok(solver) => solver,
        Err(error) if std::env::var_os("CEDARJIT_REQUIRE_CVC5").is_none() => {
            eprintln!("SKIPPED: {error}; install cvc5 or name it in CVC5");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let sample = std::env::var("CEDARJIT_PROVE").map_or(SAMPLE, |n| n.parse().expect("a number"));
    let selection = Selection {
        sample: Some(sample),
        ..Selection::default()
    };
    let found = Arc::new(Mutex::new(Found::default()));
    let engine = Prover {
        solver: Mutex::new(solver),
        found: Arc::clone(&found),
    };
    let engines: [Box<dyn TestEngine>; 1] = [Box::new(engine)];
    let plan = Plan::new(&suites, &selection);
    run(&plan, &engines, NonZero::<usize>::MIN, &());
    let mut found = found.lock().expect("not poisoned");
    found.milliseconds.sort_unstable();
    let all = found.milliseconds.len();
    let most = found.milliseconds[(all * 95).div_ceil(100) - 1];
    println!(
        "{} of {} tests have valid policies; {all} policies and environments: {} proved, {} refuted, \
         95 % within {most} ms; not known: {:#?}",
        found.worlds,
        plan.len(),
        found.proved,
        found.refuted.len(),
        found.not_known
    );
    assert!(found.refuted.is_empty(), "{:#?}", found.refuted);
    assert!(found.proved * 100 >= all * 95, "{} of {all}", found.proved);
}
