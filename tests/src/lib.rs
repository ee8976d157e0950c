//! What cedarjit is tested with: one interface to every engine, the public conformance suite's
//! runner, generators of random worlds and the differential test.

#![forbid(unsafe_code)]

pub mod conformance;
pub mod differential;
pub mod documents;
pub mod engines;
pub mod fuzz;
#[path = "gen/mod.rs"]
pub mod generator;
pub mod stack;
