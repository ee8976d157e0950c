//! The thread that checks, and what it makes of what it finds.

use super::difference::{Difference, Remedy, policy_ids, uid_texts};
use super::{CheckedAnswer, ReproductionError, SelfCheck, SelfCheckStats, reproduction};
use crate::bind::BoundRequest;
use crate::evaluate::Scratch;
use crate::outcomes::{Outcomes, Settled};
use cedar_policy::Decision;
use cedarjit_ir::ids::PolicyIndex;
use smol_str::SmolStr;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, io, thread};

/// How many decisions may wait to be checked. Each holds its request and the state that it is about.
const QUEUE: usize = 64;

/// How long the thread rests for each time that it works.
const REST: u32 = 3;

/// The thread rests when it is due so long: shorter sleeps are mostly overhead.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// The interpreter recurses as deep as expressions nest.
const STACK_BYTES: usize = 16 << 20;

/// How many reproductions an engine writes.
const MAX_REPRODUCTIONS: u64 = 16;

/// What was answered.
#[derive(Debug)]
pub(crate) enum Given {
    /// What came of every policy.
    Outcomes(Outcomes),
    /// The decision alone.
    Decision(Decision),
}

/// A decision to be checked.
struct Sample {
    request: BoundRequest,
    given: Given,
}

enum Task {
    Check(Box<Sample>),
    /// Everything before this has been checked: say so.
    Tell(SyncSender<()>),
}

/// What is not relied on any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Doubts(u8);

impl Doubts {
    /// Code of some conditions, alone or together with others.
    const CONDITIONS: u8 = 1;
    /// The scope index.
    const INDEX: u8 = 2;
    /// All but the interpreter.
    const EVERYTHING: u8 = 4;

    #[inline]
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }

    pub(crate) fn index(self) -> bool {
        self.0 & (Self::INDEX | Self::EVERYTHING) != 0
    }

    pub(crate) fn everything(self) -> bool {
        self.0 & Self::EVERYTHING != 0
    }
}

/// What was found to be wrong. An engine and what takes its place have it in common.
#[derive(Debug, Default)]
pub(super) struct Findings {
    doubts: AtomicU8,
    /// The policies that the interpreter evaluates, by id.
    interpreted: Mutex<HashSet<SmolStr>>,
}

/// What an engine checks itself with; all its states have it in common.
pub(crate) struct Checker {
    options: SelfCheck,
    findings: Arc<Findings>,
    queue: SyncSender<Task>,
    /// How many decisions wait to be checked, or are about to be.
    waiting: AtomicUsize,
    checked: AtomicU64,
    dropped: AtomicU64,
    differences: AtomicU64,
    /// How many reproductions there are, or were to be.
    reproduced: AtomicU64,
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker")
            .field("options", &self.options)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Checker {
    /// Starts a thread that checks, which ends when the checker is gone.
    pub(crate) fn start(options: SelfCheck) -> io::Result<Arc<Self>> {
        if let Some(folder) = &options.folder {
            std::fs::create_dir_all(folder)?;
        }
        let (queue, tasks) = sync_channel(QUEUE);
        let builder = thread::Builder::new().name("cedarjit-check".to_owned());
        builder.stack_size(STACK_BYTES).spawn(|| serve(tasks))?;
        Ok(Arc::new(Self {
            findings: options.continued.clone().unwrap_or_default(),
            options,
            queue,
            waiting: AtomicUsize::new(0),
            checked: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            differences: AtomicU64::new(0),
            reproduced: AtomicU64::new(0),
        }))
    }

    /// One in so many decisions is checked.
    #[inline]
    pub(crate) fn every(&self) -> u32 {
        self.options.every.get()
    }

    /// What is not relied on any more.
    #[inline]
    pub(crate) fn doubts(&self) -> Doubts {
        Doubts(self.findings.doubts.load(Ordering::Relaxed))
    }

    /// What was found to be wrong so far, and will be.
    pub(super) fn findings(&self) -> Arc<Findings> {
        Arc::clone(&self.findings)
    }

    /// What came of it so far.
    pub(crate) fn stats(&self) -> SelfCheckStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SelfCheckStats {
            checked: count(&self.checked),
            dropped: count(&self.dropped),
            differences: count(&self.differences),
            interpreted_policies: self.interpreted().len(),
        }
    }

    /// Has a decision checked, unless too many wait already. Does not wait.
    #[cold]
    pub(crate) fn submit(&self, request: &BoundRequest, given: Given) {
        // A request is not copied in vain.
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let taken = waiting < QUEUE && {
            let request = request.clone();
            let sample = Box::new(Sample { request, given });
            self.queue.try_send(Task::Check(sample)).is_ok()
        };
        if !taken {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what has been submitted is checked.
    pub(crate) fn wait(&self) {
        let (tell, told) = sync_channel(1);
        if self.queue.send(Task::Tell(tell)).is_ok() {
            // The thread ends only when nobody can ask it any more.
            let _ = told.recv();
        }
    }

    /// The policies that the interpreter evaluates, by id.
    pub(crate) fn interpreted(&self) -> MutexGuard<'_, HashSet<SmolStr>> {
        // A set of ids is complete after each insertion.
        let interpreted = &self.findings.interpreted;
        interpreted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, sample: &Sample, scratch: &mut Scratch) {
        let Sample { request, given } = sample;
        let fused = request.fused_policies();
        let expected = request.interpret(scratch).outcomes().settled(fused);
        self.checked.fetch_add(1, Ordering::Relaxed);
        let given = match given {
            Given::Outcomes(outcomes) => Some(outcomes.settled(fused)),
            Given::Decision(decision) if *decision == expected.decision() => return,
            Given::Decision(_) => None,
        };
        if given.as_ref() == Some(&expected) {
            return;
        }
        self.differences.fetch_add(1, Ordering::Relaxed);
        self.differs(request, given, &expected, scratch);
    }

    /// Stops using what was wrong, and tells.
    fn differs(
        &self,
        request: &BoundRequest,
        given: Option<Settled>,
        expected: &Settled,
        scratch: &mut Scratch,
    ) {
        let answer = match &given {
            Some(given) => CheckedAnswer::of(given, request),
            None => CheckedAnswer::of_decision(match expected.decision() {
                Decision::Allow => Decision::Deny,
                Decision::Deny => Decision::Allow,
            }),
        };
        // Where only the decision is known, the same is asked again with diagnostics.
        let mut again = || self.again(request, scratch);
        let suspects = given.unwrap_or_else(&mut again).difference(expected);
        let indexed = request.interpret_candidates(scratch).outcomes();
        let missed = indexed.settled(&[]) != *expected;
        let remedy = match missed {
            true => self.doubt(Doubts::INDEX, Remedy::Index),
            false => self.demote(request, &suspects),
        };
        let remedy = match self.again(request, scratch) == *expected {
            true => remedy,
            false => self.doubt(Doubts::EVERYTHING, Remedy::Everything),
        };
        let [principal, action, resource] = uid_texts(request);
        let mut difference = Difference {
            principal,
            action,
            resource,
            given: answer,
            expected: CheckedAnswer::of(expected, request),
            policies: policy_ids(&suspects, request),
            remedy,
            reproduction: None,
        };
        difference.reproduction = self.reproduce(request, &difference);
        if let Some(notify) = &self.options.notify {
            notify(&difference);
        }
    }

    /// Evaluates as the engine does now.
    fn again(&self, request: &BoundRequest, scratch: &mut Scratch) -> Settled {
        let evaluation = request.evaluate_doubting(scratch, self.doubts());
        evaluation.outcomes().settled(request.fused_policies())
    }

    fn doubt(&self, doubt: u8, remedy: Remedy) -> Remedy {
        let doubts = &self.findings.doubts;
        doubts.fetch_or(doubt, Ordering::Relaxed);
        remedy
    }

    /// Has the interpreter evaluate these policies from now on; without any, all that the request
    /// may have been decided by together.
    fn demote(&self, request: &BoundRequest, suspects: &[PolicyIndex]) -> Remedy {
        let snapshot = &request.snapshot;
        let together = match suspects {
            [] => request.unscoped_policies(),
            _ => Vec::new(),
        };
        let mut interpreted = self.interpreted();
        for policy in suspects.iter().chain(&together) {
            if let Some(found) = snapshot.evaluable(*policy) {
                found.body.code.demote();
                interpreted.insert(request.policy_id(*policy).into());
            }
        }
        self.doubt(Doubts::CONDITIONS, Remedy::Conditions)
    }

    fn reproduce(
        &self,
        request: &BoundRequest,
        difference: &Difference,
    ) -> Option<Result<PathBuf, ReproductionError>> {
        let folder = self.options.folder.as_ref()?;
        let number = self.reproduced.fetch_add(1, Ordering::Relaxed) + 1;
        (number <= MAX_REPRODUCTIONS)
            .then(|| reproduction::write(folder, number, request, difference))
    }
}

/// Checks one decision after the other, and rests in between.
fn serve(tasks: Receiver<Task>) {
    let mut scratch = Scratch::default();
    let mut due = Duration::ZERO;
    for task in tasks {
        match task {
            Task::Tell(done) => {
                // Who asked may be gone.
                let _ = done.try_send(());
            }
            Task::Check(sample) => {
                let started = Instant::now();
                if let Some(checker) = &sample.request.snapshot.check {
                    checker.waiting.fetch_sub(1, Ordering::Relaxed);
                    // A check that panics is one that was not done; the thread goes on.
                    let check = || checker.check(&sample, &mut scratch);
                    let _ = catch_unwind(AssertUnwindSafe(check));
                }
                due += started.elapsed() * REST;
            }
        }
        if due >= SHORTEST_REST {
            thread::sleep(due);
            due = Duration::ZERO;
        }
    }
}
