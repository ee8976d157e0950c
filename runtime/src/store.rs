//! The entities, by interned id.
//!
//! A [`Store`] is built once from [`cedar_policy::Entities`] and then only read. Every id that the
//! interner has given out has an [`EntityHeader`], whether the entity exists or not, so a look-up
//! by id is one array access. Attributes are records on the store's heap; entities with equal
//! attributes share one record. Tags vary from entity to entity, so they are kept as sorted lists
//! and not as records, whose shapes would be without number.

use crate::values::{GlobalSink, ValueError, ValueSink, intern_record, intern_value};
use cedar_policy::{Entities, Entity, EntityUid, EvalResult, PartialValueToValueError};
use cedarjit_ir::abi::{AncestorBucket, BucketSearch, EntityHeader, bloom_bit};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{Heap, HeapRef, Heaps};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner, InternerIdentity};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::Value;
use cedarjit_jit::StoreMemory;
use std::sync::Arc;

mod ancestors;
#[cfg(test)]
mod tests;

use ancestors::AncestorLists;

/// The header of an id that nobody gave out.
pub(crate) static MISSING_ENTITY: EntityHeader = missing(0);

/// The header of an entity that does not exist.
pub(crate) const fn missing(ty: u32) -> EntityHeader {
    EntityHeader {
        attrs: 0,
        shape: EMPTY_SHAPE.0,
        ty,
        tags: 0,
        ancestors: 0,
        search: BucketSearch::ONE,
        bloom: 0,
    }
}

/// Entities could not be taken into a store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An attribute has a value that is not supported.
    #[error("attribute `{attr}` of entity `{entity}`: {error}")]
    Attribute {
        /// The entity's uid.
        entity: String,
        /// The attribute's name.
        attr: String,
        /// What is wrong with the value.
        error: ValueError,
    },
    /// A tag has a value that is not supported.
    #[error("tag `{tag}` of entity `{entity}`: {error}")]
    Tag {
        /// The entity's uid.
        entity: String,
        /// The tag's key.
        tag: String,
        /// What is wrong with the value.
        error: ValueError,
    },
    /// A table would outgrow its ids while this entity was taken in.
    #[error("entity `{entity}`: {error}")]
    Capacity {
        /// The entity's uid.
        entity: String,
        /// Which table.
        error: CapacityError,
    },
}

/// The entities of one snapshot, with the values of their attributes and tags.
#[derive(Clone, Debug)]
pub struct Store {
    identity: InternerIdentity,
    /// Shared with requests; whoever changes it while it is shared changes a copy.
    memory: Arc<StoreMemory>,
    ancestors: AncestorLists,
    /// Tags of all entities, each entity's block in ascending order of the keys.
    tags: Vec<(StrId, Value)>,
    /// Where each tag block ends; it starts where the one before ends.
    tag_ends: Vec<u32>,
    empty_record: HeapRef,
    shapes: ShapeTable,
    existing: usize,
}

impl Store {
    /// A store in which no entity exists.
    ///
    /// Everything that `interner` has given out so far gets a header.
    pub fn empty(interner: &Interner) -> Self {
        let mut memory = StoreMemory::new();
        // The first object of a heap cannot exceed its capacity.
        let empty_record = (memory.heap)
            .record(&[], EMPTY_SHAPE, &[])
            .unwrap_or(HeapRef::NONE);
        let mut store = Self {
            identity: interner.identity(),
            memory: Arc::new(memory),
            ancestors: AncestorLists::default(),
            tags: Vec::new(),
            tag_ends: Vec::new(),
            empty_record,
            shapes: ShapeTable::new(),
            existing: 0,
        };
        store.extend_to(interner);
        store
    }

    /// The store of these entities.
    ///
    /// What they mention is interned. Ids are given out in the order of the uids, so that the same
    /// entities and the same interner give the same ids. O(n log n).
    ///
    /// # Errors
    /// When a value cannot be represented or a table is full.
    pub fn build(entities: &Entities, interner: &mut Interner) -> Result<Self, StoreError> {
        let mut sorted: Vec<(EntityUid, &Entity)> = entities.iter().map(|e| (e.uid(), e)).collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));

        let mut builder = Builder {
            store: Store::empty(interner),
            interner,
        };
        // All uids first: entities then have a dense range of ids.
        let mut ids = Vec::with_capacity(sorted.len());
        for (uid, _) in &sorted {
            let id = builder.sink().uid(uid).map_err(|e| capacity(uid, e))?;
            ids.push(id);
        }
        builder.store.extend_to(builder.interner);
        for ((uid, entity), id) in sorted.iter().zip(ids) {
            builder.add(id, uid, entity, entities)?;
        }
        let Builder {
            mut store,
            interner,
        } = builder;
        store.extend_to(interner);
        Ok(store)
    }

    /// Adds headers for the entity uids that were interned since, none of which exist.
    pub fn extend_to(&mut self, interner: &Interner) {
        let known = self.memory.headers.len();
        if known == interner.entity_count() {
            return;
        }
        let added = (known..interner.entity_count()).map(|i| {
            let uid = interner.entity(EntityId::from_index(i));
            missing(uid.map_or(0, |(ty, _)| ty.0))
        });
        self.memory_mut().headers.extend(added);
    }

    /// Which interner the ids of this store belong to.
    pub fn identity(&self) -> InternerIdentity {
        self.identity
    }

    /// How many entities exist.
    pub fn len(&self) -> usize {
        self.existing
    }

    /// Whether no entity exists.
    pub fn is_empty(&self) -> bool {
        self.existing == 0
    }

    /// The header of an entity; that of a missing one for an id not given out.
    #[inline]
    pub fn header(&self, id: EntityId) -> &EntityHeader {
        self.memory
            .headers
            .get(id.index())
            .unwrap_or(&MISSING_ENTITY)
    }

    /// All headers, by entity id.
    #[inline]
    pub fn headers(&self) -> &[EntityHeader] {
        &self.memory.headers
    }

    /// Whether the entity exists.
    #[inline]
    pub fn exists(&self, id: EntityId) -> bool {
        self.header(id).attrs != 0
    }

    /// An attribute of an entity. O(log n) in the number of attributes.
    #[inline]
    pub fn attr(&self, id: EntityId, name: StrId) -> Option<Value> {
        let header = self.header(id);
        let slot = self
            .shapes
            .attrs(ShapeId(header.shape))
            .binary_search(&name)
            .ok()?;
        // Attribute records are on the global heap, so the other two are never asked.
        let heaps = Heaps {
            global: self.heap(),
            request: self.heap(),
            scratch: self.heap(),
        };
        Some(heaps.object(HeapRef(header.attrs))?.get(slot))
    }

    /// A tag of an entity. O(log n) in the number of tags.
    pub fn tag(&self, id: EntityId, key: StrId) -> Option<Value> {
        let tags = self.tags(id);
        let found = tags.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        tags.get(found).map(|(_, value)| *value)
    }

    /// The tags of an entity, in ascending order of the keys' ids.
    pub fn tags(&self, id: EntityId) -> &[(StrId, Value)] {
        let Some(block) = (self.header(id).tags as usize).checked_sub(1) else {
            return &[];
        };
        let before = if planted(Fault::TagsOfEntityBefore) {
            2
        } else {
            1
        };
        let start = match block.checked_sub(before) {
            Some(before) => self.tag_end(before),
            None => 0,
        };
        self.tags.get(start..self.tag_end(block)).unwrap_or(&[])
    }

    fn tag_end(&self, block: usize) -> usize {
        self.tag_ends.get(block).map_or(0, |end| *end as usize)
    }

    /// The ancestors of an entity, ascending and without itself.
    #[inline]
    pub fn ancestors_of(&self, id: EntityId) -> &[u32] {
        self.ancestors.of(id)
    }

    /// The ancestors of all entities; an entity's header says which buckets are its own.
    #[inline]
    pub fn ancestor_buckets(&self) -> &[AncestorBucket] {
        &self.memory.ancestors
    }

    /// Whether `ancestor` is one of the ancestors of `entity`; no entity is its own. O(1).
    #[inline]
    pub fn is_descendant(&self, entity: EntityId, ancestor: EntityId) -> bool {
        let header = self.header(entity);
        header.bloom & bloom_bit(ancestor) != 0
            && ancestors::contains(&self.memory.ancestors, header, ancestor)
    }

    /// The shapes of records and entities, known to all values of the snapshot.
    #[inline]
    pub fn shapes(&self) -> &ShapeTable {
        &self.shapes
    }

    /// The heap of all values that outlive a request.
    #[inline]
    pub fn heap(&self) -> &Heap {
        &self.memory.heap
    }

    /// The record without attributes.
    pub fn empty_record(&self) -> HeapRef {
        self.empty_record
    }

    /// Heap and shapes, to put the constants of policies there.
    ///
    /// Both may only grow: never clear them.
    pub fn constants_mut(&mut self) -> (&mut Heap, &mut ShapeTable) {
        (&mut Arc::make_mut(&mut self.memory).heap, &mut self.shapes)
    }

    /// Everything that compiled code reads.
    #[inline]
    pub fn memory(&self) -> &Arc<StoreMemory> {
        &self.memory
    }

    pub(crate) fn memory_mut(&mut self) -> &mut StoreMemory {
        Arc::make_mut(&mut self.memory)
    }
}

fn capacity(entity: &EntityUid, error: CapacityError) -> StoreError {
    StoreError::Capacity {
        entity: entity.to_string(),
        error,
    }
}

type AttrResult<'e> = (&'e str, Result<EvalResult, PartialValueToValueError>);

struct Builder<'a> {
    store: Store,
    interner: &'a mut Interner,
}

impl Builder<'_> {
    fn sink(&mut self) -> GlobalSink<'_> {
        GlobalSink {
            interner: self.interner,
            heap: &mut Arc::make_mut(&mut self.store.memory).heap,
            shapes: &mut self.store.shapes,
        }
    }

    fn add(
        &mut self,
        id: EntityId,
        uid: &EntityUid,
        entity: &Entity,
        entities: &Entities,
    ) -> Result<(), StoreError> {
        let mut attrs =
            self.values(entity.attrs())
                .map_err(|(attr, error)| StoreError::Attribute {
                    entity: uid.to_string(),
                    attr,
                    error,
                })?;
        let (shape, record) =
            intern_record(&mut self.sink(), &mut attrs).map_err(|e| capacity(uid, e))?;
        let tags = self
            .values(entity.tags())
            .map_err(|(tag, error)| StoreError::Tag {
                entity: uid.to_string(),
                tag,
                error,
            })?;
        let tags = self.add_tags(tags).map_err(|e| capacity(uid, e))?;
        let mut ancestors = self
            .ancestor_ids(uid, entities)
            .map_err(|e| capacity(uid, e))?;
        let mut bloom = ancestors
            .iter()
            .fold(0, |all, id| all | bloom_bit(EntityId(*id)));
        if planted(Fault::BloomHalf) {
            bloom &= u64::from(u32::MAX);
        }
        let buckets = &mut self.store.memory_mut().ancestors;
        let placed = ancestors::add_buckets(buckets, &ancestors).map_err(|e| capacity(uid, e))?;
        let lists = &mut self.store.ancestors;
        lists
            .add(id, &mut ancestors)
            .map_err(|e| capacity(uid, e))?;
        self.store.existing += 1;
        if let Some(header) = self.store.memory_mut().headers.get_mut(id.index()) {
            header.attrs = record.as_heap_ref().0;
            if planted(Fault::EmptyEntityMissing) && shape == EMPTY_SHAPE {
                header.attrs = 0;
            }
            header.shape = shape.0;
            header.tags = tags;
            (header.ancestors, header.search) = placed;
            header.bloom = bloom;
        }
        Ok(())
    }

    /// Interns names and values; an error names the attribute or tag.
    fn values<'e>(
        &mut self,
        pairs: impl Iterator<Item = AttrResult<'e>>,
    ) -> Result<Vec<(StrId, Value)>, (String, ValueError)> {
        let mut interned = Vec::new();
        for (name, value) in pairs {
            let mut sink = self.sink();
            let pair = value
                .map_err(ValueError::from)
                .and_then(|value| Ok((sink.string(name)?, intern_value(&mut sink, &value)?)))
                .map_err(|error| (name.to_owned(), error))?;
            interned.push(pair);
        }
        Ok(interned)
    }

    /// Stores one entity's tags and gives the header's field for them.
    fn add_tags(&mut self, mut tags: Vec<(StrId, Value)>) -> Result<u32, CapacityError> {
        if tags.is_empty() {
            return Ok(0);
        }
        tags.sort_unstable_by_key(|(key, _)| *key);
        self.store.tags.append(&mut tags);
        let end = table_index(self.store.tags.len(), "tags of entities")?;
        self.store.tag_ends.push(end);
        table_index(self.store.tag_ends.len(), "entities with tags")
    }

    fn ancestor_ids(
        &mut self,
        uid: &EntityUid,
        entities: &Entities,
    ) -> Result<Vec<u32>, CapacityError> {
        let ancestors = entities.ancestors(uid).into_iter().flatten();
        let mut sink = self.sink();
        ancestors.map(|uid| Ok(sink.uid(uid)?.0)).collect()
    }
}

/// A table's length or position as the 32 bits that headers have for it.
fn table_index(index: usize, what: &'static str) -> Result<u32, CapacityError> {
    u32::try_from(index).map_err(|_| CapacityError {
        what,
        limit: u64::from(u32::MAX),
    })
}
