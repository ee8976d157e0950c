//! Bodies of the fuzz targets, as plain functions over bytes.
//!
//! `tests/fuzz` has a target for each of [`TARGETS`], and `tests/tests/fuzz.rs` runs all of them on
//! their seeds and on some mutations of these. A body panics when an engine differs from
//! cedar-policy or a promise of this project is broken; whatever the input is, nothing else may
//! happen.

mod campaign;
mod compare;
mod data;
mod extensions;
mod fixed;
mod ir;
mod policies;
mod saved;
mod worker;

use worker::on_worker;

/// A fuzz target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of the binary in `tests/fuzz`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every fuzz target.
pub const TARGETS: [Target; 6] = [
    Target {
        name: "campaign",
        run: campaign,
        seeds: campaign::seeds,
    },
    Target {
        name: "policies",
        run: policies,
        seeds: policies::seeds,
    },
    Target {
        name: "data",
        run: data,
        seeds: data::seeds,
    },
    Target {
        name: "ir",
        run: ir,
        seeds: ir::seeds,
    },
    Target {
        name: "extensions",
        run: extensions,
        seeds: extensions::seeds,
    },
    Target {
        name: "saved",
        run: saved,
        seeds: saved::seeds,
    },
];

/// The bytes are the choices of the world generator; every engine must answer every request of
/// that world as cedar-policy does.
pub fn campaign(data: &[u8]) {
    on_worker(campaign::run, data);
}

/// The bytes are policies: in Cedar's syntax, in JSON, or templates with links in JSON. They must
/// be accepted or refused as by cedar-policy, and fixed requests be answered alike.
pub fn policies(data: &[u8]) {
    on_worker(policies::run, data);
}

/// The bytes are entities, a schema, a context or a uid. They must be accepted or refused as by
/// cedar-policy, and requests about them be answered alike by fixed policies.
pub fn data(data: &[u8]) {
    on_worker(data::run, data);
}

/// The bytes are the IR's textual form. What parses must print and parse back, and what the
/// verifier accepts must compile and run.
pub fn ir(data: &[u8]) {
    on_worker(ir::run, data);
}

/// The bytes are operands of extension functions and of `like`.
pub fn extensions(data: &[u8]) {
    on_worker(extensions::run, data);
}

/// The bytes are edits of a saved engine. Loading it must neither panic nor take long, and what is
/// loaded must answer alike however it is loaded and evaluated, unless a trusted file is wrong.
pub fn saved(data: &[u8]) {
    on_worker(saved::run, data);
}

/// A mode that the first byte selects among `n`, and the rest.
fn split_mode(data: &[u8], n: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((first % n, rest))
}

/// A seed for mode `mode`.
fn with_mode(mode: u8, text: &str) -> Vec<u8> {
    let mut seed = vec![mode];
    seed.extend_from_slice(text.as_bytes());
    seed
}
