//! A native evaluation allocates nothing once its scratch has grown to size.

use cedarjit::{Engine, Scratch, Tier};
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

    let info = allocation_counter::measure(|| {
        for _ in 0..100 {
            let evaluation = request.evaluate(&mut scratch);
            assert_eq!(evaluation.reasons().len(), 4);
            assert!(evaluation.has_errors());
        }
    });
    assert_eq!(info.count_total, 0, "{info:?}");
}
