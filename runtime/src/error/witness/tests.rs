use super::*;
use crate::error::ErrorKind;
use cedar_policy::{EvaluationError, evaluation_errors};
use cedarjit_frontend::hir::Slot;
use cedarjit_ir::ext::{parse_datetime, parse_decimal, parse_duration, parse_ip};
use cedarjit_ir::interner::CapacityError;

/// The error that cedar-policy has, after checking that it says what ours says.
#[track_caller]
fn same(error: EvalError) -> EvaluationError {
    let cedar = to_cedar_error("some \"policy\"", &error)
        .unwrap_or_else(|| panic!("no witness for {error:?}"));
    let AuthorizationError::PolicyEvaluationError(cedar) = cedar;
    let id: &str = cedar.policy_id().as_ref();
    assert_eq!(id, "some \"policy\"");
    assert_eq!(cedar.inner().to_string(), error.to_string());
    cedar.into_inner()
}

fn actual_types() -> Vec<ActualType> {
    vec![
        ActualType::Bool,
        ActualType::Long,
        ActualType::String,
        ActualType::Set,
        ActualType::Record,
        ActualType::Entity("NS::User".into()),
        ActualType::Decimal,
        ActualType::Datetime,
        ActualType::Duration,
        ActualType::Ip,
    ]
}

/// Whether a value of this type would have been accepted.
fn accepts(expected: ExpectedTypes, actual: &ActualType) -> bool {
    let entity = matches!(actual, ActualType::Entity(_));
    match expected {
        ExpectedTypes::Entity => entity,
        ExpectedTypes::RecordOrEntity => entity || *actual == ActualType::Record,
        ExpectedTypes::SetOrEntity => entity || *actual == ActualType::Set,
        _ => expected.names().contains(&actual.to_string().as_str()),
    }
}

#[test]
fn every_type_error() {
    for expected in ExpectedTypes::ALL {
        for actual in actual_types() {
            let wrong = !accepts(expected, &actual);
            let error = EvalError::Type { expected, actual };
            if wrong {
                assert!(matches!(same(error), EvaluationError::TypeError(_)));
            } else {
                assert_eq!(to_cedar_error("p", &error), None, "{error}");
            }
        }
    }
}

#[test]
fn missing_things() {
    for (ty, eid) in [
        ("User", "alice"),
        ("A::B::C", "\u{301}\"\'\n\u{301}é\\"),
        ("Action", ""),
        // Longer than one in a request may be.
        (
            "User",
            &"x".repeat(cedarjit_frontend::limits::MAX_UID_BYTES),
        ),
    ] {
        let entity = format!("{ty}::\"{}\"", eid.escape_debug());
        let error = same(EvalError::EntityDoesNotExist {
            entity: entity.clone(),
        });
        assert!(matches!(error, EvaluationError::EntityDoesNotExist(_)));
        for name in ["a", "", "if", "with space", "\"quoted\"\\\n\0", "日本"] {
            let (entity, attr) = (entity.clone(), String::from(name));
            let error = same(EvalError::EntityAttrDoesNotExist { entity, attr });
            assert!(matches!(error, EvaluationError::EntityAttrDoesNotExist(_)));
        }
        for tag in ["a", "", "*", "\"'\\"] {
            let (entity, tag) = (entity.clone(), String::from(tag));
            let error = same(EvalError::EntityTagDoesNotExist { entity, tag });
            assert!(matches!(error, EvaluationError::EntityAttrDoesNotExist(_)));
        }
    }
    for attr in ["a", "", "principal", "\"x\""] {
        let error = same(EvalError::RecordAttrDoesNotExist { attr: attr.into() });
        assert!(matches!(error, EvaluationError::RecordAttrDoesNotExist(_)));
    }
}

#[test]
fn overflows() {
    for operation in [
        Arithmetic::Add(i64::MAX, 1),
        Arithmetic::Add(-1, i64::MIN),
        Arithmetic::Sub(i64::MIN, 1),
        Arithmetic::Sub(0, i64::MIN),
        Arithmetic::Mul(i64::MIN, -1),
        Arithmetic::Mul(i64::MAX, 2),
        Arithmetic::Neg(i64::MIN),
    ] {
        let error = same(EvalError::IntegerOverflow(operation));
        assert!(matches!(
            error,
            EvaluationError::IntegerOverflow(evaluation_errors::IntegerOverflowError::BinaryOp(_))
                | EvaluationError::IntegerOverflow(
                    evaluation_errors::IntegerOverflowError::UnaryOp(_)
                )
        ));
    }
}

#[test]
fn failing_extension_functions() {
    for text in ["", "x", "1", "1.23456", "99999999999999999999.0", "\"\\\n"] {
        for (function, error) in [
            (ExtFn::Decimal, parse_decimal(text).err()),
            (ExtFn::Ip, parse_ip(text).err()),
            (ExtFn::Datetime, parse_datetime(text).err()),
            (ExtFn::Duration, parse_duration(text).err()),
        ] {
            let error = same(EvalError::ExtensionFailed {
                function,
                argument: Some(text.into()),
                error: error.unwrap(),
            });
            assert!(matches!(
                error,
                EvaluationError::FailedExtensionFunctionExecution(_)
            ));
        }
    }
    for (function, error) in [
        (ExtFn::Offset, DatetimeError::Offset(i64::MAX, 1)),
        (ExtFn::Offset, DatetimeError::Offset(i64::MIN, -1)),
        (
            ExtFn::DurationSince,
            DatetimeError::DurationSince(i64::MIN, 1),
        ),
        (ExtFn::ToDate, DatetimeError::ToDate(i64::MIN)),
    ] {
        same(EvalError::ExtensionFailed {
            function,
            argument: None,
            error: error.into(),
        });
    }
}

#[test]
fn wrong_numbers_of_arguments() {
    for function in ExtFn::ALL {
        let fewest = usize::from(!function.is_constructor());
        for actual in (fewest..4).filter(|n| *n != function.arity()) {
            let error = same(EvalError::WrongNumArguments { function, actual });
            assert!(matches!(error, EvaluationError::WrongNumArguments(_)));
        }
    }
}

#[test]
fn errors_that_cedar_does_not_have() {
    let error = EvalError::Capacity(CapacityError {
        what: "elements",
        limit: 1,
    });
    assert_eq!(error.kind(), ErrorKind::Capacity);
    assert_eq!(to_cedar_error("p", &error), None);
    let error = EvalError::UnlinkedSlot(Slot::Principal);
    assert_eq!(
        error.to_string(),
        "template slot `?principal` was not linked"
    );
    assert_eq!(to_cedar_error("p", &error), None);
    // An uid that is none must not make another error, and must not panic.
    let error = EvalError::EntityDoesNotExist {
        entity: "true || User::\"a\"".into(),
    };
    assert_eq!(to_cedar_error("p", &error), None);
}
