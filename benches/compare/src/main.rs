//! Compares cedarjit with cedar-policy, regorus and hand-written Rust on the reader's machine, and
//! writes the report.

mod alloc;
mod clock;
mod engines;
mod machine;
mod measure;
mod report;
mod suites;

use cedarjit_bench::Error;
use clap::Parser;
use machine::Machine;
use measure::Effort;
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use suites::Run;

#[global_allocator]
static ALLOCATOR: alloc::Counted = alloc::Counted;

/// Compares cedarjit with its peers; writes docs/benchmarks and the summary in README.md.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure for a look, about a minute, and not to publish.
    #[arg(long)]
    quick: bool,

    /// Measure only the rows with this name or beginning; may be given again.
    #[arg(long, value_name = "ROW")]
    only: Vec<String>,

    /// Print the rows' names.
    #[arg(long)]
    list: bool,

    /// Where the report goes; by default docs/benchmarks for a whole run, and a folder in the
    /// build directory for one that is not, or that had to skip something.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), Error> {
    let names = suites::row_names();
    if arguments.list {
        println!("{}", names.join("\n"));
        return Ok(());
    }
    for only in &arguments.only {
        if !names.iter().any(|name| name.starts_with(only.as_str())) {
            return Err(format!("there is no row {only}; --list lists them").into());
        }
    }
    if cfg!(debug_assertions) {
        return Err("this measures optimised code only: add --release".into());
    }
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let mut run = Run {
        effort,
        only: arguments.only.clone(),
        rows: Vec::new(),
        measurements: Vec::new(),
        skipped: Vec::new(),
    };
    let mut machine = Machine::look();
    suites::applications::run(&mut run)?;
    suites::batch::run(&mut run)?;
    suites::policies::run(&mut run)?;
    suites::load::run(&mut run)?;
    suites::distinct::run(&mut run)?;
    suites::memory::run(&mut run)?;
    machine.done();
    let report = Report {
        machine,
        arguments: arguments_given(arguments),
        rows: run.rows,
        skipped: run.skipped,
        measurements: run.measurements,
    };
    report.print();
    // What is not whole must not overwrite the published report.
    let whole = arguments.is_whole() && report.skipped.is_empty();
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None if whole => here().join("../../docs/benchmarks"),
        None => here().join("target/benchmarks"),
    };
    report.write(&out)?;
    eprintln!("wrote {}", out.display());
    if whole && arguments.out.is_none() {
        report.update_readme(&here().join("../../README.md"))?;
        eprintln!("wrote the summary in README.md");
    }
    Ok(())
}

impl Arguments {
    /// Whether everything is to be measured as carefully as possible.
    fn is_whole(&self) -> bool {
        !self.quick && self.only.is_empty()
    }
}

/// The folder of this crate.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What decides on the figures.
fn arguments_given(arguments: &Arguments) -> Vec<String> {
    let quick = arguments.quick.then(|| "--quick".to_owned());
    let only = arguments.only.iter().map(|only| format!("--only {only}"));
    quick.into_iter().chain(only).collect()
}
