//! Changing who is in whom: descendants are closed anew, and nothing else.

use super::reversed::Reversed;
use super::{Store, StoreError};
use cedarjit_frontend::limits::{LimitError, MAX_ENTITY_HIERARCHY};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::{CapacityError, Interner};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::mem;

type Map<K, V> = HashMap<K, V, RandomState>;
type Set<K> = HashSet<K, RandomState>;

/// Why entities cannot have the parents that they were given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HierarchyError {
    /// An entity would be its own ancestor.
    #[error("entity `{entity}` would be in itself: the hierarchy must not have cycles")]
    Cycle {
        /// An entity of the cycle.
        entity: String,
    },
    /// A chain of parents would be too long.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A table would outgrow its ids.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

impl From<CapacityError> for StoreError {
    fn from(error: CapacityError) -> Self {
        StoreError::Hierarchy(HierarchyError::Capacity(error))
    }
}

/// Who has an entity as a parent: the hierarchy, upside down.
///
/// Made for a whole store once, in O(entities), and then kept up to date.
#[derive(Clone, Debug)]
pub(crate) struct Children {
    /// The children of each entity, when this was made.
    original: Reversed,
    /// The children of the parents that have changed since.
    changed: Map<u32, Vec<u32>>,
}

impl Children {
    /// The children of all entities of a store.
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            // The lists of parents have fewer than four billion places.
            original: Reversed::parents(store).unwrap_or_default(),
            changed: Map::default(),
        }
    }

    /// The entities that have this one as a parent, in no order.
    pub(crate) fn of_entity(&self, parent: EntityId) -> &[u32] {
        match self.changed.get(&parent.0) {
            Some(children) => children,
            None => self.original.to(parent),
        }
    }

    fn edit(&mut self, parent: u32) -> &mut Vec<u32> {
        let original = match self.changed.contains_key(&parent) {
            true => Vec::new(),
            false => self.original.to(EntityId(parent)).to_vec(),
        };
        self.changed.entry(parent).or_insert(original)
    }

    /// Notes that a child has other parents.
    pub(crate) fn change(&mut self, child: EntityId, old: &[u32], new: &[u32]) {
        for parent in old.iter().filter(|parent| !new.contains(parent)) {
            let children = self.edit(*parent);
            if let Some(place) = children.iter().position(|id| *id == child.0) {
                children.swap_remove(place);
            }
        }
        for parent in new.iter().filter(|parent| !old.contains(parent)) {
            self.edit(*parent).push(child.0);
        }
    }

    /// These entities and all that have one of them as an ancestor, each once.
    pub(crate) fn descendants(
        &self,
        entities: impl IntoIterator<Item = EntityId>,
    ) -> Vec<EntityId> {
        let mut seen: Set<EntityId> = Set::default();
        let mut all: Vec<EntityId> = entities.into_iter().filter(|id| seen.insert(*id)).collect();
        let mut next = 0;
        while let Some(entity) = all.get(next) {
            next += 1;
            let children = self.of_entity(*entity).iter();
            let new: Vec<EntityId> = children
                .map(|id| EntityId(*id))
                .filter(|id| seen.insert(*id))
                .collect();
            all.extend(new);
        }
        all
    }
}

/// The uid of an entity as Cedar writes it.
pub(crate) fn uid_text(interner: &Interner, entity: EntityId) -> String {
    let Some((ty, eid)) = interner.entity(entity) else {
        return String::new();
    };
    let (ty, eid) = (interner.str(ty.name()), interner.str(eid));
    format!("{ty}::\"{}\"", eid.escape_debug())
}

/// Computes the ancestors of entities whose parents, or whose ancestors' parents, have changed.
pub(super) struct Closing<'a> {
    pub(super) store: &'a mut Store,
    pub(super) interner: &'a Interner,
    /// The new parents of entities that have new ones, ascending.
    pub(super) parents: &'a Map<EntityId, Vec<u32>>,
    /// Memory for the ancestors of one entity.
    pub(super) ancestors: Vec<u32>,
}

impl Closing<'_> {
    /// Closes these entities, which include all descendants of each of them. Fastest if parents
    /// come first.
    pub(super) fn close(mut self, affected: &[EntityId]) -> Result<(), HierarchyError> {
        let mut open: Set<EntityId> = affected.iter().copied().collect();
        // What waits for a parent, and for its parents.
        let mut waiting: Vec<EntityId> = Vec::new();
        let mut entered: Set<EntityId> = Set::default();
        let mut parents = Vec::new();
        for entity in affected {
            let mut next = Some(*entity).filter(|entity| open.contains(entity));
            while let Some(current) = next {
                parents.clear();
                self.parents(current, &mut parents);
                let first = parents.iter().find(|id| open.contains(&EntityId(**id)));
                next = match first.map(|id| EntityId(*id)) {
                    Some(parent) => {
                        if !entered.insert(current) || parent == current {
                            return Err(self.cycle(current));
                        }
                        waiting.push(current);
                        Some(parent)
                    }
                    None => {
                        self.close_one(current, &mut parents)?;
                        open.remove(&current);
                        entered.remove(&current);
                        let waited = waiting.pop();
                        if let Some(waited) = waited {
                            entered.remove(&waited);
                        }
                        waited
                    }
                };
            }
        }
        Ok(())
    }

    /// Adds the parents of an entity.
    fn parents(&self, entity: EntityId, parents: &mut Vec<u32>) {
        match self.parents.get(&entity) {
            Some(new) => parents.extend(new),
            None => parents.extend(self.store.parents_of(entity).iter().map(|id| id.0)),
        }
    }

    fn cycle(&self, entity: EntityId) -> HierarchyError {
        HierarchyError::Cycle {
            entity: uid_text(self.interner, entity),
        }
    }

    /// Closes an entity whose parents are closed.
    fn close_one(&mut self, entity: EntityId, parents: &mut [u32]) -> Result<(), HierarchyError> {
        let mut ancestors = mem::take(&mut self.ancestors);
        ancestors.clear();
        ancestors.extend_from_slice(parents);
        for parent in &*parents {
            let more = self.store.ancestors_of(EntityId(*parent)).iter();
            ancestors.extend(more.map(|id| id.0));
        }
        ancestors.sort_unstable();
        ancestors.dedup();
        if ancestors.binary_search(&entity.0).is_ok() {
            return Err(self.cycle(entity));
        }
        if ancestors.len() >= MAX_ENTITY_HIERARCHY {
            self.check_depth(&ancestors)?;
        }
        let header = *self.store.header(entity);
        let listed = header.parents != 0 && planted(Fault::NamesOfOldAncestors);
        let header = self.store.hierarchy(header, &ancestors, parents)?;
        self.ancestors = ancestors;
        self.store.put(entity, header);
        if listed {
            return Ok(());
        }
        Ok(self.store.list_names(entity)?)
    }

    /// Whether no chain of these ancestors, which are closed, is too long. An entity has fewer
    /// ancestors than what is in it, so in the order of how many they have parents come first.
    fn check_depth(&self, ancestors: &[u32]) -> Result<(), LimitError> {
        let mut ordered: Vec<EntityId> = ancestors.iter().map(|id| EntityId(*id)).collect();
        ordered.sort_by_key(|id| self.store.ancestors_of(*id).len());
        let mut depths: Map<EntityId, usize> = Map::default();
        for entity in ordered {
            let parents = self.store.parents_of(entity).iter();
            let above = parents.filter_map(|id| depths.get(&id)).max();
            let depth = above.copied().unwrap_or(0) + 1;
            // The entity that is being closed is one more.
            if depth >= MAX_ENTITY_HIERARCHY {
                return Err(LimitError::Hierarchy {
                    limit: MAX_ENTITY_HIERARCHY,
                });
            }
            depths.insert(entity, depth);
        }
        Ok(())
    }
}
