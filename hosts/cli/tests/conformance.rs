//! `conformance`: what it prints and how it ends.

mod common;

use common::{file, run, scratch, tinytodo};

/// A suite of one test on the shipped example, whose request is expected to be answered so.
fn suite(name: &str, decision: &str) -> String {
    let folder = scratch(name);
    std::fs::create_dir_all(&folder).unwrap();
    for part in ["policies.cedar", "tinytodo.cedarschema", "entities.json"] {
        std::fs::copy(tinytodo(part), folder.join(part)).unwrap();
    }
    let test = format!(
        r#"{{"policies": "policies.cedar", "entities": "entities.json",
            "schema": "tinytodo.cedarschema", "shouldValidate": true, "requests": [{{
                "description": "interns never create a list",
                "principal": {{"type": "User", "id": "dinesh"}},
                "action": {{"type": "Action", "id": "CreateList"}},
                "resource": {{"type": "Application", "id": "TinyTodo"}},
                "context": {{"now": "2025-06-02T09:00:00Z", "address": "10.20.3.4"}},
                "decision": "{decision}", "reason": ["policy5"], "errors": []}}]}}"#
    );
    std::fs::write(folder.join("test.json"), test).unwrap();
    folder.display().to_string()
}

#[test]
fn a_suite_that_passes() {
    let run = run(&["conformance", &suite("conformance-good", "deny")]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("1 tests, 1 requests"), "{run:?}");
    assert!(run.stdout.contains("0 mismatches"), "{run:?}");
    for engine in ["cedar", "native", "interpreter", "index-off"] {
        assert!(run.stdout.contains(engine), "{run:?}");
    }
    assert_eq!(run.stderr, "", "no progress bar off a terminal");
}

#[test]
fn a_mismatch_comes_with_a_command_that_shows_it_again() {
    let suite = suite("conformance-wrong", "allow");
    let all = run(&["conformance", &suite]);
    assert_eq!(all.code, Some(1), "{all:?}");
    assert!(
        all.stdout.contains("interns never create a list"),
        "{all:?}"
    );
    assert!(
        all.stdout.contains("expected: allow, reasons [policy5]"),
        "{all:?}"
    );
    let again = format!("cedarjit conformance {suite} --test test.json --request 0");
    assert!(all.stdout.contains(&again), "{all:?}");
    let args: Vec<_> = again
        .split(' ')
        .skip(1)
        .chain(["--engine", "native"])
        .collect();
    let one = run(&args);
    assert_eq!(one.code, Some(1));
    assert!(
        one.stdout.contains("1 mismatches (engines: native)"),
        "{one:?}"
    );
}

#[test]
fn nonsense_is_refused() {
    let good = suite("conformance-nonsense", "deny");
    let conformance = |args: &[&str]| run(&[&["conformance"], args].concat());
    conformance(&["/no/such/suite"]).assert_fails_saying(&["/no/such/suite"]);
    conformance(&[&good, "--test", "other.json"]).assert_fails_saying(&["no test"]);
    conformance(&[&good, "--request", "7"]).assert_fails_saying(&["0 requests"]);
    conformance(&[&good, "--engine", "steam"]).assert_fails_saying(&["steam", "native"]);
    conformance(&[]).assert_fails_saying(&["DIR|FILE"]);
    let broken = file("conformance-broken.json", "{");
    conformance(&[&broken]).assert_fails_saying(&["conformance-broken.json", "not JSON"]);
}
