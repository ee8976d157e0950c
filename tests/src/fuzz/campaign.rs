//! Whole generated worlds.

use crate::differential::{campaign, run_bytes};
use crate::engines::CedarEngine;
use crate::generator::{Knobs, Rng};
use std::num::NonZero;

/// As in a long campaign: the ways to ask that spend their time in parsers get some of the requests.
const SAMPLE: NonZero<usize> = NonZero::new(8).unwrap();

/// Worlds small enough that an input takes some milliseconds.
fn knobs() -> Knobs {
    let mut knobs = Knobs {
        many_policies: 0,
        ..Knobs::default()
    };
    knobs.sizes.policies = 3;
    knobs.sizes.entities = 12;
    knobs.sizes.nodes = 16;
    knobs.sizes.min_requests = 12;
    knobs.sizes.max_requests = 30;
    knobs
}

/// A world that cedar-policy refuses says something about the generator, not about an engine; the
/// differential test sees to it that this does not happen.
pub(super) fn run(data: &[u8]) {
    let engines = campaign::engines(SAMPLE);
    let outcome = run_bytes(data, &CedarEngine, &engines, &knobs());
    if let Some(mismatch) = outcome.mismatches.first() {
        panic!("{mismatch}");
    }
}

/// Choices of increasing number.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut rng = Rng::new(1);
    (0..32)
        .map(|i| (0..i * 32).map(|_| rng.below(256) as u8).collect())
        .collect()
}
