//! The certification scenarios of the AuthZEN Authorization API 1.0, by their numbers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::Sidecar;

const EVALUATION: &str = "/access/v1/evaluation";
const EVALUATIONS: &str = "/access/v1/evaluations";
const SUBJECT: &str = "/access/v1/search/subject";
const RESOURCE: &str = "/access/v1/search/resource";
const ACTION: &str = "/access/v1/search/action";

/// Runs `test` with a client of the fixture.
fn certify(test: impl FnOnce(&mut Client)) {
    let sidecar = Sidecar::start("hosts/sidecar/tests/fixtures/certification/cedarjit.toml");
    test(&mut Client::connect(sidecar.address));
}

fn request(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "user", "id": subject },
        "action": { "name": action },
        "resource": { "type": "record", "id": resource },
    })
}

/// The request with what `change` does to it.
fn changed(mut request: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut request);
    request
}

#[track_caller]
fn ok(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[track_caller]
fn decides(client: &mut Client, request: &Value, decision: bool) {
    let body = ok(&client.post(EVALUATION, request));
    assert_eq!(body["decision"], decision, "{request}: {body}");
    if let Some(context) = body.get("context") {
        assert!(context.is_object());
    }
}

#[track_caller]
fn refuses(client: &mut Client, path: &str, request: &Value) {
    let answer = client.post(path, request);
    assert_eq!(answer.status, 400, "{request}: {}", answer.text());
    assert!(answer.json()["error"].is_string());
}

/// The decisions of a batch, in order.
#[track_caller]
fn batch(client: &mut Client, request: &Value) -> Vec<bool> {
    let body = ok(&client.post(EVALUATIONS, request));
    assert!(body.get("decision").is_none(), "{body}");
    let items = body["evaluations"].as_array().expect("an array").iter();
    items
        .map(|item| item["decision"].as_bool().expect("a Boolean"))
        .collect()
}

/// What a search finds: ids of entities of this type, or names of actions.
#[track_caller]
fn search(client: &mut Client, path: &str, request: &Value, ty: Option<&str>) -> BTreeSet<String> {
    let body = ok(&client.post(path, request));
    let results = body["results"].as_array().expect("an array").iter();
    results
        .map(|result| {
            assert_eq!(result.get("type").and_then(Value::as_str), ty);
            let name = &result[if ty.is_some() { "id" } else { "name" }];
            name.as_str().expect("a string").to_owned()
        })
        .collect()
}

#[track_caller]
fn finds(found: &BTreeSet<String>, expected: &[&str]) {
    for name in expected {
        assert!(found.contains(*name), "{name} is not in {found:?}");
    }
}

/// 2.2.1 to 2.2.3, 2.2.8, 2.2.9, and the rules 1 to 4.
#[test]
fn basic_core() {
    certify(|client| {
        decides(client, &request("alice", "read", "record-1"), true);
        decides(client, &request("alice", "write", "record-1"), true);
        decides(client, &request("bob", "read", "record-1"), true);
        decides(client, &request("bob", "write", "record-1"), false);
        let with_context = changed(request("alice", "read", "record-1"), |r| {
            r["context"] = json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" });
        });
        decides(client, &with_context, true);
        let with_properties = changed(request("alice", "read", "record-1"), |r| {
            r["subject"]["properties"] = json!({ "department": "Sales", "role": "manager" });
            r["action"]["properties"] = json!({ "method": "GET" });
            r["resource"]["properties"] = json!({ "status": "active", "owner": "bob" });
        });
        decides(client, &with_properties, true);
        let with_unknown = changed(request("alice", "read", "record-1"), |r| {
            r["foo"] = json!("bar");
            r["futureField"] = json!({ "nested": true });
        });
        decides(client, &with_unknown, true);
    });
}

/// 2.2.4 to 2.2.7: the rules 5 to 8.
#[test]
fn basic_properties() {
    certify(|client| {
        let archived =
            |r: &mut Value| r["resource"]["properties"] = json!({ "status": "archived" });
        decides(
            client,
            &changed(request("alice", "write", "record-2"), archived),
            false,
        );
        // The property counts, not what is stored of the record.
        decides(
            client,
            &changed(request("alice", "write", "record-1"), archived),
            false,
        );
        let by_admin = changed(request("bob", "write", "record-2"), |r| {
            archived(r);
            r["subject"]["properties"] = json!({ "role": "admin" });
        });
        decides(client, &by_admin, true);
        let made_admin = changed(request("alice", "write", "record-2"), |r| {
            archived(r);
            r["subject"]["properties"] = json!({ "role": "admin" });
        });
        decides(client, &made_admin, true);
        for soft in [true, false] {
            let delete = changed(request("alice", "delete", "record-1"), |r| {
                r["action"]["properties"] = json!({ "soft": soft });
            });
            decides(client, &delete, soft);
        }
        // What one request brought is gone with it.
        decides(client, &request("alice", "write", "record-1"), true);
    });
}

/// 2.4.1, 2.4.2, 2.4.6: missing fields and wrong types.
#[test]
fn errors_of_fields() {
    certify(|client| {
        let good = request("alice", "read", "record-1");
        for part in ["subject", "action", "resource"] {
            let without = changed(good.clone(), |r| {
                drop(r.as_object_mut().expect("an object").remove(part))
            });
            refuses(client, EVALUATION, &without);
            for wrong in [json!("alice"), json!(1), json!(null), json!([]), json!({})] {
                refuses(
                    client,
                    EVALUATION,
                    &changed(good.clone(), |r| r[part] = wrong),
                );
            }
        }
        let fields = [
            ("subject", "type"),
            ("subject", "id"),
            ("action", "name"),
            ("resource", "type"),
            ("resource", "id"),
        ];
        for (part, field) in fields {
            let without = changed(good.clone(), |r| {
                drop(r[part].as_object_mut().expect("an object").remove(field));
            });
            refuses(client, EVALUATION, &without);
            for wrong in [json!(123), json!(null), json!(["x"]), json!({})] {
                refuses(
                    client,
                    EVALUATION,
                    &changed(good.clone(), |r| r[part][field] = wrong),
                );
            }
        }
        for wrong in [json!("x"), json!(null), json!([])] {
            refuses(
                client,
                EVALUATION,
                &changed(good.clone(), |r| r["context"] = wrong.clone()),
            );
            let properties = changed(good.clone(), |r| r["subject"]["properties"] = wrong);
            refuses(client, EVALUATION, &properties);
        }
    });
}

/// 2.4.3 to 2.4.5: what is no JSON, and keys that are there twice.
#[test]
fn errors_of_bodies() {
    certify(|client| {
        let good = request("alice", "read", "record-1").to_string();
        for kind in [
            "text/plain",
            "application/xml",
            "application/jsonx",
            "json",
            "",
        ] {
            let headers = [("content-type", kind)];
            let answer = client.request("POST", EVALUATION, &headers, good.as_bytes());
            assert_eq!(answer.status, 400, "{kind}");
        }
        assert_eq!(
            client
                .request("POST", EVALUATION, &[], good.as_bytes())
                .status,
            400
        );
        let headers = [("content-type", "Application/JSON; charset=utf-8")];
        assert_eq!(
            client
                .request("POST", EVALUATION, &headers, good.as_bytes())
                .status,
            200
        );
        let twice = good.replacen('{', r#"{"subject":{"type":"user","id":"bob"},"#, 1);
        let inner = good.replace(r#""id":"alice""#, r#""id":"bob","id":"alice""#);
        let bad = [
            "", " \n", "{", "nonsense", "[]", "\"x\"", "{}{}", "{\"a\":}", &twice, &inner,
        ];
        for body in bad {
            let answer = client.post_text(EVALUATION, body);
            assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        }
        let headers = [("content-type", "application/json")];
        assert_eq!(
            client
                .request("POST", EVALUATION, &headers, b"{\"\xff\":1}")
                .status,
            400
        );
    });
}

/// 2.5 and 2.6: the request's id, and the same answer again.
#[test]
fn headers_and_repetition() {
    certify(|client| {
        let body = request("alice", "read", "record-1").to_string();
        let headers = [
            ("content-type", "application/json"),
            ("x-request-id", "bfe9 é"),
        ];
        let answer = client.request("POST", EVALUATION, &headers, body.as_bytes());
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (200, Some("bfe9 é"))
        );
        let answer = client.request("POST", EVALUATION, &headers, b"{");
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (400, Some("bfe9 é"))
        );
        for _ in 0..200 {
            decides(client, &request("alice", "read", "record-1"), true);
            decides(client, &request("bob", "write", "record-1"), false);
        }
    });
}

/// 3.2.1, 3.2.2, 3.2.5, 3.2.6, 3.4.
#[test]
fn batch_core() {
    certify(|client| {
        let record = |id: &str| json!({ "type": "record", "id": id });
        let alice = json!({ "type": "user", "id": "alice" });
        let request_of = |items: Value| json!({ "subject": alice, "action": { "name": "read" }, "evaluations": items });
        let two = json!([{ "resource": record("record-1") }, { "resource": record("record-2") }]);
        assert_eq!(batch(client, &request_of(two)), [true, true]);
        let actions = json!({
            "subject": { "type": "user", "id": "bob" },
            "resource": record("record-1"),
            "evaluations": [{ "action": { "name": "read" } }, { "action": { "name": "write" } }],
        });
        assert_eq!(batch(client, &actions), [true, false]);
        let full = json!({ "evaluations": [
            request("alice", "read", "record-1"),
            request("bob", "write", "record-1"),
        ] });
        assert_eq!(batch(client, &full), [true, false]);
        let contexts = json!([
            { "resource": record("record-1") },
            { "resource": record("record-2"), "context": { "source": "batch-override" } },
        ]);
        let contexts = changed(request_of(contexts), |r| {
            r["context"] = json!({ "time": "x" })
        });
        assert_eq!(batch(client, &contexts).len(), 2);
        let lacking = json!([{ "resource": record("record-1") }, {}, 7, { "resource": 7 }]);
        assert_eq!(
            batch(client, &request_of(lacking)),
            [true, false, false, false]
        );
        for empty in [None, Some(json!([]))] {
            let single = changed(request("alice", "read", "record-1"), |r| {
                if let Some(empty) = empty {
                    r["evaluations"] = empty;
                }
            });
            assert_eq!(ok(&client.post(EVALUATIONS, &single))["decision"], true);
        }
        refuses(client, EVALUATIONS, &json!({ "evaluations": {} }));
        refuses(client, EVALUATIONS, &json!({ "evaluations": [] }));
        refuses(
            client,
            EVALUATIONS,
            &changed(full.clone(), |r| r["subject"] = json!("alice")),
        );
        let options = |semantic: &str| json!({ "evaluations_semantic": semantic });
        refuses(
            client,
            EVALUATIONS,
            &changed(full, |r| r["options"] = options("any")),
        );
    });
}

/// The three ways to go through a batch.
#[test]
fn batch_semantics() {
    certify(|client| {
        let item = |name: &str| json!({ "action": { "name": name } });
        let run = |client: &mut Client, semantic: &str, items: &[&str]| {
            let request = json!({
                "subject": { "type": "user", "id": "bob" },
                "resource": { "type": "record", "id": "record-1" },
                "options": { "evaluations_semantic": semantic, "other": 1 },
                "evaluations": items.iter().map(|name| item(name)).collect::<Vec<_>>(),
            });
            batch(client, &request)
        };
        let items = ["read", "write", "read"];
        assert_eq!(run(client, "execute_all", &items), [true, false, true]);
        assert_eq!(run(client, "deny_on_first_deny", &items), [true, false]);
        assert_eq!(run(client, "permit_on_first_permit", &items), [true]);
        let items = ["write", "read", "read"];
        assert_eq!(run(client, "permit_on_first_permit", &items), [false, true]);
        assert_eq!(run(client, "deny_on_first_deny", &items), [false]);
    });
}

/// 3.2.3, 3.2.4, 3.2.7.
#[test]
fn batch_properties() {
    certify(|client| {
        let record = |id: &str, status: &str| json!({ "type": "record", "id": id, "properties": { "status": status } });
        let alice = json!({ "type": "user", "id": "alice" });
        let by_resource = json!({
            "subject": alice,
            "action": { "name": "write" },
            "evaluations": [
                { "resource": record("record-1", "active") },
                { "resource": record("record-2", "archived") },
            ],
        });
        assert_eq!(batch(client, &by_resource), [true, false]);
        let by_subject = json!({
            "action": { "name": "write" },
            "resource": record("record-2", "archived"),
            "evaluations": [
                { "subject": alice },
                { "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } } },
            ],
        });
        assert_eq!(batch(client, &by_subject), [false, true]);
        let merged = json!({
            "subject": alice,
            "action": { "name": "write" },
            "resource": { "type": "record" },
            "evaluations": [
                { "resource": { "id": "record-1", "properties": { "status": "active" } } },
                { "resource": record("record-2", "archived") },
            ],
        });
        assert_eq!(batch(client, &merged), [true, false]);
    });
}

/// 4.2.1, 4.2.2, 4.3.1, 4.4.1, 4.4.2, 4.6, 4.7.
#[test]
fn search_core() {
    certify(|client| {
        let user = json!({ "type": "user" });
        let who = changed(request("alice", "read", "record-1"), |r| {
            r["subject"] = user
        });
        finds(
            &search(client, SUBJECT, &who, Some("user")),
            &["alice", "bob"],
        );
        let with_context = changed(who.clone(), |r| r["context"] = json!({ "time": "x" }));
        finds(
            &search(client, SUBJECT, &with_context, Some("user")),
            &["alice", "bob"],
        );
        let what = changed(request("alice", "read", "record-1"), |r| {
            r["resource"] = json!({ "type": "record" });
        });
        finds(
            &search(client, RESOURCE, &what, Some("record")),
            &["record-1", "record-2"],
        );
        let how = json!({
            "subject": { "type": "user", "id": "alice" },
            "resource": { "type": "record", "id": "record-1" },
        });
        finds(&search(client, ACTION, &how, None), &["read", "write"]);
        let with_context = changed(how.clone(), |r| r["context"] = json!({ "time": "x" }));
        finds(
            &search(client, ACTION, &with_context, None),
            &["read", "write"],
        );
        let stranger = changed(how.clone(), |r| {
            r["subject"]["id"] = json!("nonexistent-user")
        });
        assert!(search(client, ACTION, &stranger, None).is_empty());
        for ty in ["spaceship", "space-ship", "", "a::b", "\""] {
            let unknown = changed(who.clone(), |r| r["subject"]["type"] = json!(ty));
            assert!(search(client, SUBJECT, &unknown, Some(ty)).is_empty());
            let unknown = changed(how.clone(), |r| r["resource"]["type"] = json!(ty));
            assert!(search(client, ACTION, &unknown, None).is_empty());
        }
        let without = |request: &Value, part: &str| {
            changed(request.clone(), |r| {
                drop(r.as_object_mut().expect("an object").remove(part))
            })
        };
        refuses(client, SUBJECT, &without(&who, "action"));
        refuses(client, SUBJECT, &without(&who, "subject"));
        refuses(client, RESOURCE, &without(&what, "subject"));
        refuses(client, ACTION, &without(&how, "resource"));
        let bare = json!({ "type": "record" });
        refuses(
            client,
            SUBJECT,
            &changed(who.clone(), |r| r["resource"] = bare.clone()),
        );
        refuses(
            client,
            RESOURCE,
            &changed(what, |r| r["subject"] = json!({ "type": "user" })),
        );
        refuses(client, ACTION, &changed(how, |r| r["resource"] = bare));
    });
}

/// 4.2.4, 4.3.3, 4.4.3.
#[test]
fn search_properties() {
    certify(|client| {
        let archived =
            json!({ "type": "record", "id": "record-2", "properties": { "status": "archived" } });
        let bob = json!({ "type": "user", "id": "bob", "properties": { "role": "admin" } });
        let write = json!({ "name": "write" });
        let who = json!({ "subject": { "type": "user" }, "action": write, "resource": archived });
        assert_eq!(
            search(client, SUBJECT, &who, Some("user")),
            ["bob".to_owned()].into()
        );
        // The property counts, not what is stored of the record.
        let other = changed(who.clone(), |r| r["resource"]["id"] = json!("record-1"));
        assert_eq!(
            search(client, SUBJECT, &other, Some("user")),
            ["bob".to_owned()].into()
        );
        let what = json!({ "subject": bob, "action": write, "resource": { "type": "record" } });
        finds(
            &search(client, RESOURCE, &what, Some("record")),
            &["record-2"],
        );
        let as_admin = changed(what, |r| r["subject"]["id"] = json!("carol"));
        finds(
            &search(client, RESOURCE, &as_admin, Some("record")),
            &["record-2"],
        );
        let how = json!({ "subject": bob, "resource": archived });
        finds(&search(client, ACTION, &how, None), &["write"]);
        let as_admin = changed(how, |r| r["subject"]["id"] = json!("carol"));
        finds(&search(client, ACTION, &as_admin, None), &["write"]);
    });
}

/// 4.5: pages.
#[test]
fn search_pages() {
    certify(|client| {
        let mut request = json!({
            "subject": { "type": "user" },
            "action": { "name": "read" },
            "resource": { "type": "record", "id": "record-1" },
            "page": { "limit": 1 },
        });
        let mut found = Vec::new();
        let mut tokens = Vec::new();
        loop {
            let body = ok(&client.post(SUBJECT, &request));
            let results = body["results"].as_array().expect("an array");
            assert_eq!(results.len(), 1);
            assert_eq!(body["page"]["count"], 1);
            found.push(results[0]["id"].as_str().expect("a string").to_owned());
            let token = body["page"]["next_token"].as_str().expect("a string");
            if token.is_empty() {
                break;
            }
            tokens.push(token.to_owned());
            request["page"]["token"] = json!(token);
        }
        found.sort();
        assert_eq!(found, ["alice", "bob"]);
        // A token of another question, and what is none.
        let other = changed(request.clone(), |r| r["action"]["name"] = json!("write"));
        refuses(client, SUBJECT, &other);
        for bad in [json!("x"), json!("0123456789abcdef00"), json!(7)] {
            refuses(
                client,
                SUBJECT,
                &changed(request.clone(), |r| r["page"]["token"] = bad),
            );
        }
        for bad in [json!(-1), json!("1"), json!(0.5)] {
            refuses(
                client,
                SUBJECT,
                &changed(request.clone(), |r| r["page"] = json!({ "limit": bad })),
            );
        }
        assert_eq!(tokens.len(), 1);
    });
}

/// 6: the metadata.
#[test]
fn discovery() {
    certify(|client| {
        let body = ok(&client.get("/.well-known/authzen-configuration"));
        assert_eq!(body["policy_decision_point"], "https://sidecar");
        assert_eq!(
            body["access_evaluation_endpoint"],
            "https://sidecar/access/v1/evaluation"
        );
        for endpoint in [
            "access_evaluations_endpoint",
            "search_subject_endpoint",
            "search_resource_endpoint",
            "search_action_endpoint",
        ] {
            let url = body[endpoint].as_str().expect("a URL");
            let path = url.strip_prefix("https://sidecar").expect("the same host");
            assert_ne!(client.post(path, &json!({})).status, 404);
        }
    });
}
