//! The entities, by interned id.
//!
//! A [`Store`] is built once, from JSON or [`cedar_policy::Entities`], and then only read. Every id that the
//! interner has given out has an [`EntityHeader`], whether the entity exists or not, so a look-up
//! by id is one array access. Attributes are records on the store's heap; entities with equal
//! attributes share one record. Tags vary from entity to entity, so they are kept as sorted lists
//! and not as records, whose shapes would be without number.

use crate::values::ValueError;
use cedarjit_ir::abi::{EntityHeader, MISSING_ENTITY, bloom_bit, missing_entity};
use cedarjit_ir::ancestors::AncestorIds;
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Heaps};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner, InternerIdentity};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::Value;
use cedarjit_jit::StoreMemory;
use std::sync::Arc;

mod build;
mod compact;
mod export;
mod hierarchy;
mod named;
mod parents;
mod reader;
mod reversed;
mod saved;
mod tags;
#[cfg(test)]
mod tests;
mod update;

pub(crate) use build::StoreBuilder;
pub(crate) use compact::{Compaction, LiveBytes};
pub(crate) use export::restricted;
pub use hierarchy::HierarchyError;
pub(crate) use hierarchy::{Children, uid_text};
pub(crate) use named::Name;
use named::NameLists;
pub use parents::IdList;
use parents::ParentLists;
use reader::{Reader, capacity};
pub(crate) use reversed::{Reversed, entities};
pub(crate) use saved::{Check as SavedCheck, StoreFile, StoreTables};
pub use tags::TagList;
use tags::TagTable;
pub(crate) use update::{StoreEditor, StoreUpdate};

/// Of fewer entities than that, whatever is done with all of them is done by one thread.
pub(crate) const THREADED: usize = 10_000;

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
    /// Entities cannot be in one another as they were to be.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
}

/// The entities of one snapshot, with the values of their attributes and tags.
#[derive(Clone, Debug)]
pub struct Store {
    identity: InternerIdentity,
    /// Shared with requests; whoever changes it while it is shared changes a copy.
    memory: Arc<StoreMemory>,
    parents: ParentLists,
    named: NameLists,
    tags: TagTable,
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
            parents: ParentLists::default(),
            named: NameLists::default(),
            tags: TagTable::default(),
            empty_record,
            shapes: ShapeTable::new(),
            existing: 0,
        };
        store.extend_to(interner);
        store
    }

    /// Adds headers for the entity uids that were interned since, none of which exist.
    pub fn extend_to(&mut self, interner: &Interner) {
        let known = self.memory.headers.len();
        if known == interner.entity_count() {
            return;
        }
        let added = (known..interner.entity_count()).map(|i| {
            let uid = interner.entity(EntityId::from_index(i));
            missing_entity(uid.map_or(0, |(ty, _)| ty.0))
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
    pub fn headers(&self) -> &HeaderTable {
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
        Some(self.heaps().object(HeapRef(header.attrs))?.get(slot))
    }

    /// To read what is stored: that is on the global heap, so the other two are never asked.
    #[inline]
    pub(crate) fn heaps(&self) -> Heaps<'_> {
        Heaps {
            global: self.heap(),
            request: self.heap(),
            scratch: self.heap(),
        }
    }

    /// A tag of an entity. O(log n) in the number of tags.
    pub fn tag(&self, id: EntityId, key: StrId) -> Option<Value> {
        self.tags(id).find(key)
    }

    /// The tags of an entity.
    pub fn tags(&self, id: EntityId) -> TagList<'_> {
        self.tags.get(self.header(id).tags)
    }

    /// The ancestors of an entity, without itself and in no order.
    #[inline]
    pub fn ancestors_of(&self, id: EntityId) -> AncestorIds<'_> {
        self.memory.ancestors.of(self.header(id))
    }

    /// The entities that were given as an entity's parents, ascending; without a document that
    /// tells them apart from other ancestors, all ancestors.
    pub fn parents_of(&self, id: EntityId) -> IdList<'_> {
        self.parents.of(self.header(id))
    }

    /// Whether `ancestor` is one of the ancestors of `entity`; no entity is its own. O(1).
    #[inline]
    pub fn is_descendant(&self, entity: EntityId, ancestor: EntityId) -> bool {
        let header = self.header(entity);
        header.bloom & bloom_bit(ancestor) != 0 && self.memory.ancestors.contains(header, ancestor)
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

    /// What the lists of parents take.
    pub(crate) fn parents_memory(&self) -> TableMemory {
        self.parents.memory()
    }

    /// What the tags take.
    pub(crate) fn tags_memory(&self) -> TableMemory {
        self.tags.memory()
    }

    /// What the lists of names take.
    pub(crate) fn names_memory(&self) -> TableMemory {
        self.named.memory()
    }

    pub(crate) fn memory_mut(&mut self) -> &mut StoreMemory {
        Arc::make_mut(&mut self.memory)
    }

    /// Gives an entity another header; what its attributes say whether it exists.
    fn put(&mut self, id: EntityId, header: EntityHeader) {
        let existed = self.exists(id);
        self.memory_mut().headers.set(id.index(), header);
        self.existing += usize::from(self.exists(id));
        self.existing -= usize::from(existed);
    }

    /// The header of an entity with these attributes and tags, which are sorted in place.
    fn valued(
        &mut self,
        id: EntityId,
        shape: ShapeId,
        attrs: HeapRef,
        tags: &mut [(StrId, Value)],
    ) -> Result<EntityHeader, CapacityError> {
        let missing = planted(Fault::EmptyEntityMissing) && shape == EMPTY_SHAPE;
        let tags = self.tags.add(tags).ok_or(CapacityError {
            what: "tags of entities",
            limit: u64::from(u32::MAX),
        })?;
        Ok(EntityHeader {
            attrs: if missing { 0 } else { attrs.0 },
            shape: shape.0,
            tags,
            ..*self.header(id)
        })
    }

    /// The header with these ancestors and parents; the parents are sorted in place.
    fn hierarchy(
        &mut self,
        mut header: EntityHeader,
        ancestors: &[u32],
        parents: &mut [u32],
    ) -> Result<EntityHeader, CapacityError> {
        header.bloom = (ancestors.iter()).fold(0, |all, id| all | bloom_bit(EntityId(*id)));
        if planted(Fault::BloomHalf) {
            header.bloom &= u64::from(u32::MAX);
        }
        let found = self
            .memory_mut()
            .ancestors
            .add_found(ancestors, header.search)?;
        (header.ancestors, header.search) = found;
        header.parents = self.parents.add(parents)?;
        Ok(header)
    }
}
