//! Deciding some requests a second time, by the interpreter, while an engine is in use.
//!
//! Tests show that compiled code answers as the interpreter does wherever they looked. An engine that
//! [checks itself](SelfCheck) goes on looking: one decision in so many is handed to a thread of its
//! own, which interprets the request on the same state, without the scope index, and compares. If the
//! answers differ, what was wrong is not used again, and the difference is reported and kept.
//!
//! What a check cannot find is what both ways have in common: reading policies, entities and requests.

mod checker;
mod difference;
mod reproduction;
mod sampler;
#[cfg(test)]
mod tests;

pub(crate) use checker::{Checker, Doubts, Given};
pub use difference::{CheckedAnswer, Difference, Remedy};
pub use reproduction::ReproductionError;
pub(crate) use sampler::Sampler;

use crate::engine::Engine;
use checker::Findings;
use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

type Notify = Arc<dyn Fn(&Difference) + Send + Sync>;

/// That an engine is to check itself, and how.
///
/// Of the decisions that are made with compiled code, one in so many on average is made again by the
/// interpreter. The decision is neither changed nor held up: the check is done on a thread that the
/// engine has for this, which uses a quarter of a processor at most. Decisions that come while it is
/// behind are not checked, but counted.
///
/// If a difference is found, it is from then on the interpreter that evaluates the conditions which
/// differed, in this and all later states of the engine, and in an engine in its place that
/// [continues](Self::continuing) its checks; [`Remedy`] says what is done about other differences.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedarjit::{Engine, SelfCheck};
/// use std::num::NonZero;
///
/// let engine = Engine::builder()
///     .policies_str(r#"permit (principal == User::"ann", action, resource);"#)
///     .self_check(
///         SelfCheck::one_in(NonZero::new(1_000).expect("is not zero"))
///             .on_difference(|difference| eprintln!("{difference}")),
///     )
///     .build()?;
/// let mut session = engine.session();
/// for _ in 0..10_000 {
///     session.is_authorized(r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"a""#, "{}", true)?;
/// }
/// engine.wait_checked();
/// let stats = engine.stats().self_check.expect("the engine checks itself");
/// assert_eq!(stats.differences, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SelfCheck {
    every: NonZero<u32>,
    folder: Option<PathBuf>,
    notify: Option<Notify>,
    continued: Option<Arc<Findings>>,
}

impl fmt::Debug for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfCheck")
            .field("every", &self.every)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl SelfCheck {
    /// Checks one in `every` decisions, on average.
    pub fn one_in(every: NonZero<u32>) -> Self {
        Self {
            every,
            folder: None,
            notify: None,
            continued: None,
        }
    }

    /// Does not rely on what the checks of another engine have found to be wrong, and shares with
    /// them what is found from now on: for an engine that is built to take the other's place, as when
    /// policies are loaded anew. Policies of the same id are taken to be the same.
    ///
    /// An engine that does not check itself has found nothing.
    #[must_use]
    pub fn continuing(self, other: &Engine) -> Self {
        let snapshot = other.snapshot();
        let continued = snapshot.check.as_ref().map(|check| check.findings());
        Self { continued, ..self }
    }

    /// Keeps what shows a difference in a folder, which is made if it is missing: a test in the
    /// public format for integration tests, with policies, schema, entities, the request and the
    /// interpreter's answer. `cedarjit conformance FOLDER` replays it.
    ///
    /// All entities are written, so this takes seconds where they are many. An engine writes at most
    /// 16 of them.
    #[must_use]
    pub fn reproductions(self, folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            ..self
        }
    }

    /// Calls this for each difference, on the thread that checks.
    #[must_use]
    pub fn on_difference(self, notify: impl Fn(&Difference) + Send + Sync + 'static) -> Self {
        Self {
            notify: Some(Arc::new(notify)),
            ..self
        }
    }
}

/// What checks have come to since an engine was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelfCheckStats {
    /// Decisions that were made again.
    pub checked: u64,
    /// Decisions that were to be, but came while the queue was full.
    pub dropped: u64,
    /// Decisions that turned out otherwise the second time.
    pub differences: u64,
    /// Policies whose conditions are interpreted since then, and others of the same shape with them.
    pub interpreted_policies: usize,
}
