//! Giving code to the bodies of a snapshot, at once or in the background.
//!
//! A body's code is in a [`CodeCell`], which is filled once and which later snapshots share, so
//! code that was compiled for one snapshot serves the next. What a snapshot lacks when it is built
//! is divided into batches, each of which becomes one unit of code. Whoever takes a batch compiles
//! it: the thread that waits for the code, and the threads of [`jobs`].
//!
//! Two snapshots may compile the same body at the same time; the code that comes second is dropped.
//! Either may be used, since a later snapshot of the same store keeps the numbers that are baked
//! into code (see [`crate::symbols`]).

use crate::engine::{InterpretedBecause, JitMode, Tier};
use crate::jobs;
use crate::policies::{PolicyTable, SharedBody};
use crate::snapshot::Snapshot;
use cedarjit_ir::expr::Body;
use cedarjit_ir::ids::BodyId;
use cedarjit_jit::{CompileError, Compiler, Function, Symbols, Unavailable};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The most bodies in one unit of code. Each unit starts pages of its own.
const BATCH_BODIES: usize = 64;

/// A batch ends with the body that makes it this many nodes: some tens of milliseconds.
const BATCH_NODES: usize = 2_000;

/// A compiler for this processor, shared by all engines.
pub(crate) fn compiler() -> Result<&'static Compiler, Arc<Unavailable>> {
    static COMPILER: OnceLock<Result<Compiler, Arc<Unavailable>>> = OnceLock::new();
    let compiler = COMPILER.get_or_init(|| Compiler::new().map_err(Arc::new));
    compiler.as_ref().map_err(Arc::clone)
}

/// As [`compiler`], without vectors.
fn portable_compiler() -> Result<&'static Compiler, Arc<Unavailable>> {
    static COMPILER: OnceLock<Result<Compiler, Arc<Unavailable>>> = OnceLock::new();
    let compiler = COMPILER.get_or_init(|| Compiler::without_vectors().map_err(Arc::new));
    compiler.as_ref().map_err(Arc::clone)
}

/// Where a body's code is, once there is some.
#[derive(Debug, Default)]
pub(crate) struct CodeCell {
    code: OnceLock<Option<Function>>,
    /// Whether the code is not to be used any more.
    demoted: AtomicBool,
}

impl CodeCell {
    /// The code; `None` if the body is to be interpreted. An acquiring load and a relaxed one.
    #[inline]
    pub(crate) fn get(&self) -> Option<&Function> {
        let code = self.code.get()?.as_ref();
        code.filter(|_| !self.is_demoted())
    }

    /// Whether it is not yet known if there will be code.
    pub(crate) fn is_pending(&self) -> bool {
        self.code.get().is_none()
    }

    /// Whether the body is interpreted since its code gave a wrong answer.
    #[inline]
    pub(crate) fn is_demoted(&self) -> bool {
        self.demoted.load(Ordering::Relaxed)
    }

    /// Has the body interpreted from now on, wherever the cell is shared.
    pub(crate) fn demote(&self) {
        self.demoted.store(true, Ordering::Relaxed);
        self.set(None);
    }

    /// Settles the matter, if nobody has yet.
    fn set(&self, code: Option<Function>) {
        // Whoever came first compiled the same body.
        let _ = self.code.set(code);
    }
}

/// The code generation of one snapshot.
#[derive(Debug)]
pub(crate) struct Compilation {
    /// What to compile with; without it, why nothing is compiled.
    compiler: Result<&'static Compiler, InterpretedBecause>,
    /// The bodies that lacked code when the snapshot was built, those that most policies share
    /// first.
    bodies: Vec<BodyId>,
    /// The parts of `bodies` that are compiled together.
    batches: Vec<Range<usize>>,
    /// The first batch that nobody has taken.
    next: AtomicUsize,
    /// How many batches are done, whatever came of them.
    done: Mutex<usize>,
    one_done: Condvar,
    /// Why code generation was given up.
    failure: OnceLock<Arc<CompileError>>,
    started: OnceLock<Instant>,
    /// When the latest batch was done, in nanoseconds after `started`.
    elapsed: AtomicU64,
}

impl Compilation {
    /// Finds what is to be compiled. Settles which bodies are too large to be.
    pub(crate) fn new(table: &PolicyTable, jit: JitMode) -> Self {
        let compiler = match jit {
            JitMode::Off => Err(InterpretedBecause::Asked),
            JitMode::Auto => compiler().map_err(InterpretedBecause::Unavailable),
            JitMode::Portable => portable_compiler().map_err(InterpretedBecause::Unavailable),
        };
        let mut bodies = Vec::new();
        if let Ok(compiler) = compiler {
            for (i, SharedBody { body, code }) in table.bodies.iter().enumerate() {
                if code.is_pending() && compiler.check(body).is_err() {
                    code.set(None);
                } else if code.is_pending() {
                    bodies.push(BodyId::from_index(i));
                }
            }
        }
        if bodies.len() > BATCH_BODIES {
            let mut sharers = vec![0_u32; table.bodies.len()];
            for body in table.bodies_of_policies() {
                if let Some(count) = sharers.get_mut(body.index()) {
                    *count += 1;
                }
            }
            let count = |body: &BodyId| sharers.get(body.index()).copied().unwrap_or(0);
            bodies.sort_by_key(|body| std::cmp::Reverse(count(body)));
        }
        Self {
            compiler,
            batches: batches(&bodies, table),
            bodies,
            next: AtomicUsize::new(0),
            done: Mutex::new(0),
            one_done: Condvar::new(),
            failure: OnceLock::new(),
            started: OnceLock::new(),
            elapsed: AtomicU64::new(0),
        }
    }

    /// How the snapshot evaluates policies now.
    pub(crate) fn tier(&self) -> Tier {
        match (&self.compiler, self.failure.get()) {
            (Err(because), _) => Tier::Interpreted(because.clone()),
            (_, Some(error)) => Tier::Interpreted(InterpretedBecause::Failed(Arc::clone(error))),
            _ if *self.done() < self.batches.len() => Tier::Compiling,
            _ => Tier::Native,
        }
    }

    /// What code is generated with, unless none is.
    pub(crate) fn compiler(&self) -> Option<&'static Compiler> {
        let failed = self.failure.get().is_some();
        self.compiler.as_ref().ok().copied().filter(|_| !failed)
    }

    /// What code is listed with: what generates it, or would if the engine did not interpret.
    pub(crate) fn lister(&self) -> Result<&'static Compiler, InterpretedBecause> {
        match &self.compiler {
            Err(InterpretedBecause::Asked) => compiler().map_err(InterpretedBecause::Unavailable),
            other => other.clone(),
        }
    }

    /// The time from the start to the latest code.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    /// Whether code is still to come.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.tier(), Tier::Compiling)
    }

    fn done(&self) -> MutexGuard<'_, usize> {
        // A number is never half written.
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles one batch that nobody has taken; `false` if there was none.
    fn step(&self, table: &PolicyTable, symbols: &dyn Symbols) -> bool {
        let Ok(compiler) = self.compiler else {
            return false;
        };
        let taken = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(batch) = self.batches.get(taken) else {
            // Far from wrapping around: every thread stops here.
            return false;
        };
        let started = self.started.get_or_init(Instant::now);
        if self.failure.get().is_none() {
            let bodies = self.bodies.get(batch.clone()).unwrap_or(&[]);
            let bodies = bodies.iter().filter_map(|id| table.bodies.get(id.index()));
            let pending: Vec<&SharedBody> = bodies.filter(|b| b.code.is_pending()).collect();
            if let Err(error) = compile(compiler, &pending, symbols) {
                let _ = self.failure.set(Arc::new(error));
            }
        }
        let elapsed = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.elapsed.fetch_max(elapsed, Ordering::Relaxed);
        *self.done() += 1;
        self.one_done.notify_all();
        true
    }
}

/// Divides bodies into batches.
fn batches(bodies: &[BodyId], table: &PolicyTable) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut nodes) = (0, 0);
    for (i, id) in bodies.iter().enumerate() {
        nodes += table
            .bodies
            .get(id.index())
            .map_or(0, |b| b.body.nodes.len());
        let end = i + 1;
        if end - start >= BATCH_BODIES || nodes >= BATCH_NODES || end == bodies.len() {
            batches.push(start..end);
            (start, nodes) = (end, 0);
        }
    }
    batches
}

/// Compiles a batch and fills its cells.
///
/// If that fails, each body is tried by itself, so that one that the code generator cannot deal
/// with does not take others along: it is interpreted.
///
/// # Errors
/// When no body can be compiled; then no cell is filled.
fn compile(
    compiler: &Compiler,
    bodies: &[&SharedBody],
    symbols: &dyn Symbols,
) -> Result<(), CompileError> {
    if bodies.is_empty() {
        return Ok(());
    }
    let error = match generate(compiler, bodies, symbols) {
        Ok(functions) => {
            for (body, function) in bodies.iter().zip(functions) {
                body.code.set(Some(function));
            }
            return Ok(());
        }
        Err(error) => error,
    };
    let mut failed = Vec::new();
    for body in bodies {
        match generate(compiler, &[*body], symbols) {
            Ok(functions) => body.code.set(functions.into_iter().next()),
            Err(_) => failed.push(*body),
        }
    }
    if failed.len() == bodies.len() {
        return Err(error);
    }
    failed.iter().for_each(|body| body.code.set(None));
    Ok(())
}

/// The code of bodies, in their order.
fn generate(
    compiler: &Compiler,
    bodies: &[&SharedBody],
    symbols: &dyn Symbols,
) -> Result<Vec<Function>, CompileError> {
    let bodies: Vec<&Body> = bodies.iter().map(|b| &*b.body).collect();
    // A panic must not leave those who wait for the batch waiting.
    let compiled = catch_unwind(AssertUnwindSafe(|| compiler.compile(&bodies, symbols)));
    compiled.unwrap_or(Err(CompileError::Panicked))
}

impl Snapshot {
    /// Compiles what is left, together with the threads of [`jobs`], and returns when all is done.
    pub(crate) fn compile_now(self: &Arc<Self>) {
        let compilation = &self.compilation;
        let left = compilation.batches.len();
        let left = left.saturating_sub(compilation.next.load(Ordering::Relaxed));
        let helpers = left.saturating_sub(1).min(jobs::threads() - 1);
        for _ in 0..helpers {
            submit(Arc::downgrade(self));
        }
        let symbols = self.symbols();
        while compilation.step(&self.table, &symbols) {}
        let mut done = compilation.done();
        while *done < compilation.batches.len() && compilation.compiler.is_ok() {
            let waited = compilation.one_done.wait(done);
            done = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Has the threads of [`jobs`] compile what is left, as long as somebody holds the snapshot.
    pub(crate) fn compile_in_background(self: &Arc<Self>) {
        let batches = self.compilation.batches.len();
        for _ in 0..batches.min(jobs::threads()) {
            submit(Arc::downgrade(self));
        }
    }
}

/// Has batches of a snapshot compiled, one a job, until there are none or the snapshot is gone.
fn submit(snapshot: Weak<Snapshot>) {
    jobs::submit(move || {
        let Some(held) = snapshot.upgrade() else {
            return;
        };
        let more = held.compilation.step(&held.table, &held.symbols());
        // The last holder of an engine that was dropped meanwhile may be this one.
        drop(held);
        if more {
            submit(snapshot);
        }
    });
}
