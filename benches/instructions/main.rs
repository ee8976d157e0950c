//! Counts the instructions of binding and evaluating under callgrind, and compares with the counts
//! that the repository keeps.
//!
//! Called without `--measure`, this program runs itself under valgrind, once for each case; called
//! with it, it sets a case up and performs its operations in one function, which is all that
//! callgrind counts. `.ci/instructions` builds and calls it.

#![forbid(unsafe_code)]

mod case;
mod counts;

use case::Case;
use cedarjit_bench::Error;
use cedarjit_bench::apps::App;
use clap::Parser;
use counts::Counts;
use std::collections::BTreeMap;
use std::env::current_exe;
use std::process::{Command, ExitCode, Stdio};

/// How many percent a count may rise before that is a regression.
const TOLERANCE: f64 = 5.0;

/// Counts instructions a decision, and compares with benches/instructions.json.
#[derive(Debug, Parser)]
struct Arguments {
    /// Record the counts instead of comparing them.
    #[arg(long)]
    update: bool,

    /// Perform the operations of one case, of the application on stdin; for valgrind to run.
    #[arg(long, value_name = "CASE")]
    measure: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.measure {
        Some(name) => Case::measure(name).map(|()| true),
        None => count(arguments.update),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts every case, and records or compares. False if something got more expensive.
fn count(update: bool) -> Result<bool, Error> {
    let apps = App::all()?;
    let mut counted = BTreeMap::new();
    for app in &apps {
        for case in Case::of(app) {
            counted.insert(case.name(), under_callgrind(app, &case)?);
        }
    }
    let mut kept = Counts::read()?;
    if update {
        kept.record(&counted);
        kept.write()?;
        println!("recorded {} counts", counted.len());
        return Ok(true);
    }
    Ok(kept.compare(&counted, TOLERANCE))
}

/// The instructions of one operation of a case.
///
/// The application goes to the other process as it is: reading the archive under callgrind would
/// take longer than all the rest.
fn under_callgrind(app: &App, case: &Case) -> Result<f64, Error> {
    let mut child = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            // As in .ci/valgrind: policies are read on a large stack of their own, and valgrind must
            // not take the way there for one frame.
            "--main-stacksize=8388608",
            "--max-stackframe=4000000",
            // The one function that performs the operations, and what it calls.
            &format!("--toggle-collect=*{}*", case::COUNTED),
        ])
        .arg(current_exe()?)
        .args(["--measure", &case.name()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let stdin = child.stdin.take().ok_or("no stdin to write to")?;
    // If this fails the process has ended, and its own message says more.
    let written = serde_json::to_writer(stdin, app);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{} failed under valgrind:\n{said}", case.name()).into());
    }
    written?;
    let collected = said
        .lines()
        .find_map(|line| line.split("Collected :").nth(1))
        .and_then(|count| count.trim().parse::<f64>().ok())
        .filter(|count| *count > 0.0)
        .ok_or_else(|| format!("callgrind counted nothing for {}:\n{said}", case.name()))?;
    let operations = String::from_utf8_lossy(&output.stdout);
    let operations: f64 = operations.trim().parse()?;
    Ok(collected / operations)
}
