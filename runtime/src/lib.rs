//! A compiled policy decision engine for Cedar.
//!
//! An [`Engine`] holds policies, entities and, where there is one, a schema. It gives the answers of
//! `cedar_policy::Authorizer`, from native code:
//!
//! ```
//! use cedar_policy::{Context, Request};
//! use cedarjit::{Decision, Engine};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::builder()
//!     .policies_str(r#"permit (principal == User::"ann", action, resource);"#)
//!     .build()?;
//! let (ann, view, plan) = (
//!     r#"User::"ann""#.parse()?,
//!     r#"Action::"view""#.parse()?,
//!     r#"Doc::"plan""#.parse()?,
//! );
//! let request = Request::new(ann, view, plan, Context::empty(), None)?;
//! assert_eq!(engine.is_authorized(&request).decision(), Decision::Allow);
//! # Ok(())
//! # }
//! ```
//!
//! To decide many requests, take a [`Snapshot`], bind each request to it once, and evaluate with a
//! [`Scratch`] that is kept: that allocates nothing.

#![forbid(unsafe_code)]

/// Keeps the README's example compiling and true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

mod bind;
mod check;
mod compile;
mod condition;
mod conform;
pub mod coverage;
mod engine;
pub mod entities;
pub mod error;
mod evaluate;
mod facts;
mod fused;
mod index;
pub mod interpreter;
mod jobs;
mod memory;
mod native;
mod outcomes;
mod overlay;
mod policies;
mod query;
mod recent;
pub mod request;
mod response;
mod saved;
mod session;
mod snapshot;
pub mod store;
mod symbols;
#[cfg(feature = "other-targets")]
mod targets;
pub mod values;
mod verdict;

pub use bind::{Binder, BoundRequest};
pub use cedar_policy::Decision;
pub use cedarjit_ir::arena::TableMemory;
pub use check::{CheckedAnswer, Difference, Remedy, ReproductionError, SelfCheck, SelfCheckStats};
pub use condition::CompiledCondition;
pub use engine::{
    BuildError, CompileMode, Engine, EngineBuilder, InterpretedBecause, JitMode, Stats, Tier,
    Transaction, UpdateError,
};
pub use error::{ErrorKind, EvalError};
pub use evaluate::{Evaluation, Scratch};
pub use index::{Posting, Side};
pub use memory::Memory;
pub use overlay::{MAX_OVERLAID, OverlaidRequest, OverlayError};
pub use query::{Allowed, AllowedActions, Batch, Decisions};
pub use request::{EntityHandle, RequestError, Uid};
pub use response::{Diagnostics, PolicyError, Response};
pub use saved::{SaveError, SavedError};
pub use session::Session;
pub use snapshot::{Explanation, Snapshot};
pub use verdict::{PolicyVerdict, Unmet};
