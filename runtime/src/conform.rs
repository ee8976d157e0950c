//! Whether the stored entities are what a schema says.
//!
//! Compiled code relies on the schema's types without looking at tags. cedar-policy has checked the
//! entities against the schema, but code that misreads a word is unsafe, so what it relies on is
//! checked here on the stored values themselves, whoever was wrong.

use crate::store::{Store, THREADED};
use cedarjit_frontend::schema::{Attrs, SchemaFacts, SchemaType};
use cedarjit_ir::heap::{HeapRef, Object};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Whether every attribute and tag of every entity has the type that `facts` claim.
///
/// O(values in the store). Recursion is bounded by the depth of the schema's types.
///
/// Of many entities, another thread looks at some.
pub(crate) fn conforms(store: &Store, interner: &Interner, facts: &SchemaFacts) -> bool {
    let count = store.headers().len();
    let turns = AtomicUsize::new(0);
    let check = || {
        let parts = std::iter::from_fn(|| {
            let start = turns.fetch_add(THREADED, Ordering::Relaxed);
            (start < count).then(|| start..count.min(start + THREADED))
        });
        let mut claims = Claims::default();
        let mut ids = parts.flatten().map(EntityId::from_index);
        ids.all(|id| conforms_as(store, interner, facts, &mut claims, id))
    };
    thread::scope(|scope| {
        let other = || thread::Builder::new().spawn_scoped(scope, check).ok();
        let other = (count > THREADED).then(other).flatten();
        // If the thread is not to be had, all is left to this one.
        check() & other.is_none_or(|other| other.join().unwrap_or_default())
    })
}

type Claims<'a> = HashMap<(u32, ShapeId), Claim<'a>, RandomState>;

/// As [`conforms_one`]; what the schema says of the entity's type and shape is kept for others of the
/// same, since there are far fewer of these than entities.
fn conforms_as<'a>(
    store: &Store,
    interner: &Interner,
    facts: &'a SchemaFacts,
    claims: &mut Claims<'a>,
    id: EntityId,
) -> bool {
    let check = Check { store, interner };
    let header = store.header(id);
    if header.attrs == 0 {
        return true;
    }
    let Some(object) = check.object(HeapRef(header.attrs)) else {
        return false;
    };
    let shape = ShapeId(object.shape().0);
    let claim = claims
        .entry((header.ty, shape))
        .or_insert_with(|| check.claim(facts, TypeId(header.ty), shape));
    match claim {
        Claim::Nothing => true,
        Claim::Undeclared => false,
        Claim::Attributes(types, tags) => {
            let mut attributes = (types.iter()).zip(object.values());
            attributes.all(|(ty, value)| check.is(value, *ty))
                && (header.tags == 0 || check.tags(id, *tags))
        }
    }
}

/// What a schema says about the entities of a type whose attributes have a shape.
enum Claim<'a> {
    /// Nothing: they may be anything.
    Nothing,
    /// They cannot be, since some attribute is not declared.
    Undeclared,
    /// The types of the attributes, in their order, and of tags.
    Attributes(Vec<Claimed<'a>>, Option<&'a SchemaType>),
}

/// The type that values are said to have. If that is an entity type, which the interner knows, then
/// its id: comparing that is faster than names.
#[derive(Clone, Copy)]
struct Claimed<'a> {
    ty: &'a SchemaType,
    entity: Option<TypeId>,
}

/// Whether every attribute and tag of one entity has the type that `facts` claim.
pub(crate) fn conforms_one(
    store: &Store,
    interner: &Interner,
    facts: &SchemaFacts,
    id: EntityId,
) -> bool {
    conforms_as(store, interner, facts, &mut Claims::default(), id)
}

struct Check<'a> {
    store: &'a Store,
    interner: &'a Interner,
}

impl Check<'_> {
    fn object(&self, reference: HeapRef) -> Option<Object<'_>> {
        self.store.heaps().object(reference)
    }

    fn claim<'b>(&self, facts: &'b SchemaFacts, ty: TypeId, shape: ShapeId) -> Claim<'b> {
        let Some(ty) = facts.entity_type(self.interner.str(ty.name())) else {
            return Claim::Nothing;
        };
        let names = self.store.shapes().attrs(shape).iter();
        let types = names.map(|name| {
            let ty = &ty.attrs.get(self.interner.str(*name))?.ty;
            let entity = match ty {
                SchemaType::Entity(name) => self.interner.find_str(name),
                _ => None,
            };
            let entity = entity.map(TypeId::of_name);
            Some(Claimed { ty, entity })
        });
        match types.collect() {
            Some(types) => Claim::Attributes(types, ty.tags.as_ref()),
            None => Claim::Undeclared,
        }
    }

    fn is(&self, value: Value, claimed: Claimed<'_>) -> bool {
        match claimed.entity {
            Some(ty) => value.tag == Tag::Entity && self.store.header(value.as_entity()).ty == ty.0,
            None => self.value(value, claimed.ty),
        }
    }

    fn tags(&self, id: EntityId, ty: Option<&SchemaType>) -> bool {
        let mut tags = self.store.tags(id).iter();
        tags.all(|(_, value)| ty.is_some_and(|ty| self.value(value, ty)))
    }

    fn record(&self, record: HeapRef, attrs: &Attrs) -> bool {
        let Some(object) = self.object(record) else {
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
