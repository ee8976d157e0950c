//! A native evaluation allocates nothing once its scratch has grown to size, and neither does binding
//! a plain request once the binder has.

use cedarjit::{Binder, Decision, Engine, Scratch, Tier, Uid};
use std::collections::BTreeSet;

const POLICIES: &str = r#"
@id("owner")  permit (principal, action, resource) when { resource.owner == principal };
@id("member") permit (principal in Team::"core", action == Action::"view", resource);
@id("tagged") permit (principal, action, resource)
  when { resource.tags.containsAll([context.tag, "b"]) && resource.name like "*port*" };
@id("record") permit (principal, action, resource)
  when { {who: principal, why: context.reason} == context.request };
@id("fails")  permit (principal, action, resource) when { resource.missing > 1 };
@id("network") forbid (principal, action, resource)
  when { context has ip && !ip(context.ip).isInRange(ip("10.0.0.0/8")) };
@id("early") forbid (principal, action, resource)
  when { datetime(context.at) < datetime("2020-01-01").offset(duration("1d")) };
"#;

const ENTITIES: &str = r#"[
  {"uid": {"type": "User", "id": "ann"}, "attrs": {}, "parents": [{"type": "Team", "id": "core"}]},
  {"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []},
  {"uid": {"type": "Doc", "id": "d"}, "parents": [], "attrs": {
    "owner": {"__entity": {"type": "User", "id": "ann"}}, "tags": ["a", "b"], "name": "report"}}
]"#;

#[test]
fn a_native_evaluation_allocates_nothing() {
    let engine = Engine::builder()
        .policies_str(POLICIES)
        .entities_json(ENTITIES)
        .build()
        .unwrap();
    assert!(matches!(engine.tier(), Tier::Native));
    let snapshot = engine.snapshot();
    let context = serde_json::json!({
        "tag": "a", "ip": "10.1.2.3", "at": "2026-01-01", "reason": "none",
        "request": {
            "who": {"__entity": {"type": "User", "id": "ann"}},
            "why": "none",
        },
    });
    let request = snapshot
        .bind_json(
            r#"User::"ann""#,
            r#"Action::"view""#,
            r#"Doc::"d""#,
            &context,
            false,
        )
        .unwrap();
    let mut scratch = Scratch::default();
    let reasons: BTreeSet<_> = request.evaluate(&mut scratch).reasons().collect();
    let satisfied = BTreeSet::from(["owner", "member", "tagged", "record"]);
    assert_eq!(reasons, satisfied);
    assert_eq!(request.evaluate(&mut scratch).errors().len(), 1);
    // Otherwise an engine that is asked often has code fused in the meantime.
    request.warm_up();

    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            let evaluation = request.evaluate(&mut scratch);
            assert_eq!(evaluation.reasons().len(), 4);
            assert!(evaluation.has_errors());
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");

    let alone = request.evaluate_unfused(&mut scratch).reasons().len();
    assert_eq!(alone, 4);
    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            let evaluation = request.evaluate_unfused(&mut scratch);
            assert_eq!(evaluation.reasons().len(), 4);
            assert!(evaluation.has_errors());
            let evaluation = request.evaluate_unindexed(&mut scratch);
            assert_eq!(evaluation.reasons().len(), 4);
            assert_eq!(request.decide(&mut scratch), Decision::Allow);
        }
    });
    assert_eq!(info.count_total, 0, "one by one: {info:?}");
}

const SCHEMA: &str = r#"
entity Team;
entity User in [Team] { manager?: User };
entity Doc { owner: User, tags: Set<String>, name: String };
entity Kind enum ["a", "b"];
action view appliesTo { principal: [User, Kind], resource: Doc, context: {
    tag: String, ip?: String, at: String, reason?: String, address?: ipaddr, now?: datetime,
    limit?: decimal, wait?: duration, levels?: Set<Long>, who?: User,
    request?: { who: User, why: String },
} };
"#;

/// Requests with and without everything: nothing known, nothing unknown, all types.
const REQUESTS: &[(&str, &str, &str)] = &[
    (
        r#"User::"ann""#,
        r#"Doc::"d""#,
        r#"{"tag": "a", "at": "2026-01-01"}"#,
    ),
    (
        r#"User::"nobody""#,
        r#"Doc::"none""#,
        r#"{"tag": "unheard of", "at": "2026-01-01"}"#,
    ),
    (
        r#"Kind::"b""#,
        r#"Doc::"d""#,
        r#"{"tag": "a", "at": "2026-01-01", "reason": "none",
        "address": "10.1.2.3", "now": {"fn": "datetime", "arg": "2026-01-01"}, "limit": "1.5",
        "wait": "1h", "levels": [3, 2, 1], "who": {"type": "User", "id": "bob"},
        "request": {"who": {"__entity": {"type": "User", "id": "ann"}}, "why": "none"}}"#,
    ),
];

#[test]
fn binding_and_evaluating_allocate_nothing() {
    for schema in [None, Some(SCHEMA)] {
        let mut builder = Engine::builder()
            .policies_str(POLICIES)
            .entities_json(ENTITIES);
        if let Some(schema) = schema {
            builder = builder.schema_str(schema);
        }
        let engine = builder.build().unwrap();
        let mut binder = Binder::new(engine.snapshot());
        let mut session = engine.session();
        let mut scratch = Scratch::default();
        let action = engine.resolve(r#"Action::"view""#).unwrap();
        let action = action.expect("a policy mentions it");
        let ann = engine.resolve(r#"User::"ann""#).unwrap().expect("exists");
        let mut run = || {
            let mut reasons = 0;
            for (principal, resource, context) in REQUESTS {
                let uids = [Uid::Text(principal), Uid::Text(r#"Action::"view""#)];
                for action in [uids[1], action.into()] {
                    let request = binder.bind(uids[0], action, *resource, context, true);
                    let request = request.expect("is valid");
                    request.warm_up();
                    reasons += request.evaluate(&mut scratch).reasons().len();
                    request.set_principal(ann).expect("fits");
                    request.warm_up();
                    reasons += request.evaluate(&mut scratch).reasons().len();
                }
                let answer = session.is_authorized(uids[0], action, *resource, context, true);
                reasons += answer.expect("is valid").reasons().len();
            }
            reasons
        };
        let expected = run();
        assert!(expected > 0);
        // A binder remembers uids from the 32nd that it looks up on, in memory that it gets then.
        (0..10).for_each(|_| assert_eq!(run(), expected));
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert_eq!(run(), expected);
            }
        });
        assert_eq!(
            info.count_total,
            0,
            "schema: {}, {info:?}",
            schema.is_some()
        );
    }
}
