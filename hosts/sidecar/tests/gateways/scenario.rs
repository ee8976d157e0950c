//! What every gateway goes through: allow, deny, and a decision point that is slow, killed while it
//! is asked, and dead.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{self, Folder, Process, Upstream, free_address, sidecar};

/// A gateway, and how it is told what.
pub(crate) struct Setup {
    /// Its program.
    pub(crate) tool: &'static str,
    /// Its configuration in the example.
    pub(crate) config: &'static str,
    /// The sidecar's configuration in the example.
    pub(crate) sidecar: &'static str,
    /// What the program is started with, in the folder of its configuration.
    pub(crate) arguments: &'static [&'static str],
    /// The header that proves to be ann.
    pub(crate) ann: &'static str,
    /// The header that proves to be bob.
    pub(crate) bob: &'static str,
    /// Whether clients get body and headers of a denial from the sidecar.
    pub(crate) says_why: bool,
    /// What clients get when there is no decision.
    pub(crate) expected: Expected,
}

/// The statuses that clients may get when there is no decision.
pub(crate) struct Expected {
    pub(crate) slow: &'static [u16],
    pub(crate) killed: &'static [u16],
    pub(crate) dead: &'static [u16],
}

/// A gateway that runs, with everything around it.
pub(crate) struct Gateway {
    process: Process,
    address: SocketAddr,
    upstream: Upstream,
    folder: Folder,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// How long a client waits; longer than any gateway waits for the sidecar.
const PATIENCE: &str = "10";

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[&str]) -> Answer {
    let url = format!("http://{address}{path}");
    let mut curl = Command::new("curl");
    curl.args([
        "-s",
        "-i",
        "--path-as-is",
        "--max-time",
        PATIENCE,
        "-X",
        method,
        &url,
    ]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let output = curl.output().expect("curl");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        // No answer is none of those that are expected.
        status: status.unwrap_or(0),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

impl Gateway {
    /// Starts it, with a server behind it; the sidecar is to be at `decider`. These texts are exchanged
    /// in the example, and `prepare` gets its folder.
    pub(crate) fn start(
        setup: &Setup,
        program: &Path,
        decider: SocketAddr,
        more: &[(&str, String)],
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let (upstream, address) = (Upstream::start(), free_address());
        let port = |port: &str, address: SocketAddr| {
            [
                (format!("127.0.0.1:{port}"), address.to_string()),
                (
                    format!("port_value: {port}"),
                    format!("port_value: {}", address.port()),
                ),
            ]
        };
        let exchange = [
            port("8180", decider),
            port("8080", address),
            port("9000", upstream.address),
        ];
        let exchange = exchange.concat();
        let mut exchange: Vec<_> = exchange
            .iter()
            .map(|(a, b)| (a.as_str(), b.clone()))
            .collect();
        exchange.extend_from_slice(more);
        let folder = Folder::of_example(setup.tool, &exchange);
        assert!(
            folder.path().join(setup.config).is_file(),
            "{}",
            setup.config
        );
        prepare(folder.path());
        let mut command = Command::new(program);
        command
            .args(setup.arguments)
            .current_dir(folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path());
        let mut process = Process::start(&mut command, folder.path().join("gateway.log"));
        process.wait_for(address);
        Self {
            process,
            address,
            upstream,
            folder,
        }
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        ask(self.address, method, path, headers)
    }

    /// Asks for what must not reach the server behind.
    fn denied(&self, method: &str, path: &str, headers: &[&str], statuses: &[u16]) -> Answer {
        let before = self.upstream.asked();
        let answer = self.ask(method, path, headers);
        let told = || {
            format!(
                "{method} {path}: {answer:?}, not {statuses:?}\n{}",
                self.process.log()
            )
        };
        assert!(statuses.contains(&answer.status), "{}", told());
        assert_eq!(self.upstream.asked(), before, "{}", told());
        answer
    }

    /// Asks for what must reach the server behind, until it does: gateways take a moment to find
    /// that the sidecar is there again.
    fn allowed_soon(&self, path: &str, headers: &[&str]) {
        let since = Instant::now();
        loop {
            let answer = self.ask("GET", path, headers);
            if answer.status == 200 {
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(15), "{answer:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Ends it, and gives what it has said.
    pub(crate) fn end(&mut self) -> String {
        self.process.end();
        self.process.log()
    }
}

/// The program of a gateway. `None`, after saying so, if it or curl is not there.
pub(crate) fn program(tool: &str) -> Option<PathBuf> {
    match (world::tool(tool), world::tool("curl")) {
        (Some(program), Some(_)) => Some(program),
        (program, _) => {
            let name = program.map_or(tool, |_| "curl");
            let required = std::env::var_os("CEDARJIT_REQUIRE_GATEWAYS").is_some();
            assert!(
                !required,
                "{name} is not installed, and CEDARJIT_REQUIRE_GATEWAYS is set"
            );
            eprintln!("SKIPPED: {name} is not installed; .ci/gateways installs it");
            None
        }
    }
}

/// Takes a gateway through everything. `None`, after saying so, if it is not there.
pub(crate) fn scenario(setup: &Setup) -> Option<Gateway> {
    let program = program(setup.tool)?;
    let decider = free_address();
    let gateway = Gateway::start(setup, &program, decider, &[], |_| ());
    let mut process = sidecar(&gateway.folder, setup.sidecar, decider);
    decides(&gateway, setup);
    confuses_nobody(&gateway, setup);
    without_decisions(&gateway, setup, &mut process, decider);
    assert!(!process.log().contains("panicked"), "{}", process.log());
    eprintln!(
        "{}: allow, deny, slow, killed and dead are as expected",
        setup.tool
    );
    Some(gateway)
}

fn decides(gateway: &Gateway, setup: &Setup) {
    gateway.allowed_soon("/todos/1", &[setup.ann]);
    let before = gateway.upstream.asked();
    let answer = gateway.ask("GET", "/todos/1?fields=a,b", &[setup.bob]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(
        answer
            .body
            .starts_with("upstream: GET /todos/1?fields=a,b HTTP/1."),
        "{answer:?}"
    );
    assert_eq!(gateway.upstream.asked(), before + 1);
    assert_eq!(gateway.ask("PUT", "/todos/1", &[setup.ann]).status, 200);

    let denied = gateway.denied("PUT", "/todos/1", &[setup.bob], &[403]);
    if setup.says_why {
        assert_eq!(denied.body, "denied by policy\n", "{denied:?}");
        assert!(
            denied.head.contains("\r\nx-denied-by: cedarjit"),
            "{denied:?}"
        );
        let status = if setup.tool == "envoy" { 403 } else { 200 };
        // Envoy tells whether bob's address is verified; the other gateways know nothing of that.
        assert_eq!(
            gateway.ask("DELETE", "/todos/2", &[setup.bob]).status,
            status
        );
    }
    // Nobody, and nobody who says that he is somebody.
    gateway.denied("GET", "/todos/1", &[], &[401]);
    gateway.denied("GET", "/todos/1", &["X-User: ann", "X-Api-Key: x"], &[401]);
    gateway.denied("GET", "/todos/9", &[setup.ann], &[403]);
    gateway.denied("GET", "/elsewhere", &[setup.ann], &[403]);
    gateway.denied("PATCH", "/todos/1", &[setup.ann], &[403]);
}

/// Asks in ways that the gateway, the sidecar and the server behind could read differently.
fn confuses_nobody(gateway: &Gateway, setup: &Setup) {
    let statuses = [400, 403, 404];
    for path in [
        "/todos/1/../2",
        "/todos/%2e%2e/todos/2",
        "/todos/1%2F..%2F2",
        "/todos/1%5c..%5c2",
        "/todos/%252e%252e/2",
        "/todos//2",
        "/todos/1;x=y",
        "/todos/1/..;/2",
        "/todos/2%00",
        "/todos/2%2",
        "/%2e/todos/2",
    ] {
        gateway.denied("GET", path, &[setup.ann], &statuses);
    }
    // The client tells the sidecar of another request than it makes, in all names there are.
    let lies = [
        "X-Original-URI: /todos/1",
        "X-Original-Method: GET",
        "X-Forwarded-Uri: /todos/1",
        "X-Forwarded-Method: GET",
        "X-Envoy-Original-Path: /todos/1",
        "X-HTTP-Method-Override: GET",
        setup.ann,
    ];
    gateway.denied("GET", "/todos/2", &lies, &[403]);
    gateway.denied("DELETE", "/todos/2", &lies, &[403]);
}

fn without_decisions(gateway: &Gateway, setup: &Setup, process: &mut Process, decider: SocketAddr) {
    let expected = &setup.expected;
    let ann = &[setup.ann];
    process.signal("STOP");
    gateway.denied("GET", "/todos/1", ann, expected.slow);
    process.signal("CONT");
    gateway.allowed_soon("/todos/1", ann);

    // Killed while it is asked: it does not come to answer, and its connections end.
    process.signal("STOP");
    let before = gateway.upstream.asked();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| gateway.ask("GET", "/todos/1", ann));
        std::thread::sleep(Duration::from_millis(400));
        process.kill();
        asked.join().expect("an answer")
    });
    assert!(expected.killed.contains(&answer.status), "{answer:?}");
    assert_eq!(gateway.upstream.asked(), before, "{answer:?}");

    gateway.denied("GET", "/todos/1", ann, expected.dead);
    gateway.denied("GET", "/todos/1", &[], expected.dead);
    *process = sidecar(&gateway.folder, setup.sidecar, decider);
    gateway.allowed_soon("/todos/1", ann);
}
