//! A store without what nothing refers to any more.
//!
//! Tables only grow: values, ancestors, tags and names that an entity had before it was changed stay
//! where they are, since older snapshots may read them. When they have become too many, what is left
//! is copied into new tables.

use super::Store;
use cedarjit_ir::abi::{EntityHeader, missing_entity};
use cedarjit_ir::heap::{Heap, HeapRef, Heaps, Object};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::EMPTY_SHAPE;
use cedarjit_ir::value::{Tag, Value};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

type Map<K, V> = HashMap<K, V, RandomState>;

/// How many bytes of garbage are not worth copying a store for.
const SLACK: usize = 4 << 20;

/// How large the tables were when they held nothing but what was needed, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LiveBytes {
    store: usize,
    interner: usize,
}

/// What is to be copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compaction {
    /// Entities and values; their names stay as they are numbered.
    Store,
    /// Names as well: everything is numbered anew.
    Names,
}

impl LiveBytes {
    pub(crate) fn of(store: &Store, interner: &Interner) -> Self {
        Self {
            store: store.table_bytes(),
            interner: interner.memory().used,
        }
    }

    /// These, after the store was copied and the names were not: so their garbage goes on counting.
    pub(crate) fn with_store_of(self, after: Self) -> Self {
        Self {
            store: after.store,
            ..self
        }
    }

    /// What should be copied, now that tables have become larger: at least half of what is copied
    /// is garbage, so that copying costs a change no more, on average, than what it added.
    pub(crate) fn due(self, store: &Store, interner: &Interner) -> Option<Compaction> {
        let now = Self::of(store, interner);
        let due = |now: usize, live: usize| now > live.saturating_mul(2).saturating_add(SLACK);
        if due(now.interner, self.interner) {
            Some(Compaction::Names)
        } else {
            due(now.store, self.store).then_some(Compaction::Store)
        }
    }
}

impl Store {
    /// How many bytes the tables use that only grow.
    pub(crate) fn table_bytes(&self) -> usize {
        let memory = &self.memory;
        let tables = [
            memory.heap.memory(),
            memory.ancestors.memory(),
            self.parents.memory(),
            self.tags.memory(),
            self.named.memory(),
        ];
        tables.iter().map(|table| table.used).sum()
    }

    /// The same entities in new tables, under the same ids.
    ///
    /// # Errors
    /// None that the old tables did not have; a table that is full.
    pub(crate) fn compact(&self) -> Result<Self, CapacityError> {
        let mut to = self.clone();
        let memory = to.memory_mut();
        memory.heap = Heap::new(memory.heap.space());
        memory.ancestors = Default::default();
        memory.headers = Default::default();
        to.parents = Default::default();
        to.tags = Default::default();
        to.named.forget_lists();
        let kept = |header: &EntityHeader| EntityHeader {
            name: header.name,
            ..missing_entity(header.ty)
        };
        to.memory_mut().headers = self.headers().iter().map(kept).collect();
        Copy {
            from: self,
            to,
            names: None,
            shapes: Map::default(),
            objects: Map::default(),
        }
        .run()
    }

    /// The same entities in new tables, and in terms of another interner, which is empty.
    ///
    /// # Errors
    /// As [`compact`](Self::compact).
    pub(crate) fn renumber(
        &self,
        old: &Interner,
        new: &mut Interner,
    ) -> Result<Self, CapacityError> {
        let to = Self::empty(new);
        Copy {
            from: self,
            to,
            names: Some((old, new)),
            shapes: Map::default(),
            objects: Map::default(),
        }
        .run()
    }
}

/// A shape in the copy, and for each of its names the position in the original.
type NewShape = (ShapeId, Arc<[usize]>);

struct Copy<'a> {
    from: &'a Store,
    to: Store,
    /// The interners of both, if they differ.
    names: Option<(&'a Interner, &'a mut Interner)>,
    shapes: Map<ShapeId, NewShape>,
    /// Where each object is in the copy.
    objects: Map<u32, HeapRef>,
}

impl Copy<'_> {
    fn run(mut self) -> Result<Store, CapacityError> {
        let empty = self.to.memory_mut().heap.record(&[], EMPTY_SHAPE, &[])?;
        self.to.empty_record = empty;
        self.objects.insert(self.from.empty_record.0, empty);
        self.copy_objects()?;
        self.to.existing = 0;
        for i in 0..self.from.headers().len() {
            let id = EntityId::from_index(i);
            self.copy_entity(id)?;
        }
        if let Some((_, interner)) = &self.names {
            self.to.extend_to(interner);
        }
        self.to.list_all_names()?;
        Ok(self.to)
    }

    fn object(&self, reference: HeapRef) -> Option<Object<'_>> {
        let heap = self.from.heap();
        let heaps = Heaps {
            global: heap,
            request: heap,
            scratch: heap,
        };
        heaps.object(reference)
    }

    /// Copies the values that entities have. What a value consists of was there before it, so the
    /// order in which they were made is one in which they can be copied.
    fn copy_objects(&mut self) -> Result<(), CapacityError> {
        let mut found: Vec<u32> = Vec::new();
        let mut seen: Map<u32, ()> = Map::default();
        let mut note = |value: Value, found: &mut Vec<u32>| {
            let reference = value.as_heap_ref();
            if value.tag.is_heap() && seen.insert(reference.0, ()).is_none() {
                found.push(reference.0);
            }
        };
        for i in 0..self.from.headers().len() {
            let id = EntityId::from_index(i);
            let attrs = HeapRef(self.from.header(id).attrs);
            if attrs.is_some() {
                note(attrs.value(Tag::Record), &mut found);
            }
            for (_, value) in self.from.tags(id).iter() {
                note(value, &mut found);
            }
        }
        let mut next = 0;
        while let Some(reference) = found.get(next) {
            next += 1;
            let parts = self.object(HeapRef(*reference));
            // An IP address has no parts.
            let parts: Vec<Value> = parts.into_iter().flat_map(Object::values).collect();
            for value in parts {
                note(value, &mut found);
            }
        }
        found.sort_unstable();
        for reference in found {
            self.copy_object(HeapRef(reference))?;
        }
        Ok(())
    }

    fn copy_object(&mut self, reference: HeapRef) -> Result<(), CapacityError> {
        let Some(object) = self.object(reference) else {
            return Ok(());
        };
        let made = if object.is_ip() {
            let ip = object.ip();
            self.to.memory_mut().heap.ip(&[], ip)?
        } else if object.is_record() {
            let (shape, values) = (object.shape(), object.values().collect::<Vec<_>>());
            let (shape, order) = self.shape(shape)?;
            let mut copied = Vec::with_capacity(values.len());
            for position in order.iter() {
                let value = values.get(*position).copied().unwrap_or(Value::ABSENT);
                copied.push(self.value(value)?);
            }
            self.to.memory_mut().heap.record(&[], shape, &copied)?
        } else {
            let values: Vec<Value> = object.values().collect();
            let copied: Result<Vec<Value>, _> = values.into_iter().map(|v| self.value(v)).collect();
            self.to.memory_mut().heap.set(&[], &mut copied?)?
        };
        self.objects.insert(reference.0, made);
        Ok(())
    }

    fn shape(&mut self, shape: ShapeId) -> Result<NewShape, CapacityError> {
        if let Some(known) = self.shapes.get(&shape) {
            return Ok(known.clone());
        }
        let old: Vec<StrId> = self.from.shapes().attrs(shape).to_vec();
        let new = match self.names {
            None => (shape, (0..old.len()).collect()),
            Some(_) => {
                let names: Result<Vec<StrId>, _> = old.iter().map(|n| self.string(*n)).collect();
                let mut names: Vec<(StrId, usize)> = names?.into_iter().zip(0..).collect();
                names.sort_unstable();
                let sorted: Vec<StrId> = names.iter().map(|(name, _)| *name).collect();
                let order = names.iter().map(|(_, position)| *position).collect();
                (self.to.shapes.intern(&sorted)?, order)
            }
        };
        self.shapes.insert(shape, new.clone());
        Ok(new)
    }

    fn string(&mut self, id: StrId) -> Result<StrId, CapacityError> {
        match &mut self.names {
            None => Ok(id),
            Some((old, new)) => new.intern_str(old.str(id)),
        }
    }

    fn entity(&mut self, id: EntityId) -> Result<EntityId, CapacityError> {
        match &mut self.names {
            Some((old, new)) if !id.is_local() => match old.entity(id) {
                Some((ty, eid)) => new.intern_entity(old.str(ty.name()), old.str(eid)),
                None => Ok(id),
            },
            _ => Ok(id),
        }
    }

    /// A value whose parts are copied.
    fn value(&mut self, value: Value) -> Result<Value, CapacityError> {
        Ok(match value.tag {
            Tag::String => Value::string(self.string(value.as_str())?),
            Tag::Entity => Value::entity(self.entity(value.as_entity())?),
            tag if tag.is_heap() => {
                let copied = self.objects.get(&value.as_heap_ref().0).copied();
                copied.unwrap_or(HeapRef::NONE).value(tag)
            }
            _ => value,
        })
    }

    fn ids(&mut self, ids: Vec<EntityId>) -> Result<Vec<u32>, CapacityError> {
        ids.into_iter().map(|id| Ok(self.entity(id)?.0)).collect()
    }

    fn copy_entity(&mut self, id: EntityId) -> Result<(), CapacityError> {
        let old = *self.from.header(id);
        let from = self.from;
        let ancestors = from.ancestors_of(id);
        // What is only mentioned may have been forgotten.
        if old.attrs == 0 && ancestors.is_empty() {
            return Ok(());
        }
        let new = self.entity(id)?;
        let ancestors = self.ids(ancestors.iter().collect())?;
        let mut parents = self.ids(from.parents_of(id).iter().collect())?;
        let mut tags = Vec::new();
        for (key, value) in from.tags(id).iter() {
            tags.push((self.string(key)?, self.value(value)?));
        }
        if let Some((_, interner)) = &self.names {
            self.to.extend_to(interner);
        }
        if old.attrs != 0 {
            let attrs = self
                .value(HeapRef(old.attrs).value(Tag::Record))?
                .as_heap_ref();
            let (shape, _) = self.shape(ShapeId(old.shape))?;
            let header = self.to.valued(new, shape, attrs, &mut tags)?;
            self.to.put(new, header);
        }
        let header = *self.to.header(new);
        let header = self.to.hierarchy(header, &ancestors, &mut parents)?;
        self.to.put(new, header);
        Ok(())
    }
}
