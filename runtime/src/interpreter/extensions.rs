//! Extension functions on evaluated arguments.

use super::{Fallible, Interpreter, boxed};
use crate::coverage::Observer;
use crate::error::{EvalError, ExpectedTypes};
use cedarjit_ir::ext::datetime::{self, DatetimeError};
use cedarjit_ir::ext::{
    ExtError, ExtFn, duration, ip, parse_datetime, parse_decimal, parse_duration, parse_ip,
};
use cedarjit_ir::heap::IpWords;
use cedarjit_ir::value::{Tag, Value};

impl<O: Observer> Interpreter<'_, O> {
    /// Calls `function`; the arguments' types are checked from left to right.
    pub(super) fn call(&mut self, function: ExtFn, arguments: &[Value]) -> Fallible<Value> {
        match *arguments {
            [argument] if function.arity() == 1 => {
                if function.is_constructor() {
                    self.construct(function, argument)
                } else if matches!(function, ExtFn::ToDate | ExtFn::ToTime) {
                    self.split_datetime(function, argument)
                } else {
                    self.unary_method(function, argument)
                }
            }
            [receiver, argument] if function.arity() == 2 => {
                self.binary_method(function, receiver, argument)
            }
            _ => Err(Box::new(EvalError::WrongNumArguments {
                function,
                actual: arguments.len(),
            })),
        }
    }

    fn construct(&mut self, function: ExtFn, argument: Value) -> Fallible<Value> {
        let text = self.context.str(self.as_string(argument)?);
        let scalar = match function {
            ExtFn::Decimal => parse_decimal(text).map(|n| Value::scalar(Tag::Decimal, n)),
            ExtFn::Datetime => parse_datetime(text).map(|n| Value::scalar(Tag::Datetime, n)),
            ExtFn::Duration => parse_duration(text).map(|n| Value::scalar(Tag::Duration, n)),
            _ => match parse_ip(text) {
                Ok(ip) => return self.context.make_ip(ip).map_err(boxed),
                Err(error) => Err(error),
            },
        };
        scalar.map_err(|error| {
            Box::new(EvalError::ExtensionFailed {
                function,
                argument: Some(text.into()),
                error,
            })
        })
    }

    fn split_datetime(&self, function: ExtFn, receiver: Value) -> Fallible<Value> {
        let ms = self.as_scalar(receiver, Tag::Datetime)?;
        if function == ExtFn::ToTime {
            let time = datetime::to_time(ms);
            return Ok(Value::scalar(Tag::Duration, time));
        }
        match datetime::to_date(ms) {
            Some(date) => Ok(Value::scalar(Tag::Datetime, date)),
            None => Err(method_failed(function, DatetimeError::ToDate(ms))),
        }
    }

    /// The methods without arguments of IP addresses and durations.
    fn unary_method(&self, function: ExtFn, receiver: Value) -> Fallible<Value> {
        let test: fn(IpWords) -> bool = match function {
            ExtFn::IsIpv4 => ip::is_ipv4,
            ExtFn::IsIpv6 => ip::is_ipv6,
            ExtFn::IsLoopback => ip::is_loopback,
            ExtFn::IsMulticast => ip::is_multicast,
            _ => {
                let ms = self.as_scalar(receiver, Tag::Duration)?;
                let convert = match function {
                    ExtFn::ToSeconds => duration::to_seconds,
                    ExtFn::ToMinutes => duration::to_minutes,
                    ExtFn::ToHours => duration::to_hours,
                    ExtFn::ToDays => duration::to_days,
                    _ => duration::to_milliseconds,
                };
                return Ok(Value::long(convert(ms)));
            }
        };
        Ok(Value::bool(test(self.as_ip(receiver)?)))
    }

    fn binary_method(&self, function: ExtFn, left: Value, right: Value) -> Fallible<Value> {
        match function {
            ExtFn::IsInRange => {
                let (address, range) = (self.as_ip(left)?, self.as_ip(right)?);
                Ok(Value::bool(ip::in_range(address, range)))
            }
            ExtFn::Offset => {
                let base = self.as_scalar(left, Tag::Datetime)?;
                let offset = self.as_scalar(right, Tag::Duration)?;
                match datetime::offset(base, offset) {
                    Some(sum) => Ok(Value::scalar(Tag::Datetime, sum)),
                    None => Err(method_failed(function, DatetimeError::Offset(base, offset))),
                }
            }
            ExtFn::DurationSince => {
                let end = self.as_scalar(left, Tag::Datetime)?;
                let start = self.as_scalar(right, Tag::Datetime)?;
                match datetime::duration_since(end, start) {
                    Some(difference) => Ok(Value::scalar(Tag::Duration, difference)),
                    None => Err(method_failed(
                        function,
                        DatetimeError::DurationSince(end, start),
                    )),
                }
            }
            _ => {
                let a = self.as_scalar(left, Tag::Decimal)?;
                let b = self.as_scalar(right, Tag::Decimal)?;
                Ok(Value::bool(match function {
                    ExtFn::DecimalLessThan => a < b,
                    ExtFn::DecimalLessEq => a <= b,
                    ExtFn::DecimalGreater => a > b,
                    _ => a >= b,
                }))
            }
        }
    }

    fn as_scalar(&self, value: Value, tag: Tag) -> Fallible<i64> {
        let expected = match tag {
            Tag::Decimal => ExpectedTypes::Decimal,
            Tag::Datetime => ExpectedTypes::Datetime,
            _ => ExpectedTypes::Duration,
        };
        self.expect_tag(value, tag, expected)?;
        Ok(value.as_i64())
    }

    fn as_ip(&self, value: Value) -> Fallible<IpWords> {
        self.context
            .ip(value)
            .ok_or_else(|| self.type_error(ExpectedTypes::Ip, value))
    }
}

fn method_failed(function: ExtFn, error: DatetimeError) -> Box<EvalError> {
    Box::new(EvalError::ExtensionFailed {
        function,
        argument: None,
        error: ExtError::Datetime(error),
    })
}
