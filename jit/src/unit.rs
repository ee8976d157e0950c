//! Compiling bodies, and owning the memory of their code.
//!
//! The fence around one kind of unsafe code: code memory. A `CodeUnit` holds all bodies compiled
//! together, each [`Function`] holds its unit, and the memory is freed when the last of them goes.
//! What comes to the same instructions is one function, whoever has it compiled: see `shared`.

#![allow(unsafe_code)]

mod function;
mod shared;

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
use shared::{CodeKey, SharedCode};
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
///
/// It knows the code that it has compiled, as long as somebody holds it, and gives the same again.
pub struct Compiler {
    isa: OwnedTargetIsa,
    vectors: bool,
    shared: SharedCode,
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
        Ok(Self::for_isa(isa))
    }

    fn for_isa(isa: OwnedTargetIsa) -> Self {
        Self {
            vectors: has_vectors(&*isa),
            isa,
            shared: SharedCode::default(),
        }
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

    /// Compiles bodies; the functions come in the bodies' order. Those that are new become one unit of
    /// code.
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
        let codes = self.define(sources)?;
        Ok(codes
            .into_iter()
            .zip(bodies)
            .map(|(code, body)| Function {
                // SAFETY: the function was defined with the signature that `signature` describes,
                // which is `Entry`'s, be it now or earlier: the signature is a part of what is shared
                // by. Its memory lives as long as its unit, which the `Function` holds.
                entry: unsafe { std::mem::transmute::<Entrance, Entry>(code.entrance) },
                const_count: body.consts.len(),
                code_size: code.size,
                _unit: code.unit,
            })
            .collect())
    }

    /// Compiles policies into one function.
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
        let code = self.define_one(source)?;
        // SAFETY: as in `compile`; `fused_signature` describes either entry, by the number of
        // policies.
        let entry = unsafe {
            match policies.len() > MAX_PACKED {
                true => FusedEntry::Wide(std::mem::transmute::<Entrance, WideEntry>(code.entrance)),
                false => {
                    FusedEntry::Packed(std::mem::transmute::<Entrance, PackedEntry>(code.entrance))
                }
            }
        };
        Ok(FusedFunction {
            entry,
            kind,
            code_size: code.size,
            _unit: code.unit,
        })
    }

    /// Compiles policies into one function that decides about many entities.
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
        let code = self.define_one(emit)?;
        Ok(BatchFunction {
            // SAFETY: as in `compile`; `batch_signature` describes `BatchEntry`.
            entry: unsafe { std::mem::transmute::<Entrance, BatchEntry>(code.entrance) },
            varied: source.varied,
            looks_up: source.lookups,
            lookups,
            code_size: code.size,
            _unit: code.unit,
        })
    }

    /// As [`define`](Self::define), of one function.
    fn define_one<S>(&self, source: S) -> Result<Code, CompileError>
    where
        S: FnOnce(&mut ClifFunction, &mut FunctionBuilderContext) -> Result<(), CompileError>,
    {
        let codes = self.define(std::iter::once(source))?;
        codes.into_iter().next().ok_or(CompileError::NoCode)
    }

    /// Defines functions, those that are new in one unit of code. Each source sets its function's
    /// signature and writes its code.
    fn define<S>(&self, sources: impl Iterator<Item = S>) -> Result<Vec<Code>, CompileError>
    where
        S: FnOnce(&mut ClifFunction, &mut FunctionBuilderContext) -> Result<(), CompileError>,
    {
        let mut pending = Pending::default();
        let mut context = Context::new();
        let mut builder_context = FunctionBuilderContext::new();
        let mut hashed = Vec::new();
        let mut defined = Vec::new();
        for source in sources {
            context.clear();
            source(&mut context.func, &mut builder_context)?;
            let key = CodeKey::of(&context.func, &mut hashed);
            let known = key.and_then(|key| self.shared.find(&key));
            debug_assert!(
                known
                    .as_ref()
                    .is_none_or(|code| self.gives(&mut context, code))
            );
            defined.push(match known {
                Some(code) => Defined::Before(code),
                None => Defined::Now(pending.define(&self.isa, &mut context, key)?),
            });
        }
        let new = pending.finish()?;
        for (key, code) in &new {
            if let Some(key) = key {
                self.shared.add(*key, code);
            }
        }
        let codes = defined.into_iter().map(|defined| match defined {
            Defined::Before(code) => Some(code),
            Defined::Now(position) => new.get(position).map(|(_, code)| code.clone()),
        });
        codes.collect::<Option<_>>().ok_or(CompileError::NoCode)
    }

    /// Whether compiling a function gives this code: what is found is checked so in tests.
    fn gives(&self, context: &mut Context, code: &Code) -> bool {
        let start = code.entrance as *const u8;
        // SAFETY: a finished function's code is readable, and does not change as long as its unit is
        // there.
        let found = unsafe { std::slice::from_raw_parts(start, code.size) };
        let compiled = context.compile(&*self.isa, &mut ControlPlane::default());
        compiled.is_ok_and(|compiled| compiled.code_buffer() == found)
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
        Ok(Self(Compiler::for_isa(isa)))
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

/// Where a function's code begins, whatever its signature.
type Entrance = unsafe extern "C" fn();

/// A finished function.
#[derive(Clone)]
struct Code {
    /// To be called only with the function's own signature.
    entrance: Entrance,
    size: usize,
    /// Keeps the code's memory.
    unit: Arc<CodeUnit>,
}

/// A function that was asked for.
enum Defined {
    /// One that somebody has already.
    Before(Code),
    /// The new one at this position.
    Now(usize),
}

/// A unit to be. Frees the module's memory if compiling is given up.
#[derive(Default)]
struct Pending {
    /// Made for the first function.
    module: Option<JITModule>,
    functions: Vec<(Option<CodeKey>, FuncId, usize)>,
}

impl Pending {
    /// Compiles a function, unless the unit has one of that key; its position in the unit.
    fn define(
        &mut self,
        isa: &OwnedTargetIsa,
        context: &mut Context,
        key: Option<CodeKey>,
    ) -> Result<usize, CompileError> {
        let same = |(known, ..): &(Option<CodeKey>, _, _)| key.is_some() && *known == key;
        if let Some(position) = self.functions.iter().position(same) {
            return Ok(position);
        }
        let module = self.module.get_or_insert_with(|| {
            let isa = Arc::clone(isa);
            JITModule::new(JITBuilder::with_isa(isa, default_libcall_names()))
        });
        let id = module.declare_anonymous_function(&context.func.signature)?;
        module.define_function(id, context)?;
        let code = context.compiled_code();
        let size = code.map_or(0, |code| code.code_buffer().len());
        self.functions.push((key, id, size));
        Ok(self.functions.len() - 1)
    }

    /// Makes the unit; its functions in their order, with their keys.
    fn finish(mut self) -> Result<Vec<(Option<CodeKey>, Code)>, CompileError> {
        let Some(module) = &mut self.module else {
            return Ok(Vec::new());
        };
        module.finalize_definitions()?;
        let start = |id| module.get_finalized_function(id);
        let starts: Vec<*const u8> = self.functions.iter().map(|(_, id, _)| start(*id)).collect();
        let unit = Arc::new(CodeUnit {
            module: Mutex::new(self.module.take()),
        });
        let functions = self.functions.iter().zip(starts);
        let codes = functions.map(|((key, _, size), start)| {
            let code = Code {
                // SAFETY: the pointer is where the code of a function begins that is finalised.
                entrance: unsafe { std::mem::transmute::<*const u8, Entrance>(start) },
                size: *size,
                unit: Arc::clone(&unit),
            };
            (*key, code)
        });
        Ok(codes.collect())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: no pointer into the module's code has left this value, which gives its module
            // away with the first.
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
