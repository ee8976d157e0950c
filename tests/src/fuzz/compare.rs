//! Every engine against cedar-policy over one world.

use crate::differential::Verdict;
use crate::engines::{
    Answer, CedarEngine, EngineError, Loaded, TestEngine, TestRequest, World, WorldTexts, engines,
};
use cedarjit::BuildError;
use cedarjit_frontend::load::{LoadErrorKind, ParseError, ParseErrorKind};

/// All of this project's engines.
pub(super) const ALL: &[&str] = &["native", "interpreter", "index-off", "facade"];

/// Native code and the interpreter, where an input's world costs more than its requests.
pub(super) const TWO: &[&str] = &["native", "interpreter"];

/// Engines with one world loaded into all of them.
pub(super) struct Panel {
    judge: Box<dyn Loaded>,
    engines: Vec<(String, Box<dyn Loaded>)>,
    texts: WorldTexts,
}

impl Panel {
    /// Loads a world into cedar-policy and the engines with these names.
    ///
    /// # Panics
    /// When one refuses the world for another reason than a limit.
    pub(super) fn new(world: &World, names: &[&str]) -> Self {
        let judge = CedarEngine
            .load(world)
            .unwrap_or_else(|error| panic!("cedar-policy refuses its own values: {error}"));
        let mut loaded = Vec::with_capacity(names.len());
        for engine in engines().iter().filter(|e| names.contains(&e.name())) {
            let name = engine.name();
            match engine.load(world) {
                Ok(engine) => loaded.push((name.to_owned(), engine)),
                Err(error) if is_limit(&error) => {}
                Err(error) => panic!("{name} refuses the world: {error}\n{:?}", world.texts),
            }
        }
        Self {
            judge,
            engines: loaded,
            texts: world.texts.clone(),
        }
    }

    /// Asks everybody a request, and gives what cedar-policy says.
    ///
    /// # Panics
    /// When an engine answers differently.
    pub(super) fn ask(&mut self, request: &TestRequest) -> Verdict {
        let expected = self.judge.authorize(request);
        for (name, engine) in &mut self.engines {
            let got = engine.authorize(request);
            assert!(
                same(&expected, &got),
                "{name} differs\nrequest: {} {} {} {}\nexpected: {expected:?}\ngot: {got:?}\n{:?}",
                request.principal,
                request.action,
                request.resource,
                request.context,
                self.texts,
            );
        }
        expected
    }
}

/// Asks the engines with these names every request; panics as [`Panel`] does.
pub(super) fn compare(world: &World, requests: &[TestRequest], names: &[&str]) {
    let mut panel = Panel::new(world, names);
    for request in requests {
        let _same_for_all = panel.ask(request);
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
