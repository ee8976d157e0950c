//! What an engine is made of, and building it.

use super::{CompileMode, Engine, JitMode, Shared, Source, start};
use crate::check::{Checker, SelfCheck};
use crate::entities::{self, Check};
use crate::saved::{self, SavedError};
use crate::snapshot::{EngineSchema, Parts, Snapshot};
use crate::store::{LiveBytes, SavedCheck, Store, StoreError};
use arc_swap::ArcSwap;
use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{Entities, EntityUid, Policy, PolicySet, Schema};
use cedarjit_frontend::limits::{LimitError, check_entity_count};
use cedarjit_frontend::load::{self, LoadError, LoadedPolicies, ParseError, SchemaFormat};
use cedarjit_ir::interner::{CapacityError, Interner};
use serde::Deserialize;
use serde_json::Value;
use smol_str::SmolStr;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

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
    /// The engine cannot check itself: there is no thread for it, or no folder for what it finds.
    #[error("the engine cannot check itself: {0}")]
    SelfCheck(#[source] io::Error),
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

/// Collects what an engine is made of.
#[derive(Clone, Debug, Default)]
pub struct EngineBuilder {
    schema: Option<SchemaSource>,
    policies: PolicySource,
    links: Option<String>,
    entities: EntitySource,
    settings: Settings,
}

/// How an engine decides, whatever about.
#[derive(Clone, Debug, Default)]
struct Settings {
    jit: JitMode,
    compile: CompileMode,
    unindexed: bool,
    self_check: Option<SelfCheck>,
    interpreted: HashSet<SmolStr>,
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
pub(super) enum EntitySource {
    #[default]
    None,
    Entities(Entities),
    Json(String, Check),
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
    ///
    /// What is written plainly is read without cedar-policy, which is many times faster; that needs
    /// the schema as text, if there is one.
    #[must_use]
    pub fn entities_json(mut self, text: impl Into<String>) -> Self {
        self.entities = EntitySource::Json(text.into(), Check::Schema);
        self
    }

    /// As [`entities_json`](Self::entities_json), for entities that are known to fit the schema.
    ///
    /// The schema still tells how short forms are meant and supplies the actions. It may go
    /// unchecked whether entity types, attributes and tags are declared, required attributes are
    /// there, and parents and enumerated entities are allowed; what is not declared is then read as
    /// without a schema. Where the document is not written plainly, it is checked all the same. If
    /// entities do not fit, that is safe, and all policies are evaluated on the entities as they
    /// are, which is slower where a value is not of its declared type.
    #[must_use]
    pub fn entities_json_trusted(mut self, text: impl Into<String>) -> Self {
        self.entities = EntitySource::Json(text.into(), Check::Trusted);
        self
    }

    /// Whether to generate code; by default where that is possible.
    #[must_use]
    pub fn jit(mut self, mode: JitMode) -> Self {
        self.settings.jit = mode;
        self
    }

    /// When to generate code; by default before [`build`](Self::build) returns. In the background
    /// the engine answers at once, and [`Engine::wait_native`] waits for the code.
    #[must_use]
    pub fn compile(mut self, mode: CompileMode) -> Self {
        self.settings.compile = mode;
        self
    }

    /// Whether to index policies by scope; on by default. Without the index every decision visits
    /// every policy of the action.
    #[must_use]
    pub fn index(mut self, on: bool) -> Self {
        self.settings.unindexed = !on;
        self
    }

    /// Has the interpreter evaluate the policies with these ids, those that come to have them later,
    /// and others of the same shape: say, because there is no proof of what the engine makes of them.
    #[must_use]
    pub fn interpret_policies<I: Into<SmolStr>>(
        mut self,
        ids: impl IntoIterator<Item = I>,
    ) -> Self {
        self.settings
            .interpreted
            .extend(ids.into_iter().map(Into::into));
        self
    }

    /// Has the engine check some of its decisions while it is in use; by default none.
    #[must_use]
    pub fn self_check(mut self, check: SelfCheck) -> Self {
        self.settings.self_check = Some(check);
        self
    }

    /// Builds the engine. By default it waits until all code is generated, and uses several
    /// processors for that; see [`compile`](Self::compile).
    ///
    /// # Errors
    /// When a text cannot be read, the entities do not fit the schema, or there is too much of
    /// something.
    pub fn build(self) -> Result<Engine, BuildError> {
        let started = Instant::now();
        let schema = match self.schema {
            None => None,
            Some(SchemaSource::Schema(schema)) => Some(EngineSchema::of_value(*schema)),
            Some(SchemaSource::Text(text, format)) => Some(EngineSchema::of_text(text, format)?),
        };
        let mut policies = match self.policies {
            PolicySource::None => PolicySet::new(),
            PolicySource::Set(set) => *set,
            PolicySource::Text(text) => load::parse_policies(&text, POLICIES)?,
            PolicySource::Json(text) => load::parse_policies_json(&text, POLICIES)?,
        };
        let links = self.links.unwrap_or_default();
        let links = match load::plain_links(&policies, &links) {
            Some(links) => links,
            None => {
                load::link(&mut policies, &links, LINKS)?;
                Vec::new()
            }
        };
        let (mut interner, store) = load_entities(self.entities, schema.as_ref())?;
        let mut loaded = load::load_policies(&policies, &mut interner)?;
        loaded.add_links(links.iter().map(Into::into), &mut interner)?;
        let made = Made {
            interner,
            store,
            loaded,
            schema,
            policies: without_links(policies),
        };
        Engine::from_made(self.settings, made, started)
    }

    /// Loads an engine that was [saved](Engine::save), instead of building one: nothing but
    /// [`jit`](Self::jit), [`compile`](Self::compile), [`index`](Self::index),
    /// [`interpret_policies`](Self::interpret_policies) and [`self_check`](Self::self_check) may have
    /// been said.
    ///
    /// Any bytes may be given: what is no saved engine is refused. The checksums are against
    /// accidents only; who can write the file says what the engine decides.
    ///
    /// # Errors
    /// When the bytes are not what [`Engine::save`] of this version writes.
    pub fn load(self, file: &[u8]) -> Result<Engine, SavedError> {
        self.load_saved(file, SavedCheck::All)
    }

    /// As [`load`](Self::load), of a file that this program, or one that is trusted as much, has
    /// written: it is not checked that the ancestors of entities are their parents and what these are
    /// in, nor that no entity is in itself, and names are found by the hash tables that the file has.
    /// These two take most of the time of loading many entities.
    ///
    /// Any bytes may be given still: what is damaged or no saved engine is refused. Where ancestors are
    /// not what they should be, who is in whom is answered by the one or by the other, and where tables
    /// are not, what has a name is not found by it.
    ///
    /// # Errors
    /// As there.
    pub fn load_trusted(self, file: &[u8]) -> Result<Engine, SavedError> {
        self.load_saved(file, SavedCheck::Trusted)
    }

    fn load_saved(self, file: &[u8], check: SavedCheck) -> Result<Engine, SavedError> {
        let started = Instant::now();
        let own = (&self.schema, &self.policies, &self.links, &self.entities);
        if !matches!(own, (None, PolicySource::None, None, EntitySource::None)) {
            return Err(SavedError::Sources);
        }
        let saved = saved::read(file, check)?;
        check_entity_count(saved.store.len()).map_err(BuildError::from)?;
        let made = Made {
            interner: saved.interner,
            store: saved.store,
            loaded: saved.loaded,
            schema: saved.schema,
            policies: saved.policies,
        };
        Ok(Engine::from_made(self.settings, made, started)?)
    }
}

/// What an engine is made from, read.
struct Made {
    /// What the rest is made of.
    interner: Interner,
    store: Store,
    loaded: LoadedPolicies,
    schema: Option<EngineSchema>,
    /// Templates and static policies.
    policies: PolicySet,
}

impl Engine {
    fn from_made(settings: Settings, made: Made, started: Instant) -> Result<Self, BuildError> {
        let check = settings.self_check.map(Checker::start).transpose();
        let mut source = Source {
            policies: made.policies,
            jit: settings.jit,
            compile: settings.compile,
            index: !settings.unindexed,
            check: check.map_err(BuildError::SelfCheck)?,
            interpreted: settings.interpreted,
            children: None,
            live: LiveBytes::default(),
        };
        let snapshot = Arc::new(Snapshot::build(Parts {
            interner: made.interner,
            store: made.store,
            policies: made.loaded,
            schema: made.schema.map(Arc::new),
            jit: source.jit,
            index: source.index,
            check: source.check.clone(),
            interpreted: &source.interpreted,
            earlier: None,
            observed: Arc::default(),
            started,
        })?);
        source.live = LiveBytes::of(&snapshot.store, &snapshot.interner);
        start(&snapshot, source.compile);
        Ok(Self {
            shared: Arc::new(Shared {
                current: ArcSwap::new(snapshot),
                source: Mutex::new(source),
            }),
        })
    }
}

impl EngineSchema {
    /// A schema given as text, which types code.
    pub(super) fn of_text(text: String, format: SchemaFormat) -> Result<Self, ParseError> {
        let loaded = load::load_schema(&text, format, SCHEMA)?;
        Ok(Self {
            schema: loaded.schema,
            facts: Some(loaded.facts),
            source: Some((text, format)),
        })
    }

    /// A schema given as a value, which does not tell the types of attributes.
    pub(super) fn of_value(schema: Schema) -> Self {
        Self {
            schema,
            facts: None,
            source: None,
        }
    }
}

/// The templates and static policies of a set.
pub(super) fn without_links(set: PolicySet) -> PolicySet {
    if set.policies().all(Policy::is_static) {
        return set;
    }
    let mut rest = PolicySet::new();
    for template in set.templates() {
        // Nothing is added that was not in one set before, under ids of its own.
        let _ = rest.add_template(template.clone());
    }
    for policy in set.policies().filter(|policy| policy.is_static()) {
        let _ = rest.add(policy.clone());
    }
    rest
}

/// The store of the entities, and of the schema's actions.
fn load_entities(
    source: EntitySource,
    schema: Option<&EngineSchema>,
) -> Result<(Interner, Store), BuildError> {
    if let EntitySource::Json(text, check) = &source {
        // Without the schema's text the types of attributes are not known.
        let untold = schema.is_some_and(|schema| schema.facts.is_none());
        let told = schema.and_then(|s| Some((&s.schema, s.facts.as_ref()?)));
        let read = || entities::read(text, told, *check);
        if let Some((interner, store)) = (!untold).then(read).flatten() {
            check_entity_count(store.len())?;
            return Ok((interner, store));
        }
    }
    let parents = match &source {
        EntitySource::Json(text, _) => direct_parents(text),
        _ => HashMap::new(),
    };
    let entities = read_entities(source, schema.map(|s| &s.schema))?;
    check_entity_count(entities.len())?;
    let mut interner = Interner::new();
    let store = Store::build_with(&entities, &parents, &mut interner)?;
    Ok((interner, store))
}

/// The parents of the entities of a document that cedar-policy has read; those of some may be
/// missing.
fn direct_parents(text: &str) -> HashMap<EntityUid, Vec<EntityUid>> {
    #[derive(Deserialize)]
    struct Row {
        uid: Value,
        #[serde(default)]
        parents: Vec<Value>,
    }
    let rows: Vec<Row> = serde_json::from_str(text).unwrap_or_default();
    let parents = rows.into_iter().filter_map(|row| {
        let parents = row.parents.into_iter().map(EntityUid::from_json);
        let parents: Vec<EntityUid> = parents.collect::<Result<_, _>>().ok()?;
        Some((EntityUid::from_json(row.uid).ok()?, parents))
    });
    parents.collect()
}

/// Reads entities, or checks those that are there already; adds the schema's actions.
pub(super) fn read_entities(
    source: EntitySource,
    schema: Option<&Schema>,
) -> Result<Entities, BuildError> {
    let entities = match source {
        EntitySource::None => Entities::from_entities([], schema),
        EntitySource::Entities(entities) if schema.is_none() => return Ok(entities),
        EntitySource::Entities(entities) => Entities::from_entities(entities, schema),
        EntitySource::Json(text, _) => {
            return Ok(load::parse_entities(&text, schema, ENTITIES)?);
        }
    };
    entities.map_err(|error| BuildError::Entities(Box::new(error)))
}
