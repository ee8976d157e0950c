//! Evaluates policies by walking their HIR.
//!
//! This is the tier that always works, the judge of compiled code, and what says why an evaluation
//! failed. It shares no lowering or optimisation with compiled code, only the values and the
//! questions that [`ValueContext`] answers.
//!
//! It recurses once per level of an expression; loading bounds how deep expressions may be.

mod extensions;
mod operators;

#[cfg(test)]
mod tests;

use crate::coverage::{Observer, Side};
use crate::error::{ActualType, EvalError, ExpectedTypes};
use crate::values::ValueContext;
use crate::verdict::Unmet;
use cedarjit_frontend::hir::{
    ActionConstraint, BinaryOp, BoundPolicy, EntityRef, Expr, Literal, ScopeConstraint,
    SlotBindings, UnaryOp, Var,
};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::pattern::Pattern;
use cedarjit_ir::value::{Tag, Value};

/// A result whose error is boxed, to keep the frames of the recursion small.
type Fallible<T> = Result<T, Box<EvalError>>;

/// Evaluates policies and expressions for one request.
#[derive(Debug)]
pub struct Interpreter<'a, O = ()> {
    context: ValueContext<'a>,
    observer: O,
}

impl<'a> Interpreter<'a> {
    /// An interpreter for this request.
    pub fn new(context: ValueContext<'a>) -> Self {
        Self::observed(context, ())
    }
}

impl<'a, O: Observer> Interpreter<'a, O> {
    /// An interpreter for this request that tells `observer` what it executes.
    pub fn observed(context: ValueContext<'a>, observer: O) -> Self {
        Self { context, observer }
    }

    /// What values mean to this interpreter.
    pub fn context(&self) -> &ValueContext<'a> {
        &self.context
    }

    /// Whether the policy is satisfied: whether scope and conditions hold.
    ///
    /// # Errors
    /// When a condition fails. A scope cannot fail, given that the links' slots are bound.
    pub fn evaluate(&mut self, policy: &BoundPolicy) -> Result<bool, EvalError> {
        self.observer.policy();
        Ok(self.first_unmet(policy)?.is_none())
    }

    /// The first thing that keeps the policy from being satisfied, in the order of evaluation; `None`
    /// if it is.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub(crate) fn first_unmet(&mut self, policy: &BoundPolicy) -> Result<Option<Unmet>, EvalError> {
        match self.out_of_scope(policy)? {
            None => self.unmet_clause(policy),
            other => Ok(other),
        }
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// When the evaluation fails.
    pub fn expression(&mut self, expr: &Expr) -> Result<Value, EvalError> {
        self.eval(expr).map_err(|error| *error)
    }

    /// What makes the request one that the policy is not about.
    fn out_of_scope(&mut self, bound: &BoundPolicy) -> Result<Option<Unmet>, EvalError> {
        let (policy, request) = (&bound.policy, self.context.request);
        let holds = self.matches(request.principal(), &policy.principal, &bound.slots)?;
        self.observer
            .scope(Side::Principal, &policy.principal, holds);
        if !holds {
            return Ok(Some(Unmet::Principal));
        }
        let holds = self.matches_action(request.action(), &policy.action);
        self.observer.action(&policy.action, holds);
        if !holds {
            return Ok(Some(Unmet::Action));
        }
        let holds = self.matches(request.resource(), &policy.resource, &bound.slots)?;
        self.observer.scope(Side::Resource, &policy.resource, holds);
        Ok((!holds).then_some(Unmet::Resource))
    }

    fn unmet_clause(&mut self, bound: &BoundPolicy) -> Result<Option<Unmet>, EvalError> {
        for (clause, condition) in bound.policy.conditions.iter().enumerate() {
            let holds = self.eval_bool(&condition.body);
            self.observer.condition(condition, &holds);
            if holds.map_err(|error| *error)? == condition.unless {
                return Ok(Some(Unmet::Clause(clause)));
            }
        }
        Ok(None)
    }

    fn matches(
        &self,
        entity: EntityId,
        constraint: &ScopeConstraint,
        slots: &SlotBindings,
    ) -> Result<bool, EvalError> {
        let resolve = |reference| match reference {
            EntityRef::Entity(entity) => Ok(entity),
            EntityRef::Slot(slot) => slots.get(slot).ok_or(EvalError::UnlinkedSlot(slot)),
        };
        let is = |ty: TypeId| self.context.entity_type(entity) == ty;
        Ok(match *constraint {
            ScopeConstraint::Any => true,
            ScopeConstraint::Eq(other) => entity == resolve(other)?,
            ScopeConstraint::In(other) => self.context.in_entity(entity, resolve(other)?),
            ScopeConstraint::Is(ty) => is(ty),
            ScopeConstraint::IsIn(ty, other) => {
                is(ty) && self.context.in_entity(entity, resolve(other)?)
            }
        })
    }

    fn matches_action(&self, action: EntityId, constraint: &ActionConstraint) -> bool {
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(other) => action == *other,
            ActionConstraint::In(others) => others
                .iter()
                .any(|other| self.context.in_entity(action, *other)),
        }
    }

    /// Each construct has a function of its own, so that a level of nesting takes no more stack
    /// than its construct needs.
    fn eval(&mut self, expr: &Expr) -> Fallible<Value> {
        let result = match expr {
            Expr::Literal(literal) => Ok(literal_value(*literal)),
            Expr::Var(var) => Ok(self.variable(*var)),
            Expr::Unary(op, operand) => self.eval_unary(*op, operand),
            Expr::Binary(op, left, right) => self.eval_binary(*op, left, right),
            Expr::And(operands) => self.chain(operands, false),
            Expr::Or(operands) => self.chain(operands, true),
            Expr::If(condition, then, otherwise) => self.eval_if(condition, then, otherwise),
            Expr::GetAttr(object, name) => self.eval_get_attr(object, *name),
            Expr::Has(object, path) => self.eval_has(object, path),
            Expr::Like(string, pattern) => self.eval_like(string, pattern),
            Expr::Is(entity, ty, ancestor) => self.eval_is(entity, *ty, ancestor.as_deref()),
            Expr::Set(elements) => self.eval_set(elements),
            Expr::Record(attrs) => self.eval_record(attrs),
            Expr::Call(function, arguments) => self.eval_call(*function, arguments),
        };
        self.observer.expression(expr, &result);
        result
    }

    fn eval_unary(&mut self, op: UnaryOp, operand: &Expr) -> Fallible<Value> {
        let operand = self.eval(operand)?;
        self.unary(op, operand)
    }

    /// Both operands are evaluated before either's type is looked at.
    fn eval_binary(&mut self, op: BinaryOp, left: &Expr, right: &Expr) -> Fallible<Value> {
        if planted(Fault::RightOperandFirst) {
            let right = self.eval(right)?;
            let left = self.eval(left)?;
            return self.binary(op, left, right);
        }
        let left = self.eval(left)?;
        let right = self.eval(right)?;
        self.binary(op, left, right)
    }

    fn eval_if(&mut self, condition: &Expr, then: &Expr, otherwise: &Expr) -> Fallible<Value> {
        let taken = if self.eval_bool(condition)? {
            then
        } else {
            otherwise
        };
        self.eval(taken)
    }

    fn eval_get_attr(&mut self, object: &Expr, name: StrId) -> Fallible<Value> {
        let object = self.eval(object)?;
        self.get_attr(object, name)
    }

    fn eval_has(&mut self, object: &Expr, path: &[StrId]) -> Fallible<Value> {
        let object = self.eval(object)?;
        self.has_path(object, path)
    }

    fn eval_like(&mut self, string: &Expr, pattern: &Pattern) -> Fallible<Value> {
        let string = self.eval(string)?;
        let string = self.as_string(string)?;
        Ok(Value::bool(pattern.matches(self.context.str(string))))
    }

    fn eval_call(&mut self, function: ExtFn, arguments: &[Expr]) -> Fallible<Value> {
        let arguments = self.eval_all(arguments)?;
        self.call(function, &arguments)
    }

    fn eval_bool(&mut self, expr: &Expr) -> Fallible<bool> {
        let value = self.eval(expr)?;
        self.as_bool(value)
    }

    fn eval_all(&mut self, exprs: &[Expr]) -> Fallible<Vec<Value>> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            values.push(self.eval(expr)?);
        }
        Ok(values)
    }

    fn variable(&self, var: Var) -> Value {
        let request = self.context.request;
        match var {
            Var::Principal => Value::entity(request.principal()),
            Var::Action => Value::entity(request.action()),
            Var::Resource => Value::entity(request.resource()),
            Var::Context => request.context(),
        }
    }

    /// `&&` and `||`: the first operand that is `stop` decides; each operand's type is checked
    /// before the next is evaluated.
    fn chain(&mut self, operands: &[Expr], stop: bool) -> Fallible<Value> {
        for operand in operands {
            if stop && planted(Fault::OrSwallowsError) && self.eval(operand).is_err() {
                continue;
            }
            if self.eval_bool(operand)? == stop {
                return Ok(Value::bool(stop));
            }
        }
        Ok(Value::bool(!stop))
    }

    fn get_attr(&self, object: Value, name: StrId) -> Fallible<Value> {
        if let Some(value) = self.context.get_attr(object, name) {
            return Ok(value);
        }
        let attr = self.context.str(name).to_owned();
        Err(Box::new(match object.tag {
            Tag::Record => EvalError::RecordAttrDoesNotExist { attr },
            Tag::Entity => {
                let entity = self.context.uid_text(object.as_entity());
                if self.context.exists(object.as_entity()) {
                    EvalError::EntityAttrDoesNotExist { entity, attr }
                } else {
                    EvalError::EntityDoesNotExist { entity }
                }
            }
            _ => return Err(self.type_error(ExpectedTypes::RecordOrEntity, object)),
        }))
    }

    /// `object has a.b.c`: stops at the first attribute that is not there.
    fn has_path(&self, object: Value, path: &[StrId]) -> Fallible<Value> {
        let mut current = object;
        for name in path {
            if !matches!(current.tag, Tag::Record | Tag::Entity) {
                return Err(self.type_error(ExpectedTypes::RecordOrEntity, current));
            }
            match self.context.get_attr(current, *name) {
                Some(value) => current = value,
                None => return Ok(Value::bool(false)),
            }
        }
        Ok(Value::bool(true))
    }

    /// `entity is ty`, and `in ancestor` if there is one; not reached for another type.
    fn eval_is(&mut self, entity: &Expr, ty: TypeId, ancestor: Option<&Expr>) -> Fallible<Value> {
        let entity = self.eval(entity)?;
        let id = self.as_entity(entity)?;
        if self.context.entity_type(id) != ty {
            return Ok(Value::bool(false));
        }
        match ancestor {
            None => Ok(Value::bool(true)),
            Some(ancestor) => {
                let ancestor = self.eval(ancestor)?;
                self.is_in(id, ancestor)
            }
        }
    }

    fn eval_set(&mut self, elements: &[Expr]) -> Fallible<Value> {
        let mut elements = self.eval_all(elements)?;
        self.context.make_set(&mut elements).map_err(boxed)
    }

    fn eval_record(&mut self, attrs: &[(StrId, Expr)]) -> Fallible<Value> {
        let mut values = Vec::with_capacity(attrs.len());
        for (name, expr) in attrs {
            values.push((*name, self.eval(expr)?));
        }
        self.context.make_record(&mut values).map_err(boxed)
    }

    fn as_bool(&self, value: Value) -> Fallible<bool> {
        self.expect_tag(value, Tag::Bool, ExpectedTypes::Bool)?;
        Ok(value.word != 0)
    }

    fn as_long(&self, value: Value) -> Fallible<i64> {
        self.expect_tag(value, Tag::Long, ExpectedTypes::Long)?;
        Ok(value.as_i64())
    }

    fn as_string(&self, value: Value) -> Fallible<StrId> {
        self.expect_tag(value, Tag::String, ExpectedTypes::String)?;
        Ok(value.as_str())
    }

    fn as_entity(&self, value: Value) -> Fallible<EntityId> {
        self.expect_tag(value, Tag::Entity, ExpectedTypes::Entity)?;
        Ok(value.as_entity())
    }

    fn expect_tag(&self, value: Value, tag: Tag, expected: ExpectedTypes) -> Fallible<()> {
        if value.tag == tag {
            Ok(())
        } else {
            Err(self.type_error(expected, value))
        }
    }

    fn type_error(&self, expected: ExpectedTypes, value: Value) -> Box<EvalError> {
        Box::new(EvalError::Type {
            expected,
            actual: self.type_of(value),
        })
    }

    fn type_of(&self, value: Value) -> ActualType {
        match value.tag {
            Tag::Bool => ActualType::Bool,
            Tag::Long => ActualType::Long,
            Tag::String => ActualType::String,
            Tag::Entity => {
                let ty = self.context.entity_type(value.as_entity());
                ActualType::Entity(self.context.str(ty.name()).into())
            }
            Tag::Set => ActualType::Set,
            // No expression has an absent value.
            Tag::Record | Tag::Absent => ActualType::Record,
            Tag::Decimal => ActualType::Decimal,
            Tag::Datetime => ActualType::Datetime,
            Tag::Duration => ActualType::Duration,
            Tag::Ip => ActualType::Ip,
        }
    }
}

fn literal_value(literal: Literal) -> Value {
    match literal {
        Literal::Bool(b) => Value::bool(b),
        Literal::Long(i) => Value::long(i),
        Literal::String(s) => Value::string(s),
        Literal::Entity(e) => Value::entity(e),
    }
}

fn boxed(error: impl Into<EvalError>) -> Box<EvalError> {
    Box::new(error.into())
}
