//! Planted mistakes of conversion, lowering and folding, which proving must refute with a request to
//! which the engine's answer really is wrong. Needs cvc5, and says so where there is none.

use cedar_policy::{Authorizer, Context, Entities, PolicySet, Request, Schema};
use cedarjit::{Engine, EngineBuilder, Scratch};
use cedarjit_analysis::{Answer, DEFAULT_TIME_LIMIT, Example, Proofs, Solver, Subject, prove};
use cedarjit_ir::fault::{Fault, plant};
use std::collections::BTreeSet;

const SCHEMA: &str = r#"
    entity Group in [Group];
    entity User in [Group] { age: Long, name: String };
    entity Robot in [Group] { age: Long, name: String };
    entity Doc { open: Bool, title: String };
    action read;
    action write;
    action view, list in [read, write] appliesTo {
        principal: [User, Robot],
        resource: Doc,
        context: { n: Long, a?: { b?: { c?: Long } } },
    };
"#;

/// Each mistake, and policies that it makes something else of.
const MISTAKES: &[(Fault, &str)] = &[
    (
        Fault::ConstantIfTakesElse,
        "permit (principal, action, resource) when { if true then resource.open else false };",
    ),
    (
        Fault::OrDropsFailing,
        "permit (principal, action, resource) when { context.n + 1 > 0 || true };",
    ),
    (
        Fault::FoldSubSwapped,
        "permit (principal, action, resource) when { context.n > 5 - 3 };",
    ),
    (
        Fault::FoldMulWraps,
        "permit (principal, action, resource) when { context.n > 9223372036854775807 * 3 };",
    ),
    (
        Fault::FoldContainsAnyFirst,
        "permit (principal, action, resource) when { [1, 5].containsAny([3, 5]) && resource.open };",
    ),
    (
        Fault::FoldSetDuplicates,
        "permit (principal, action, resource) when { [1, 1] == [1] && resource.open };",
    ),
    (
        Fault::IsInLosesType,
        r#"permit (principal, action, resource) when { principal is User in Group::"g" };"#,
    ),
    (
        Fault::HasPathTail,
        "permit (principal, action, resource) when { context has a.b.c };",
    ),
    (
        Fault::LaterClauseKind,
        "permit (principal, action, resource) when { resource.open } unless { context.n > 3 };",
    ),
    (
        Fault::ChainOperandOrder,
        "permit (principal, action, resource) when { context.n + 1 > 0 && resource.open };",
    ),
    (
        Fault::EscapedStarIsWildcard,
        r#"permit (principal, action, resource) when { resource.title like "a\*b" };"#,
    ),
    (
        Fault::ConstantsShared,
        "permit (principal, action, resource) when { context.n > 1 && context.n < 5 };
         permit (principal, action, resource) when { context.n > 1 && context.n < 7 };",
    ),
    (
        Fault::PatternByText,
        r#"permit (principal, action, resource) when { resource.title like "a*b" };
           permit (principal, action, resource) when { resource.title like "ab*" };"#,
    ),
];

fn builder(policies: &PolicySet) -> EngineBuilder {
    Engine::builder().policies(policies).schema_str(SCHEMA)
}

fn compare(policies: &PolicySet, solver: &mut Solver) -> Proofs {
    let schema = Schema::from_cedarschema_str(SCHEMA).expect("a schema").0;
    let subject = Subject::new(policies).expect("static policies");
    let engine = builder(policies).build().expect("an engine");
    let made = engine.snapshot().compiled_conditions();
    let made = made.into_iter().map(|made| (made.policy, made.expression));
    prove(&subject, &made.collect(), &schema, solver, |_| {})
}

/// Whether the engine and cedar-policy answer an example differently.
fn answers_differ(policies: &PolicySet, example: &Example) -> bool {
    let Example {
        principal,
        action,
        resource,
        context,
        entities,
        ..
    } = example;
    let schema = Schema::from_cedarschema_str(SCHEMA).expect("a schema").0;
    let uids = [principal, action, resource].map(|uid| uid.parse().expect("a uid"));
    let [p, a, r] = uids;
    let context =
        Context::from_json_value(context.clone(), Some((&schema, &a))).expect("a context");
    let request = Request::new(p, a, r, context, Some(&schema)).expect("a request");
    let world = Entities::from_json_value(entities.clone(), Some(&schema)).expect("entities");
    let response = Authorizer::new().is_authorized(&request, policies, &world);
    let diagnostics = response.diagnostics();
    let expected: (BTreeSet<String>, usize) = (
        diagnostics.reason().map(ToString::to_string).collect(),
        diagnostics.errors().count(),
    );
    let engine = builder(policies)
        .entities(world)
        .build()
        .expect("an engine");
    let bound = engine.snapshot().bind(&request).expect("a request");
    let mut scratch = Scratch::default();
    let evaluation = bound.evaluate(&mut scratch);
    let given = (
        evaluation.reasons().map(str::to_owned).collect(),
        evaluation.failed().count(),
    );
    expected != given || response.decision() != evaluation.decision()
}

/// Faults are planted in the whole process, so everything is one test.
#[test]
fn planted_mistakes_are_refuted() {
    let mut solver = match Solver::start(None, DEFAULT_TIME_LIMIT) {
        Ok(solver) => solver,
        Err(error) if std::env::var_os("CEDARJIT_REQUIRE_CVC5").is_none() => {
            eprintln!("SKIPPED: {error}; install cvc5 or name it in CVC5");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for (fault, text) in MISTAKES {
        let policies: PolicySet = text.parse().expect("policies");
        let all = compare(&policies, &mut solver).counts();
        assert!(
            all.0 > 0 && (all.1, all.2) == (0, 0),
            "without {fault:?}: {all:?}"
        );
        plant(Some(*fault));
        let proofs = compare(&policies, &mut solver);
        let refuted = proofs.proofs.iter().find_map(|proof| match &proof.answer {
            Answer::No(example) => Some(example),
            _ => None,
        });
        let example = refuted.unwrap_or_else(|| panic!("{fault:?} is not refuted: {proofs:?}"));
        assert!(answers_differ(&policies, example), "{fault:?}: {example:?}");
        plant(None);
        println!("{fault:?}: {:?}", proofs.counts());
    }
}
