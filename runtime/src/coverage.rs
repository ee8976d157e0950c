//! What evaluations execute, counted: instrumentation for tests.
//!
//! [`BoundRequest::interpret_observed`](crate::BoundRequest::interpret_observed) and
//! [`BoundRequest::evaluate_observed`](crate::BoundRequest::evaluate_observed) decide as their
//! namesakes do and count in a [`Coverage`] which construct came to what. A suite that generates
//! policies merges the counts and asks for what is [`missing`](Coverage::missing). Evaluations that
//! nobody observes are compiled for the observer `()`, of which nothing is left in the code.

mod construct;

pub use construct::{ConditionKind, Construct, ScopeKind, Shape, Side};

use crate::error::EvalError;
use cedarjit_frontend::hir::{ActionConstraint, Condition, Expr, ScopeConstraint};
use cedarjit_ir::abi::{Builtin, Returns};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::value::{Tag, Value};
use std::fmt;

/// Hears of everything that an evaluation executes.
pub trait Observer {
    /// The same observer, borrowed.
    fn reborrow(&mut self) -> impl Observer;

    /// A policy is about to be interpreted.
    #[inline]
    fn policy(&mut self) {}

    /// The constraint of a scope on the principal or the resource was tested.
    #[inline]
    fn scope(&mut self, _side: Side, _constraint: &ScopeConstraint, _holds: bool) {}

    /// The constraint of a scope on the action was tested.
    #[inline]
    fn action(&mut self, _constraint: &ActionConstraint, _holds: bool) {}

    /// A condition was evaluated; its result is its body's, before `unless` turns it round.
    #[inline]
    fn condition(&mut self, _condition: &Condition, _result: &Result<bool, Box<EvalError>>) {}

    /// An expression was evaluated.
    #[inline]
    fn expression(&mut self, _expr: &Expr, _result: &Result<Value, Box<EvalError>>) {}

    /// Compiled code called a builtin, which returned a value or failed.
    #[inline]
    fn builtin(&mut self, _builtin: Builtin, _result: Option<Value>) {}

    /// Compiled code called an extension function.
    #[inline]
    fn extension(&mut self, _function: ExtFn, _result: Option<Value>) {}
}

impl Observer for () {
    #[inline]
    fn reborrow(&mut self) -> impl Observer {}
}

/// What something that was executed came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Came {
    /// The Boolean true, or a constraint that holds.
    True,
    /// The Boolean false, or a constraint that does not hold.
    False,
    /// Another value.
    Value,
    /// A failure of its own.
    Failed,
    /// A failure of an operand.
    PassedOn,
}

impl Came {
    /// Everything that something can come to.
    pub const ALL: [Came; 5] = [
        Came::True,
        Came::False,
        Came::Value,
        Came::Failed,
        Came::PassedOn,
    ];

    fn name(self) -> &'static str {
        match self {
            Came::True => "true",
            Came::False => "false",
            Came::Value => "value",
            Came::Failed => "failed",
            Came::PassedOn => "passed on",
        }
    }

    fn of_bool(holds: bool) -> Self {
        if holds { Came::True } else { Came::False }
    }

    fn of_value(value: Value) -> Self {
        match value.tag {
            Tag::Bool => Came::of_bool(value.word != 0),
            _ => Came::Value,
        }
    }

    fn of_builtin(result: Option<Value>) -> Self {
        result.map_or(Came::Failed, Came::of_value)
    }
}

type Counts = [u64; Came::ALL.len()];

/// How often each construct came to what.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// By [`Construct::place`].
    counts: Vec<Counts>,
    /// Whether the failure that is on its way up has been counted where it arose.
    failing: bool,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            counts: vec![Counts::default(); Construct::PLACES],
            failing: false,
        }
    }
}

/// A construct that never came to something that it can come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The construct.
    pub construct: Construct,
    /// What it never came to.
    pub came: Came,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.construct, self.came.name())
    }
}

impl Coverage {
    /// How often a construct came to something.
    pub fn count(&self, construct: Construct, came: Came) -> u64 {
        let counts = self.counts.get(construct.place());
        counts
            .and_then(|counts| counts.get(came as usize))
            .copied()
            .unwrap_or(0)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Coverage) {
        for (counts, more) in self.counts.iter_mut().zip(&other.counts) {
            for (count, more) in counts.iter_mut().zip(more) {
                *count += more;
            }
        }
    }

    /// Everything that can happen and was never counted.
    pub fn missing(&self) -> Vec<Missing> {
        let pairs = Construct::all()
            .into_iter()
            .flat_map(|construct| Came::ALL.map(|came| Missing { construct, came }));
        pairs
            .filter(|pair| pair.construct.can_come_to(pair.came))
            .filter(|pair| self.count(pair.construct, pair.came) == 0)
            .collect()
    }

    fn add(&mut self, construct: Construct, came: Came) {
        self.add_count(construct, came, 1);
    }

    /// Adds to the count of a construct, such as what an earlier run counted.
    pub fn add_count(&mut self, construct: Construct, came: Came, more: u64) {
        let counts = self.counts.get_mut(construct.place());
        if let Some(count) = counts.and_then(|counts| counts.get_mut(came as usize)) {
            *count += more;
        }
    }

    /// What a result means for the construct that gave it. A failure goes straight up, so the first
    /// to report one is where it arose.
    fn came<T>(&mut self, result: &Result<T, Box<EvalError>>, ok: impl Fn(&T) -> Came) -> Came {
        match result {
            Ok(value) => {
                self.failing = false;
                ok(value)
            }
            Err(_) if self.failing => Came::PassedOn,
            Err(error) => {
                self.failing = true;
                self.failure(error);
                Came::Failed
            }
        }
    }

    fn failure(&mut self, error: &EvalError) {
        self.add(Construct::Failure(error.kind()), Came::Failed);
        let detail = match error {
            EvalError::Type { expected, .. } => Construct::Expected(*expected),
            EvalError::IntegerOverflow(operation) => Construct::overflow(*operation),
            EvalError::ExtensionFailed { function, .. } => Construct::ExtensionFailed(*function),
            EvalError::WrongNumArguments { function, .. } => Construct::WrongArity(*function),
            _ => return,
        };
        self.add(detail, Came::Failed);
    }
}

impl Observer for &mut Coverage {
    fn reborrow(&mut self) -> impl Observer {
        &mut **self
    }

    fn policy(&mut self) {
        self.failing = false;
    }

    fn scope(&mut self, side: Side, constraint: &ScopeConstraint, holds: bool) {
        let kind = ScopeKind::of(constraint);
        self.add(Construct::Scope(side, kind), Came::of_bool(holds));
    }

    fn action(&mut self, constraint: &ActionConstraint, holds: bool) {
        self.add(Construct::of_action(constraint), Came::of_bool(holds));
    }

    fn condition(&mut self, condition: &Condition, result: &Result<bool, Box<EvalError>>) {
        let came = self.came(result, |holds| Came::of_bool(*holds));
        let kind = ConditionKind::of(condition);
        self.add(Construct::Condition(kind), came);
    }

    fn expression(&mut self, expr: &Expr, result: &Result<Value, Box<EvalError>>) {
        let came = self.came(result, |value| Came::of_value(*value));
        self.add(Construct::of_expr(expr), came);
    }

    fn builtin(&mut self, builtin: Builtin, result: Option<Value>) {
        let came = match (builtin.returns(), result) {
            // Which value it was is not the builtin's doing.
            (Returns::FallibleValue, Some(_)) => Came::Value,
            _ => Came::of_builtin(result),
        };
        self.add(Construct::Builtin(builtin), came);
    }

    fn extension(&mut self, function: ExtFn, result: Option<Value>) {
        self.add(Construct::NativeCall(function), Came::of_builtin(result));
    }
}

impl fmt::Display for Coverage {
    /// A table with a row for each construct; `-` stands where nothing can be counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<40}", "")?;
        for came in Came::ALL {
            write!(f, "{:>12}", came.name())?;
        }
        for construct in Construct::all() {
            let possible = |came: &Came| construct.can_come_to(*came);
            let counted = Came::ALL
                .iter()
                .any(|came| self.count(construct, *came) > 0);
            if !counted && !Came::ALL.iter().any(possible) {
                continue;
            }
            write!(f, "\n{:<40}", construct.to_string())?;
            for came in Came::ALL {
                match self.count(construct, came) {
                    0 if !possible(&came) => write!(f, "{:>12}", "-")?,
                    count => write!(f, "{count:>12}")?,
                }
            }
        }
        Ok(())
    }
}
