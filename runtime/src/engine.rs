//! The engine: building one, asking it, changing it.

use crate::response::Response;
use crate::session::respond;
use crate::snapshot::{EngineSchema, Parts, Snapshot};
use crate::store::{Store, StoreError};
use arc_swap::ArcSwap;
use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{
    Entities, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, Request, Schema, SlotId,
    Template,
};
use cedarjit_frontend::limits::{LimitError, check_entity_count};
use cedarjit_frontend::load::{self, LoadError, ParseError, SchemaFormat};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_jit::{CompileError, Unavailable};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

#[derive(Clone)]
struct Source {
    policies: PolicySet,
    jit: JitMode,
    index: bool,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.snapshot();
        f.debug_struct("Engine")
            .field("tier", snapshot.tier())
            .field("stats", snapshot.stats())
            .finish()
    }
}

/// Whether to generate code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JitMode {
    /// Generate code where that is possible, interpret elsewhere.
    #[default]
    Auto,
    /// Interpret.
    Off,
}

/// How an engine evaluates policies.
#[derive(Clone, Debug)]
pub enum Tier {
    /// With native code. Bodies too large to compile are interpreted;
    /// [`Stats::native_shapes`] counts those that are not.
    Native,
    /// By the interpreter alone.
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

/// What building a snapshot came to.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Static policies and links.
    pub policies: usize,
    /// Distinct conditions, constants aside.
    pub shapes: usize,
    /// How many of these have native code.
    pub native_shapes: usize,
    /// The size of that code, in bytes.
    pub code_bytes: usize,
    /// Entities in the store.
    pub entities: usize,
    /// Time to parse, validate, lower, index and store everything, without code generation.
    pub load_time: Duration,
    /// Time to generate code.
    pub compile_time: Duration,
}

/// Why an engine could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Policies, links or a schema could not be read.
    #[error(transparent)]
    Parse(#[from] Box<ParseError>),
    /// A policy is of a kind that this engine does not know, or too deep.
    #[error(transparent)]
    Load(#[from] Box<LoadError>),
    /// The entities could not be read, or do not fit the schema.
    #[error("the entities are not valid: {0}")]
    Entities(#[source] Box<EntitiesError>),
    /// The entities could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is too much of something.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// What came as values, not as text, exceeds a limit.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

impl From<LoadError> for BuildError {
    fn from(error: LoadError) -> Self {
        BuildError::Load(Box::new(error))
    }
}

impl From<ParseError> for BuildError {
    fn from(error: ParseError) -> Self {
        BuildError::Parse(Box::new(error))
    }
}

/// Why an engine could not be changed; it is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The policy set does not admit the change.
    #[error(transparent)]
    Policies(Box<PolicySetError>),
    /// The changed engine could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<PolicySetError> for UpdateError {
    fn from(error: PolicySetError) -> Self {
        UpdateError::Policies(Box::new(error))
    }
}

/// Collects what an engine is made of.
#[derive(Clone, Debug, Default)]
pub struct EngineBuilder {
    schema: Option<SchemaSource>,
    policies: PolicySource,
    links: Option<String>,
    entities: EntitySource,
    jit: JitMode,
    unindexed: bool,
}

#[derive(Clone, Debug)]
enum SchemaSource {
    Schema(Box<Schema>),
    Text(String, SchemaFormat),
}

#[derive(Clone, Debug, Default)]
enum PolicySource {
    #[default]
    None,
    Set(Box<PolicySet>),
    Text(String),
    Json(String),
}

#[derive(Clone, Debug, Default)]
enum EntitySource {
    #[default]
    None,
    Entities(Entities),
    Json(String),
}

/// What the texts that an embedder passes are called in errors.
const POLICIES: &str = "policies";
const LINKS: &str = "template links";
const SCHEMA: &str = "schema";
const ENTITIES: &str = "entities";

impl EngineBuilder {
    /// The schema. Entities must fit it, and it supplies the action entities.
    ///
    /// Given as text, by [`schema_str`](Self::schema_str) or [`schema_json`](Self::schema_json), it
    /// also types the compiled code: cedar-policy's public API does not tell the types of
    /// attributes.
    #[must_use]
    pub fn schema(mut self, schema: &Schema) -> Self {
        self.schema = Some(SchemaSource::Schema(Box::new(schema.clone())));
        self
    }

    /// The schema, in Cedar's schema syntax.
    #[must_use]
    pub fn schema_str(mut self, text: impl Into<String>) -> Self {
        self.schema = Some(SchemaSource::Text(text.into(), SchemaFormat::Cedar));
        self
    }

    /// The schema, in JSON.
    #[must_use]
    pub fn schema_json(mut self, text: impl Into<String>) -> Self {
        self.schema = Some(SchemaSource::Text(text.into(), SchemaFormat::Json));
        self
    }

    /// The policies, templates and links.
    #[must_use]
    pub fn policies(mut self, policies: &PolicySet) -> Self {
        self.policies = PolicySource::Set(Box::new(policies.clone()));
        self
    }

    /// The policies and templates, in Cedar's policy syntax. Each is named by its `@id` annotation,
    /// or `policy0`, `policy1` … by position.
    #[must_use]
    pub fn policies_str(mut self, text: impl Into<String>) -> Self {
        self.policies = PolicySource::Text(text.into());
        self
    }

    /// The policies, templates and links, in Cedar's JSON policy format.
    #[must_use]
    pub fn policies_json(mut self, text: impl Into<String>) -> Self {
        self.policies = PolicySource::Json(text.into());
        self
    }

    /// Template links in JSON: `[{"template_id": …, "link_id": …, "args": {"?principal": …}}]`.
    #[must_use]
    pub fn links_json(mut self, text: impl Into<String>) -> Self {
        self.links = Some(text.into());
        self
    }

    /// The entities.
    #[must_use]
    pub fn entities(mut self, entities: Entities) -> Self {
        self.entities = EntitySource::Entities(entities);
        self
    }

    /// The entities, in Cedar's JSON entity format.
    #[must_use]
    pub fn entities_json(mut self, text: impl Into<String>) -> Self {
        self.entities = EntitySource::Json(text.into());
        self
    }

    /// Whether to generate code; by default where that is possible.
    #[must_use]
    pub fn jit(mut self, mode: JitMode) -> Self {
        self.jit = mode;
        self
    }

    /// Whether to index policies by scope; on by default. Without the index every decision visits
    /// every policy of the action.
    #[must_use]
    pub fn index(mut self, on: bool) -> Self {
        self.unindexed = !on;
        self
    }

    /// Builds the engine, and waits until all code is generated.
    ///
    /// # Errors
    /// When a text cannot be read, the entities do not fit the schema, or there is too much of
    /// something.
    pub fn build(self) -> Result<Engine, BuildError> {
        let started = Instant::now();
        let schema = match self.schema {
            None => None,
            Some(SchemaSource::Schema(schema)) => Some(EngineSchema {
                schema: *schema,
                facts: None,
            }),
            Some(SchemaSource::Text(text, format)) => {
                let loaded = load::load_schema(&text, format, SCHEMA)?;
                Some(EngineSchema {
                    schema: loaded.schema,
                    facts: Some(loaded.facts),
                })
            }
        };
        let mut policies = match self.policies {
            PolicySource::None => PolicySet::new(),
            PolicySource::Set(set) => *set,
            PolicySource::Text(text) => load::parse_policies(&text, POLICIES)?,
            PolicySource::Json(text) => load::parse_policies_json(&text, POLICIES)?,
        };
        if let Some(links) = self.links {
            load::link(&mut policies, &links, LINKS)?;
        }
        let entities = read_entities(self.entities, schema.as_ref().map(|s| &s.schema))?;
        check_entity_count(entities.len())?;
        let mut interner = Interner::new();
        let store = Store::build(&entities, &mut interner)?;
        drop(entities);
        let source = Source {
            policies,
            jit: self.jit,
            index: !self.unindexed,
        };
        let snapshot = Snapshot::build(Parts {
            interner,
            store,
            policies: &source.policies,
            schema: schema.map(Arc::new),
            jit: source.jit,
            index: source.index,
            earlier: None,
            started,
        })?;
        Ok(Engine {
            shared: Arc::new(Shared {
                current: ArcSwap::from_pointee(snapshot),
                source: Mutex::new(source),
            }),
        })
    }
}

/// Reads entities, or checks those that are there already; adds the schema's actions.
fn read_entities(source: EntitySource, schema: Option<&Schema>) -> Result<Entities, BuildError> {
    let entities = match source {
        EntitySource::None => Entities::from_entities([], schema),
        EntitySource::Entities(entities) if schema.is_none() => return Ok(entities),
        EntitySource::Entities(entities) => Entities::from_entities(entities, schema),
        EntitySource::Json(text) => {
            return Ok(load::parse_entities(&text, schema, ENTITIES)?);
        }
    };
    entities.map_err(|error| BuildError::Entities(Box::new(error)))
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
        match self.snapshot().bind(request) {
            Ok(bound) => respond(bound),
            Err(error) => Response::refused(error),
        }
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
        self.snapshot().tier().clone()
    }

    /// What building the current state came to.
    pub fn stats(&self) -> Stats {
        self.snapshot().stats().clone()
    }

    /// Adds a static policy.
    ///
    /// # Errors
    /// When the id is taken, the policy is a link, or the engine cannot be built with it.
    pub fn add_policy(&self, policy: Policy) -> Result<(), UpdateError> {
        self.change_policies(|set| Ok(set.add(policy)?))
    }

    /// Adds a template.
    ///
    /// # Errors
    /// When the id is taken or the engine cannot be built with it.
    pub fn add_template(&self, template: Template) -> Result<(), UpdateError> {
        self.change_policies(|set| Ok(set.add_template(template)?))
    }

    /// Links a template: adds the policy that fills its slots with `slots`.
    ///
    /// # Errors
    /// When there is no such template, the id is taken, or `slots` are not exactly the template's.
    pub fn link(
        &self,
        template_id: PolicyId,
        link_id: PolicyId,
        slots: HashMap<SlotId, EntityUid>,
    ) -> Result<(), UpdateError> {
        self.change_policies(|set| Ok(set.link(template_id, link_id, slots)?))
    }

    /// Removes a static policy or a link.
    ///
    /// # Errors
    /// When there is no policy with this id.
    pub fn remove_policy(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            let is_link = set.policy(&id).is_some_and(|p| !p.is_static());
            if is_link {
                set.unlink(id)?;
            } else {
                set.remove_static(id)?;
            }
            Ok(())
        })
    }

    /// Removes a template that no policy is linked to.
    ///
    /// # Errors
    /// When there is no template with this id, or links of it remain.
    pub fn remove_template(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            set.remove_template(id)?;
            Ok(())
        })
    }

    /// Replaces all policies, templates and links.
    ///
    /// # Errors
    /// When the engine cannot be built with them.
    pub fn replace_policies(&self, policies: &PolicySet) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            *set = policies.clone();
            Ok(())
        })
    }

    /// Replaces all entities. With a schema they must fit it, and it supplies the actions.
    ///
    /// # Errors
    /// When the entities do not fit the schema or cannot be stored.
    pub fn replace_entities(&self, entities: Entities) -> Result<(), UpdateError> {
        let started = Instant::now();
        let source = self.source();
        let current = self.snapshot();
        let entities = read_entities(EntitySource::Entities(entities), current.schema())?;
        check_entity_count(entities.len()).map_err(BuildError::from)?;
        let mut interner = Interner::new();
        let store = Store::build(&entities, &mut interner).map_err(BuildError::from)?;
        let next = Snapshot::build(Parts {
            interner,
            store,
            policies: &source.policies,
            schema: current.schema.clone(),
            jit: source.jit,
            index: source.index,
            earlier: None,
            started,
        })?;
        self.shared.current.store(Arc::new(next));
        Ok(())
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // A writer that panicked had not stored anything yet.
        self.shared
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change_policies(
        &self,
        change: impl FnOnce(&mut PolicySet) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let started = Instant::now();
        let mut source = self.source();
        let mut policies = source.policies.clone();
        change(&mut policies)?;
        let current = self.snapshot();
        let next = Snapshot::build(Parts {
            interner: current.interner.clone(),
            store: current.store.clone(),
            policies: &policies,
            schema: current.schema.clone(),
            jit: source.jit,
            index: source.index,
            earlier: Some(&current),
            started,
        })?;
        source.policies = policies;
        self.shared.current.store(Arc::new(next));
        Ok(())
    }
}
