//! Whole generated worlds.

use crate::differential::run_case;
use crate::engines::{CedarEngine, engines};
use crate::generator::{Knobs, Rng, generate_from};

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
    let case = generate_from(&mut Rng::from_bytes(data), &knobs());
    // Generating code takes most of the time: one engine that does so for each input.
    let native = ["native", "index-off", "facade"];
    let choice = data
        .last()
        .map_or(0, |byte| usize::from(*byte) % native.len());
    let mut engines = engines();
    engines.retain(|e| e.name() == "interpreter" || native.get(choice) == Some(&e.name()));
    let outcome = run_case(&case, &CedarEngine, &engines);
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
