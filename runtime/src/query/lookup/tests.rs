use super::super::lists::MAX_CHANGED;
use super::*;
use crate::bind::BoundRequest;
use crate::engine::Engine;
use crate::request::EntityHandle;
use crate::store::Reversed;
use serde_json::json;
use std::thread::sleep;
use std::time::{Duration, Instant};

const POLICIES: &str = r#"
    permit (principal, action == Action::"read", resource) when { resource in principal.home };
    permit (principal, action == Action::"read", resource) when { resource in principal.folders };
    permit (principal, action == Action::"read", resource) when { principal.pinned.contains(resource) };
    permit (principal, action == Action::"read", resource) when { resource in Folder::"shared" };
    permit (principal, action == Action::"read", resource) when { principal in resource.folder.readers };
    permit (principal, action == Action::"read", resource) when { resource.owner == principal };
    permit (principal, action == Action::"read", resource) when { resource.editors.contains(principal) };
    permit (principal, action == Action::"read", resource) when { principal in resource.editors };
"#;

fn uid(ty: &str, id: &str) -> serde_json::Value {
    json!({"__entity": {"type": ty, "id": id}})
}

/// The user owns the eleventh document, edits the thirteenth, and is in a group that edits the fifteenth.
fn document(i: usize) -> serde_json::Value {
    let owner = uid("User", if i == 11 { "u" } else { "nobody" });
    let editors = match i {
        13 => vec![owner.clone(), uid("User", "u")],
        15 => vec![uid("Group", "staff")],
        _ => vec![],
    };
    json!({"folder": uid("Folder", &format!("f{}", i / 10)), "owner": owner, "editors": editors})
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
        let uid = json!({"type": "Doc", "id": format!("d{i}")});
        all.push(json!({"uid": uid, "parents": [own], "attrs": document(i)}));
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
    let single = [1, 11, 13, 15].into_iter();
    single.chain(30..40).chain(70..100).collect()
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
        Lookup::Trail(trail) if trail.ancestors => ("trail up", trail.attrs.len()),
        Lookup::Trail(trail) => ("trail", trail.attrs.len()),
    });
    let expected = [
        ("in", 1),
        ("in", 1),
        ("element", 1),
        ("in", 0),
        ("trail up", 2),
        ("trail", 1),
        ("trail", 1),
        ("trail up", 1),
    ];
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
    assert!(snapshot.lists.descendants().is_some());
    let (documents, bound) = (documents(&snapshot), bind(&snapshot));
    let mut batch = bound.for_resources();
    batch.warm_up(documents[0]);
    let expected: Vec<_> = [11, 13, 15]
        .into_iter()
        .chain(30..40)
        .chain(90..100)
        .collect();
    assert_eq!(decide(&mut batch, &documents), expected);
    assert!(is_made(&batch));
    let parents = [uid("Folder", "f0")];
    engine
        .update(|tx| tx.upsert_entity(user(&parents)))
        .unwrap();
    assert!(engine.snapshot().lists.descendants().is_none());
}

/// The document that the user owns is given away, and another comes.
#[test]
fn who_has_whom_outlives_changes() {
    let engine = engine();
    let before = engine.snapshot();
    before.list_descendants();
    let (documents, bound) = (documents(&before), bind(&before));
    let mut batch = bound.for_resources();
    batch.warm_up(documents[0]);
    let change = |id: usize, like: usize| {
        let own = uid("Folder", &format!("f{}", id / 10));
        let uid = json!({"type": "Doc", "id": format!("d{id}")});
        let document = json!({"uid": uid, "attrs": document(like), "parents": [own]});
        let document = cedar_policy::Entity::from_json_value(document, None).unwrap();
        engine.update(|tx| tx.upsert_entity(document)).unwrap();
    };
    change(11, 0);
    change(20, 13);
    change(21, 36);
    let after = engine.snapshot();
    let listed = |snapshot: &Snapshot| {
        let attrs = snapshot.lists.memory();
        (snapshot.lists.changed().len(), attrs.used > 0)
    };
    assert_eq!(listed(&before), (0, true));
    assert_eq!(listed(&after), (3, true));
    let bound = bind(&after);
    let mut changed = bound.for_resources();
    changed.warm_up(documents[0]);
    let single = [1, 13, 15, 20, 21].into_iter();
    let all: Vec<_> = single.chain(30..40).chain(70..100).collect();
    assert_eq!(decide(&mut changed, &documents), all);
    assert!(is_made(&changed));
    assert_eq!(decide(&mut batch, &documents), expected());
    assert!(is_made(&batch));
}

#[test]
fn after_many_changes_it_is_listed_anew() {
    let engine = engine();
    engine.snapshot().list_descendants();
    let of = |snapshot: &Arc<Snapshot>| {
        let bound = bind(snapshot);
        let documents = documents(snapshot);
        let mut batch = bound.for_resources();
        batch.warm_up(documents[0]);
        decide(&mut batch, &documents);
        is_made(&batch)
    };
    assert!(of(&engine.snapshot()));
    let changes = |rounds: std::ops::Range<usize>| {
        for round in rounds {
            let home = uid("Folder", &format!("f{}", round % 10));
            let attrs = json!({"home": home, "folders": [], "pinned": []});
            let parents = [uid("Group", "staff")];
            let user =
                json!({"uid": {"type": "User", "id": "u"}, "attrs": attrs, "parents": parents});
            let user = cedar_policy::Entity::from_json_value(user, None).unwrap();
            engine.update(|tx| tx.upsert_entity(user)).unwrap();
        }
    };
    let owners = |snapshot: &Snapshot| {
        let descendants = snapshot.lists.descendants().map(Reversed::memory);
        snapshot.lists.memory().used > descendants.unwrap().used
    };
    changes(0..MAX_CHANGED);
    assert!(owners(&engine.snapshot()));
    assert_eq!(engine.snapshot().lists.changed().len(), 1);
    assert!(of(&engine.snapshot()));
    changes(0..1);
    assert!(!owners(&engine.snapshot()));
    assert_eq!(engine.snapshot().lists.changed().len(), 0);
    assert!(of(&engine.snapshot()));
    assert!(owners(&engine.snapshot()));
}
