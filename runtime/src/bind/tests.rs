//! The plain way and the long way must lead to the same place.

use super::*;
use crate::engine::Engine;
use crate::values::{ScratchSpace, ValueContext};
use cedarjit_frontend::limits::check_context_text;

mod contexts;
mod random;

use contexts::CONTEXTS;

/// A schema with every kind of type in a context.
const SCHEMA: &str = r#"
    entity Team;
    entity User in [Team];
    entity Color enum ["red", "green"];
    namespace App { entity Doc, if_ ; entity Kind enum ["a"]; }
    type Place = { city: String, zip?: Long };
    action view appliesTo {
        principal: [User, Color], resource: [App::Doc, App::Kind, Team],
        context: {
            b?: Bool, n?: Long, s?: String, e?: User, d?: App::Doc, c?: Color,
            ip?: ipaddr, dec?: decimal, t?: datetime, dur?: duration,
            sn?: Set<Long>, ss?: Set<String>, se?: Set<User>, sip?: Set<ipaddr>,
            r?: Place, sr?: Set<Place>, deep?: { a: { b: { c: Set<Set<Long>> } } },
        }
    };
    action edit appliesTo { principal: User, resource: App::Doc, context: { n: Long, p?: Place } };
    action list appliesTo { principal: User, resource: App::Doc };
    action idle;
"#;

const POLICIES: &str = r#"
    permit (principal == User::"ann", action, resource)
    when { context has n && context.n > 1 && context.s == "known" };
    forbid (principal, action, resource == App::Doc::"plan")
    when { context.sn.contains(3) && context.ip.isLoopback() && context.r == {city: "Rome", zip: 1} };
    permit (principal in Team::"core", action in [Action::"view"], resource)
    when { context == {n: 1} || context.t < datetime("2024-01-01") || context.ss == ["a", "b"] };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": [{"type": "Team", "id": "core"}]},
    {"uid": {"type": "User", "id": "b\"ob\n"}, "attrs": {}, "parents": []},
    {"uid": {"type": "User", "id": "zoë"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
    {"uid": {"type": "App::Doc", "id": "plan"}, "attrs": {}, "parents": []},
    {"uid": {"type": "Color", "id": "red"}, "attrs": {}, "parents": []}
]"#;

fn engine(schema: bool) -> Engine {
    let builder = Engine::builder()
        .policies_str(POLICIES)
        .entities_json(ENTITIES);
    let builder = match schema {
        true => builder.schema_str(SCHEMA),
        false => builder,
    };
    builder.build().expect("the test's world is sound")
}

/// A request, as its parts.
#[derive(Clone, Copy)]
struct Parts<'a> {
    uids: [&'a str; 3],
    context: &'a str,
    validate: bool,
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts = [self.uids[0], self.uids[1], self.uids[2], self.context];
        // Those that try the limits are long.
        let texts = texts.map(|text| text.chars().take(1000).collect::<String>());
        write!(f, "{texts:?}, validate: {}", self.validate)
    }
}

/// What came of binding: everything that evaluation sees, or the error's text.
#[derive(Debug, PartialEq)]
enum Bound {
    Values {
        uids: [String; 3],
        local: [bool; 3],
        types: [String; 3],
        context: String,
        /// Whether the context is a value that the snapshot has.
        global: bool,
        slots: Vec<String>,
        failed: Vec<String>,
    },
    Refused(String),
}

fn seen(request: &BoundRequest) -> Bound {
    let snapshot = &*request.snapshot;
    let mut scratch = ScratchSpace::new();
    let values = ValueContext {
        interner: &snapshot.interner,
        store: &snapshot.store,
        request: &request.details.values,
        scratch: &mut scratch,
    };
    let uids = [
        request.details.values.principal(),
        request.details.values.action(),
        request.details.values.resource(),
    ];
    let slots = request.frame.context_slots().iter().map(|pair| {
        let tag = cedarjit_ir::value::Tag::from_u8(pair.tag as u8).expect("a tag");
        values.text(cedarjit_ir::value::Value {
            tag,
            word: pair.word,
        })
    });
    let slots = slots.collect();
    let mut scratch = crate::Scratch::default();
    let evaluation = request.evaluate(&mut scratch);
    let failed = evaluation
        .errors()
        .map(|(id, error)| format!("{id}: {error}"));
    let mut failed: Vec<String> = failed.collect();
    failed.sort_unstable();
    Bound::Values {
        uids: uids.map(|id| values.uid_text(id)),
        local: uids.map(EntityId::is_local),
        types: uids.map(|id| values.str(values.entity_type(id).name()).to_owned()),
        context: values.text(request.details.values.context()),
        global: request.details.values.context().as_heap_ref().space() == 0,
        slots,
        failed,
    }
}

fn outcome(result: Result<&mut BoundRequest, RequestError>) -> Bound {
    match result {
        Ok(request) => seen(request),
        Err(error) => Bound::Refused(refusal(&error)),
    }
}

/// An error with all its causes.
fn refusal(error: &dyn std::error::Error) -> String {
    let mut text = format!("{error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(" < {error}"));
        cause = error.source();
    }
    text
}

/// The long way: everything by cedar-policy, in fresh memory.
fn by_cedar(snapshot: &Arc<Snapshot>, parts: Parts<'_>) -> Bound {
    let mut fresh = BoundRequest::about_nobody(Arc::clone(snapshot));
    let uids = parts.uids.map(Uid::Text);
    let context = ContextJson::Text(parts.context);
    let request = fresh.cedar_request(uids, context, parts.validate);
    let taken = request.and_then(|request| fresh.take(&request));
    outcome(taken.map(|()| &mut fresh))
}

/// Binds in every way and compares; says whether the request was bound as a plain one.
fn check(binder: &mut Binder, parts: Parts<'_>) -> bool {
    let expected = by_cedar(binder.snapshot(), parts);
    let [principal, action, resource] = parts.uids;
    let context = parts.context;
    let bound = binder.bind(principal, action, resource, context, parts.validate);
    let got = outcome(bound);
    assert_eq!(got, expected, "{parts:?}");
    let uids = parts.uids.map(Uid::Text);
    let request = (binder.request).cedar_request(uids, ContextJson::Text(context), parts.validate);
    let converted = request.and_then(|request| binder.bind_request(&request));
    assert_eq!(outcome(converted), expected, "converted: {parts:?}");
    // Only a text can have too much white space.
    if let Ok(json) = serde_json::from_str(context)
        && check_context_text(context).is_ok()
    {
        let snapshot = Arc::clone(binder.snapshot());
        let mut bound = snapshot.bind_json(principal, action, resource, &json, parts.validate);
        let bound = bound.as_mut().map_err(|error| refusal(error));
        let got = bound.map_or_else(Bound::Refused, |request| seen(request));
        assert_eq!(got, expected, "as a value: {parts:?}");
    }
    let Binder { request, work } = binder;
    request.clear();
    let uids = parts.uids.map(Uid::Text);
    let context = ContextJson::Text(context);
    request
        .bind_plain(uids, context, parts.validate, work)
        .is_some()
}

const UIDS: [&str; 3] = [r#"User::"ann""#, r#"Action::"view""#, r#"App::Doc::"plan""#];

#[test]
fn odd_contexts_are_bound_as_cedar_policy_reads_them() {
    for (schema, validate, column) in [(false, false, 0), (true, false, 1), (true, true, 2)] {
        let mut binder = Binder::new(engine(schema).snapshot());
        for (context, plain) in CONTEXTS {
            let parts = Parts {
                uids: UIDS,
                context,
                validate,
            };
            let bound_plainly = check(&mut binder, parts);
            assert_eq!(bound_plainly, plain[column], "schema {schema}: {parts:?}");
        }
    }
}

#[test]
fn odd_uids_are_bound_as_cedar_policy_reads_them() {
    // What is plain in itself, and what is plain for `view`, whose principal may be a user.
    let uids = [
        (r#"User::"ann""#, true, true),
        (r#"User::"nobody""#, true, true),
        (r#"User::"zoë""#, true, true),
        (r#"User::"b\"ob\n""#, true, true),
        (r#"User::"it's""#, false, false),
        (r#"Team::"core""#, true, false),
        (r#"Color::"red""#, true, true),
        (r#"Color::"green""#, true, true),
        (r#"Color::"blue""#, true, false),
        (r#"App::Doc::"plan""#, true, false),
        (r#"App::if_::"x""#, true, false),
        (r#"Nowhere::"x""#, true, false),
        (r#"Action::"view""#, true, false),
        (r#"if::"x""#, false, false),
        (r#"User :: "ann""#, false, false),
        ("User", false, false),
        ("", false, false),
    ];
    for (schema, validate) in [(false, false), (true, false), (true, true)] {
        let mut binder = Binder::new(engine(schema).snapshot());
        for (uid, plain, fits) in uids {
            for part in 0..3 {
                let mut parts = Parts {
                    uids: UIDS,
                    context: r#"{"n": 2}"#,
                    validate,
                };
                parts.uids[part] = uid;
                let bound_plainly = check(&mut binder, parts);
                if !schema || (!validate && part != 1) {
                    assert_eq!(bound_plainly, plain, "{parts:?}");
                } else if validate && part == 0 {
                    assert_eq!(bound_plainly, fits, "{parts:?}");
                }
            }
        }
    }
}

#[test]
fn each_action_has_its_own_context() {
    for validate in [false, true] {
        let mut binder = Binder::new(engine(true).snapshot());
        let contexts = [
            "{}",
            r#"{"n": 1}"#,
            r#"{"s": "x"}"#,
            r#"{"n": 1, "p": {"city": "x"}}"#,
        ];
        let plain = [
            ("view", [true, true, true, false]),
            ("edit", [false, true, false, true]),
            ("list", [true, false, false, false]),
            ("idle", [!validate, false, false, false]),
            ("none", [false; 4]),
        ];
        for (action, plain) in plain {
            let action = format!("Action::\"{action}\"");
            for (context, plain) in contexts.iter().zip(plain) {
                let parts = Parts {
                    uids: [UIDS[0], &action, UIDS[2]],
                    context,
                    validate,
                };
                assert_eq!(check(&mut binder, parts), plain, "{parts:?}");
            }
        }
    }
}

/// A schema that came as a value: nothing is known about contexts.
#[test]
fn a_schema_without_facts_leaves_everything_to_cedar_policy() {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).expect("the schema is sound");
    let engine = Engine::builder()
        .schema(&schema)
        .policies_str(POLICIES)
        .entities_json(ENTITIES)
        .build()
        .expect("the test's world is sound");
    let mut binder = Binder::new(engine.snapshot());
    for (context, _) in CONTEXTS {
        let parts = Parts {
            uids: UIDS,
            context,
            validate: true,
        };
        assert!(!check(&mut binder, parts));
    }
}

#[test]
fn limits_are_the_same() {
    let mut binder = Binder::new(engine(false).snapshot());
    let nested = |depth: usize| format!("{{\"a\": {}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let text = |n: usize| format!("{{\"a\": \"{}\"}}", "x".repeat(n));
    let spaces = |n: usize| format!("{{{}}}", " ".repeat(n));
    let limit = 16 << 20;
    let contexts = [
        (nested(126), true),
        (nested(127), false),
        (text(limit / 9 - 10), true),
        (text(limit - 17), false),
        (text(limit - 16), false),
        (spaces(limit / 9 - 2), true),
        (spaces(limit / 9 - 1), false),
        (spaces(4 * limit - 2), false),
        (spaces(4 * limit - 1), false),
    ];
    for (context, plain) in &contexts {
        let parts = Parts {
            uids: UIDS,
            context,
            validate: false,
        };
        assert_eq!(check(&mut binder, parts), *plain, "{}", context.len());
    }
    let long = |n: usize| format!("T::\"{}\"", "x".repeat(n - 5));
    for (uid, plain) in [(long(1 << 20), true), (long((1 << 20) + 1), false)] {
        let parts = Parts {
            uids: [&uid, UIDS[1], UIDS[2]],
            context: "{}",
            validate: false,
        };
        assert_eq!(check(&mut binder, parts), plain);
    }
}

#[test]
fn a_failed_request_leaves_nothing_behind() {
    let mut binder = Binder::new(engine(false).snapshot());
    let [principal, action, resource] = UIDS;
    let context = r#"{"n": 5, "s": "known"}"#;
    let mut scratch = crate::Scratch::default();
    let request = binder
        .bind(principal, action, resource, context, true)
        .unwrap();
    assert!(request.evaluate(&mut scratch).reasons().count() > 0);
    binder
        .bind(principal, action, resource, "{", true)
        .unwrap_err();
    let nobody = &binder.request;
    assert_eq!(nobody.details.values.local().entities(), []);
    assert_eq!(nobody.evaluate(&mut scratch).reasons().count(), 0);
    assert_eq!(nobody.evaluate_unindexed(&mut scratch).reasons().count(), 0);
}

#[test]
fn handles_stand_for_their_uids() {
    for schema in [false, true] {
        let engine = engine(schema);
        let snapshot = engine.snapshot();
        let mut binder = Binder::new(Arc::clone(&snapshot));
        for part in 0..3 {
            for context in ["{}", r#"{"n": 1}"#, r#"{"n": 1.5}"#] {
                let mut uids = UIDS.map(Uid::Text);
                let handle = snapshot.resolve(UIDS[part]).unwrap().expect("is known");
                uids[part] = handle.into();
                let [principal, action, resource] = uids;
                let got = outcome(binder.bind(principal, action, resource, context, true));
                let parts = Parts {
                    uids: UIDS,
                    context,
                    validate: true,
                };
                assert_eq!(got, by_cedar(&snapshot, parts));
            }
        }
        let odd = snapshot.resolve(r#"User::"b\"ob\n""#).unwrap();
        assert!(odd.is_some());
        assert_eq!(snapshot.resolve(r#"User::"nobody""#).unwrap(), None);
        assert_eq!(snapshot.resolve(r#"Nowhere::"x""#).unwrap(), None);
        let error = snapshot.resolve("User").unwrap_err();
        assert!(
            error.to_string().starts_with("the entity `User` is not"),
            "{error}"
        );
    }
}

#[test]
fn handles_end_with_their_entities() {
    let engine = engine(false);
    let ann = engine.resolve(UIDS[0]).unwrap().expect("is known");
    let late = "permit(principal == User::\"late\", action, resource);";
    let late = cedar_policy::Policy::parse(Some(cedar_policy::PolicyId::new("late")), late);
    let before = engine.snapshot();
    engine.add_policy(late.unwrap()).unwrap();
    let [_, action, resource] = UIDS;
    let mut binder = Binder::new(engine.snapshot());
    assert!(binder.bind(ann, action, resource, "{}", true).is_ok());
    // A state that came before the entity was mentioned does not know the handle.
    let late = engine.resolve("User::\"late\"").unwrap().expect("is known");
    assert!(binder.bind(late, action, resource, "{}", true).is_ok());
    let mut earlier = Binder::new(before);
    let error = earlier
        .bind(late, action, resource, "{}", true)
        .unwrap_err();
    assert!(
        matches!(error, RequestError::Handle(RequestPart::Principal)),
        "{error}"
    );

    engine
        .replace_entities(cedar_policy::Entities::empty())
        .unwrap();
    assert!(binder.bind(ann, action, resource, "{}", true).is_ok());
    binder.set_snapshot(engine.snapshot());
    let error = binder.bind(ann, action, resource, "{}", true).unwrap_err();
    assert!(
        matches!(error, RequestError::Handle(RequestPart::Principal)),
        "{error}"
    );
    let request = binder.bind(UIDS[0], action, resource, "{}", true).unwrap();
    let error = request.set_resource(ann).unwrap_err();
    let text =
        "the resource is a handle of another engine, or of entities that were replaced since";
    assert_eq!(error.to_string(), text);
}

#[test]
fn exchanged_parts_must_go_on_to_fit() {
    let engine = engine(true);
    let handle = |uid| engine.resolve(uid).unwrap().expect("is known");
    let mut binder = Binder::new(engine.snapshot());
    let [principal, action, resource] = UIDS;
    let context = r#"{"n": 1}"#;
    for validate in [true, false] {
        for (uid, fits) in [
            (r#"User::"zoë""#, true),
            (r#"Color::"red""#, true),
            (r#"Team::"core""#, false),
        ] {
            let request = binder.bind(principal, action, resource, context, validate);
            let request = request.unwrap();
            let before = seen(request);
            let parts = Parts {
                uids: [uid, action, resource],
                context,
                validate,
            };
            let expected = by_cedar(&engine.snapshot(), parts);
            match request.set_principal(handle(uid)) {
                Ok(()) => assert_eq!(seen(request), expected),
                Err(error) => {
                    assert_eq!(Bound::Refused(refusal(&error)), expected);
                    assert_eq!(seen(request), before);
                }
            }
            assert_eq!(matches!(expected, Bound::Values { .. }), fits || !validate);
        }
    }
    let request = binder
        .bind(principal, action, resource, context, true)
        .unwrap();
    assert!(request.set_resource(handle(r#"Team::"core""#)).is_ok());
    assert!(request.set_resource(handle(principal)).is_err());
}
