//! `serve` as a process: it starts, answers, loads anew at SIGHUP and ends well at SIGTERM.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{file, run, scratch};

/// A sidecar that is ended if the test fails.
struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cedarjit"))
            .arg("serve")
            .args(args)
            .env("CEDARJIT_LISTEN", "127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let address = String::new();
        let mut serving = Self {
            child,
            stderr,
            address,
        };
        serving.address = serving.says("listening on ");
        serving
    }

    /// The rest of the next line, which begins so.
    fn says(&mut self, begin: &str) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        let said = line.trim_end().strip_prefix("cedarjit: ");
        let rest = said.and_then(|said| said.strip_prefix(begin));
        rest.unwrap_or_else(|| panic!("{line:?} does not begin with {begin:?}"))
            .to_owned()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// What it answers to a request of ann's.
    fn ask(&self) -> String {
        let body = r#"{"principal": "User::\"ann\"", "action": "Action::\"view\"", "resource": "Doc::\"a\""}"#;
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let head = "POST /v1/is_authorized HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                    content-type: application/json\r\n";
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        answer
    }
}

#[test]
fn it_answers_loads_anew_and_ends_well() {
    let policies = scratch("served.cedar");
    std::fs::write(&policies, "permit (principal, action, resource);").unwrap();
    let mut serving = Serving::start(&["--policies", &policies.display().to_string()]);
    assert!(serving.ask().contains(r#""decision":"allow""#));
    std::fs::write(&policies, "forbid (principal, action, resource);").unwrap();
    serving.signal("-HUP");
    serving.says("loaded policies");
    assert!(serving.ask().contains(r#""decision":"deny""#));
    std::fs::write(&policies, "forbid (principal").unwrap();
    serving.signal("-HUP");
    let why = serving.says("not loaded, the last good state stays: ");
    assert!(why.contains("served.cedar:1:"), "{why}");
    assert!(serving.ask().contains(r#""decision":"deny""#));
    serving.signal("-TERM");
    serving.says("ending");
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn mistakes_are_all_told_and_nothing_starts() {
    let config = file("mistaken.toml", "listen = \"0.0.0.0:1\"\nfoo = 1\n");
    let told = &[
        "mistaken.toml",
        "allow_remote",
        "policies",
        "is missing",
        "foo",
    ];
    run(&["serve", "--config", &config]).assert_fails_saying(told);
    run(&["serve", "--check", "--config", &config]).assert_fails_saying(told);
    let bad = file("bad-served.cedar", "permit (");
    run(&["serve", "--check", "--policies", &bad]).assert_fails_saying(&["bad-served.cedar"]);
    let good = file("good-served.cedar", "permit (principal, action, resource);");
    let checked = run(&["serve", "--check", "--policies", &good]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert_eq!(checked.stdout, "1 policies, 0 entities: no mistakes\n");
    // Somebody else is there already.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(&["serve", "--policies", &good, "--listen", &address])
        .assert_fails_saying(&["cannot listen on", &address]);
}

/// Asks for a change over a connection that stays open; whether it was acknowledged.
fn upsert(stream: &mut TcpStream, id: usize) -> bool {
    let uid = format!(r#"{{"type": "User", "id": "u{id}"}}"#);
    let entity = format!(r#"{{"uid": {uid}, "attrs": {{"n": {id}}}, "parents": []}}"#);
    let body = format!(r#"{{"changes": [{{"upsert_entity": {entity}}}]}}"#);
    let length = body.len();
    let request = format!(
        "POST /admin/v1/changes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    if stream.write_all(request.as_bytes()).is_err() {
        return false;
    }
    let mut answer = [0; 1024];
    match stream.read(&mut answer) {
        Ok(n) => answer[..n].starts_with(b"HTTP/1.1 200 OK\r\n"),
        Err(_) => false,
    }
}

/// The ids of all changes that are kept.
fn kept(address: &str) -> std::collections::BTreeSet<usize> {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /admin/v1/changes HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         authorization: Bearer {TOKEN}\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let changes = body["changes"].as_array().unwrap().iter();
    let id = |change: &serde_json::Value| change["upsert_entity"]["attrs"]["n"].as_u64().unwrap();
    changes.map(|change| id(change) as usize).collect()
}

const TOKEN: &str = "a-token-of-the-tests";

/// `CEDARJIT_KILLS` says how many times it is killed.
#[test]
fn killed_at_any_moment_it_loses_no_acknowledged_change() {
    let kills: usize = std::env::var("CEDARJIT_KILLS").map_or(8, |n| n.parse().unwrap());
    let folder = scratch("killed");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("policies.cedar", "permit (principal, action, resource);");
    write("tokens", TOKEN);
    write(
        "cedarjit.toml",
        "policies = \"policies.cedar\"\nchanges = \"changes.redb\"\n[tokens]\nadmin = \"tokens\"\n",
    );
    let config = folder.join("cedarjit.toml").display().to_string();
    let (mut acknowledged, mut next) = (std::collections::BTreeSet::new(), 0);
    for kill in 0..kills {
        let mut serving = Serving::start(&["--config", &config]);
        let there = kept(&serving.address);
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "after {kill} kills {lost:?} are lost");
        // What was written and not acknowledged may be there.
        acknowledged = there;
        let mut stream = TcpStream::connect(&serving.address).unwrap();
        let writer = std::thread::spawn(move || {
            let mut done = Vec::new();
            while upsert(&mut stream, next) {
                done.push(next);
                next += 1;
            }
            (done, next + 1)
        });
        // Other times of a period of 64 milliseconds each time.
        let wait = (kill * 37 % 64) as u64 * 1_000 + (kill * 411 % 1_000) as u64;
        std::thread::sleep(std::time::Duration::from_micros(wait));
        serving.child.kill().unwrap();
        serving.child.wait().unwrap();
        let (done, after) = writer.join().unwrap();
        acknowledged.extend(done);
        next = after;
    }
    let serving = Serving::start(&["--config", &config]);
    let there = kept(&serving.address);
    assert!(acknowledged.is_subset(&there));
    println!("{kills} kills, {} changes acknowledged", acknowledged.len());
    assert!(acknowledged.len() >= kills, "{}", acknowledged.len());
    drop(serving);
    std::fs::remove_dir_all(folder).unwrap();
}
