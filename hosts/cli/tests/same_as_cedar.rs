//! `cedarjit authorize` prints what `cedar authorize` prints.
//!
//! There is no `cedar` binary here, but its verbs are a library that prints to stdout. So this test
//! binary runs itself to have `cedar`'s output in a pipe.

mod common;

use std::process::Command;

use clap::Parser;
use common::{Run, on_tinytodo, run, tinytodo};

/// `cedar authorize`, with its command line taken from here, one argument a line.
const ARGUMENTS: &str = "CEDAR_AUTHORIZE_ARGUMENTS";
/// Printed before and after what `cedar` prints.
const MARK: &str = "-----8<-----";

#[derive(Parser)]
struct Authorize {
    #[command(flatten)]
    args: cedar_policy_cli::AuthorizeArgs,
}

#[test]
#[ignore = "not a test: what the test below runs"]
fn cedar_authorize() {
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let cli = Authorize::parse_from(arguments.lines());
    println!("{MARK}");
    let code = cedar_policy_cli::authorize(&cli.args) as i32;
    print!("{MARK}{code}{MARK}");
}

fn cedar(args: &[String]) -> (i32, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cedar_authorize", "--ignored", "--nocapture"])
        .env(ARGUMENTS, args.join("\n"))
        .output()
        .unwrap();
    let run = Run::from(output);
    let parts: Vec<_> = run.stdout.split(MARK).collect();
    let printed = parts[1].strip_prefix('\n').unwrap();
    (parts[2].parse().unwrap(), printed.to_owned())
}

#[test]
fn on_every_request_of_the_example() {
    let requests = std::fs::read_to_string(tinytodo("requests.jsonl")).unwrap();
    // Every third, up to the last: the one with errors.
    for (number, request) in requests.lines().enumerate().skip(1).step_by(3) {
        let request = common::file(&format!("same-{number}.json"), request);
        let args = on_tinytodo("authorize", &["--verbose", "--request-json", &request]);
        let ours = run(&args);
        let (code, theirs) = cedar(&args);
        assert_eq!(ours.stdout, theirs, "request {number}");
        assert_eq!(ours.code, Some(code), "request {number}");
        assert_eq!(ours.stderr, "");
    }
}
