//! Entities in JSON that the engine reads itself: what it takes, cedar-policy takes, and both have
//! the same entities then.

use super::spoil;
use crate::engines::SchemaText;
use crate::generator::{Knobs, Rng, generate};
use cedar_policy::{Entities, Schema};
use cedarjit::entities::{self, Check};
use cedarjit::request::RequestValues;
use cedarjit::store::Store;
use cedarjit::values::{ScratchSpace, ValueContext};
use cedarjit_frontend::load::{LoadedSchema, SchemaFormat, load_schema};
use cedarjit_ir::heap::HeapRef;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What became of some documents of entities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EntityCounts {
    /// Sound documents.
    pub sound: usize,
    /// Sound documents that the engine read itself.
    pub sound_plain: usize,
    /// Spoiled documents.
    pub spoiled: usize,
    /// Spoiled documents that the engine read itself.
    pub spoiled_plain: usize,
}

impl EntityCounts {
    /// Adds what became of others.
    pub fn merge(&mut self, other: Self) {
        self.sound += other.sound;
        self.sound_plain += other.sound_plain;
        self.spoiled += other.spoiled;
        self.spoiled_plain += other.spoiled_plain;
    }
}

/// What a store has of one entity: texts of its attributes and tags, and the uids of its ancestors.
type Content = (String, BTreeMap<String, String>, BTreeSet<String>);

fn content(interner: &Interner, store: &Store) -> BTreeMap<String, Content> {
    let request = RequestValues::unbound(interner);
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner,
        store,
        request: &request,
        scratch: &mut scratch,
    };
    let ids = (0..interner.entity_count()).map(EntityId::from_index);
    let existing = ids.filter(|id| store.exists(*id));
    let all = existing.map(|id| {
        let attrs: Value = HeapRef(store.header(id).attrs).value(Tag::Record);
        let tags = store.tags(id).iter();
        let tags = tags.map(|(key, value)| (interner.str(key).into(), context.text(value)));
        let ancestors: BTreeSet<u32> = store.ancestors_of(id).iter().map(|id| id.0).collect();
        for other in 0..store.headers().len().min(64) {
            let other = EntityId::from_index(other);
            let is_ancestor = ancestors.contains(&other.0);
            assert_eq!(store.is_descendant(id, other), is_ancestor);
        }
        let ancestors = ancestors
            .into_iter()
            .map(|id| context.uid_text(EntityId(id)));
        let content = (context.text(attrs), tags.collect(), ancestors.collect());
        (context.uid_text(id), content)
    });
    let all: BTreeMap<_, _> = all.collect();
    assert_eq!(all.len(), store.len());
    all
}

/// Whether the engine reads a document of entities itself.
///
/// # Errors
/// When it does and cedar-policy refuses the document, or has other entities.
pub fn compare_entities(text: &str, schema: Option<&LoadedSchema>) -> Result<bool, String> {
    let read = |check| entities::read(text, schema.map(|s| (&s.schema, &s.facts)), check);
    let plain = read(Check::Schema);
    let trusted = read(Check::Trusted);
    let Some((interner, store)) = plain else {
        // Whatever it is, it must be well-formed to be walked.
        trusted.inspect(|(interner, store)| drop(content(interner, store)));
        return Ok(false);
    };
    let ours = content(&interner, &store);
    let (interner, store) = trusted.ok_or("checks are passed, and without them it is not read")?;
    if content(&interner, &store) != ours {
        return Err("without the checks it is read differently".to_owned());
    }
    let schema: Option<&Schema> = schema.map(|s| &s.schema);
    let entities = Entities::from_json_str(text, schema);
    let entities = entities.map_err(|error| format!("cedar-policy refuses it: {error}"))?;
    let mut interner = Interner::new();
    let store = Store::build(&entities, &mut interner).map_err(|error| error.to_string())?;
    let theirs = content(&interner, &store);
    if ours != theirs {
        return Err(format!("expected {theirs:#?}, got {ours:#?}"));
    }
    Ok(true)
}

/// Compares the entities of a generated world, as they are and spoiled in `spoiled` ways.
///
/// # Errors
/// The first document that is read differently, and how.
pub fn run_entities(seed: u64, knobs: &Knobs, spoiled: usize) -> Result<EntityCounts, String> {
    let case = super::small(generate(seed, knobs));
    let mut counts = EntityCounts::default();
    let Ok(loaded) = case.load() else {
        return Ok(counts);
    };
    let schema = match &loaded.world.texts.schema {
        Some(SchemaText::Cedar(text)) => load_schema(text, SchemaFormat::Cedar, "schema").map(Some),
        Some(SchemaText::Json(text)) => load_schema(text, SchemaFormat::Json, "schema").map(Some),
        None => Ok(None),
    };
    let schema = schema.map_err(|error| error.to_string())?;
    let is_plain = |text: &str| {
        let compared = compare_entities(text, schema.as_ref());
        compared.map_err(|error| format!("seed {seed}: {error}\n{text}"))
    };
    let sound = case.entities.json_array();
    // With the members in the order of their names, the uid comes last.
    let sorted: serde_json::Value = serde_json::from_str(&sound).unwrap_or_default();
    for text in [&sound, &sorted.to_string()] {
        counts.sound += 1;
        counts.sound_plain += usize::from(is_plain(text)?);
    }
    let mut rng = Rng::new(seed ^ 0x656e_7469);
    for number in 0..spoiled {
        let text = match number % 4 {
            0 => spoil::text(&mut rng, &sound),
            _ => spoil::json_text(&mut rng, &sound),
        };
        counts.spoiled += 1;
        counts.spoiled_plain += usize::from(is_plain(&text)?);
    }
    Ok(counts)
}
