//! What generated worlds execute: every construct, with every outcome that it can have.

use cedarjit::Engine;
use cedarjit::Scratch;
use cedarjit::coverage::Coverage;
use cedarjit_tests::generator::{Case, Knobs, generate};

/// How many worlds are enough for everything to have happened.
const SEEDS: u64 = 900;

/// What the interpreter and compiled code execute to answer the requests of a case.
fn observe(case: &Case, coverage: &mut Coverage) {
    let loaded = case.load().expect("every generated world loads");
    let world = &loaded.world;
    let builder = Engine::builder()
        .policies(&world.policies)
        .entities(world.entities.clone());
    let builder = match &world.schema {
        Some(schema) => builder.schema(schema),
        None => builder,
    };
    let snapshot = builder.build().expect("the engine takes it").snapshot();
    let mut scratch = Scratch::default();
    for r in &loaded.requests {
        let bound =
            snapshot.bind_json(&r.principal, &r.action, &r.resource, &r.context, r.validate);
        let Ok(bound) = bound else {
            continue;
        };
        let native = bound.evaluate_observed(&mut scratch, coverage).decision();
        let interpreted = bound.interpret_observed(&mut scratch, coverage).decision();
        assert_eq!(native, interpreted);
    }
}

/// Two of three worlds have more of what is rare.
fn knobs(seed: u64) -> Knobs {
    let base = Knobs::default();
    match seed % 3 {
        0 => base,
        1 => Knobs {
            extensions: 95,
            computed_calls: 80,
            wrong_arity: 40,
            tags: 60,
            equality: 2,
            ordering: 2,
            membership: 2,
            type_tests: 5,
            like: 5,
            reads: 2,
            has: 5,
            set_operators: 5,
            dynamic: 5,
            logic: 20,
            long_chains: 0,
            bad_extensions: 5,
            ..base
        },
        _ => Knobs {
            dynamic: 40,
            ill_typed: 10,
            large_sets: 90,
            missing_attributes: 40,
            overflow: 40,
            set_operators: 60,
            tags: 60,
            ..base
        },
    }
}

#[test]
fn generated_worlds_execute_everything() {
    let mut coverage = Coverage::default();
    for seed in 0..SEEDS {
        observe(&generate(seed, &knobs(seed)), &mut coverage);
    }
    println!("{coverage}");
    let missing = coverage.missing();
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    assert!(missing.is_empty(), "never executed: {missing:#?}");
}
