//! Every engine against cedar-policy over one world.

use crate::differential::Verdict;
use crate::engines::{Answer, CedarEngine, EngineError, TestEngine, TestRequest, World, engines};
use cedarjit::BuildError;
use cedarjit_frontend::load::{LoadErrorKind, ParseError, ParseErrorKind};

/// Asks every engine every request.
///
/// # Panics
/// When one answers differently, or refuses the world for another reason than a limit.
pub(super) fn compare(world: &World, requests: &[TestRequest]) {
    let mut judge = CedarEngine
        .load(world)
        .unwrap_or_else(|error| panic!("cedar-policy refuses its own values: {error}"));
    let expected: Vec<Verdict> = requests.iter().map(|r| judge.authorize(r)).collect();
    for engine in engines().iter().skip(1) {
        let name = engine.name();
        let mut loaded = match engine.load(world) {
            Ok(loaded) => loaded,
            Err(error) if is_limit(&error) => continue,
            Err(error) => panic!("{name} refuses the world: {error}\n{:?}", world.texts),
        };
        for (request, expected) in requests.iter().zip(&expected) {
            let got = loaded.authorize(request);
            assert!(
                same(expected, &got),
                "{name} differs\nrequest: {} {} {} {}\nexpected: {expected:?}\ngot: {got:?}\n{:?}",
                request.principal,
                request.action,
                request.resource,
                request.context,
                world.texts,
            );
        }
    }
}

/// Whether two verdicts agree; a verdict of a judge that ran out of stack agrees with any.
fn same(expected: &Verdict, got: &Verdict) -> bool {
    let ran_out = |answer: &Answer| {
        let mut texts = answer.errors.values();
        texts.any(|text| text.contains("recursion limit"))
    };
    match (expected, got) {
        (Ok(expected), _) if ran_out(expected) => true,
        (Ok(expected), Ok(got)) => expected == got,
        (Err(_), Err(_)) => true,
        _ => false,
    }
}

fn is_limit(error: &EngineError) -> bool {
    match error {
        EngineError::Load(cause) => cause
            .downcast_ref::<BuildError>()
            .is_some_and(build_is_limit),
        EngineError::Request(_) => false,
    }
}

/// Whether an engine was not built because of a limit that cedar-policy does not have.
pub(super) fn build_is_limit(error: &BuildError) -> bool {
    match error {
        BuildError::Parse(error) => parse_is_limit(error),
        BuildError::Load(error) => matches!(
            error.kind(),
            LoadErrorKind::TooDeep { .. } | LoadErrorKind::Limit(_) | LoadErrorKind::Capacity(_)
        ),
        BuildError::Capacity(_) | BuildError::Limit(_) => true,
        _ => false,
    }
}

/// Whether a text was refused because of a limit that cedar-policy does not have.
pub(super) fn parse_is_limit(error: &ParseError) -> bool {
    matches!(error.kind(), ParseErrorKind::Limit(_))
}

/// What both make of a text; `None` unless both accept it.
///
/// cedar-policy is not asked about what exceeds a limit: that limit keeps its stack from
/// overflowing.
///
/// # Panics
/// When they do not agree.
pub(super) fn both<T, U>(
    text: &str,
    ours: Result<T, ParseError>,
    theirs: impl FnOnce() -> Result<U, String>,
) -> Option<(T, U)> {
    match ours {
        Err(error) if parse_is_limit(&error) => None,
        Err(ours) => {
            let accepted = theirs().is_ok();
            assert!(!accepted, "we alone refuse {text:?}: {ours}");
            None
        }
        Ok(ours) => match theirs() {
            Ok(theirs) => Some((ours, theirs)),
            Err(theirs) => panic!("we alone accept {text:?}: {theirs}"),
        },
    }
}
