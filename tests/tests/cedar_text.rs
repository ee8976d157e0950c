//! HIR written as Cedar text is the same HIR when it is read again.

use cedarjit_frontend::hir::{AsCedar, Policy};
use cedarjit_frontend::load::{load_policies, parse_policies};
use cedarjit_ir::interner::Interner;
use cedarjit_tests::generator::{Knobs, generate};
use cedarjit_tests::stack::on_large_stack;
use std::collections::HashSet;
use std::sync::Arc;

const SEEDS: u64 = 100;

/// Everything about a policy but its id.
fn without_id(policy: &Policy) -> Policy {
    Policy {
        id: Default::default(),
        ..policy.clone()
    }
}

/// Reads what was written of a policy.
fn read(text: &str, interner: &mut Interner) -> Policy {
    let set = parse_policies(text, "a policy").unwrap_or_else(|error| panic!("{error}: {text}"));
    let loaded = load_policies(&set, interner).expect("it was loaded before");
    let all = loaded
        .templates
        .iter()
        .chain(loaded.policies.iter().map(|bound| &bound.policy));
    without_id(all.last().expect("one policy"))
}

#[test]
fn generated_policies_are_read_as_they_were_written() {
    on_large_stack(|| {
        let mut compared = 0;
        for seed in 0..SEEDS {
            let Ok(case) = generate(seed, &Knobs::default()).load() else {
                continue;
            };
            let mut interner = Interner::new();
            let Ok(loaded) = load_policies(&case.world.policies, &mut interner) else {
                continue;
            };
            let bound = loaded.policies.iter().map(|bound| &bound.policy);
            let mut seen = HashSet::new();
            for policy in loaded.templates.iter().chain(bound) {
                if !seen.insert(Arc::as_ptr(policy)) {
                    continue;
                }
                let text = AsCedar {
                    policy,
                    interner: &interner,
                }
                .to_string();
                let again = read(&text, &mut interner);
                assert_eq!(again, without_id(policy), "seed {seed}: {text}");
                compared += 1;
            }
        }
        assert!(compared > 300, "{compared}");
    });
}
