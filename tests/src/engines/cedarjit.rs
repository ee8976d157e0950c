//! cedarjit, in every way in which it can be asked.

use super::World;
use super::checked::Checked;
use super::mode::Mode;
use super::queries::Asking;
use super::ready::{
    Ready, from_texts, in_background, portable, saved, with_schema, with_schema_value,
};
use super::updates::{Overlaying, Wanderer, updated};
use super::{Answer, Answers, EngineError, Given, Loaded, TestEngine, TestRequest};
use ::cedarjit::coverage::Coverage;
use ::cedarjit::request::RequestPart;
use ::cedarjit::{Binder, BoundRequest, Engine, EntityHandle, RequestError, Scratch, Uid};
use cedar_policy::Response;
use std::num::NonZero;

/// This project's engine.
#[derive(Debug, Clone)]
pub struct CedarjitEngine {
    modes: Vec<Mode>,
    sample: NonZero<usize>,
}

impl Default for CedarjitEngine {
    /// All modes.
    fn default() -> Self {
        Self::of(Mode::ALL)
    }
}

impl CedarjitEngine {
    /// Only these modes.
    pub fn of(modes: &[Mode]) -> Self {
        Self {
            modes: modes.to_vec(),
            sample: NonZero::<usize>::MIN,
        }
    }

    /// Asks the modes that spend most of their time in cedar-policy's parsers only for each
    /// `sample`-th request that cedar-policy accepts, and for one it refuses, only one of them, in
    /// turn; and loads a world from texts or by updates only if the length of its policies falls on a
    /// multiple of `sample`. All of this follows from the world alone.
    #[must_use]
    pub fn sampled(self, sample: NonZero<usize>) -> Self {
        Self { sample, ..self }
    }

    fn uses(&self, modes: &[Mode]) -> bool {
        modes.iter().any(|mode| self.modes.contains(mode))
    }

    /// Whether the modes that take an engine of their own get one for this world.
    fn in_sample(&self, world: &World) -> bool {
        let length = world.texts.policies.as_ref().map_or(0, String::len);
        length.is_multiple_of(self.sample.get())
    }
}

impl TestEngine for CedarjitEngine {
    fn modes(&self) -> Vec<&'static str> {
        self.modes.iter().map(|mode| mode.name()).collect()
    }

    fn load(&self, world: &World) -> Result<Box<dyn Loaded>, EngineError> {
        let in_sample = self.in_sample(world);
        let uses = |mode| in_sample && self.uses(&[mode]);
        let typed = self.typed(world)?;
        let updated = made(uses(Mode::Updated), || updated(world, with_schema(world)))?;
        // What was updated has more behind it, and is saved as any other.
        let savable = world.texts.schema.is_some() || world.schema.is_none();
        let original = (updated.as_ref().map(|updated| &updated.engine))
            .or(typed.as_ref().map(|typed| &typed.engine));
        let original = original.filter(|_| uses(Mode::Saved) && savable);
        let asked = self.uses(&[Mode::Batch, Mode::Queries]);
        let asking = typed.as_ref().filter(|_| asked);
        let binder = typed.as_ref().map(|it| Binder::new(it.snapshot.clone()));
        Ok(Box::new(LoadedCedarjit {
            modes: self.clone(),
            exchanging: binder.clone(),
            converting: binder.clone(),
            binder,
            handles: None,
            untyped_is_typed: self.shares(world) && typed.is_some() && self.uses(&[Mode::Native]),
            untyped: self.untyped(world, typed.as_ref())?,
            texts: made(uses(Mode::Texts) && has_texts(world), || {
                Ready::build(from_texts(world))
            })?,
            saved: original.map(saved).transpose()?,
            overlaying: made(uses(Mode::Overlay), || {
                Overlaying::of(world, with_schema(world))
            })?,
            checked: made(uses(Mode::Checked), || {
                Checked::load(world, with_schema(world))
            })?,
            portable: made(uses(Mode::Portable), || portable(world))?,
            // Late, so that the first requests come while code is being generated.
            background: made(uses(Mode::Background), || in_background(world))?,
            asking: asking.map(|it| Asking::new(&it.snapshot, world.entities.iter())),
            asking_updated: Asking::default(),
            typed,
            updated,
            fused: uses(Mode::Fused),
            compile_batches: in_sample,
            asked: 0,
            refused: 0,
            coverage: Coverage::default(),
            scratch: Scratch::default(),
        }))
    }
}

impl CedarjitEngine {
    /// The engine that most modes ask. The schema's text tells the types of attributes; `Schema` does
    /// not.
    fn typed(&self, world: &World) -> Result<Option<Ready>, EngineError> {
        let wanted = self.uses(&[
            Mode::Native,
            Mode::Fused,
            Mode::Decide,
            Mode::IndexOff,
            Mode::Interpreter,
            Mode::Strings,
            Mode::Binder,
            Mode::Handles,
            Mode::Batch,
            Mode::Queries,
            Mode::Observed,
            Mode::ObservedInterpreter,
            Mode::Saved,
        ]);
        made(wanted, || {
            let builder = with_schema(world).policies(&world.policies);
            Ready::build(builder.entities(world.entities.clone()))
        })
    }

    /// Whether typed and untyped code are the same.
    fn shares(&self, world: &World) -> bool {
        world.texts.schema.is_none()
    }

    fn untyped(&self, world: &World, typed: Option<&Ready>) -> Result<Option<Ready>, EngineError> {
        if let Some(typed) = typed.filter(|_| self.shares(world)) {
            return Ok(Some(typed.clone()));
        }
        made(self.uses(&[Mode::Untyped, Mode::Facade]), || {
            let parsed = Engine::builder()
                .policies(&world.policies)
                .entities(world.entities.clone());
            Ready::build(with_schema_value(parsed, world))
        })
    }
}

/// Makes something if it is wanted.
fn made<T>(
    wanted: bool,
    make: impl FnOnce() -> Result<T, EngineError>,
) -> Result<Option<T>, EngineError> {
    wanted.then(make).transpose()
}

/// Whether a builder that reads texts names policies as the test formats do: where they have an `@id`
/// it is that, but not there.
fn has_texts(world: &World) -> bool {
    let by_position = |text: &String| !text.contains("@id");
    let policies = world.texts.policies.as_ref();
    policies.is_some_and(by_position) && world.texts.entities.is_some()
}

/// In which ways a request is read.
#[derive(Clone, Copy)]
struct Reading {
    /// By a binder.
    binder: bool,
    /// From handles, where there are such.
    handles: bool,
    /// From texts, each time anew.
    texts: bool,
    /// In a query.
    query: bool,
}

struct LoadedCedarjit {
    modes: CedarjitEngine,
    typed: Option<Ready>,
    untyped: Option<Ready>,
    untyped_is_typed: bool,
    texts: Option<Ready>,
    updated: Option<Wanderer>,
    saved: Option<Ready>,
    /// Asked for every request: what it brings is read anew each time.
    overlaying: Option<Overlaying>,
    checked: Option<Checked>,
    portable: Option<Ready>,
    /// Whether fused code is asked: it is compiled for each bucket, however few its requests.
    fused: bool,
    background: Option<Ready>,
    /// Asks in batches and queries.
    asking: Option<Asking>,
    /// Asks the updated engine in batches.
    asking_updated: Asking,
    /// Whether batches have code compiled, as `fused`.
    compile_batches: bool,
    /// Binds cedar-policy's requests to the typed snapshot.
    converting: Option<Binder>,
    /// Binds every request from text.
    binder: Option<Binder>,
    /// Binds every request from handles.
    exchanging: Option<Binder>,
    /// Principal and resource of the last request that was bound from handles.
    handles: Option<(EntityHandle, EntityHandle)>,
    /// How many requests were asked.
    asked: usize,
    /// How many of them cedar-policy refused.
    refused: usize,
    coverage: Coverage,
    scratch: Scratch,
}

impl Loaded for LoadedCedarjit {
    fn authorize(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let sampled = request.parsed.is_err() || self.asked.is_multiple_of(self.modes.sample.get());
        let reading = self.reading(request, sampled);
        self.asked += 1;
        // What binds for the other modes needs all of this.
        let mut converting = self.converting.take();
        let bound = converting.as_mut().map(|binder| {
            let request = request.parsed.as_ref().map_err(Clone::clone)?;
            let bound = binder.bind_request(request);
            bound.map(|bound| &*bound).map_err(EngineError::request)
        });
        if let Some(bound) = &bound {
            self.typed_modes(request, bound.as_ref().copied(), answers);
        }
        self.binding_modes(request, reading, answers);
        self.untyped_modes(request, sampled, answers);
        self.updated_mode(request, sampled, answers);
        self.overlay_mode(request, answers);
        self.portable_mode(request, answers);
        if let Some(checked) = &mut self.checked {
            answers(Mode::Checked.name(), checked.authorize(request, sampled));
        }
        if reading.texts {
            self.reading_modes(request, answers);
        }
        if reading.query {
            self.asking_mode(request, answers);
        }
        // Counting is cheap beside parsing, and rare constructs are to be counted too.
        let counted = self.modes.sample.get().div_ceil(4);
        if let Some(bound) = bound.filter(|_| self.asked.is_multiple_of(counted)) {
            self.observed_modes(bound.as_ref().copied(), answers);
        }
        self.converting = converting;
    }

    fn coverage(&self) -> Option<&Coverage> {
        let counts = self.has(Mode::Observed) || self.has(Mode::ObservedInterpreter);
        counts.then_some(&self.coverage)
    }
}

impl LoadedCedarjit {
    fn has(&self, mode: Mode) -> bool {
        self.modes.modes.contains(&mode)
    }

    /// How to read a request, which is `sampled` or not.
    ///
    /// Refusing is mostly cedar-policy's work, and takes longer than many answers: what it refuses is
    /// read in one way, unless everything is read in all.
    fn reading(&mut self, request: &TestRequest, sampled: bool) -> Reading {
        if request.parsed.is_err() && self.modes.sample.get() > 1 {
            let turn = self.refused % 4;
            self.refused += 1;
            return Reading {
                binder: turn == 0,
                handles: turn == 1,
                texts: turn == 2,
                query: turn == 3,
            };
        }
        Reading {
            binder: true,
            handles: sampled,
            texts: sampled,
            query: sampled,
        }
    }

    /// The modes that share the typed snapshot and one bound request.
    fn typed_modes(
        &mut self,
        request: &TestRequest,
        bound: Result<&BoundRequest, &EngineError>,
        answers: &mut Answers<'_>,
    ) {
        let mut texts = true;
        for mode in [Mode::Native, Mode::IndexOff, Mode::Interpreter, Mode::Fused] {
            if !self.modes.modes.contains(&mode) || (mode == Mode::Fused && !self.fused) {
                continue;
            }
            let scratch = &mut self.scratch;
            let evaluation = bound.map(|bound| match mode {
                Mode::Native => bound.evaluate_unfused(scratch),
                Mode::Fused => {
                    bound.warm_up();
                    bound.evaluate(scratch)
                }
                Mode::IndexOff => bound.evaluate_unindexed(scratch),
                _ => bound.interpret(scratch),
            });
            let given = match evaluation {
                Ok(evaluation) => Given::Evaluation { evaluation, texts },
                Err(error) => Given::Refused(error.clone()),
            };
            answers(mode.name(), given);
            texts = false;
        }
        if self.has(Mode::Decide) {
            let given = match bound {
                Ok(bound) => Given::Decision(bound.decide(&mut self.scratch)),
                Err(error) => Given::Refused(error.clone()),
            };
            answers(Mode::Decide.name(), given);
        }
        let batch = self.modes.modes.contains(&Mode::Batch);
        let asking = self
            .asking
            .as_mut()
            .filter(|_| batch && self.compile_batches);
        if let (Some(asking), Ok(bound)) = (asking, bound)
            && let Some(decision) = asking.batch(bound, request, true)
        {
            answers(Mode::Batch.name(), decision.into());
        }
    }

    /// The modes that bind requests in memory that is kept.
    fn binding_modes(
        &mut self,
        request: &TestRequest,
        reading: Reading,
        answers: &mut Answers<'_>,
    ) {
        let handles = reading.handles && self.has(Mode::Handles);
        let by_text = reading.binder && self.has(Mode::Binder);
        if !handles && !by_text {
            return;
        }
        let TestRequest {
            principal,
            action,
            resource,
            validate,
            ..
        } = request;
        let context = &request.context.text;
        if let Some(binder) = self.binder.as_mut().filter(|_| by_text) {
            let bound = binder.bind(&**principal, &**action, &**resource, context, *validate);
            let bound = bound.map_err(EngineError::request);
            evaluate(Mode::Binder, bound.as_deref(), &mut self.scratch, answers);
        }
        if handles {
            let bound = self.bind_handles(request, context);
            let bound = bound.map_err(EngineError::request);
            evaluate(Mode::Handles, bound.as_ref(), &mut self.scratch, answers);
        }
    }

    /// Binds a request about what the last one was about, and exchanges that, if both are about
    /// known entities.
    fn bind_handles(
        &mut self,
        request: &TestRequest,
        context: &str,
    ) -> Result<BoundRequest, RequestError> {
        let TestRequest {
            principal,
            action,
            resource,
            validate,
            ..
        } = request;
        let binder = self
            .exchanging
            .as_mut()
            .ok_or(RequestError::Unknown(RequestPart::Entity))?;
        let handle = |uid: &str| binder.snapshot().resolve(uid).ok().flatten();
        let uid = |text| handle(text).map_or(Uid::Text(text), Uid::Handle);
        let (known, uids) = (
            handle(principal).zip(handle(resource)),
            [uid(principal), uid(action), uid(resource)],
        );
        if let (Some((before, on)), Some((principal, resource))) = (self.handles, known)
            && let Ok(request) = binder.bind(before, uids[1], on, context, *validate)
        {
            // cedar-policy names the principal first, too.
            request.set_principal(principal)?;
            request.set_resource(resource)?;
            self.handles = known;
            return Ok(request.clone());
        }
        let bound = binder.bind(uids[0], uids[1], uids[2], context, *validate)?;
        self.handles = known;
        Ok(bound.clone())
    }

    /// The modes that bind cedar-policy's request to a snapshot of their own.
    fn untyped_modes(&mut self, request: &TestRequest, sampled: bool, answers: &mut Answers<'_>) {
        let request = request.parsed.as_ref().map_err(Clone::clone);
        // Without a schema there is one engine for both, which has answered already.
        let asked = sampled || !self.untyped_is_typed;
        let untyped = self
            .untyped
            .as_ref()
            .filter(|_| asked && self.has(Mode::Untyped));
        let evaluating = [
            (Mode::Untyped, untyped),
            (Mode::Saved, self.saved.as_ref()),
            (Mode::Background, self.background.as_ref()),
        ];
        for (mode, ready) in evaluating {
            let Some(ready) = ready else {
                continue;
            };
            let bound = request.clone().and_then(|request| ready.bind(request));
            evaluate(mode, bound.as_ref(), &mut self.scratch, answers);
        }
        let facade = self.untyped.as_ref().filter(|_| self.has(Mode::Facade));
        if let Some(ready) = facade.filter(|_| sampled) {
            let verdict = request.map(|request| {
                let response = ready.engine.is_authorized(request);
                Answer::from(&Response::from(&response))
            });
            answers(Mode::Facade.name(), verdict.into());
        }
    }

    /// An engine that came to the world by updates, and at times leaves it and comes back. A binder
    /// goes with it.
    fn updated_mode(&mut self, request: &TestRequest, sampled: bool, answers: &mut Answers<'_>) {
        let Some(wanderer) = &mut self.updated else {
            return;
        };
        let by_text = self.asked.is_multiple_of(2);
        let bound = request.parsed.as_ref().map_err(Clone::clone);
        let bound = bound.and_then(|parsed| {
            if sampled {
                wanderer.detour(parsed)?;
            }
            match by_text {
                true => wanderer.bind(request),
                false => wanderer.engine.snapshot().bind(parsed),
            }
            .map_err(EngineError::request)
        });
        evaluate(Mode::Updated, bound.as_ref(), &mut self.scratch, answers);
        if let Ok(bound) = &bound
            && sampled
        {
            // The way home has most often changed who is in what.
            bound.snapshot().list_descendants();
            let decision = self.asking_updated.batch(bound, request, true);
            if let Some(disagreement @ Err(_)) = decision {
                answers(Mode::Updated.name(), disagreement.into());
            }
        }
    }

    /// An engine without vectors.
    fn portable_mode(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let Some(ready) = &self.portable else {
            return;
        };
        let request = request.parsed.as_ref().map_err(Clone::clone);
        let bound = request.and_then(|request| ready.bind(request));
        if let Ok(bound) = &bound
            && self.asked.is_multiple_of(2)
        {
            bound.warm_up();
        }
        evaluate(Mode::Portable, bound.as_ref(), &mut self.scratch, answers);
    }

    /// Requests that bring entities of their own.
    fn overlay_mode(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let Some(overlaying) = &self.overlaying else {
            return;
        };
        let request = request.parsed.as_ref().map_err(Clone::clone);
        let overlaid = request.and_then(|request| overlaying.bind(request));
        let given = match &overlaid {
            Ok(overlaid) => Given::Evaluation {
                evaluation: overlaid.evaluate(&mut self.scratch),
                texts: true,
            },
            Err(error) => Given::Refused(error.clone()),
        };
        answers(Mode::Overlay.name(), given);
    }

    /// The modes in which it is counted what is executed.
    fn observed_modes(
        &mut self,
        bound: Result<&BoundRequest, &EngineError>,
        answers: &mut Answers<'_>,
    ) {
        for mode in [Mode::Observed, Mode::ObservedInterpreter] {
            if !self.modes.modes.contains(&mode) {
                continue;
            }
            let (scratch, coverage) = (&mut self.scratch, &mut self.coverage);
            let evaluation = bound.map(|bound| match mode {
                Mode::Observed => bound.evaluate_observed(scratch, coverage),
                _ => bound.interpret_observed(scratch, coverage),
            });
            let given = match evaluation {
                Ok(evaluation) => Given::Evaluation {
                    evaluation,
                    texts: false,
                },
                Err(error) => Given::Refused(error.clone()),
            };
            answers(mode.name(), given);
        }
    }

    /// The modes in which the engine reads the request itself.
    fn reading_modes(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let strings = self.typed.as_ref().filter(|_| self.has(Mode::Strings));
        let readers = [(Mode::Strings, strings), (Mode::Texts, self.texts.as_ref())];
        for (mode, ready) in readers {
            if let Some(ready) = ready {
                let bound = ready.bind_texts(request);
                evaluate(mode, bound.as_ref(), &mut self.scratch, answers);
            }
        }
    }
}

impl LoadedCedarjit {
    /// Asks a query, and a batch without code of its own.
    fn asking_mode(&mut self, request: &TestRequest, answers: &mut Answers<'_>) {
        let (batch, queries) = (self.has(Mode::Batch), self.has(Mode::Queries));
        let (Some(asking), Some(ready)) = (&mut self.asking, &self.typed) else {
            return;
        };
        if let Some(decision) = asking.query(&ready.snapshot, request).filter(|_| queries) {
            answers(Mode::Queries.name(), decision.into());
        }
        if batch
            && !self.compile_batches
            && let Ok(bound) = ready.bind_texts(request)
            && let Some(decision) = asking.batch(&bound, request, false)
        {
            answers(Mode::Batch.name(), decision.into());
        }
    }
}

/// Evaluates natively, and tells the answer or the refusal.
fn evaluate(
    mode: Mode,
    bound: Result<&BoundRequest, &EngineError>,
    scratch: &mut Scratch,
    answers: &mut Answers<'_>,
) {
    let given = match bound {
        Ok(bound) => Given::Evaluation {
            evaluation: bound.evaluate(scratch),
            texts: true,
        },
        Err(error) => Given::Refused(error.clone()),
    };
    answers(mode.name(), given);
}
