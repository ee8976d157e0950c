//! Whether the stored entities are what a schema says.
//!
//! Compiled code relies on the schema's types without looking at tags. cedar-policy has checked the
//! entities against the schema, but code that misreads a word is unsafe, so what it relies on is
//! checked here on the stored values themselves, whoever was wrong.

use crate::store::Store;
use cedarjit_frontend::schema::{Attrs, SchemaFacts, SchemaType};
use cedarjit_ir::heap::{HeapRef, Heaps};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};

/// Whether every attribute and tag of every entity has the type that `facts` claim.
///
/// O(values in the store). Recursion is bounded by the depth of the schema's types.
pub(crate) fn conforms(store: &Store, interner: &Interner, facts: &SchemaFacts) -> bool {
    let mut all = (0..store.headers().len()).map(EntityId::from_index);
    all.all(|id| conforms_one(store, interner, facts, id))
}

/// Whether every attribute and tag of one entity has the type that `facts` claim.
pub(crate) fn conforms_one(
    store: &Store,
    interner: &Interner,
    facts: &SchemaFacts,
    id: EntityId,
) -> bool {
    let check = Check { store, interner };
    let header = store.header(id);
    if header.attrs == 0 {
        return true;
    }
    let name = interner.str(TypeId(header.ty).name());
    let Some(ty) = facts.entity_type(name) else {
        return true;
    };
    let tags = || {
        store
            .tags(id)
            .iter()
            .all(|(_, value)| ty.tags.as_ref().is_some_and(|ty| check.value(value, ty)))
    };
    check.record(HeapRef(header.attrs), &ty.attrs) && tags()
}

struct Check<'a> {
    store: &'a Store,
    interner: &'a Interner,
}

impl Check<'_> {
    fn record(&self, record: HeapRef, attrs: &Attrs) -> bool {
        let heap = self.store.heap();
        let heaps = Heaps {
            global: heap,
            request: heap,
            scratch: heap,
        };
        let Some(object) = heaps.object(record) else {
            return false;
        };
        let names: &[StrId] = self.store.shapes().attrs(ShapeId(object.shape().0));
        names.iter().zip(object.values()).all(|(name, value)| {
            attrs
                .get(self.interner.str(*name))
                .is_some_and(|attr| self.value(value, &attr.ty))
        })
    }

    fn value(&self, value: Value, ty: &SchemaType) -> bool {
        match ty {
            SchemaType::Unknown => true,
            SchemaType::Bool => value.tag == Tag::Bool,
            SchemaType::Long => value.tag == Tag::Long,
            SchemaType::String => value.tag == Tag::String,
            // What is read through the entity depends on its own type.
            SchemaType::Entity(name) => {
                let ty = TypeId(self.store.header(value.as_entity()).ty);
                value.tag == Tag::Entity && self.interner.str(ty.name()) == &**name
            }
            // Nothing is claimed about elements.
            SchemaType::Set(_) => value.tag == Tag::Set,
            SchemaType::Record(attrs) => {
                value.tag == Tag::Record && self.record(value.as_heap_ref(), attrs)
            }
            SchemaType::Decimal => value.tag == Tag::Decimal,
            SchemaType::Ip => value.tag == Tag::Ip,
            SchemaType::Datetime => value.tag == Tag::Datetime,
            SchemaType::Duration => value.tag == Tag::Duration,
        }
    }
}
