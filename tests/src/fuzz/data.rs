//! Entities, schemas, contexts and uids.

use super::compare::{ALL, Panel, TWO, both, compare};
use super::fixed::{CONTEXT, ENTITIES, POLICIES, SCHEMA, request, requests};
use super::{split_mode, with_mode};
use crate::documents::compare_entities;
use crate::engines::{SchemaText, TestRequest, World, WorldTexts};
use cedar_policy::{Entities, PolicySet, Schema};
use cedarjit_frontend::load::{self, LoadedSchema, SchemaFormat};
use std::cell::RefCell;
use std::error::Error;
use std::sync::{Arc, LazyLock};
use std::thread::LocalKey;

const ORIGIN: &str = "fuzz";

static FIXED_POLICIES: LazyLock<PolicySet> =
    LazyLock::new(|| expect(POLICIES.parse::<PolicySet>()));

static FIXED_SCHEMA: LazyLock<Schema> = LazyLock::new(|| expect(SCHEMA.parse::<Schema>()));

static FIXED_FACTS: LazyLock<LoadedSchema> =
    LazyLock::new(|| expect(load::load_schema(SCHEMA, SchemaFormat::Cedar, ORIGIN)));

fn expect<T>(fixed: Result<T, impl Error>) -> T {
    fixed.unwrap_or_else(|error| panic!("what is fixed must load: {error}"))
}

pub(super) fn run(data: &[u8]) {
    let Some((mode, rest)) = split_mode(data, 6) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match mode {
        0 => entities(text, None),
        1 => entities(text, Some(SCHEMA)),
        2 => schema(text, SchemaFormat::Cedar),
        3 => schema(text, SchemaFormat::Json),
        4 => context(text),
        _ => uid(text),
    }
}

fn entities(text: &str, schema_text: Option<&str>) {
    let schema = schema_text.map(|_| &*FIXED_SCHEMA);
    if let Err(difference) = compare_entities(text, schema_text.map(|_| &*FIXED_FACTS)) {
        panic!("entities read differently: {text:?}: {difference}");
    }
    let ours = load::parse_entities(text, schema, ORIGIN);
    let theirs = || Entities::from_json_str(text, schema).map_err(|error| error.to_string());
    let Some((ours, theirs)) = both(text, ours, theirs) else {
        return;
    };
    assert!(ours == theirs, "entities read differently: {text:?}");
    let world = world(theirs, schema.cloned(), schema_text.map(cedar_text));
    let mut asked = requests(schema);
    asked.extend(about(&world.entities));
    compare(&world, &asked, TWO);
}

/// Requests whose principal is one of these entities.
fn about(entities: &Entities) -> Vec<TestRequest> {
    let context: serde_json::Value = serde_json::from_str(CONTEXT).unwrap_or_default();
    let uids = entities.iter().take(4).map(|entity| entity.uid());
    uids.map(|uid| request(&uid.to_string(), context.clone(), false, None))
        .collect()
}

fn cedar_text(text: &str) -> SchemaText {
    SchemaText::Cedar(text.to_owned())
}

fn world(entities: Entities, schema: Option<Schema>, text: Option<SchemaText>) -> World {
    let texts = WorldTexts {
        schema: text,
        ..WorldTexts::default()
    };
    World {
        texts,
        ..World::new(FIXED_POLICIES.clone(), entities, schema.map(Arc::new))
    }
}

fn schema(text: &str, format: SchemaFormat) {
    let ours = load::load_schema(text, format, ORIGIN);
    let theirs = || match format {
        SchemaFormat::Cedar => Schema::from_cedarschema_str(text)
            .map(|(schema, _)| schema)
            .map_err(|error| error.to_string()),
        SchemaFormat::Json => Schema::from_json_str(text).map_err(|error| error.to_string()),
    };
    let Some((_, theirs)) = both(text, ours, theirs) else {
        return;
    };
    let text = match format {
        SchemaFormat::Cedar => SchemaText::Cedar(text.to_owned()),
        SchemaFormat::Json => SchemaText::Json(text.to_owned()),
    };
    // Entities that do not fit the schema leave its actions alone to ask about.
    let fitting = Entities::from_json_str(ENTITIES, Some(&theirs)).ok();
    let actions = || Entities::from_entities([], Some(&theirs)).ok();
    let Some(entities) = fitting.or_else(actions) else {
        return;
    };
    let asked = requests(Some(&theirs));
    compare(&world(entities, Some(theirs), Some(text)), &asked, TWO);
}

thread_local! {
    /// The fixed world without its schema.
    static UNTYPED: RefCell<Panel> = RefCell::new({
        let entities = expect(Entities::from_json_str(ENTITIES, None));
        Panel::new(&world(entities, None, None), ALL)
    });

    /// The fixed world with its schema.
    static TYPED: RefCell<Panel> = RefCell::new({
        let schema = &*FIXED_SCHEMA;
        let entities = expect(Entities::from_json_str(ENTITIES, Some(schema)));
        Panel::new(&world(entities, Some(schema.clone()), Some(cedar_text(SCHEMA))), ALL)
    });
}

fn ask(panel: &'static LocalKey<RefCell<Panel>>, asked: &[TestRequest]) {
    panel.with_borrow_mut(|panel| {
        for request in asked {
            let _same_for_all = panel.ask(request);
        }
    });
}

fn context(text: &str) {
    let Ok(json) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let principal = r#"User::"a""#;
    ask(&UNTYPED, &[request(principal, json.clone(), false, None)]);
    let schema = &*FIXED_SCHEMA;
    let asked = [false, true].map(|on| request(principal, json.clone(), on, Some(schema)));
    ask(&TYPED, &asked);
}

fn uid(text: &str) {
    let context: serde_json::Value = serde_json::from_str(CONTEXT).unwrap_or_default();
    let (user, view, doc) = (r#"User::"a""#, r#"Action::"view""#, r#"Doc::"d""#);
    let asked = [[text, view, doc], [user, text, doc], [user, view, text]]
        .map(|[p, a, r]| TestRequest::new(p, a, r, context.clone(), false, None));
    ask(&UNTYPED, &asked);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        with_mode(0, ENTITIES),
        with_mode(1, ENTITIES),
        with_mode(2, SCHEMA),
        with_mode(4, CONTEXT),
        with_mode(4, "{}"),
    ];
    let first = ENTITIES.split_once("},\n{\"uid\": {\"type\": \"User\", \"id\": \"b\"");
    let first = first.map(|(first, _)| format!("{first}}}]"));
    seeds.extend(first.map(|first| with_mode(0, &first)));
    let json = SCHEMA
        .parse::<cedar_policy::SchemaFragment>()
        .ok()
        .and_then(|fragment| fragment.to_json_value().ok());
    seeds.extend(json.map(|json| with_mode(3, &json.to_string())));
    let uids = [
        r#"User::"a""#,
        r#"N::M::User::"é\n\"\u{1f600}""#,
        r#"User :: "a" // x"#,
    ];
    seeds.extend(uids.map(|uid| with_mode(5, uid)));
    seeds
}
