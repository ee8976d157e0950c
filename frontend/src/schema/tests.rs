use super::*;
use crate::limits::{MAX_SCHEMA_HIERARCHY, MAX_SCHEMA_NESTING, MAX_TYPE_SIZE};
use cedar_policy::{Schema, SchemaFragment};
use std::fmt::Write;

/// The facts of a schema in Cedar's syntax, which cedar-policy must accept.
fn facts(text: &str) -> SchemaFacts {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text).unwrap();
    Schema::from_schema_fragments([fragment.clone()]).unwrap();
    SchemaFacts::from_fragment_json(&fragment.to_json_value().unwrap()).unwrap()
}

/// The facts of a schema in JSON, which cedar-policy must accept.
fn json_facts(json: serde_json::Value) -> SchemaFacts {
    let fragment = SchemaFragment::from_json_value(json).unwrap();
    Schema::from_schema_fragments([fragment.clone()]).unwrap();
    SchemaFacts::from_fragment_json(&fragment.to_json_value().unwrap()).unwrap()
}

fn attr(facts: &SchemaFacts, entity_type: &str, name: &str) -> SchemaType {
    facts.entity_types[entity_type].attrs[name].ty.clone()
}

fn entity(name: &str) -> SchemaType {
    SchemaType::Entity(name.into())
}

fn set(element: SchemaType) -> SchemaType {
    SchemaType::Set(Arc::new(element))
}

#[test]
fn every_type_is_understood() {
    let facts = facts(
        "entity User = {
           b: Bool, l: Long, s?: String, e: User, set: Set<Set<Long>>,
           r: { x: Long, \"odd name\"?: { y: Bool } },
           d: decimal, ip: ipaddr, dt: datetime, du?: duration,
         } tags Set<String>;
         entity Bare;
         entity Color enum [\"red\", \"green\"];
         action view, \"edit it\" appliesTo {
           principal: [User], resource: [Bare, Color], context: { mfa: Bool, c?: Color },
         };
         action group;",
    );
    assert_eq!(attr(&facts, "User", "b"), SchemaType::Bool);
    assert_eq!(attr(&facts, "User", "l"), SchemaType::Long);
    assert_eq!(attr(&facts, "User", "s"), SchemaType::String);
    assert_eq!(attr(&facts, "User", "e"), entity("User"));
    assert_eq!(attr(&facts, "User", "set"), set(set(SchemaType::Long)));
    assert_eq!(attr(&facts, "User", "d"), SchemaType::Decimal);
    assert_eq!(attr(&facts, "User", "ip"), SchemaType::Ip);
    assert_eq!(attr(&facts, "User", "dt"), SchemaType::Datetime);
    assert_eq!(attr(&facts, "User", "du"), SchemaType::Duration);
    let SchemaType::Record(record) = attr(&facts, "User", "r") else {
        panic!("not a record");
    };
    assert_eq!(record["x"].ty, SchemaType::Long);
    assert!(record["x"].required && !record["odd name"].required);
    assert!(matches!(&record["odd name"].ty, SchemaType::Record(r) if r.contains_key("y")));
    let user = facts.entity_type("User").unwrap();
    assert!(user.attrs["b"].required && !user.attrs["s"].required);
    assert_eq!(user.tags, Some(set(SchemaType::String)));
    let bare = facts.entity_type("Bare").unwrap();
    assert!(bare.attrs.is_empty() && bare.tags.is_none() && bare.choices.is_none());
    assert!(bare.may_have("anybody"));
    let color = facts.entity_type("Color").unwrap();
    assert!(color.may_have("red") && !color.may_have("Red"));
    let edit = facts.action("Action", "edit it").unwrap();
    assert_eq!(*edit.principals, ["User".into()]);
    assert_eq!(*edit.resources, ["Bare".into(), "Color".into()]);
    let context = edit.context.as_ref().unwrap();
    assert_eq!(context["mfa"].ty, SchemaType::Bool);
    assert_eq!(context["c"].ty, entity("Color"));
    assert!(!context["c"].required);
    let group = facts.action("Action", "group").unwrap();
    assert!(group.principals.is_empty() && group.context.as_ref().unwrap().is_empty());
    assert_eq!(facts.action("Action", "delete"), None);
}

#[test]
fn names_resolve_in_their_namespace_first() {
    let facts = facts(
        "namespace A {
           type T = Long;
           type Wrapped = { t: T, other: B::T, user: User };
           entity User = { t: T, w: Wrapped, other: B::Only, long: __cedar::Long };
           entity Doc in User = { t: T, other: B::T, user: User, w: Wrapped };
           action view appliesTo { principal: User, resource: [Doc, B::Only], context: Wrapped };
         }
         namespace B {
           type T = String;
           entity Only = { t: T, user: A::User, list: Set<A::T>, act: A::Action };
           type ipaddr = Bool;
           entity Odd = { ip: ipaddr, real: __cedar::ipaddr };
         }
         type Shared = decimal;
         entity Plain = { s: Shared };
         namespace C {
           entity E = { s: Shared, p: Plain };
         }",
    );
    assert_eq!(attr(&facts, "A::User", "t"), SchemaType::Long);
    assert_eq!(attr(&facts, "A::User", "other"), entity("B::Only"));
    assert_eq!(attr(&facts, "A::User", "long"), SchemaType::Long);
    assert_eq!(attr(&facts, "A::Doc", "t"), SchemaType::Long);
    assert_eq!(attr(&facts, "A::Doc", "other"), SchemaType::String);
    assert_eq!(attr(&facts, "A::Doc", "user"), entity("A::User"));
    assert_eq!(attr(&facts, "B::Only", "t"), SchemaType::String);
    assert_eq!(attr(&facts, "B::Only", "user"), entity("A::User"));
    assert_eq!(attr(&facts, "B::Only", "list"), set(SchemaType::Long));
    assert_eq!(attr(&facts, "B::Only", "act"), entity("A::Action"));
    assert_eq!(attr(&facts, "B::Odd", "ip"), SchemaType::Bool);
    assert_eq!(attr(&facts, "B::Odd", "real"), SchemaType::Ip);
    assert_eq!(attr(&facts, "C::E", "s"), SchemaType::Decimal);
    assert_eq!(attr(&facts, "C::E", "p"), entity("Plain"));
    let view = facts.action("A::Action", "view").unwrap();
    assert_eq!(*view.resources, ["A::Doc".into(), "B::Only".into()]);
    assert_eq!(
        view.context.as_ref().unwrap()["other"].ty,
        SchemaType::String
    );
}

#[test]
fn common_types_come_before_entity_types() {
    let facts = facts(
        "type Both = Long;
         entity Both;
         entity User = { a: Both };
         action view appliesTo { principal: Both, resource: User };",
    );
    assert_eq!(attr(&facts, "User", "a"), SchemaType::Long);
    let view = facts.action("Action", "view").unwrap();
    assert_eq!(*view.principals, ["Both".into()]);
}

#[test]
fn declarations_hide_builtin_types() {
    let facts = facts(
        "entity ipaddr;
         type decimal = String;
         entity Long_ = { ip: ipaddr, d: decimal, real: __cedar::decimal };",
    );
    assert_eq!(attr(&facts, "Long_", "ip"), entity("ipaddr"));
    assert_eq!(attr(&facts, "Long_", "d"), SchemaType::String);
    assert_eq!(attr(&facts, "Long_", "real"), SchemaType::Decimal);
}

#[test]
fn json_schemas_have_more_ways_to_say_it() {
    let facts = json_facts(serde_json::json!({ "N": {
        "commonTypes": { "T": { "type": "Boolean" }, "Shape": {
            "type": "Record", "attributes": { "t": { "type": "T", "required": false } } } },
        "entityTypes": {
            "U": { "shape": { "type": "Shape" }, "tags": { "type": "Extension", "name": "ipaddr" } },
            "V": { "memberOfTypes": ["U"], "shape": { "type": "Record", "attributes": {
                "a": { "type": "Entity", "name": "U" },
                "b": { "type": "EntityOrCommon", "name": "T" },
                "c": { "type": "Extension", "name": "decimal" },
                "d": { "type": "Set", "element": { "type": "Long" } },
                "e": { "type": "String", "required": true },
                "f": { "type": "Bool" } } } } },
        "actions": { "x": { "appliesTo": {
            "principalTypes": ["U"], "resourceTypes": ["N::V"], "context": { "type": "Shape" } } },
            "y": { "memberOf": [{ "id": "x" }] } } } }));
    assert!(!facts.entity_types["N::U"].attrs["t"].required);
    assert_eq!(attr(&facts, "N::U", "t"), SchemaType::Bool);
    assert_eq!(facts.entity_types["N::U"].tags, Some(SchemaType::Ip));
    assert_eq!(attr(&facts, "N::V", "a"), entity("N::U"));
    assert_eq!(attr(&facts, "N::V", "b"), SchemaType::Bool);
    assert_eq!(attr(&facts, "N::V", "c"), SchemaType::Decimal);
    assert_eq!(attr(&facts, "N::V", "d"), set(SchemaType::Long));
    assert_eq!(attr(&facts, "N::V", "e"), SchemaType::String);
    assert_eq!(attr(&facts, "N::V", "f"), SchemaType::Bool);
    let x = facts.action("N::Action", "x").unwrap();
    assert_eq!(*x.resources, ["N::V".into()]);
    assert_eq!(x.context.as_ref().unwrap()["t"].ty, SchemaType::Bool);
}

#[test]
fn external_declarations_are_not_known() {
    let facts = json_facts(serde_json::json!({ "": {
        "entityTypes": { "E": { "external": true }, "U": {} },
        "actions": { "x": { "external": true } } } }));
    assert_eq!(facts.entity_type("E"), None);
    assert_eq!(facts.action("Action", "x"), None);
    assert!(facts.entity_type("U").is_some());
}

#[test]
fn what_is_not_understood_is_unknown() {
    let read = |json: &serde_json::Value| SchemaFacts::from_fragment_json(json).unwrap();
    assert_eq!(read(&serde_json::json!([1])), SchemaFacts::default());
    let facts = read(&serde_json::json!({ "": {
        "commonTypes": { "Loop": { "type": "Loop" } },
        "entityTypes": {
            "Open": { "shape": { "type": "Record", "attributes": {},
                                 "additionalAttributes": true } },
            "U": { "shape": { "type": "Record", "attributes": {
                "a": { "type": "Missing" }, "b": { "type": "Loop" }, "c": { "type": "Set" },
                "d": { "type": "Extension", "name": "Long" }, "e": 1 } } } },
        "actions": { "x": { "appliesTo": { "principalTypes": ["Nobody"], "resourceTypes": [] } },
            "y": { "appliesTo": { "principalTypes": [], "resourceTypes": [],
                                  "context": { "type": "Long" } } } } } }));
    assert_eq!(facts.entity_type("Open"), None);
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(attr(&facts, "U", name), SchemaType::Unknown, "{name}");
    }
    assert_eq!(facts.action("Action", "x"), None);
    assert_eq!(facts.action("Action", "y").unwrap().context, None);
}

/// The limit that a schema exceeds; cedar-policy's parser must have read it.
fn excess(text: &str) -> LimitError {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text).unwrap();
    SchemaFacts::from_fragment_json(&fragment.to_json_value().unwrap()).unwrap_err()
}

#[test]
fn growing_common_types_are_refused() {
    let (mut chain, mut doubling) = (String::new(), String::new());
    for i in 0..MAX_SCHEMA_NESTING {
        writeln!(chain, "type T{} = Set<T{i}>;", i + 1).unwrap();
        writeln!(doubling, "type T{} = {{ x: T{i}, y: T{i} }};", i + 1).unwrap();
    }
    let start = "type T0 = Long; entity A;";
    let limit = MAX_SCHEMA_NESTING;
    assert_eq!(excess(&(chain + start)), LimitError::Nesting { limit });
    let limit = MAX_TYPE_SIZE;
    let few: String = doubling.lines().take(20).collect();
    assert_eq!(excess(&(few + start)), LimitError::TypeSize { limit });
}

#[test]
fn long_hierarchies_are_refused() {
    let limit = MAX_SCHEMA_HIERARCHY;
    let (mut types, mut actions) = (String::new(), String::new());
    for i in 0..limit {
        writeln!(types, "entity T{} in T{i};", i + 1).unwrap();
        writeln!(actions, "action a{} in a{i};", i + 1).unwrap();
    }
    assert_eq!(
        excess(&(types + "entity T0;")),
        LimitError::Hierarchy { limit }
    );
    assert_eq!(
        excess(&(actions + "action a0;")),
        LimitError::Hierarchy { limit }
    );
    let wide: String = (0..1000).map(|i| format!("action a{i} in g;")).collect();
    facts(&(wide + "action g;"));
}
