//! What the stored entities have in common: the facts that fused code relies on.
//!
//! They are looked up in the store itself and hold for it and for nothing else, so code that relies
//! on them belongs to the snapshots of that store. A schema would not say more: these hold with a
//! schema or without.

use crate::store::{Store, StoreUpdate};
use cedarjit_ir::abi::{AttrEntry, EntityHeader};
use cedarjit_ir::expr::Var;
use cedarjit_ir::heap::{HeapRef, Object};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{Attribute, Facts, Subject, Values};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// What the entities of each type have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFacts {
    types: HashMap<TypeId, TypeFacts, RandomState>,
}

/// The facts of a store, observed when first asked for; shared by the snapshots of these entities.
pub(crate) type SharedFacts = Arc<OnceLock<StoreFacts>>;

#[derive(Clone, Debug, Default)]
struct TypeFacts {
    /// The attribute names that some entity has.
    names: HashSet<StrId, RandomState>,
    /// The shape, if all entities have the same.
    shape: Option<ShapeId>,
    /// By the attribute's position in that shape.
    values: Vec<Values>,
}

impl StoreFacts {
    /// Looks at every attribute of every entity. O(attributes of all entities).
    pub(crate) fn of(store: &Store) -> Self {
        let mut facts = Self::default();
        for header in store.headers().iter() {
            facts.add(header, store);
        }
        facts
    }

    /// Looks at the attributes of an entity, if it exists.
    fn add(&mut self, header: &EntityHeader, store: &Store) {
        let Some(record) = record(header, store) else {
            return;
        };
        let shape = ShapeId(header.shape);
        let values = observed(record, store);
        let entry = self.types.entry(TypeId(header.ty));
        let known = entry.or_insert_with(|| TypeFacts {
            shape: Some(shape),
            values: values.clone().collect(),
            ..TypeFacts::default()
        });
        if known.shape == Some(shape) {
            for (known, seen) in known.values.iter_mut().zip(values) {
                *known = join(*known, seen);
            }
        } else {
            known.shape = None;
        }
        known.names.extend(store.shapes().attrs(shape));
    }

    /// What still holds when entities have changed; `None` if all of it does.
    pub(crate) fn after(&self, store: &Store, update: &StoreUpdate) -> Option<Self> {
        let mut weaker: Option<Self> = None;
        for (id, existed) in update.written() {
            let header = store.header(id);
            let exists = header.attrs != 0;
            let facts = weaker.as_ref().unwrap_or(self);
            let fits = (!exists || facts.cover(header, store))
                && (exists == existed || !facts.tell_existence(TypeId(header.ty)));
            if !fits {
                let weaker = weaker.get_or_insert_with(|| self.clone());
                weaker.add(header, store);
                if exists != existed {
                    weaker.forget_existence(TypeId(header.ty));
                }
            }
        }
        weaker
    }

    /// Whether an existing entity with this header is like the others of its type.
    fn cover(&self, header: &EntityHeader, store: &Store) -> bool {
        let shape = ShapeId(header.shape);
        let Some((known, record)) = self
            .types
            .get(&TypeId(header.ty))
            .zip(record(header, store))
        else {
            return false;
        };
        let names = store.shapes().attrs(shape);
        if known.shape != Some(shape) {
            return known.shape.is_none() && names.iter().all(|name| known.names.contains(name));
        }
        let seen = observed(record, store);
        seen.zip(&known.values)
            .all(|(seen, known)| join(*known, seen) == *known)
    }

    /// Whether anything is claimed about the existence of entities of a type that attributes name.
    fn tell_existence(&self, ty: TypeId) -> bool {
        let mut values = self.types.values().flat_map(|facts| &facts.values);
        values.any(|values| values.exists.is_some() && values.entity.is_none_or(|of| of == ty))
    }

    fn forget_existence(&mut self, ty: TypeId) {
        for values in self.types.values_mut().flat_map(|facts| &mut facts.values) {
            if values.entity.is_none_or(|of| of == ty) {
                values.exists = None;
            }
        }
    }

    fn attribute(&self, ty: TypeId, name: StrId, store: &Store) -> Option<Attribute> {
        let facts = self.types.get(&ty)?;
        if !facts.names.contains(&name) {
            return Some(Attribute::Missing);
        }
        let names = store.shapes().attrs(facts.shape?);
        let slot = names.binary_search(&name).ok()?;
        Some(Attribute::Present {
            place: AttrEntry::new(slot, names.len())?,
            values: *facts.values.get(slot)?,
        })
    }
}

/// The attribute record of an entity, if it exists.
fn record<'a>(header: &EntityHeader, store: &'a Store) -> Option<Object<'a>> {
    // A missing entity has no record, and the word where its would be is none.
    let record = HeapRef(header.attrs);
    store.heaps().object(record).filter(|_| record.is_some())
}

fn observed<'a>(record: Object<'a>, store: &'a Store) -> impl Iterator<Item = Values> + Clone + 'a {
    record.values().map(move |value| observe(value, store))
}

fn observe(value: Value, store: &Store) -> Values {
    let mut seen = Values {
        tag: Some(value.tag),
        ..Values::default()
    };
    match value.tag {
        Tag::Entity => {
            let subject = subject(value.as_entity(), store);
            seen.entity = Some(subject.ty);
            seen.exists = Some(subject.exists);
        }
        Tag::Set => {
            let set = store.heaps().object(value.as_heap_ref());
            seen.entity_sets = set.and_then(Object::entity_words).is_some();
        }
        _ => {}
    }
    seen
}

fn join(a: Values, b: Values) -> Values {
    let alike = a.tag == b.tag;
    Values {
        tag: a.tag.filter(|_| alike),
        entity: a.entity.filter(|_| a.entity == b.entity),
        exists: a.exists.filter(|_| a.exists == b.exists),
        entity_sets: a.entity_sets && b.entity_sets,
    }
}

/// What is known of an entity of the store, or one that it lacks.
pub(crate) fn subject(id: EntityId, store: &Store) -> Subject {
    headed(store.header(id))
}

/// What is known of an entity with this header.
pub(crate) fn headed(header: &EntityHeader) -> Subject {
    Subject {
        ty: TypeId(header.ty),
        exists: header.attrs != 0,
    }
}

/// What is known when requests of one kind are evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestFacts<'a> {
    pub(crate) store: &'a Store,
    pub(crate) interner: &'a Interner,
    pub(crate) facts: &'a StoreFacts,
    pub(crate) principal: Subject,
    /// `None` if nothing is known of it.
    pub(crate) action: Option<Subject>,
    pub(crate) resource: Subject,
}

impl Facts for RequestFacts<'_> {
    fn subject(&self, var: Var) -> Option<Subject> {
        match var {
            Var::Principal => Some(self.principal),
            Var::Action => self.action,
            Var::Resource => Some(self.resource),
            Var::Context => None,
        }
    }

    fn named(&self, entity: EntityId) -> Option<Subject> {
        (entity.index() < self.store.headers().len()).then(|| subject(entity, self.store))
    }

    fn attribute(&self, ty: TypeId, attr: &str) -> Option<Attribute> {
        // Loading interned the names that policies use.
        let name = self.interner.find_str(attr)?;
        self.facts.attribute(ty, name, self.store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::Entities;

    fn attribute(entities: &str, ty: &str, attr: &str) -> Option<Attribute> {
        let entities = Entities::from_json_str(entities, None).unwrap();
        let mut interner = Interner::new();
        let store = Store::build(&entities, &mut interner).unwrap();
        let facts = StoreFacts::of(&store);
        let ty = TypeId::of_name(interner.find_str(ty)?);
        let name = interner.intern_str(attr).unwrap();
        facts.attribute(ty, name, &store)
    }

    #[test]
    fn what_all_entities_of_a_type_share_is_known() {
        let entities = r#"[
            {"uid": {"type": "A", "id": "1"}, "parents": [], "attrs":
                {"n": 1, "e": {"__entity": {"type": "B", "id": "1"}}, "s": [{"__entity": {"type": "B", "id": "1"}}]}},
            {"uid": {"type": "A", "id": "2"}, "parents": [], "attrs":
                {"n": "1", "e": {"__entity": {"type": "B", "id": "2"}}, "s": []}},
            {"uid": {"type": "B", "id": "1"}, "parents": [], "attrs": {"x": 1}},
            {"uid": {"type": "C", "id": "1"}, "parents": [], "attrs": {"x": 1}},
            {"uid": {"type": "C", "id": "2"}, "parents": [], "attrs": {"y": 1}}
        ]"#;
        let values = |ty, attr| match attribute(entities, ty, attr) {
            Some(Attribute::Present { values, .. }) => values,
            other => panic!("{ty}.{attr}: {other:?}"),
        };
        assert_eq!(values("A", "n"), Values::default());
        let e = values("A", "e");
        assert_eq!(
            (e.tag, e.entity.is_some(), e.exists),
            (Some(Tag::Entity), true, None)
        );
        let s = values("A", "s");
        assert_eq!((s.tag, s.entity_sets), (Some(Tag::Set), true));
        assert_eq!(values("B", "x").tag, Some(Tag::Long));
        assert_eq!(attribute(entities, "A", "x"), Some(Attribute::Missing));
        assert_eq!(attribute(entities, "C", "x"), None);
        assert_eq!(attribute(entities, "C", "z"), Some(Attribute::Missing));
    }
}
