//! The parents of all entities, as ascending lists.
//!
//! Who changes the hierarchy starts from them; everybody else asks for ancestors.

use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::arena::{List, Lists, TableMemory};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;

/// The parents of the entities of a store.
#[derive(Clone, Debug, Default)]
pub(super) struct ParentLists(Lists);

impl From<Lists> for ParentLists {
    fn from(lists: Lists) -> Self {
        Self(lists)
    }
}

impl ParentLists {
    /// Stores one entity's parents, which are sorted in place; gives the header's field for them.
    pub(super) fn add(&mut self, parents: &mut [u32]) -> Result<u32, CapacityError> {
        parents.sort_unstable();
        self.0.add(parents).ok_or(CapacityError {
            what: "parents of entities",
            limit: u64::from(Lists::MOST_WORDS),
        })
    }

    /// The parents of the entity with this header, ascending.
    pub(super) fn of(&self, header: &EntityHeader) -> IdList<'_> {
        IdList(self.0.get(header.parents))
    }

    /// What the lists take.
    pub(super) fn memory(&self) -> TableMemory {
        self.0.memory()
    }
}

/// Ids of entities in ascending order, each once.
#[derive(Clone, Copy, Debug)]
pub struct IdList<'a>(List<'a>);

impl<'a> IdList<'a> {
    /// How many there are.
    #[inline]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The ids.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = EntityId> + ExactSizeIterator + 'a {
        self.0.iter().map(EntityId)
    }

    /// Whether an id is among them. O(log n).
    #[inline]
    pub fn contains(self, id: EntityId) -> bool {
        self.0.contains(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedarjit_ir::abi::missing_entity;

    #[test]
    fn parents_are_found() {
        let mut lists = ParentLists::default();
        for n in [0_u32, 1, 7, 40] {
            let mut own: Vec<u32> = (0..n).map(|i| 3 * i + n).rev().collect();
            let header = EntityHeader {
                parents: lists.add(&mut own).unwrap(),
                ..missing_entity(0)
            };
            let found: Vec<u32> = lists.of(&header).iter().map(|id| id.0).collect();
            assert_eq!(found, own);
            assert!(found.is_sorted());
        }
    }
}
