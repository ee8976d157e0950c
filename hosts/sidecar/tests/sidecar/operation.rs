//! Operation: reloads, readiness, metrics, limits, ending.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::native::{Folder, folder};
use crate::server::Sidecar;

const PERMIT: &str = "permit (principal, action, resource);";
const FORBID: &str = "forbid (principal, action, resource);";
const TOKEN: &str = "a-token-of-the-tests";

fn call() -> Value {
    json!({
        "principal": "User::\"ann\"",
        "action": "Action::\"view\"",
        "resource": "Doc::\"a\"",
    })
}

fn decision(client: &mut Client) -> String {
    let answer = client.post("/v1/is_authorized", &call());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["decision"]
        .as_str()
        .expect("a string")
        .to_owned()
}

fn write(folder: &Path, policies: &str) {
    std::fs::write(folder.join("policies.cedar"), policies).expect("a file");
}

/// A folder with a configuration that has an admin API.
fn administered(name: &str) -> Folder {
    let folder = folder(name, PERMIT, "[tokens]\nadmin = \"tokens\"\n");
    std::fs::write(folder.join("tokens"), format!("# for tests\n{TOKEN}\n")).expect("a file");
    folder
}

fn admin(client: &mut Client, method: &str, path: &str) -> (u16, Value) {
    let bearer = format!("Bearer {TOKEN}");
    let answer = client.request(method, path, &[("authorization", &bearer)], b"");
    (answer.status, answer.json())
}

#[test]
fn reloads_are_all_or_nothing() {
    let folder = administered("reload");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    assert_eq!(decision(&mut client), "allow");
    write(&folder, FORBID);
    assert_eq!(decision(&mut client), "allow");
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload");
    assert_eq!((status, &body["generation"]), (200, &json!(2)), "{body}");
    assert_eq!(decision(&mut client), "deny");
    // What cannot be read changes nothing, and says why.
    write(&folder, "permit (");
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload");
    assert_eq!((status, &body["generation"]), (409, &json!(2)), "{body}");
    let error = body["reload_error"].as_str().expect("a reason");
    assert!(error.contains("policies.cedar"), "{error}");
    assert_eq!(decision(&mut client), "deny");
    let metrics = client.get("/metrics").text();
    let failed = r#"cedarjit_reloads_total{what="policies",result="failed"} 1"#;
    assert!(metrics.contains(failed), "{metrics}");
    write(&folder, PERMIT);
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload");
    assert_eq!(
        (status, &body["reload_error"]),
        (200, &Value::Null),
        "{body}"
    );
    assert_eq!(decision(&mut client), "allow");
}

#[test]
fn a_saved_engine_is_served_and_loaded_anew() {
    let more = "saved = \"engine.saved\"\ntrust_saved = true\nchanges = \"changes.redb\"\n\
                [tokens]\nadmin = \"tokens\"\n";
    let folder = folder("saved", PERMIT, "");
    std::fs::write(folder.join("tokens"), TOKEN).expect("a file");
    std::fs::write(folder.join("cedarjit.toml"), more).expect("a file");
    let save = |policies: &str| {
        let engine = cedarjit::Engine::builder().policies_str(policies).build();
        let mut file = Vec::new();
        engine.expect("an engine").save(&mut file).expect("bytes");
        std::fs::write(folder.join("engine.saved"), file).expect("a file");
    };
    save(PERMIT);
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    assert_eq!(decision(&mut client), "allow");
    save(FORBID);
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload");
    assert_eq!((status, &body["generation"]), (200, &json!(2)), "{body}");
    assert_eq!(decision(&mut client), "deny");
    // What is damaged changes nothing, and says why.
    let mut file = std::fs::read(folder.join("engine.saved")).expect("a file");
    file.pop();
    std::fs::write(folder.join("engine.saved"), file).expect("a file");
    let (status, body) = admin(&mut client, "POST", "/admin/v1/reload");
    assert_eq!((status, &body["generation"]), (409, &json!(2)), "{body}");
    let error = body["reload_error"].as_str().expect("a reason");
    let told = "engine.saved: the saved engine is cut off in its index; save it again";
    assert!(error.contains(told), "{error}");
    assert_eq!(decision(&mut client), "deny");
}

#[test]
fn the_admin_api_takes_a_token() {
    let folder = administered("admin");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    for header in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a-token-of-the-test",
        "Basic a-token-of-the-tests",
    ] {
        let answer = client.request("GET", "/admin/v1/state", &[("authorization", header)], b"");
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(client.get("/admin/v1/state").status, 401);
    let (status, body) = admin(&mut client, "GET", "/admin/v1/state");
    assert_eq!((status, &body["policies"]), (200, &json!(1)), "{body}");
    assert!(body["tier"].is_string() && body["memory_bytes"].as_u64() > Some(0));
    // Without tokens there is no admin API.
    let sidecar = Sidecar::start("examples/authzen-search/cedarjit.toml");
    let mut client = Client::connect(sidecar.address);
    assert_eq!(admin(&mut client, "GET", "/admin/v1/state").0, 404);
}

#[test]
fn decisions_take_a_token_if_told_so() {
    let folder = folder("tokens", PERMIT, "[tokens]\napi = \"tokens\"\n");
    std::fs::write(folder.join("tokens"), TOKEN).expect("a file");
    let config = folder.join("cedarjit.toml");
    let sidecar = Sidecar::configured(&config, |_| {});
    let mut client = Client::connect(sidecar.address);
    let (body, bearer) = (call().to_string(), format!("bearer {TOKEN}"));
    for path in [
        "/v1/is_authorized",
        "/access/v1/evaluation",
        "/access/v1/search/subject",
    ] {
        assert_eq!(client.post_text(path, &body).status, 401);
    }
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &bearer),
    ];
    let answer = client.request("POST", "/v1/is_authorized", &headers, body.as_bytes());
    assert_eq!(answer.status, 200);
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn changed_files_are_loaded() {
    let folder = folder("watch", PERMIT, "");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    assert_eq!(decision(&mut client), "allow");
    let replace = |policies: &str| {
        // As editors and deployments do: a new file takes the place of the old one.
        let next = folder.join("next");
        std::fs::write(&next, policies).expect("a file");
        std::fs::rename(next, folder.join("policies.cedar")).expect("renamed");
    };
    // Before anybody watches, and then while somebody does.
    replace(FORBID);
    let watcher = sidecar.within(|state| cedarjit_sidecar::reload::watch(&state));
    let _watcher = watcher.expect("a watcher");
    for (expected, next) in [
        ("deny", Some(PERMIT)),
        ("allow", Some(FORBID)),
        ("deny", None),
    ] {
        let patience = Instant::now() + Duration::from_secs(20);
        while decision(&mut client) != expected {
            assert!(Instant::now() < patience, "the change is not seen");
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Some(next) = next {
            replace(next);
        }
    }
}

#[test]
fn metrics_count() {
    let sidecar = Sidecar::start("examples/authzen-search/cedarjit.toml");
    let mut client = Client::connect(sidecar.address);
    let ask = |client: &mut Client, principal: &str, action: &str| {
        let call = json!({
            "principal": format!("user::\"{principal}\""),
            "action": format!("Action::\"{action}\""),
            "resource": "record::\"101\"",
        });
        client.post("/v1/is_authorized", &call).status
    };
    assert_eq!(ask(&mut client, "alice", "view"), 200);
    assert_eq!(ask(&mut client, "alice", "edit"), 200);
    assert_eq!(ask(&mut client, "erin", "view"), 200);
    // A user that nobody knows has no department: a policy fails.
    assert_eq!(ask(&mut client, "nobody", "view"), 200);
    assert_eq!(ask(&mut client, "alice", "buy"), 400);
    let answer = client.get("/metrics");
    assert_eq!(answer.status, 200);
    let metrics = answer.text();
    for line in [
        r#"cedarjit_decisions_total{result="allow"} 2"#,
        r#"cedarjit_decisions_total{result="deny"} 2"#,
        r#"cedarjit_decisions_total{result="refused"} 1"#,
        "cedarjit_policy_errors_total 2",
        r#"cedarjit_http_requests_total{status="200"} 4"#,
        r#"cedarjit_http_requests_total{status="400"} 1"#,
        "cedarjit_bind_seconds_count 5",
        "cedarjit_decide_seconds_count 4",
        "cedarjit_http_request_seconds_count 5",
        "cedarjit_policies 4",
        "cedarjit_engine_generation 1",
        "# EOF",
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is not in\n{metrics}"
        );
    }
    let tiers: Vec<_> = metrics
        .lines()
        .filter(|l| l.starts_with("cedarjit_tier{"))
        .collect();
    assert_eq!(tiers.len(), 3);
    assert_eq!(tiers.iter().filter(|l| l.ends_with(" 1")).count(), 1);
}

#[test]
fn limits_have_answers() {
    let folder = folder("limits", PERMIT, "");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |config| {
        config.limits.body_bytes = 1000;
        config.limits.concurrency = 2;
        config.limits.header_time = Duration::from_millis(500);
        config.limits.body_time = Duration::from_millis(1500);
    });
    let mut client = Client::connect(sidecar.address);
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(1000));
    let answer = client.post_text("/v1/is_authorized", &long);
    assert_eq!(answer.status, 413, "{}", answer.text());
    // Two who do not send their bodies are two in work; a third is told to try again.
    let head = "POST /v1/is_authorized HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n";
    let mut slow: Vec<Client> = (0..2).map(|_| Client::connect(sidecar.address)).collect();
    for client in &mut slow {
        client.send(head.as_bytes()).expect("sent");
    }
    std::thread::sleep(Duration::from_millis(300));
    let mut third = Client::connect(sidecar.address);
    assert_eq!(third.post("/v1/is_authorized", &call()).status, 503);
    for mut client in slow {
        assert_eq!(client.receive().expect("an answer").status, 408);
    }
    // Who says nothing, or half a head, is hung up on.
    for begin in ["", "POST /v1/is_author"] {
        let mut idle = Client::connect(sidecar.address);
        idle.send(begin.as_bytes()).expect("sent");
        let started = Instant::now();
        let answer = idle.receive();
        assert!(
            answer.is_none_or(|answer| answer.status == 408),
            "{begin:?}"
        );
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn what_is_in_work_is_done_before_the_end() {
    let folder = folder("drain", PERMIT, "");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let body = call().to_string();
    let head = format!(
        "POST /v1/is_authorized HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::connect(sidecar.address);
    assert_eq!(client.get("/readyz").status, 200);
    client.send(head.as_bytes()).expect("sent");
    std::thread::sleep(Duration::from_millis(200));
    let (address, state) = (sidecar.address, sidecar.state.clone());
    let ending = std::thread::spawn(move || drop(sidecar));
    let patience = Instant::now() + Duration::from_secs(10);
    while state.is_ready() || std::net::TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < patience, "it still listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    client.send(body.as_bytes()).expect("sent");
    assert_eq!(client.receive().expect("an answer").status, 200);
    ending.join().expect("ended");
}

#[test]
fn sockets_in_the_file_system() {
    use std::io::{Read, Write};
    let folder = folder("socket", PERMIT, "");
    let socket = folder.join("s");
    let start = || {
        Sidecar::configured(&folder.join("cedarjit.toml"), |config| {
            let address = cedarjit_sidecar::config::Address::Unix(socket.clone());
            config.listen.push(address);
        })
    };
    // One that was left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let sidecar = start();
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).expect("a connection");
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(
        answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"),
        "{answer}"
    );
    drop(sidecar);
    assert!(!socket.exists());
}

#[test]
fn decisions_are_logged() {
    let log = "[decision_log]\nto = \"log.jsonl\"\nmask = [\"principal\"]\ncontext = true\n";
    let folder = folder("log", PERMIT, log);
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    sidecar.state.open_log().expect("a log");
    let mut client = Client::connect(sidecar.address);
    for _ in 0..100 {
        assert_eq!(decision(&mut client), "allow");
    }
    let mut refused = call();
    refused["resource"] = json!("nonsense");
    refused["context"] = json!({ "a": 1 });
    assert_eq!(client.post("/v1/is_authorized", &refused).status, 400);
    drop(sidecar);
    let text = std::fs::read_to_string(folder.join("log.jsonl")).expect("a log");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 101);
    let first = &lines[0];
    assert!(first["time_ms"].as_u64() > Some(1_700_000_000_000));
    assert_eq!(first["principal"], "*");
    assert_eq!(first["resource"], r#"Doc::"a""#);
    assert_eq!(first["decision"], "allow");
    assert_eq!(first["policies"], json!(["policy0"]));
    assert_eq!(lines[100]["decision"], "refused");
    assert_eq!(lines[100]["context"], json!({ "a": 1 }));
    assert!(!text.contains("ann"), "what is masked is nowhere");
}

#[test]
fn a_log_that_is_stuck_drops_lines_and_nothing_else() {
    let folder = folder(
        "stuck",
        PERMIT,
        "[decision_log]\nto = \"pipe\"\nqueue = 4\n",
    );
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no mkfifo");
        return;
    }
    // Somebody has it open who does not read.
    let open = || {
        std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&pipe)
    };
    let reader = open().expect("a pipe");
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    sidecar.state.open_log().expect("a log");
    let mut client = Client::connect(sidecar.address);
    let started = Instant::now();
    for _ in 0..3000 {
        assert_eq!(decision(&mut client), "allow");
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    let metrics = client.get("/metrics").text();
    let dropped = metrics
        .lines()
        .find_map(|line| line.strip_prefix("cedarjit_decision_log_dropped_total "))
        .and_then(|n| n.parse::<u64>().ok());
    assert!(dropped > Some(0), "{metrics}");
    drop(reader);
    drop(sidecar);
}

#[test]
fn decisions_are_checked_if_it_is_told_to() {
    let check = "[self_check]\none_in = 1\nfolder = \"differences\"\n";
    let folder = folder("self-check", PERMIT, check);
    let sidecar = Sidecar::configured(&folder.join("cedarjit.toml"), |_| {});
    let mut client = Client::connect(sidecar.address);
    for _ in 0..10 {
        assert_eq!(decision(&mut client), "allow");
    }
    sidecar.state.current().engine().wait_checked();
    let metrics = client.request("GET", "/metrics", &[], b"").text();
    for line in [
        "cedarjit_engine_checked_decisions 10",
        "cedarjit_engine_unchecked_decisions 0",
        "cedarjit_engine_interpreted_policies 0",
        "cedarjit_wrong_answers_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
    assert!(folder.join("differences").is_dir());
}
