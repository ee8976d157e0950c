//! `cedarjit campaign`: every engine against cedar-policy over generated worlds.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use cedar_policy_cli::CedarExitCode;
use cedarjit_tests::differential::campaign::{Campaign, State};
use cedarjit_tests::differential::shrink;
use cedarjit_tests::engines::{CedarEngine, Mode, engines, engines_of};
use cedarjit_tests::generator::Knobs;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use miette::{IntoDiagnostic, Result};

use crate::output;

/// How many mismatches are made small: it takes seconds each, and most have one cause.
const SHRUNK: usize = 5;

/// How many smaller cases are tried for each.
const TRIES: usize = 4_000;

/// Arguments of `campaign`.
#[derive(Args, Debug)]
pub(crate) struct CampaignArgs {
    /// Number of requests to compare, those of the runs that `--state` goes on from included
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    requests: usize,
    /// File that keeps how far the campaign has got; a later run goes on from there
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Folder that mismatches are written to, each as a test that `conformance` runs
    #[arg(long, value_name = "DIR", default_value = "mismatches")]
    write: PathBuf,
    /// Of the ways to ask that mostly test cedar-policy's parsers, one request in N
    #[arg(long, value_name = "N", default_value = "16")]
    sample: NonZero<usize>,
    /// Compare only this mode; may be repeated
    #[arg(long, value_name = "MODE", value_parser = mode)]
    engine: Vec<Mode>,
    /// Fail too if some construct of the language was never executed, or never came to something
    /// that it can come to
    #[arg(long)]
    complete: bool,
    /// Print how often every construct of the language was executed, and what it came to
    #[arg(long)]
    coverage: bool,
    /// Number of threads (one per processor if not given)
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

/// The mode of that name.
fn mode(name: &str) -> std::result::Result<Mode, UnknownMode> {
    Mode::by_name(name).ok_or(UnknownMode)
}

/// There is no mode of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no such mode; there are {}", Mode::ALL.iter().map(|mode| mode.name()).collect::<Vec<_>>().join(", "))]
struct UnknownMode;

/// Runs the campaign; prints and writes every mismatch, and a summary.
pub(crate) fn campaign(args: &CampaignArgs) -> CedarExitCode {
    match try_campaign(args) {
        Ok(true) => CedarExitCode::Success,
        Ok(false) => CedarExitCode::Failure,
        Err(report) => {
            output::complain(&report);
            CedarExitCode::Failure
        }
    }
}

fn try_campaign(args: &CampaignArgs) -> Result<bool> {
    let threads = args
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZero::get);
    let campaign = Campaign {
        knobs: Knobs::campaign(),
        threads,
        requests: args.requests,
        sample: args.sample,
        modes: match args.engine.as_slice() {
            [] => Mode::ALL.to_vec(),
            modes => modes.to_vec(),
        },
        state: args.state.clone(),
    };
    let bar = bar(args.requests);
    let state = campaign
        .run(&mut |state| show(&bar, state))
        .into_diagnostic()?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    output::written(print(&mut out, &state, &args.write))?;
    let rate = state.rate();
    let each = rate / threads as f64;
    // Some modes alone need not count what is executed.
    let missing = match args.engine.as_slice() {
        [] => state.report.coverage.missing(),
        _ => Vec::new(),
    };
    for missing in &missing {
        output::written(writeln!(out, "never executed: {missing}"))?;
    }
    if args.coverage {
        output::written(writeln!(out, "{}\n", state.report.coverage))?;
    }
    output::written(writeln!(
        out,
        "documents, sound and spoiled:\n{}",
        state.documents
    ))?;
    let summary = format!(
        "{}\n{rate:.0} requests a second, {each:.0} for each of {threads} threads",
        state.report
    );
    output::written(writeln!(out, "{summary}").and_then(|()| out.flush()))?;
    Ok(state.passed() && (missing.is_empty() || !args.complete))
}

/// Prints the mismatches, the first few made small and written to `folder`.
fn print(out: &mut impl Write, state: &State, folder: &Path) -> io::Result<()> {
    for (seed, mode) in &state.earlier {
        writeln!(out, "an earlier run found: seed {seed}, {mode}")?;
    }
    for (seed, reason) in &state.report.rejections {
        writeln!(
            out,
            "cedar-policy refuses the world of seed {seed}: {reason}"
        )?;
    }
    let (first, rest) = state
        .mismatches()
        .split_at(SHRUNK.min(state.mismatches().len()));
    for mismatch in first {
        let engines = engines_of(&[&mismatch.engine]).unwrap_or_else(engines);
        let small = shrink(mismatch, &CedarEngine, &engines, TRIES).mismatch;
        let name = format!(
            "{}-{}",
            small.engine,
            small.seed.map_or_else(String::new, |seed| seed.to_string())
        );
        small.write(folder, &name)?;
        let file = folder.join(name).with_extension("json");
        writeln!(
            out,
            "{small}--- again: cedarjit conformance {}\n",
            file.display()
        )?;
    }
    for mismatch in rest {
        let seed = mismatch.seed.unwrap_or_default();
        writeln!(out, "{} differs too, seed {seed}", mismatch.engine)?;
    }
    for mismatch in &state.documents.mismatches {
        writeln!(out, "{mismatch}\n")?;
    }
    Ok(())
}

/// A bar on stderr; nothing at all where that is not a terminal.
fn bar(requests: usize) -> ProgressBar {
    let bar = ProgressBar::new(requests as u64);
    let template = "{bar:40} {human_pos}/{human_len} requests, {elapsed} (left {eta}) {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, state: &State) {
    let report = &state.report;
    bar.set_position(report.requests as u64);
    bar.set_message(format!(
        "{:.0}/s, {} outcomes of constructs never seen, {} mismatches",
        state.rate(),
        report.coverage.missing().len(),
        report.mismatches.len() + state.earlier.len()
    ));
}
