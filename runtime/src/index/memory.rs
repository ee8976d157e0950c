//! What the index takes of memory.

use super::{Action, Class, Group, Groups, Range, ScopeIndex, SideIndex};
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::ids::{EntityId, PolicyIndex};

fn of<T>(table: &Vec<T>) -> TableMemory {
    TableMemory::of::<T>(table.len(), table.capacity())
}

fn of_side(side: &SideIndex) -> TableMemory {
    let types = side.types.len() * size_of::<(u32, Range)>();
    let types = TableMemory {
        used: types,
        reserved: side.types.allocation_size(),
    };
    of::<Groups>(&side.groups) + types
}

impl ScopeIndex {
    /// What the index takes, the lists of names aside, which the store has.
    pub(crate) fn memory(&self) -> TableMemory {
        of::<PolicyIndex>(&self.postings)
            + of::<Group>(&self.groups)
            + of::<Class>(&self.classes)
            + of::<Action>(&self.actions)
            + of::<EntityId>(&self.action_groups)
            + of_side(&self.principals)
            + of_side(&self.resources)
    }
}
