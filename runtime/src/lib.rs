//! A compiled policy decision engine for Cedar.

#![forbid(unsafe_code)]

mod conform;
mod engine;
pub mod error;
mod evaluate;
mod index;
pub mod interpreter;
mod native;
mod policies;
pub mod request;
mod response;
mod snapshot;
pub mod store;
mod symbols;
pub mod values;

pub use cedar_policy::Decision;
pub use engine::{
    BuildError, Engine, EngineBuilder, InterpretedBecause, JitMode, Stats, Tier, UpdateError,
};
pub use error::{ErrorKind, EvalError};
pub use evaluate::{Evaluation, Scratch};
pub use index::{Posting, Side};
pub use request::RequestError;
pub use response::{Diagnostics, PolicyError, Response};
pub use snapshot::{BoundRequest, Explanation, Snapshot};
