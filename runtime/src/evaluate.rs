//! Evaluating a bound request: candidates, outcomes, combination.

use crate::bind::BoundRequest;
use crate::coverage::{Coverage, Observer};
use crate::error::EvalError;
use crate::fused::Fused;
use crate::index::{Query, ScopeIndex, action_matches};
use crate::interpreter::Interpreter;
use crate::native::{NativeHost, ObservedHost};
use crate::outcomes::Outcomes;
use crate::policies::PolicyTable;
use crate::snapshot::Snapshot;
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::Decision;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_ir::value::Value;
use cedarjit_jit::{FrameParts, FusedOutcomes, Host, Session};

/// What evaluation writes to: kept by the caller, so that evaluating allocates nothing once it has
/// grown to size.
#[derive(Debug, Default)]
pub struct Scratch {
    space: ScratchSpace,
    elements: Vec<Value>,
    outcomes: Outcomes,
    /// Policies without code, and those whose code gave up.
    interpret: Vec<PolicyIndex>,
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
    let Some(bound) = request.snapshot.table.policies().get(policy.index()) else {
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

impl BoundRequest {
    /// The id of a policy of the snapshot.
    pub(crate) fn policy_id(&self, policy: PolicyIndex) -> &str {
        let policies = self.snapshot.table.policies();
        policies.get(policy.index()).map_or("", |p| p.id.as_str())
    }

    fn values<'a>(&'a self, scratch: &'a mut ScratchSpace) -> ValueContext<'a> {
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
        match self.fused() {
            Some(fused) => self.run_fused(scratch, fused),
            None => self.evaluate_unfused(scratch),
        }
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
    /// found, nor which would fail: once a forbid is satisfied no further policy is evaluated, and
    /// once a permit is, no further permit.
    #[inline]
    pub fn decide(&self, scratch: &mut Scratch) -> Decision {
        if let Some(fused) = self.fused()
            && let Some(outcomes) = self.frame.run(&fused.function)
        {
            let outcomes = fused.restrict(outcomes);
            let forbidden = outcomes.satisfied & !fused.permits != 0;
            let scoped = self
                .snapshot
                .index
                .as_ref()
                .is_some_and(ScopeIndex::has_scoped);
            if forbidden || !scoped {
                return match outcomes.satisfied != 0 && !forbidden {
                    true => Decision::Allow,
                    false => Decision::Deny,
                };
            }
        }
        self.decide_unfused(scratch)
    }

    fn decide_unfused(&self, scratch: &mut Scratch) -> Decision {
        let mode = Mode {
            decision_only: true,
            ..NATIVE
        };
        self.run(scratch, mode, ()).decision()
    }

    /// Evaluates as [`evaluate`](Self::evaluate) does, without asking the scope index: every policy
    /// of the action. The answer is the same; tests compare the two.
    pub fn evaluate_unindexed<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(
            scratch,
            Mode {
                indexed: false,
                ..NATIVE
            },
            (),
        )
    }

    /// Evaluates by walking the policies' HIR: slower, and independent of lowering, optimisation
    /// and code generation.
    pub fn interpret<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(
            scratch,
            Mode {
                indexed: false,
                native: false,
                ..NATIVE
            },
            (),
        )
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
        scratch.outcomes.clear();
        let count = self.snapshot.table.policies().len();
        let every = (0..count).map(PolicyIndex::from_index);
        scratch.interpret.extend(every);
        self.run_interpreter(scratch, coverage);
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
        let Snapshot {
            store,
            table,
            index,
            ..
        } = &*self.snapshot;
        match index {
            Some(index) if mode.indexed => index.candidates(self.query(), visit),
            _ => {
                let action = self.details.values.action();
                for (i, policy) in table.policies().iter().enumerate() {
                    if action_matches(&policy.policy.action, action, store) {
                        visit(PolicyIndex::from_index(i));
                    }
                }
            }
        }
    }

    #[inline]
    fn query(&self) -> Query<'_> {
        Query {
            principal: self.details.values.principal(),
            action: self.details.values.action(),
            resource: self.details.values.resource(),
            store: &self.snapshot.store,
            local_headers: self.details.values.local_headers(),
        }
    }

    /// Everything that compiled code can reach.
    #[inline]
    fn frame_parts(&self) -> FrameParts<'_> {
        let store = self.snapshot.store.memory();
        FrameParts {
            global: &store.heap,
            request: self.details.values.heap(),
            headers: &store.headers,
            local_headers: self.details.values.local_headers(),
            principal: self.details.values.principal(),
            action: self.details.values.action(),
            resource: self.details.values.resource(),
            context: self.context_ref(),
            context_slots: &self.details.context_slots,
            attr_table: &store.attr_table,
            attr_stride: store.attr_stride,
            attr_complete: store.attr_complete,
            ancestors: &store.ancestors,
        }
    }

    #[inline]
    fn run_fused<'a>(&'a self, scratch: &'a mut Scratch, fused: &Fused) -> Evaluation<'a> {
        let index = self.snapshot.index.as_ref();
        let scoped = |index: &&ScopeIndex| index.has_scoped() && !planted(Fault::FusedSkipsScoped);
        match (self.frame.run(&fused.function), index.filter(scoped)) {
            (Some(outcomes), None) => {
                scratch.outcomes.clear();
                let outcomes = fused.restrict(outcomes);
                scratch.outcomes.set_fused(outcomes, fused.permits);
                Evaluation {
                    request: self,
                    outcomes: &scratch.outcomes,
                }
            }
            (outcomes, index) => self.run_session(scratch, fused, outcomes, index),
        }
    }

    /// Runs in a session what a prepared frame cannot run: code that calls builtins, and the
    /// policies that the index has under principal and resource.
    fn run_session<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        fused: &Fused,
        outcomes: Option<FusedOutcomes>,
        index: Option<&ScopeIndex>,
    ) -> Evaluation<'a> {
        let table = &self.snapshot.table;
        let mut host = NativeHost {
            values: self.values(&mut scratch.space),
            patterns: &table.patterns,
            elements: &mut scratch.elements,
        };
        let mut session = Session::new(&mut host, self.frame_parts());
        let run = |session: &mut Session<'_, _>| session.run_fused(&fused.function);
        let outcomes = outcomes.or_else(|| session.as_mut().and_then(run));
        let (Some(mut session), Some(fused_outcomes)) = (session, outcomes) else {
            return self.evaluate_unfused(scratch);
        };
        scratch.outcomes.clear();
        let fused_outcomes = fused.restrict(fused_outcomes);
        scratch.outcomes.set_fused(fused_outcomes, fused.permits);
        if let Some(index) = index {
            let (outcomes, pending) = (&mut scratch.outcomes, &mut scratch.interpret);
            index.scoped(self.query(), |policy| {
                run_one(table, policy, &mut session, outcomes, pending);
            });
            if !scratch.interpret.is_empty() {
                self.run_interpreter(scratch, ());
            }
        }
        self.finish(scratch)
    }

    #[inline]
    fn run_native(&self, scratch: &mut Scratch, mode: Mode, mut observer: impl Observer) {
        let table = &self.snapshot.table;
        let host = NativeHost {
            values: self.values(&mut scratch.space),
            patterns: &table.patterns,
            elements: &mut scratch.elements,
        };
        let mut host = ObservedHost {
            host,
            observer: observer.reborrow(),
        };
        let (outcomes, pending) = (&mut scratch.outcomes, &mut scratch.interpret);
        let Some(mut session) = Session::new(&mut host, self.frame_parts()) else {
            return self.candidates(mode, |policy| pending.push(policy));
        };
        self.candidates(mode, |policy| {
            if mode.decision_only && outcomes.settle(table.effect(policy)) {
                return;
            }
            run_one(table, policy, &mut session, outcomes, pending);
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
            let Some(bound) = self.snapshot.table.policies().get(policy.index()) else {
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

/// Runs the code of one policy; puts it among the `pending` ones if there is none.
#[inline]
fn run_one<H: Host>(
    table: &PolicyTable,
    policy: PolicyIndex,
    session: &mut Session<'_, H>,
    outcomes: &mut Outcomes,
    pending: &mut Vec<PolicyIndex>,
) {
    let Some((entry, body)) = table.entry(policy) else {
        return;
    };
    let code = body.code.get();
    match code.and_then(|code| session.run(code, table.consts(entry))) {
        Some(outcome) => outcomes.add(policy, entry.effect, outcome),
        None if planted(Fault::PendingSkipped) && body.code.is_pending() => {}
        None => pending.push(policy),
    }
}
