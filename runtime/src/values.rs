//! What interpreter and builtins ask of values: attributes, tags, membership, construction.
//!
//! The methods of [`ValueContext`] never say why something is not there. Whoever needs an error
//! for the user looks at the value again.

mod convert;
mod extension;
mod text;

pub use convert::ValueError;
pub(crate) use convert::{
    GlobalSink, RequestSink, ValueSink, intern_extension, intern_record, intern_value,
};
pub(crate) use extension::escaped_char;

use crate::request::RequestValues;
use crate::store::Store;
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{Heap, HeapRef, Heaps, IpWords, Object, Space};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::ShapeTable;
use cedarjit_ir::value::{Tag, Value};

/// The bit that, beside [`LOCAL_BIT`](cedarjit_ir::ids::LOCAL_BIT), marks the shape of a record
/// that evaluation built and that neither store nor request knows.
const SCRATCH_SHAPE_BIT: u32 = 1 << 30;

/// Where evaluation puts the sets, records and IP addresses that it builds.
///
/// Values that refer here are meaningless after [`clear`](Self::clear).
#[derive(Clone, Debug)]
pub struct ScratchSpace {
    /// The objects.
    pub heap: Heap,
    /// Shapes of records that neither store nor request knows.
    pub shapes: ShapeTable,
}

impl Default for ScratchSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl ScratchSpace {
    /// An empty space.
    pub fn new() -> Self {
        Self {
            heap: Heap::new(Space::Scratch),
            shapes: ShapeTable::new(),
        }
    }

    /// Forgets everything and keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        if !self.heap.is_empty() {
            self.heap.clear();
        }
        if self.shapes.len() > 1 {
            self.shapes.clear();
        }
    }
}

/// Everything that gives a [`Value`] its meaning during one evaluation.
///
/// Interner, store and request must belong together; nothing here can fail in a way that matters
/// to memory safety if they do not, but answers would be nonsense.
#[derive(Debug)]
pub struct ValueContext<'a> {
    /// Names of the ids that are not local to the request.
    pub interner: &'a Interner,
    /// The entities.
    pub store: &'a Store,
    /// The request and what is local to it.
    pub request: &'a RequestValues,
    /// Where new objects go.
    pub scratch: &'a mut ScratchSpace,
}

impl ValueContext<'_> {
    /// The three heaps.
    #[inline]
    pub fn heaps(&self) -> Heaps<'_> {
        Heaps {
            global: self.store.heap(),
            request: self.request.heap(),
            scratch: &self.scratch.heap,
        }
    }

    /// The object of a set, record or IP address; `None` for any other value.
    #[inline]
    pub fn object(&self, value: Value) -> Option<Object<'_>> {
        if !value.tag.is_heap() {
            return None;
        }
        self.heaps().object(value.as_heap_ref())
    }

    /// The text of a string, attribute name or tag key.
    pub fn str(&self, id: StrId) -> &str {
        self.request.local().str(self.interner, id)
    }

    /// The type and id of an entity; `None` for an id that nobody gave out.
    pub fn entity(&self, id: EntityId) -> Option<(TypeId, StrId)> {
        self.request.local().entity(self.interner, id)
    }

    /// The header of an entity of the store or of the request.
    ///
    /// For an id that nobody gave out it is that of a missing entity.
    #[inline]
    pub fn header(&self, id: EntityId) -> &EntityHeader {
        let overlaid = self
            .request
            .overlay()
            .and_then(|overlay| overlay.header(id));
        overlaid.unwrap_or_else(|| self.request.header(id, self.store))
    }

    /// Whether the store has this entity.
    pub fn exists(&self, id: EntityId) -> bool {
        self.header(id).attrs != 0
    }

    /// The type of an entity.
    pub fn entity_type(&self, id: EntityId) -> TypeId {
        TypeId(self.header(id).ty)
    }

    /// The attribute names of a shape, ascending by id.
    #[inline]
    pub fn shape_attrs(&self, shape: ShapeId) -> &[StrId] {
        if !shape.is_local() {
            self.store.shapes().attrs(shape)
        } else if shape.0 & SCRATCH_SHAPE_BIT == 0 {
            self.request
                .shapes()
                .attrs(ShapeId::from_index(shape.local_index()))
        } else {
            self.scratch
                .shapes
                .attrs(ShapeId(shape.0 & (SCRATCH_SHAPE_BIT - 1)))
        }
    }

    /// The record that holds the attributes of a record or an existing entity.
    #[inline]
    pub fn attributes(&self, value: Value) -> Option<Object<'_>> {
        match value.tag {
            Tag::Record => self.object(value),
            Tag::Entity => {
                let attrs = HeapRef(self.header(value.as_entity()).attrs);
                if attrs.is_some() {
                    self.heaps().object(attrs)
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// An attribute of a record or an entity.
    ///
    /// `None` if it has no such attribute, if the entity does not exist, or if the value is
    /// neither. O(log n) in the number of attributes.
    #[inline]
    pub fn get_attr(&self, value: Value, name: StrId) -> Option<Value> {
        let object = self.attributes(value)?;
        let slot = self.shape_attrs(object.shape()).binary_search(&name).ok()?;
        Some(object.get(slot))
    }

    /// Whether a record or an entity has an attribute; `None` if the value is neither.
    ///
    /// An entity that does not exist has none.
    pub fn has_attr(&self, value: Value, name: StrId) -> Option<bool> {
        match value.tag {
            Tag::Record | Tag::Entity => Some(self.get_attr(value, name).is_some()),
            _ => None,
        }
    }

    /// A tag of an entity; `None` if the entity has no such tag or does not exist.
    pub fn get_tag(&self, entity: EntityId, key: StrId) -> Option<Value> {
        if planted(Fault::TagFallsBackToAttribute) {
            return self
                .store
                .tag(entity, key)
                .or_else(|| self.store.attr(entity, key));
        }
        let overlay = self.request.overlay();
        let overlaid = overlay.and_then(|overlay| overlay.tag(entity, key));
        overlaid.unwrap_or_else(|| self.store.tag(entity, key))
    }

    /// Whether an entity has a tag; a missing entity has none.
    pub fn has_tag(&self, entity: EntityId, key: StrId) -> bool {
        self.get_tag(entity, key).is_some()
    }

    /// `entity in other`: the same entity, or a descendant.
    pub fn in_entity(&self, entity: EntityId, other: EntityId) -> bool {
        entity == other
            || match self.request.overlay() {
                Some(overlay) => overlay.is_descendant(self.store, entity, other),
                None => self.store.is_descendant(entity, other),
            }
    }

    /// `entity in set`; `None` if the value is not a set of entities only.
    #[inline]
    pub fn in_set(&self, entity: EntityId, set: Value) -> Option<bool> {
        if set.tag != Tag::Set {
            return None;
        }
        let mut others = self.object(set)?.entity_words()?;
        let as_entity = |word| {
            let tag = Tag::Entity;
            Value { tag, word }.as_entity()
        };
        if self.request.overlay().is_some() {
            return Some(others.any(|word| self.in_entity(entity, as_entity(word))));
        }
        Some(others.any(|word| {
            let other = as_entity(word);
            other == entity || self.store.is_descendant(entity, other)
        }))
    }

    /// `set.contains(value)`; `None` if `set` is not a set.
    #[inline]
    pub fn contains(&self, set: Value, value: Value) -> Option<bool> {
        let object = self.as_set(set)?;
        Some(object.contains(value))
    }

    /// Whether `set` has every element of `other`; `None` if either is not a set.
    pub fn contains_all(&self, set: Value, other: Value) -> Option<bool> {
        let (set, other) = (self.as_set(set)?, self.as_set(other)?);
        Some(other.len() <= set.len() && other.values().all(|v| set.contains(v)))
    }

    /// Whether the sets share an element; `None` if either is not a set.
    pub fn contains_any(&self, set: Value, other: Value) -> Option<bool> {
        let (set, other) = (self.as_set(set)?, self.as_set(other)?);
        let (small, large) = if set.len() < other.len() {
            (set, other)
        } else {
            (other, set)
        };
        Some(small.values().any(|v| large.contains(v)))
    }

    #[inline]
    fn as_set(&self, value: Value) -> Option<Object<'_>> {
        match value.tag {
            Tag::Set => self.object(value),
            _ => None,
        }
    }

    /// The words of an IP address; `None` for any other value.
    pub fn ip(&self, value: Value) -> Option<IpWords> {
        match value.tag {
            Tag::Ip => self.object(value).map(Object::ip),
            _ => None,
        }
    }

    /// The set of these elements, which are sorted and deduplicated in place. O(n log n).
    ///
    /// # Errors
    /// When the set or the scratch heap grows beyond its limit.
    pub fn make_set(&mut self, elements: &mut Vec<Value>) -> Result<Value, CapacityError> {
        let older = [self.store.heap(), self.request.heap()];
        let older = asked(&older);
        let made = self.scratch.heap.set(older, elements)?;
        Ok(made.value(Tag::Set))
    }

    /// The record with these attributes, whose names must be distinct. O(n log n).
    ///
    /// `attrs` is sorted in place.
    ///
    /// # Errors
    /// When the record or the scratch space grows beyond its limit.
    pub fn make_record(&mut self, attrs: &mut [(StrId, Value)]) -> Result<Value, CapacityError> {
        attrs.sort_unstable_by_key(|(name, _)| *name);
        let names: Vec<StrId> = attrs.iter().map(|(name, _)| *name).collect();
        let values: Vec<Value> = attrs.iter().map(|(_, value)| *value).collect();
        let shape = self.find_or_make_shape(&names)?;
        self.make_record_of_shape(shape, &values)
    }

    /// The record of this shape with these values, in the shape's order.
    ///
    /// # Errors
    /// When the record or the scratch heap grows beyond its limit.
    pub fn make_record_of_shape(
        &mut self,
        shape: ShapeId,
        values: &[Value],
    ) -> Result<Value, CapacityError> {
        let older = [self.store.heap(), self.request.heap()];
        let older = asked(&older);
        let made = self.scratch.heap.record(older, shape, values)?;
        Ok(made.value(Tag::Record))
    }

    /// The shape with these ascending names, from wherever it is known first.
    ///
    /// Store, then request, then scratch: the order in which a record of that shape may exist, so
    /// that equal records have the same shape.
    fn find_or_make_shape(&mut self, names: &[StrId]) -> Result<ShapeId, CapacityError> {
        if let Some(shape) = self.store.shapes().find(names) {
            return Ok(shape);
        }
        if let Some(shape) = self.request.shapes().find(names) {
            return Ok(ShapeId::local(shape.index()));
        }
        let made = self.scratch.shapes.intern(names)?;
        Ok(ShapeId(ShapeId::local(made.index()).0 | SCRATCH_SHAPE_BIT))
    }

    /// The IP address or range with these words.
    ///
    /// # Errors
    /// When the scratch heap grows beyond its limit.
    pub fn make_ip(&mut self, ip: IpWords) -> Result<Value, CapacityError> {
        let older = [self.store.heap(), self.request.heap()];
        let made = self.scratch.heap.ip(&older, ip)?;
        Ok(made.value(Tag::Ip))
    }
}

/// The heaps that are searched for a set or record before it is built anew: all older ones.
#[inline]
fn asked<'a, 'h>(older: &'a [&'h Heap; 2]) -> &'a [&'h Heap] {
    if planted(Fault::ScratchIgnoresRequest) {
        return &older[..1];
    }
    older
}
