use super::*;
use crate::request::RequestValues;
use crate::values::{ScratchSpace, ValueContext};
use build::NotAHierarchy;
use cedar_policy::{Entities, Entity, EntityUid, RestrictedExpression};
use cedarjit_ir::value::Tag;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;

fn build(json: serde_json::Value) -> (Interner, Store, Entities) {
    let entities = Entities::from_json_value(json, None).unwrap();
    let mut interner = Interner::new();
    let store = Store::build(&entities, &mut interner).unwrap();
    (interner, store, entities)
}

fn text(interner: &Interner, store: &Store, value: Value) -> String {
    let request = RequestValues::unbound(interner);
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner,
        store,
        request: &request,
        scratch: &mut scratch,
    };
    context.text(value)
}

fn attr_text(interner: &Interner, store: &Store, entity: EntityId, name: &str) -> Option<String> {
    let value = store.attr(entity, interner.find_str(name)?)?;
    Some(text(interner, store, value))
}

#[test]
fn every_kind_of_value() {
    let (interner, store, _) = build(json!([{
        "uid": {"type": "NS::User", "id": "al\"ice"},
        "attrs": {
            "b": true,
            "l": -5,
            "s": "x\ny",
            "e": {"__entity": {"type": "NS::User", "id": "bob"}},
            "set": [2, 1, 2, "a"],
            "r": {"z": 1, "a b": {"n": []}},
            "dec": {"__extn": {"fn": "decimal", "arg": "1.50"}},
            "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
            "dt": {"__extn": {"fn": "datetime", "arg": "1970-01-01T00:00:01Z"}},
            "dur": {"__extn": {"fn": "duration", "arg": "1m"}},
            "off": {"__extn": {"fn": "offset", "args": [
                {"__extn": {"fn": "datetime", "arg": "1970-01-01"}},
                {"__extn": {"fn": "duration", "arg": "-1ms"}}
            ]}}
        },
        "parents": []
    }]));
    let alice = interner.find_entity("NS::User", "al\"ice").unwrap();
    let show = |name| attr_text(&interner, &store, alice, name).unwrap();
    assert_eq!(show("b"), "true");
    assert_eq!(show("l"), "-5");
    assert_eq!(show("s"), r#""x\ny""#);
    assert_eq!(show("e"), r#"NS::User::"bob""#);
    assert_eq!(show("set"), r#"["a", 1, 2]"#);
    assert_eq!(show("r"), r#"{"a b": {"n": []}, "z": 1}"#);
    assert_eq!(show("dec"), r#"decimal("1.5000")"#);
    assert_eq!(show("ip"), r#"ip("10.0.0.0/8")"#);
    assert!(show("dt").contains("1000ms"));
    assert_eq!(show("dur"), r#"duration("60000ms")"#);
    assert!(show("off").contains("-1ms"));
    assert_eq!(attr_text(&interner, &store, alice, "z"), None);
}

#[test]
fn mentioned_entities_have_headers_and_do_not_exist() {
    let (mut interner, mut store, _) = build(json!([{
        "uid": {"type": "User", "id": "alice"},
        "attrs": {"boss": {"__entity": {"type": "Person", "id": "bob"}}},
        "parents": [{"type": "Team", "id": "a"}]
    }]));
    assert_eq!(store.headers().len(), interner.entity_count());
    assert_eq!(store.len(), 1);
    for (ty, id) in [("Person", "bob"), ("Team", "a")] {
        let entity = interner.find_entity(ty, id).unwrap();
        let header = store.header(entity);
        assert!(!store.exists(entity));
        assert_eq!(header.attrs, 0);
        assert_eq!(header.shape, EMPTY_SHAPE.0);
        assert_eq!(Some(header.ty), interner.find_str(ty).map(|s| s.0));
    }
    let late = interner.intern_entity("Team", "late").unwrap();
    store.extend_to(&interner);
    assert_eq!(store.headers().len(), interner.entity_count());
    assert_eq!(
        Some(store.header(late).ty),
        interner.find_str("Team").map(|s| s.0)
    );
}

#[test]
fn entities_without_attributes_exist() {
    let (interner, store, _) = build(json!([
        {"uid": {"type": "User", "id": "a"}, "attrs": {}, "parents": []},
        {"uid": {"type": "User", "id": "b"}, "attrs": {}, "parents": []},
    ]));
    let a = interner.find_entity("User", "a").unwrap();
    let b = interner.find_entity("User", "b").unwrap();
    assert!(store.exists(a) && store.exists(b));
    assert_eq!(store.header(a).attrs, store.header(b).attrs);
    assert!(!store.exists(EntityId::from_index(99)));
    assert!(!store.exists(EntityId::local(0)));
}

#[test]
fn ancestors_are_transitive_sorted_and_not_reflexive() {
    let (interner, store, entities) = build(json!([
        {"uid": {"type": "G", "id": "3"}, "attrs": {}, "parents": [{"type": "G", "id": "0"}]},
        {"uid": {"type": "G", "id": "2"}, "attrs": {}, "parents": [{"type": "G", "id": "3"}]},
        {"uid": {"type": "G", "id": "1"}, "attrs": {}, "parents": [
            {"type": "G", "id": "2"}, {"type": "G", "id": "9"}
        ]},
    ]));
    let id = |s| interner.find_entity("G", s).unwrap();
    let expected: HashSet<_> = ["2", "9", "3", "0"].map(|s| id(s).0).into();
    let ancestors = store.ancestors_of(id("1"));
    assert_eq!(
        ancestors.iter().map(|id| id.0).collect::<HashSet<_>>(),
        expected
    );
    assert!(store.ancestors_of(id("0")).is_empty());
    for a in ["0", "1", "2", "3", "9"] {
        for b in ["0", "1", "2", "3", "9"] {
            let uid = |s: &str| EntityUid::from_str(&format!("G::\"{s}\"")).unwrap();
            let expected = a != b && entities.is_ancestor_of(&uid(b), &uid(a));
            assert_eq!(store.is_descendant(id(a), id(b)), expected, "{a} in {b}");
        }
    }
    assert!(!store.is_descendant(EntityId::local(0), id("0")));
    assert!(!store.is_descendant(id("0"), EntityId::local(0)));
}

#[test]
fn tags_are_found_by_key() {
    let tags = |n: usize| -> serde_json::Map<String, serde_json::Value> {
        (0..n).map(|i| (format!("k{i}"), json!(i))).collect()
    };
    let (interner, store, _) = build(json!([
        {"uid": {"type": "T", "id": "0"}, "attrs": {"k1": "attr"}, "parents": [], "tags": tags(20)},
        {"uid": {"type": "T", "id": "1"}, "attrs": {}, "parents": []},
        {"uid": {"type": "T", "id": "2"}, "attrs": {}, "parents": [], "tags": tags(3)},
    ]));
    let id = |s| interner.find_entity("T", s).unwrap();
    let key = |s: &str| interner.find_str(s).unwrap();
    for i in 0..20 {
        let key = key(&format!("k{i}"));
        assert_eq!(store.tag(id("0"), key), Some(Value::long(i)));
        assert_eq!(store.tag(id("1"), key), None);
        assert_eq!(
            store.tag(id("2"), key),
            (i < 3).then_some(Value::long(i)),
            "{i}"
        );
    }
    assert_eq!(store.header(id("1")).tags, 0);
    assert_eq!(store.tags(id("2")).len(), 3);
    // Tags and attributes do not mix.
    assert_eq!(store.tag(id("0"), key("attr")), None);
    assert_eq!(store.attr(id("0"), key("k2")), None);
}

#[test]
fn equal_values_are_identical() {
    let (interner, store, _) = build(json!([
        {"uid": {"type": "T", "id": "0"}, "attrs": {
            "x": {"a": [1, 2], "b": {"__extn": {"fn": "decimal", "arg": "1.0"}}},
            "ip": {"__extn": {"fn": "ip", "arg": "1.2.3.4"}}
        }, "parents": []},
        {"uid": {"type": "T", "id": "1"}, "attrs": {
            "x": {"b": {"__extn": {"fn": "decimal", "arg": "1.00"}}, "a": [2, 1, 1]},
            "ip": {"__extn": {"fn": "ip", "arg": "1.2.3.4/32"}},
            "more": 1
        }, "parents": []},
    ]));
    let id = |s| interner.find_entity("T", s).unwrap();
    for name in ["x", "ip"] {
        let name = interner.find_str(name).unwrap();
        assert_eq!(store.attr(id("0"), name), store.attr(id("1"), name));
    }
}

#[test]
fn ids_do_not_depend_on_hash_order() {
    let json: serde_json::Value = (0..50)
        .map(|i| {
            json!({"uid": {"type": "T", "id": format!("{i}")}, "attrs": {"n": i}, "parents": []})
        })
        .collect();
    let (a, _, _) = build(json.clone());
    let (b, _, _) = build(json);
    for i in 0..a.entity_count() {
        let name = |interner: &Interner| {
            let (_, eid) = interner.entity(EntityId::from_index(i)).unwrap();
            interner.str(eid).to_owned()
        };
        assert_eq!(name(&a), name(&b));
    }
}

#[test]
fn deeply_nested_values_do_not_recurse() {
    // As deep as cedar-policy's own conversions manage on a test thread.
    let mut value = RestrictedExpression::new_long(1);
    for _ in 0..100 {
        value = RestrictedExpression::new_set([value]);
    }
    let uid = EntityUid::from_str("T::\"x\"").unwrap();
    let attrs = HashMap::from([("deep".to_owned(), value)]);
    let entity = Entity::new(uid, attrs, HashSet::new()).unwrap();
    let entities = Entities::from_entities([entity], None).unwrap();
    let mut interner = Interner::new();
    let store = Store::build(&entities, &mut interner).unwrap();
    let id = interner.find_entity("T", "x").unwrap();
    let shown = attr_text(&interner, &store, id, "deep").unwrap();
    assert_eq!(shown, format!("{}1{}", "[".repeat(100), "]".repeat(100)));
}

#[test]
fn the_interner_is_the_one_given() {
    let mut interner = Interner::new();
    let known = interner.intern_entity("T", "policy").unwrap();
    let entities = Entities::from_json_value(
        json!([{"uid": {"type": "T", "id": "policy"}, "attrs": {}, "parents": []}]),
        None,
    )
    .unwrap();
    let store = Store::build(&entities, &mut interner).unwrap();
    assert_eq!(store.identity(), interner.identity());
    assert!(store.exists(known));
    assert!(Store::empty(&interner).is_empty());
}

/// A store of entities `0`, `1` … without attributes, closed.
fn closed(parents: &[Vec<usize>]) -> Result<(Store, Vec<EntityId>), NotAHierarchy> {
    let mut interner = Interner::new();
    let named = (0..parents.len() + 3).map(|i| interner.intern_entity("T", &i.to_string()));
    let ids: Vec<EntityId> = named.map(Result::unwrap).collect();
    let mut builder = StoreBuilder::new(&interner);
    let attrs = builder.store().empty_record().value(Tag::Record);
    for (id, parents) in ids.iter().zip(parents) {
        let mut parents = parents.iter().map(|i| ids[*i]).collect();
        let added = builder.add(&interner, *id, attrs, &mut [], &mut parents);
        added.unwrap();
    }
    builder.close()?;
    Ok((builder.finish(&interner), ids))
}

/// All that is reached from `start` by way of parents.
fn reached(parents: &[Vec<usize>], start: usize) -> HashSet<usize> {
    let mut reached = HashSet::new();
    let mut todo = parents.get(start).cloned().unwrap_or_default();
    while let Some(next) = todo.pop() {
        if reached.insert(next) {
            todo.extend(parents.get(next).into_iter().flatten());
        }
    }
    reached
}

#[test]
fn hierarchies_are_closed_whatever_their_order() {
    let mut state = 1_u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (state >> 33) as usize % end
    };
    let mut cyclic = 0;
    for round in 0..300 {
        let n = 1 + below(20);
        // Some parents are not among the entities, and some rounds may have cycles.
        let up = |i: usize, any: usize| if round % 3 == 0 { any } else { i + 1 + any };
        let parents: Vec<Vec<usize>> = (0..n)
            .map(|i| (0..below(4)).map(|_| up(i, below(n)).min(n + 2)).collect())
            .collect();
        let is_cyclic = (0..n).any(|i| reached(&parents, i).contains(&i));
        let (store, ids) = match closed(&parents) {
            Ok(closed) => closed,
            Err(error) => {
                assert_eq!((error, is_cyclic), (NotAHierarchy::Cycle, true));
                cyclic += 1;
                continue;
            }
        };
        assert!(!is_cyclic, "{parents:?}");
        for i in 0..ids.len() {
            let expected: HashSet<u32> = reached(&parents, i).iter().map(|i| ids[*i].0).collect();
            let got = store.ancestors_of(ids[i]);
            assert_eq!(got.len(), expected.len());
            assert!(got.iter().all(|id| expected.contains(&id.0)), "{parents:?}");
        }
    }
    assert!((10..150).contains(&cyclic), "{cyclic}");
}

#[test]
fn chains_that_are_too_long_are_refused() {
    let chain = |n: usize| (1..n).map(|i| vec![i]).collect::<Vec<_>>();
    assert!(closed(&chain(1000)).is_ok());
    assert_eq!(closed(&chain(1001)).err(), Some(NotAHierarchy::TooLong));
    assert_eq!(closed(&chain(300_000)).err(), Some(NotAHierarchy::TooLong));
}

/// What a store says of every entity, in texts.
fn contents(store: &Store, interner: &Interner) -> BTreeMap<String, (Option<String>, Vec<String>)> {
    let text = |id: EntityId| store.uid(interner, id).unwrap().to_string();
    let entities = (0..store.headers().len()).map(EntityId::from_index);
    let entries = entities.map(|id| {
        let parents = store.parents_of(id).iter();
        let parents = parents.filter_map(|id| store.uid(interner, id));
        let entity = store.entity(interner, id, parents.collect::<Vec<_>>());
        let json = entity.map(|entity| {
            let mut json = entity.to_json_value().unwrap();
            json["parents"]
                .as_array_mut()
                .unwrap()
                .sort_by_key(ToString::to_string);
            json.to_string()
        });
        for other in store.ancestors_of(id).iter() {
            assert!(store.is_descendant(id, other));
        }
        let ancestors: BTreeSet<String> = store.ancestors_of(id).iter().map(text).collect();
        let ancestors = ancestors.into_iter().collect();
        (text(id), (json, ancestors))
    });
    entries
        .filter(|(_, (json, ancestors)): &(_, (Option<_>, Vec<_>))| {
            json.is_some() || !ancestors.is_empty()
        })
        .collect()
}

#[test]
fn copies_say_the_same_and_are_smaller() {
    let (mut interner, mut store, _) = build(json!([
        {"uid": {"type": "User", "id": "a"}, "parents": [{"type": "G", "id": "2"}], "attrs": {
            "z": [1, "x", {"b": 1, "a": {"__entity": {"type": "G", "id": "2"}}}],
            "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.0/8"}},
            "b": {"z": true, "aa": {"__extn": {"fn": "decimal", "arg": "1.5"}}}
        }, "tags": {"t": ["x"], "s": 2}},
        {"uid": {"type": "G", "id": "2"}, "attrs": {}, "parents": [{"type": "G", "id": "lost"}]},
        {"uid": {"type": "G", "id": "1"}, "attrs": {"z": ["y"]}, "parents": []},
    ]));
    let (mut update, mut children) = (StoreUpdate::default(), None);
    let mut editor = StoreEditor {
        store: &mut store,
        interner: &mut interner,
        update: &mut update,
        children: &mut children,
    };
    for i in 0..50 {
        let attrs = [("z".to_owned(), format!("[{i}, \"x{i}\"]").parse().unwrap())];
        let parents = [format!("G::\"{}\"", i % 3).parse().unwrap()];
        let uid: EntityUid = "User::\"b\"".parse().unwrap();
        let entity = Entity::new(uid.clone(), attrs.into(), parents.clone().into()).unwrap();
        editor.upsert(&uid, &entity, parents).unwrap();
        editor.finish().unwrap();
    }
    let expected = contents(&store, &interner);
    assert_eq!(expected.len(), 4);
    let compact = store.compact().unwrap();
    assert_eq!(contents(&compact, &interner), expected);
    assert_eq!(compact.len(), store.len());
    assert!(compact.table_bytes() * 2 < store.table_bytes());
    let mut names = Interner::new();
    let renumbered = store.renumber(&interner, &mut names).unwrap();
    assert_eq!(contents(&renumbered, &names), expected);
    assert!(names.str_count() + 40 < interner.str_count());
}
