//! What the stored entities have in common: the facts that fused code relies on.
//!
//! They are looked up in the store itself and hold for it and for nothing else, so code that relies
//! on them belongs to the snapshots of that store. A schema would not say more: these hold with a
//! schema or without.

use crate::store::{Store, StoreUpdate};
use cedarjit_ir::abi::{AttrEntry, EntityHeader};
use cedarjit_ir::expr::Var;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{HeapRef, Object};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{Attribute, Elements, Facts, Subject, Values};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// What the entities of each type have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreFacts {
    types: HashMap<TypeId, TypeFacts, RandomState>,
    /// The types of the parents that entities of a type have.
    parents: HashMap<TypeId, HashSet<TypeId, RandomState>, RandomState>,
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
    /// Looks at every attribute and every parent of every entity, and at the elements of sets.
    /// O(all of them).
    pub(crate) fn of(store: &Store) -> Self {
        let mut facts = Self::default();
        for (id, header) in store.headers().iter().enumerate() {
            facts.add(header, store);
            facts.add_parents(EntityId::from_index(id), store);
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

    /// Looks at the parents of an entity.
    fn add_parents(&mut self, id: EntityId, store: &Store) {
        let of = TypeId(store.header(id).ty);
        for ty in parent_types(id, store) {
            self.parents.entry(of).or_default().insert(ty);
        }
    }

    /// Whether the parents of an entity are of types that others of its type have parents of.
    fn cover_parents(&self, id: EntityId, store: &Store) -> bool {
        let known = self.parents.get(&TypeId(store.header(id).ty));
        parent_types(id, store).all(|ty| known.is_some_and(|known| known.contains(&ty)))
    }

    /// Whether an entity of a type may have an ancestor of the type `ancestor`: whether parents of
    /// the one lead to it, and their types' parents, and so on.
    fn may_be_in(&self, ty: TypeId, ancestor: TypeId) -> bool {
        let mut reached = vec![ty];
        let mut next = 0;
        while let Some(of) = reached.get(next).copied() {
            next += 1;
            for parent in self.parents.get(&of).into_iter().flatten() {
                if *parent == ancestor {
                    return true;
                }
                if !reached.contains(parent) && !planted(Fault::TypesApartByParents) {
                    reached.push(*parent);
                }
            }
        }
        false
    }

    /// What still holds when entities have changed; `None` if all of it does.
    pub(crate) fn after(&self, store: &Store, update: &StoreUpdate) -> Option<Self> {
        let mut weaker: Option<Self> = None;
        for id in update.reparented() {
            let facts = weaker.as_ref().unwrap_or(self);
            if !facts.cover_parents(id, store) && !planted(Fault::TypesApartForEver) {
                let weaker = weaker.get_or_insert_with(|| self.clone());
                weaker.add_parents(id, store);
            }
        }
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

/// The types of an entity's parents.
fn parent_types(id: EntityId, store: &Store) -> impl Iterator<Item = TypeId> {
    let parents = store.parents_of(id).iter();
    parents.map(|parent| TypeId(store.header(parent).ty))
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
            seen.elements = set.and_then(|set| elements(set, store));
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
        elements: a.elements.zip(b.elements).map(|pair| match pair {
            (Elements::Nothing, other) | (other, Elements::Nothing) => other,
            (a, b) if a == b || planted(Fault::ElementsOfTheFirst) => a,
            _ => Elements::Entities,
        }),
    }
}

/// What a set holds, if it holds nothing but entities.
fn elements(set: Object<'_>, store: &Store) -> Option<Elements> {
    let words = set.entity_words()?;
    let mut types = words.map(|word| TypeId(store.header(EntityId(word as u32)).ty));
    let Some(first) = types.next() else {
        return Some(Elements::Nothing);
    };
    Some(match types.all(|ty| ty == first) {
        true => Elements::OfType(first),
        false => Elements::Entities,
    })
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

    fn constant_set(&self, reference: u64) -> Option<Vec<Value>> {
        let reference = HeapRef(u32::try_from(reference).ok()?);
        let set = self.store.heaps().object(reference)?;
        Some(set.values().collect())
    }

    fn may_be_in(&self, ty: TypeId, ancestor: TypeId) -> bool {
        self.facts.may_be_in(ty, ancestor)
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
            {"uid": {"type": "C", "id": "2"}, "parents": [], "attrs": {"y": 1}},
            {"uid": {"type": "D", "id": "1"}, "parents": [], "attrs": {
                "none": [], "apart": [{"__entity": {"type": "A", "id": "1"}}], "other": [],
                "mixed": [{"__entity": {"type": "A", "id": "1"}}, {"__entity": {"type": "B", "id": "1"}}]}},
            {"uid": {"type": "D", "id": "2"}, "parents": [], "attrs": {
                "none": [], "apart": [{"__entity": {"type": "C", "id": "1"}}],
                "other": [{"__entity": {"type": "A", "id": "1"}}, 1],
                "mixed": [{"__entity": {"type": "B", "id": "1"}}]}}
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
        let sets = |attr| values("D", attr).elements;
        assert_eq!(sets("none"), Some(Elements::Nothing));
        assert_eq!(sets("mixed"), Some(Elements::Entities));
        assert_eq!(sets("apart"), Some(Elements::Entities));
        assert_eq!(sets("other"), None);
        let s = values("A", "s");
        let b = e.entity.unwrap();
        assert_eq!(
            (s.tag, s.elements),
            (Some(Tag::Set), Some(Elements::OfType(b)))
        );
        assert_eq!(values("B", "x").tag, Some(Tag::Long));
        assert_eq!(attribute(entities, "A", "x"), Some(Attribute::Missing));
        assert_eq!(attribute(entities, "C", "x"), None);
        assert_eq!(attribute(entities, "C", "z"), Some(Attribute::Missing));
    }

    #[test]
    fn parents_types_say_what_may_be_in_what() {
        let entities = r#"[
            {"uid": {"type": "A", "id": "1"}, "attrs": {}, "parents": [{"type": "B", "id": "1"}]},
            {"uid": {"type": "B", "id": "2"}, "attrs": {}, "parents": [{"type": "C", "id": "1"}]},
            {"uid": {"type": "C", "id": "2"}, "attrs": {}, "parents": [{"type": "C", "id": "1"}]}
        ]"#;
        let entities = Entities::from_json_str(entities, None).unwrap();
        let mut interner = Interner::new();
        let store = Store::build(&entities, &mut interner).unwrap();
        let facts = StoreFacts::of(&store);
        let ty = |name| TypeId::of_name(interner.find_str(name).unwrap());
        let inside: Vec<(&str, &str)> = ["A", "B", "C"]
            .iter()
            .flat_map(|a| ["A", "B", "C"].map(|b| (*a, b)))
            .filter(|(a, b)| facts.may_be_in(ty(a), ty(b)))
            .collect();
        assert_eq!(inside, [("A", "B"), ("A", "C"), ("B", "C"), ("C", "C")]);
    }
}
