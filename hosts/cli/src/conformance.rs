//! `cedarjit conformance`: Cedar integration tests through every engine.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use cedar_policy_cli::CedarExitCode;
use cedarjit_tests::conformance::{Plan, Progress, Selection, Suite, run};
use cedarjit_tests::engines::{TestEngine, engines, engines_of};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use miette::{Diagnostic, IntoDiagnostic, Result};

use crate::output;

/// Arguments of `conformance`.
#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// Folders, `.tar.gz` archives or single test files in the Cedar integration-test format
    #[arg(value_name = "DIR|FILE", required = true)]
    suites: Vec<PathBuf>,
    /// Only the test of this name, as reports show it
    #[arg(long, value_name = "NAME")]
    test: Option<String>,
    /// Only the request at this position in its test, from 0
    #[arg(long, value_name = "N")]
    request: Option<usize>,
    /// At most N tests, spread evenly over all
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Only this engine (may be repeated; all if not given)
    #[arg(long, value_name = "ENGINE")]
    engine: Vec<String>,
    /// Number of threads (one per processor if not given)
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum Problem {
    #[error("no engine is called `{name}`")]
    #[diagnostic(help("the engines are {known}"))]
    Engine { name: String, known: String },
    #[error("no test is selected")]
    #[diagnostic(help("`--test` takes a test's name as reports show it"))]
    NothingToDo,
}

/// Runs the tests; prints every mismatch and a summary.
pub(crate) fn conformance(args: &ConformanceArgs) -> CedarExitCode {
    match try_conformance(args) {
        Ok(true) => CedarExitCode::Success,
        Ok(false) => CedarExitCode::Failure,
        Err(report) => {
            output::complain(&report);
            CedarExitCode::Failure
        }
    }
}

/// The engines that were asked for, in the order in which they are known.
pub(crate) fn selected_engines(names: &[String]) -> Result<Vec<Box<dyn TestEngine>>, Problem> {
    if names.is_empty() {
        return Ok(engines());
    }
    let known = || engines().iter().flat_map(|engine| engine.modes()).collect();
    engines_of(names).ok_or_else(|| {
        let known: Vec<&str> = known();
        let is_unknown = |name: &&String| !known.contains(&name.as_str());
        Problem::Engine {
            name: names.iter().find(is_unknown).cloned().unwrap_or_default(),
            known: known.join(", "),
        }
    })
}

fn try_conformance(args: &ConformanceArgs) -> Result<bool> {
    let engines = selected_engines(&args.engine)?;
    let suites = args.suites.iter().map(|path| Suite::open(path));
    let suites: Vec<_> = suites.collect::<Result<_, _>>().into_diagnostic()?;
    let selection = Selection {
        test: args.test.clone(),
        request: args.request,
        sample: args.sample,
    };
    let plan = Plan::new(&suites, &selection);
    if plan.is_empty() {
        return Err(Problem::NothingToDo.into());
    }
    let threads = args
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .unwrap_or(NonZero::<usize>::MIN);
    let bar = Bar::new(plan.len());
    let report = run(&plan, &engines, threads, &bar);
    bar.0.finish_and_clear();

    let names: Vec<_> = engines.iter().flat_map(|engine| engine.modes()).collect();
    let mut out = io::stdout().lock();
    let mut print = || -> io::Result<()> {
        for mismatch in &report.mismatches {
            writeln!(out, "{mismatch}\n")?;
        }
        writeln!(out, "{report} (engines: {})", names.join(", "))?;
        out.flush()
    };
    output::written(print())?;
    Ok(report.passed() && report.answers > 0)
}

/// A bar on stderr; nothing at all where that is not a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(tests: usize) -> Self {
        let bar = ProgressBar::new(tests as u64);
        let template = "{bar:40} {pos}/{len} tests, {elapsed} (left {eta}) {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn advance(&self, mismatches: usize) {
        self.0.inc(1);
        if mismatches > 0 {
            self.0.set_message("mismatches found");
        }
    }
}
