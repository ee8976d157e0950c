//! Compiling bodies, and owning the memory of their code.
//!
//! The fence around one kind of unsafe code: code memory. A `CodeUnit` holds all bodies compiled
//! together, each [`Function`] holds its unit, and the memory is freed when the last of them goes.

#![allow(unsafe_code)]

mod function;

use crate::emit::{
    BatchSource, Facts, FusedCode, FusedPolicy, MAX_PACKED, Symbols, Target, batch_signature,
    check_size, emit, emit_batch, emit_fused, fused_signature, has_vectors, signature,
};
use cedarjit_ir::expr::Body;
use cedarjit_ir::verify::{VerifyError, verify};
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::Function as ClifFunction;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Module, ModuleError, default_libcall_names};
use function::{BatchEntry, Entry, FusedEntry, PackedEntry, WideEntry};
use std::sync::{Arc, Mutex, PoisonError};

pub use function::{BatchFunction, FrameFunction, Function, FusedFunction};

/// Why this process cannot generate code.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// The processor is not one that the code generator knows.
    #[error("code generation does not support this processor: {0}")]
    Processor(&'static str),
    /// The code generator refused its settings.
    #[error("code generation cannot be set up")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a body was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The body is not valid IR.
    #[error("the IR is invalid")]
    Invalid(#[from] VerifyError),
    /// The body is too large to be worth compiling, or needs too much stack.
    #[error("the body is too large to compile: {what} {size} exceeds {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        size: usize,
        /// How much there may be.
        limit: usize,
    },
    /// A policy does not have all constants that its body reads.
    #[error("constants are missing")]
    MissingConstants,
    /// The code generator gave no code.
    #[error("there is no code")]
    NoCode,
    /// The code generator failed, or the system refused executable memory.
    #[error("code generation failed")]
    Backend(#[source] Box<ModuleError>),
    /// The code generator panicked.
    #[error("the code generator panicked")]
    Panicked,
}

impl From<ModuleError> for CompileError {
    fn from(error: ModuleError) -> Self {
        CompileError::Backend(Box::new(error))
    }
}

/// Turns bodies into code for the processor that this runs on.
pub struct Compiler {
    isa: OwnedTargetIsa,
    vectors: bool,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compiler({})", self.isa.name())
    }
}

/// A body's machine-level forms, for people.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The code generator's own IR.
    pub clif: String,
    /// The machine code, disassembled.
    pub disassembly: String,
    /// The size of the machine code, in bytes.
    pub code_size: usize,
}

impl Compiler {
    /// A compiler for this processor.
    ///
    /// # Errors
    /// When there is no code generator for it.
    pub fn new() -> Result<Self, Unavailable> {
        let isa = Self::isa().map_err(|e| Unavailable::Settings(e.into()))?;
        let builder = cranelift_native::builder().map_err(Unavailable::Processor)?;
        let isa = builder
            .finish(isa)
            .map_err(|e| Unavailable::Settings(e.into()))?;
        let vectors = has_vectors(&*isa);
        Ok(Self { isa, vectors })
    }

    /// A compiler for this processor, whose code does without vectors, as it does on processors that
    /// have none.
    ///
    /// # Errors
    /// When there is no code generator for it.
    pub fn without_vectors() -> Result<Self, Unavailable> {
        let vectors = false;
        Ok(Self {
            vectors,
            ..Self::new()?
        })
    }

    fn target(&self) -> Target<'_> {
        let (isa, vectors) = (&*self.isa, self.vectors);
        Target { isa, vectors }
    }

    fn isa() -> Result<settings::Flags, settings::SetError> {
        let mut flags = settings::builder();
        flags.set("opt_level", "speed")?;
        flags.set("use_colocated_libcalls", "false")?;
        flags.set("is_pic", "false")?;
        // Cheap next to code generation in tests, and off where load time counts.
        let checks = if cfg!(debug_assertions) {
            "true"
        } else {
            "false"
        };
        flags.set("enable_verifier", checks)?;
        flags.set("regalloc_checker", checks)?;
        Ok(settings::Flags::new(flags))
    }

    /// Whether a body is small enough to be compiled.
    ///
    /// # Errors
    /// When it is too large.
    pub fn check(&self, body: &Body) -> Result<(), CompileError> {
        check_size(body)
    }

    /// Compiles bodies into one unit of code; the functions come in the bodies' order.
    ///
    /// # Errors
    /// When a body is invalid or too large, or the system refuses executable memory. Nothing is
    /// compiled then.
    pub fn compile(
        &self,
        bodies: &[&Body],
        symbols: &dyn Symbols,
    ) -> Result<Vec<Function>, CompileError> {
        let sources = bodies.iter().map(|body| {
            move |func: &mut ClifFunction, context: &mut FunctionBuilderContext| {
                verify(body)?;
                func.signature = signature(&*self.isa);
                emit(body, symbols, self.target(), func, context)
            }
        });
        let (codes, unit) = self.define(sources)?;
        Ok(codes
            .into_iter()
            .zip(bodies)
            .map(|(code, body)| Function {
                // SAFETY: the pointer is the start of a function that was just defined with the
                // signature that `signature` describes, which is `Entry`'s, and finalised; the
                // function's memory lives as long as `unit`, which the `Function` holds.
                entry: unsafe { std::mem::transmute::<*const u8, Entry>(code.start) },
                const_count: body.consts.len(),
                code_size: code.size,
                _unit: Arc::clone(&unit),
            })
            .collect())
    }

    /// Compiles policies into one function, in a unit of its own.
    ///
    /// `facts` must hold for whatever the function is run on.
    ///
    /// # Errors
    /// As [`compile`](Self::compile), when there are more than [`MAX_FUSED`](crate::MAX_FUSED)
    /// policies, and when a policy lacks constants.
    pub fn fuse(
        &self,
        policies: &[FusedPolicy<'_>],
        symbols: &dyn Symbols,
        facts: &dyn Facts,
    ) -> Result<FusedFunction, CompileError> {
        check_policies(policies)?;
        let mut kind = FusedCode::default();
        let source = |func: &mut ClifFunction, context: &mut FunctionBuilderContext| {
            func.signature = fused_signature(&*self.isa, policies.len());
            kind = emit_fused(policies, symbols, facts, self.target(), func, context)?;
            Ok(())
        };
        let (codes, unit) = self.define(std::iter::once(source))?;
        let code = codes.first().ok_or(CompileError::NoCode)?;
        let start = code.start;
        // SAFETY: as in `compile`; `fused_signature` describes either entry, by the number of
        // policies.
        let entry = unsafe {
            match policies.len() > MAX_PACKED {
                true => FusedEntry::Wide(std::mem::transmute::<*const u8, WideEntry>(start)),
                false => FusedEntry::Packed(std::mem::transmute::<*const u8, PackedEntry>(start)),
            }
        };
        Ok(FusedFunction {
            entry,
            kind,
            code_size: code.size,
            _unit: unit,
        })
    }

    /// Compiles policies into one function that decides about many entities, in a unit of its own.
    ///
    /// The facts must hold for whatever the function is run on.
    ///
    /// # Errors
    /// As [`fuse`](Self::fuse).
    pub fn batch(
        &self,
        source: &BatchSource<'_>,
        symbols: &dyn Symbols,
    ) -> Result<BatchFunction, CompileError> {
        check_policies(source.policies)?;
        let mut lookups = Vec::new();
        let emit = |func: &mut ClifFunction, context: &mut FunctionBuilderContext| {
            func.signature = batch_signature(&*self.isa);
            lookups = emit_batch(source, symbols, self.target(), func, context)?;
            Ok(())
        };
        let (codes, unit) = self.define(std::iter::once(emit))?;
        let code = codes.first().ok_or(CompileError::NoCode)?;
        Ok(BatchFunction {
            // SAFETY: as in `compile`; `batch_signature` describes `BatchEntry`.
            entry: unsafe { std::mem::transmute::<*const u8, BatchEntry>(code.start) },
            varied: source.varied,
            looks_up: source.lookups,
            lookups,
            code_size: code.size,
            _unit: unit,
        })
    }

    /// Defines functions in one unit of code. Each source sets its function's signature and writes
    /// its code.
    fn define<S>(
        &self,
        sources: impl Iterator<Item = S>,
    ) -> Result<(Vec<Code>, Arc<CodeUnit>), CompileError>
    where
        S: FnOnce(&mut ClifFunction, &mut FunctionBuilderContext) -> Result<(), CompileError>,
    {
        let builder = JITBuilder::with_isa(Arc::clone(&self.isa), default_libcall_names());
        // From here on the unit owns the module, so that an early return frees its memory.
        let mut pending = Pending(Some(JITModule::new(builder)));
        let mut codes = Vec::new();
        if let Some(module) = pending.0.as_mut() {
            let mut context = module.make_context();
            let mut builder_context = FunctionBuilderContext::new();
            let mut ids: Vec<(FuncId, usize)> = Vec::new();
            for source in sources {
                source(&mut context.func, &mut builder_context)?;
                let id = module.declare_anonymous_function(&context.func.signature)?;
                module.define_function(id, &mut context)?;
                let size = context
                    .compiled_code()
                    .map_or(0, |code| code.code_buffer().len());
                ids.push((id, size));
                module.clear_context(&mut context);
            }
            module.finalize_definitions()?;
            codes.extend(ids.into_iter().map(|(id, size)| Code {
                start: module.get_finalized_function(id),
                size,
            }));
        }
        let unit = Arc::new(CodeUnit {
            module: Mutex::new(pending.0.take()),
        });
        Ok((codes, unit))
    }

    /// A body's CLIF and disassembly.
    ///
    /// # Errors
    /// When the body is invalid or too large.
    pub fn listing(&self, body: &Body, symbols: &dyn Symbols) -> Result<Listing, CompileError> {
        verify(body)?;
        self.list(|func, context| {
            func.signature = signature(&*self.isa);
            emit(body, symbols, self.target(), func, context)
        })
    }

    fn list(
        &self,
        source: impl FnOnce(&mut ClifFunction, &mut FunctionBuilderContext) -> Result<(), CompileError>,
    ) -> Result<Listing, CompileError> {
        let mut context = Context::new();
        context.set_disasm(true);
        source(&mut context.func, &mut FunctionBuilderContext::new())?;
        let clif = context.func.display().to_string();
        let compiled = context
            .compile(&*self.isa, &mut ControlPlane::default())
            .map_err(|e| ModuleError::Compilation(e.inner))?;
        Ok(Listing {
            clif,
            disassembly: compiled.vcode.clone().unwrap_or_default(),
            code_size: compiled.code_buffer().len(),
        })
    }
}

/// A code generator for another processor than this one: its code is listed and never run.
#[cfg(feature = "other-targets")]
#[derive(Debug)]
pub struct OtherTarget(Compiler);

#[cfg(feature = "other-targets")]
impl OtherTarget {
    /// For a target triple, as `aarch64-unknown-linux-gnu`.
    ///
    /// # Errors
    /// When there is no code generator for it.
    pub fn new(triple: &str) -> Result<Self, Unavailable> {
        let settings =
            |error: Box<dyn std::error::Error + Send + Sync>| Unavailable::Settings(error);
        let flags = Compiler::isa().map_err(|e| settings(e.into()))?;
        let builder = cranelift_codegen::isa::lookup_by_name(triple);
        let isa = builder.map_err(|e| settings(e.into()))?.finish(flags);
        let isa = isa.map_err(|e| settings(e.into()))?;
        let vectors = has_vectors(&*isa);
        Ok(Self(Compiler { isa, vectors }))
    }

    /// As [`Compiler::listing`].
    ///
    /// # Errors
    /// As there.
    pub fn listing(&self, body: &Body, symbols: &dyn Symbols) -> Result<Listing, CompileError> {
        self.0.listing(body, symbols)
    }

    /// The code of [`Compiler::fuse`].
    ///
    /// # Errors
    /// As there.
    pub fn fused_listing(
        &self,
        policies: &[FusedPolicy<'_>],
        symbols: &dyn Symbols,
        facts: &dyn Facts,
    ) -> Result<Listing, CompileError> {
        check_policies(policies)?;
        self.0.list(|func, context| {
            func.signature = fused_signature(&*self.0.isa, policies.len());
            emit_fused(policies, symbols, facts, self.0.target(), func, context).map(drop)
        })
    }

    /// The code of [`Compiler::batch`].
    ///
    /// # Errors
    /// As there.
    pub fn batch_listing(
        &self,
        source: &BatchSource<'_>,
        symbols: &dyn Symbols,
    ) -> Result<Listing, CompileError> {
        check_policies(source.policies)?;
        self.0.list(|func, context| {
            func.signature = batch_signature(&*self.0.isa);
            emit_batch(source, symbols, self.0.target(), func, context).map(drop)
        })
    }
}

/// Makes sure that policies are valid and have their constants.
fn check_policies(policies: &[FusedPolicy<'_>]) -> Result<(), CompileError> {
    for policy in policies {
        verify(policy.body)?;
        if policy.consts.len() < policy.body.consts.len() {
            return Err(CompileError::MissingConstants);
        }
    }
    Ok(())
}

/// Where a finished function is.
struct Code {
    start: *const u8,
    size: usize,
}

/// Frees a module's memory if compiling it was given up.
struct Pending(Option<JITModule>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(module) = self.0.take() {
            // SAFETY: no pointer into the module's code has left `compile`.
            unsafe { module.free_memory() };
        }
    }
}

/// The code of the bodies compiled together.
///
/// The memory is readable and executable, never writable, from the moment it is finished.
struct CodeUnit {
    // `JITModule` is `Send` but not `Sync`; nobody locks this while code runs.
    module: Mutex<Option<JITModule>>,
}

impl std::fmt::Debug for CodeUnit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeUnit")
    }
}

impl Drop for CodeUnit {
    fn drop(&mut self) {
        let module = self
            .module
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(module) = module {
            // SAFETY: the unit is dropped with its last `Function`; entries are private to this
            // crate and called only through a borrowed `Function`, so none is running and none
            // can be called later.
            unsafe { module.free_memory() };
        }
    }
}
