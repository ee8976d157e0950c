//! Refusals for a documented limit, which cedar-policy does not have: they are no mismatch.

use cedarjit::BuildError;
use cedarjit_frontend::load::{LoadErrorKind, ParseError, ParseErrorKind};

/// Whether an engine was not built because of a limit.
pub fn is_build_limit(error: &BuildError) -> bool {
    match error {
        BuildError::Parse(error) => is_text_limit(error),
        BuildError::Load(error) => matches!(
            error.kind(),
            LoadErrorKind::TooDeep { .. } | LoadErrorKind::Limit(_) | LoadErrorKind::Capacity(_)
        ),
        BuildError::Capacity(_) | BuildError::Limit(_) => true,
        _ => false,
    }
}

/// Whether a text was refused because of a limit.
pub fn is_text_limit(error: &ParseError) -> bool {
    matches!(error.kind(), ParseErrorKind::Limit(_))
}
