//! Changing the entities of a store.

use super::hierarchy::Closing;
use super::{Children, Reader, Store, StoreError, capacity};
use crate::values::ValueSink;
use cedar_policy::{Entity, EntityUid};
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::shape::EMPTY_SHAPE;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

type Map<K, V> = HashMap<K, V, RandomState>;

/// What was done to the entities of a store so far, and what is still to be done.
#[derive(Debug, Default)]
pub(crate) struct StoreUpdate {
    /// The parents, ascending, of entities that have other ones than the hierarchy was closed for.
    parents: Map<EntityId, Vec<u32>>,
    /// For each entity that was written, whether it existed before all this.
    existed: Map<EntityId, bool>,
    /// Changes that `Children` have got: child, old and new parents.
    edits: Vec<(EntityId, Vec<u32>, Vec<u32>)>,
}

impl StoreUpdate {
    /// Whether nothing was done.
    pub(crate) fn is_empty(&self) -> bool {
        self.existed.is_empty() && self.parents.is_empty()
    }

    /// The entities that were written and whether they existed before.
    pub(crate) fn written(&self) -> impl Iterator<Item = (EntityId, bool)> {
        self.existed.iter().map(|(id, existed)| (*id, *existed))
    }

    /// The entities that have other parents than before.
    pub(crate) fn reparented(&self) -> impl Iterator<Item = EntityId> {
        self.parents.keys().copied()
    }

    /// The children of the store as it is by now, made if they are not there yet.
    fn children<'c>(
        &mut self,
        store: &Store,
        children: &'c mut Option<Children>,
    ) -> &'c mut Children {
        children.get_or_insert_with(|| {
            let mut made = Children::of(store);
            // The store does not have these yet.
            for (child, parents) in &self.parents {
                let old: Vec<u32> = store.parents_of(*child).iter().map(|id| id.0).collect();
                made.change(*child, &old, parents);
                self.edits.push((*child, old, parents.clone()));
            }
            made
        })
    }

    /// An entity and all that is in it by now.
    pub(crate) fn descendants(
        &mut self,
        store: &Store,
        children: &mut Option<Children>,
        entity: EntityId,
    ) -> Vec<EntityId> {
        self.children(store, children).descendants([entity])
    }

    /// Makes `Children` what they were before.
    pub(crate) fn undo(self, children: &mut Option<Children>) {
        let children = children.as_mut();
        if let Some(children) = children.filter(|_| !planted(Fault::FailureKeepsChildren)) {
            for (child, old, new) in self.edits.into_iter().rev() {
                children.change(child, &new, &old);
            }
        }
    }
}

/// A store that is being changed, with what that takes.
pub(crate) struct StoreEditor<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) interner: &'a mut Interner,
    pub(crate) update: &'a mut StoreUpdate,
    /// Made when first needed.
    pub(crate) children: &'a mut Option<Children>,
}

impl StoreEditor<'_> {
    /// Adds an entity, or replaces the one of this uid.
    ///
    /// # Errors
    /// When a value cannot be represented or a table is full. What was done then is half a change.
    pub(crate) fn upsert(
        &mut self,
        uid: &EntityUid,
        entity: &Entity,
        parents: impl IntoIterator<Item = EntityUid>,
    ) -> Result<EntityId, StoreError> {
        let parents: Vec<EntityUid> = parents.into_iter().collect();
        let known = self.interner.entity_count();
        let mut reader = Reader {
            store: self.store,
            interner: self.interner,
        };
        let id = reader.sink().uid(uid).map_err(|e| capacity(uid, e))?;
        let mut parents = reader.ids(parents.iter()).map_err(|e| capacity(uid, e))?;
        if planted(Fault::ParentsOfReplaced) {
            parents.extend(reader.store.parents_of(id).iter().map(|id| id.0));
        }
        reader.store.extend_to(reader.interner);
        let header = reader.read(id, uid, entity)?;
        reader.store.extend_to(reader.interner);
        self.write(id, header);
        self.set_parents(id, parents, id.index() >= known);
        Ok(id)
    }

    /// Takes an entity away, and with it its being a parent of others. Whether there was one.
    pub(crate) fn remove(&mut self, id: EntityId) -> bool {
        if !self.store.exists(id) {
            return false;
        }
        let header = EntityHeader {
            attrs: 0,
            shape: EMPTY_SHAPE.0,
            tags: 0,
            ..*self.store.header(id)
        };
        self.write(id, header);
        self.set_parents(id, Vec::new(), false);
        if planted(Fault::RemovedStaysParent) {
            return true;
        }
        let children = self.children().of_entity(id).to_vec();
        for child in children.into_iter().map(EntityId) {
            let parents = self.parents(child).into_iter();
            let others = parents.filter(|parent| *parent != id.0).collect();
            self.set_parents(child, others, false);
        }
        true
    }

    /// Gives an entity these parents instead of those that it has.
    ///
    /// # Errors
    /// When a table is full.
    pub(crate) fn reparent<'p>(
        &mut self,
        uid: &EntityUid,
        id: EntityId,
        parents: impl Iterator<Item = &'p EntityUid>,
    ) -> Result<(), StoreError> {
        let mut reader = Reader {
            store: self.store,
            interner: self.interner,
        };
        let parents = reader.ids(parents).map_err(|e| capacity(uid, e))?;
        reader.store.extend_to(reader.interner);
        self.set_parents(id, parents, false);
        Ok(())
    }

    /// The parents that an entity has by now, ascending.
    fn parents(&self, id: EntityId) -> Vec<u32> {
        match self.update.parents.get(&id) {
            Some(parents) => parents.clone(),
            None => self.store.parents_of(id).iter().map(|id| id.0).collect(),
        }
    }

    fn write(&mut self, id: EntityId, header: EntityHeader) {
        let existed = self.store.exists(id);
        self.update.existed.entry(id).or_insert(existed);
        self.store.put(id, header);
    }

    /// `fresh` says that the entity was unknown, so that nothing can be in it.
    fn set_parents(&mut self, id: EntityId, mut parents: Vec<u32>, fresh: bool) {
        parents.sort_unstable();
        parents.dedup();
        let old = self.parents(id);
        if old == parents {
            return;
        }
        if !fresh {
            self.children();
        }
        if let Some(children) = self.children {
            children.change(id, &old, &parents);
            self.update.edits.push((id, old, parents.clone()));
        }
        self.update.parents.insert(id, parents);
    }

    fn children(&mut self) -> &mut Children {
        self.update.children(self.store, self.children)
    }

    /// The entities whose ancestors may differ from what they were.
    fn affected(&self) -> Vec<EntityId> {
        let changed = self.update.parents.keys().copied();
        match &self.children {
            Some(_) if planted(Fault::DescendantsNotClosed) => changed.collect(),
            Some(children) => children.descendants(changed),
            // All of them are new.
            None => changed.collect(),
        }
    }

    /// Closes the hierarchy; to be called when everything else is done. Gives the entities whose
    /// ancestors may differ from what they were.
    ///
    /// # Errors
    /// When the hierarchy has a cycle, is too deep, or a table is full.
    pub(crate) fn finish(&mut self) -> Result<Vec<EntityId>, StoreError> {
        self.store.extend_to(self.interner);
        let affected = self.affected();
        let closing = Closing {
            store: self.store,
            interner: self.interner,
            parents: &self.update.parents,
            ancestors: Vec::new(),
        };
        closing.close(&affected)?;
        Ok(affected)
    }
}
