//! Engines whose code is generated while they answer.

use cedar_policy::{Context, Entities, EntityUid, Policy, PolicyId, Request};
use cedarjit::{CompileMode, Decision, Engine, JitMode, Scratch, Tier};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Enough to take the code generator a while.
const SHAPES: usize = 1_000;

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

/// Policies of distinct shapes: each reads an attribute of its own. Only the one called `open`
/// holds.
fn policies(count: usize) -> String {
    let mut text = String::from("@id(\"open\") permit (principal, action, resource);\n");
    for i in 1..count {
        let _ = writeln!(
            text,
            "forbid (principal, action, resource)
             when {{ context has a{i} && context.a{i} + {i} > 7 && context.a{i}.contains(1) }};"
        );
    }
    text
}

fn build(mode: CompileMode) -> Engine {
    let builder = Engine::builder().policies_str(policies(SHAPES));
    builder.compile(mode).build().unwrap()
}

fn request() -> Request {
    let (ann, view, plan) = (
        uid(r#"User::"ann""#),
        uid(r#"Action::"view""#),
        uid(r#"Doc::"plan""#),
    );
    Request::new(ann, view, plan, Context::empty(), None).unwrap()
}

fn answers(engine: &Engine) {
    let response = engine.is_authorized(&request());
    assert_eq!(response.decision(), Decision::Allow);
    let reasons: Vec<_> = response.diagnostics().reason().collect();
    assert_eq!(reasons, ["open"]);
    assert_eq!(response.diagnostics().errors().count(), 0);
}

fn all_native(engine: &Engine, shapes: usize) {
    assert!(matches!(engine.tier(), Tier::Native), "{}", engine.tier());
    let stats = engine.stats();
    let counts = (stats.shapes, stats.native_shapes, stats.pending_shapes);
    assert_eq!(counts, (shapes, shapes, 0));
    assert!(stats.code_bytes > shapes);
}

#[test]
fn an_engine_answers_while_its_code_is_generated() {
    let engine = build(CompileMode::Background);
    let mut before = engine.stats();
    assert_eq!(before.shapes, SHAPES);
    assert!(before.pending_shapes > 0, "{before:?}");
    assert!(matches!(engine.tier(), Tier::Compiling));
    while before.pending_shapes > 0 {
        answers(&engine);
        let now = engine.stats();
        assert!(now.native_shapes >= before.native_shapes);
        assert!(now.code_bytes >= before.code_bytes);
        assert!(now.compile_time >= before.compile_time);
        before = now;
    }
    // The last batch may be seen before it is counted.
    engine.wait_native();
    all_native(&engine, SHAPES);
    assert!(engine.stats().compile_time > Duration::ZERO);
    answers(&engine);
}

#[test]
fn who_waits_sees_native_code() {
    all_native(&build(CompileMode::Wait), SHAPES);
    let engine = build(CompileMode::Background);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| engine.wait_native());
        }
    });
    all_native(&engine, SHAPES);
    engine.wait_native();
    let interpreted = Engine::builder().policies_str(policies(10));
    let interpreted = interpreted.compile(CompileMode::Background);
    let interpreted = interpreted.jit(JitMode::Off).build().unwrap();
    interpreted.wait_native();
    let stats = interpreted.stats();
    assert_eq!((stats.native_shapes, stats.pending_shapes), (0, 0));
    answers(&interpreted);
}

#[test]
fn a_changed_engine_takes_over_code_also_what_is_still_to_come() {
    let engine = build(CompileMode::Background);
    let first = engine.snapshot();
    let request = first.bind(&request()).unwrap();
    for i in 0..5 {
        let id = Some(PolicyId::new(format!("late{i}")));
        let text = format!("permit (principal, action, resource) when {{ context.late{i} }};");
        let earlier = engine.stats().native_shapes;
        engine.add_policy(Policy::parse(id, text).unwrap()).unwrap();
        assert!(engine.stats().native_shapes >= earlier);
        assert_eq!(
            engine
                .is_authorized(&self::request())
                .diagnostics()
                .errors()
                .count(),
            i + 1
        );
    }
    engine.wait_native();
    all_native(&engine, SHAPES + 5);
    // Code that was generated for the last state serves the first.
    assert_eq!(first.stats().native_shapes, SHAPES);
    let mut scratch = Scratch::default();
    assert_eq!(request.evaluate(&mut scratch).decision(), Decision::Allow);
    // Entities number everything anew, so nothing is taken over.
    engine.replace_entities(Entities::empty()).unwrap();
    engine.wait_native();
    all_native(&engine, SHAPES + 5);
}

/// The threads of this process that compile, where the system tells.
fn compiling_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let names = tasks.flatten().filter_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        name.starts_with("cedarjit-jobs").then_some(())
    });
    names.count()
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_dropped_engine_is_forgotten() {
    let engines: Vec<Engine> = (0..5).map(|_| build(CompileMode::Background)).collect();
    let snapshots: Vec<_> = engines
        .iter()
        .map(|e| Arc::downgrade(&e.snapshot()))
        .collect();
    // The first may be done by now.
    assert!(engines.last().unwrap().stats().pending_shapes > 0);
    drop(engines);
    // At most what is being compiled just now is still held.
    eventually("snapshots stay", || {
        snapshots.iter().all(|s| s.upgrade().is_none())
    });
    // Other tests of this process compile too, and end.
    eventually("threads stay", || compiling_threads() == 0);
}
