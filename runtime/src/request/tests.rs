use super::*;
use crate::store::Store;
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::Entities;
use cedarjit_ir::ids::ShapeId;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::Value;
use serde_json::json;

const SCHEMA: &str = r#"
    entity User, Doc;
    action view appliesTo {
        principal: User, resource: Doc,
        context: { ip: ipaddr, owner?: User, n?: Long }
    };
"#;

fn world() -> (Interner, Store) {
    let entities = Entities::from_json_value(
        json!([
            {"uid": {"type": "User", "id": "alice"}, "attrs": {
                "r": {"known": 1}, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}
            }, "parents": []},
            {"uid": {"type": "Doc", "id": "d"}, "attrs": {}, "parents": []},
        ]),
        None,
    )
    .unwrap();
    let mut interner = Interner::new();
    let store = Store::build(&entities, &mut interner).unwrap();
    (interner, store)
}

fn bind(
    world: &(Interner, Store),
    principal: &str,
    context: serde_json::Value,
) -> Result<RequestValues, RequestError> {
    let request = parse_request(
        principal,
        "Action::\"view\"",
        "Doc::\"d\"",
        Cow::Owned(context),
        None,
        false,
    )?;
    RequestValues::new(&request, &world.0, &world.1)
}

fn shown(world: &(Interner, Store), request: &RequestValues) -> String {
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner: &world.0,
        store: &world.1,
        request,
        scratch: &mut scratch,
    };
    context.text(request.context())
}

#[test]
fn known_and_unknown_entities() {
    let world = world();
    let bound = bind(&world, "User::\"alice\"", json!({})).unwrap();
    assert_eq!(
        Some(bound.principal()),
        world.0.find_entity("User", "alice")
    );
    assert_eq!(Some(bound.resource()), world.0.find_entity("Doc", "d"));
    assert!(bound.action().is_local());

    let bound = bind(&world, "User::\"mallory\"", json!({})).unwrap();
    assert!(bound.principal().is_local());
    let header = bound
        .local_headers()
        .get(bound.principal().local_index())
        .unwrap();
    assert_eq!(header.attrs, 0);
    assert_eq!(Some(header.ty), world.0.find_str("User").map(|s| s.0));

    let bound = bind(&world, "New::Type::\"x\"", json!({})).unwrap();
    let header = bound
        .local_headers()
        .get(bound.principal().local_index())
        .unwrap();
    assert_ne!(header.ty & cedarjit_ir::ids::LOCAL_BIT, 0);
    assert_eq!(bound.local_headers().len(), bound.local().entities().len());
}

#[test]
fn contexts_keep_their_values() {
    let world = world();
    let strings = world.0.str_count();
    let bound = bind(
        &world,
        "User::\"alice\"",
        json!({
            "new": {"a": [1, "two", {"__entity": {"type": "X", "id": "\"y\""}}]},
            "d": {"__extn": {"fn": "decimal", "arg": "0.1"}},
            "t": {"__extn": {"fn": "offset", "args": [
                {"__extn": {"fn": "datetime", "arg": "2024-01-01"}},
                {"__extn": {"fn": "duration", "arg": "1h"}}
            ]}}
        }),
    )
    .unwrap();
    let text = shown(&world, &bound);
    assert!(text.contains(r#""d": decimal("0.1000")"#), "{text}");
    assert!(
        text.contains(r#""new": {"a": ["two", 1, X::"\"y\""]}"#),
        "{text}"
    );
    assert!(text.contains("1704070800000ms"), "{text}");
    assert_eq!(world.0.str_count(), strings, "the interner must not grow");
}

#[test]
fn equal_values_are_the_stores() {
    let world = world();
    let alice = world.0.find_entity("User", "alice").unwrap();
    let attr = |name| {
        world
            .1
            .attr(alice, world.0.find_str(name).unwrap())
            .unwrap()
    };
    let bound = bind(
        &world,
        "User::\"alice\"",
        json!({"r": {"known": 1}, "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1/32"}}}),
    )
    .unwrap();
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner: &world.0,
        store: &world.1,
        request: &bound,
        scratch: &mut scratch,
    };
    for name in ["r", "ip"] {
        let found = context.get_attr(bound.context(), world.0.find_str(name).unwrap());
        assert_eq!(found, Some(attr(name)));
    }
    // The context has the attributes that alice has, so it is even the same record.
    assert_eq!(bound.context().as_heap_ref().0, world.1.header(alice).attrs);
}

#[test]
fn unknown_shapes_are_local() {
    let world = world();
    let bound = bind(&world, "User::\"alice\"", json!({"x": {"y": 1}})).unwrap();
    assert_eq!(bound.shapes().len(), 3);
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner: &world.0,
        store: &world.1,
        request: &bound,
        scratch: &mut scratch,
    };
    let record = context.object(bound.context()).unwrap();
    assert_eq!(record.shape(), ShapeId::local(2));
    assert_eq!(context.shape_attrs(record.shape()).len(), 1);
}

#[test]
fn an_empty_context_is_the_stores_own() {
    let world = world();
    let bound = bind(&world, "User::\"alice\"", json!({})).unwrap();
    assert_eq!(shown(&world, &bound), "{}");
    assert!(bound.heap().is_empty());
    assert_eq!(bound.shapes().len(), 1);
    assert_eq!(bound.identity(), world.0.identity());
}

#[test]
fn an_unbound_request_is_harmless() {
    let world = world();
    let bound = RequestValues::unbound(&world.0);
    assert_eq!(shown(&world, &bound), "{}");
    let mut scratch = ScratchSpace::new();
    let context = ValueContext {
        interner: &world.0,
        store: &world.1,
        request: &bound,
        scratch: &mut scratch,
    };
    assert!(!context.exists(bound.principal()));
    assert!(
        context
            .attributes(Value::entity(bound.principal()))
            .is_none()
    );
}

#[test]
fn schemas_inform_and_validate() {
    let world = world();
    let schema: Schema = SCHEMA.parse().unwrap();
    let parse = |principal, action, context, validate| {
        parse_request(
            principal,
            action,
            "Doc::\"d\"",
            Cow::Owned(context),
            Some(&schema),
            validate,
        )
    };
    let (alice, view) = ("User::\"alice\"", "Action::\"view\"");
    // The schema says that the string is an address and the object an entity.
    let request = parse(
        alice,
        view,
        json!({"ip": "1.2.3.4", "owner": {"type": "User", "id": "alice"}}),
        true,
    )
    .unwrap();
    let bound = RequestValues::new(&request, &world.0, &world.1).unwrap();
    assert_eq!(
        shown(&world, &bound),
        r#"{"ip": ip("1.2.3.4/32"), "owner": User::"alice"}"#
    );

    let wrong_principal = parse("Doc::\"d\"", view, json!({"ip": "1.2.3.4"}), true);
    assert!(matches!(wrong_principal, Err(RequestError::Validation(_))));
    assert!(parse("Doc::\"d\"", view, json!({"ip": "1.2.3.4"}), false).is_ok());
    let wrong_type = parse(alice, view, json!({"ip": "1.2.3.4", "n": "x"}), true);
    assert!(matches!(wrong_type, Err(RequestError::Validation(_))));
    for context in [json!({"ip": 1}), json!([])] {
        let error = parse(alice, view, context, true).unwrap_err();
        assert!(matches!(error, RequestError::Context(_)), "{error}");
    }
    let unknown_action = parse(alice, "Action::\"x\"", json!({}), true);
    assert!(matches!(unknown_action, Err(RequestError::Context(_))));
}

#[test]
fn malformed_requests() {
    let world = world();
    for uid in ["", "alice", "User::alice", "User::\"a", "User :: \"a\"b"] {
        let error = bind(&world, uid, json!({})).unwrap_err();
        assert!(
            matches!(
                error,
                RequestError::Uid {
                    part: RequestPart::Principal,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().starts_with("the principal `"), "{error}");
    }
    for context in [
        json!(null),
        json!([1]),
        json!({"x": null}),
        json!({"x": 1.5}),
        json!({"x": {"__extn": {"fn": "nope", "arg": "1"}}}),
        json!({"x": {"__extn": {"fn": "decimal", "arg": "1"}}}),
    ] {
        let error = bind(&world, "User::\"alice\"", context).unwrap_err();
        assert!(matches!(error, RequestError::Context(_)), "{error}");
    }
}

#[test]
fn requests_too_large_are_refused() {
    let world = world();
    let uid = format!("User::\"{}\"", "x".repeat(1 << 20));
    let error = bind(&world, &uid, json!({})).unwrap_err();
    let text = "the principal exceeds a limit: the entity uid has 1048584 bytes, \
                the limit is 1048576";
    assert_eq!(error.to_string(), text);

    let large = json!({"a": "x".repeat(16 << 20)});
    let error = bind(&world, "User::\"alice\"", large).unwrap_err();
    let text = "the context exceeds a limit: the context is larger than 16777216 bytes";
    assert_eq!(error.to_string(), text);

    let nested = |depth| json!({"a": (0..depth).fold(json!(1), |value, _| json!([value]))});
    assert!(bind(&world, "User::\"alice\"", nested(126)).is_ok());
    let error = bind(&world, "User::\"alice\"", nested(127)).unwrap_err();
    let text = "the context exceeds a limit: nested more than 127 deep";
    assert_eq!(error.to_string(), text);
}
