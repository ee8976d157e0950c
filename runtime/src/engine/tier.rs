//! How an engine evaluates: what was asked of it, and what came of that.

use crate::check::SelfCheckStats;
use cedarjit_jit::{CompileError, Unavailable};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Whether to generate code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JitMode {
    /// Generate code where that is possible, interpret elsewhere.
    #[default]
    Auto,
    /// As [`Auto`](Self::Auto), without vector instructions even if the processor has them: code as on
    /// one that has none, somewhat slower where it searches ancestors.
    Portable,
    /// Interpret.
    Off,
}

/// When code is generated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompileMode {
    /// Before the engine, or a changed state of it, answers. Whoever builds or changes it waits.
    #[default]
    Wait,
    /// While the engine answers: what has no code yet is interpreted. A change takes over the code
    /// that there is. All engines of a process share a few threads, which end when nothing is left
    /// to compile; what a dropped engine still wanted is forgotten.
    Background,
}

/// How an engine evaluates policies.
#[derive(Clone, Debug)]
pub enum Tier {
    /// With native code. Bodies too large to compile are interpreted; [`Stats::native_shapes`]
    /// counts those that are not.
    Native,
    /// With native code as far as it is there; the rest is being generated, and interpreted until
    /// then. [`Stats::pending_shapes`] says how much that is.
    Compiling,
    /// By the interpreter; what code there was before code generation failed is used.
    Interpreted(InterpretedBecause),
}

/// Why an engine interprets.
#[derive(Clone, Debug)]
pub enum InterpretedBecause {
    /// It was built with [`JitMode::Off`].
    Asked,
    /// There is no code generator for this processor.
    Unavailable(Arc<Unavailable>),
    /// Code generation failed; most often the system refuses executable memory.
    Failed(Arc<CompileError>),
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tier::Native => f.write_str("native"),
            Tier::Compiling => f.write_str("interpreted in part: code is being generated"),
            Tier::Interpreted(because) => write!(f, "interpreted: {because}"),
        }
    }
}

impl fmt::Display for InterpretedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterpretedBecause::Asked => f.write_str("code generation is switched off"),
            InterpretedBecause::Unavailable(error) => error.fmt(f),
            InterpretedBecause::Failed(error) => error.fmt(f),
        }
    }
}

/// What an engine's state came to, and how far code generation has got.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Static policies and links.
    pub policies: usize,
    /// Distinct conditions, constants aside.
    pub shapes: usize,
    /// How many of these have native code.
    pub native_shapes: usize,
    /// How many of these will have native code, or turn out not to be compilable. The rest is too
    /// large to compile, or could not be compiled.
    pub pending_shapes: usize,
    /// How many functions there are that evaluate several policies at once, for requests that were
    /// frequent.
    pub fused_buckets: usize,
    /// The size of all code so far, in bytes.
    pub code_bytes: usize,
    /// Entities in the store.
    pub entities: usize,
    /// Time to parse, validate, lower, index and store everything, without code generation.
    pub load_time: Duration,
    /// Time from the start of code generation for this state to the latest code.
    pub compile_time: Duration,
    /// What the engine found when it checked itself; `None` if it does not.
    pub self_check: Option<SelfCheckStats>,
}
