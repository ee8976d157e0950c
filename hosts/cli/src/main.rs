//! The `cedarjit` command line: the verbs of the `cedar` command line, with its flags and exit
//! codes, and eight of our own (`replay`, `save`, `serve`, `explain`, `analyze`, `diff`,
//! `conformance`, `campaign`).
//!
//! What cedar-policy's crates already do is called, not written again. `docs/cli.md` describes
//! every verb.

#![forbid(unsafe_code)]

mod analysis;
mod authorize;
mod campaign;
mod commands;
mod conformance;
mod engine;
mod explain;
mod guard;
mod load;
mod output;
mod replay;
mod request;
mod save;
mod serve;

use std::process::ExitCode;

use cedar_policy_cli::ErrorFormat;
use clap::Parser;
use miette::ErrorHook;

/// Stack of the thread that does the work, in bytes. cedar-policy's parser, and the drop of the
/// trees it makes, recurse on nested input: the usual 8 MiB do not hold all that it accepts.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    let cli = match commands::Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody is left to tell if the stream is gone.
            let _ = usage.print();
            // clap would end with 2, which is how `authorize` says "denied".
            return match usage.use_stderr() {
                true => ExitCode::FAILURE,
                false => ExitCode::SUCCESS,
            };
        }
    };
    set_error_format(cli.err_fmt);
    output::be_quiet_about_closed_pipes();
    let worker = std::thread::Builder::new().stack_size(STACK);
    match worker.spawn(move || commands::run(cli.command)) {
        Ok(worker) => worker.join().unwrap_or(ExitCode::FAILURE),
        Err(error) => {
            output::complain(&load::Failure::Thread(error).into());
            ExitCode::FAILURE
        }
    }
}

/// Makes every error report, here and in cedar-policy's verbs, take the form that was asked for.
fn set_error_format(format: ErrorFormat) {
    let hook: Option<ErrorHook> = match format {
        ErrorFormat::Human => None,
        ErrorFormat::Plain => Some(Box::new(|_| {
            Box::new(miette::NarratableReportHandler::new())
        })),
        ErrorFormat::Json => Some(Box::new(|_| Box::new(miette::JSONReportHandler::new()))),
    };
    if let Some(hook) = hook {
        // It fails only if a hook is set already, and nothing ran before this.
        let _ = miette::set_hook(hook);
    }
}
