//! Code for other processors: every shape of generated worlds, alone, fused and for many entities. It
//! is verified and compiled, and cannot be run here.
//!
//! `CEDARJIT_TARGET_SEEDS` says how many worlds are compiled.

use cedarjit::Engine;
use cedarjit_jit::{CompileError, Listing, OtherTarget};
use cedarjit_tests::engines::SchemaText;
use cedarjit_tests::generator::{Knobs, LoadedCase, generate};
use cedarjit_tests::stack::on_large_stack;
use std::collections::BTreeMap;

const SEEDS: u64 = 40;

/// How many requests of a world have fused code listed.
const FUSED: usize = 8;

/// Little-endian machines of 64 bits, which the ABI is for. The last one has no vectors.
const TARGETS: [&str; 3] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "riscv64gc-unknown-linux-gnu",
];

/// What is listed of each world: shapes alone, fused, and for many entities, with answers looked up and
/// without.
const KINDS: [&str; 6] = [
    "alone",
    "fused",
    "principals",
    "principals, looked up",
    "resources",
    "resources, looked up",
];

fn engine(case: &LoadedCase) -> Option<Engine> {
    let world = &case.world;
    let builder = Engine::builder()
        .policies(&world.policies)
        .entities(world.entities.clone());
    let builder = match &world.texts.schema {
        Some(SchemaText::Cedar(text)) => builder.schema_str(text),
        Some(SchemaText::Json(text)) => builder.schema_json(text),
        None => builder,
    };
    builder.build().ok()
}

/// Counts what was compiled, and fails at what could not be.
#[derive(Default)]
struct Compiled(BTreeMap<&'static str, usize>);

impl Compiled {
    fn add(&mut self, what: &'static str, listing: Result<Listing, CompileError>) {
        match listing {
            Ok(listing) => assert!(listing.code_size > 0),
            Err(error) => panic!("{what}: {error}: {:?}", std::error::Error::source(&error)),
        }
        *self.0.entry(what).or_default() += 1;
    }
}

#[test]
fn every_shape_has_code_for_every_target() {
    let seeds = std::env::var("CEDARJIT_TARGET_SEEDS").ok();
    let seeds = seeds.map_or(SEEDS, |seeds| seeds.parse().expect("a number"));
    on_large_stack(|| {
        for triple in TARGETS {
            let target = OtherTarget::new(triple).expect("a target");
            let mut compiled = Compiled::default();
            for seed in 0..seeds {
                let Ok(case) = generate(seed, &Knobs::default()).load() else {
                    continue;
                };
                let Some(engine) = engine(&case) else {
                    continue;
                };
                let snapshot = engine.snapshot();
                for listing in snapshot.listings_on(&target) {
                    compiled.add("alone", listing);
                }
                let parsed = case.requests.iter().filter_map(|r| r.parsed.as_ref().ok());
                for request in parsed.take(FUSED) {
                    let Ok(bound) = snapshot.bind(request) else {
                        continue;
                    };
                    for (what, listing) in bound.listings_on(&target) {
                        compiled.add(what, listing);
                    }
                }
            }
            println!("{triple}: {:?}", compiled.0);
            let kinds: Vec<&str> = compiled.0.into_keys().collect();
            assert_eq!(kinds, KINDS, "{triple}");
        }
    });
}
