//! Bad input of every kind ends in exit code 1 and a report that names the file and the place,
//! never in a panic.

mod common;

use common::{Run, file, run, run_with_stdin, tinytodo};

/// `replay` on the example with one file exchanged.
fn replay_with(flag: &str, path: &str) -> Run {
    let mut args = common::on_tinytodo("replay", &["--requests", &tinytodo("requests.jsonl")]);
    let at = args.iter().position(|arg| arg == flag).unwrap();
    args[at + 1] = path.to_owned();
    run(&args)
}

/// `authorize` on the example with one file exchanged.
fn authorize_with(flag: &str, path: &str) -> Run {
    let mut args = common::on_tinytodo(
        "authorize",
        &[
            "--principal",
            r#"User::"emil""#,
            "--action",
            r#"Action::"CreateList""#,
            "--resource",
            r#"Application::"TinyTodo""#,
            "--context",
            &file(
                "bad-context-of-good.json",
                r#"{"now": "2025-06-02", "address": "10.20.3.4"}"#,
            ),
        ],
    );
    let at = args.iter().position(|arg| arg == flag).unwrap();
    args[at + 1] = path.to_owned();
    run(&args)
}

/// Checks that both verbs refuse the file with a report that says all of this.
#[track_caller]
fn refused(flag: &str, path: &str, words: &[&str]) {
    replay_with(flag, path).assert_fails_saying(words);
    authorize_with(flag, path).assert_fails_saying(words);
}

#[test]
fn the_unchanged_example_is_accepted() {
    let policies = tinytodo("policies.cedar");
    assert_eq!(replay_with("--policies", &policies).code, Some(0));
    assert_eq!(authorize_with("--policies", &policies).code, Some(0));
}

#[test]
fn missing_files() {
    for flag in ["--policies", "--template-linked", "--schema", "--entities"] {
        refused(flag, "/no/such/file", &["/no/such/file", "No such file"]);
    }
    replay_with("--requests", "/no/such/file").assert_fails_saying(&["/no/such/file"]);
    authorize_with("--context", "/no/such/file").assert_fails_saying(&["/no/such/file"]);
}

#[test]
fn folders_instead_of_files() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    for flag in ["--policies", "--template-linked", "--schema", "--entities"] {
        refused(flag, folder, &[folder]);
    }
    replay_with("--requests", folder).assert_fails_saying(&[folder]);
}

#[test]
fn invalid_utf8() {
    let path = file("bad-utf8", b"one line\nand \xc3\x28 another\n");
    for flag in ["--policies", "--template-linked", "--schema", "--entities"] {
        let words = ["bad-utf8", "not UTF-8", "line 2", "column 5"];
        refused(flag, &path, &words);
    }
    run(&["format", "-p", &path]).assert_fails_saying(&["bad-utf8", "UTF-8"]);
}

#[test]
fn broken_policies() {
    let path = file(
        "bad-policies.cedar",
        "permit (principal, action, resource);\npermit (principal, action)\nwhen { true };\n",
    );
    refused(
        "--policies",
        &path,
        &["bad-policies.cedar", "2:26", "resource"],
    );
    let path = file(
        "bad-end.cedar",
        "permit (principal, action, resource) when {",
    );
    refused(
        "--policies",
        &path,
        &["bad-end.cedar", "1:", "unexpected end of input"],
    );
    let twice = "@id(\"a\") permit (principal, action, resource);\n".repeat(2);
    let path = file("bad-twice.cedar", twice);
    refused(
        "--policies",
        &path,
        &["bad-twice.cedar", "duplicate", "`a`"],
    );
    let path = file(
        "bad-function.cedar",
        "permit (principal, action, resource) when { frobnicate(context) };",
    );
    refused(
        "--policies",
        &path,
        &["bad-function.cedar", "1:", "frobnicate"],
    );
}

#[test]
fn broken_json_policies() {
    let cases = [
        ("{", &["EOF"][..]),
        ("[]", &[]),
        ("{\"staticPolicies\": 7}", &["7"]),
        (
            r#"{"effect": "allow", "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"}, "conditions": []}"#,
            &["allow"],
        ),
    ];
    for (text, words) in cases {
        let path = file("bad-policies.json", text);
        let mut args = common::on_tinytodo("replay", &["--requests", "-"]);
        args.truncate(1);
        args.extend(["--policy-format", "json", "--policies", &path].map(str::to_owned));
        args.extend(["--entities", &tinytodo("entities.json")].map(str::to_owned));
        args.extend(["--requests", "-"].map(str::to_owned));
        let run = run(&args);
        run.assert_fails_saying(&["bad-policies.json"]);
        run.assert_fails_saying(words);
    }
}

#[test]
fn broken_schemas() {
    let path = file("bad.cedarschema", "entity User;\nentity Team in [;\n");
    refused("--schema", &path, &["bad.cedarschema", "unexpected token"]);
    let path = file("bad-type.cedarschema", "entity User { boss: Bos };");
    refused("--schema", &path, &["bad-type.cedarschema", "Bos"]);
}

#[test]
fn broken_links() {
    let both = r#""?principal": "User::\"emil\"", "?resource": "List::\"launch\"""#;
    let cases = [
        (
            "missing",
            r#""?principal": "User::\"emil\"""#,
            "share-list",
            &["my-link", "?resource"],
        ),
        ("template", both, "no-template", &["my-link", "no-template"]),
        (
            "slot",
            &both.replace("?resource", "?context"),
            "share-list",
            &["my-link", "?context"],
        ),
        (
            "uid",
            &both.replace("User::", ""),
            "share-list",
            &["my-link", "emil"],
        ),
        (
            "taken",
            both,
            "share-list",
            &["owner-may-do-all", "owner-may-do-all"],
        ),
    ];
    for (name, args, template, words) in cases {
        let link = match name {
            "taken" => "owner-may-do-all",
            _ => "my-link",
        };
        let link = format!(
            r#"[{{"template_id": "{template}", "link_id": "{link}", "args": {{{args}}}}}]"#
        );
        let name = format!("bad-links-{name}.json");
        let path = file(&name, link);
        refused("--template-linked", &path, words);
        refused("--template-linked", &path, &[&name]);
    }
    let path = file("bad-links-json.json", "[{\"template_id\": 7}]");
    refused(
        "--template-linked",
        &path,
        &["bad-links-json.json", "line 1"],
    );
}

#[test]
fn broken_entities() {
    let user = r#"{"uid": {"type": "User", "id": "a"}, "attrs": {}, "parents": []}"#;
    let team = |id: &str, parent: &str| {
        format!(
            r#"{{"uid": {{"type": "Team", "id": "{id}"}}, "attrs": {{}},
                "parents": [{{"type": "Team", "id": "{parent}"}}]}}"#
        )
    };
    let manager = r#""attrs": {"manager": {"type": "User", "id": "b"}}"#;
    let cases = [
        ("json", "[\n{".to_owned(), &["line 2", "EOF"][..]),
        ("array", "{}".to_owned(), &["expected"]),
        (
            "uid",
            r#"[{"attrs": {}, "parents": []}]"#.to_owned(),
            &["uid"],
        ),
        (
            "duplicate",
            format!("[{user}, {}]", user.replace("\"attrs\": {}", manager)),
            &["duplicate", "User::\"a\""],
        ),
        (
            "cycle",
            format!("[{}, {}]", team("a", "b"), team("b", "a")),
            &["cycle", "Team::"],
        ),
        (
            "type",
            user.replace("User", "Robot")
                .replace('{', "[{")
                .replacen("[{", "{", 0),
            &[],
        ),
        (
            "undeclared",
            format!("[{}]", user.replace("User", "Robot")),
            &["Robot"],
        ),
        (
            "attribute",
            format!("[{}]", user.replace("{}", r#"{"shoe": 42}"#)),
            &["shoe", "User::"],
        ),
        (
            "value",
            format!("[{}]", user.replace("{}", r#"{"manager": 42}"#)),
            &["manager", "User::"],
        ),
        (
            "enum",
            format!("[{}]", user.replace("User", "Application")),
            &["Application"],
        ),
        (
            "large",
            format!("[{}]", user.replace("{}", r#"{"n": 9223372036854775808}"#)),
            &[],
        ),
    ];
    for (name, text, words) in cases {
        let path = file(&format!("bad-entities-{name}.json"), text);
        refused("--entities", &path, words);
        refused("--entities", &path, &[&format!("bad-entities-{name}.json")]);
    }
}

#[test]
fn empty_files() {
    let empty = file("bad-empty", "");
    refused("--entities", &empty, &["bad-empty", "EOF"]);
    // As for cedar-policy, no policies are a policy set: one that allows nothing.
    assert_eq!(
        authorize_with("--policies", &file("bad-empty.cedar", "")).code,
        Some(1)
    );
    let mut args = vec!["replay"];
    let (entities, requests) = (tinytodo("entities.json"), tinytodo("requests.jsonl"));
    args.extend([
        "--policies",
        &empty,
        "--entities",
        &entities,
        "--requests",
        &requests,
    ]);
    let run = run(&args);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stdout.contains("allow"), "{run:?}");
}

#[test]
fn an_unknown_action() {
    let mut args = common::on_tinytodo("authorize", &[]);
    let context = file("bad-action-context.json", "{}");
    args.extend(["-l", r#"User::"emil""#, "-a", r#"Action::"Dance""#].map(str::to_owned));
    args.extend(["-r", r#"Application::"TinyTodo""#, "-c", &context].map(str::to_owned));
    run(&args).assert_fails_saying(&["Dance"]);
}

#[test]
fn a_request_that_lacks_something() {
    let args = common::on_tinytodo("authorize", &["--principal", r#"User::"emil""#]);
    run(&args).assert_fails_saying(&["action"]);
    let args = common::on_tinytodo("authorize", &["--request-json", &file("bad-request", "{")]);
    run(&args).assert_fails_saying(&["bad-request", "EOF"]);
}

#[test]
fn requests_beyond_the_limits() {
    let request = |principal: &str, now: &str| {
        format!(
            r#"{{"principal": "User::\"{principal}\"", "action": "Action::\"GetLists\"",
                "resource": "Application::\"TinyTodo\"",
                "context": {{"now": "{now}", "address": "10.20.3.4"}}}}"#
        )
        .replace('\n', " ")
    };
    let now = "2025-06-02";
    let uid = "the principal exceeds a limit: the entity uid has 1048584 bytes";
    let context = "the context exceeds a limit: the context is larger than 16777216 bytes";
    let cases = [
        (request(&"x".repeat(1 << 20), now), uid),
        (request("emil", &"x".repeat(16 << 20)), context),
    ];
    for (text, words) in &cases {
        let path = file("bad-limits-request.json", text);
        let args = common::on_tinytodo("authorize", &["--request-json", &path]);
        run(&args).assert_fails_saying(&[words]);
    }
    let large = format!(r#"{{"now": "{}"}}"#, "x".repeat(16 << 20));
    let path = file("bad-limits-context.json", large);
    authorize_with("--context", &path).assert_fails_saying(&[context]);

    let [first, second] = cases.each_ref().map(|(text, _)| text.as_str());
    let lines = [first, second, &request("emil", now)].join("\n");
    let path = file("bad-limits.jsonl", lines);
    for engine in ["native", "interpreter", "cedar"] {
        let args = common::on_tinytodo("replay", &["--engine", engine, "--requests", &path]);
        let run = run(&args);
        let answers: Vec<_> = run.stdout.lines().collect();
        assert_eq!(answers.len(), 3, "{engine}: {}", run.stderr);
        assert!(answers[0].contains(uid), "{engine}: {}", answers[0]);
        assert!(answers[1].contains(context), "{engine}: {}", answers[1]);
        assert!(answers[2].contains("decision"), "{engine}: {}", answers[2]);
    }
}

/// Texts that are nested deeper than any parser should have to follow.
fn nested() -> Vec<(&'static str, String)> {
    let policy = |body: &str| format!("permit (principal, action, resource) when {{ {body} }};");
    let around = |open: &str, close: &str, n: usize| {
        policy(&format!("{}true{}", open.repeat(n), close.repeat(n)))
    };
    vec![
        ("parentheses", around("(", ")", 5 << 20)),
        ("open", "(".repeat(10 << 20)),
        ("brackets", around("[", "]", 100_000)),
        ("records", around("{a: ", "}", 100_000)),
        ("ifs", around("if true then ", " else false", 100_000)),
        ("nots", policy(&format!("{}true", "!".repeat(100_000)))),
        ("minuses", policy(&format!("1 == {}1", "-".repeat(100_000)))),
        ("calls", around("ip(", ")", 100_000)),
    ]
}

#[test]
fn text_nested_without_end() {
    for (name, text) in nested() {
        let path = file(&format!("bad-nested-{name}.cedar"), &text);
        let origin = format!("bad-nested-{name}.cedar");
        for refused in [
            replay_with("--policies", &path),
            authorize_with("--policies", &path),
            run(&["check-parse", "--policies", &path]),
            run(&[
                "validate",
                "-s",
                &tinytodo("tinytodo.cedarschema"),
                "-p",
                &path,
            ]),
        ] {
            refused.assert_fails_saying(&[]);
            let said = refused.stdout.len() + refused.stderr.len();
            assert!(said < 100_000, "{name}: a report of {said} bytes");
        }
        replay_with("--policies", &path).assert_fails_saying(&[&origin]);
        run_with_stdin(&["check-parse"], text.as_bytes()).assert_fails_saying(&["<stdin>"]);
    }
}

#[test]
fn an_expression_too_deep_to_compile() {
    let example = std::fs::read_to_string(tinytodo("policies.cedar")).unwrap();
    let sum = "1".to_owned() + &" + 1".repeat(300);
    let deep = format!("permit (principal, action, resource)\nwhen {{ {sum} == 301 }};\n");
    let path = file(
        "bad-deep.cedar",
        format!("{example}\n@id(\"deep\")\n{deep}"),
    );
    let place = format!("bad-deep.cedar:{}:1", example.lines().count() + 2);
    refused("--policies", &path, &[&place, "`deep`", "256"]);
}

#[test]
fn other_files_nested_without_end() {
    let json = file("bad-nested.json", "[".repeat(1 << 20));
    refused("--entities", &json, &["bad-nested.json"]);
    refused("--template-linked", &json, &["bad-nested.json"]);
    run(&["visualize", "--entities", &json]).assert_fails_saying(&["bad-nested.json"]);
    let type_of = |open: &str, close: &str| {
        let nested = open.repeat(100_000) + "Long" + &close.repeat(100_000);
        format!("entity A {{ a: {nested} }};")
    };
    for (name, text) in [
        ("sets", type_of("Set<", ">")),
        ("records", type_of("{a: ", "}")),
    ] {
        let name = format!("bad-nested-{name}.cedarschema");
        let path = file(&name, text);
        refused("--schema", &path, &[&name]);
        let translate = [
            "translate-schema",
            "--direction",
            "cedar-to-json",
            "-s",
            &path,
        ];
        run(&translate).assert_fails_saying(&[&name]);
    }
}

#[test]
fn error_formats() {
    let path = file("bad-format.cedar", "permit (");
    let plain = run(&["-f", "plain", "check-parse", "-p", &path]);
    plain.assert_fails_saying(&["Diagnostic severity: error"]);
    let json = run(&["check-parse", "-p", &path, "--error-format", "json"]);
    assert_eq!(json.code, Some(1));
    let report: serde_json::Value = serde_json::from_str(json.stdout.trim()).unwrap();
    assert_eq!(report["severity"], "error");
}
