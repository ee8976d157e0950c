//! The vectors of the AuthZEN interop, against the examples. An answer counts only with status 200
//! and a decision that is a Boolean: an error is no denial.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use crate::client::Client;
use crate::server::{Sidecar, path};

/// A file of vectors; `None`, said plainly, where there are none.
fn vectors(name: &str) -> Option<Value> {
    let folder = std::env::var_os("CEDARJIT_AUTHZEN")
        .map_or_else(|| path("../shared/authzen"), PathBuf::from);
    let file = folder.join(name);
    match std::fs::read_to_string(&file) {
        Ok(text) => Some(serde_json::from_str(&text).expect("JSON")),
        Err(error) => {
            eprintln!(
                "SKIPPED: {}: {error}; set CEDARJIT_AUTHZEN to the folder of the vectors",
                file.display()
            );
            None
        }
    }
}

/// The cases of a file, each of which has a request and what is expected.
fn cases<'a>(file: &'a Value, kind: &str) -> impl Iterator<Item = (&'a Value, &'a Value)> {
    let cases = file[kind].as_array().expect("an array");
    assert!(!cases.is_empty());
    cases
        .iter()
        .map(|case| (&case["request"], &case["expected"]))
}

/// Plays the evaluations of a file.
fn evaluations(example: &str, file: &str) {
    let Some(file) = vectors(file) else { return };
    let sidecar = Sidecar::start(example);
    let mut client = Client::connect(sidecar.address);
    let mut played = 0;
    for (request, expected) in cases(&file, "evaluation") {
        let answer = client.post("/access/v1/evaluation", request);
        assert_eq!(answer.status, 200, "{request}: {}", answer.text());
        let body = answer.json();
        assert!(expected.is_boolean() && body["decision"].is_boolean());
        assert_eq!(&body["decision"], expected, "{request}: {body}");
        assert!(body["context"]["error"].is_null(), "{request}: {body}");
        played += 1;
    }
    println!("{played} evaluations");
}

/// Plays the searches of a file.
fn searches(endpoint: &str, file: &str, key: &str) {
    let Some(file) = vectors(file) else { return };
    let sidecar = Sidecar::start("examples/authzen-search/cedarjit.toml");
    let mut client = Client::connect(sidecar.address);
    let results = |body: &Value| -> BTreeSet<String> {
        let results = body["results"].as_array().expect("an array");
        let set: BTreeSet<_> = results
            .iter()
            .map(|result| format!("{} {}", result["type"], result[key]))
            .collect();
        assert_eq!(set.len(), results.len(), "nothing is there twice");
        set
    };
    let mut played = 0;
    for (request, expected) in cases(&file, "evaluation") {
        let answer = client.post(endpoint, request);
        assert_eq!(answer.status, 200, "{request}: {}", answer.text());
        assert_eq!(results(&answer.json()), results(expected), "{request}");
        played += 1;
    }
    println!("{played} searches");
}

#[test]
fn todo() {
    evaluations("examples/authzen-todo/cedarjit.toml", "todo-decisions.json");
}

#[test]
fn todo_in_one_message() {
    let Some(file) = vectors("todo-decisions.json") else {
        return;
    };
    let sidecar = Sidecar::start("examples/authzen-todo/cedarjit.toml");
    let mut client = Client::connect(sidecar.address);
    for (request, expected) in cases(&file, "evaluations") {
        let answer = client.post("/access/v1/evaluations", request);
        assert_eq!(answer.status, 200, "{request}: {}", answer.text());
        let body = answer.json();
        let decisions = |list: &Value| -> Vec<bool> {
            let list = list.as_array().expect("an array").iter();
            list.map(|item| item["decision"].as_bool().expect("a Boolean"))
                .collect()
        };
        assert_eq!(
            decisions(&body["evaluations"]),
            decisions(expected),
            "{request}"
        );
    }
}

#[test]
fn gateway() {
    evaluations(
        "examples/authzen-gateway/cedarjit.toml",
        "gateway-decisions.json",
    );
}

#[test]
fn search_for_subjects() {
    searches("/access/v1/search/subject", "search-subject.json", "id");
}

#[test]
fn search_for_resources() {
    searches("/access/v1/search/resource", "search-resource.json", "id");
}

#[test]
fn search_for_actions() {
    searches("/access/v1/search/action", "search-action.json", "name");
}
