//! The entities that scopes of policies name, numbered for the scope index.
//!
//! For every entity the store has, on each side of the scope, the list of what policies name among
//! the entity and its ancestors, so that the index searches nothing. Numbers are only added: an
//! entity that no policy names any more keeps its own until the store is built anew.

use super::Store;
use crate::index::Side;
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::arena::{List, Lists, TableMemory};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;

/// The number of an entity that some policy names on one side.
pub(crate) type Name = u32;

/// The lists of names of all entities.
#[derive(Clone, Debug, Default)]
pub(super) struct NameLists {
    lists: Lists,
    /// How many entities have a number, on each side.
    counts: [u32; 2],
}

impl NameLists {
    /// Forgets the lists, but not what has which number.
    pub(super) fn forget_lists(&mut self) {
        self.lists = Lists::default();
    }

    /// What the lists take.
    pub(super) fn memory(&self) -> TableMemory {
        self.lists.memory()
    }
}

impl Store {
    /// What policies name on one side among the entity with this header and its ancestors, in
    /// ascending order.
    #[inline]
    pub(crate) fn named(&self, header: &EntityHeader, side: Side) -> List<'_> {
        self.named.lists.get(header.named[side as usize])
    }

    /// The number of an entity on one side, if it has one.
    #[inline]
    pub(crate) fn name(&self, entity: EntityId, side: Side) -> Option<Name> {
        self.header(entity).name[side as usize].checked_sub(1)
    }

    /// How many numbers were given out on one side.
    pub(crate) fn names(&self, side: Side) -> usize {
        self.named.counts[side as usize] as usize
    }

    /// Numbers an entity on one side, unless it is. Whether it was not: then the lists of the entity
    /// and of its descendants lack it, until they are [listed](Self::list_names) again.
    pub(crate) fn add_name(&mut self, entity: EntityId, side: Side) -> bool {
        let mut header = *self.header(entity);
        let name = &mut header.name[side as usize];
        if *name != 0 || entity.index() >= self.headers().len() {
            return false;
        }
        let count = &mut self.named.counts[side as usize];
        *count += 1;
        *name = *count;
        self.memory_mut().headers.set(entity.index(), header);
        true
    }

    /// Makes the lists of an entity from the names that it and its ancestors have now.
    ///
    /// # Errors
    /// When the table is full.
    pub(crate) fn list_names(&mut self, entity: EntityId) -> Result<(), CapacityError> {
        let old = *self.header(entity);
        let mut header = old;
        for side in Side::ALL {
            let names = self.names_of(entity, side);
            if !self.named(&old, side).iter().eq(names.iter().copied()) {
                let list = self.named.lists.add(&names);
                header.named[side as usize] = list.ok_or(CapacityError {
                    what: "names of policies among ancestors",
                    limit: u64::from(Lists::MOST_WORDS),
                })?;
            }
        }
        if header != old {
            self.memory_mut().headers.set(entity.index(), header);
        }
        Ok(())
    }

    fn names_of(&self, entity: EntityId, side: Side) -> Vec<Name> {
        let ancestors = self.ancestors_of(entity);
        let mut count = ancestors.len();
        if planted(Fault::LastAncestorSkipped) {
            count = count.saturating_sub(1);
        }
        let all = ancestors.iter().take(count).chain([entity]);
        let mut names: Vec<Name> = all.filter_map(|id| self.name(id, side)).collect();
        names.sort_unstable();
        names
    }

    /// Makes the lists of all entities. O(entities and their ancestors).
    ///
    /// # Errors
    /// When the table is full.
    pub(crate) fn list_all_names(&mut self) -> Result<(), CapacityError> {
        let mut all = (0..self.headers().len()).map(EntityId::from_index);
        all.try_for_each(|entity| self.list_names(entity))
    }
}
