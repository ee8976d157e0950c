//! Relations between entities, the other way round.

use super::Store;
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::heap::Object;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::AttrOf;

/// For each entity those that a relation leads from to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reversed {
    /// Where those of each entity begin in `from`.
    starts: Vec<u32>,
    from: Vec<u32>,
}

impl Reversed {
    /// Who has whom as an ancestor, for all entities; `None` if that is more than four billion times.
    ///
    /// O(entities + their ancestors).
    pub(crate) fn ancestors(store: &Store) -> Option<Self> {
        let ancestors = |id| store.ancestors_of(id).iter();
        Self::of(store, |id| {
            ancestors(id).map(move |ancestor| (id, ancestor))
        })
    }

    /// Who has whom as a parent, for all entities; `None` if that is more than four billion times.
    ///
    /// O(entities + their parents).
    pub(super) fn parents(store: &Store) -> Option<Self> {
        let parents = |id| store.parents_of(id).iter();
        Self::of(store, |id| parents(id).map(move |parent| (id, parent)))
    }

    /// Which existing entities of a type have whom in an attribute, as its value or as an element; `None`
    /// if that is more than four billion times.
    ///
    /// O(entities + elements of the attribute).
    pub(crate) fn attribute(store: &Store, of: AttrOf) -> Option<Self> {
        Self::of(store, |id| {
            let header = store.header(id);
            let value = (header.ty == of.ty.0).then(|| store.attr(id, of.attr));
            let held = value.flatten().map(|value| entities(store, value));
            held.into_iter().flatten().map(move |held| (id, held))
        })
    }

    /// Turns round a relation between the entities of a store, given the pairs of each. Pairs with
    /// an entity that the store does not have are left out.
    fn of<P>(store: &Store, pairs: impl Fn(EntityId) -> P) -> Option<Self>
    where
        P: Iterator<Item = (EntityId, EntityId)>,
    {
        let entities = store.headers().len();
        let pairs = || (0..entities).map(EntityId::from_index).flat_map(&pairs);
        let mut starts = vec![0_u32; entities + 2];
        // Counted two places further on, so that filling moves each start to its place.
        for (_, to) in pairs() {
            if let Some(count) = starts.get_mut(to.index() + 2) {
                *count = count.checked_add(1)?;
            }
        }
        let mut sum = 0_u32;
        for start in &mut starts {
            sum = sum.checked_add(*start)?;
            *start = sum;
        }
        let mut all = vec![0; sum as usize];
        for (from, to) in pairs() {
            if let Some(next) = starts.get_mut(to.index() + 1) {
                if let Some(place) = all.get_mut(*next as usize) {
                    *place = from.0;
                }
                *next += 1;
            }
        }
        Some(Self { starts, from: all })
    }

    /// Those that the relation leads from to this entity, ascending.
    pub(crate) fn to(&self, entity: EntityId) -> &[u32] {
        let mut bounds = self.starts.iter().skip(entity.index()).copied();
        let (Some(start), Some(end)) = (bounds.next(), bounds.next()) else {
            return &[];
        };
        self.from.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// What this takes of memory.
    pub(crate) fn memory(&self) -> TableMemory {
        TableMemory::of::<u32>(self.starts.len(), self.starts.capacity())
            + TableMemory::of::<u32>(self.from.len(), self.from.capacity())
    }
}

/// The entity that an attribute's value is, or those in the set that it is; none if it is something else.
pub(crate) fn entities(store: &Store, value: Value) -> impl Iterator<Item = EntityId> {
    let set = (value.tag == Tag::Set).then(|| store.heaps().object(value.as_heap_ref()));
    let elements = set.flatten().into_iter().flat_map(Object::values);
    let all = elements.chain([value]);
    all.filter(|value| value.tag == Tag::Entity)
        .map(Value::as_entity)
}
