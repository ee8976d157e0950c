//! Evaluating a bound request: candidates, outcomes, combination.

use crate::coverage::{Coverage, Observer};
use crate::error::EvalError;
use crate::index::{Query, action_matches};
use crate::interpreter::Interpreter;
use crate::native::{NativeHost, ObservedHost};
use crate::snapshot::{BoundRequest, Snapshot};
use crate::values::{ScratchSpace, ValueContext};
use cedar_policy::Decision;
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_ir::value::Value;
use cedarjit_jit::{FrameParts, Session};

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

/// The policies that matter to a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    pub(crate) permits: Vec<PolicyIndex>,
    pub(crate) forbids: Vec<PolicyIndex>,
    pub(crate) failed: Vec<PolicyIndex>,
}

impl Outcomes {
    fn clear(&mut self) {
        self.permits.clear();
        self.forbids.clear();
        if !planted(Fault::StaleFailures) {
            self.failed.clear();
        }
    }

    #[inline]
    fn add(&mut self, policy: PolicyIndex, effect: Effect, outcome: Outcome) {
        match (outcome, effect) {
            (Outcome::Unsatisfied, _) => {}
            (Outcome::Satisfied, Effect::Permit) => self.permits.push(policy),
            (Outcome::Satisfied, Effect::Forbid)
                if self.forbids.len() == 1 && planted(Fault::SecondForbidLost) => {}
            (Outcome::Satisfied, Effect::Forbid) => self.forbids.push(policy),
            (Outcome::Failed, _)
                if !self.forbids.is_empty() && planted(Fault::FailureDroppedAfterForbid) => {}
            (Outcome::Failed, _) => self.failed.push(policy),
        }
    }

    /// Allow if and only if a permit is satisfied and no forbid is.
    pub(crate) fn decision(&self) -> Decision {
        let ignored = !self.failed.is_empty() && planted(Fault::ForbidIgnoredAfterError);
        if (self.forbids.is_empty() || ignored) && !self.permits.is_empty() {
            Decision::Allow
        } else {
            Decision::Deny
        }
    }

    /// The satisfied forbids if there are any, else the satisfied permits.
    pub(crate) fn reasons(&self) -> &[PolicyIndex] {
        if self.forbids.is_empty() {
            &self.permits
        } else {
            &self.forbids
        }
    }
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
        let policies = self.request.snapshot.table.policies();
        self.outcomes
            .reasons()
            .iter()
            .map(|p| policies.get(p.index()).map_or("", |p| p.id.as_str()))
    }

    /// The policies whose evaluation failed, and why, in no particular order.
    ///
    /// Each is evaluated again by the interpreter as the iterator reaches it.
    pub fn errors(self) -> impl ExactSizeIterator<Item = (&'a str, EvalError)> {
        let request = self.request;
        self.outcomes
            .failed
            .iter()
            .map(move |policy| explain_failure(request, *policy))
    }

    /// The ids of the policies whose evaluation failed, in no particular order.
    pub fn failed(self) -> impl ExactSizeIterator<Item = &'a str> + Clone {
        let policies = self.request.snapshot.table.policies();
        self.outcomes
            .failed
            .iter()
            .map(|p| policies.get(p.index()).map_or("", |p| p.id.as_str()))
    }

    /// Whether any policy's evaluation failed.
    pub fn has_errors(self) -> bool {
        !self.outcomes.failed.is_empty()
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
}

impl BoundRequest {
    fn values<'a>(&'a self, scratch: &'a mut ScratchSpace) -> ValueContext<'a> {
        ValueContext {
            interner: &self.snapshot.interner,
            store: &self.snapshot.store,
            request: &self.values,
            scratch,
        }
    }

    /// Evaluates every policy that can apply, natively where there is code.
    ///
    /// Full diagnostics: no policy that could be satisfied or fail is skipped. Allocates nothing
    /// once `scratch` has grown to size, unless a policy is interpreted.
    pub fn evaluate<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(
            scratch,
            Mode {
                indexed: true,
                native: true,
            },
            (),
        )
    }

    /// Evaluates as [`evaluate`](Self::evaluate) does, without asking the scope index: every policy
    /// of the action. The answer is the same; tests compare the two.
    pub fn evaluate_unindexed<'a>(&'a self, scratch: &'a mut Scratch) -> Evaluation<'a> {
        self.run(
            scratch,
            Mode {
                indexed: false,
                native: true,
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
        self.run(
            scratch,
            Mode {
                indexed: true,
                native: true,
            },
            coverage,
        )
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
                let action = self.values.action();
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
            principal: self.values.principal(),
            action: self.values.action(),
            resource: self.values.resource(),
            store: &self.snapshot.store,
            local_headers: self.values.local_headers(),
        }
    }

    #[inline]
    fn run_native(&self, scratch: &mut Scratch, mode: Mode, mut observer: impl Observer) {
        let Snapshot {
            store,
            table,
            attr_table,
            ..
        } = &*self.snapshot;
        let host = NativeHost {
            values: self.values(&mut scratch.space),
            patterns: &table.patterns,
            elements: &mut scratch.elements,
        };
        let mut host = ObservedHost {
            host,
            observer: observer.reborrow(),
        };
        let parts = FrameParts {
            global: store.heap(),
            request: self.values.heap(),
            headers: store.headers(),
            local_headers: self.values.local_headers(),
            principal: self.values.principal(),
            action: self.values.action(),
            resource: self.values.resource(),
            context: self.context_ref(),
            context_slots: &self.context_slots,
            attr_table: &attr_table.entries,
            attr_stride: attr_table.stride,
            attr_complete: attr_table.complete,
            ancestors: store.ancestors(),
        };
        let (outcomes, pending) = (&mut scratch.outcomes, &mut scratch.interpret);
        let Some(mut session) = Session::new(&mut host, parts) else {
            return self.candidates(mode, |policy| pending.push(policy));
        };
        self.candidates(mode, |policy| {
            let Some((entry, body)) = table.entry(policy) else {
                return;
            };
            let outcome = body
                .code
                .get()
                .and_then(|code| session.run(code, table.consts(entry)));
            match outcome {
                Some(outcome) => outcomes.add(policy, entry.effect, outcome),
                None if planted(Fault::PendingSkipped) && body.code.is_pending() => {}
                None => pending.push(policy),
            }
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
