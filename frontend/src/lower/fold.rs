//! Folding of constant subexpressions. `None` means "not foldable": the operation would fail, or
//! depends on the entities.

use super::{ConstValue, Lowering, Operand};
use crate::hir::{BinaryOp, UnaryOp};
use cedarjit_ir::ext::{self, ExtFn};
use cedarjit_ir::fault::{Fault, planted};

pub(super) fn unary(op: UnaryOp, a: &ConstValue) -> Option<ConstValue> {
    match (op, a) {
        (UnaryOp::Not, ConstValue::Bool(b)) => Some(ConstValue::Bool(!b)),
        (UnaryOp::Neg, ConstValue::Long(i)) => i.checked_neg().map(ConstValue::Long),
        (UnaryOp::IsEmpty, ConstValue::Set(s)) => Some(ConstValue::Bool(s.is_empty())),
        _ => None,
    }
}

pub(super) fn binary(op: BinaryOp, a: &ConstValue, b: &ConstValue) -> Option<ConstValue> {
    use ConstValue::{Bool, Datetime, Duration, Long, Set};
    let arithmetic = |f: fn(i64, i64) -> Option<i64>| match (a, b) {
        (Long(a), Long(b)) => f(*a, *b).map(Long),
        _ => None,
    };
    match op {
        BinaryOp::Eq => Some(Bool(a == b)),
        BinaryOp::Less | BinaryOp::LessEq => match (a, b) {
            (Long(a), Long(b)) | (Datetime(a), Datetime(b)) | (Duration(a), Duration(b)) => {
                Some(Bool(a < b || (op == BinaryOp::LessEq && a == b)))
            }
            _ => None,
        },
        BinaryOp::Add => arithmetic(i64::checked_add),
        BinaryOp::Sub if planted(Fault::FoldSubSwapped) => arithmetic(|a, b| b.checked_sub(a)),
        BinaryOp::Sub => arithmetic(i64::checked_sub),
        BinaryOp::Mul if planted(Fault::FoldMulWraps) => arithmetic(|a, b| Some(a.wrapping_mul(b))),
        BinaryOp::Mul => arithmetic(i64::checked_mul),
        BinaryOp::Contains => match a {
            Set(items) => Some(Bool(items.binary_search(b).is_ok())),
            _ => None,
        },
        BinaryOp::ContainsAll => match (a, b) {
            (Set(a), Set(b)) => Some(Bool(b.iter().all(|v| a.binary_search(v).is_ok()))),
            _ => None,
        },
        BinaryOp::ContainsAny => match (a, b) {
            (Set(a), Set(b)) if planted(Fault::FoldContainsAnyFirst) => {
                Some(Bool(b.first().is_some_and(|v| a.binary_search(v).is_ok())))
            }
            (Set(a), Set(b)) => Some(Bool(b.iter().any(|v| a.binary_search(v).is_ok()))),
            _ => None,
        },
        BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag => None,
    }
}

impl Lowering<'_> {
    pub(super) fn fold_call(&self, func: ExtFn, args: &[Operand]) -> Option<ConstValue> {
        let constant = |i: usize| match args.get(i) {
            Some(Operand::Const(value)) => Some(value),
            _ => None,
        };
        let a = constant(0)?;
        if func.arity() == 2 {
            return fold_call2(func, a, constant(1)?);
        }
        if let ConstValue::String(s) = a {
            let text = self.interner.str(*s);
            return match func {
                ExtFn::Decimal => ext::parse_decimal(text).ok().map(ConstValue::Decimal),
                ExtFn::Ip => ext::parse_ip(text).ok().map(ConstValue::Ip),
                ExtFn::Datetime => ext::parse_datetime(text).ok().map(ConstValue::Datetime),
                ExtFn::Duration => ext::parse_duration(text).ok().map(ConstValue::Duration),
                _ => None,
            };
        }
        fold_call1(func, a)
    }
}

fn fold_call1(func: ExtFn, a: &ConstValue) -> Option<ConstValue> {
    use ConstValue::{Bool, Datetime, Duration, Ip, Long};
    match (func, a) {
        (ExtFn::IsIpv4, Ip(ip)) => Some(Bool(ext::ip::is_ipv4(*ip))),
        (ExtFn::IsIpv6, Ip(ip)) => Some(Bool(ext::ip::is_ipv6(*ip))),
        (ExtFn::IsLoopback, Ip(ip)) => Some(Bool(ext::ip::is_loopback(*ip))),
        (ExtFn::IsMulticast, Ip(ip)) => Some(Bool(ext::ip::is_multicast(*ip))),
        (ExtFn::ToDate, Datetime(ms)) => ext::datetime::to_date(*ms).map(Datetime),
        (ExtFn::ToTime, Datetime(ms)) => Some(Duration(ext::datetime::to_time(*ms))),
        (ExtFn::ToMilliseconds, Duration(ms)) => Some(Long(*ms)),
        (ExtFn::ToSeconds, Duration(ms)) => Some(Long(ext::duration::to_seconds(*ms))),
        (ExtFn::ToMinutes, Duration(ms)) => Some(Long(ext::duration::to_minutes(*ms))),
        (ExtFn::ToHours, Duration(ms)) => Some(Long(ext::duration::to_hours(*ms))),
        (ExtFn::ToDays, Duration(ms)) => Some(Long(ext::duration::to_days(*ms))),
        _ => None,
    }
}

fn fold_call2(func: ExtFn, a: &ConstValue, b: &ConstValue) -> Option<ConstValue> {
    use ConstValue::{Bool, Datetime, Decimal, Duration, Ip};
    match (func, a, b) {
        (ExtFn::DecimalLessThan, Decimal(a), Decimal(b)) => Some(Bool(a < b)),
        (ExtFn::DecimalLessEq, Decimal(a), Decimal(b)) => Some(Bool(a <= b)),
        (ExtFn::DecimalGreater, Decimal(a), Decimal(b)) => Some(Bool(a > b)),
        (ExtFn::DecimalGreaterEq, Decimal(a), Decimal(b)) => Some(Bool(a >= b)),
        (ExtFn::IsInRange, Ip(a), Ip(b)) => Some(Bool(ext::ip::in_range(*a, *b))),
        (ExtFn::Offset, Datetime(at), Duration(by)) => {
            ext::datetime::offset(*at, *by).map(Datetime)
        }
        (ExtFn::DurationSince, Datetime(a), Datetime(b)) => {
            ext::datetime::duration_since(*a, *b).map(Duration)
        }
        _ => None,
    }
}
