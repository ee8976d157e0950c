//! What the sidecar says of itself, on stderr.

use std::fmt::Display;
use std::io::Write;

/// Says something. That nobody listens is no reason to end.
pub(crate) fn say(what: impl Display) {
    let _ = writeln!(std::io::stderr(), "cedarjit: {what}");
}
