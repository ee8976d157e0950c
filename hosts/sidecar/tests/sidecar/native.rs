//! The native API answers what cedar-policy's own interface would.

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, ffi};
use serde_json::{Value, json};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::Client;
use crate::server::Sidecar;

const POLICIES: &str = r#"
    permit (principal, action == Action::"view", resource) when { resource.public };
    permit (principal in Team::"managers", action, resource);
    forbid (principal, action == Action::"drop", resource) when { context.level + 1 > principal.level };
"#;

const ENTITIES: &str = r#"[
    {"uid": {"type": "User", "id": "ann\n\"x\""}, "attrs": {"level": 3},
     "parents": [{"type": "Team", "id": "managers"}]},
    {"uid": {"type": "Doc", "id": "a"}, "attrs": {"public": true}, "parents": []}
]"#;

/// A folder of a test's own, which goes with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Deref for Folder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What else runs may still write to it, and it is the system's to clean then.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A folder with a configuration of these policies, and of the entities above.
pub(crate) fn folder(name: &str, policies: &str, more: &str) -> Folder {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let own = format!("cedarjit-{}-{number}-{name}", std::process::id());
    let folder = Folder(std::env::temp_dir().join(own));
    std::fs::create_dir_all(&*folder).expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("a file");
    };
    write("policies.cedar", policies);
    write("entities.json", ENTITIES);
    let config = "policies = \"policies.cedar\"\nentities = \"entities.json\"\n";
    write("cedarjit.toml", &format!("{config}{more}"));
    folder
}

/// What cedar-policy answers, in JSON, its lists sorted.
fn judged(call: &Value) -> Value {
    let uid = |part: &str| -> EntityUid {
        EntityUid::from_json(json!({ "__entity": call[part] })).expect("a uid")
    };
    let context = call.get("context").cloned().unwrap_or(json!({}));
    let request = Request::new(
        uid("principal"),
        uid("action"),
        uid("resource"),
        Context::from_json_value(context, None).expect("a context"),
        None,
    );
    let policies: PolicySet = POLICIES.parse().expect("policies");
    let entities = Entities::from_json_str(ENTITIES, None).expect("entities");
    let request = request.expect("a request");
    let response = Authorizer::new().is_authorized(&request, &policies, &entities);
    let mut response = serde_json::to_value(ffi::Response::from(response)).expect("JSON");
    // Places in the text of a policy and hints are not kept.
    let errors = response["diagnostics"]["errors"].as_array_mut();
    for error in errors.expect("an array") {
        error["error"]["sourceLocations"] = json!([]);
        error["error"]["help"] = json!(null);
    }
    sorted(response)
}

fn sorted(mut response: Value) -> Value {
    for list in ["reason", "errors"] {
        let list = response["diagnostics"][list]
            .as_array_mut()
            .expect("an array");
        list.sort_by_key(Value::to_string);
    }
    response
}

fn calls() -> Vec<Value> {
    let mut calls = Vec::new();
    for principal in ["ann\n\"x\"", "bob"] {
        for action in ["view", "drop", "edit"] {
            for doc in ["a", "b"] {
                for context in [
                    None,
                    Some(json!({ "level": 1 })),
                    Some(json!({ "level": "x" })),
                ] {
                    let mut call = json!({
                        "principal": { "type": "User", "id": principal },
                        "action": { "type": "Action", "id": action },
                        "resource": { "type": "Doc", "id": doc },
                        "extra": [1, 2],
                    });
                    if let Some(context) = context {
                        call["context"] = context;
                    }
                    calls.push(call);
                }
            }
        }
    }
    calls
}

#[test]
fn answers_are_those_of_cedar() {
    let folder = folder("native", POLICIES, "");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    let calls = calls();
    let mut decisions = std::collections::BTreeSet::new();
    for call in &calls {
        let answer = client.post("/v1/is_authorized", call);
        assert_eq!(answer.status, 200, "{call}: {}", answer.text());
        let response = sorted(answer.json());
        assert_eq!(response, judged(call), "{call}");
        decisions.insert(response["decision"].to_string());
        // The same, with the uids as text.
        let mut texts = call.clone();
        for part in ["principal", "action", "resource"] {
            let uid = EntityUid::from_json(json!({ "__entity": call[part] })).expect("a uid");
            texts[part] = json!(uid.to_string());
        }
        assert_eq!(
            sorted(client.post("/v1/is_authorized", &texts).json()),
            response
        );
    }
    assert_eq!(decisions.len(), 2);
    let batch = json!({ "requests": calls });
    let answer = client.post("/v1/is_authorized_batch", &batch).json();
    let responses = answer["responses"].as_array().expect("an array");
    assert_eq!(responses.len(), calls.len());
    for (call, response) in calls.iter().zip(responses) {
        assert_eq!(sorted(response.clone()), judged(call));
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let sidecar = Sidecar::start("examples/authzen-search/cedarjit.toml");
    let mut client = Client::connect(sidecar.address);
    let good = json!({
        "principal": "user::\"alice\"",
        "action": "Action::\"view\"",
        "resource": { "__entity": { "type": "record", "id": "101" } },
        "context": {},
    });
    assert_eq!(
        client.post("/v1/is_authorized", &good).json()["decision"],
        "allow"
    );
    let wrong = [
        ("principal", json!("user::alice")),
        ("principal", json!({ "type": "user" })),
        ("principal", json!({ "type": "us er", "id": "alice" })),
        (
            "principal",
            json!({ "type": "user::\"alice\" //", "id": "x" }),
        ),
        ("principal", json!(7)),
        // Not in the schema.
        ("action", json!("Action::\"buy\"")),
        ("resource", json!("user::\"alice\"")),
        ("context", json!([])),
        ("context", json!({ "more": 1 })),
        ("context", json!(null)),
    ];
    let mut requests = vec![good.clone()];
    for (part, value) in wrong {
        let mut bad = good.clone();
        bad[part] = value;
        let answer = client.post("/v1/is_authorized", &bad);
        assert_eq!(answer.status, 400, "{bad}: {}", answer.text());
        assert!(
            answer.json()["error"]
                .as_str()
                .is_some_and(|error| !error.is_empty())
        );
        requests.push(bad);
    }
    let answer = client.post("/v1/is_authorized_batch", &json!({ "requests": requests }));
    let responses = answer.json()["responses"].clone();
    assert_eq!(responses[0]["decision"], "allow");
    let responses = responses.as_array().expect("an array");
    assert!(
        responses
            .iter()
            .skip(1)
            .all(|response| response["error"].is_string())
    );
    for bad in [json!({}), json!([]), json!({ "requests": {} })] {
        assert_eq!(client.post("/v1/is_authorized_batch", &bad).status, 400);
    }
    let many = json!({ "requests": vec![json!({}); 1001] });
    let answer = client.post("/v1/is_authorized_batch", &many);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("1001"), "{}", answer.text());
}
