//! The engine: building one, asking it, changing it.

mod build;
mod policies;
mod tier;
mod transaction;
mod update;

pub use build::{BuildError, EngineBuilder};
pub use tier::{CompileMode, InterpretedBecause, JitMode, Stats, Tier};
pub use transaction::Transaction;
pub use update::UpdateError;

use crate::check::Checker;
use crate::response::Response;
use crate::saved::{self, SaveError, SavedError};
use crate::snapshot::Snapshot;
use crate::store::{Children, LiveBytes};
use arc_swap::ArcSwap;
use cedar_policy::{PolicySet, Request};
use smol_str::SmolStr;
use std::collections::HashSet;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A policy decision engine: policies, entities and, where there is one, a schema, compiled.
///
/// Clones are handles to the same engine; they are cheap, and any number of threads may use them.
/// Readers see one immutable [`Snapshot`] for each decision and never wait. A change builds the
/// next snapshot and then puts it in place for all handles at once.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

struct Shared {
    current: ArcSwap<Snapshot>,
    /// What the next snapshot is built from; held by whoever changes the engine.
    source: Mutex<Source>,
}

struct Source {
    /// Templates and static policies. Links are many, and all there is to them is in the snapshot.
    policies: PolicySet,
    jit: JitMode,
    compile: CompileMode,
    index: bool,
    check: Option<Arc<Checker>>,
    /// The ids of policies that are to be interpreted.
    interpreted: HashSet<SmolStr>,
    /// The hierarchy of the current state's entities upside down, once a change has needed it.
    children: Option<Children>,
    /// How large the current state's tables were when they held no garbage.
    live: LiveBytes,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Engine")
            .field("tier", &snapshot.tier())
            .field("stats", &snapshot.stats())
            .finish()
    }
}

impl Engine {
    /// Starts building an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Decides a request, with full diagnostics.
    ///
    /// The answer is the one that `cedar_policy::Authorizer::is_authorized` gives for the same
    /// policies and entities. To decide many requests fast, [bind](Snapshot::bind) them and
    /// evaluate with a [`Scratch`](crate::Scratch) of your own.
    pub fn is_authorized(&self, request: &Request) -> Response {
        self.snapshot().is_authorized(request)
    }

    /// The current state, to make several decisions on one state.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    pub(crate) fn current(&self) -> &ArcSwap<Snapshot> {
        &self.shared.current
    }

    /// How policies are evaluated: by native code or by the interpreter, and then why.
    pub fn tier(&self) -> Tier {
        self.snapshot().tier()
    }

    /// What the current state came to, and how far code generation has got. O(shapes).
    pub fn stats(&self) -> Stats {
        self.snapshot().stats()
    }

    /// Waits until the code of the current state is there, as far as it can be; helps to generate
    /// it. Returns at once where nothing is pending, as it is with [`CompileMode::Wait`].
    ///
    /// Who changes the engine meanwhile does not make this wait for the new state's code.
    pub fn wait_native(&self) {
        self.snapshot().compile_now();
    }

    /// Waits until every decision that was drawn for a [check](crate::SelfCheck) so far is checked.
    /// Returns at once if the engine does not check itself.
    pub fn wait_checked(&self) {
        if let Some(check) = &self.snapshot().check {
            check.wait();
        }
    }

    /// Writes what the engine holds, to be [loaded](Self::load) again: the entities, the policies with
    /// their links, and the schema, but no code. Engines that came about in the same way write the
    /// same bytes.
    ///
    /// # Errors
    /// When `sink` fails, the schema was given as a value, or a policy cannot be written as text.
    pub fn save(&self, sink: impl Write) -> Result<(), SaveError> {
        let source = self.source();
        // Both are of one state, since whoever changes it holds the source.
        let snapshot = self.snapshot();
        let policies = saved::policies(&source.policies, &snapshot)?;
        drop(source);
        saved::write(&snapshot, &policies, sink)
    }

    /// Loads an engine that was [saved](Self::save): [`EngineBuilder::load`] with nothing said
    /// before.
    ///
    /// # Errors
    /// As there.
    pub fn load(file: &[u8]) -> Result<Self, SavedError> {
        Self::builder().load(file)
    }

    /// As [`load`](Self::load), of a file that is trusted: [`EngineBuilder::load_trusted`] with nothing
    /// said before.
    ///
    /// # Errors
    /// As there.
    pub fn load_trusted(file: &[u8]) -> Result<Self, SavedError> {
        Self::builder().load_trusted(file)
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // A transaction that panicked has undone what it did.
        (self.shared.source)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a state in place, once it has its code or while that is generated.
    fn publish(&self, next: Arc<Snapshot>, compile: CompileMode) {
        // Most changes are of entities, and need no code.
        if next.compilation.is_pending() {
            start(&next, compile);
        }
        self.shared.current.store(next);
    }
}

/// Generates a state's code, or starts to.
fn start(snapshot: &Arc<Snapshot>, compile: CompileMode) {
    match compile {
        CompileMode::Wait => snapshot.compile_now(),
        CompileMode::Background => snapshot.compile_in_background(),
    }
}
