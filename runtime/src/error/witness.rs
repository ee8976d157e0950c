//! Our errors as cedar-policy's own.
//!
//! cedar-policy's error types have no public constructors. But any of its errors can be provoked:
//! a policy with a tiny expression that fails in just the right way. The error that the authorizer
//! then reports has the same text as one from the real policy. It has no source location. The policy
//! is made in Cedar's JSON, which takes a third of the time of parsing its text.

use super::{ActualType, Arithmetic, EvalError, ExpectedTypes};
use crate::request::{split_plain, uid_of_names};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityUid, Policy, PolicyId,
    PolicySet, Request,
};
use cedarjit_ir::ext::datetime::DatetimeError;
use cedarjit_ir::ext::{ExtError, ExtFn, display_duration};
use cedarjit_ir::fault::{Fault, planted};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::HashSet;
use std::str::FromStr;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

/// cedar-policy's error with the same text, for the policy with this id.
///
/// `None` for errors that cedar-policy does not have: [`EvalError::Capacity`], and operands that
/// have the expected type after all. Takes about ten microseconds.
pub fn to_cedar_error(policy_id: &str, error: &EvalError) -> Option<AuthorizationError> {
    static ABOUT_ANYTHING: LazyLock<Option<Request>> = LazyLock::new(about_anything);

    let all = json!({ "op": "All" });
    let policy = json!({
        "effect": "permit",
        "principal": all,
        "action": all,
        "resource": all,
        "conditions": [{ "kind": "when", "body": expression(error)? }],
    });
    let policy = Policy::from_json(Some(PolicyId::new(policy_id)), policy).ok()?;
    let policies = PolicySet::from_policies([policy]).ok()?;
    let request = ABOUT_ANYTHING.as_ref()?;
    let response = Authorizer::new().is_authorized(request, &policies, &entities(error)?);
    let provoked = response.diagnostics().errors().next()?.clone();
    let AuthorizationError::PolicyEvaluationError(inner) = &provoked;
    // Never hand out another error than the one that happened.
    (inner.inner().to_string() == error.to_string()).then_some(provoked)
}

fn about_anything() -> Option<Request> {
    let someone = uid_of_names("T", "")?;
    let context = Context::empty();
    Request::new(someone.clone(), someone.clone(), someone, context, None).ok()
}

/// The entities that must exist for the error to happen.
fn entities(error: &EvalError) -> Option<Entities> {
    match error {
        EvalError::EntityAttrDoesNotExist { entity, .. }
        | EvalError::EntityTagDoesNotExist { entity, .. } => {
            let (ty, id) = names(entity)?;
            let entity = Entity::new_no_attrs(uid_of_names(&ty, &id)?, HashSet::new());
            Entities::from_entities([entity], None).ok()
        }
        _ => Some(Entities::empty()),
    }
}

/// An expression that fails with this error, in Cedar's JSON for policies.
fn expression(error: &EvalError) -> Option<Value> {
    Some(match error {
        EvalError::EntityDoesNotExist { entity } => attr(entity_of(entity)?, ""),
        EvalError::EntityAttrDoesNotExist { entity, attr: name } => attr(entity_of(entity)?, name),
        EvalError::EntityTagDoesNotExist { entity, tag } => {
            binary("getTag", entity_of(entity)?, literal(tag.as_str()))
        }
        EvalError::RecordAttrDoesNotExist { attr: name } if planted(Fault::AttributeEscaped) => {
            attr(json!({ "Record": {} }), &name.escape_debug().to_string())
        }
        EvalError::RecordAttrDoesNotExist { attr: name } => attr(json!({ "Record": {} }), name),
        EvalError::Type { expected, actual } => ill_typed(*expected, value_of(actual)),
        EvalError::IntegerOverflow(operation) => match *operation {
            Arithmetic::Add(a, b) => binary("+", literal(a), literal(b)),
            Arithmetic::Sub(a, b) => binary("-", literal(a), literal(b)),
            Arithmetic::Mul(a, b) => binary("*", literal(a), literal(b)),
            Arithmetic::Neg(a) => unary("neg", literal(a)),
        },
        EvalError::ExtensionFailed {
            function,
            argument,
            error,
        } => match argument {
            Some(argument) => call(*function, [literal(&**argument)]),
            None => failing_method(error)?,
        },
        EvalError::WrongNumArguments { function, actual } => {
            call(*function, vec![literal(0); *actual])
        }
        EvalError::UnlinkedSlot(_) | EvalError::Capacity(_) | EvalError::Unexplained => {
            return None;
        }
    })
}

fn literal(value: impl Into<Value>) -> Value {
    json!({ "Value": value.into() })
}

fn unary(operator: &str, argument: Value) -> Value {
    one(operator, json!({ "arg": argument }))
}

fn binary(operator: &str, left: Value, right: Value) -> Value {
    one(operator, json!({ "left": left, "right": right }))
}

fn attr(of: Value, name: &str) -> Value {
    one(".", json!({ "left": of, "attr": name }))
}

fn call(function: ExtFn, arguments: impl Into<Vec<Value>>) -> Value {
    one(function.name(), Value::Array(arguments.into()))
}

/// The object with this member.
fn one(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// The type and id of a uid, however long: entities may have longer ones than requests.
fn names(uid: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    if let Some((ty, id)) = split_plain(uid) {
        return Some((ty.into(), id));
    }
    let uid = EntityUid::from_str(uid).ok()?;
    let id = uid.id().unescaped().to_owned();
    Some((uid.type_name().to_string().into(), id.into()))
}

fn entity(ty: &str, id: &str) -> Value {
    literal(json!({ "__entity": { "type": ty, "id": id } }))
}

/// The entity with this uid.
fn entity_of(uid: &str) -> Option<Value> {
    let (ty, id) = names(uid)?;
    Some(entity(&ty, &id))
}

/// Some value of the given type.
fn value_of(ty: &ActualType) -> Value {
    match ty {
        ActualType::Bool => literal(true),
        ActualType::Long => literal(0),
        ActualType::String => literal(""),
        ActualType::Set => json!({ "Set": [] }),
        ActualType::Record => json!({ "Record": {} }),
        ActualType::Entity(ty) => entity(ty, ""),
        ActualType::Decimal => call(ExtFn::Decimal, [literal("0.0")]),
        ActualType::Datetime => call(ExtFn::Datetime, [literal("1970-01-01")]),
        ActualType::Duration => call(ExtFn::Duration, [literal("0ms")]),
        ActualType::Ip => call(ExtFn::Ip, [literal("::")]),
    }
}

/// An expression that wants other types than that of `value`.
fn ill_typed(expected: ExpectedTypes, value: Value) -> Value {
    match expected {
        ExpectedTypes::Bool => unary("!", value),
        ExpectedTypes::Long => binary("+", value, literal(0)),
        ExpectedTypes::String => one("like", json!({ "left": value, "pattern": [] })),
        ExpectedTypes::Set => unary("isEmpty", value),
        ExpectedTypes::Entity => one("is", json!({ "left": value, "entity_type": "T" })),
        ExpectedTypes::RecordOrEntity => one("has", json!({ "left": value, "attr": "a" })),
        ExpectedTypes::SetOrEntity => binary("in", entity("T", ""), value),
        ExpectedTypes::Decimal => {
            let decimal = value_of(&ActualType::Decimal);
            call(ExtFn::DecimalLessThan, [decimal, value])
        }
        ExpectedTypes::Datetime => call(ExtFn::ToDate, [value]),
        ExpectedTypes::Duration => call(ExtFn::ToDays, [value]),
        ExpectedTypes::Ip => call(ExtFn::IsIpv4, [value]),
        ExpectedTypes::Comparable => binary("<", value.clone(), value),
    }
}

/// The datetime so many milliseconds after 1970 began.
fn datetime(milliseconds: i64) -> Value {
    let begin = call(ExtFn::Datetime, [literal("1970-01-01")]);
    call(ExtFn::Offset, [begin, duration(milliseconds)])
}

fn duration(milliseconds: i64) -> Value {
    call(
        ExtFn::Duration,
        [literal(display_duration(milliseconds).to_string())],
    )
}

/// The method call that fails with this error.
fn failing_method(error: &ExtError) -> Option<Value> {
    let ExtError::Datetime(error) = error else {
        return None;
    };
    Some(match *error {
        DatetimeError::Offset(of, by) => call(ExtFn::Offset, [datetime(of), duration(by)]),
        DatetimeError::DurationSince(a, b) => {
            call(ExtFn::DurationSince, [datetime(a), datetime(b)])
        }
        DatetimeError::ToDate(of) => call(ExtFn::ToDate, [datetime(of)]),
        _ => return None,
    })
}
