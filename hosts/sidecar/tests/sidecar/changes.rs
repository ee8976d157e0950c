//! Changes by the admin API: all or nothing, and kept.

use std::path::Path;

use serde_json::{Value, json};

use crate::client::Client;
use crate::native::{Folder, folder};
use crate::server::Sidecar;

const TOKEN: &str = "a-token-of-the-tests";

const POLICIES: &str = r#"
@id("team")
permit (principal in Team::"red", action, resource);
@id("shared")
permit (principal == ?principal, action, resource == ?resource);
"#;

/// A folder with a configuration whose changes are kept.
fn kept(name: &str) -> Folder {
    let more = "changes = \"changes.redb\"\n[tokens]\nadmin = \"tokens\"\n";
    let folder = folder(name, POLICIES, more);
    std::fs::write(folder.join("tokens"), TOKEN).expect("a file");
    folder
}

fn start(folder: &Path) -> (Sidecar, Client) {
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let client = Client::connect(sidecar.address);
    (sidecar, client)
}

fn admin(client: &mut Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = match method {
        "GET" => Vec::new(),
        _ => body.to_string().into_bytes(),
    };
    let answer = client.request(method, path, &headers, &body);
    (answer.status, answer.json())
}

fn change(client: &mut Client, changes: &Value) -> (u16, Value) {
    let body = json!({ "changes": changes });
    admin(client, "POST", "/admin/v1/changes", &body)
}

/// Whether a principal may view a document.
fn may(client: &mut Client, principal: &str, doc: &str) -> bool {
    let call = json!({
        "principal": format!("User::\"{principal}\""),
        "action": "Action::\"view\"",
        "resource": format!("Doc::\"{doc}\""),
    });
    let answer = client.post("/v1/is_authorized", &call);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["decision"] == "allow"
}

fn member(id: &str) -> Value {
    let team = json!({"type": "Team", "id": "red"});
    let uid = json!({"type": "User", "id": id});
    json!({"upsert_entity": {"uid": uid, "attrs": {}, "parents": [team]}})
}

#[test]
fn changes_take_effect_and_are_there_after_a_start() {
    let folder = kept("changes");
    let (sidecar, mut client) = start(&folder);
    assert!(!may(&mut client, "zoe", "a"));
    let bob = json!({"type": "User", "id": "bob"});
    let made = change(
        &mut client,
        &json!([
            member("zoe"),
            {"link": {"template": "shared", "id": "l1",
                      "slots": {"?principal": bob, "?resource": "Doc::\"b\""}}},
            {"add_policy": {"id": "own", "policy": "forbid (principal, action, resource == Doc::\"c\");"}},
        ]),
    );
    assert_eq!(made, (200, json!({"made": 3})));
    let holds = |client: &mut Client| {
        assert!(may(client, "zoe", "a"));
        assert!(!may(client, "zoe", "c"));
        assert!(may(client, "bob", "b"));
        assert!(!may(client, "bob", "a"));
    };
    holds(&mut client);
    // A reload of the files does not lose them.
    let (status, _) = admin(&mut client, "POST", "/admin/v1/reload", &Value::Null);
    assert_eq!(status, 200);
    holds(&mut client);
    drop((client, sidecar));
    let (sidecar, mut client) = start(&folder);
    holds(&mut client);
    let made = change(
        &mut client,
        &json!([
            {"remove_policy": "l1"},
            {"remove_policy": "own"},
            {"remove_policy": "team"},
            {"remove_template": "shared"},
            {"remove_entity": {"type": "User", "id": "zoe"}},
        ]),
    );
    assert_eq!(made.0, 200, "{}", made.1);
    let (_, kept) = admin(&mut client, "GET", "/admin/v1/changes", &Value::Null);
    let expected = json!([
        {"remove_policy": "team"},
        {"remove_template": "shared"},
        {"remove_entity": {"type": "User", "id": "zoe"}},
    ]);
    assert_eq!(kept["changes"], expected);
    drop((client, sidecar));
    let (_sidecar, mut client) = start(&folder);
    assert!(!may(&mut client, "zoe", "a") && !may(&mut client, "bob", "b"));
}

#[test]
fn changes_are_made_together_or_not_at_all() {
    let folder = kept("refused");
    let (_sidecar, mut client) = start(&folder);
    let long = "x".repeat(20);
    let refused = [
        (
            json!([member("zoe"), {"remove_policy": "none"}]),
            409,
            "change 2 (policy none)",
        ),
        (
            json!([member("zoe"), {"add_policy": {"id": "p", "policy": "permit ("}}]),
            400,
            "change 2 (policy p): the policy cannot be read",
        ),
        (
            json!([member("zoe"), {"add_policy": {"id": "p", "policy": ""}}]),
            400,
            "must be one policy",
        ),
        (
            json!([member("zoe"), {"add_policy": {"id": "team", "policy": "permit (principal, action, resource);"}}]),
            409,
            "change 2 (policy team)",
        ),
        (
            json!([member("zoe"), {"upsert_entity": {"uid": {"type": "Team", "id": "red"}, "attrs": {},
                   "parents": [{"type": "User", "id": "zoe"}]}}]),
            409,
            "change 2 (entity Team::\"red\")",
        ),
        (
            json!([member("zoe"), {"upsert_entity": {"uid": 7}}]),
            400,
            "the entity cannot be read",
        ),
        (
            json!([member("zoe"), {"remove_entity": "no uid"}]),
            400,
            "`no uid` is not an entity uid",
        ),
        (
            json!([member("zoe"), {"forget": "everything"}]),
            400,
            "unknown variant `forget`",
        ),
        (
            json!([member("zoe"), {"link": {"template": "shared", "id": long, "slots": {"?x": "A::\"a\""}}}]),
            400,
            "`?x` is not a slot",
        ),
    ];
    for (changes, status, told) in refused {
        let (got, body) = change(&mut client, &changes);
        let error = body["error"].as_str().expect("an error");
        assert_eq!(got, status, "{changes}: {error}");
        assert!(error.contains(told), "{changes}: {error}");
    }
    assert!(!may(&mut client, "zoe", "a"));
    let (_, kept) = admin(&mut client, "GET", "/admin/v1/changes", &Value::Null);
    assert_eq!(kept, json!({"changes": []}));
}

#[test]
fn changes_that_do_not_fit_the_files_any_more_are_told() {
    let folder = kept("unfit");
    let (_sidecar, mut client) = start(&folder);
    let added =
        json!([{"add_policy": {"id": "own", "policy": "permit (principal, action, resource);"}}]);
    assert_eq!(change(&mut client, &added).0, 200);
    let files = format!("{POLICIES}@id(\"own\")\nforbid (principal, action, resource);");
    std::fs::write(folder.join("policies.cedar"), files).expect("a file");
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload", &Value::Null);
    assert_eq!(status, 409, "{body}");
    let error = body["reload_error"].as_str().expect("a reason");
    assert!(
        error.contains("changes.redb") && error.contains("change 1 (policy own)"),
        "{error}"
    );
    assert!(
        may(&mut client, "anybody", "a"),
        "the last good state stays"
    );
}

#[test]
fn without_a_journal_nothing_is_changed() {
    let folder = folder("unkept", POLICIES, "[tokens]\nadmin = \"tokens\"\n");
    std::fs::write(folder.join("tokens"), TOKEN).expect("a file");
    let (_sidecar, mut client) = start(&folder);
    let (status, body) = change(&mut client, &json!([member("zoe")]));
    assert_eq!(status, 409);
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|e| e.contains("changes = ")),
        "{body}"
    );
    assert!(!may(&mut client, "zoe", "a"));
}
