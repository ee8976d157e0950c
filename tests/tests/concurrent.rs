//! Readers decide while a writer replaces policies and entities.
//!
//! Every state that the writer puts in place gives the same answers but for one policy's id, which
//! names the state; a reader that saw parts of two states would answer what no state answers.

use cedar_policy::{Context, Entities, EntityUid, PolicySet, Request};
use cedarjit::{Decision, Engine, Scratch};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const READERS: usize = 3;

/// How many states the writer puts in place.
const STATES: usize = if cfg!(debug_assertions) { 40 } else { 200 };

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

/// Ann may view what is in the state's own folder; anybody of the even team, the plan.
fn policies(state: usize) -> PolicySet {
    let text = format!(
        r#"
        @id("everyone{state}") permit (principal, action, resource) when {{ principal.age > 40 }};
        @id("team") permit (principal in Team::"even", action, resource);
        @id("never{state}") forbid (principal == User::"s{state}", action, resource);
        "#
    );
    cedarjit_frontend::load::parse_policies(&text, "test").unwrap()
}

fn entities(state: usize) -> Entities {
    let team = if state.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    let json = format!(
        r#"[{{"uid": {{"type": "User", "id": "ann"}}, "attrs": {{"age": {}}},
              "parents": [{{"type": "Team", "id": "{team}"}}]}},
            {{"uid": {{"type": "User", "id": "extra{state}"}}, "attrs": {{}}, "parents": []}}]"#,
        41 + state
    );
    Entities::from_json_str(&json, None).unwrap()
}

fn request() -> Request {
    let (ann, view, plan) = (
        uid(r#"User::"ann""#),
        uid(r#"Action::"view""#),
        uid(r#"Doc::"plan""#),
    );
    Request::new(ann, view, plan, Context::empty(), None).unwrap()
}

/// The state that an answer's reasons name; panics if no state gives these reasons.
fn state_of(reasons: &BTreeSet<String>) -> usize {
    let mut states = reasons.iter().filter_map(|id| id.strip_prefix("everyone"));
    let state = states.next().and_then(|state| state.parse().ok());
    assert_eq!(states.next(), None, "two states at once: {reasons:?}");
    assert!(
        reasons
            .iter()
            .all(|id| id == "team" || id.starts_with("everyone"))
    );
    state.unwrap_or_else(|| panic!("no state: {reasons:?}"))
}

fn read(engine: &Engine, done: &AtomicBool, decided: &AtomicUsize) {
    let request = request();
    let mut scratch = Scratch::default();
    let mut latest = 0;
    while !done.load(Ordering::Relaxed) {
        let response = engine.is_authorized(&request);
        assert_eq!(response.decision(), Decision::Allow);
        let reasons = response.diagnostics().reason().map(str::to_owned).collect();
        let state = state_of(&reasons);
        assert!(state >= latest, "a state came back");
        latest = state;

        let bound = engine.snapshot().bind(&request).unwrap();
        for _ in 0..3 {
            // However long a snapshot is held, it answers the same.
            let evaluation = bound.evaluate(&mut scratch);
            assert_eq!(evaluation.decision(), Decision::Allow);
            let first: BTreeSet<String> = evaluation.reasons().map(str::to_owned).collect();
            let again = bound.interpret(&mut scratch);
            assert_eq!(first, again.reasons().map(str::to_owned).collect());
            thread::yield_now();
        }
        decided.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_whole_states() {
    let engine = Engine::builder()
        .policies(&policies(0))
        .entities(entities(0))
        .build()
        .unwrap();
    let (done, decided) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..READERS {
            let engine = engine.clone();
            scope.spawn(|| {
                let engine = engine;
                read(&engine, &done, &decided);
            });
        }
        // Also when the writer fails, so that the readers end.
        let writer = scope.spawn(|| {
            for state in 1..=STATES {
                engine.replace_policies(&policies(state)).unwrap();
                engine.replace_entities(entities(state)).unwrap();
            }
        });
        let result = writer.join();
        done.store(true, Ordering::Relaxed);
        assert!(result.is_ok());
    });
    assert!(decided.load(Ordering::Relaxed) > 0);
    let response = engine.is_authorized(&request());
    let reasons = response.diagnostics().reason().map(str::to_owned).collect();
    assert_eq!(state_of(&reasons), STATES);
}

#[test]
fn engines_are_built_and_dropped_on_many_threads() {
    thread::scope(|scope| {
        for reader in 0..READERS {
            scope.spawn(move || {
                for state in 0..STATES / 10 {
                    let state = reader * STATES + state;
                    let engine = Engine::builder()
                        .policies(&policies(state))
                        .entities(entities(state))
                        .build()
                        .unwrap();
                    let response = engine.is_authorized(&request());
                    let reasons = response.diagnostics().reason().map(str::to_owned);
                    assert_eq!(state_of(&reasons.collect()), state);
                    drop(engine);
                    // A response holds what it was decided on.
                    assert_eq!(response.decision(), Decision::Allow);
                }
            });
        }
    });
}
