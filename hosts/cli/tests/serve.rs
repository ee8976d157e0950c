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
