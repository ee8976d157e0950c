//! The engines that the command line can decide with.
//!
//! **This is the place to plug in an engine**: a variant of [`EngineKind`], an [`Engine`], and an
//! arm in `replay`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Entities, PolicySet, Request, Response, Schema};
use cedar_policy_cli::PoliciesArgs;
use cedarjit::{BoundRequest, BuildError, Evaluation, JitMode, SaveError, Scratch, Snapshot};
use cedarjit_tests::engines::{Answer, SchemaText, World};
use clap::ValueEnum;
use miette::Report;
use serde_json::Value;

use crate::load::{self, Failure};
use crate::request::{self, RequestProblem, Uids};

/// Which engine decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineKind {
    /// Compiled to machine code
    Native,
    /// The tree-walking interpreter
    Interpreter,
    /// cedar-policy's own authorizer
    Cedar,
}

impl EngineKind {
    /// The name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Interpreter => "interpreter",
            Self::Cedar => "cedar",
        }
    }
}

/// A loaded world that answers requests in two steps, so that each can be measured.
pub(crate) trait Engine {
    /// A request made ready for evaluation.
    type Bound;

    /// Makes a request ready: parses and validates whatever is still text. The context is left in
    /// any state; it is `&mut` so that an engine that keeps it need not copy it.
    fn bind(&self, uids: &Uids, context: &mut Value) -> Result<Self::Bound, RequestProblem>;

    /// Evaluates to a response with full diagnostics, and drops it.
    fn evaluate(&mut self, bound: &Self::Bound);

    /// Evaluates, and turns the response into an answer to print.
    fn answer(&mut self, bound: &Self::Bound) -> Answer;

    /// What making the engine came to.
    fn build(&self) -> Build;
}

/// What making an engine from a world came to.
#[derive(Debug, Default)]
pub(crate) struct Build {
    /// Time to take over the world, code generation aside.
    pub(crate) load: Duration,
    /// Time to generate code.
    pub(crate) compile: Duration,
    /// How policies are evaluated, if there is more than one way.
    pub(crate) tier: Option<String>,
}

/// cedar-policy's authorizer.
pub(crate) struct CedarEngine {
    authorizer: Authorizer,
    policies: PolicySet,
    entities: Entities,
    schema: Option<Arc<Schema>>,
    validate: bool,
}

impl CedarEngine {
    /// Takes over a world. Requests are validated against its schema if `validate` is set.
    pub(crate) fn new(world: World, validate: bool) -> Self {
        Self {
            authorizer: Authorizer::new(),
            policies: world.policies,
            entities: world.entities,
            schema: world.schema,
            validate,
        }
    }

    fn respond(&self, request: &Request) -> Response {
        self.authorizer
            .is_authorized(request, &self.policies, &self.entities)
    }
}

impl Engine for CedarEngine {
    type Bound = Request;

    fn bind(&self, uids: &Uids, context: &mut Value) -> Result<Request, RequestProblem> {
        request::to_cedar(uids, context.take(), self.schema.as_deref(), self.validate)
    }

    fn evaluate(&mut self, bound: &Request) {
        std::hint::black_box(self.respond(bound));
    }

    fn answer(&mut self, bound: &Request) -> Answer {
        Answer::from(&self.respond(bound))
    }

    fn build(&self) -> Build {
        Build::default()
    }
}

/// This project's engine: native code, or the interpreter if `INTERPRET`.
pub(crate) struct CedarjitEngine<const INTERPRET: bool> {
    snapshot: Arc<Snapshot>,
    scratch: Scratch,
    validate: bool,
}

impl<const INTERPRET: bool> CedarjitEngine<INTERPRET> {
    /// Compiles a world. Requests are validated against its schema if `validate` is set.
    pub(crate) fn new(world: World, validate: bool) -> Result<Self, Box<BuildError>> {
        Ok(Self::of(&compile(world, Self::JIT)?, validate))
    }

    /// Loads a saved engine from a file, which is one's own if it is trusted.
    pub(crate) fn saved(path: &Path, trusted: bool, validate: bool) -> Result<Self, Failure> {
        let origin = path.display().to_string();
        let file = std::fs::read(path)
            .map_err(|cause| load::unreadable("saved engine", &origin, cause))?;
        let builder = cedarjit::Engine::builder().jit(Self::JIT);
        let engine = match trusted {
            true => builder.load_trusted(&file),
            false => builder.load(&file),
        };
        let engine = engine.map_err(|cause| Failure::Saved {
            path: origin,
            cause: Box::new(cause),
        })?;
        Ok(Self::of(&engine, validate))
    }

    const JIT: JitMode = match INTERPRET {
        true => JitMode::Off,
        false => JitMode::Auto,
    };

    fn of(engine: &cedarjit::Engine, validate: bool) -> Self {
        Self {
            snapshot: engine.snapshot(),
            scratch: Scratch::default(),
            validate,
        }
    }

    fn respond<'a>(&'a mut self, bound: &'a BoundRequest) -> Evaluation<'a> {
        match INTERPRET {
            true => bound.interpret(&mut self.scratch),
            false => bound.evaluate(&mut self.scratch),
        }
    }
}

impl<const INTERPRET: bool> Engine for CedarjitEngine<INTERPRET> {
    type Bound = BoundRequest;

    fn bind(&self, uids: &Uids, context: &mut Value) -> Result<BoundRequest, RequestProblem> {
        let Uids {
            principal,
            action,
            resource,
        } = uids;
        let snapshot = &self.snapshot;
        Ok(snapshot.bind_json(principal, action, resource, context, self.validate)?)
    }

    fn evaluate(&mut self, bound: &BoundRequest) {
        std::hint::black_box(self.respond(bound));
    }

    fn answer(&mut self, bound: &BoundRequest) -> Answer {
        Answer::from(self.respond(bound))
    }

    fn build(&self) -> Build {
        let stats = self.snapshot.stats();
        Build {
            load: stats.load_time,
            compile: stats.compile_time,
            tier: Some(self.snapshot.tier().to_string()),
        }
    }
}

/// This project's engine, made of a world.
fn compile(world: World, jit: JitMode) -> Result<cedarjit::Engine, Box<BuildError>> {
    let mut builder = cedarjit::Engine::builder()
        .policies(&world.policies)
        .entities(world.entities)
        .jit(jit);
    // The text tells the types of attributes; `Schema` does not.
    builder = match (world.texts.schema, &world.schema) {
        (Some(SchemaText::Cedar(text)), _) => builder.schema_str(text),
        (Some(SchemaText::Json(text)), _) => builder.schema_json(text),
        (None, Some(schema)) => builder.schema(schema),
        (None, None) => builder,
    };
    Ok(builder.build()?)
}

/// Saves the engine that a world makes as a file.
pub(crate) fn save(mut world: World, path: &Path, args: &PoliciesArgs) -> Result<(), Report> {
    let text = world.texts.policies.take();
    let engine = compile(world, JitMode::Off)
        .map_err(|error| load::build_report(*error, args, text.as_deref()))?;
    let saved = File::create(path)
        .map_err(SaveError::from)
        .and_then(|file| engine.save(file));
    let failed = |cause| Failure::Save {
        path: path.display().to_string(),
        cause: Box::new(cause),
    };
    Ok(saved.map_err(failed)?)
}

/// Decides one request with our engine, and says how long that took, binding included.
pub(crate) fn decide(
    mut world: World,
    request: &Request,
    args: &PoliciesArgs,
) -> Result<(Answer, Duration), Report> {
    let text = world.texts.policies.take();
    let mut engine = CedarjitEngine::<false>::new(world, false)
        .map_err(|error| load::build_report(*error, args, text.as_deref()))?;
    let start = Instant::now();
    let bound = engine
        .snapshot
        .bind(request)
        .map_err(|e| Failure::Bind(Box::new(e)))?;
    let answer = engine.answer(&bound);
    Ok((answer, start.elapsed()))
}
