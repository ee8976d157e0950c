//! What fused code relies on of the entities: of which types they are in one another, and what is in
//! their sets.

use cedar_policy::{Context, Decision, EntityUid, Request};
use cedarjit::{Engine, Scratch};
use serde_json::{Value, json};

const POLICIES: &str = r#"
permit (principal, action == Action::"in", resource) when { resource in principal.docs };
permit (principal, action == Action::"contains", resource) when { principal.docs.contains(resource) };
permit (principal, action == Action::"folder", resource) when { resource in principal.folder };
permit (principal, action == Action::"self", resource) when { resource in principal.favourite };
"#;

fn uid(ty: &str, id: usize) -> EntityUid {
    format!("{ty}::\"{id}\"").parse().unwrap()
}

fn reference(ty: &str, id: usize) -> Value {
    json!({ "__entity": { "type": ty, "id": id.to_string() } })
}

fn entity(ty: &str, id: usize, attrs: &Value, parents: &[Value]) -> Value {
    json!({ "uid": { "type": ty, "id": id.to_string() }, "attrs": attrs, "parents": parents })
}

/// Person `n` has the documents below `n`, and document 3 as the favourite; all are in a folder.
fn entities(persons: usize, docs: usize) -> String {
    let persons = (0..persons).map(|n| {
        let own: Vec<Value> = (0..n).map(|doc| reference("Doc", doc)).collect();
        let attrs = json!({
            "docs": own,
            "folder": reference("Folder", n % 2),
            "favourite": reference("Doc", 3),
        });
        entity("User", n, &attrs, &[])
    });
    let docs = (0..docs).map(|doc| {
        let folder = reference("Folder", doc % 2);
        entity("Doc", doc, &json!({}), &[folder])
    });
    let folders = (0..2).map(|folder| entity("Folder", folder, &json!({}), &[]));
    let all: Vec<Value> = persons.chain(docs).chain(folders).collect();
    Value::from(all).to_string()
}

/// The decision by fused code.
fn decide(engine: &Engine, action: &str, person: usize, doc: usize) -> Decision {
    let action: EntityUid = format!("Action::\"{action}\"").parse().unwrap();
    let (principal, resource) = (uid("User", person), uid("Doc", doc));
    let request = Request::new(principal, action, resource, Context::empty(), None).unwrap();
    let bound = engine.snapshot().bind(&request).unwrap();
    assert!(bound.warm_up());
    let mut scratch = Scratch::default();
    let decision = bound.evaluate(&mut scratch).decision();
    assert_eq!(bound.decide(&mut scratch), decision);
    assert_eq!(bound.interpret(&mut scratch).decision(), decision);
    decision
}

fn when(holds: bool) -> Decision {
    match holds {
        true => Decision::Allow,
        false => Decision::Deny,
    }
}

#[test]
fn sets_of_every_length_are_searched() {
    let (persons, docs) = (40, 42);
    let engine = Engine::builder()
        .policies_str(POLICIES)
        .entities_json(entities(persons, docs))
        .build()
        .unwrap();
    for person in 0..persons {
        for doc in 0..docs {
            let own = when(doc < person);
            assert_eq!(decide(&engine, "in", person, doc), own, "{doc} of {person}");
            assert_eq!(decide(&engine, "contains", person, doc), own);
            let together = when(doc % 2 == person % 2);
            assert_eq!(decide(&engine, "folder", person, doc), together);
            assert_eq!(decide(&engine, "self", person, doc), when(doc == 3));
        }
    }
}

#[test]
fn entities_come_to_be_in_others_of_a_type_that_had_none_in_it() {
    let engine = Engine::builder()
        .policies_str(POLICIES)
        .entities_json(entities(4, 8))
        .build()
        .unwrap();
    let decisions = |doc| ["in", "contains", "self"].map(|action| decide(&engine, action, 3, doc));
    assert_eq!(decisions(6), [Decision::Deny; 3]);
    engine
        .update(|tx| tx.set_parents(&uid("Doc", 6), [uid("Doc", 2)]))
        .unwrap();
    assert_eq!(
        decisions(6),
        [Decision::Allow, Decision::Deny, Decision::Deny]
    );
    // Through a type between, which no parent of a document was of before.
    engine
        .update(|tx| {
            tx.set_parents(&uid("Doc", 6), [uid("Box", 0)])?;
            tx.set_parents(&uid("Folder", 0), [uid("Doc", 3)])
        })
        .unwrap();
    assert_eq!(decisions(6), [Decision::Deny; 3]);
    assert_eq!(decide(&engine, "self", 3, 4), Decision::Allow);
}

const CONSTANTS: &str = r#"
permit (principal, action == Action::"few", resource)
  when { context has x && [1, "1", User::"1", true, [1]].contains(context.x) };
permit (principal, action == Action::"strings", resource)
  when { context has x && ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].contains(context.x) };
permit (principal, action == Action::"many", resource)
  when { [1, 2, 3, 4, 5, 6, 7, 8, 9, "1", "2", "3", "4", "5", "6", "7", "8", "9"].contains(context.x) };
permit (principal, action == Action::"users", resource)
  when { principal in [User::"1", User::"3"] || principal in [User::"2", Doc::"2"] };
permit (principal, action == Action::"guard", resource)
  when { resource has level && resource has open && resource.open && resource.level > 1 };
permit (principal, action == Action::"nested", resource)
  when { resource has at && resource.at has x && (resource.at.x == 1 || (resource.at has y && resource.at.y == 2)) };
"#;

fn loose_entities() -> String {
    let attrs = [
        json!({}),
        json!({ "level": 1, "open": true }),
        json!({ "level": 2, "open": true, "at": { "x": 1 } }),
        json!({ "level": 2, "open": false, "at": { "y": 2 } }),
        json!({ "open": 1, "level": 3, "at": { "x": 2, "y": 2, "z": 3 } }),
        json!({ "level": "2", "open": true, "at": { "x": 2, "y": 3 } }),
        json!({ "open": true, "at": reference("Doc", 6) }),
        json!({ "level": 2, "x": 1, "y": 2 }),
    ];
    let docs = attrs.iter().enumerate();
    let docs = docs.map(|(doc, attrs)| entity("Doc", doc, attrs, &[]));
    let persons = (0..4).map(|person| entity("User", person, &json!({}), &[]));
    Value::from(docs.chain(persons).collect::<Vec<_>>()).to_string()
}

#[test]
fn constant_sets_and_attributes_behind_has() {
    let engine = Engine::builder()
        .policies_str(CONSTANTS)
        .entities_json(loose_entities())
        .build()
        .unwrap();
    let values = [
        json!(1),
        json!("1"),
        json!(true),
        json!("j"),
        json!("k"),
        json!([1]),
        json!([]),
        json!(9),
        json!("9"),
        reference("User", 1),
        json!("User::\"1\""),
    ];
    let contexts = values.iter().map(|value| json!({ "x": value }));
    let contexts: Vec<Value> = contexts.chain([json!({})]).collect();
    let mut scratch = Scratch::default();
    let mut seen = std::collections::BTreeMap::new();
    for action in ["few", "strings", "many", "users", "guard", "nested"] {
        let uid_of_action: EntityUid = format!("Action::\"{action}\"").parse().unwrap();
        for context in &contexts {
            for (person, doc) in (0..5).flat_map(|person| (0..9).map(move |doc| (person, doc))) {
                let context = Context::from_json_value(context.clone(), None).unwrap();
                let (principal, resource) = (uid("User", person), uid("Doc", doc));
                let action = uid_of_action.clone();
                let request = Request::new(principal, action, resource, context, None).unwrap();
                let bound = engine.snapshot().bind(&request).unwrap();
                assert!(bound.warm_up());
                let outcome = |evaluation: cedarjit::Evaluation<'_>| {
                    let failed = evaluation.failed().count();
                    (evaluation.decision(), failed)
                };
                let expected = outcome(bound.interpret(&mut scratch));
                assert_eq!(outcome(bound.evaluate(&mut scratch)), expected, "{request}");
                assert_eq!(outcome(bound.evaluate_unfused(&mut scratch)), expected);
                *seen
                    .entry((uid_of_action.to_string(), expected.0 == Decision::Allow))
                    .or_insert(0) += 1;
            }
        }
    }
    // Each action is allowed sometimes, and sometimes not.
    assert_eq!(seen.len(), 12, "{seen:?}");
}
