//! Entities that are changed one at a time, in an engine and in cedar-policy's own `Entities`: after
//! the same upserts and removals both answer the same, and refuse the same.

use cedar_policy::{Authorizer, Entities, Entity, EntityUid, Response, Schema};
use cedarjit::Engine;
use cedarjit_tests::engines::{Answer, TestRequest};
use cedarjit_tests::generator::{Knobs, LoadedCase, Rng, generate};
use cedarjit_tests::stack::on_large_stack;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many worlds are changed.
const WORLDS: u64 = if cfg!(debug_assertions) { 20 } else { 60 };

const CHANGES: usize = 12;

/// How many requests are compared after each change.
const REQUESTS: usize = 10;

/// The entities as JSON, but for the schema's actions.
type Rows = BTreeMap<EntityUid, Value>;

#[derive(Default)]
struct Counts {
    answers: usize,
    removed: usize,
    refused: usize,
}

fn rows(loaded: &LoadedCase) -> Rows {
    let world = &loaded.world;
    let text = world.texts.entities.as_deref().unwrap();
    let values: Vec<Value> = serde_json::from_str(text).unwrap();
    let rows = values
        .into_iter()
        .map(|value| (entity(&value, None).uid(), value));
    let own = |uid: &EntityUid| world.schema.is_none() || uid.type_name().basename() != "Action";
    rows.filter(|(uid, _)| own(uid)).collect()
}

fn entity(value: &Value, schema: Option<&Schema>) -> Entity {
    Entity::from_json_value(value.clone(), schema).unwrap()
}

fn engine(loaded: &LoadedCase, rows: &Rows) -> Engine {
    let world = &loaded.world;
    let mut builder = Engine::builder().policies(&world.policies);
    if let Some(schema) = &world.schema {
        builder = builder.schema(schema);
    }
    let engine = builder.build().unwrap();
    let schema = world.schema.as_deref();
    engine
        .update(|tx| {
            rows.values()
                .try_for_each(|row| tx.upsert_entity(entity(row, schema)))
        })
        .unwrap();
    engine
}

/// An entity with its own parents or with those of another one of its type.
fn other_row(rng: &mut Rng, rows: &Rows) -> Option<(EntityUid, Value)> {
    let all: Vec<(&EntityUid, &Value)> = rows.iter().collect();
    let (uid, row) = rng.pick(&all)?;
    let mut row = (*row).clone();
    let alike = rows
        .iter()
        .filter(|(other, _)| other.type_name() == uid.type_name());
    let alike: Vec<&Value> = alike.map(|(_, row)| row).collect();
    let part = ["parents", "attrs", "tags"][rng.below(3)];
    let other = rng.pick(&alike)?.get(part);
    row[part] = other.cloned().unwrap_or_else(|| json!({}));
    if part == "parents" && rng.one_in(4) {
        // Any of its type, or itself: often a cycle, and with a schema often not admitted.
        row[part] = json!([rng.pick(&alike)?["uid"].clone()]);
    }
    Some(((*uid).clone(), row))
}

fn compare(engine: &Engine, entities: &Entities, loaded: &LoadedCase, rng: &mut Rng) -> usize {
    let mut compared = 0;
    for _ in 0..REQUESTS {
        let Some(TestRequest {
            parsed: Ok(request),
            ..
        }) = rng.pick(&loaded.requests)
        else {
            continue;
        };
        let expected = Authorizer::new().is_authorized(request, &loaded.world.policies, entities);
        let expected = Answer::from(&expected);
        if expected.ran_out_of_stack() {
            continue;
        }
        let bound = engine.snapshot().bind(request).unwrap();
        if rng.one_in(4) {
            bound.warm_up();
        }
        let got = engine.is_authorized(request);
        assert_eq!(Answer::from(&Response::from(&got)), expected, "{request}");
        compared += 1;
    }
    compared
}

fn change(seed: u64, counts: &mut Counts) {
    let Ok(loaded) = generate(seed, &Knobs::default()).load() else {
        return;
    };
    let schema = loaded.world.schema.as_deref();
    let mut rng = Rng::new(seed);
    let mut rows = rows(&loaded);
    let engine = engine(&loaded, &rows);
    let mut entities = loaded.world.entities.clone();
    for _ in 0..CHANGES {
        if rng.one_in(3) {
            let known: Vec<&EntityUid> = rows.keys().collect();
            let Some(uid) = rng.pick(&known).map(|uid| (*uid).clone()) else {
                return;
            };
            rows.remove(&uid);
            entities = entities.remove_entities([uid.clone()]).unwrap();
            assert!(engine.update(|tx| tx.remove_entity(&uid)).unwrap());
            counts.removed += 1;
        } else if let Some((uid, row)) = other_row(&mut rng, &rows) {
            let Ok(changed) = Entity::from_json_value(row.clone(), schema) else {
                continue;
            };
            let before = engine.snapshot();
            let ours = engine.update(|tx| tx.upsert_entity(changed.clone()));
            match entities.clone().upsert_entities([changed], schema) {
                Ok(upserted) => {
                    ours.unwrap();
                    entities = upserted;
                    rows.insert(uid, row);
                }
                Err(error) => {
                    assert!(ours.is_err(), "seed {seed}: cedar-policy refuses: {error}");
                    assert!(std::sync::Arc::ptr_eq(&before, &engine.snapshot()));
                    counts.refused += 1;
                }
            }
        }
        counts.answers += compare(&engine, &entities, &loaded, &mut rng);
        assert_eq!(
            engine.snapshot().entities().count(),
            entities.iter().count()
        );
    }
}

#[test]
fn an_engine_goes_with_the_entities_of_cedar_policy() {
    let Counts {
        answers,
        removed,
        refused,
    } = on_large_stack(|| {
        let mut counts = Counts::default();
        (0..WORLDS).for_each(|seed| change(seed, &mut counts));
        counts
    });
    println!("{answers} answers compared, {removed} entities removed, {refused} changes refused");
    assert!(answers > 60 * WORLDS as usize && removed > 20 && refused > 0);
}
