//! Operators on evaluated operands.

use super::{Fallible, Interpreter};
use crate::coverage::Observer;
use crate::error::{Arithmetic, EvalError, ExpectedTypes};
use cedarjit_frontend::hir::{BinaryOp, UnaryOp};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Object;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::value::{Tag, Value};

impl<O: Observer> Interpreter<'_, O> {
    pub(super) fn unary(&self, op: UnaryOp, operand: Value) -> Fallible<Value> {
        match op {
            UnaryOp::Not => Ok(Value::bool(!self.as_bool(operand)?)),
            UnaryOp::Neg => {
                let operand = self.as_long(operand)?;
                checked(operand.checked_neg(), Arithmetic::Neg(operand))
            }
            UnaryOp::IsEmpty => {
                self.expect_tag(operand, Tag::Set, ExpectedTypes::Set)?;
                let empty = self.context.object(operand).is_none_or(Object::is_empty);
                Ok(Value::bool(empty))
            }
        }
    }

    pub(super) fn binary(&self, op: BinaryOp, left: Value, right: Value) -> Fallible<Value> {
        match op {
            BinaryOp::Eq => Ok(Value::bool(left == right)),
            BinaryOp::Less => self.compare(left, right, |a, b| a < b),
            BinaryOp::LessEq => self.compare(left, right, |a, b| a <= b),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => self.arithmetic(op, left, right),
            BinaryOp::In => {
                let entity = self.as_entity(left)?;
                self.is_in(entity, right)
            }
            BinaryOp::Contains => {
                self.expect_tag(left, Tag::Set, ExpectedTypes::Set)?;
                Ok(maybe(self.context.contains(left, right)))
            }
            BinaryOp::ContainsAll => {
                self.expect_sets(left, right)?;
                Ok(maybe(self.context.contains_all(left, right)))
            }
            BinaryOp::ContainsAny => {
                self.expect_sets(left, right)?;
                Ok(maybe(self.context.contains_any(left, right)))
            }
            BinaryOp::GetTag => self.get_tag(left, right),
            BinaryOp::HasTag => {
                let entity = self.as_entity(left)?;
                let key = self.as_string(right)?;
                Ok(Value::bool(self.context.has_tag(entity, key)))
            }
        }
    }

    fn expect_sets(&self, left: Value, right: Value) -> Fallible<()> {
        self.expect_tag(left, Tag::Set, ExpectedTypes::Set)?;
        self.expect_tag(right, Tag::Set, ExpectedTypes::Set)
    }

    /// `<` and `<=`, which take two integers, two datetimes or two durations.
    ///
    /// If they do not fit together, one operand decides what the other should have been: an
    /// integer first, then the left datetime or duration, then the right one.
    fn compare(
        &self,
        left: Value,
        right: Value,
        holds: impl Fn(i64, i64) -> bool,
    ) -> Fallible<Value> {
        let expected = match (left.tag, right.tag) {
            (Tag::Long, Tag::Long)
            | (Tag::Datetime, Tag::Datetime)
            | (Tag::Duration, Tag::Duration) => {
                return Ok(Value::bool(holds(left.as_i64(), right.as_i64())));
            }
            (Tag::Long, _) => return Err(self.type_error(ExpectedTypes::Long, right)),
            (Tag::Datetime, Tag::Long) if planted(Fault::ExpectedTypeOfComparison) => {
                return Err(self.type_error(ExpectedTypes::Datetime, right));
            }
            (_, Tag::Long) => ExpectedTypes::Long,
            (Tag::Datetime, _) => return Err(self.type_error(ExpectedTypes::Datetime, right)),
            (Tag::Duration, _) => return Err(self.type_error(ExpectedTypes::Duration, right)),
            (_, Tag::Datetime) => ExpectedTypes::Datetime,
            (_, Tag::Duration) => ExpectedTypes::Duration,
            _ => ExpectedTypes::Comparable,
        };
        Err(self.type_error(expected, left))
    }

    fn arithmetic(&self, op: BinaryOp, left: Value, right: Value) -> Fallible<Value> {
        let a = self.as_long(left)?;
        let b = self.as_long(right)?;
        match op {
            BinaryOp::Add => checked(a.checked_add(b), Arithmetic::Add(a, b)),
            BinaryOp::Sub => checked(a.checked_sub(b), Arithmetic::Sub(a, b)),
            _ => checked(a.checked_mul(b), Arithmetic::Mul(a, b)),
        }
    }

    /// `entity in other`, where `other` is an entity or a set of entities.
    pub(super) fn is_in(&self, entity: EntityId, other: Value) -> Fallible<Value> {
        match other.tag {
            Tag::Entity => {
                let holds = self.context.in_entity(entity, other.as_entity());
                Ok(Value::bool(holds))
            }
            Tag::Set => match self.context.in_set(entity, other) {
                Some(holds) => Ok(Value::bool(holds)),
                None => Err(self.type_error(ExpectedTypes::Entity, self.first_offender(other))),
            },
            _ => Err(self.type_error(ExpectedTypes::SetOrEntity, other)),
        }
    }

    /// The first element of a set that is not an entity, in the order that Cedar gives values.
    ///
    /// Only the element's type is reported, so the order within a type does not matter. Ours
    /// differs from Cedar's between types in one place: Cedar orders extension values by the
    /// names of their types, where a datetime comes before a decimal.
    fn first_offender(&self, set: Value) -> Value {
        let Some(set) = self.context.object(set) else {
            return set;
        };
        let rank = |v: &Value| match v.tag {
            tag if planted(Fault::OffenderOrder) => tag,
            Tag::Datetime => Tag::Decimal,
            Tag::Decimal => Tag::Datetime,
            tag => tag,
        };
        set.values()
            .filter(|v| v.tag != Tag::Entity)
            .min_by_key(rank)
            .unwrap_or(Value::ABSENT)
    }

    fn get_tag(&self, left: Value, right: Value) -> Fallible<Value> {
        let id = self.as_entity(left)?;
        let key = self.as_string(right)?;
        if let Some(value) = self.context.get_tag(id, key) {
            return Ok(value);
        }
        let entity = self.context.uid_text(id);
        let exists = self.context.exists(id) || planted(Fault::TagOfMissingEntity);
        Err(Box::new(if exists {
            let tag = self.context.str(key).to_owned();
            EvalError::EntityTagDoesNotExist { entity, tag }
        } else {
            EvalError::EntityDoesNotExist { entity }
        }))
    }
}

/// An answer about operands whose types were checked.
fn maybe(answer: Option<bool>) -> Value {
    Value::bool(answer.unwrap_or(false))
}

fn checked(result: Option<i64>, operation: Arithmetic) -> Fallible<Value> {
    match result {
        Some(result) => Ok(Value::long(result)),
        None => Err(Box::new(EvalError::IntegerOverflow(operation))),
    }
}
