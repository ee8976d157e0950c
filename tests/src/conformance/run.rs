//! Running tests on every engine.

use std::collections::HashMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::case::{Case, Query, SchemaCache, Validation};
use super::report::{Mismatch, MismatchKind, Report};
use super::source::Suite;
use crate::engines::{Answer, EngineError, Loaded, TestEngine};

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
/// The first engine named `cedar`, if there is one, is the judge of the texts of evaluation errors,
/// which test files do not hold.
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
            Some(worker) => worker.join().unwrap_or_default(),
            None => work(),
        };
        let theirs = workers.into_iter().filter_map(|w| w.join().ok());
        theirs.flatten().chain(mine).collect::<Vec<_>>()
    });
    done.sort_unstable_by_key(|(position, _)| *position);
    let mut report = Report::default();
    for (_, one) in done {
        report.absorb(one);
    }
    report
}

fn run_test(
    suite: &Suite,
    name: &str,
    request: Option<usize>,
    engines: &[Box<dyn TestEngine>],
    schemas: &SchemaCache,
) -> Report {
    let mut report = Report {
        tests: 1,
        ..Report::default()
    };
    let mut found = |engine: &str, query: Option<&Query>, kind| {
        report.mismatches.push(Mismatch {
            suite: suite.origin().to_owned(),
            test: name.to_owned(),
            request: query.map(|query| (query.index, query.description.clone())),
            engine: engine.to_owned(),
            kind,
        });
    };
    let case = match Case::load(suite, name, request, schemas) {
        Ok(case) => case,
        Err(error) => {
            found("reader", None, MismatchKind::Unreadable(error));
            return report;
        }
    };
    let should_validate = case.should_validate;
    match (should_validate, case.validation) {
        (true, Validation::Passed | Validation::PassedWithoutAction)
        | (false, Validation::Failed) => {}
        (false, Validation::PassedWithoutAction) => report.older_validation = 1,
        (true, Validation::Failed) | (false, Validation::Passed) => {
            let kind = MismatchKind::Validation { should_validate };
            found("validator", None, kind);
        }
    }
    let mut judged = HashMap::new();
    let mut answers = 0;
    for engine in engines {
        let name = engine.name();
        let run = AssertUnwindSafe(|| run_engine(engine.as_ref(), &case));
        let outcomes = match catch_unwind(run) {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(error)) => {
                found(name, None, MismatchKind::Refused(error));
                continue;
            }
            Err(_) => {
                found(name, None, MismatchKind::Panicked);
                continue;
            }
        };
        for (query, outcome) in case.queries.iter().zip(outcomes) {
            answers += 1;
            let judge = judged.get(&query.index);
            if let Some(kind) = compare(query, judge, &outcome) {
                found(name, Some(query), kind);
            }
            if let Ok(answer) = outcome
                && name == "cedar"
            {
                judged.insert(query.index, answer);
            }
        }
    }
    report.requests = case.queries.len();
    report.answers = answers;
    report
}

type Outcome = Result<Answer, EngineError>;

fn run_engine(engine: &dyn TestEngine, case: &Case) -> Result<Vec<Outcome>, EngineError> {
    let mut loaded: Box<dyn Loaded> = engine.load(&case.world)?;
    let queries = case.queries.iter();
    Ok(queries.map(|q| loaded.authorize(&q.request)).collect())
}

fn compare(query: &Query, judge: Option<&Answer>, outcome: &Outcome) -> Option<MismatchKind> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => return Some(MismatchKind::Refused(error.clone())),
    };
    if !query.expected.matches(answer) {
        return Some(MismatchKind::Answer {
            expected: query.expected.clone(),
            got: answer.clone(),
        });
    }
    let messages = judge?.errors.iter().zip(&answer.errors);
    let mut wrong = messages.filter(|((_, expected), (_, got))| expected != got);
    wrong
        .next()
        .map(|((policy, expected), (_, got))| MismatchKind::Message {
            policy: policy.clone(),
            expected: expected.clone(),
            got: got.clone(),
        })
}
