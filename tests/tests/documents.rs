//! Sound and spoiled documents: the engine takes and refuses what cedar-policy does.

use cedarjit_tests::documents::{DocumentKind, DocumentsOutcome, run_documents};
use cedarjit_tests::generator::Knobs;

const SEEDS: u64 = 120;

#[test]
fn documents_are_taken_and_refused_as_by_cedar_policy() {
    let mut outcome = DocumentsOutcome::default();
    for seed in 0..SEEDS {
        outcome.merge(run_documents(seed, &Knobs::default()));
    }
    println!("{outcome}");
    for kind in DocumentKind::ALL {
        let counts = outcome.counts.get(&kind).copied().unwrap_or_default();
        assert!(counts.accepted > 20, "{kind:?}: too few accepted");
        assert!(counts.refused > 20, "{kind:?}: too few refused");
    }
    if let Some(smallest) = outcome.smallest() {
        panic!("{outcome}\n{smallest}");
    }
}
