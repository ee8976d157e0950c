//! What all requests share: the engine in use and what it was made from, and the one place where it
//! is exchanged.

use std::collections::HashMap;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use cedarjit::{
    Binder, BoundRequest, Decision, Engine, Evaluation, OverlaidRequest, RequestError, Scratch,
    SelfCheck, Snapshot,
};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::changes::{self, Change, Refused};
use crate::config::Config;
use crate::credentials::{Credentials, CredentialsError};
use crate::decision_log::{self, DecisionLog};
use crate::journal::Journal;
use crate::load::{self, LoadError};
use crate::log::say;
use crate::metrics::{Metrics, Outcome, What};
use crate::overlay::{Overlay, OverlayRefused};
use crate::reload::Fingerprint;
use crate::traces::{self, Traces};

/// Why there is no decision.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The request cannot be read, or does not fit the schema.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What the request brings cannot be attributes.
    #[error(transparent)]
    Overlay(#[from] OverlayRefused),
}

/// What all connections and requests share.
#[derive(Debug)]
pub struct State {
    first_files: Fingerprint,
    config: Config,
    current: ArcSwap<Loaded>,
    credentials: ArcSwap<Credentials>,
    metrics: Metrics,
    log: OnceLock<DecisionLog>,
    traces: OnceLock<Traces>,
    generations: AtomicU64,
    draining: AtomicBool,
    /// Held by searches: one for each processor.
    searching: Arc<Semaphore>,
    /// What the admin API has changed.
    journal: Option<Journal>,
    /// Held by who loads anew, or changes what is loaded.
    reloading: Arc<tokio::sync::Mutex<()>>,
    errors: Mutex<Errors>,
}

/// Why newer files are not in use.
#[derive(Debug, Default)]
struct Errors {
    reload: Option<String>,
    credentials: Option<String>,
}

/// An engine in use, and what was loaded for it. Stays as it is while whoever took it holds it.
#[derive(Debug)]
pub struct Loaded {
    engine: Engine,
    generation: u64,
    since: SystemTime,
    /// Memory to ask with that nobody uses at the moment. There come to be no more of them than
    /// threads, since a decision does not wait for anything; they end with the engine.
    idle: Mutex<Vec<Asker>>,
}

/// Memory to bind a request in and to evaluate it.
#[derive(Debug)]
struct Asker {
    binder: Binder,
    scratch: Scratch,
    /// How often policies determined a decision, by id.
    hits: HashMap<String, u64>,
}

impl Asker {
    fn count(&mut self, decided: &Decided) {
        for policy in &decided.reasons {
            match self.hits.get_mut(policy) {
                Some(hits) => *hits += 1,
                None => {
                    self.hits.insert(policy.clone(), 1);
                }
            }
        }
    }
}

/// A request in the texts that the engine takes.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The uid in Cedar's syntax; see [`uid_text`](crate::uid::uid_text).
    pub principal: &'a str,
    /// The uid in Cedar's syntax.
    pub action: &'a str,
    /// The uid in Cedar's syntax.
    pub resource: &'a str,
    /// A JSON object, with Cedar's escapes.
    pub context: &'a str,
}

/// A decision with its diagnostics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The ids of the policies that determined the decision, sorted.
    pub reasons: Vec<String>,
    /// The policies that failed, and the text of the failure, sorted.
    pub errors: Vec<(String, String)>,
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

impl Decided {
    /// The answer where nothing is decided.
    const CONSTANT: Self = Self {
        allowed: false,
        reasons: Vec::new(),
        errors: Vec::new(),
    };

    /// The decision, as Cedar's JSON has it.
    pub(crate) fn word(&self) -> &'static str {
        match self.allowed {
            true => "allow",
            false => "deny",
        }
    }

    fn of(answer: Evaluation<'_>) -> Self {
        let errors = answer.errors();
        let mut decided = Self {
            allowed: answer.decision() == Decision::Allow,
            reasons: answer.reasons().map(str::to_owned).collect(),
            errors: errors
                .map(|(policy, error)| (policy.to_owned(), error.to_string()))
                .collect(),
        };
        decided.reasons.sort_unstable();
        decided.errors.sort_unstable();
        decided
    }
}

impl State {
    /// The state of a sidecar that begins with the files that the configuration names. Credentials
    /// are yet to be [read](Self::read_credentials); until then nobody gets in where they are needed.
    ///
    /// # Errors
    /// When the files do not make an engine.
    pub fn load(config: Config) -> Result<Arc<Self>, LoadError> {
        let metrics = Metrics::default();
        let check = config.self_check.as_ref();
        let check = check.map(|check| check.for_engine(&metrics));
        let journal = config.changes.as_deref().map(Journal::open).transpose()?;
        let first_files = Fingerprint::of(&config.sources);
        let engine = load::changed_engine(&config.sources, check, journal.as_ref())?;
        let loaded = Loaded::new(engine, 1);
        metrics.loaded(loaded.since);
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(loaded),
            credentials: ArcSwap::from_pointee(Credentials::unread(&config)),
            metrics,
            log: OnceLock::new(),
            traces: OnceLock::new(),
            generations: AtomicU64::new(1),
            draining: AtomicBool::new(false),
            searching: Arc::new(Semaphore::new(processors())),
            journal,
            reloading: Arc::default(),
            errors: Mutex::default(),
            first_files,
            config,
        }))
    }

    /// The files that the sidecar began with.
    pub(crate) fn first_files(&self) -> &Fingerprint {
        &self.first_files
    }

    /// What the sidecar was told.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where changes of the admin API are kept, if it may make any.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// Makes changes of the engine in use, all or none, and keeps them.
    ///
    /// # Errors
    /// When one of them cannot be made, or they cannot be kept.
    pub(crate) fn change(&self, changes: &[Change]) -> Result<(), Box<Refused>> {
        let loaded = self.current();
        changes::apply(loaded.engine(), changes, || match &self.journal {
            Some(journal) => Ok(journal.keep(changes)?),
            None => Ok(()),
        })
    }

    /// How an engine that is to take the place of the one in use checks itself, if it does.
    pub(crate) fn self_check(&self) -> Option<SelfCheck> {
        let check = self.config.self_check.as_ref()?;
        let check = check.for_engine(&self.metrics);
        Some(check.continuing(self.current().engine()))
    }

    /// The engine in use.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.load_full()
    }

    /// Puts another engine in place. Decisions that have begun end on the one before.
    pub fn replace(&self, engine: Engine) {
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        let loaded = Loaded::new(engine, generation);
        self.metrics.loaded(loaded.since);
        self.current.store(Arc::new(loaded));
    }

    /// Opens the decision log, if there is to be one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open_log(&self) -> io::Result<()> {
        if let Some(config) = &self.config.decision_log {
            let log = DecisionLog::open(config, self.metrics.dropped_log_lines())?;
            // It is open already, else.
            let _ = self.log.set(log);
        }
        Ok(())
    }

    /// Begins to send traces, if they are to be sent, in the tokio runtime of the caller.
    ///
    /// # Errors
    /// When the endpoint will not do.
    pub(crate) fn open_traces(&self) -> io::Result<()> {
        if let Some(config) = &self.config.traces {
            // They are sent already, else.
            let _ = self.traces.set(Traces::open(config)?);
        }
        Ok(())
    }

    /// Where traces are sent, if they are.
    #[inline]
    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.traces.get()
    }

    /// Waits until the decision log is written and the last traces are sent.
    pub(crate) fn flush(&self) {
        if let Some(log) = self.log.get() {
            log.flush();
        }
        if let Some(traces) = self.traces.get() {
            traces.end();
        }
    }

    /// Certificate and tokens in use.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.load_full()
    }

    /// Reads certificate and tokens.
    ///
    /// # Errors
    /// When they will not do; then those in use stay.
    pub fn read_credentials(&self) -> Result<(), CredentialsError> {
        self.credentials
            .store(Arc::new(Credentials::read(&self.config)?));
        Ok(())
    }

    /// Reads certificate and tokens while the sidecar runs. Whether they are in use.
    pub(crate) fn reload_credentials(&self) -> bool {
        if self.config.tls.is_none() && self.config.tokens.is_empty() {
            return true;
        }
        let why = self.read_credentials().err().map(|error| error.to_string());
        let ok = why.is_none();
        if let Some(why) = &why {
            say(format_args!(
                "the last good certificate and tokens stay: {why}"
            ));
        }
        self.metrics.reload(What::Credentials, ok);
        self.errors().credentials = why;
        ok
    }

    /// Waits until a processor is free to search.
    pub(crate) async fn search_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.searching).acquire_owned().await.ok()
    }

    /// Waits until nobody else loads anew or changes what is loaded.
    pub(crate) async fn reload_turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.reloading).lock_owned().await
    }

    fn errors(&self) -> std::sync::MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_reload_error(&self, why: Option<String>) {
        self.errors().reload = why;
    }

    /// Why the newest policies, schema or entities are not in use.
    pub fn reload_error(&self) -> Option<String> {
        self.errors().reload.clone()
    }

    /// Why the newest certificate or tokens are not in use.
    pub fn credentials_error(&self) -> Option<String> {
        self.errors().credentials.clone()
    }

    /// Says that the sidecar is about to end, so that no more requests should be sent to it.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }

    /// Decides a request on the engine in use, with full diagnostics. Takes about a microsecond, and
    /// never waits.
    ///
    /// # Errors
    /// When the request cannot be read, or does not fit the schema.
    pub fn decide(&self, question: Question<'_>) -> Result<Decided, RequestError> {
        self.decide_on(&self.current.load(), question)
    }

    /// Decides a request on this engine.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub fn decide_on(
        &self,
        loaded: &Loaded,
        question: Question<'_>,
    ) -> Result<Decided, RequestError> {
        if cfg!(feature = "constant-decision") {
            return Ok(Decided::CONSTANT);
        }
        let validate = self.config.request_validation;
        loaded.with_asker(|asker| {
            let started = Instant::now();
            let Asker {
                binder, scratch, ..
            } = asker;
            let bound = bind(binder, question, validate);
            let time = started.elapsed();
            let request = bound.inspect_err(|error| self.refused(question, error, time))?;
            let decided =
                self.decided(question, time, |scratch| request.evaluate(scratch), scratch);
            asker.count(&decided);
            Ok(decided)
        })
    }

    /// Decides a request on this engine, with attributes that hold for this request only. Takes some
    /// tens of microseconds if there are any.
    ///
    /// # Errors
    /// As [`decide`](Self::decide), and when the attributes cannot be those of an entity.
    pub fn decide_overlaid(
        &self,
        loaded: &Loaded,
        question: Question<'_>,
        overlay: Overlay<'_>,
    ) -> Result<Decided, DecideError> {
        if overlay.is_empty() {
            return Ok(self.decide_on(loaded, question)?);
        }
        let validate = self.config.request_validation;
        loaded.with_asker(|asker| {
            let started = Instant::now();
            let Asker {
                binder, scratch, ..
            } = asker;
            let bound = bind_overlaid(binder, question, overlay, validate);
            let time = started.elapsed();
            let request = bound.inspect_err(|error| self.refused(question, error, time))?;
            let decided =
                self.decided(question, time, |scratch| request.evaluate(scratch), scratch);
            asker.count(&decided);
            Ok(decided)
        })
    }

    /// Decides a request that is neither counted nor logged.
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    pub(crate) fn ask_quietly(
        &self,
        snapshot: &Arc<Snapshot>,
        question: Question<'_>,
    ) -> Result<(BoundRequest, Decided), RequestError> {
        let mut binder = Binder::new(Arc::clone(snapshot));
        let request = bind(&mut binder, question, self.config.request_validation)?.clone();
        let decided = Decided::of(request.evaluate(&mut Scratch::default()));
        Ok((request, decided))
    }

    /// Evaluates what was bound, and counts it.
    fn decided<'a>(
        &self,
        question: Question<'_>,
        bind: Duration,
        evaluate: impl FnOnce(&'a mut Scratch) -> Evaluation<'a>,
        scratch: &'a mut Scratch,
    ) -> Decided {
        let started = Instant::now();
        let answer = evaluate(scratch);
        let decide = started.elapsed();
        let decided = Decided::of(answer);
        let outcome = match decided.allowed {
            true => Outcome::Allow,
            false => Outcome::Deny,
        };
        let failures = decided.errors.len();
        self.metrics.decision(outcome, failures, bind, decide);
        self.note(question, Ok(&decided));
        decided
    }

    /// Notes what became of a request, in the decision log and in its trace.
    fn note(&self, question: Question<'_>, outcome: decision_log::Outcome<'_>) {
        if self.traces.get().is_some() {
            traces::note(&outcome);
        }
        if let Some(log) = self.log.get() {
            log.log(question, outcome);
        }
    }

    /// Counts a request that was denied before it was one in Cedar's words.
    pub(crate) fn unasked(&self, why: &dyn std::error::Error) {
        let question = Question {
            principal: "",
            action: "",
            resource: "",
            context: "{}",
        };
        self.refused(question, why, Duration::ZERO);
    }

    /// Counts what could not be bound.
    fn refused(&self, question: Question<'_>, why: &dyn std::error::Error, bind: Duration) {
        let none = Duration::ZERO;
        self.metrics.decision(Outcome::Refused, 0, bind, none);
        self.note(question, Err(why));
    }
}

/// Binds a request.
fn bind<'b>(
    binder: &'b mut Binder,
    question: Question<'_>,
    validate: bool,
) -> Result<&'b BoundRequest, RequestError> {
    let Question {
        principal,
        action,
        resource,
        context,
    } = question;
    let bound = binder.bind(principal, action, resource, context, validate)?;
    Ok(bound)
}

/// Binds a request with attributes that it alone has.
pub(crate) fn bind_overlaid(
    binder: &mut Binder,
    question: Question<'_>,
    overlay: Overlay<'_>,
    validate: bool,
) -> Result<OverlaidRequest, DecideError> {
    let bound = bind(binder, question, validate)?.clone();
    let snapshot = binder.snapshot();
    let entities = overlay.entities(snapshot, question.principal, question.resource)?;
    let overlaid = bound.with_entities(entities);
    overlaid.map_err(|error| DecideError::Overlay(error.into()))
}

impl Loaded {
    fn new(engine: Engine, generation: u64) -> Self {
        Self {
            engine,
            generation,
            since: SystemTime::now(),
            idle: Mutex::default(),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many engines there were with this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Since when it is in use.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// How often each policy determined a decision, by id; decisions that are being made may be
    /// missing.
    pub fn hits(&self) -> HashMap<String, u64> {
        let mut all = HashMap::new();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, hits) in idle.iter().flat_map(|asker| &asker.hits) {
            *all.entry(policy.clone()).or_default() += hits;
        }
        all
    }

    /// Lends memory to ask with.
    fn with_asker<T>(&self, ask: impl FnOnce(&mut Asker) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The engine may have been changed since the memory was last used.
        let now = self.engine.snapshot();
        let mut asker = match idle().pop() {
            Some(mut asker) => {
                if !Arc::ptr_eq(asker.binder.snapshot(), &now) {
                    asker.binder.set_snapshot(now);
                }
                asker
            }
            None => Asker {
                binder: Binder::new(now),
                scratch: Scratch::default(),
                hits: HashMap::new(),
            },
        };
        let answer = ask(&mut asker);
        idle().push(asker);
        answer
    }
}
