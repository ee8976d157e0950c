//! IR to native code through Cranelift: code generation, code memory and its lifetime, and the
//! shims through which compiled code calls the runtime.
//!
//! This crate knows neither Cedar's syntax nor how the store is built; what compiled code reads it
//! finds through the [ABI](cedarjit_ir::abi). It is the only crate with unsafe code, in
//! three modules: `unit` owns and frees code memory, `session` calls code and receives its calls,
//! `prepared` calls code on memory that it owns.

mod emit;
mod host;
mod prepared;
mod session;
mod unit;

pub use emit::{
    AttrOf, Attribute, BatchSource, Elements, Facts, FusedPolicy, Lookup, MAX_FUSED, MAX_NODES,
    MAX_STACK_BYTES, Origin, Path, RecordSymbol, Subject, Symbols, Trail, Values,
};
pub use host::Host;
pub use prepared::{About, Answer, BitSets, LocalParts, PreparedFrame, RequestParts, StoreMemory};
pub use session::{FusedOutcomes, Session};
#[cfg(feature = "other-targets")]
pub use unit::OtherTarget;
pub use unit::{
    BatchFunction, CompileError, Compiler, FrameFunction, Function, FusedFunction, Listing,
    Unavailable,
};
