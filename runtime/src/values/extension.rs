//! Reading the Cedar source that cedar-policy gives for an extension value.
//!
//! cedar-policy hands out extension values as text: the constructor call that made the value, or
//! `datetime("1970-01-01").offset(duration("5ms"))` for a datetime that was computed.

use super::ValueError;
use cedarjit_ir::ext::{
    ExtError, ExtFn, datetime, parse_datetime, parse_decimal, parse_duration, parse_ip,
};
use cedarjit_ir::heap::IpWords;
use cedarjit_ir::value::{Tag, Value};
use std::borrow::Cow;

/// An extension value before it is put on a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extension {
    /// A decimal, datetime or duration.
    Scalar(Value),
    /// An IP address or range.
    Ip(IpWords),
}

/// The value that `source` stands for.
pub(super) fn parse_extension(source: &str) -> Result<Extension, ValueError> {
    let syntax = || ValueError::ExtensionSyntax {
        source_text: source.into(),
    };
    let failed = |error| ValueError::Extension {
        source_text: source.into(),
        error,
    };
    let (function, argument, rest) = constructor(source).ok_or_else(syntax)?;
    let value = construct(function, &argument).map_err(failed)?;
    if rest.is_empty() {
        return Ok(value);
    }
    let (duration_fn, duration_text, rest) = rest
        .strip_prefix(".offset(")
        .and_then(constructor)
        .ok_or_else(syntax)?;
    let duration = construct(duration_fn, &duration_text).map_err(failed)?;
    match (value, duration, rest) {
        (Extension::Scalar(base), Extension::Scalar(offset), ")")
            if base.tag == Tag::Datetime && offset.tag == Tag::Duration =>
        {
            let (base, offset) = (base.as_i64(), offset.as_i64());
            let sum = datetime::offset(base, offset)
                .ok_or_else(|| failed(datetime::DatetimeError::Offset(base, offset).into()))?;
            Ok(Extension::Scalar(Value::scalar(Tag::Datetime, sum)))
        }
        _ => Err(syntax()),
    }
}

/// Calls a constructor on its argument.
pub(super) fn construct(function: ExtFn, argument: &str) -> Result<Extension, ExtError> {
    Ok(match function {
        ExtFn::Ip => Extension::Ip(parse_ip(argument)?),
        ExtFn::Decimal => Extension::Scalar(Value::scalar(Tag::Decimal, parse_decimal(argument)?)),
        ExtFn::Duration => {
            Extension::Scalar(Value::scalar(Tag::Duration, parse_duration(argument)?))
        }
        // `constructor` lets nothing else through.
        _ => Extension::Scalar(Value::scalar(Tag::Datetime, parse_datetime(argument)?)),
    })
}

/// Splits `name("argument")rest`, where `name` makes extension values.
fn constructor(source: &str) -> Option<(ExtFn, Cow<'_, str>, &str)> {
    let (name, rest) = source.split_once('(')?;
    let function = ExtFn::from_name(name).filter(|f| f.is_constructor())?;
    let (argument, rest) = string_literal(rest)?;
    Some((function, argument, rest.strip_prefix(')')?))
}

/// Splits a string literal off the front and unescapes it.
fn string_literal(source: &str) -> Option<(Cow<'_, str>, &str)> {
    let body = source.strip_prefix('"')?;
    let end = body.find(['"', '\\'])?;
    if body[end..].starts_with('"') {
        return Some((Cow::Borrowed(&body[..end]), &body[end + 1..]));
    }
    let mut text = String::new();
    let mut chars = body.chars();
    loop {
        match chars.next()? {
            '"' => return Some((Cow::Owned(text), chars.as_str())),
            '\\' => text.push(escaped_char(&mut chars)?),
            c => text.push(c),
        }
    }
}

/// The character that Cedar's string literals mean by what follows a backslash; `None` if that is not
/// certain.
pub(crate) fn escaped_char(chars: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match chars.next()? {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        c @ ('\\' | '\'' | '"') => c,
        'x' => {
            let digits = [chars.next()?.to_digit(16)?, chars.next()?.to_digit(16)?];
            char::from_u32(digits[0] * 16 + digits[1]).filter(char::is_ascii)?
        }
        'u' => {
            let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
            let is_number = digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
            *chars = rest.chars();
            char::from_u32(code)?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(source: &str) -> Value {
        match parse_extension(source).unwrap() {
            Extension::Scalar(value) => value,
            Extension::Ip(_) => panic!("an IP address"),
        }
    }

    #[test]
    fn constructor_calls() {
        assert_eq!(
            scalar(r#"decimal("1.5")"#),
            Value::scalar(Tag::Decimal, 15_000)
        );
        assert_eq!(
            scalar(r#"datetime("1970-01-02")"#),
            Value::scalar(Tag::Datetime, 86_400_000)
        );
        assert_eq!(
            scalar(r#"duration("1s")"#),
            Value::scalar(Tag::Duration, 1000)
        );
        assert_eq!(
            parse_extension(r#"ip("::1")"#).unwrap(),
            Extension::Ip(parse_ip("::1").unwrap())
        );
    }

    #[test]
    fn computed_datetimes() {
        assert_eq!(
            scalar(r#"datetime("1970-01-01").offset(duration("-5ms"))"#),
            Value::scalar(Tag::Datetime, -5)
        );
    }

    #[test]
    fn escapes() {
        assert_eq!(
            scalar(r#"duration("\u{31}\x73")"#),
            Value::scalar(Tag::Duration, 1000)
        );
        let (text, rest) = string_literal(r#""a\n\r\t\0\\\'\"\u{e9}"b"#).unwrap();
        assert_eq!(text, "a\n\r\t\0\\'\"é");
        assert_eq!(rest, "b");
    }

    #[test]
    fn anything_else_is_an_error() {
        for source in [
            "",
            "decimal",
            "decimal(",
            "decimal(1.0)",
            r#"decimal("1.0"#,
            r#"decimal("1.0")x"#,
            r#"decimal("1.0" )"#,
            r#"toDate("1970-01-01")"#,
            r#"datetime("1970-01-01").toDate()"#,
            r#"datetime("1970-01-01").offset(duration("5ms")"#,
            r#"datetime("1970-01-01").offset(decimal("5.0"))"#,
            r#"duration("1h").offset(duration("1h"))"#,
            r#"duration("\q")"#,
            r#"duration("\x80")"#,
            r#"duration("\u{110000}")"#,
            r#"duration("\u{}")"#,
            r#"duration("\u{+31}s")"#,
            r#"duration("\u{0000031}s")"#,
        ] {
            assert!(
                matches!(
                    parse_extension(source),
                    Err(ValueError::ExtensionSyntax { .. })
                ),
                "{source}"
            );
        }
        assert!(matches!(
            parse_extension(r#"decimal("x")"#),
            Err(ValueError::Extension { .. })
        ));
    }
}
