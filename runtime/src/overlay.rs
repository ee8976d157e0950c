//! Entities that only one request brings.
//!
//! A request may lay entities over those of its snapshot: each replaces the stored entity of its uid,
//! or is one more, for this request alone. The answer is that of an engine in which the same entities
//! were [upserted](crate::Transaction::upsert_entity), at a cost that depends on what the request
//! brings and on who is in whom, not on how many entities are stored: everything new is local to the
//! request and goes with it.
//!
//! Compiled code reads headers and ancestors of the snapshot, so such a request is interpreted. The
//! scope index is asked if principal, action and resource are in what they are in without the
//! overlay; else every policy is visited.

use crate::bind::BoundRequest;
use crate::engine::UpdateError;
use crate::evaluate::{Evaluation, Scratch};
use crate::request::RequestValues;
use crate::snapshot::Snapshot;
use crate::store::{HierarchyError, Store, StoreError};
use crate::values::{RequestSink, ValueError, ValueSink, intern_record, intern_value};
use cedar_policy::{Decision, Entities, Entity, EvalResult, PartialValueToValueError};
use cedarjit_ir::abi::{EntityHeader, MISSING_ENTITY};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::CapacityError;
use cedarjit_ir::value::Value;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

type Map<K, V> = HashMap<K, V, RandomState>;
type Set<K> = HashSet<K, RandomState>;

/// Most entities that one request may bring.
pub const MAX_OVERLAID: usize = 1_000;

/// Why entities could not be laid over those of a snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The engine would not admit the entities either.
    #[error(transparent)]
    Entities(#[from] UpdateError),
    /// The request brings too many entities.
    #[error("a request may bring at most {MAX_OVERLAID} entities of its own")]
    TooMany,
}

impl From<StoreError> for OverlayError {
    fn from(error: StoreError) -> Self {
        OverlayError::Entities(error.into())
    }
}

/// What a request lays over the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    entities: Map<EntityId, Overlaid>,
    /// Those that are in something else than in the store; until that is known, those that have other
    /// parents.
    moved: Set<EntityId>,
}

/// An entity of an overlay.
#[derive(Clone, Debug)]
struct Overlaid {
    header: EntityHeader,
    /// Ascending by key.
    tags: Vec<(StrId, Value)>,
    parents: Vec<EntityId>,
    /// What it is in, itself aside.
    ancestors: Set<EntityId>,
}

impl Overlay {
    /// The header of an entity of the overlay; what it says of ancestors is of no use.
    #[inline]
    pub(crate) fn header(&self, id: EntityId) -> Option<&EntityHeader> {
        self.entities.get(&id).map(|entity| &entity.header)
    }

    /// A tag of an entity; the outer `None` if the overlay does not have the entity.
    pub(crate) fn tag(&self, id: EntityId, key: StrId) -> Option<Option<Value>> {
        let tags = &self.entities.get(&id)?.tags;
        let found = tags.binary_search_by_key(&key, |(name, _)| *name);
        Some(
            found
                .ok()
                .and_then(|at| tags.get(at))
                .map(|(_, value)| *value),
        )
    }

    /// Whether `ancestor` is one of the ancestors of `entity`; no entity is its own.
    pub(crate) fn is_descendant(
        &self,
        store: &Store,
        entity: EntityId,
        ancestor: EntityId,
    ) -> bool {
        if let Some(entity) = self.entities.get(&entity) {
            return entity.ancestors.contains(&ancestor);
        }
        if !self.is_below_moved(store, entity) || planted(Fault::OverlayNotClosed) {
            return store.is_descendant(entity, ancestor);
        }
        self.ancestors(store, store.parents_of(entity).iter())
            .contains(&ancestor)
    }

    /// Whether an entity of the store is in one that the overlay has moved.
    fn is_below_moved(&self, store: &Store, entity: EntityId) -> bool {
        let mut moved = self.moved.iter();
        moved.any(|moved| store.is_descendant(entity, *moved))
    }

    /// Whether an entity is in something else than in the store.
    fn is_moved(&self, store: &Store, entity: EntityId) -> bool {
        self.moved.contains(&entity)
            || (!self.entities.contains_key(&entity) && self.is_below_moved(store, entity))
    }

    /// These entities and what they are in.
    fn ancestors(
        &self,
        store: &Store,
        parents: impl IntoIterator<Item = EntityId>,
    ) -> Set<EntityId> {
        let mut found: Set<EntityId> = Set::default();
        let mut open: Vec<EntityId> = parents.into_iter().collect();
        while let Some(entity) = open.pop() {
            if !found.insert(entity) {
                continue;
            }
            match self.entities.get(&entity) {
                Some(overlaid) => open.extend(&overlaid.parents),
                None if self.is_below_moved(store, entity) => {
                    open.extend(store.parents_of(entity).iter());
                }
                None => found.extend(store.ancestors_of(entity).iter()),
            }
        }
        found
    }

    /// Computes what is in what, once all entities are there; the first that is in itself is the
    /// error.
    fn close(&mut self, store: &Store) -> Result<(), EntityId> {
        let parents = |id| store.parents_of(id).iter();
        let moved = self.entities.iter();
        let moved = moved.filter(|(id, entity)| !parents(**id).eq(entity.parents.iter().copied()));
        self.moved = moved.map(|(id, _)| *id).collect();
        let closed: Vec<(EntityId, Set<EntityId>)> = self
            .entities
            .iter()
            .map(|(id, entity)| (*id, self.ancestors(store, entity.parents.iter().copied())))
            .collect();
        for (id, ancestors) in closed {
            if ancestors.contains(&id) {
                return Err(id);
            }
            let old = store.ancestors_of(id);
            let kept = old.len() == ancestors.len() && old.iter().all(|id| ancestors.contains(&id));
            // Whatever its parents are.
            match kept {
                true => self.moved.remove(&id),
                false => self.moved.insert(id),
            };
            if let Some(entity) = self.entities.get_mut(&id) {
                entity.ancestors = ancestors;
            }
        }
        Ok(())
    }
}

/// A request with entities that it alone brings, ready to be evaluated any number of times.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedar_policy::{Context, Entity, Request};
/// use cedarjit::{Decision, Engine, Scratch};
///
/// let engine = Engine::builder()
///     .policies_str("permit (principal, action, resource) when { resource.owner == principal };")
///     .build()?;
/// let (ann, view, plan) = (
///     r#"User::"ann""#.parse()?,
///     r#"Action::"view""#.parse()?,
///     r#"Doc::"plan""#.parse()?,
/// );
/// let request = Request::new(ann, view, plan, Context::empty(), None)?;
/// let snapshot = engine.snapshot();
/// let bound = snapshot.bind(&request)?;
/// let mut scratch = Scratch::default();
/// assert_eq!(bound.evaluate(&mut scratch).decision(), Decision::Deny);
///
/// let plan = Entity::from_json_str(
///     r#"{"uid": {"type": "Doc", "id": "plan"}, "parents": [],
///         "attrs": {"owner": {"__entity": {"type": "User", "id": "ann"}}}}"#,
///     None,
/// )?;
/// let overlaid = bound.with_entities([plan])?;
/// assert_eq!(overlaid.evaluate(&mut scratch).decision(), Decision::Allow);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OverlaidRequest {
    request: BoundRequest,
    /// Whether the scope index knows what principal, action and resource are in.
    indexed: bool,
}

impl OverlaidRequest {
    /// Evaluates every policy that can apply, by the interpreter.
    ///
    /// Full diagnostics: no policy that could be satisfied or fail is skipped.
    pub fn evaluate<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.request.interpret_overlaid(scratch, self.indexed)
    }

    /// The decision of [`evaluate`](Self::evaluate).
    pub fn decide(&self, scratch: &mut Scratch) -> Decision {
        self.evaluate(scratch).decision()
    }

    /// The snapshot that the entities are laid over.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.request.snapshot()
    }
}

impl BoundRequest {
    /// Lays entities over those of the snapshot, for this request alone: each replaces the stored one
    /// of its uid with attributes, tags and parents, or is one more. Of several with one uid the last
    /// counts.
    ///
    /// The answer is that after [upserting](crate::Transaction::upsert_entity) them; with a schema
    /// they must fit it. To change some attributes only, begin with [`Snapshot::entity`]. The engine
    /// does not change, and keeps nothing of them. Takes some microseconds for each entity.
    ///
    /// # Errors
    /// When upserting would fail, or there are more than [`MAX_OVERLAID`].
    pub fn with_entities(
        mut self,
        entities: impl IntoIterator<Item = Entity>,
    ) -> Result<OverlaidRequest, OverlayError> {
        let snapshot = Arc::clone(&self.snapshot);
        let mut overlay = Overlay::default();
        for (count, entity) in entities.into_iter().enumerate() {
            if count >= MAX_OVERLAID {
                return Err(OverlayError::TooMany);
            }
            if let Some(schema) = snapshot.schema() {
                Entities::from_entities([entity.clone()], Some(schema))
                    .map_err(|error| OverlayError::Entities(error.into()))?;
                // It is as the schema has it, which the snapshot has already.
                if entity.uid().type_name().basename() == "Action" {
                    continue;
                }
            }
            let (id, entity) = overlaid(&mut self.details.values, &snapshot, entity)?;
            overlay.entities.insert(id, entity);
        }
        overlay.close(&snapshot.store).map_err(|id| {
            let entity = self.uid(id).map(|uid| uid.to_string()).unwrap_or_default();
            StoreError::Hierarchy(HierarchyError::Cycle { entity })
        })?;
        let values = &self.details.values;
        let parts = [values.principal(), values.action(), values.resource()];
        let moved = |id: &EntityId| overlay.is_moved(&snapshot.store, *id);
        let indexed = !parts.iter().any(moved) || planted(Fault::OverlayAsksIndex);
        self.details.values.lay_over(overlay);
        Ok(OverlaidRequest {
            request: self,
            indexed,
        })
    }
}

/// An entity in terms of a request; its ancestors are still to be found.
fn overlaid(
    values: &mut RequestValues,
    snapshot: &Snapshot,
    entity: Entity,
) -> Result<(EntityId, Overlaid), StoreError> {
    let (uid, _, parents) = entity.clone().into_inner();
    let capacity = |error: CapacityError| StoreError::Capacity {
        entity: uid.to_string(),
        error,
    };
    let mut sink = values.sink(&snapshot.interner, &snapshot.store);
    let (id, ty) = sink
        .typed_entity(&uid.type_name().to_string(), uid.id().unescaped())
        .map_err(capacity)?;
    let parents: Result<Vec<EntityId>, _> = parents.iter().map(|uid| sink.uid(uid)).collect();
    let mut parents = parents.map_err(capacity)?;
    parents.sort_unstable();
    let mut attrs =
        pairs(&mut sink, entity.attrs()).map_err(|(attr, error)| StoreError::Attribute {
            entity: uid.to_string(),
            attr,
            error,
        })?;
    let (shape, record) = intern_record(&mut sink, &mut attrs).map_err(capacity)?;
    let mut tags = pairs(&mut sink, entity.tags()).map_err(|(tag, error)| StoreError::Tag {
        entity: uid.to_string(),
        tag,
        error,
    })?;
    tags.sort_unstable_by_key(|(name, _)| *name);
    if planted(Fault::OverlayWithoutTags) {
        tags.clear();
    }
    let header = EntityHeader {
        attrs: record.as_heap_ref().0,
        shape: shape.0,
        ty: ty.0,
        ..MISSING_ENTITY
    };
    let ancestors = Set::default();
    let entity = Overlaid {
        header,
        tags,
        parents,
        ancestors,
    };
    Ok((id, entity))
}

type AttrResult<'e> = (&'e str, Result<EvalResult, PartialValueToValueError>);

/// Names and values in terms of a request; an error names the attribute or tag.
fn pairs<'e>(
    sink: &mut RequestSink<'_>,
    pairs: impl Iterator<Item = AttrResult<'e>>,
) -> Result<Vec<(StrId, Value)>, (String, ValueError)> {
    pairs
        .map(|(name, value)| {
            value
                .map_err(ValueError::from)
                .and_then(|value| Ok((sink.string(name)?, intern_value(sink, &value)?)))
                .map_err(|error| (name.to_owned(), error))
        })
        .collect()
}
