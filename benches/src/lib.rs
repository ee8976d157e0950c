//! What the Criterion suites, the instruction counts and the comparison with other engines have in
//! common: applications with recorded answers, generated policy sets, and how the engine is asked.

#![forbid(unsafe_code)]

pub mod apps;
pub mod client;
pub mod drive;
pub mod generate;
pub mod questions;
mod random;

/// What goes wrong while a benchmark is set up.
pub type Error = Box<dyn std::error::Error>;
