//! Engines with planted mistakes that check themselves: each must find that it is wrong, stop being
//! wrong, and keep a test that shows it.

use cedar_policy::Request;
use cedarjit::{Engine, EngineBuilder, Remedy, Scratch, SelfCheck};
use cedarjit_ir::fault::{Fault, plant};
use cedarjit_tests::conformance::{Plan, Selection, Suite, run};
use cedarjit_tests::engines::{Answer, CedarEngine, SchemaText, TestEngine, Verdict};
use cedarjit_tests::generator::{Knobs, LoadedCase, generate};
use cedarjit_tests::stack::on_large_stack;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How many worlds are tried for a mistake.
const SEEDS: u64 = 2_000;

/// Mistakes of the code generator and of the index, what is to be done about them, and the first seed
/// that is tried: it showed the mistake when this was written.
const MISTAKES: &[(Fault, Remedy, u64)] = &[
    (Fault::SubOverflowAsAdd, Remedy::Conditions, 47),
    (Fault::MulOverflowIntoSign, Remedy::Conditions, 73),
    (Fault::UnsignedComparison, Remedy::Conditions, 565),
    (Fault::EqualIgnoresTag, Remedy::Conditions, 0),
    (Fault::AncestorHalfBucket, Remedy::Conditions, 2),
    (Fault::InSetBloomOfDescendant, Remedy::Conditions, 27),
    (Fault::InSetChecksFirst, Remedy::Conditions, 220),
    (Fault::ContainsIgnoresTag, Remedy::Conditions, 19),
    (Fault::ContextHasZero, Remedy::Conditions, 59),
    (Fault::HasWithoutAttributes, Remedy::Conditions, 2),
    (Fault::FusedConstantChain, Remedy::Conditions, 3),
    (Fault::LastAncestorSkipped, Remedy::Index, 6),
    (Fault::OtherSideOpen, Remedy::Index, 92),
    (Fault::AnyActionForgotten, Remedy::Index, 6),
];

/// What an engine told of differences.
type Told = Arc<Mutex<Vec<(Remedy, PathBuf)>>>;

fn builder(case: &LoadedCase) -> EngineBuilder {
    let world = &case.world;
    let builder = match (&world.texts.schema, &world.schema) {
        (Some(SchemaText::Cedar(text)), _) => Engine::builder().schema_str(text),
        (Some(SchemaText::Json(text)), _) => Engine::builder().schema_json(text),
        (None, Some(schema)) => Engine::builder().schema(schema),
        (None, None) => Engine::builder(),
    };
    let builder = builder.policies(&world.policies);
    builder.entities(world.entities.clone())
}

/// An engine that makes every decision again.
fn checking(case: &LoadedCase, folder: &Path) -> Option<(Engine, Told)> {
    let told = Told::default();
    let sink = Arc::clone(&told);
    let check = SelfCheck::one_in(NonZero::<u32>::MIN)
        .reproductions(folder)
        .on_difference(move |difference| {
            if let Some(Ok(path)) = &difference.reproduction {
                let row = (difference.remedy, path.clone());
                sink.lock().expect("not poisoned").push(row);
            }
        });
    let engine = builder(case).self_check(check).build().ok()?;
    Some((engine, told))
}

/// Asks about each request, fused code included, and waits for the checks before too many wait.
fn ask(engine: &Engine, requests: &[&Request]) -> Vec<Answer> {
    let mut scratch = Scratch::default();
    let answers = requests.iter().enumerate().map(|(i, request)| {
        let snapshot = engine.snapshot();
        let bound = snapshot.bind(request).expect("cedar-policy took it");
        bound.warm_up();
        let answer = Answer::from(bound.evaluate(&mut scratch));
        if i % 32 == 31 {
            engine.wait_checked();
        }
        answer
    });
    let answers = answers.collect();
    engine.wait_checked();
    answers
}

/// Tries worlds until the engine finds that it is wrong. What the remedy was.
fn first_difference(fault: Fault, first: u64, folder: &Path) -> Option<(u64, Remedy)> {
    for seed in first..first + SEEDS {
        let Ok(case) = generate(seed, &Knobs::default()).load() else {
            continue;
        };
        let Ok(mut judge) = CedarEngine.load(&case.world) else {
            continue;
        };
        let mut requests = Vec::new();
        let mut expected = Vec::new();
        for request in &case.requests {
            judge.authorize(request, &mut |_, given| {
                if let (Ok(parsed), Ok(answer)) = (&request.parsed, Verdict::from(given))
                    && !answer.ran_out_of_stack()
                {
                    requests.push(parsed);
                    expected.push(answer);
                }
            });
        }
        let Some((engine, told)) = checking(&case, folder) else {
            continue;
        };
        ask(&engine, &requests);
        let Some((remedy, test)) = told.lock().expect("not poisoned").first().cloned() else {
            continue;
        };
        ask(&engine, &requests);
        // Now it knows all of its mistakes about these requests.
        let before = engine
            .stats()
            .self_check
            .expect("checks itself")
            .differences;
        assert_eq!(ask(&engine, &requests), expected, "{fault:?}, seed {seed}");
        let after = engine.stats().self_check.expect("checks itself");
        assert_eq!(after.differences, before, "{fault:?}, seed {seed}");
        assert_eq!(after.dropped, 0, "{fault:?}, seed {seed}");
        judged(&test);
        return Some((seed, remedy));
    }
    None
}

/// What was kept must be a test that cedar-policy passes.
fn judged(test: &Path) {
    let suites = [Suite::open(test).expect("a test")];
    let plan = Plan::new(&suites, &Selection::default());
    let engines: [Box<dyn TestEngine>; 1] = [Box::new(CedarEngine)];
    let report = run(&plan, &engines, NonZero::<usize>::MIN, &());
    assert!(report.passed(), "{}: {report:?}", test.display());
    assert_eq!(report.requests, 1);
}

/// Faults are planted in the whole process, so everything is one test.
#[test]
fn engines_with_planted_mistakes_find_them_and_are_right_again() {
    let folder = std::env::temp_dir().join(format!("cedarjit-differences-{}", std::process::id()));
    on_large_stack(|| {
        for (fault, remedy, first) in MISTAKES {
            plant(Some(*fault));
            let found = first_difference(*fault, *first, &folder);
            plant(None);
            println!("{fault:?}: {found:?}");
            assert_eq!(found.map(|(_, remedy)| remedy), Some(*remedy), "{fault:?}");
        }
    });
    std::fs::remove_dir_all(&folder).expect("removed");
}
