//! Every engine against cedar-policy over one world.

use crate::differential::Verdict;
use crate::engines::limits::{is_build_limit, is_text_limit};
use crate::engines::{
    Answer, CedarEngine, CedarjitEngine, EngineError, Given, Loaded, Mode, TestEngine, TestRequest,
    World, WorldTexts,
};
use cedarjit::BuildError;
use cedarjit_frontend::load::ParseError;

/// Every way to ask this project's engine.
pub(super) const ALL: &[Mode] = Mode::ALL;

/// Native code and the interpreter, where an input's world costs more than its requests.
pub(super) const TWO: &[Mode] = &[Mode::Native, Mode::Interpreter];

/// cedar-policy and this project's engine with one world loaded into both.
pub(super) struct Panel {
    judge: Box<dyn Loaded>,
    /// `None` if a limit keeps the world out.
    engine: Option<Box<dyn Loaded>>,
    texts: WorldTexts,
}

impl Panel {
    /// Loads a world into cedar-policy and an engine of these modes.
    ///
    /// # Panics
    /// When one refuses the world for another reason than a limit.
    pub(super) fn new(world: &World, modes: &[Mode]) -> Self {
        let judge = CedarEngine
            .load(world)
            .unwrap_or_else(|error| panic!("cedar-policy refuses its own values: {error}"));
        let engine = match CedarjitEngine::of(modes).load(world) {
            Ok(engine) => Some(engine),
            Err(error) if is_limit(&error) => None,
            Err(error) => panic!("we alone refuse the world: {error}\n{:?}", world.texts),
        };
        Self {
            judge,
            engine,
            texts: world.texts.clone(),
        }
    }

    /// Asks everybody a request, and gives what cedar-policy says.
    ///
    /// # Panics
    /// When a mode answers differently.
    pub(super) fn ask(&mut self, request: &TestRequest) -> Verdict {
        let mut expected = None;
        self.judge.authorize(request, &mut |_, given| {
            expected = Some(Verdict::from(given));
        });
        let Some(expected) = expected else {
            panic!("cedar-policy gives one answer");
        };
        if let Some(engine) = &mut self.engine {
            let texts = &self.texts;
            engine.authorize(request, &mut |mode, given| {
                if !same(&expected, &given) {
                    let got = Verdict::from(given);
                    panic!(
                        "{mode} differs\nrequest: {} {} {} {}\nexpected: {expected:?}\ngot: {got:?}\n{texts:?}",
                        request.principal, request.action, request.resource, request.context.text,
                    );
                }
            });
        }
        expected
    }
}

/// Asks an engine of these modes every request; panics as [`Panel`] does.
pub(super) fn compare(world: &World, requests: &[TestRequest], modes: &[Mode]) {
    let mut panel = Panel::new(world, modes);
    for request in requests {
        let _same_for_all = panel.ask(request);
    }
}

/// Whether two verdicts agree; a verdict of a judge that ran out of stack agrees with any.
fn same(expected: &Verdict, got: &Given<'_>) -> bool {
    expected.as_ref().is_ok_and(Answer::ran_out_of_stack) || got.agrees(expected)
}

fn is_limit(error: &EngineError) -> bool {
    match error {
        EngineError::Load(cause) => cause
            .downcast_ref::<BuildError>()
            .is_some_and(is_build_limit),
        EngineError::Request(_) => false,
    }
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
        Err(error) if is_text_limit(&error) => None,
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
