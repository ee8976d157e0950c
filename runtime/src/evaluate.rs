//! Evaluating a bound request: candidates, outcomes, combination.

use crate::bind::BoundRequest;
use crate::check::{Checker, Doubts, Given, Sampler};
use crate::coverage::{Coverage, Observer};
use crate::error::EvalError;
use crate::fused::Fused;
use crate::index::{Query, ScopeIndex, action_matches};
use crate::interpreter::Interpreter;
use crate::native::{NativeHost, ObservedHost};
use crate::outcomes::Outcomes;
use crate::policies::Evaluable;
use crate::snapshot::Snapshot;
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::Decision;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_ir::value::Value;
use cedarjit_jit::{FusedOutcomes, Host, Session};
use std::sync::Arc;

/// What evaluation writes to: kept by the caller, so that evaluating allocates nothing once it has
/// grown to size.
#[derive(Debug, Default)]
pub struct Scratch {
    space: ScratchSpace,
    elements: Vec<Value>,
    outcomes: Outcomes,
    /// Policies without code, and those whose code gave up.
    interpret: Vec<PolicyIndex>,
    /// Which evaluations are checked, where engines check themselves.
    pub(crate) sampler: Sampler,
}

/// What an evaluation came to.
///
/// Policy ids and error texts are looked up only when asked for.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    request: &'a BoundRequest,
    outcomes: &'a Outcomes,
}

impl<'a> Evaluation<'a> {
    /// Whether the request is allowed.
    pub fn decision(self) -> Decision {
        self.outcomes.decision()
    }

    /// The ids of the policies that determined the decision, in no particular order.
    pub fn reasons(self) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        let request = self.request;
        let reasons = self.outcomes.reasons(request.fused_policies());
        reasons.map(|policy| request.policy_id(policy))
    }

    /// The policies whose evaluation failed, and why, in no particular order.
    ///
    /// Each is evaluated again by the interpreter as the iterator reaches it.
    pub fn errors(self) -> impl ExactSizeIterator<Item = (&'a str, EvalError)> {
        let request = self.request;
        let failed = self.outcomes.failed(request.fused_policies());
        failed.map(|policy| explain_failure(request, policy))
    }

    /// The ids of the policies whose evaluation failed, in no particular order.
    pub fn failed(self) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        let request = self.request;
        let failed = self.outcomes.failed(request.fused_policies());
        failed.map(|policy| request.policy_id(policy))
    }

    /// Whether any policy's evaluation failed.
    pub fn has_errors(self) -> bool {
        self.outcomes.has_failures()
    }

    pub(crate) fn outcomes(self) -> &'a Outcomes {
        self.outcomes
    }
}

/// The id of a policy that failed, and why it did.
pub(crate) fn explain_failure(request: &BoundRequest, policy: PolicyIndex) -> (&str, EvalError) {
    let Some(bound) = request.snapshot.policy(policy) else {
        return ("", EvalError::Unexplained);
    };
    let mut space = ScratchSpace::new();
    let mut interpreter = Interpreter::new(request.values(&mut space));
    let error = match interpreter.evaluate(bound) {
        Err(error) => error,
        Ok(_) => EvalError::Unexplained,
    };
    (bound.id.as_str(), error)
}

/// Which policies an evaluation visits, and how it evaluates them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    indexed: bool,
    native: bool,
    /// Whether policies are skipped that the decision does not depend on any more.
    decision_only: bool,
}

/// Candidates from the index, natively.
const NATIVE: Mode = Mode {
    indexed: true,
    native: true,
    decision_only: false,
};

/// As [`NATIVE`], no further than the decision takes.
const DECISION: Mode = Mode {
    decision_only: true,
    ..NATIVE
};

/// As [`NATIVE`], on every policy of the action.
const UNINDEXED: Mode = Mode {
    indexed: false,
    ..NATIVE
};

impl BoundRequest {
    /// The id of a policy of the snapshot.
    pub(crate) fn policy_id(&self, policy: PolicyIndex) -> &str {
        let policy = self.snapshot.policy(policy);
        policy.map_or("", |policy| policy.id.as_str())
    }

    pub(crate) fn values<'a>(&'a self, scratch: &'a mut ScratchSpace) -> ValueContext<'a> {
        ValueContext {
            interner: &self.snapshot.interner,
            store: &self.snapshot.store,
            request: &self.details.values,
            scratch,
        }
    }

    /// Evaluates every policy that can apply, natively where there is code.
    ///
    /// Full diagnostics: no policy that could be satisfied or fail is skipped. Allocates nothing
    /// once `scratch` has grown to size, unless a policy is interpreted.
    #[inline]
    pub fn evaluate<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        let Some(alone) = self.alone() else {
            return self.evaluate_together(scratch);
        };
        match self.frame.run_alone(&alone.function) {
            Some(outcomes) => self.found(scratch, outcomes, alone.permits),
            // It gave up, and would again.
            None => self.evaluate_unfused(scratch),
        }
    }

    /// What fused code found, where nothing else is evaluated.
    #[inline]
    fn found<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        outcomes: FusedOutcomes,
        permits: u64,
    ) -> Evaluation<'a> {
        scratch.outcomes.clear();
        scratch.outcomes.set_fused(outcomes, permits);
        Evaluation {
            request: self,
            outcomes: &scratch.outcomes,
        }
    }

    /// As [`evaluate`](Self::evaluate), with whatever that takes.
    fn evaluate_together<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        match &self.snapshot.check {
            None => self.evaluate_relying(scratch, self.fused()),
            Some(check) => self.evaluate_checked(scratch, check),
        }
    }

    #[inline]
    fn evaluate_relying<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        fused: Option<&Fused>,
    ) -> Evaluation<'a> {
        match fused {
            Some(fused) => self.run_fused(scratch, fused),
            None => self.evaluate_unfused(scratch),
        }
    }

    /// As [`evaluate`](Self::evaluate), where the engine checks itself.
    #[inline(never)]
    fn evaluate_checked<'a>(&'a self, scratch: &'a mut Scratch, check: &Checker) -> Evaluation<'a> {
        let due = scratch.sampler.due(check.every());
        let evaluation = self.evaluate_doubting(scratch, check.doubts());
        if due {
            check.submit(self, Given::Outcomes(evaluation.outcomes.clone()));
        }
        evaluation
    }

    /// Evaluates with what may be relied on.
    pub(crate) fn evaluate_doubting<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        doubts: Doubts,
    ) -> Evaluation<'a> {
        if doubts.everything() {
            self.interpret(scratch)
        } else if doubts.index() {
            self.evaluate_unindexed(scratch)
        } else {
            self.evaluate_relying(scratch, self.fused_despite(doubts))
        }
    }

    /// The fused code for requests like this one, if there is some and it may be relied on.
    fn fused_despite(&self, doubts: Doubts) -> Option<&Fused> {
        let snapshot = &self.snapshot;
        let relied_on = |fused: &&Fused| !doubts.any() || snapshot.is_relied_on(&fused.policies);
        self.fused().filter(relied_on)
    }

    /// Evaluates as [`evaluate`](Self::evaluate) does, each policy by itself, even where requests
    /// like this one are frequent enough to have fused code. The answer is the same; tests compare
    /// the two.
    pub fn evaluate_unfused<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(scratch, NATIVE, ())
    }

    /// Decides, and finds out no more than that takes.
    ///
    /// The decision is that of [`evaluate`](Self::evaluate). Which policies determine it is not
    /// found, nor which would fail: policies that can no longer change the decision are skipped,
    /// unless fused code evaluates them together with others.
    #[inline]
    pub fn decide(&self, scratch: &mut Scratch) -> Decision {
        let Some(alone) = self.alone() else {
            return self.decide_together(scratch);
        };
        match self.frame.run_alone(&alone.function) {
            Some(outcomes) => Outcomes::of_fused(outcomes, alone.permits).decision(),
            None => self.decide_unfused(scratch),
        }
    }

    /// As [`decide`](Self::decide), with whatever that takes.
    fn decide_together(&self, scratch: &mut Scratch) -> Decision {
        match &self.snapshot.check {
            None => self.decide_relying(scratch, self.fused()),
            Some(check) => self.decide_checked(scratch, check),
        }
    }

    /// As [`decide`](Self::decide), where the engine checks itself.
    #[inline(never)]
    fn decide_checked(&self, scratch: &mut Scratch, check: &Checker) -> Decision {
        let due = scratch.sampler.due(check.every());
        let doubts = check.doubts();
        let decision = match doubts.index() {
            true => self.evaluate_doubting(scratch, doubts).decision(),
            false => self.decide_relying(scratch, self.fused_despite(doubts)),
        };
        if due {
            check.submit(self, Given::Decision(decision));
        }
        decision
    }

    #[inline]
    fn decide_relying(&self, scratch: &mut Scratch, fused: Option<&Fused>) -> Decision {
        let Some(fused) = fused else {
            return self.decide_unfused(scratch);
        };
        match self.run_frame(fused) {
            (Some(outcomes), None) => Outcomes::of_fused(outcomes, fused.permits).decision(),
            (outcomes, scoped) => {
                let session = self.run_session(scratch, fused, DECISION, outcomes, scoped);
                session.decision()
            }
        }
    }

    /// As [`decide`](Self::decide), each policy by itself.
    #[inline(never)]
    fn decide_unfused(&self, scratch: &mut Scratch) -> Decision {
        self.run(scratch, DECISION, ()).decision()
    }

    /// Evaluates as [`evaluate`](Self::evaluate) does, without asking the scope index: every policy
    /// of the action. The answer is the same; tests compare the two.
    pub fn evaluate_unindexed<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(scratch, UNINDEXED, ())
    }

    /// Evaluates by walking the policies' HIR: slower, and independent of lowering, optimisation
    /// and code generation.
    pub fn interpret<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(
            scratch,
            Mode {
                native: false,
                ..UNINDEXED
            },
            (),
        )
    }

    /// As [`interpret`](Self::interpret), the policies that the scope index finds.
    pub(crate) fn interpret_candidates<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        let mode = Mode {
            native: false,
            ..NATIVE
        };
        self.run(scratch, mode, ())
    }

    /// Calls `visit` with each policy that the scope index finds.
    pub(crate) fn visit_candidates(&self, visit: impl FnMut(PolicyIndex)) {
        self.candidates(NATIVE, visit);
    }

    /// The policies that the index posts under the action alone.
    pub(crate) fn unscoped_policies(&self) -> Vec<PolicyIndex> {
        let index = self.snapshot.index.as_ref();
        let unscoped = index.map(|index| index.unscoped(self.details.values.action()));
        unscoped.into_iter().flatten().collect()
    }

    /// Interprets with the entities that were laid over the store.
    ///
    /// `indexed` says that the scope index knows what the request is about; else every policy is
    /// visited, whatever its action, since the action may be in something else, too.
    pub(crate) fn interpret_overlaid<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        indexed: bool,
    ) -> Evaluation<'a> {
        let doubted = |check: &Arc<Checker>| check.doubts().index();
        match indexed && !self.snapshot.check.as_ref().is_some_and(doubted) {
            true => self.interpret_candidates(scratch),
            false => self.interpret_all(scratch, ()),
        }
    }

    /// As [`evaluate`](Self::evaluate), and counts what compiled code did.
    ///
    /// What the interpreter did is counted only for policies that it had to evaluate.
    pub fn evaluate_observed<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        coverage: &mut Coverage,
    ) -> Evaluation<'a> {
        self.run(scratch, NATIVE, coverage)
    }

    /// As [`interpret`](Self::interpret), and counts what the interpreter did.
    ///
    /// It visits every policy, so that constraints on actions are counted that do not hold.
    pub fn interpret_observed<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        coverage: &mut Coverage,
    ) -> Evaluation<'a> {
        self.interpret_all(scratch, coverage)
    }

    /// Interprets every policy.
    fn interpret_all<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        observer: impl Observer,
    ) -> Evaluation<'a> {
        scratch.outcomes.clear();
        let every = self.snapshot.all_policies();
        scratch.interpret.extend(every.map(|(policy, _)| policy));
        self.run_interpreter(scratch, observer);
        self.finish(scratch)
    }

    #[inline]
    fn run<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        mode: Mode,
        mut observer: impl Observer,
    ) -> Evaluation<'a> {
        scratch.outcomes.clear();
        if mode.native {
            self.run_native(scratch, mode, observer.reborrow());
        } else {
            let pending = &mut scratch.interpret;
            self.candidates(mode, |policy| pending.push(policy));
        }
        if !scratch.interpret.is_empty() {
            self.run_interpreter(scratch, observer);
        }
        self.finish(scratch)
    }

    #[inline]
    fn finish<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        scratch.space.clear();
        Evaluation {
            request: self,
            outcomes: &scratch.outcomes,
        }
    }

    /// Calls `visit` with every policy whose action constraint holds and whose scope may hold.
    #[inline]
    fn candidates(&self, mode: Mode, mut visit: impl FnMut(PolicyIndex)) {
        let snapshot = &self.snapshot;
        match &snapshot.index {
            Some(index) if mode.indexed => {
                let query = self.query();
                index.unscoped(query.about.action).for_each(&mut visit);
                if snapshot.has_scoped() {
                    snapshot.scoped(index, query, visit);
                }
            }
            _ => {
                let action = self.details.values.action();
                for (index, policy) in snapshot.all_policies() {
                    if action_matches(&policy.policy.action, action, &snapshot.store) {
                        visit(index);
                    }
                }
            }
        }
    }

    #[inline]
    fn query(&self) -> Query<'_> {
        let store = &self.snapshot.store;
        // The frame is at hand, the values are not.
        let about = self.frame.about();
        Query {
            about: about.unwrap_or_else(|| self.details.values.about(store)),
            store,
        }
    }

    /// What answers compiled code's calls.
    #[inline]
    fn host<'a>(
        &'a self,
        space: &'a mut ScratchSpace,
        elements: &'a mut Vec<Value>,
    ) -> NativeHost<'a> {
        NativeHost {
            values: self.values(space),
            patterns: &self.snapshot.table.patterns,
            elements,
        }
    }

    /// What fused code finds out without a session, and the index if that has policies to evaluate
    /// besides.
    #[inline]
    fn run_frame(&self, fused: &Fused) -> (Option<FusedOutcomes>, Option<&ScopeIndex>) {
        let outcomes = self.frame.run(&fused.function);
        let index = self.snapshot.index.as_deref();
        let scoped =
            |_: &&ScopeIndex| self.snapshot.has_scoped() && !planted(Fault::FusedSkipsScoped);
        (outcomes.map(|o| fused.restrict(o)), index.filter(scoped))
    }

    #[inline]
    fn run_fused<'a>(&'a self, scratch: &'a mut Scratch, fused: &Fused) -> Evaluation<'a> {
        match self.run_frame(fused) {
            (Some(outcomes), None) => self.found(scratch, outcomes, fused.permits),
            (outcomes, scoped) => self.run_session(scratch, fused, NATIVE, outcomes, scoped),
        }
    }

    /// Runs in a session what a prepared frame cannot run: code that calls builtins, and the
    /// policies that the index has under principal and resource.
    fn run_session<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        fused: &Fused,
        mode: Mode,
        outcomes: Option<FusedOutcomes>,
        index: Option<&ScopeIndex>,
    ) -> Evaluation<'a> {
        let snapshot = &self.snapshot;
        if let Some(index) = index {
            index.read_ahead(self.query());
        }
        let mut host = self.host(&mut scratch.space, &mut scratch.elements);
        let mut session = Session::new(&mut host, &self.frame);
        let run = |session: &mut Session<'_, _>| {
            let outcomes = session.run_fused(&fused.function)?;
            Some(fused.restrict(outcomes))
        };
        // Without builtins it ran already, and gave up.
        let mut runs = session.as_mut().filter(|_| fused.function.calls_builtins());
        let outcomes = outcomes.or_else(|| runs.take().and_then(run));
        let (Some(mut session), Some(outcomes)) = (session, outcomes) else {
            return self.run(scratch, mode, ());
        };
        scratch.outcomes.clear();
        scratch.outcomes.set_fused(outcomes, fused.permits);
        if let Some(index) = index {
            let (outcomes, pending) = (&mut scratch.outcomes, &mut scratch.interpret);
            snapshot.scoped(index, self.query(), |policy| {
                run_one(snapshot, mode, policy, &mut session, outcomes, pending);
            });
            if !scratch.interpret.is_empty() {
                self.run_interpreter(scratch, ());
            }
        }
        self.finish(scratch)
    }

    #[inline]
    fn run_native(&self, scratch: &mut Scratch, mode: Mode, mut observer: impl Observer) {
        let snapshot = &self.snapshot;
        let mut host = ObservedHost {
            host: self.host(&mut scratch.space, &mut scratch.elements),
            observer: observer.reborrow(),
        };
        let (outcomes, pending) = (&mut scratch.outcomes, &mut scratch.interpret);
        let Some(mut session) = Session::new(&mut host, &self.frame) else {
            return self.candidates(mode, |policy| pending.push(policy));
        };
        self.candidates(mode, |policy| {
            run_one(snapshot, mode, policy, &mut session, outcomes, pending);
        });
    }

    /// Interprets the policies that are waiting for it.
    #[cold]
    fn run_interpreter(&self, scratch: &mut Scratch, mut observer: impl Observer) {
        let Scratch {
            space,
            outcomes,
            interpret,
            ..
        } = scratch;
        for policy in interpret.drain(..) {
            let Some(bound) = self.snapshot.policy(policy) else {
                continue;
            };
            space.clear();
            let mut interpreter = Interpreter::observed(self.values(space), observer.reborrow());
            let outcome = match interpreter.evaluate(bound) {
                Ok(true) => Outcome::Satisfied,
                Ok(false) => Outcome::Unsatisfied,
                Err(_) => Outcome::Failed,
            };
            outcomes.add(policy, bound.policy.effect, outcome);
        }
    }
}

/// Runs the code of one policy, unless it is skipped; puts it among the `pending` ones if there is
/// none.
#[inline]
fn run_one<H: Host>(
    snapshot: &Snapshot,
    mode: Mode,
    policy: PolicyIndex,
    session: &mut Session<'_, H>,
    outcomes: &mut Outcomes,
    pending: &mut Vec<PolicyIndex>,
) {
    let Some(Evaluable {
        body,
        consts,
        effect,
    }) = snapshot.evaluable(policy)
    else {
        return;
    };
    if mode.decision_only && outcomes.settle(effect) {
        return;
    }
    let code = body.code.get();
    match code.and_then(|code| session.run(code, consts)) {
        Some(outcome) => outcomes.add(policy, effect, outcome),
        None if planted(Fault::PendingSkipped) && body.code.is_pending() => {}
        None => pending.push(policy),
    }
}
