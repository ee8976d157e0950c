//! Texts that are meant to harm. Each must be an error, soon, and must not end the process.

use super::*;
use crate::limits::{LimitError, MAX_CHAIN, MAX_NESTING};
use std::time::{Duration, Instant};

/// Long enough for a debug build on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn soon<T>(f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    let took = start.elapsed();
    assert!(took < SOON, "took {took:?}");
    result
}

/// Parses and loads on a thread with the stack that the standard library gives threads.
fn outcome(text: &str) -> Result<usize, String> {
    soon(|| {
        let set = parse_policies(text, "a.cedar").map_err(|e| e.to_string())?;
        let loaded = load_policy_set(&set, &mut Interner::new()).map_err(|e| e.to_string())?;
        Ok(loaded.len())
    })
}

#[test]
fn policies() {
    let n = 1_000_000;
    for text in [
        "(".repeat(10 * n),
        policy(&format!("{}true{}", "(".repeat(5 * n), ")".repeat(5 * n))),
        policy(&"!".repeat(100_000)),
        policy(&format!("{}1 == 1", "-".repeat(100_000))),
        policy(&"[".repeat(n)),
        policy(&"{a: ".repeat(n)),
        policy(&"if ".repeat(100_000)),
        policy(&"if true then true else ".repeat(100_000)),
        policy(&format!("context{}", ".a".repeat(n))),
        policy(&format!("context has a{}", ".a".repeat(n))),
        policy(&format!("1{} == 1", " + 1".repeat(n))),
        policy(&format!("context.a{}", " && context.a".repeat(n))),
        policy(&format!("context.a{}", " || context.a".repeat(n))),
        policy(&format!("{}x{}", "ip(".repeat(n), ")".repeat(n))),
        policy(&format!(
            "{}1{}",
            "context.contains(".repeat(n),
            ")".repeat(n)
        )),
        format!(
            "permit (principal, action, resource) {};",
            "when { context.a } ".repeat(n)
        ),
        format!(
            "permit (principal == {}A::\"a\"{}, action, resource);",
            "(".repeat(n),
            ")".repeat(n)
        ),
        policy(&format!("[{}]", "1, ".repeat(n))),
        policy(&format!("{}\"a\" == 1", "a::".repeat(n))),
        // The parser takes long to recover from these.
        policy(&format!(
            "{}a b {}",
            "if 1 then 2 else ".repeat(300),
            "1, ".repeat(300_000)
        )),
        policy(&format!(
            "{}a b {}",
            "if 1 then 2 else ".repeat(200),
            "1, ".repeat(500)
        ))
        .repeat(500),
        policy(&format!("{}a b {}", "(".repeat(500), "1 ".repeat(300_000))),
        policy(&format!("{}a b {}", "(".repeat(400), "1 ".repeat(1000))).repeat(500),
        // Lines to remember for each part of the text.
        "\n".repeat(20 * n) + &"permit (principal, action, resource);".repeat(10_000) + "permit",
        ";".repeat(n),
        "a ".repeat(n),
        "@".repeat(n),
        "\"".repeat(n),
        "permit".repeat(n),
        "permit;".repeat(n),
        "permit(principal,action,resource)when{".repeat(n),
        "\u{fe}\u{0}".repeat(n),
    ] {
        let head: String = text.chars().take(60).collect();
        assert!(outcome(&text).is_err(), "{head}");
    }
}

#[test]
fn policies_at_the_bounds_survive() {
    let n = MAX_NESTING - 1;
    let chain = MAX_CHAIN - 10;
    for (text, loads) in [
        (
            policy(&format!("{}true{}", "(".repeat(n), ")".repeat(n))),
            true,
        ),
        (
            policy(&format!("{}1{} == 1", "[".repeat(n), "]".repeat(n))),
            false,
        ),
        (
            policy(&format!("{}1{} == 1", "{a: ".repeat(n), "}".repeat(n))),
            false,
        ),
        (
            policy(&format!("{}true{}", "!(".repeat(n), ")".repeat(n))),
            false,
        ),
        (
            policy(&format!(
                "{}1{}",
                "context.contains(".repeat(n),
                ")".repeat(n)
            )),
            false,
        ),
        (policy(&format!("context{}", ".a".repeat(chain))), false),
        (policy(&format!("1{} == 1", " + 1".repeat(chain))), false),
        (
            policy(&format!("{}true", "if context then 1 else ".repeat(chain))),
            false,
        ),
        (
            policy(&format!("context{}", " && context".repeat(chain))),
            true,
        ),
        (
            policy(&format!("context{}", " || context".repeat(chain))),
            true,
        ),
        (
            format!(
                "permit (principal, action, resource) {};",
                "when { context } ".repeat(chain)
            ),
            true,
        ),
    ] {
        let head: String = text.chars().take(60).collect();
        let outcome = outcome(&text);
        assert_eq!(outcome.is_ok(), loads, "{head}: {outcome:?}");
    }
}

/// cedar-policy's own parser takes any chain; converting it must not overflow either.
#[test]
fn policy_sets_that_did_not_come_through_here() {
    let text = policy(&format!("context{}", " && context".repeat(50_000)));
    let chain = LimitError::Chain { limit: MAX_CHAIN };
    crate::limits::with_big_stack(|| {
        let set: PolicySet = text.parse().unwrap();
        let error = load_policy_set(&set, &mut Interner::new()).unwrap_err();
        assert!(matches!(error.kind(), LoadErrorKind::Limit(limit) if *limit == chain));
        assert_eq!(error.policy(), Some("policy0"));
    })
    .unwrap();
}

#[test]
fn json() {
    let n = 1_000_000;
    let not = |n| {
        let (open, close) = (r#"{"!": {"arg": "#.repeat(n), "}}".repeat(n));
        format!(
            r#"{{"effect": "permit", "principal": {{"op": "All"}}, "action": {{"op": "All"}},
               "resource": {{"op": "All"}}, "conditions": [
               {{"kind": "when", "body": {open}{{"Value": true}}{close}}}]}}"#
        )
    };
    for text in ["[".repeat(n), "{\"a\":".repeat(n), not(n), not(63)] {
        soon(|| {
            assert!(parse_policies_json(&text, "a.json").is_err());
            assert!(link(&mut PolicySet::new(), &text, "l.json").is_err());
            assert!(parse_schema(&text, SchemaFormat::Json, "s.json").is_err());
            assert!(parse_entities(&text, None, "e.json").is_err());
        });
    }
    let set = parse_policies_json(&not(55), "a.json").unwrap();
    let loaded = load_policy_set(&set, &mut Interner::new()).unwrap();
    assert_eq!(loaded.len(), 1);
}

#[test]
fn schemas() {
    let n = 1_000_000;
    let doubling: String = (0..100)
        .map(|i| format!("type T{} = {{ x: T{i}, y: T{i} }};", i + 1))
        .collect();
    let chain: String = (0..1_000)
        .map(|i| format!("type T{} = Set<T{i}>;", i + 1))
        .collect();
    let groups: String = (0..1_000)
        .map(|i| format!("action a{} in a{i};", i + 1))
        .collect();
    for text in [
        format!("entity A {{ a: {}", "Set<".repeat(n)),
        format!(
            "entity A {{ a: {}Long{} }};",
            "Set<".repeat(n),
            ">".repeat(n)
        ),
        format!("entity A {}", "{ a: ".repeat(n)),
        "namespace a { ".repeat(100_000),
        ";".repeat(n),
        "a ".repeat(n),
        "x".repeat(10 * n),
        format!("type T0 = Long; {doubling}"),
        format!("type T0 = Long; {chain}"),
        format!("action a0; {groups}"),
    ] {
        let parse = || parse_schema(&text, SchemaFormat::Cedar, "s.cedarschema");
        let head: String = text.chars().take(60).collect();
        assert!(soon(parse).is_err(), "{head}");
    }
}

#[test]
fn entities() {
    let chain: Vec<_> = (0..100_000)
        .map(|i| {
            let parent = i + 1;
            format!(
                r#"{{"uid": {{"type": "A", "id": "{i}"}}, "attrs": {{}},
                   "parents": [{{"__entity": {{"type": "A", "id": "{parent}"}}}}]}}"#
            )
        })
        .collect();
    let text = format!("[{}]", chain.join(","));
    let error = soon(|| parse_entities(&text, None, "e.json")).unwrap_err();
    assert!(matches!(
        error.kind(),
        ParseErrorKind::Limit(LimitError::Hierarchy { .. })
    ));
}

#[test]
fn long_messages_are_cut() {
    let text = policy(&format!("context like {}", "a".repeat(100_000)));
    let error = parse_policies(&text, "a.cedar").unwrap_err();
    assert!(error.to_string().len() < 10_000);
}
