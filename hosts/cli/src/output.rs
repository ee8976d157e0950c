//! stdout and stderr that may be closed at any time.

use std::io::{self, ErrorKind, Write};

use miette::Report;

use crate::load::Failure;

/// Prints a report on stderr, in the format that `--error-format` chose.
pub(crate) fn complain(report: &Report) {
    // Nobody is left to tell if stderr is gone.
    let _ = writeln!(io::stderr(), "{report:?}");
}

/// Prints reports on stdout, where `cedar` has them for most verbs.
pub(crate) fn complain_on_stdout(reports: &[Report]) {
    let mut out = io::stdout().lock();
    for report in reports {
        // The exit code tells of the failure whether or not somebody reads the text.
        let _ = writeln!(out, "{report:?}");
    }
}

/// What became of a write to stdout.
pub(crate) enum Written {
    /// It was taken.
    Taken,
    /// The reader has gone: nothing more need be said.
    Closed,
}

/// Tells a reader that went away (as in `cedarjit replay … | head`) from a failure.
pub(crate) fn written(result: io::Result<()>) -> Result<Written, Failure> {
    match result {
        Ok(()) => Ok(Written::Taken),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Written::Closed),
        Err(error) => Err(Failure::Write(error)),
    }
}

/// Ends the process quietly, with exit code 1, when `println!` in a verb that cedar-policy's crate
/// does finds that the reader of stdout has gone. It would panic: there is no other way to hear of
/// it. What we print ourselves never gets here.
pub(crate) fn be_quiet_about_closed_pipes() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let message = panic.payload().downcast_ref::<String>();
        let closed = message.is_some_and(|message| {
            message.starts_with("failed printing to std") && message.contains("Broken pipe")
        });
        if closed {
            std::process::exit(1);
        }
        default(panic);
    }));
}
