//! The entities of a snapshot by type.

use crate::request::EntityHandle;
use crate::snapshot::Snapshot;
use crate::store::Store;
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::Interner;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// What a query is about, ascending: the entities that the store has of each type, and the actions
/// that are known, stored or not.
#[derive(Debug, Default)]
pub(crate) struct TypeLists {
    stored: HashMap<TypeId, Vec<EntityId>, RandomState>,
    actions: Vec<EntityId>,
}

impl TypeLists {
    /// O(entities).
    fn of(store: &Store, interner: &Interner) -> Self {
        let mut lists = Self::default();
        let mut action_types: HashMap<TypeId, bool, RandomState> = HashMap::default();
        for (i, header) in store.headers().iter().enumerate() {
            let (id, ty) = (EntityId::from_index(i), TypeId(header.ty));
            if header.attrs != 0 {
                lists.stored.entry(ty).or_default().push(id);
            }
            let name = || interner.str(ty.name());
            let is_action = action_types.entry(ty).or_insert_with(|| is_action(name()));
            if *is_action {
                lists.actions.push(id);
            }
        }
        lists
    }

    fn memory(&self) -> TableMemory {
        let of = |list: &Vec<EntityId>| TableMemory::of::<EntityId>(list.len(), list.capacity());
        self.stored.values().chain([&self.actions]).map(of).sum()
    }
}

/// Whether a type is one of actions, which Cedar tells by its name.
fn is_action(ty: &str) -> bool {
    ty.rsplit("::").next() == Some("Action")
}

impl Snapshot {
    /// What the lists for batches and queries take of memory.
    pub(crate) fn lists_memory(&self) -> TableMemory {
        let types = self.types.get().map(TypeLists::memory);
        types.unwrap_or_default() + self.lists.memory()
    }

    fn types(&self) -> &TypeLists {
        self.types
            .get_or_init(|| TypeLists::of(&self.store, &self.interner))
    }

    /// The stored entities of a type, ascending; none if nothing has that name.
    pub(super) fn stored_of(&self, ty: &str) -> &[EntityId] {
        let ty = self.interner.find_str(ty).map(TypeId::of_name);
        let stored = ty.and_then(|ty| self.types().stored.get(&ty));
        stored.map_or(&[], Vec::as_slice)
    }

    /// The types of stored entities and these, in the order of the first of each.
    pub(super) fn stored_types(&self) -> Vec<(&str, &[EntityId])> {
        let stored = self.types().stored.iter();
        let name = |ty: &TypeId| self.interner.str(ty.name());
        let mut types: Vec<_> = stored.map(|(ty, ids)| (name(ty), ids.as_slice())).collect();
        types.sort_unstable_by_key(|(_, ids)| ids.first().copied());
        types
    }

    /// The actions that policies, entities or the schema mention, ascending.
    pub(super) fn known_actions(&self) -> &[EntityId] {
        &self.types().actions
    }

    /// The stored entities of a type, in ascending order of the snapshot's ids.
    ///
    /// A type's name is written as Cedar prints it. The first question about types for a snapshot
    /// takes O(entities), to list them by type.
    pub fn entities_of(&self, ty: &str) -> impl ExactSizeIterator<Item = EntityHandle> {
        let stored = self.stored_of(ty).iter();
        stored.map(|id| EntityHandle::new(*id, &self.interner))
    }

    /// The actions that the schema declares and those that policies or entities have mentioned since
    /// the entities were loaded, in ascending order of the snapshot's ids.
    pub fn actions(&self) -> impl ExactSizeIterator<Item = EntityHandle> {
        let known = self.known_actions().iter();
        known.map(|id| EntityHandle::new(*id, &self.interner))
    }
}
