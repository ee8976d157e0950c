//! The sidecar behind real gateways, and under malformed calls.
//!
//! The gateways are looked for in the folder `CEDARJIT_GATEWAYS`, then in `PATH`; `.ci/gateways`
//! installs them. One that is missing makes its test say that it skips, or fail if
//! `CEDARJIT_REQUIRE_GATEWAYS` is set.

mod fuzz;
mod mtls;
mod scenario;
mod world;

use scenario::{Expected, Setup, scenario};

/// Tokens for envoy.yaml: for ann, whose address is verified, and for bob, whose is not. Valid
/// until 2100.
const ANN: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImV4YW1wbGUifQ.\
    eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoidG9kb3MiLCJzdWIiOiJhbm4iLCJlbWFpbF92ZXJp\
    ZmllZCI6dHJ1ZSwiZXhwIjo0MTAyNDQ0ODAwfQ.HztaCRr3wFvAq4IkJMOs76a3tHpU37Y-T1K6BwlydzM";
const BOB: &str = "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImV4YW1wbGUifQ.\
    eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoidG9kb3MiLCJzdWIiOiJib2IiLCJlbWFpbF92ZXJp\
    ZmllZCI6ZmFsc2UsImV4cCI6NDEwMjQ0NDgwMH0.avvPw68F8BVfZpoJ4v6FNkMCDHashxvSNkNM2Kqb9iA";

pub(crate) const ENVOY: Setup = Setup {
    tool: "envoy",
    config: "envoy.yaml",
    sidecar: "envoy.toml",
    arguments: &[
        "-c",
        "envoy.yaml",
        "--disable-hot-restart",
        "--concurrency",
        "1",
        "--log-level",
        "warn",
    ],
    ann: ANN,
    bob: BOB,
    says_why: true,
    expected: Expected {
        slow: &[503],
        killed: &[503],
        dead: &[503],
    },
};

#[test]
fn envoy() {
    let mut gateway = scenario(&ENVOY);
    let Some(gateway) = &mut gateway else { return };
    // What became of requests is in Envoy's own log, by way of dynamic metadata.
    let log = gateway.end();
    let line = |start: &str| {
        let found = log.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no line {start} in\n{log}"))
            .to_owned()
    };
    let allowed = line("GET /todos/1 200 ");
    assert!(allowed.contains(r#""decision":"allow""#), "{allowed}");
    assert!(allowed.contains(r#""owner-does-all""#), "{allowed}");
    let denied = line("DELETE /todos/2 403 ");
    assert!(denied.contains(r#""decision":"deny""#), "{denied}");
    assert!(denied.contains(r#""verified-changes""#), "{denied}");
    let refused = line("GET /todos/1 401 ");
    assert!(
        refused.contains("the request has no {jwt.sub}"),
        "{refused}"
    );
}

#[test]
fn nginx() {
    scenario(&Setup {
        tool: "nginx",
        config: "nginx.conf",
        sidecar: "forward-auth.toml",
        arguments: &["-p", ".", "-c", "nginx.conf", "-e", "stderr"],
        ann: "X-Api-Key: key-of-ann",
        bob: "X-Api-Key: key-of-bob",
        says_why: false,
        expected: Expected {
            slow: &[500],
            killed: &[500],
            dead: &[500],
        },
    });
}

#[test]
fn caddy() {
    scenario(&Setup {
        tool: "caddy",
        config: "Caddyfile",
        sidecar: "forward-auth.toml",
        arguments: &["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        ann: "X-Api-Key: key-of-ann",
        bob: "X-Api-Key: key-of-bob",
        says_why: true,
        expected: Expected {
            slow: &[502, 504],
            killed: &[502],
            dead: &[502],
        },
    });
}

#[test]
fn the_example_has_no_mistakes() {
    for config in ["envoy.toml", "forward-auth.toml"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = Some(folder.join("../../examples/gateways").join(config));
        let args = cedarjit_sidecar::ServeArgs {
            config,
            ..Default::default()
        };
        let verdict = cedarjit_sidecar::check(&args).expect("no mistakes");
        assert!(verdict.starts_with("3 policies, "), "{verdict}");
    }
}

/// Not a test: the sidecar, if this process was started to be one.
#[test]
fn sidecar_process() {
    world::be_the_sidecar();
}
