//! Questions about Cedar policies that are answered for every request at once.
//!
//! [`analyze`] asks what a policy set always does: whether a policy can fail, whether it can ever be
//! satisfied, whether a set allows or denies everything, how two sets stand to each other. [`diff`]
//! says what a change of policies changes. [`prove`] says whether what an engine made of policies means
//! what they say. Each answer is either proved by an SMT solver for all requests of a request
//! environment (a type of principal, an action and a type of resource that the schema joins), or
//! refuted by a concrete request and entities, which cedar-policy has judged again before they are
//! shown, or not known, with the reason.
//!
//! cedar-policy-symcc translates policies to SMT terms; the solver is cvc5, a program of its own.

#![forbid(unsafe_code)]

mod analyze;
mod diff;
mod environment;
mod example;
mod prove;
mod solver;
mod subject;

pub use analyze::{Analysis, Answered, Question, Scope, analyze};
pub use diff::{Change, Diff, EnvironmentChange, diff};
pub use environment::Environment;
pub use example::{Answer, Example, Judged, NotKnown};
pub use prove::{Proof, Proofs, prove};
pub use solver::{DEFAULT_TIME_LIMIT, NoSolver, Solver};
pub use subject::{NotAnalysable, Subject};
