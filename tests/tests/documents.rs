//! Sound and spoiled documents: the engine takes and refuses what cedar-policy does.

use cedarjit_tests::documents::{DocumentKind, DocumentsOutcome, run_documents};
use cedarjit_tests::generator::Knobs;
use cedarjit_tests::stack::on_large_stack;

/// How many worlds' documents are spoiled.
const SEEDS: u64 = if cfg!(debug_assertions) { 30 } else { 300 };

/// `CEDARJIT_SEEDS=n` makes it a longer run.
fn seeds() -> u64 {
    let set = std::env::var("CEDARJIT_SEEDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

#[test]
fn documents_are_taken_and_refused_as_by_cedar_policy() {
    on_large_stack(check);
}

fn check() {
    let mut outcome = DocumentsOutcome::default();
    for seed in 0..seeds() {
        outcome.merge(run_documents(seed, &Knobs::default()));
    }
    println!("{outcome}");
    for kind in DocumentKind::ALL {
        let counts = outcome.counts.get(&kind).copied().unwrap_or_default();
        assert!(counts.accepted > 5, "{kind:?}: too few accepted");
        assert!(counts.refused > 5, "{kind:?}: too few refused");
    }
    if let Some(smallest) = outcome.smallest() {
        panic!("{outcome}\n{smallest}");
    }
}
