//! Every engine against cedar-policy over a few hundred generated worlds, and tests of the test
//! itself: what the generator makes, that a wrong engine is caught, and what is left of its case.

use cedar_policy::Decision;
use cedarjit::Engine;
use cedarjit_tests::conformance::{self, Plan, Selection, Suite};
use cedarjit_tests::differential::{Difference, Mismatch, run, shrink};
use cedarjit_tests::engines::{
    Answers, CedarEngine, EngineError, Loaded, SchemaText, TestEngine, TestRequest, Verdict, World,
    engines,
};
use cedarjit_tests::generator::{Case, Knobs, generate};
use cedarjit_tests::stack::on_large_stack;
use std::num::NonZero;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// How many seeds a developer waits some seconds for, without optimisation: nearly all of the time
/// goes into compiling each policy once for each engine.
const SEEDS: u64 = 32;

/// How many seeds to run and with what knobs. `CEDARJIT_SEEDS=n` makes it a longer run over worlds
/// of all sizes.
fn plan() -> (u64, Knobs) {
    let mut knobs = Knobs::default();
    let set = std::env::var("CEDARJIT_SEEDS").ok();
    match set.and_then(|text| text.parse().ok()) {
        Some(seeds) => (seeds, knobs),
        None => {
            knobs.many_policies = 0;
            knobs.sizes.policies = 5;
            knobs.sizes.max_requests = 300;
            (SEEDS, knobs)
        }
    }
}

#[test]
fn engines_agree_with_cedar_policy() {
    let (seeds, knobs) = plan();
    let report = run(0..seeds, threads(), &CedarEngine, &engines(), &knobs);
    println!("{report}");
    assert_eq!(report.rejections, [], "every generated world must load");
    if let Some(mismatch) = report.mismatches.first() {
        let small = shrink(mismatch, &CedarEngine, &engines(), 2_000).mismatch;
        panic!("{report}\n{small}");
    }
    assert!(report.requests > seeds as usize * 50);
}

/// A body that the IR's verifier refuses, or that is too large, is interpreted: then the modes that
/// should run code would compare the interpreter with itself. So is one for which other code was found
/// than compiling it gives, as builds with debug assertions make sure of.
#[test]
fn every_shape_has_code() {
    on_large_stack(check_shapes);
}

fn check_shapes() {
    // As long as they are there the code of one may be found for another.
    let mut engines = Vec::new();
    for seed in 0..100 {
        let world = generate(seed, &Knobs::default())
            .load()
            .expect("loads")
            .world;
        let mut builder = Engine::builder()
            .policies(&world.policies)
            .entities(world.entities.clone());
        if let Some(SchemaText::Json(text)) = &world.texts.schema {
            builder = builder.schema_json(text);
        }
        let engine = builder.build().expect("builds");
        let stats = engine.stats();
        assert_eq!(stats.native_shapes, stats.shapes, "seed {seed}");
        engines.push(engine);
    }
}

/// Every outcome must be frequent, or the differential test compares little.
#[test]
fn worlds_are_mixed() {
    let report = run(0..60, threads(), &CedarEngine, &[], &Knobs::default());
    assert_eq!(report.rejections, [], "every generated world must load");
    let tenth = report.requests / 10;
    assert!(report.allows > tenth, "too few allowed: {report}");
    assert!(report.denies > tenth, "too few denied: {report}");
    assert!(report.errors > tenth, "too few with errors: {report}");
    assert!(report.refused > 0, "no invalid request: {report}");
    assert!(report.skipped * 100 < report.requests, "{report}");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let knobs = Knobs::default();
    for seed in 0..20 {
        assert_eq!(generate(seed, &knobs), generate(seed, &knobs));
    }
    assert_ne!(generate(1, &knobs), generate(2, &knobs));
}

#[test]
fn worlds_have_everything() {
    let cases: Vec<Case> = (0..400)
        .map(|seed| generate(seed, &Knobs::default()))
        .collect();
    let policies: Vec<&str> = cases.iter().flat_map(|case| case.policies.iter()).collect();
    let missing: Vec<&&str> = LANGUAGE
        .iter()
        .filter(|construct| !policies.iter().any(|policy| policy.contains(**construct)))
        .collect();
    assert!(missing.is_empty(), "never generated: {missing:?}");
    for constructor in ["decimal(", "ip(", "datetime(", "duration("] {
        let reads = |policy: &&str| {
            let mut arguments = policy.split(constructor).skip(1);
            arguments.any(|rest| !rest.starts_with('"'))
        };
        assert!(
            policies.iter().any(reads),
            "{constructor}…) takes only constants"
        );
    }
    let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
    let everywhere: &[(&str, usize)] = &[
        ("schema", count(&|case| case.schema.is_some())),
        ("no schema", count(&|case| case.schema.is_none())),
        ("links", count(&|case| !case.links.is_empty())),
        ("one policy", count(&|case| case.policies.len() == 1)),
        ("many policies", count(&|case| case.policies.len() > 20)),
        ("tags", count(&|case| in_entities(case, "\"tags\": {"))),
        (
            "explicit uids",
            count(&|case| in_entities(case, "__entity")),
        ),
        (
            "explicit extension values",
            count(&|case| in_entities(case, "__extn")),
        ),
        (
            "two-argument calls",
            count(&|case| in_entities(case, "\"args\"")),
        ),
        (
            "implicit calls",
            count(&|case| in_entities(case, ": {\"fn\"")),
        ),
        ("namespaces", count(&|case| in_schema(case, "\"App\": "))),
        ("enumerations", count(&|case| in_schema(case, "\"enum\""))),
        (
            "action groups",
            count(&|case| in_schema(case, "\"memberOf\": [{")),
        ),
        (
            "optional attributes",
            count(&|case| in_schema(case, "\"required\": false")),
        ),
    ];
    for (what, count) in everywhere {
        assert!(*count > 0, "no world with {what}");
    }
}

fn in_entities(case: &Case, text: &str) -> bool {
    case.entities.iter().any(|entity| entity.contains(text))
}

fn in_schema(case: &Case, text: &str) -> bool {
    let schema = case.schema.as_deref();
    schema.is_some_and(|schema| schema.contains(text))
}

/// How each construct of the language looks in a policy.
#[rustfmt::skip]
const LANGUAGE: &[&str] = &[
    // Policies and scopes.
    "permit(", "forbid(", "when {", "unless {", "@note", "@if",
    "principal,", "principal == ", "principal in ", "principal is ",
    "principal == ?principal", "principal in ?principal", " in ?principal,",
    "action,", "action == ", "action in [", "action in []", "action in Action",
    "resource)", "resource == ", "resource in ", "resource is ",
    "resource == ?resource", "resource in ?resource",
    // Literals and variables.
    "true", "false", " 1", "9223372036854775807", "(-9223372036854775808)", "\"\"", "\\u{", "\\0",
    "::\"", "principal.", "resource.", "context.", "context[", "context)",
    // Operators.
    " && ", " || ", "(!", "(-", " == ", " != ", " < ", " <= ", " > ", " >= ",
    " + ", " - ", " * ", " in ", " has ", " has \"", " like \"", "\\*", " is ",
    "(context ", "(if ", " then ", " else ", "[]", "{}", "[\"if\"]", "({",
    ".contains(", ".containsAll(", ".containsAny(", ".isEmpty()", ".hasTag(", ".getTag(",
    // Extension functions.
    "decimal(\"", "ip(\"", "datetime(\"", "duration(\"",
    ".lessThan(", ".lessThanOrEqual(", ".greaterThan(", ".greaterThanOrEqual(",
    ".isIpv4()", ".isIpv6()", ".isLoopback()", ".isMulticast()", ".isInRange(",
    ".offset(", ".durationSince(", ".toDate()", ".toTime()", ".toMilliseconds()",
    ".toSeconds()", ".toMinutes()", ".toHours()", ".toDays()",
];

#[test]
fn policies_read_the_request() {
    // Hundreds of policies of one world would count for too much.
    let knobs = Knobs {
        many_policies: 0,
        link_farms: 0,
        constant_farms: 0,
        ..Knobs::default()
    };
    let cases = (0..200).map(|seed| generate(seed, &knobs));
    let policies: Vec<String> = cases
        .flat_map(|case| case.policies.iter().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    for variable in ["principal.", "resource.", "context."] {
        let reading = policies.iter().filter(|p| p.contains(variable)).count();
        assert!(reading * 10 > policies.len(), "{variable} is read rarely");
    }
}

#[test]
fn paths_and_chains_are_long_enough() {
    let cases: Vec<Case> = (0..300)
        .map(|seed| generate(seed, &Knobs::default()))
        .collect();
    let policies = || cases.iter().flat_map(|case| case.policies.iter());
    let has_path = |policy: &str| {
        let mut after = policy.split(" has ").skip(1);
        after.any(|rest| {
            let path = rest.split([' ', ')']).next().unwrap_or_default();
            path.contains('.') && !path.contains('"')
        })
    };
    assert!(policies().any(has_path));
    assert!(policies().any(|policy| policy.matches(" && ").count() > 60));
    assert!(policies().any(|policy| policy.matches(" || ").count() > 60));
    assert!(policies().any(|policy| policy.contains("].contains(") && policy.len() > 800));
}

/// cedar-policy with a fault: of several reasons it names only the first.
struct Faulty;

struct LoadedFaulty(Box<dyn Loaded>);

impl TestEngine for Faulty {
    fn modes(&self) -> Vec<&'static str> {
        vec!["faulty"]
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        Ok(Box::new(LoadedFaulty(CedarEngine.load(world)?)))
    }
}

impl Loaded for LoadedFaulty {
    fn authorize(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        self.0.authorize(request, &mut |_, given| {
            let mut verdict = Verdict::from(given);
            if let Ok(answer) = &mut verdict
                && answer.decision == Decision::Deny
            {
                answer.reasons = answer.reasons.iter().take(1).cloned().collect();
            }
            answers("faulty", verdict.into());
        });
    }
}

#[test]
fn a_wrong_engine_is_caught_and_its_case_shrinks() {
    let engines: Vec<Box<dyn TestEngine>> = vec![Box::new(CedarEngine), Box::new(Faulty)];
    let report = run(0..120, threads(), &CedarEngine, &engines, &Knobs::default());
    let mismatch = report.mismatches.first().expect("the fault shows");
    assert_eq!(mismatch.engine, "faulty");
    let small = shrink(mismatch, &CedarEngine, &engines, 2_000).mismatch;
    let case = &small.case;
    // Two forbids, or two links of one template, are what it takes.
    assert!(case.policies.len() <= 2, "{small}");
    assert!(case.entities.len() <= 1, "{small}");
    assert!(case.entities.iter().all(|e| e.contains("\"attrs\":{}")));
    assert_eq!(case.requests.len(), 1, "{small}");
    assert!(case.policies.iter().all(|p| !p.contains("when")), "{small}");
    assert!(
        matches!(&small.difference, Difference::Answer { expected: Ok(answer), .. }
        if answer.reasons.len() == 2)
    );
    let shown = small.to_string();
    assert!(shown.contains("--- cedar-policy") && shown.contains("--- faulty"));
    assert!(shown.contains("forbid"));
}

#[test]
fn a_mismatch_becomes_a_test_folder() {
    let engines: Vec<Box<dyn TestEngine>> = vec![Box::new(Faulty)];
    let knobs = Knobs {
        templates: 60,
        spoiled_requests: 0,
        ..Knobs::calm()
    };
    let report = run(0..60, threads(), &CedarEngine, &engines, &knobs);
    let mismatch = report.mismatches.first().expect("the fault shows");
    let mut mismatches = report.mismatches.iter();
    let linked = |mismatch: &&Mismatch| !mismatch.case.links.is_empty();
    let mismatch = mismatches.find(linked).unwrap_or(mismatch);
    assert!(mismatch.case.schema.is_some());
    assert!(!mismatch.case.links.is_empty());
    let folder = std::env::temp_dir().join(format!("cedarjit-differential-{}", std::process::id()));
    mismatch.write(&folder, "faulty").expect("writes");
    let text = std::fs::read_to_string(folder.join("faulty.json")).expect("reads");
    let test: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
    for file in ["policies", "entities", "schema"] {
        let path = test[file].as_str().expect("names a file");
        assert!(folder.join(path).is_file());
    }
    let request = &test["requests"][0];
    assert_eq!(request["decision"], "deny");
    assert!(request["reason"].as_array().expect("reasons").len() > 1);
    assert!(request["principal"]["type"].is_string());
    // The folder replays the mismatch, and passes on engines that are right.
    let suites = [Suite::open(&folder.join("faulty.json")).expect("is a test")];
    let plan = Plan::new(&suites, &Selection::default());
    let replayed = conformance::run(&plan, &self::engines(), NonZero::<usize>::MIN, &());
    assert!(replayed.passed(), "{:?}", replayed.mismatches);
    let replayed = conformance::run(&plan, &engines, NonZero::<usize>::MIN, &());
    assert_eq!(replayed.mismatches.len(), 1);
    std::fs::remove_dir_all(&folder).expect("removes");
}
