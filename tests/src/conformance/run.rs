//! Running tests on every engine.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::case::{Case, Query, SchemaCache, Validation};
use super::report::{Mismatch, MismatchKind, Report};
use super::source::Suite;
use crate::engines::{Answer, EngineError, JUDGE, TestEngine, Verdict};

/// Stack of a worker, in bytes: cedar-policy's parser recurses on nested expressions.
const WORKER_STACK: usize = 64 << 20;

/// Which of the tests to run.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only tests of this name.
    pub test: Option<String>,
    /// Only the request at this position in each test, from 0.
    pub request: Option<usize>,
    /// At most this many tests, spread evenly over all of them.
    pub sample: Option<usize>,
}

/// The tests that a run will go through.
#[derive(Debug)]
pub struct Plan<'a> {
    tests: Vec<(&'a Suite, &'a str)>,
    request: Option<usize>,
}

impl<'a> Plan<'a> {
    /// Selects tests. The same suites and selection always give the same plan.
    pub fn new(suites: &'a [Suite], selection: &Selection) -> Self {
        let all = suites
            .iter()
            .flat_map(|suite| suite.tests().iter().map(move |name| (suite, name.as_str())));
        let wanted = selection.test.as_deref();
        let mut tests: Vec<_> = all
            .filter(|(_, name)| wanted.is_none_or(|wanted| wanted == *name))
            .collect();
        if let Some(sample) = selection.sample.filter(|&sample| sample < tests.len()) {
            let count = tests.len();
            tests = (0..sample)
                .filter_map(|i| tests.get(i * count / sample).copied())
                .collect();
        }
        Self {
            tests,
            request: selection.request,
        }
    }

    /// How many tests there are.
    pub fn len(&self) -> usize {
        self.tests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }
}

/// Told of each test that is done, from the thread that did it.
pub trait Progress: Sync {
    /// Another test is done; `mismatches` were found in it.
    fn advance(&self, mismatches: usize);
}

/// No progress is shown.
impl Progress for () {
    fn advance(&self, _mismatches: usize) {}
}

/// Runs a plan on every engine, on `threads` threads.
///
/// cedar-policy, if it is among the engines, is the judge of the kinds and texts of evaluation
/// errors, which test files do not hold. It should come first.
pub fn run(
    plan: &Plan<'_>,
    engines: &[Box<dyn TestEngine>],
    threads: NonZero<usize>,
    progress: &dyn Progress,
) -> Report {
    let schemas = SchemaCache::default();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(suite, name)) = plan.tests.get(position) else {
                return done;
            };
            let report = run_test(suite, name, plan.request, engines, &schemas);
            progress.advance(report.mismatches.len());
            done.push((position, report));
        }
    };
    let mut done = thread::scope(|scope| {
        let spawn = |_| {
            let builder = thread::Builder::new().stack_size(WORKER_STACK);
            builder.spawn_scoped(scope, work).ok()
        };
        let workers: Vec<_> = (1..threads.get()).filter_map(spawn).collect();
        // One worker may be all that the system grants; without any, this thread does it all.
        let mine = match spawn(0) {
            Some(worker) => joined(worker),
            None => work(),
        };
        let theirs = workers.into_iter().flat_map(joined);
        theirs.chain(mine).collect::<Vec<_>>()
    });
    done.sort_unstable_by_key(|(position, _)| *position);
    let mut report = Report::default();
    for (_, one) in done {
        report.absorb(one);
    }
    report
}

/// A worker's results. Panics of tests are caught, so a worker has none; if it has one all the same,
/// its tests must not go missing from the report unnoticed.
fn joined<T>(worker: thread::ScopedJoinHandle<'_, T>) -> T {
    worker.join().unwrap_or_else(|panic| resume_unwind(panic))
}

/// One test being run.
struct TestRun<'a> {
    suite: &'a Suite,
    name: &'a str,
    report: Report,
}

fn run_test(
    suite: &Suite,
    name: &str,
    request: Option<usize>,
    engines: &[Box<dyn TestEngine>],
    schemas: &SchemaCache,
) -> Report {
    let report = Report {
        tests: 1,
        ..Report::default()
    };
    let mut test = TestRun {
        suite,
        name,
        report,
    };
    let load = AssertUnwindSafe(|| Case::load(suite, name, request, schemas));
    match catch_unwind(load) {
        Ok(Ok(case)) => test.run(&case, engines),
        Ok(Err(error)) => test.found("reader", None, MismatchKind::Unreadable(error)),
        Err(_) => test.found("reader", None, MismatchKind::Panicked),
    }
    test.report
}

impl TestRun<'_> {
    fn found(&mut self, engine: &str, query: Option<&Query>, kind: MismatchKind) {
        self.report.mismatches.push(Mismatch {
            suite: self.suite.origin().to_owned(),
            test: self.name.to_owned(),
            request: query.map(|query| (query.index, query.description.clone())),
            engine: engine.to_owned(),
            kind,
        });
    }

    fn run(&mut self, case: &Case, engines: &[Box<dyn TestEngine>]) {
        self.report.requests = case.queries.len();
        self.check_validation(case);
        let mut judged = HashMap::new();
        for engine in engines {
            let name = engine.modes().first().copied().unwrap_or_default();
            let run = AssertUnwindSafe(|| run_engine(engine.as_ref(), case));
            match catch_unwind(run) {
                Ok(Ok(outcomes)) => self.check_outcomes(outcomes, &mut judged),
                Ok(Err(error)) => self.found(name, None, MismatchKind::Refused(error)),
                Err(_) => self.found(name, None, MismatchKind::Panicked),
            }
        }
    }

    fn check_validation(&mut self, case: &Case) {
        let should_validate = case.should_validate;
        match (should_validate, case.validation) {
            (true, Validation::Passed | Validation::PassedWithoutAction)
            | (false, Validation::Failed) => {}
            (false, Validation::PassedWithoutAction) => self.report.older_validation = 1,
            (true, Validation::Failed) | (false, Validation::Passed) => {
                let kind = MismatchKind::Validation { should_validate };
                self.found("validator", None, kind);
            }
        }
    }

    /// Compares an engine's outcomes. Answers of the judge go into `judged`, by request.
    fn check_outcomes(&mut self, outcomes: Vec<Outcome<'_>>, judged: &mut HashMap<usize, Answer>) {
        for (mode, query, verdict) in outcomes {
            self.report.answers += 1;
            if let Some(kind) = compare(query, judged.get(&query.index), &verdict) {
                self.found(mode, Some(query), kind);
            }
            if let Ok(answer) = verdict
                && mode == JUDGE
            {
                judged.insert(query.index, answer);
            }
        }
    }
}

/// What a mode made of a request.
type Outcome<'a> = (&'static str, &'a Query, Verdict);

fn run_engine<'a>(
    engine: &dyn TestEngine,
    case: &'a Case,
) -> Result<Vec<Outcome<'a>>, EngineError> {
    let mut loaded = engine.load(&case.world)?;
    let mut outcomes = Vec::new();
    for query in &case.queries {
        loaded.authorize(&query.request, &mut |mode, given| {
            outcomes.push((mode, query, given.into()));
        });
    }
    Ok(outcomes)
}

fn compare(query: &Query, judge: Option<&Answer>, verdict: &Verdict) -> Option<MismatchKind> {
    let (expected, answer) = match (&query.expected, verdict) {
        (Some(expected), Ok(answer)) => (expected, answer),
        (None, Err(_)) => return None,
        (None, Ok(answer)) => return Some(MismatchKind::NotRefused(answer.clone())),
        (Some(_), Err(error)) => return Some(MismatchKind::Refused(error.clone())),
    };
    if !expected.matches(answer) {
        return Some(MismatchKind::Answer {
            expected: expected.clone(),
            got: answer.clone(),
        });
    }
    let messages = judge?.errors.iter().zip(&answer.errors);
    let mut wrong = messages.filter(|((_, expected), (_, got))| expected != got);
    wrong
        .next()
        .map(|((policy, expected), (_, got))| MismatchKind::Message {
            policy: policy.clone(),
            expected: expected.to_string(),
            got: got.to_string(),
        })
}
