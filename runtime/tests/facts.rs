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
