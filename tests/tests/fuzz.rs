//! The fuzz targets' bodies on their seeds and on some mutations of them: a bounded run without a
//! fuzzer.
//!
//! `CEDARJIT_FUZZ_CORPUS=folder` also writes the seeds, each target's into a folder of its name,
//! for the fuzzer to start from.

use cedarjit_tests::fuzz::{TARGETS, Target};
use cedarjit_tests::generator::Rng;
use std::path::Path;

/// How many mutations each target gets.
const MUTATIONS: usize = if cfg!(debug_assertions) { 60 } else { 400 };

/// `seed` with some bytes replaced, inserted or removed, or with a part of another seed in it.
fn mutate(rng: &mut Rng, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=rng.below(4) {
        let at = rng.below(data.len() + 1);
        let byte = match rng.below(3) {
            0 => rng.below(256) as u8,
            _ => rng.pick(other).copied().unwrap_or(b'"'),
        };
        match rng.below(4) {
            0 if at < data.len() => data[at] = byte,
            1 if at < data.len() => drop(data.remove(at)),
            2 => {
                let from = rng.below(other.len());
                let to = other.len().min(from + rng.below(24));
                data.splice(at..at, other[from..to].iter().copied());
            }
            _ => data.insert(at, byte),
        }
    }
    data
}

fn smoke(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty());
    for seed in &seeds {
        (target.run)(seed);
    }
    let mut rng = Rng::new(17);
    for _ in 0..MUTATIONS {
        let (seed, other) = (rng.pick(&seeds).unwrap(), rng.pick(&seeds).unwrap());
        let data = mutate(&mut rng.clone(), seed, other);
        rng.bits();
        (target.run)(&data);
    }
    (target.run)(&[]);
}

#[test]
fn campaign() {
    smoke("campaign");
}

#[test]
fn policies() {
    smoke("policies");
}

#[test]
fn data() {
    smoke("data");
}

#[test]
fn ir() {
    smoke("ir");
}

#[test]
fn extensions() {
    smoke("extensions");
}

#[test]
fn saved() {
    smoke("saved");
}

/// Seeds that nothing accepts would start a fuzzer nowhere.
#[test]
fn seeds() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(seeds.len() >= 8, "{}: {} seeds", target.name, seeds.len());
        let Some(corpus) = std::env::var_os("CEDARJIT_FUZZ_CORPUS") else {
            continue;
        };
        let folder = Path::new(&corpus).join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed{number:02}")), seed).unwrap();
        }
    }
}
