//! The ground that frontend, JIT and runtime share: ids, interner, values and their heap, the
//! typed expression IR with its printer, parser and verifier, and the ABI of compiled code.
//!
//! This crate knows neither Cedar's syntax nor Cranelift.

#![forbid(unsafe_code)]

pub mod abi;
pub mod ahead;
pub mod ancestors;
pub mod arena;
pub mod builder;
pub mod expr;
pub mod ext;
pub mod fault;
pub mod headers;
pub mod heap;
pub mod ids;
pub mod interner;
pub mod pattern;
pub mod saved;
mod seed;
pub mod shape;
pub mod text;
pub mod value;
pub mod verify;

pub use seed::hash_function;
