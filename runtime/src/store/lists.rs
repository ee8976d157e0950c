//! The ancestors of all entities as ascending lists, to walk, and the parents that they come from.

use cedarjit_ir::arena::{List, Lists, TableMemory};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;

/// Marks a list of ancestors that a list of parents follows; else all ancestors are parents.
const PARENTS_FOLLOW: u32 = 1;

/// The ancestors and parents of the entities of a store, to walk.
#[derive(Clone, Debug, Default)]
pub(super) struct HierarchyLists(Lists);

impl HierarchyLists {
    /// Stores one entity's ancestors and parents, which are sorted in place; gives the header's
    /// field for them.
    pub(super) fn add(
        &mut self,
        ancestors: &mut [u32],
        parents: &mut [u32],
    ) -> Result<u32, CapacityError> {
        ancestors.sort_unstable();
        parents.sort_unstable();
        let follow = parents != ancestors;
        let start = self
            .0
            .add(ancestors, if follow { PARENTS_FOLLOW } else { 0 });
        let parents = if follow {
            self.0.add(parents, 0)
        } else {
            Some(0)
        };
        start.filter(|_| parents.is_some()).ok_or(CapacityError {
            what: "ancestors of entities",
            limit: u64::from(u32::MAX),
        })
    }

    /// The ancestors of the entity with this part, ascending and without itself.
    #[inline]
    pub(super) fn ancestors(&self, start: u32) -> IdList<'_> {
        IdList(self.0.get(start))
    }

    /// The parents of the entity with this part, ascending.
    pub(super) fn parents(&self, start: u32) -> IdList<'_> {
        let ancestors = self.0.get(start);
        match ancestors.mark() {
            PARENTS_FOLLOW => IdList(self.0.get(self.0.next(start))),
            _ => IdList(ancestors),
        }
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

    #[test]
    fn ancestors_and_parents_are_found() {
        let mut lists = HierarchyLists::default();
        for n in [0_u32, 1, 7, 40] {
            for step in [1, 2] {
                let mut own: Vec<u32> = (0..n).map(|i| 3 * i + n).rev().collect();
                let mut parents: Vec<u32> = own.iter().copied().step_by(step).collect();
                let list = lists.add(&mut own, &mut parents).unwrap();
                let ids = |ids: IdList<'_>| ids.iter().map(|id| id.0).collect::<Vec<_>>();
                assert_eq!(ids(lists.ancestors(list)), own);
                assert_eq!(ids(lists.parents(list)), parents);
            }
        }
    }
}
