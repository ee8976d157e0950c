//! Reading a document of entities straight into a store.
//!
//! What cedar-policy's reader gives is the measure: a document is read here only if it is written
//! plainly and, with a schema, is certain to fit it. At anything else the reader gives up, what it
//! did is forgotten, and cedar-policy reads the document from its beginning: so whatever is unusual,
//! and every error, is cedar-policy's own. What is certain:
//!
//! - The document is an array of objects with the members `uid`, `attrs`, `parents` and possibly
//!   `tags`, in any order, and no others. No uid comes twice.
//! - A uid is `{"type", "id"}`, or that as the value of `__entity`.
//! - Attributes and tags are as in the context of a [request](crate::request).
//! - Parents make no cycle, and no chain that is longer than the limit.
//! - With a schema, every type, attribute, tag, parent and enumerated entity is as it declares, and
//!   actions are exactly its own.

mod names;
mod rules;
mod split;

use crate::request::Work;
use crate::request::context::{
    Expected, Reader, Seed, Text, UidSeed, UidText, give_up, is_peculiar,
};
use crate::store::{Store, StoreBuilder};
use crate::values::ValueSink;
use cedar_policy::Schema;
use cedarjit_frontend::limits::{MAX_ENTITIES, MAX_ENTITIES_BYTES};
use cedarjit_frontend::schema::SchemaFacts;
use cedarjit_ir::ahead::{ABREAST, touch};
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use names::{Names, NamingSink};
use rules::{EntityRules, TypeRules, is_action_type};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use split::{Members, Splitter};
use std::fmt;

/// Whether the entities of a document are checked against the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// They are, as cedar-policy does it.
    Schema,
    /// The schema says how they are to be read, and supplies the actions.
    Trusted,
}

/// Reads a document of entities, with the schema and what its text says, if there is one.
///
/// `None` if the document is not plain, or not certain to be what cedar-policy accepts. O(n log n)
/// in the length of the text and the number of ancestors; beside the store it takes memory for the
/// direct parents only.
pub fn read<'s>(
    text: &'s str,
    schema: Option<(&'s Schema, &'s SchemaFacts)>,
    check: Check,
) -> Option<(Interner, Store)> {
    if text.len() > MAX_ENTITIES_BYTES {
        return None;
    }
    let mut interner = Interner::new();
    let rules = match schema {
        None => None,
        Some((schema, facts)) => Some(EntityRules::new(schema, facts, &mut interner)?),
    };
    let mut document = DocumentReader {
        builder: StoreBuilder::new(&interner),
        names: Names::new(text),
        interner,
        rules,
        check,
        work: Work::default(),
        tags: Vec::new(),
        uids: Vec::new(),
        ids: Vec::new(),
        parents: Vec::new(),
        actions: 0,
    };
    let mut splitter = Splitter::new(text);
    let mut abreast = Vec::with_capacity(ABREAST);
    while let Some(members) = splitter.next()? {
        abreast.push(members);
        if abreast.len() == ABREAST {
            document.entities(&abreast)?;
            abreast.clear();
        }
    }
    document.entities(&abreast)?;
    document.finish()
}

/// Reads one document of a lifetime that it shares with the schema.
struct DocumentReader<'s> {
    interner: Interner,
    builder: StoreBuilder,
    names: Names<'s>,
    rules: Option<EntityRules<'s>>,
    check: Check,
    work: Work,
    /// The tags of one entity.
    tags: Vec<(StrId, Value)>,
    /// Of a few entities, one after the other: its uid and those of its parents.
    uids: Vec<UidText<'s>>,
    /// The ids of these and of their types.
    ids: Vec<(EntityId, TypeId)>,
    /// The parents of one entity.
    parents: Vec<EntityId>,
    /// How many actions the document has, if there is a schema.
    actions: usize,
}

/// How the members of an entity are to be read.
#[derive(Clone, Copy)]
enum Kind<'a, 's> {
    /// As they are written.
    Untyped,
    /// As the entity type is declared.
    Typed(&'a TypeRules<'s>),
    /// An action of a schema, which has neither attributes nor tags.
    Action,
}

impl<'s> DocumentReader<'s> {
    /// Reads a few entities.
    fn entities(&mut self, all: &[Members<'s>]) -> Option<()> {
        let mut uids = std::mem::take(&mut self.uids);
        let mut ids = std::mem::take(&mut self.ids);
        let mut ends = [0; ABREAST];
        uids.clear();
        for (members, end) in all.iter().zip(&mut ends) {
            uids.push(whole(members.uid, |json| {
                UidSeed { escaped: true }.deserialize(json)
            })?);
            read_uids(members.parents, &mut uids)?;
            *end = uids.len();
        }
        let found = (self.names).entities(&mut self.interner, &uids, &mut ids);
        found.ok()?;
        let store = self.builder.store();
        let starts = std::iter::once(&0).chain(&ends).take(all.len());
        let own = starts.filter_map(|start| ids.get(*start));
        touch(own.map(|(id, _)| store.header(*id).attrs));
        let mut start = 0;
        for (members, end) in all.iter().zip(ends) {
            self.entity(members, uids.get(start..end)?, ids.get(start..end)?)?;
            start = end;
        }
        (self.uids, self.ids) = (uids, ids);
        Some(())
    }

    /// Reads an entity, whose uid is the first one and whose parents the others are.
    fn entity(
        &mut self,
        members: &Members<'s>,
        uids: &[UidText<'s>],
        ids: &[(EntityId, TypeId)],
    ) -> Option<()> {
        let (uid, parents) = uids.split_first()?;
        let (&(id, ty), parent_ids) = ids.split_first()?;
        let mut reader = Reader {
            sink: NamingSink {
                global: self.builder.sink(&mut self.interner),
                names: &mut self.names,
            },
            work: &mut self.work,
            valid: None,
            lenient: self.check == Check::Trusted,
        };
        reader.is_possible(&uid.ty, &uid.id).then_some(())?;
        let is_action = is_action_type(&uid.ty);
        let kind = match &self.rules {
            None => Kind::Untyped,
            Some(_) if is_action => Kind::Action,
            Some(rules) => match rules.entity_type(ty) {
                Some(rules) => Kind::Typed(rules),
                None if self.check == Check::Trusted => Kind::Untyped,
                None => return None,
            },
        };
        if let (Kind::Typed(ty), Some(rules), Check::Schema) = (kind, &self.rules, self.check) {
            ty.facts.may_have(&uid.id).then_some(())?;
            reader.valid = Some(rules.facts);
        }
        let attrs = read_attrs(&mut reader, kind, members.attrs)?;
        self.tags.clear();
        if let Some(tags) = members.tags {
            read_tags(&mut reader, kind, tags, &mut self.tags)?;
        }
        self.parents.clear();
        for (parent, (id, ty)) in parents.iter().zip(parent_ids) {
            reader.is_possible(&parent.ty, &parent.id).then_some(())?;
            let allowed = match kind {
                Kind::Typed(rules) => self.check == Check::Trusted || rules.may_be_parent(*ty),
                _ => !is_action || is_action_type(&parent.ty),
            };
            allowed.then(|| self.parents.push(*id))?;
        }
        if matches!(kind, Kind::Action) {
            let plain = attrs.as_heap_ref() == self.builder.store().empty_record();
            (plain && self.tags.is_empty()).then_some(())?;
            self.actions += 1;
        }
        let store = self.builder.store();
        if store.exists(id) || store.len() == MAX_ENTITIES {
            return None;
        }
        let (tags, parents) = (&mut self.tags, &mut self.parents);
        let added = self.builder.add(&self.interner, id, attrs, tags, parents);
        added.ok()
    }

    /// Closes the hierarchy and adds the schema's actions.
    fn finish(mut self) -> Option<(Interner, Store)> {
        self.builder.close().ok()?;
        if let Some(rules) = &self.rules {
            let actions = rules.actions();
            for (uid, action) in rules.sorted_actions() {
                let id = self.builder.sink(&mut self.interner).uid(&uid).ok()?;
                if !self.builder.store().exists(id) {
                    let added =
                        (self.builder).add_entity(&mut self.interner, &uid, id, action, actions);
                    added.ok()?;
                    continue;
                }
                self.actions = self.actions.checked_sub(1)?;
                if action.attrs().next().is_some() || action.tags().next().is_some() {
                    return None;
                }
                let mut sink = self.builder.sink(&mut self.interner);
                let ancestors = actions
                    .ancestors(&uid)?
                    .map(|uid| Some(sink.uid(uid).ok()?.0));
                let mut ancestors: Vec<u32> = ancestors.collect::<Option<_>>()?;
                ancestors.sort_unstable();
                let stored = self.builder.store().ancestors_of(id).sorted();
                let stored = stored.iter().map(|id| id.0);
                stored.eq(ancestors).then_some(())?;
            }
            // Whatever is left the schema does not have.
            (self.actions == 0).then_some(())?;
        }
        let store = self.builder.finish(&self.interner);
        Some((self.interner, store))
    }
}

type EntityReader<'r, 'a, 't> = Reader<'r, NamingSink<'a, 't>>;

fn read_attrs(
    reader: &mut EntityReader<'_, '_, '_>,
    kind: Kind<'_, '_>,
    text: &str,
) -> Option<Value> {
    let expected = match kind {
        Kind::Typed(rules) => Expected::Record(&rules.facts.attrs),
        Kind::Untyped | Kind::Action => Expected::Any,
    };
    reader.work.clear();
    let attrs = whole(text, |json| Seed { reader, expected }.deserialize(json))?;
    // An escape is a value, too.
    (attrs.tag == Tag::Record).then_some(attrs)
}

fn read_tags(
    reader: &mut EntityReader<'_, '_, '_>,
    kind: Kind<'_, '_>,
    text: &str,
    tags: &mut Vec<(StrId, Value)>,
) -> Option<()> {
    let expected = match kind {
        Kind::Typed(rules) => match &rules.facts.tags {
            Some(ty) => Some(Expected::Type(ty)),
            None => reader.lenient.then_some(Expected::Any),
        },
        Kind::Untyped | Kind::Action => Some(Expected::Any),
    };
    let seed = Tags {
        reader,
        expected,
        tags: &mut *tags,
    };
    whole(text, |json| json.deserialize_map(seed))?;
    tags.sort_unstable_by_key(|(key, _)| *key);
    tags.is_sorted_by(|(a, _), (b, _)| a < b).then_some(())
}

fn read_uids<'t>(text: &'t str, uids: &mut Vec<UidText<'t>>) -> Option<()> {
    // Most entities of most documents have none.
    if text == "[]" {
        return Some(());
    }
    whole(text, |json| json.deserialize_seq(Uids(uids)))
}

/// Reads a text as one JSON value.
#[inline]
fn whole<'t, T>(
    text: &'t str,
    read: impl FnOnce(
        &mut serde_json::Deserializer<serde_json::de::StrRead<'t>>,
    ) -> Result<T, serde_json::Error>,
) -> Option<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = read(&mut json).ok()?;
    json.end().ok()?;
    Some(value)
}

/// Reads an array of uids.
struct Uids<'x, 'de>(&'x mut Vec<UidText<'de>>);

impl<'de> Visitor<'de> for Uids<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some(uid) = array.next_element_seed(UidSeed { escaped: true })? {
            self.0.push(uid);
        }
        Ok(())
    }
}

/// Reads an object of tags.
struct Tags<'x, 'r, 'a, 't> {
    reader: &'x mut EntityReader<'r, 'a, 't>,
    /// What tags are; `None` if there may be none.
    expected: Option<Expected<'x>>,
    tags: &'x mut Vec<(StrId, Value)>,
}

impl<'de> Visitor<'de> for Tags<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        loop {
            let sink = &mut self.reader.sink;
            let key = object.next_key_seed(Text(|key: &str| {
                let plain = !is_peculiar(key);
                plain.then(|| sink.string(key).ok()).flatten()
            }))?;
            let (key, expected) = match (key, self.expected) {
                (None, _) => return Ok(()),
                (Some(key), Some(expected)) => (key, expected),
                (Some(_), None) => return give_up(),
            };
            let reader = &mut *self.reader;
            let value = object.next_value_seed(Seed { reader, expected })?;
            self.tags.push((key, value));
        }
    }
}
