//! Our errors as cedar-policy's own.
//!
//! cedar-policy's error types have no public constructors. But any of its errors can be provoked:
//! a policy with a tiny expression that fails in just the right way. The error that the authorizer
//! then reports has the same text as one from the real policy. Its source location and its help
//! text are those of the tiny expression.

use super::{ActualType, Arithmetic, EvalError, ExpectedTypes};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, EntityUid, Policy, PolicyId,
    PolicySet, Request,
};
use cedarjit_ir::ext::datetime::{DatetimeError, display_datetime};
use cedarjit_ir::ext::{ExtError, ExtFn, display_duration};
use cedarjit_ir::fault::{Fault, planted};
use std::collections::HashSet;
use std::str::FromStr;

#[cfg(test)]
mod tests;

/// cedar-policy's error with the same text, for the policy with this id.
///
/// `None` for errors that cedar-policy does not have: [`EvalError::Capacity`], and operands that
/// have the expected type after all. Takes some tens of microseconds.
pub fn to_cedar_error(policy_id: &str, error: &EvalError) -> Option<AuthorizationError> {
    let source = format!(
        "permit(principal, action, resource) when {{ {} }};",
        expression(error)?
    );
    let policy = Policy::parse(Some(PolicyId::new(policy_id)), source).ok()?;
    let policies = PolicySet::from_policies([policy]).ok()?;
    let someone = EntityUid::from_str("T::\"\"").ok()?;
    let request = Request::new(
        someone.clone(),
        someone.clone(),
        someone,
        Context::empty(),
        None,
    )
    .ok()?;
    let response = Authorizer::new().is_authorized(&request, &policies, &entities(error)?);
    let provoked = response.diagnostics().errors().next()?.clone();
    let AuthorizationError::PolicyEvaluationError(inner) = &provoked;
    // Never hand out another error than the one that happened.
    (inner.inner().to_string() == error.to_string()).then_some(provoked)
}

/// The entities that must exist for the error to happen.
fn entities(error: &EvalError) -> Option<Entities> {
    match error {
        EvalError::EntityAttrDoesNotExist { entity, .. }
        | EvalError::EntityTagDoesNotExist { entity, .. } => {
            let uid = EntityUid::from_str(entity).ok()?;
            let entity = Entity::new_no_attrs(uid, HashSet::new());
            Entities::from_entities([entity], None).ok()
        }
        _ => Some(Entities::empty()),
    }
}

/// An expression that fails with this error.
fn expression(error: &EvalError) -> Option<String> {
    Some(match error {
        EvalError::EntityDoesNotExist { entity } => format!("{entity}[\"\"]"),
        EvalError::EntityAttrDoesNotExist { entity, attr } => {
            format!("{entity}[\"{}\"]", attr.escape_debug())
        }
        EvalError::EntityTagDoesNotExist { entity, tag } => {
            format!("{entity}.getTag(\"{}\")", tag.escape_debug())
        }
        EvalError::RecordAttrDoesNotExist { attr } if planted(Fault::AttributeNotEscaped) => {
            format!("{{}}[\"{attr}\"]")
        }
        EvalError::RecordAttrDoesNotExist { attr } => {
            format!("{{}}[\"{}\"]", attr.escape_debug())
        }
        EvalError::Type { expected, actual } => ill_typed(*expected, &value_of(actual)),
        EvalError::IntegerOverflow(operation) => match operation {
            Arithmetic::Add(a, b) => format!("({a}) + ({b})"),
            Arithmetic::Sub(a, b) => format!("({a}) - ({b})"),
            Arithmetic::Mul(a, b) => format!("({a}) * ({b})"),
            Arithmetic::Neg(a) => format!("-({a})"),
        },
        EvalError::ExtensionFailed {
            function,
            argument,
            error,
        } => match argument {
            Some(argument) => call(*function, &[format!("\"{}\"", argument.escape_debug())])?,
            None => failing_method(error)?,
        },
        EvalError::WrongNumArguments { function, actual } => {
            call(*function, &vec![String::from("0"); *actual])?
        }
        EvalError::UnlinkedSlot(_) | EvalError::Capacity(_) | EvalError::Unexplained => {
            return None;
        }
    })
}

/// Some value of the given type.
fn value_of(ty: &ActualType) -> String {
    match ty {
        ActualType::Bool => "true",
        ActualType::Long => "0",
        ActualType::String => "\"\"",
        ActualType::Set => "[]",
        ActualType::Record => "{}",
        ActualType::Entity(ty) => return format!("{ty}::\"\""),
        ActualType::Decimal => "decimal(\"0.0\")",
        ActualType::Datetime => "datetime(\"1970-01-01\")",
        ActualType::Duration => "duration(\"0ms\")",
        ActualType::Ip => "ip(\"::\")",
    }
    .into()
}

/// An expression that wants other types than that of `value`.
fn ill_typed(expected: ExpectedTypes, value: &str) -> String {
    match expected {
        ExpectedTypes::Bool => format!("!({value})"),
        ExpectedTypes::Long => format!("({value}) + 0"),
        ExpectedTypes::String => format!("({value}) like \"\""),
        ExpectedTypes::Set => format!("({value}).isEmpty()"),
        ExpectedTypes::Entity => format!("({value}) is T"),
        ExpectedTypes::RecordOrEntity => format!("({value}) has a"),
        ExpectedTypes::SetOrEntity => format!("T::\"\" in ({value})"),
        ExpectedTypes::Decimal => format!("decimal(\"0.0\").lessThan({value})"),
        ExpectedTypes::Datetime => format!("({value}).toDate()"),
        ExpectedTypes::Duration => format!("({value}).toDays()"),
        ExpectedTypes::Ip => format!("({value}).isIpv4()"),
        ExpectedTypes::Comparable => format!("({value}) < ({value})"),
    }
}

/// A call in the style that the function has.
fn call(function: ExtFn, arguments: &[String]) -> Option<String> {
    let name = function.name();
    if function.is_constructor() {
        return Some(format!("{name}({})", arguments.join(", ")));
    }
    let (receiver, arguments) = arguments.split_first()?;
    Some(format!("({receiver}).{name}({})", arguments.join(", ")))
}

/// The method call that fails with this error.
fn failing_method(error: &ExtError) -> Option<String> {
    let ExtError::Datetime(error) = error else {
        return None;
    };
    Some(match error {
        DatetimeError::Offset(datetime, duration) => format!(
            "{}.offset(duration(\"{}\"))",
            display_datetime(*datetime),
            display_duration(*duration)
        ),
        DatetimeError::DurationSince(a, b) => format!(
            "{}.durationSince({})",
            display_datetime(*a),
            display_datetime(*b)
        ),
        DatetimeError::ToDate(datetime) => format!("{}.toDate()", display_datetime(*datetime)),
        _ => return None,
    })
}
