//! The verbs of the `cedar` command line, on the shipped example: what they print and how they end.

mod common;

use common::{file, on_tinytodo, run, run_with_stdin, scratch, tinytodo};
use std::sync::LazyLock;

const CONTEXT: &str = r#"{"now": "2025-06-02T09:00:00Z", "address": "10.20.3.4"}"#;

fn request(principal: &str, action: &str, resource: &str) -> Vec<String> {
    // Written once: tests run side by side, and read it meanwhile.
    static FILE: LazyLock<String> = LazyLock::new(|| file("verbs-context.json", CONTEXT));
    let context: &str = &FILE;
    [
        "--principal",
        principal,
        "--action",
        action,
        "--resource",
        resource,
        "--context",
        context,
    ]
    .map(str::to_owned)
    .to_vec()
}

fn authorize(principal: &str, action: &str, resource: &str, more: &[&str]) -> common::Run {
    let mut args = on_tinytodo("authorize", more);
    args.extend(request(principal, action, resource));
    run(&args)
}

const TINYTODO: &str = r#"Application::"TinyTodo""#;
const CREATE: &str = r#"Action::"CreateList""#;

#[test]
fn authorize_allows_with_0_and_denies_with_2() {
    let allowed = authorize(r#"User::"emil""#, CREATE, TINYTODO, &[]);
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert_eq!(allowed.stdout, "\nALLOW\n");
    let denied = authorize(r#"User::"dinesh""#, CREATE, TINYTODO, &[]);
    assert_eq!(denied.code, Some(2), "{denied:?}");
    assert_eq!(denied.stdout, "\nDENY\n");
}

#[test]
fn authorize_tells_reasons_errors_and_times() {
    let verbose = authorize(r#"User::"dinesh""#, CREATE, TINYTODO, &["--verbose"]);
    assert_eq!(
        verbose.stdout,
        "\nDENY\n\nnote: this decision was due to the following policies:\n  interns-never-create\n\n"
    );
    let get = r#"Action::"GetList""#;
    let failing = authorize(
        r#"User::"bjorn""#,
        get,
        r#"List::"shopping""#,
        &["-v", "-t"],
    );
    let mut lines = failing.stdout.lines();
    assert_eq!(lines.next(), Some(""));
    let time = lines.next().unwrap();
    assert!(
        time.starts_with("Authorization Time (micro seconds) : "),
        "{time}"
    );
    let missing = r#"entity `List::"shopping"` does not exist"#;
    let expected = [
        "DENY".to_owned(),
        String::new(),
        format!("error while evaluating policy `owner-may-do-all`: {missing}"),
        format!("error while evaluating policy `readers-may-read`: {missing}"),
        format!("error while evaluating policy `manager-may-read`: {missing}"),
        String::new(),
        "note: no policies applied to this request".to_owned(),
    ];
    assert_eq!(lines.collect::<Vec<_>>(), expected);
}

#[test]
fn authorize_takes_a_request_in_json() {
    let request = format!(
        r#"{{"principal": "User::\"emil\"", "action": "Action::\"CreateList\"",
            "resource": "Application::\"TinyTodo\"", "context": {CONTEXT}}}"#
    );
    let request = file("verbs-request.json", request);
    let run = run(&on_tinytodo("authorize", &["--request-json", &request]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "\nALLOW\n"));
}

#[test]
fn validate_passes_with_0_and_fails_with_3() {
    let schema = tinytodo("tinytodo.cedarschema");
    let links = tinytodo("links.json");
    let policies = tinytodo("policies.cedar");
    let good = run(&["validate", "-s", &schema, "-p", &policies, "-k", &links]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(good.stdout.contains("no errors or warnings"), "{good:?}");
    let wrong = file(
        "verbs-wrong.cedar",
        "permit (principal, action, resource is List) when { resource.nmae == \"\" };",
    );
    let bad = run(&["validate", "-s", &schema, "-p", &wrong]);
    assert_eq!(bad.code, Some(3), "{bad:?}");
    assert!(bad.stdout.contains("nmae"), "{bad:?}");
}

#[test]
fn check_parse() {
    let args = on_tinytodo("check-parse", &["--expression", "1 + 1"]);
    assert_eq!(run(&args).code, Some(0));
    run(&["check-parse", "--expression", "1 +"]).assert_fails_saying(&["unexpected end of input"]);
    let good = run_with_stdin(&["check-parse"], b"permit (principal, action, resource);");
    assert_eq!(good.code, Some(0), "{good:?}");
    run_with_stdin(&["check-parse"], b"permit (principal);").assert_fails_saying(&["<stdin>"]);
}

#[test]
fn format_knows_what_is_formatted() {
    let policies = tinytodo("policies.cedar");
    assert_eq!(run(&["format", "--check", "-p", &policies]).code, Some(0));
    let crooked = b"permit(principal,action,resource);";
    let formatted = run_with_stdin(&["format"], crooked);
    assert_eq!(formatted.stdout, "permit (principal, action, resource);\n");
    assert_eq!(
        run_with_stdin(&["format", "--check"], crooked).code,
        Some(1)
    );
}

#[test]
fn link_adds_to_the_file_of_links() {
    let links = scratch("verbs-links.json");
    let _ = std::fs::remove_file(&links);
    let links = links.display().to_string();
    let link = |arguments: &str| {
        run(&[
            "link",
            "-p",
            &tinytodo("policies.cedar"),
            "-k",
            &links,
            "--template-id",
            "share-list",
            "--new-id",
            "share-launch-with-amara",
            "--arguments",
            arguments,
        ])
    };
    link(r#"{"?principal": "User::\"amara\""}"#).assert_fails_saying(&["?resource"]);
    let both = r#"{"?principal": "User::\"amara\"", "?resource": "List::\"launch\""}"#;
    let linked = link(both);
    assert_eq!(linked.code, Some(0), "{linked:?}");
    let written = std::fs::read_to_string(&links).unwrap();
    assert!(written.contains("share-launch-with-amara"), "{written}");
}

#[test]
fn evaluate_and_language_version() {
    let entities = tinytodo("entities.json");
    let schema = tinytodo("tinytodo.cedarschema");
    let mut args = vec!["evaluate".to_owned(), "--schema".to_owned(), schema];
    args.extend(["--entities".to_owned(), entities]);
    args.extend(request(r#"User::"emil""#, CREATE, TINYTODO));
    args.push(r#"principal in Team::"company" && context.address.isIpv4()"#.to_owned());
    let evaluated = run(&args);
    assert_eq!(evaluated.code, Some(0), "{evaluated:?}");
    assert_eq!(evaluated.stdout.trim(), "true");
    assert!(
        run(&["language-version"])
            .stdout
            .starts_with("Cedar language version: ")
    );
}

#[test]
fn translations_lead_to_the_same_decisions() {
    let policies = tinytodo("policies.cedar");
    let translate = [
        "translate-policy",
        "--direction",
        "cedar-to-json",
        "-p",
        &policies,
    ];
    let policies = file("verbs-policies.json", run(&translate).stdout);
    let schema = tinytodo("tinytodo.cedarschema");
    let translate = [
        "translate-schema",
        "--direction",
        "cedar-to-json",
        "-s",
        &schema,
    ];
    let schema = file("verbs-schema.json", run(&translate).stdout);
    let replayed = run(&[
        "replay",
        "--policies",
        &policies,
        "--policy-format",
        "json",
        "--template-linked",
        &tinytodo("links.json"),
        "--schema",
        &schema,
        "--schema-format",
        "json",
        "--entities",
        &tinytodo("entities.json"),
        "--requests",
        &tinytodo("requests.jsonl"),
    ]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let expected = std::fs::read_to_string(tinytodo("expected.jsonl")).unwrap();
    assert_eq!(replayed.stdout, expected);
}

#[test]
fn run_tests_passes_and_fails() {
    let test = |decision: &str| {
        let entities = std::fs::read_to_string(tinytodo("entities.json")).unwrap();
        file(
            &format!("verbs-tests-{decision}.json"),
            format!(
                r#"[{{"name": "interns", "decision": "{decision}", "num_errors": 0,
                    "reason": ["interns-never-create"], "entities": {entities},
                    "request": {{"principal": "User::\"dinesh\"",
                        "action": "Action::\"CreateList\"",
                        "resource": "Application::\"TinyTodo\"", "context": {CONTEXT}}}}}]"#
            ),
        )
    };
    let run_tests = |tests: &str| {
        let policies = tinytodo("policies.cedar");
        let schema = tinytodo("tinytodo.cedarschema");
        run(&[
            "run-tests",
            "-p",
            &policies,
            "-s",
            &schema,
            "--tests",
            tests,
        ])
    };
    let passed = run_tests(&test("deny"));
    assert_eq!(passed.code, Some(0), "{passed:?}");
    let failed = run_tests(&test("allow"));
    assert_eq!(failed.code, Some(1), "{failed:?}");
}

#[test]
fn visualize_and_new() {
    let graph = run(&["visualize", "--entities", &tinytodo("entities.json")]);
    assert_eq!(graph.code, Some(0), "{graph:?}");
    assert!(graph.stdout.contains("digraph"), "{graph:?}");
    let project = scratch("verbs-project");
    let _ = std::fs::remove_dir_all(&project);
    let created = run(&["new", "--name", &project.display().to_string()]);
    assert_eq!(created.code, Some(0), "{created:?}");
    assert!(project.join("policy.cedar").is_file());
}

#[test]
fn usage_errors_are_told_apart_from_denials() {
    // clap ends with 2, which here means "denied": nobody must take one for the other.
    assert_eq!(run(&["authorize"]).code, Some(1));
    assert_eq!(run(&["no-such-verb"]).code, Some(1));
    assert_eq!(run(&["--help"]).code, Some(0));
}
