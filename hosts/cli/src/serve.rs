//! `cedarjit serve`: the sidecar.

use cedar_policy_cli::CedarExitCode;
use cedarjit_sidecar::{ServeArgs, ServeError};
use miette::Diagnostic;

use crate::output;

/// Why there is no sidecar.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error(transparent)]
struct Unserved(#[from] ServeError);

/// Answers requests until it is told to end, or only checks what it would answer them by.
pub(crate) fn serve(args: &ServeArgs) -> CedarExitCode {
    let done = match args.check {
        true => cedarjit_sidecar::check(args).map(|verdict| println!("{verdict}")),
        false => cedarjit_sidecar::run(args),
    };
    match done {
        Ok(()) => CedarExitCode::Success,
        Err(error) => {
            output::complain(&Unserved(error).into());
            CedarExitCode::Failure
        }
    }
}
