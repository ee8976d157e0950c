//! What an engine does about answers that are wrong: they are made up here, since its code is right.

use super::{Difference, Given, Remedy, SelfCheck, SelfCheckStats};
use crate::bind::BoundRequest;
use crate::engine::Engine;
use crate::evaluate::Scratch;
use crate::outcomes::Outcomes;
use cedar_policy::{Decision, Entities, Policy, PolicySet};
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::ids::PolicyIndex;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

const POLICIES: &str = r#"
    permit (principal == User::"ann", action, resource) when { context.level > 3 };
    forbid (principal, action, resource) when { context.level * 2 < context.least };
    permit (principal in ?principal, action, resource) when { context.level > 3 };
"#;

const LINKS: &str = r#"[
    {"template_id": "policy2", "link_id": "policy7", "args": {"?principal": "User::\"bob\""}}
]"#;

/// What is kept of each difference.
type Seen = Arc<Mutex<Vec<(String, Vec<String>, Remedy, Option<PathBuf>)>>>;

fn one_in(every: u32) -> SelfCheck {
    SelfCheck::one_in(NonZero::new(every).unwrap())
}

fn engine(folder: Option<&Path>) -> (Engine, Seen) {
    let seen = Seen::default();
    let sink = Arc::clone(&seen);
    let note = move |difference: &Difference| {
        let kept = difference.reproduction.as_ref();
        let kept = kept.map(|kept| kept.as_ref().unwrap().clone());
        let Difference {
            policies, remedy, ..
        } = difference;
        let row = (difference.to_string(), policies.clone(), *remedy, kept);
        sink.lock().unwrap().push(row);
    };
    // Nothing is drawn in a test's time, so that only what is submitted is checked.
    let check = one_in(u32::MAX).on_difference(note);
    let check = match folder {
        Some(folder) => check.reproductions(folder),
        None => check,
    };
    let engine = Engine::builder()
        .policies_str(POLICIES)
        .links_json(LINKS)
        .entities_json(
            r#"[{"uid": {"type": "Doc", "id": "plan"}, "attrs": {}, "parents": []},
                {"uid": {"type": "User", "id": "ann"}, "attrs": {"a \"b\"": [1, {"c": "\n"}]},
                 "tags": {"t": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}},
                 "parents": [{"type": "Group", "id": "all"}]}]"#,
        )
        .self_check(check)
        .build()
        .unwrap();
    (engine, seen)
}

fn bind(engine: &Engine, context: &str) -> BoundRequest {
    let context = serde_json::from_str(context).unwrap();
    let uids = [r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"plan""#];
    let [principal, action, resource] = uids;
    engine
        .snapshot()
        .bind_json(principal, action, resource, &context, true)
        .unwrap()
}

fn index_of(engine: &Engine, id: &str) -> PolicyIndex {
    let snapshot = engine.snapshot();
    let found = snapshot.all_policies().find(|(_, policy)| policy.id == id);
    found.unwrap().0
}

/// Has an answer checked in which one policy came to this.
fn submit(engine: &Engine, request: &BoundRequest, outcomes: &[(&str, Effect, Outcome)]) {
    let mut given = Outcomes::default();
    for (id, effect, outcome) in outcomes {
        given.add(index_of(engine, id), *effect, *outcome);
    }
    let check = request.snapshot.check.as_ref().unwrap();
    check.submit(request, Given::Outcomes(given));
    engine.wait_checked();
}

fn stats(engine: &Engine) -> SelfCheckStats {
    engine.stats().self_check.unwrap()
}

const ENOUGH: &str = r#"{"level": 5, "least": 1}"#;

#[test]
fn right_answers_change_nothing() {
    let (engine, seen) = engine(None);
    let request = bind(&engine, ENOUGH);
    submit(
        &engine,
        &request,
        &[("policy0", Effect::Permit, Outcome::Satisfied)],
    );
    let check = request.snapshot.check.as_ref().unwrap();
    check.submit(&request, Given::Decision(Decision::Allow));
    engine.wait_checked();
    let expected = SelfCheckStats {
        checked: 2,
        ..SelfCheckStats::default()
    };
    assert_eq!(stats(&engine), expected);
    assert!(seen.lock().unwrap().is_empty());
}

#[test]
fn the_condition_that_was_wrong_is_interpreted_in_all_later_states() {
    let (engine, seen) = engine(None);
    let before = engine.stats().native_shapes;
    let request = bind(&engine, ENOUGH);
    submit(&engine, &request, &[]);
    {
        let seen = seen.lock().unwrap();
        let [(text, policies, remedy, None)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(policies, &["policy0"]);
        assert_eq!(*remedy, Remedy::Conditions);
        assert_eq!(
            text,
            "wrong answer to principal User::\"ann\", action Action::\"view\", resource \
             Doc::\"plan\": Deny (reasons [], errors []), where the interpreter says Allow (reasons \
             [\"policy0\"], errors []); policies that differ: [\"policy0\"]; from now on the \
             conditions of these policies are interpreted"
        );
    }
    assert_eq!(stats(&engine).interpreted_policies, 1);
    let interpreted = before - 1;
    assert_eq!(engine.stats().native_shapes, interpreted);
    let mut scratch = Scratch::default();
    assert_eq!(request.evaluate(&mut scratch).decision(), Decision::Allow);

    // Another policy, which has the tables built anew; and other entities, which renumber all.
    let more = Policy::parse(
        None,
        "forbid (principal, action, resource) when { 1 == context.x };",
    );
    let more = more.unwrap().new_id("more".parse().unwrap());
    engine.add_policy(more).unwrap();
    assert_eq!(engine.stats().native_shapes, interpreted + 1);
    engine.replace_entities(Entities::empty()).unwrap();
    assert_eq!(engine.stats().native_shapes, interpreted + 1);
    engine.replace_policies(&PolicySet::new()).unwrap();
    assert_eq!(engine.stats().native_shapes, 0);
}

#[test]
fn what_was_wrong_is_not_relied_on_by_the_engine_that_takes_the_place() {
    let (first, _) = engine(None);
    let native = first.stats().native_shapes;
    submit(&first, &bind(&first, ENOUGH), &[]);
    let build = |check: SelfCheck| {
        let builder = Engine::builder().policies_str(POLICIES).links_json(LINKS);
        builder.self_check(check).build().unwrap()
    };
    assert_eq!(build(one_in(7)).stats().native_shapes, native);
    let second = build(one_in(7).continuing(&first));
    assert_eq!(second.stats().native_shapes, native - 1);
    let expected = SelfCheckStats {
        interpreted_policies: 1,
        ..SelfCheckStats::default()
    };
    assert_eq!(stats(&second), expected);
    let third = build(one_in(7).continuing(&second));
    assert_eq!(third.stats().native_shapes, native - 1);
}

#[test]
fn fused_code_is_not_used_if_one_of_its_conditions_was_wrong() {
    let (engine, _) = engine(None);
    let request = bind(&engine, r#"{"level": 1, "least": 5}"#);
    assert!(request.warm_up());
    let relied_on = |request: &BoundRequest| {
        let fused = request.fused().unwrap();
        request.snapshot.is_relied_on(&fused.policies)
    };
    assert!(relied_on(&request));
    submit(&engine, &request, &[]);
    assert_eq!(stats(&engine).interpreted_policies, 1);
    assert!(!relied_on(&request));
    let mut scratch = Scratch::default();
    let evaluation = request.evaluate(&mut scratch);
    assert_eq!(evaluation.reasons().collect::<Vec<_>>(), ["policy1"]);
    assert_eq!(request.decide(&mut scratch), Decision::Deny);
    // Entities that change make another table, whose code is not made of that condition either.
    let entity = cedar_policy::Entity::new_no_attrs(r#"New::"e""#.parse().unwrap(), [].into());
    engine.update(|tx| tx.upsert_entity(entity)).unwrap();
    let again = bind(&engine, r#"{"level": 1, "least": 5}"#);
    assert!(!again.warm_up());
}

#[test]
fn a_wrong_decision_alone_is_noticed() {
    let (engine, seen) = engine(None);
    let request = bind(&engine, ENOUGH);
    let check = request.snapshot.check.as_ref().unwrap();
    check.submit(&request, Given::Decision(Decision::Deny));
    engine.wait_checked();
    let seen = seen.lock().unwrap();
    let [(text, _, Remedy::Conditions, None)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(
        text.contains(": Deny, where the interpreter says Allow (reasons"),
        "{text}"
    );
    assert_eq!(stats(&engine).differences, 1);
}

#[test]
fn a_difference_is_kept_as_a_test() {
    let folder = std::env::temp_dir().join(format!("cedarjit-check-{}", std::process::id()));
    let (engine, seen) = engine(Some(&folder));
    let request = bind(
        &engine,
        r#"{"level": 5, "least": 1, "o'clock": {"__extn": {"fn": "decimal", "arg": "1.5"}}}"#,
    );
    submit(&engine, &request, &[]);
    let kept = seen.lock().unwrap()[0].3.clone().unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let test: serde_json::Value = serde_json::from_str(&read(&kept)).unwrap();
    let asked = &test["requests"][0];
    assert_eq!(asked["decision"], "allow");
    assert_eq!(asked["reason"], serde_json::json!(["policy1"]));
    assert_eq!(asked["context"]["o'clock"]["__extn"]["arg"], "1.5000");
    let file = |key: &str| read(&folder.join(test[key].as_str().unwrap()));
    // The template comes first, and the link's name is no policy's.
    assert!(file("policies").starts_with("// policy0: policy2\n"));
    assert!(file("templateLinked").contains("link policy7"));
    // What was written makes an engine that says so, too.
    let replayed = Engine::builder()
        .policies_str(file("policies"))
        .links_json(file("templateLinked"))
        .entities_json(file("entities"))
        .build()
        .unwrap();
    assert_eq!(replayed.stats().entities, engine.stats().entities);
    let response = replayed
        .is_authorized_json(
            r#"User::"ann""#,
            r#"Action::"view""#,
            r#"Doc::"plan""#,
            &asked["context"].to_string(),
            true,
        )
        .unwrap();
    let reasons: Vec<&str> = response.diagnostics().reason().collect();
    assert_eq!(reasons, ["policy1"]);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_comes_too_fast_is_dropped_and_counted() {
    let (engine, _) = engine(None);
    let request = bind(&engine, ENOUGH);
    let check = request.snapshot.check.as_ref().unwrap();
    let submitted = 100_000;
    for _ in 0..submitted {
        check.submit(&request, Given::Decision(Decision::Allow));
    }
    engine.wait_checked();
    let stats = stats(&engine);
    assert!(stats.dropped > 0);
    assert_eq!(stats.checked + stats.dropped, submitted);
}

#[test]
fn a_callback_that_panics_stops_nothing() {
    let engine = Engine::builder()
        .policies_str(POLICIES)
        .self_check(one_in(u32::MAX).on_difference(|_| panic!("a callback that fails")))
        .build()
        .unwrap();
    let request = bind(&engine, ENOUGH);
    for _ in 0..2 {
        submit(&engine, &request, &[]);
    }
    assert_eq!(stats(&engine).differences, 2);
}

#[test]
fn the_checker_goes_with_the_engine() {
    let (engine, seen) = engine(None);
    let held = Arc::downgrade(&seen);
    drop((engine, seen));
    let started = std::time::Instant::now();
    while held.upgrade().is_some() {
        assert!(started.elapsed().as_secs() < 30, "the checker stays");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
