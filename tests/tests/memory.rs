//! Building and dropping engines leaves nothing behind, neither memory nor mappings, and code is
//! never writable and executable at once.
//!
//! Looks into `/proc/self`; says that it skips where there is none.

use cedar_policy::{Context, Entities, EntityUid, Request};
use cedarjit::{CompileMode, Decision, Engine, Tier};
use std::fs::read_to_string;
use std::time::{Duration, Instant};

/// How many engines are built and dropped.
const ENGINES: usize = if cfg!(debug_assertions) { 300 } else { 10_000 };

/// How many of them until the allocator has what it will need.
const WARM_UP: usize = ENGINES / 10;

/// How much the resident memory may grow after that. One engine's code and tables are some tens of
/// kilobytes: a leak of a single page in each of 9,000 would be 36 MB.
const GROWTH_KIB: usize = 12 << 10;

const POLICIES: &str = r#"
permit (principal in Team::"core", action == Action::"view", resource);
permit (principal, action, resource)
    when { context.n * 2 > principal.age && ["a", "b"].contains(context.s) };
forbid (principal, action, resource) when { ip(context.ip).isLoopback() };
"#;

const ENTITIES: &str = r#"[
{"uid": {"type": "User", "id": "ann"}, "attrs": {"age": 41, "langs": ["de", "en"]},
 "parents": [{"type": "Team", "id": "core"}]},
{"uid": {"type": "Team", "id": "core"}, "attrs": {}, "parents": []}
]"#;

/// The resident memory in KiB and the number of mappings.
fn usage() -> Option<(usize, usize)> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let resident = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    let maps = read_to_string("/proc/self/maps").ok()?;
    Some((resident, maps.lines().count()))
}

/// The permissions of all mappings.
fn permissions() -> Vec<String> {
    let maps = read_to_string("/proc/self/maps").unwrap_or_default();
    let of_line = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    maps.lines().filter_map(of_line).collect()
}

fn request() -> Request {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let context = r#"{"n": 30, "s": "a", "ip": "10.0.0.1"}"#;
    Request::new(
        uid(r#"User::"ann""#),
        uid(r#"Action::"view""#),
        uid(r#"Doc::"d""#),
        Context::from_json_str(context, None).unwrap(),
        None,
    )
    .unwrap()
}

/// Every third engine compiles in the background, and most of these are dropped before they have
/// all their code.
fn build(number: usize) -> Engine {
    let entities = Entities::from_json_str(ENTITIES, None).unwrap();
    let engine = Engine::builder().policies_str(POLICIES).entities(entities);
    let mode = match number % 3 {
        1 => CompileMode::Background,
        _ => CompileMode::Wait,
    };
    engine.compile(mode).build().unwrap()
}

/// Waits until what is compiled in the background for dropped engines is gone.
fn settle(count_code: impl Fn() -> usize, expected: usize) {
    let started = Instant::now();
    while count_code() != expected && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One test, since both look at the whole process.
#[test]
fn engines_leave_nothing_behind_and_code_is_never_writable() {
    let Some(_) = usage() else {
        println!("SKIPPED: there is no /proc/self here");
        return;
    };
    let request = request();
    let writable_code = |p: &String| p.contains('w') && p.contains('x');
    let count_code = || permissions().iter().filter(|p| p.contains('x')).count();
    let code_of_program = count_code();
    let mut warm = None;
    for i in 0..ENGINES {
        let engine = build(i);
        let response = engine.is_authorized(&request);
        assert_eq!(response.decision(), Decision::Allow);
        drop(response);
        if i % WARM_UP == 0 {
            engine.wait_native();
            let native = matches!(engine.tier(), Tier::Native);
            assert!(native, "{}", engine.tier());
            assert!(count_code() > code_of_program, "code must be mapped");
            assert!(!permissions().iter().any(writable_code));
        }
        drop(engine);
        if i == WARM_UP {
            settle(count_code, code_of_program);
            warm = usage();
        }
    }
    settle(count_code, code_of_program);
    let (before, after) = (warm.unwrap(), usage().unwrap());
    println!("after {WARM_UP} and {ENGINES} engines: {before:?} and {after:?} KiB and mappings");
    assert_eq!(count_code(), code_of_program, "all code must be unmapped");
    assert!(after.0 < before.0 + GROWTH_KIB, "resident memory grows");
    assert!(after.1 <= before.1 + 8, "mappings pile up");
}
