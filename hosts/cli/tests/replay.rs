//! `replay`: answers, in order, from every engine; invalid requests; times.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use common::{cedarjit, file, on_tinytodo, run, run_with_stdin, tinytodo};
use serde_json::Value;

const ENGINES: [&str; 3] = ["native", "interpreter", "cedar"];

/// A valid request that is allowed.
const GOOD: &str = r#"{"principal": "User::\"emil\"", "action": "Action::\"CreateList\"", "resource": "Application::\"TinyTodo\"", "context": {"now": "2025-06-02T09:00:00Z", "address": "10.20.3.4"}, "comment": "other keys are ignored"}"#;
const GOOD_ANSWER: &str = r#"{"decision":"allow","reason":["anyone-may-start"],"errors":[]}"#;

fn replay(engine: &str, more: &[&str]) -> Vec<String> {
    on_tinytodo("replay", &[&["--engine", engine], more].concat())
}

#[test]
fn every_engine_gives_the_recorded_answers() {
    let expected = fs::read_to_string(tinytodo("expected.jsonl")).unwrap();
    for engine in ENGINES {
        let run = run(&replay(
            engine,
            &["--requests", &tinytodo("requests.jsonl")],
        ));
        assert_eq!(run.code, Some(0), "{engine}: {run:?}");
        assert_eq!(run.stdout, expected, "{engine}");
        assert_eq!(run.stderr, "", "{engine}");
    }
}

#[test]
fn native_is_the_default() {
    let requests = tinytodo("requests.jsonl");
    let run = run(&on_tinytodo(
        "replay",
        &["--timing", "--requests", &requests],
    ));
    let times: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(times["engine"], "native");
}

#[test]
fn an_invalid_request_gets_an_error_line_and_the_rest_runs() {
    let with = |from: &str, to: &str| GOOD.replace(from, to);
    let cases: &[(String, &[&str])] = &[
        (String::new(), &["JSON"]),
        ("{\"principal\": ".to_owned(), &["JSON", "column"]),
        ("[1, 2]".to_owned(), &["JSON"]),
        ("null".to_owned(), &["JSON"]),
        (with("\"resource\"", "\"resouce\""), &["no resource"]),
        (with("\"context\"", "\"contxt\""), &["`context`"]),
        (with(r#"User::\"emil\""#, "emil"), &["principal `emil`"]),
        (with("CreateList", "Dance"), &["Dance"]),
        (with(r#"User::\"emil\""#, r#"Team::\"company\""#), &["Team"]),
        (with("10.20.3.4", "10.20.3.400"), &["10.20.3.400"]),
        (with("\"10.20.3.4\"", "7"), &["expected string, got long"]),
        (with("\"address\"", "\"addresses\""), &["address"]),
        (with("TinyTodo", "HugeTodo"), &["HugeTodo"]),
        ("[".repeat(100_000), &["JSON"]),
        (
            with("emil", &"(".repeat(100_000)).replace("User::", ""),
            &["principal"],
        ),
    ];
    let mut lines = String::new();
    for (case, _) in cases {
        lines += &format!("{case}\n{GOOD}\n");
    }
    let requests = file("replay-invalid.jsonl", lines);
    for engine in ENGINES {
        let run = run(&replay(engine, &["--requests", &requests]));
        assert_eq!(run.code, Some(0), "{engine}: {}", run.stderr);
        let answers: Vec<_> = run.stdout.lines().collect();
        assert_eq!(answers.len(), 2 * cases.len(), "{engine}");
        for (pair, (case, words)) in answers.chunks(2).zip(cases) {
            let answer: Value = serde_json::from_str(pair[0]).unwrap();
            let error = answer["error"].as_str();
            let error = error.unwrap_or_else(|| panic!("{engine}: {case}: {answer}"));
            for word in *words {
                assert!(error.contains(word), "{engine}: {case}: {error}");
            }
            assert_eq!(answer.as_object().unwrap().len(), 1);
            assert_eq!(pair[1], GOOD_ANSWER);
        }
    }
}

#[test]
fn errors_of_requests_read_the_same_from_every_engine() {
    let bad = [
        GOOD.replace("CreateList", "Dance"),
        GOOD.replace("10.20.3.4", "nowhere"),
        GOOD.replace("emil", "\\\"\""),
    ];
    let requests = file("replay-same.jsonl", bad.join("\n"));
    let outputs = ENGINES.map(|engine| run(&replay(engine, &["--requests", &requests])).stdout);
    assert_eq!(outputs[0].lines().count(), 3);
    assert_eq!(outputs[0], outputs[2]);
    assert_eq!(outputs[1], outputs[2]);
}

#[test]
fn lines_that_are_not_utf8_and_windows_line_ends() {
    let mut bytes = b"\xff\xfe\n".to_vec();
    bytes.extend(GOOD.bytes().chain(*b"\r\n"));
    bytes.extend(GOOD.bytes());
    let requests = file("replay-bytes.jsonl", bytes);
    let run = run(&replay("cedar", &["--requests", &requests]));
    let answers: Vec<_> = run.stdout.lines().collect();
    assert_eq!(answers.len(), 3);
    assert!(answers[0].contains("not UTF-8"), "{}", answers[0]);
    assert_eq!(answers[1..], [GOOD_ANSWER, GOOD_ANSWER]);
}

#[test]
fn without_requests_there_are_no_answers() {
    let requests = file("replay-empty.jsonl", "");
    let run = run(&replay("native", &["--requests", &requests, "--timing"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    let times: Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(times["requests"], 0);
}

#[test]
fn without_a_schema_nothing_is_validated() {
    let args = [
        "replay",
        "--policies",
        &file(
            "replay-plain.cedar",
            "permit (principal, action, resource);",
        ),
        "--entities",
        &file("replay-plain.json", "[]"),
        "--requests",
        &file(
            "replay-plain.jsonl",
            r#"{"principal": "A::\"a\"", "action": "Action::\"b\"", "resource": "C::\"c\"", "context": {"x": 1}}"#,
        ),
    ];
    let answer = "{\"decision\":\"allow\",\"reason\":[\"policy0\"],\"errors\":[]}\n";
    assert_eq!(run(&args).stdout, answer);
}

#[test]
fn request_validation_can_be_switched_off() {
    let line = GOOD.replace(r#"User::\"emil\""#, r#"Team::\"company\""#);
    let requests = file("replay-unvalidated.jsonl", line);
    for engine in ENGINES {
        let more = ["--requests", &requests, "--request-validation", "false"];
        assert_eq!(run(&replay(engine, &more)).stdout.trim(), GOOD_ANSWER);
    }
}

#[test]
fn timing_reports_every_phase() {
    let requests = tinytodo("requests.jsonl");
    for engine in ENGINES {
        let more = ["--requests", &requests, "--timing", "--repeat", "3"];
        let run = run(&replay(engine, &more));
        let expected = fs::read_to_string(tinytodo("expected.jsonl")).unwrap();
        assert_eq!(
            run.stdout, expected,
            "answers come once, however often they are measured"
        );
        assert_eq!(run.stderr.lines().count(), 1);
        let times: Value = serde_json::from_str(&run.stderr).unwrap();
        for phase in ["bind", "evaluate", "total"] {
            assert!(
                times[phase].as_f64().unwrap() > 0.0,
                "{engine} {phase}: {times}"
            );
        }
        assert!(times["load_ns"].as_u64().unwrap() > 0);
        assert!(times["compile_ns"].is_u64());
        assert_eq!(times["engine"], engine);
        assert_eq!(times["repeat"], 3);
        assert_eq!(times["requests"], 20);
        if cfg!(target_os = "linux") {
            assert!(times["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
        }
    }
}

#[test]
fn requests_come_from_stdin_and_answers_do_not_wait() {
    let mut child = cedarjit()
        .args(replay("native", &["--requests", "-"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        // The answer is there before the next request is sent.
        writeln!(stdin, "{GOOD}").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), GOOD_ANSWER);
    }
    drop(stdin);
    assert!(answers.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn stdin_holds_either_policies_or_requests() {
    let entities = tinytodo("entities.json");
    let requests = file("replay-one.jsonl", GOOD);
    let both = ["replay", "--entities", &entities, "--requests", "-"];
    run_with_stdin(&both, b"").assert_fails_saying(&["stdin", "--policies"]);
    let policies = ["replay", "--entities", &entities, "--requests", &requests];
    let run = run_with_stdin(&policies, b"permit (principal, action, resource);");
    assert!(run.stdout.contains("policy0"), "{run:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    // More answers than fit into a pipe and our buffer.
    let many = format!("{GOOD}\n").repeat(4000);
    let requests = file("replay-many.jsonl", many);
    for more in [&[][..], &["--timing"]] {
        let mut child = cedarjit()
            .args(replay(
                "native",
                &[&["--requests", &requests], more].concat(),
            ))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 8];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), more.len(), "{said}");
    }
}

#[test]
fn a_reader_of_another_verb_may_go_away_too() {
    let mut child = cedarjit()
        .args(["format", "-p", &tinytodo("policies.cedar")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
}
