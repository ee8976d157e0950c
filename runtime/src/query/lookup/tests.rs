use super::*;
use crate::bind::BoundRequest;
use crate::engine::Engine;
use crate::request::EntityHandle;
use serde_json::json;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLICIES: &str = r#"
    permit (principal, action == Action::"read", resource) when { resource in principal.home };
    permit (principal, action == Action::"read", resource) when { resource in principal.folders };
    permit (principal, action == Action::"read", resource) when { principal.pinned.contains(resource) };
    permit (principal, action == Action::"read", resource) when { resource in Folder::"shared" };
    permit (principal, action == Action::"read", resource) when { principal in resource.folder.readers };
"#;

fn uid(ty: &str, id: &str) -> serde_json::Value {
    json!({"__entity": {"type": ty, "id": id}})
}

/// A chain of folders `f0` to `f9`, each in the one before, and ten documents in each.
fn engine() -> Engine {
    let folder = |i: usize| format!("f{i}");
    let mut all = vec![
        json!({"uid": {"type": "User", "id": "u"}, "parents": [uid("Group", "staff")], "attrs": {
            "home": uid("Folder", "f7"),
            "folders": [uid("Folder", "f8"), uid("Folder", "nowhere")],
            "pinned": [uid("Doc", "d1"), uid("Doc", "unknown")],
        }}),
        json!({"uid": {"type": "Folder", "id": "shared"}, "parents": [], "attrs": {
            "readers": uid("Group", "nobody"),
        }}),
    ];
    for i in 0..10 {
        let parents: Vec<_> = (0..i).skip(i.max(1) - 1).map(folder).collect();
        let parents: Vec<_> = parents.iter().map(|id| uid("Folder", id)).collect();
        let readers = uid("Group", if i == 3 { "staff" } else { "nobody" });
        let attrs = json!({"readers": readers});
        all.push(
            json!({"uid": {"type": "Folder", "id": folder(i)}, "parents": parents, "attrs": attrs}),
        );
    }
    for i in 0..100 {
        let own = uid("Folder", &folder(i / 10));
        let attrs = json!({"folder": own});
        all.push(json!({"uid": {"type": "Doc", "id": format!("d{i}")}, "parents": [own], "attrs": attrs}));
    }
    let builder = Engine::builder().policies_str(POLICIES);
    builder
        .entities_json(serde_json::to_string(&all).unwrap())
        .build()
        .unwrap()
}

fn bind(snapshot: &Arc<Snapshot>) -> BoundRequest {
    let (user, read, doc) = (r#"User::"u""#, r#"Action::"read""#, r#"Doc::"d0""#);
    snapshot
        .bind_json(user, read, doc, &json!({}), true)
        .unwrap()
}

fn documents(snapshot: &Arc<Snapshot>) -> Vec<EntityHandle> {
    let uids = (0..100).map(|i| format!(r#"Doc::"d{i}""#));
    uids.map(|uid| snapshot.resolve(&uid).unwrap().unwrap())
        .collect()
}

/// The positions of those that are allowed.
fn decide(batch: &mut Batch, documents: &[EntityHandle]) -> Vec<usize> {
    batch.decide(documents.iter().copied()).allowed().collect()
}

fn expected() -> Vec<usize> {
    [1].into_iter().chain(30..40).chain(70..100).collect()
}

fn is_made(batch: &Batch) -> bool {
    let kind = batch.kinds.get(0).unwrap();
    matches!(kind.lookups, LookupState::Made(_))
}

#[test]
fn questions_are_found_once_each_and_looked_up() {
    let snapshot = engine().snapshot();
    let (documents, bound) = (documents(&snapshot), bind(&snapshot));
    let mut batch = bound.for_resources();
    assert!(batch.warm_up(documents[0]));
    assert_eq!(decide(&mut batch, &documents), expected());
    assert!(!is_made(&batch), "nothing is listed yet");
    snapshot.list_descendants();
    assert!(batch.warm_up(documents[0]));
    assert_eq!(decide(&mut batch, &documents), expected());
    assert!(is_made(&batch));
    let place = batch.kinds.get(0).unwrap().place.unwrap();
    let function = snapshot.looking_code(place, Side::Resource).unwrap();
    let kinds = function.lookups().iter().map(|lookup| match lookup {
        Lookup::In(path) => ("in", path.attrs.len()),
        Lookup::Element(path) => ("element", path.attrs.len()),
    });
    let expected = [("in", 1), ("in", 1), ("element", 1), ("in", 0)];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
}

#[test]
fn sets_are_made_when_it_pays() {
    let snapshot = engine().snapshot();
    let (documents, bound) = (documents(&snapshot), bind(&snapshot));
    snapshot.list_descendants();
    let mut batch = bound.for_resources();
    batch.warm_up(documents[0]);
    // Home has 32 descendants, and there are others.
    for document in documents.iter().take(4) {
        decide(&mut batch, &[*document]);
        assert!(!is_made(&batch));
    }
    assert_eq!(decide(&mut batch, &documents), expected());
    assert!(is_made(&batch));
}

#[test]
fn descendants_are_listed_in_the_background_once_many_have_been_asked_about() {
    let snapshot = engine().snapshot();
    let (documents, bound) = (documents(&snapshot), bind(&snapshot));
    assert_eq!(snapshot.memory().lists.used, 0);
    let started = Instant::now();
    loop {
        let mut batch = bound.for_resources();
        assert_eq!(decide(&mut batch, &documents), expected());
        if is_made(&batch) {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nothing is listed"
        );
        sleep(Duration::from_millis(1));
    }
    assert!(snapshot.memory().lists.used > 0);
}

#[test]
fn lists_are_shared_until_somebody_has_other_ancestors() {
    let engine = engine();
    engine.snapshot().list_descendants();
    let attrs = json!({"home": uid("Folder", "f9"), "folders": [], "pinned": []});
    let user = |parents: &[serde_json::Value]| {
        let user = json!({"uid": {"type": "User", "id": "u"}, "attrs": attrs, "parents": parents});
        cedar_policy::Entity::from_json_value(user, None).unwrap()
    };
    let staff = [uid("Group", "staff")];
    engine.update(|tx| tx.upsert_entity(user(&staff))).unwrap();
    let snapshot = engine.snapshot();
    assert!(snapshot.descendants.get().is_some());
    let (documents, bound) = (documents(&snapshot), bind(&snapshot));
    let mut batch = bound.for_resources();
    batch.warm_up(documents[0]);
    let expected: Vec<_> = (30..40).chain(90..100).collect();
    assert_eq!(decide(&mut batch, &documents), expected);
    assert!(is_made(&batch));
    let parents = [uid("Folder", "f0")];
    engine
        .update(|tx| tx.upsert_entity(user(&parents)))
        .unwrap();
    assert!(engine.snapshot().descendants.get().is_none());
}
