//! Code without vector instructions finds the ancestors that code with them finds.

use cedarjit::{Engine, JitMode, Scratch, Snapshot};
use std::fmt::Write;
use std::sync::Arc;

const USERS: usize = 60;
const GROUPS: usize = 80;

/// Every user is in some groups, some of them by way of others.
fn entities() -> String {
    let mut rows = Vec::new();
    let parents = |numbers: Vec<usize>| {
        let parents = numbers
            .iter()
            .map(|n| format!(r#"{{"type": "Group", "id": "g{n}"}}"#));
        parents.collect::<Vec<_>>().join(", ")
    };
    for group in 0..GROUPS {
        let above: Vec<usize> = (1..4)
            .map(|k| group * 3 + k)
            .filter(|n| *n < GROUPS)
            .collect();
        let parents = parents(above);
        rows.push(format!(
            r#"{{"uid": {{"type": "Group", "id": "g{group}"}}, "attrs": {{}}, "parents": [{parents}]}}"#
        ));
    }
    for user in 0..USERS {
        let groups = (0..user % 7).map(|k| (user * 31 + k * 17) % GROUPS);
        let parents = parents(groups.collect());
        rows.push(format!(
            r#"{{"uid": {{"type": "User", "id": "u{user}"}}, "attrs": {{}}, "parents": [{parents}]}}"#
        ));
    }
    format!("[{}]", rows.join(",\n"))
}

/// Membership in one group, and in sets of one to many.
fn policies() -> String {
    let mut policies = String::new();
    for number in [1, 2, 3, 5, 9, 17, 40] {
        let groups = (0..number).map(|k| format!("Group::\"g{}\"", k * 13 % GROUPS));
        let groups = groups.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            policies,
            "permit (principal, action, resource) when {{ principal in [{groups}] }};\n\
             permit (principal, action, resource) when {{ principal in Group::\"g{number}\" }};"
        );
    }
    policies
}

fn snapshot(jit: JitMode) -> Arc<Snapshot> {
    let builder = Engine::builder().policies_str(policies());
    let engine = builder.entities_json(entities()).jit(jit).build().unwrap();
    assert_eq!(engine.stats().native_shapes > 0, jit != JitMode::Off);
    engine.snapshot()
}

fn reasons(snapshot: &Arc<Snapshot>, user: usize, fused: bool) -> Vec<String> {
    let principal = format!("User::\"u{user}\"");
    let context = serde_json::json!({});
    let [action, resource] = ["Action::\"a\"", "User::\"u0\""];
    let request = snapshot
        .bind_json(&principal, action, resource, &context, true)
        .unwrap();
    assert!(!fused || request.warm_up());
    let mut scratch = Scratch::default();
    let evaluation = match fused {
        true => request.evaluate(&mut scratch),
        false => request.evaluate_unfused(&mut scratch),
    };
    let mut reasons: Vec<String> = evaluation.reasons().map(str::to_owned).collect();
    reasons.sort_unstable();
    reasons
}

#[test]
fn ancestors_are_found_with_and_without_vectors() {
    let (interpreted, portable) = (snapshot(JitMode::Off), snapshot(JitMode::Portable));
    let native = snapshot(JitMode::Auto);
    let mut satisfied = 0;
    for user in 0..USERS {
        let expected = reasons(&interpreted, user, false);
        satisfied += expected.len();
        for fused in [false, true] {
            assert_eq!(reasons(&native, user, fused), expected, "u{user}");
            assert_eq!(reasons(&portable, user, fused), expected, "u{user}");
        }
    }
    // Some are in some groups.
    assert!((USERS..USERS * 14).contains(&satisfied), "{satisfied}");
    let listing = |snapshot: &Snapshot| {
        let explained = snapshot.explain("policy1").unwrap();
        explained.listing.unwrap().clif
    };
    assert!(listing(&native).contains("i32x4"));
    assert!(!listing(&portable).contains("i32x4"));
}
