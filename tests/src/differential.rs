//! The differential test: every engine must answer every request of a generated world as
//! cedar-policy does.
//!
//! Compared are the decision, the reasons, the ids of the policies that failed and the texts of
//! their errors; of a request that cedar-policy refuses, only that it is refused. [`run_seed`] is
//! the whole test of one seed; [`run`] does a range of seeds on all cores; [`shrink`] makes a
//! mismatch small enough to look at, and [`Mismatch::write`] makes a test of it.

pub mod campaign;
mod folder;
mod report;
mod shrink;

pub use crate::engines::Verdict;
pub use report::Report;
pub use shrink::{Reduction, shrink};

use crate::engines::{EngineError, Loaded, TestEngine};
use crate::generator::{Case, CaseError, Knobs, LoadedCase, Rng, generate, generate_from};
use crate::stack::STACK_SIZE;
use cedar_policy::Decision;
use cedarjit::coverage::Coverage;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of one world.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests asked.
    pub requests: usize,
    /// Requests allowed.
    pub allows: usize,
    /// Requests denied.
    pub denies: usize,
    /// Requests for which some policy failed; they are allowed or denied too.
    pub errors: usize,
    /// Requests that cedar-policy refused.
    pub refused: usize,
    /// Answers compared with cedar-policy's: one for each request and mode, samples aside.
    pub answers: usize,
    /// Requests left out of the comparison, because cedar-policy ran out of stack.
    pub skipped: usize,
    /// Why cedar-policy refused the world, if it did.
    pub rejected: Option<CaseError>,
    /// What the engines executed, as far as they count it.
    pub coverage: Coverage,
    /// The first mismatch of each mode.
    pub mismatches: Vec<Mismatch>,
}

/// An engine that does not answer as cedar-policy does, with everything to see it again.
#[derive(Debug, Clone)]
pub struct Mismatch {
    /// The seed that the world came from, if it came from one.
    pub seed: Option<u64>,
    /// The mode of the engine; the first one where all are concerned.
    pub engine: String,
    /// The world and its requests.
    pub case: Case,
    /// What is wrong.
    pub difference: Difference,
}

/// How an engine differs from cedar-policy.
#[derive(Debug, Clone)]
pub enum Difference {
    /// It refuses a world that cedar-policy loads.
    Load(EngineError),
    /// It answers a request differently.
    Answer {
        /// The request's position in [`Case::requests`].
        request: usize,
        /// cedar-policy's answer.
        expected: Verdict,
        /// The engine's answer.
        got: Verdict,
    },
    /// It panics, with this message.
    Panic(String),
}

/// Generates the world of `seed` and compares the engines' answers with the judge's, which is
/// cedar-policy itself except where the test is tested.
pub fn run_seed(
    seed: u64,
    judge: &dyn TestEngine,
    engines: &[Box<dyn TestEngine>],
    knobs: &Knobs,
) -> Outcome {
    let mut outcome = run_case(&generate(seed, knobs), judge, engines);
    for mismatch in &mut outcome.mismatches {
        mismatch.seed = Some(seed);
    }
    outcome
}

/// As [`run_seed`], with a world that follows from bytes, as fuzzers make them.
pub fn run_bytes(
    bytes: &[u8],
    judge: &dyn TestEngine,
    engines: &[Box<dyn TestEngine>],
    knobs: &Knobs,
) -> Outcome {
    let case = generate_from(&mut Rng::from_bytes(bytes), knobs);
    run_case(&case, judge, engines)
}

/// Compares the engines' answers over one world.
pub fn run_case(case: &Case, judge: &dyn TestEngine, engines: &[Box<dyn TestEngine>]) -> Outcome {
    let mut outcome = Outcome::default();
    let loaded = match case.load() {
        Ok(loaded) => loaded,
        Err(error) => {
            outcome.rejected = Some(error);
            return outcome;
        }
    };
    let expected = match judge.load(&loaded.world) {
        Ok(mut judge) => outcome.ask_judge(&loaded, judge.as_mut()),
        Err(error) => {
            outcome.rejected = Some(CaseError::Policies(error.to_string()));
            return outcome;
        }
    };
    for engine in engines {
        let mut found = Differences::default();
        let run = || found.compare(engine.as_ref(), &loaded, &expected);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let difference = Difference::Panic(text.unwrap_or_default());
            found.of_engine(engine.as_ref(), difference);
        }
        outcome.answers += found.answers;
        outcome.coverage.merge(&found.coverage);
        let mismatch = |(mode, difference): (&str, Difference)| Mismatch {
            seed: None,
            engine: mode.to_owned(),
            case: case.clone(),
            difference,
        };
        outcome
            .mismatches
            .extend(found.found.into_iter().map(mismatch));
    }
    outcome
}

impl Outcome {
    /// The judge's verdicts; none for a request to be left out.
    fn ask_judge(&mut self, loaded: &LoadedCase, judge: &mut dyn Loaded) -> Vec<Option<Verdict>> {
        let mut verdicts = Vec::with_capacity(loaded.requests.len());
        for request in &loaded.requests {
            self.requests += 1;
            judge.authorize(request, &mut |_, given| {
                verdicts.push(self.judged(given.into()));
            });
        }
        verdicts
    }

    /// Counts a verdict of the judge; none if it ran out of stack.
    fn judged(&mut self, verdict: Verdict) -> Option<Verdict> {
        if let Ok(answer) = &verdict {
            let allowed = answer.decision == Decision::Allow;
            self.allows += usize::from(allowed);
            self.denies += usize::from(!allowed);
            self.errors += usize::from(!answer.errors.is_empty());
            if answer.ran_out_of_stack() {
                self.skipped += 1;
                return None;
            }
        } else {
            self.refused += 1;
        }
        Some(verdict)
    }
}

/// What is found while an engine's answers are compared: the first difference of each mode.
#[derive(Default)]
struct Differences {
    answers: usize,
    coverage: Coverage,
    found: Vec<(&'static str, Difference)>,
}

impl Differences {
    fn of_engine(&mut self, engine: &dyn TestEngine, difference: Difference) {
        let mode = engine.modes().first().copied().unwrap_or_default();
        self.found.push((mode, difference));
    }

    fn compare(
        &mut self,
        engine: &dyn TestEngine,
        loaded: &LoadedCase,
        expected: &[Option<Verdict>],
    ) {
        let mut engine = match engine.load(&loaded.world) {
            Ok(engine) => engine,
            Err(error) => return self.of_engine(engine, Difference::Load(error)),
        };
        for (position, (request, expected)) in loaded.requests.iter().zip(expected).enumerate() {
            let Some(expected) = expected else {
                continue;
            };
            engine.authorize(request, &mut |mode, given| {
                self.answers += 1;
                if given.agrees(expected) || self.found.iter().any(|(known, _)| *known == mode) {
                    return;
                }
                let difference = Difference::Answer {
                    request: position,
                    expected: expected.clone(),
                    got: given.into(),
                };
                self.found.push((mode, difference));
            });
        }
        if let Some(coverage) = engine.coverage() {
            self.coverage.merge(coverage);
        }
    }
}

/// Runs all seeds of a range on `threads` threads, at least one.
///
/// The report's sums do not depend on the number of threads.
pub fn run(
    seeds: Range<u64>,
    threads: usize,
    judge: &dyn TestEngine,
    engines: &[Box<dyn TestEngine>],
    knobs: &Knobs,
) -> Report {
    let next = AtomicU64::new(seeds.start);
    let report = Mutex::new(Report::default());
    let work = || {
        let mut own = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                break;
            }
            own.merge(Report::of(run_seed(seed, judge, engines, knobs), seed));
        }
        if let Ok(mut report) = report.lock() {
            report.merge(own);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let builder = std::thread::Builder::new().stack_size(STACK_SIZE);
            if builder.spawn_scoped(scope, work).is_err() {
                // No thread to be had: the seeds that are left are run by the others, or by this.
                work();
            }
        }
    });
    let mut report = report.into_inner().unwrap_or_default();
    report.sort();
    report
}
