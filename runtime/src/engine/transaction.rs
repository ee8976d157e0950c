//! A transaction: the next state of an engine, in the making.

use super::build::{EntitySource, read_entities, without_links};
use super::policies::{Ground, PolicyChange, renumber};
use super::{BuildError, Source, UpdateError};
use crate::index::Side;
use crate::recent::Naming;
use crate::snapshot::{EngineSchema, Parts, Snapshot};
use crate::store::{Children, Compaction, LiveBytes, Name, Store, StoreEditor, StoreUpdate};
use cedar_policy::{
    Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Schema, SlotId, Template,
};
use cedarjit_frontend::limits::check_entity_count;
use cedarjit_frontend::load::{SchemaFormat, load_policies};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::Interner;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// Changes of an engine that take effect together: see [`Engine::update`](crate::Engine::update).
///
/// What a transaction has done is seen by what it does later. A method that fails may have done half
/// of its work: the whole transaction fails then, whatever the closure makes of the error.
pub struct Transaction<'e> {
    earlier: Arc<Snapshot>,
    source: &'e mut Source,
    interner: Interner,
    store: Store,
    entities: StoreUpdate,
    schema: Option<Arc<EngineSchema>>,
    /// The changed policies; `None` as long as there is no change.
    policies: Option<PolicyChange>,
    /// Whether ids mean something else than in the earlier snapshot.
    renumbered: bool,
    /// Whether a method has failed.
    failed: bool,
    started: Instant,
}

impl fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").finish_non_exhaustive()
    }
}

impl Drop for Transaction<'_> {
    /// Undoes what was done to what the next transaction begins with.
    fn drop(&mut self) {
        mem::take(&mut self.entities).undo(&mut self.source.children);
        // What was made since is in terms of an interner that a failed transaction does not keep.
        if self.renumbered {
            self.source.children = None;
        }
    }
}

impl<'e> Transaction<'e> {
    pub(super) fn begin(earlier: Arc<Snapshot>, source: &'e mut Source) -> Self {
        Self {
            interner: earlier.interner.clone(),
            store: earlier.store.clone(),
            source,
            entities: StoreUpdate::default(),
            schema: earlier.schema.clone(),
            earlier,
            policies: None,
            renumbered: false,
            failed: false,
            started: Instant::now(),
        }
    }

    /// Adds an entity, or replaces the one with its uid: attributes, tags and parents.
    ///
    /// What is in the entity is then in its new parents, and no longer in those that it had. With a
    /// schema the entity must fit it; an action must be as the schema has it.
    ///
    /// # Errors
    /// When the entity does not fit the schema or cannot be stored. Whether the hierarchy has a
    /// cycle is found at the end of the transaction.
    pub fn upsert_entity(&mut self, entity: Entity) -> Result<(), UpdateError> {
        self.step(|tx| {
            if let Some(schema) = tx.schema() {
                Entities::from_entities([entity.clone()], Some(schema))?;
                if is_action(&entity.uid()) {
                    return Ok(());
                }
            }
            let (uid, _, parents) = entity.clone().into_inner();
            tx.editor().upsert(&uid, &entity, parents)?;
            Ok(())
        })
    }

    /// Removes an entity; whether there was one. Others that had it as a parent have it no more.
    ///
    /// Policies and attributes may go on naming it, as any entity that does not exist.
    ///
    /// # Errors
    /// When the entity is an action of the schema.
    pub fn remove_entity(&mut self, uid: &EntityUid) -> Result<bool, UpdateError> {
        self.step(|tx| match tx.existing(uid)? {
            Some(id) => Ok(tx.editor().remove(id)),
            None => Ok(false),
        })
    }

    /// Gives an entity these parents instead of those that it has; whether there is such an entity.
    ///
    /// # Errors
    /// When the schema does not admit the parents, or the entity is an action of the schema.
    pub fn set_parents(
        &mut self,
        uid: &EntityUid,
        parents: impl IntoIterator<Item = EntityUid>,
    ) -> Result<bool, UpdateError> {
        let parents: HashSet<EntityUid> = parents.into_iter().collect();
        self.step(|tx| {
            let Some(id) = tx.existing(uid)? else {
                return Ok(false);
            };
            if let Some(schema) = tx.schema() {
                let entity = tx.store.entity(&tx.interner, id, parents.iter().cloned());
                Entities::from_entities(entity, Some(schema))?;
            }
            tx.editor().reparent(uid, id, parents.iter())?;
            Ok(true)
        })
    }

    /// Replaces all entities. With a schema they must fit it, and it supplies the actions.
    ///
    /// # Errors
    /// When the entities do not fit the schema or cannot be stored.
    pub fn replace_entities(&mut self, entities: Entities) -> Result<(), UpdateError> {
        self.step(|tx| {
            let entities = read_entities(EntitySource::Entities(entities), tx.schema())?;
            tx.store_anew(&entities, &HashMap::new())
        })
    }

    /// Replaces the schema, or gives one to an engine without, from text in Cedar's schema syntax.
    ///
    /// What was there is checked as if the engine were built anew: the entities must fit the new
    /// schema, actions that the old one supplied go, and the new one supplies its own. Takes as long as
    /// loading the entities.
    ///
    /// # Errors
    /// When the text is not a schema, or the entities do not fit it.
    pub fn replace_schema_str(&mut self, text: &str) -> Result<(), UpdateError> {
        self.replace_schema_text(text, SchemaFormat::Cedar)
    }

    /// As [`replace_schema_str`](Self::replace_schema_str), from JSON.
    ///
    /// # Errors
    /// When the text is not a schema, or the entities do not fit it.
    pub fn replace_schema_json(&mut self, text: &str) -> Result<(), UpdateError> {
        self.replace_schema_text(text, SchemaFormat::Json)
    }

    /// As [`replace_schema_str`](Self::replace_schema_str), from a parsed schema, which gives code no
    /// types: see [`EngineBuilder::schema`](crate::EngineBuilder::schema).
    ///
    /// # Errors
    /// When the entities do not fit the schema.
    pub fn replace_schema(&mut self, schema: &Schema) -> Result<(), UpdateError> {
        let schema = EngineSchema::of_value(schema.clone());
        self.step(|tx| tx.set_schema(Some(schema)))
    }

    /// Takes the schema away, with the actions that it supplies; whether there was one.
    ///
    /// # Errors
    /// When the hierarchy of the entities has a cycle by now.
    pub fn remove_schema(&mut self) -> Result<bool, UpdateError> {
        let existed = self.schema.is_some();
        if existed {
            self.step(|tx| tx.set_schema(None))?;
        }
        Ok(existed)
    }

    fn replace_schema_text(&mut self, text: &str, format: SchemaFormat) -> Result<(), UpdateError> {
        self.step(|tx| {
            let schema =
                EngineSchema::of_text(text.to_owned(), format).map_err(BuildError::from)?;
            tx.set_schema(Some(schema))
        })
    }

    fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref().map(|schema| &schema.schema)
    }

    /// Goes on with another schema, and with the entities checked against it.
    fn set_schema(&mut self, schema: Option<EngineSchema>) -> Result<(), UpdateError> {
        self.editor().finish()?;
        let supplied = self.schema.is_some();
        let own = |entity: &Entity| !(supplied && is_action(&entity.uid()));
        let entities = self.store.entities(&self.interner).filter(own);
        let entities: Vec<Entity> = entities.collect();
        let parents = |entity: &Entity| {
            let (uid, _, parents) = entity.clone().into_inner();
            (uid, parents.into_iter().collect())
        };
        let told = entities
            .iter()
            .filter(|_| !planted(Fault::SchemaForgetsParents));
        let parents = told.map(parents).collect();
        self.schema = schema.map(Arc::new);
        let entities = Entities::from_entities(entities, self.schema())?;
        check_entity_count(entities.len())?;
        self.store_anew(&entities, &parents)
    }

    /// Goes on with these entities, everything numbered anew; `parents` tells parents from other
    /// ancestors where that is known.
    fn store_anew(
        &mut self,
        entities: &Entities,
        parents: &HashMap<EntityUid, Vec<EntityUid>>,
    ) -> Result<(), UpdateError> {
        let mut interner = Interner::new();
        let store = Store::build_with(entities, parents, &mut interner)?;
        self.renumber(interner, store)
    }

    /// Adds a static policy.
    ///
    /// # Errors
    /// When the id is taken, the policy is a link, or it cannot be loaded.
    pub fn add_policy(&mut self, policy: Policy) -> Result<(), UpdateError> {
        self.change_policies(|policies, ground| policies.add(policy, ground))
    }

    /// Adds a template.
    ///
    /// # Errors
    /// When the id is taken or the template cannot be loaded.
    pub fn add_template(&mut self, template: Template) -> Result<(), UpdateError> {
        self.change_policies(|policies, ground| policies.add_template(template, ground))
    }

    /// Links a template: adds the policy that fills its slots with `slots`.
    ///
    /// # Errors
    /// When there is no such template, the id is taken, or `slots` are not exactly the template's.
    pub fn link(
        &mut self,
        template_id: PolicyId,
        link_id: PolicyId,
        slots: HashMap<SlotId, EntityUid>,
    ) -> Result<(), UpdateError> {
        self.change_policies(|policies, ground| policies.link(template_id, link_id, slots, ground))
    }

    /// Removes a static policy or a link.
    ///
    /// # Errors
    /// When there is no policy with this id.
    pub fn remove_policy(&mut self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|policies, ground| policies.remove(id, ground))
    }

    /// Removes a template that no policy is linked to.
    ///
    /// # Errors
    /// When there is no template with this id, or links of it remain.
    pub fn remove_template(&mut self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|policies, ground| policies.remove_template(id, ground))
    }

    /// Replaces all policies, templates and links.
    ///
    /// # Errors
    /// When they cannot be loaded.
    pub fn replace_policies(&mut self, policies: &PolicySet) -> Result<(), UpdateError> {
        self.step(|tx| {
            let loaded = load_policies(policies, &mut tx.interner)?;
            let set = without_links(policies.clone());
            tx.policies = Some(PolicyChange::replaced(tx.earlier.clone(), set, loaded));
            Ok(())
        })
    }

    /// Makes the next snapshot, unless there is nothing new. Calls `keep` when nothing else can fail.
    pub(super) fn commit(
        mut self,
        keep: impl FnOnce() -> Result<(), UpdateError>,
    ) -> Result<Option<Snapshot>, UpdateError> {
        if self.failed {
            return Err(UpdateError::Failed);
        }
        let affected = self.editor().finish()?;
        check_entity_count(self.store.len())?;
        let next = self.next(&affected)?;
        keep()?;
        let Some(next) = next else {
            return Ok(None);
        };
        if let Some(set) = self.policies.take().and_then(PolicyChange::into_set) {
            self.source.policies = set;
        }
        // Nothing is to be undone.
        self.entities = StoreUpdate::default();
        Ok(Some(next))
    }

    fn next(&mut self, affected: &[EntityId]) -> Result<Option<Snapshot>, UpdateError> {
        let changed = !self.entities.is_empty();
        if self.policies.is_none() && !changed {
            return Ok(None);
        }
        let recent = match &self.policies {
            None => Some(self.earlier.recent.clone()),
            Some(policies) => policies.recent().map(|recent| {
                let recent = Some(recent).filter(|recent| !recent.is_empty());
                recent.map(|recent| Arc::new(recent.clone()))
            }),
        };
        let compacted = self.compact()?;
        if let Some(recent) = recent.filter(|_| !compacted) {
            let next = self.earlier.with_changes(
                recent,
                &self.interner,
                &self.store,
                &self.entities,
                affected,
                self.started,
            );
            if let Some(next) = next {
                next.demote_recent(&self.source.interpreted);
                return Ok(Some(next));
            }
        }
        let earlier = &self.earlier;
        let policies = (self.policies).get_or_insert_with(|| PolicyChange::new(earlier.clone()));
        let policies = mem::take(policies.full());
        let observed = match changed || compacted || self.renumbered {
            true => Arc::default(),
            false => Arc::clone(self.earlier.buckets.facts()),
        };
        let next = Snapshot::build(Parts {
            interner: self.interner.clone(),
            store: self.store.clone(),
            policies,
            schema: self.schema.clone(),
            jit: self.source.jit,
            index: self.source.index,
            check: self.source.check.clone(),
            interpreted: &self.source.interpreted,
            earlier: Some(&*self.earlier).filter(|_| !self.renumbered),
            observed,
            started: self.started,
        })?;
        if compacted || self.renumbered {
            let live = LiveBytes::of(&next.store, &next.interner);
            self.source.live = match self.renumbered {
                true => live,
                false => self.source.live.with_store_of(live),
            };
        }
        Ok(Some(next))
    }

    /// Goes on with entities in terms of another interner.
    fn renumber(&mut self, mut interner: Interner, store: Store) -> Result<(), UpdateError> {
        let policies = self.policies.take();
        let mut policies = policies.unwrap_or_else(|| PolicyChange::new(self.earlier.clone()));
        let loaded = mem::take(policies.full());
        let set = policies.into_set();
        let set = set.unwrap_or_else(|| self.source.policies.clone());
        let loaded = renumber(&set, &loaded, &self.interner, &mut interner)?;
        self.policies = Some(PolicyChange::replaced(self.earlier.clone(), set, loaded));
        (self.interner, self.store) = (interner, store);
        // Who is in whom was in terms of the interner before.
        self.entities = StoreUpdate::default();
        if !planted(Fault::ChildrenOfReplaced) {
            self.source.children = None;
        }
        self.renumbered = true;
        Ok(())
    }

    /// Leaves garbage behind, if there is so much that it pays. Whether the store is another then.
    fn compact(&mut self) -> Result<bool, UpdateError> {
        match self.source.live.due(&self.store, &self.interner) {
            None => return Ok(false),
            Some(Compaction::Store) => {
                self.store = self.store.compact().map_err(BuildError::from)?;
            }
            Some(Compaction::Names) => {
                let mut interner = Interner::new();
                let store = self.store.renumber(&self.interner, &mut interner);
                self.renumber(interner, store.map_err(BuildError::from)?)?;
            }
        }
        Ok(true)
    }

    fn editor(&mut self) -> StoreEditor<'_> {
        StoreEditor {
            store: &mut self.store,
            interner: &mut self.interner,
            update: &mut self.entities,
            children: &mut self.source.children,
        }
    }

    /// Does a part of the work; if that fails, so does the whole.
    fn step<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        let result = work(self);
        self.failed |= result.is_err() && !planted(Fault::FailedPartForgotten);
        result
    }

    fn change_policies(
        &mut self,
        change: impl FnOnce(&mut PolicyChange, Ground<'_>) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        self.step(|tx| {
            let Self {
                earlier,
                source,
                interner,
                store,
                entities,
                policies,
                ..
            } = tx;
            let policies = policies.get_or_insert_with(|| PolicyChange::new(earlier.clone()));
            let known = earlier.interner.entity_count();
            let mut naming = StoreNaming {
                store,
                known,
                entities,
                children: &mut source.children,
            };
            let ground = Ground {
                set: &source.policies,
                interner,
                naming: &mut naming,
            };
            change(policies, ground)
        })
    }

    /// The entity of this uid, which may be changed.
    fn existing(&self, uid: &EntityUid) -> Result<Option<EntityId>, UpdateError> {
        let (ty, eid) = (uid.type_name().to_string(), uid.id().unescaped());
        let id = self.interner.find_entity(&ty, eid);
        let existing = id.filter(|id| self.store.exists(*id));
        if existing.is_some() && self.schema().is_some() && is_action(uid) {
            return Err(UpdateError::SchemaAction(Box::new(uid.clone())));
        }
        Ok(existing)
    }
}

/// Numbers entities in a transaction's store.
struct StoreNaming<'a> {
    store: &'a mut Store,
    /// How many entities were known when the transaction began.
    known: usize,
    entities: &'a mut StoreUpdate,
    children: &'a mut Option<Children>,
}

impl Naming for StoreNaming<'_> {
    fn extend_to(&mut self, interner: &Interner) {
        self.store.extend_to(interner);
    }

    fn name(&mut self, entity: EntityId, side: Side) -> Option<Name> {
        if self.store.add_name(entity, side) {
            // Nothing is in an entity that nobody knew; what this transaction puts in it is listed
            // when the hierarchy is closed.
            let below = match entity.index() < self.known {
                true => self.entities.descendants(self.store, self.children, entity),
                false => vec![entity],
            };
            for entity in below {
                self.store.list_names(entity).ok()?;
            }
        }
        self.store.name(entity, side)
    }
}

/// Whether a uid is that of an action.
fn is_action(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Action"
}
