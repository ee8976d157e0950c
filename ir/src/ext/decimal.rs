//! Decimals: four digits after the point, kept as an integer of ten-thousandths.

use super::ExtError;
use crate::fault::{Fault, planted};
use std::fmt;

/// Digits after the point.
const SCALE_DIGITS: usize = 4;

/// Ten-thousandths in one.
const SCALE: i64 = 10_000;

/// Why a string is not a decimal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits, a point and digits, with a `-` before them at most.
    #[error("`{0}` is not a well-formed decimal value")]
    Malformed(String),
    /// More than four digits after the point.
    #[error("too many digits after the decimal in `{0}`")]
    TooManyDigits(String),
    /// Outside of what 64 bits hold.
    #[error("overflow when converting to decimal")]
    Overflow,
}

/// Reads a decimal, in units of 1/10,000.
///
/// # Errors
/// When the text is malformed, has more than four digits after the point, or is out of range.
pub fn parse_decimal(text: &str) -> Result<i64, ExtError> {
    Ok(parse(text)?)
}

fn parse(text: &str) -> Result<i64, DecimalError> {
    let (whole, fraction) = split(text).ok_or_else(|| DecimalError::Malformed(text.to_owned()))?;
    // A digit that is not ASCII is well-formed, but no number: Cedar calls that an overflow.
    let units = whole
        .parse::<i64>()
        .ok()
        .and_then(|w| w.checked_mul(SCALE))
        .ok_or(DecimalError::Overflow)?;
    // In bytes, as Cedar counts them.
    let Some(missing) = SCALE_DIGITS.checked_sub(fraction.len()) else {
        return Err(DecimalError::TooManyDigits(text.to_owned()));
    };
    let mut part = fraction
        .parse::<i64>()
        .map_err(|_| DecimalError::Overflow)?;
    for _ in 0..missing {
        part *= 10;
    }
    // The sign is the text's: `-0.5` has a whole part of zero.
    let negative = text.starts_with('-') && !(units == 0 && planted(Fault::SignOfWholePart));
    let value = if negative {
        units.checked_sub(part)
    } else {
        units.checked_add(part)
    };
    value.ok_or(DecimalError::Overflow)
}

/// The parts before and after the point, the first with its sign, if both are digits.
fn split(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = text.split_once('.')?;
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let all_digits = |s: &str| !s.is_empty() && s.chars().all(is_decimal_digit);
    (all_digits(digits) && all_digits(fraction)).then_some((whole, fraction))
}

/// Whether Unicode gives `c` the general category Nd.
fn is_decimal_digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    let c = u32::from(c);
    let after = DIGIT_RUNS.partition_point(|&zero| zero <= c);
    after
        .checked_sub(1)
        .and_then(|i| DIGIT_RUNS.get(i))
        .is_some_and(|&zero| c - zero < 10)
}

/// The digit zero of every script, ascending; the nine characters after each are its other
/// digits. From the Unicode Character Database 16.0, `extracted/DerivedGeneralCategory.txt`.
#[rustfmt::skip]
const DIGIT_RUNS: [u32; 76] = [
    0x0030, 0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6,
    0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0,
    0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620,
    0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x10d40,
    0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0,
    0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16130,
    0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
    0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
];

/// A decimal as Cedar writes it: always four digits after the point.
pub fn display_decimal(units: i64) -> impl fmt::Display {
    Shown(units)
}

struct Shown(i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, abs) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let scale = SCALE.unsigned_abs();
        write!(f, "{sign}{}.{:04}", abs / scale, abs % scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_numbers() {
        for (text, units) in [
            ("0.0", 0),
            ("-0.0", 0),
            ("-0.5", -5000),
            ("1.23", 12300),
            ("12.3400", 123_400),
            ("0001.1", 11_000),
            ("922337203685477.5807", i64::MAX),
            ("-922337203685477.5808", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(units), "{text}");
            let shown = display_decimal(units).to_string();
            assert_eq!(parse(&shown), Ok(units), "{shown}");
        }
        assert_eq!(display_decimal(-1).to_string(), "-0.0001");
        assert_eq!(display_decimal(12300).to_string(), "1.2300");
    }

    #[test]
    fn malformed_numbers() {
        for text in [
            "", "1", "1.", ".1", "-.1", "--1.0", "+1.0", "1.-0", "1.0.0", " 1.0", "1.0\n", "1e5.0",
            "1,0", "½.0", "Ⅷ.0",
        ] {
            assert_eq!(parse(text), Err(DecimalError::Malformed(text.to_owned())));
        }
    }

    #[test]
    fn numbers_out_of_range() {
        for text in [
            "922337203685477.5808",
            "-922337203685477.5809",
            "922337203685478.0",
            "9223372036854775807.0",
            "99999999999999999999.0",
            "99999999999999999999.00000",
            "٣.0",
            "1.٣",
        ] {
            assert_eq!(parse(text), Err(DecimalError::Overflow), "{text}");
        }
        for text in ["1.00000", "1.00001", "1.٣٣٣"] {
            assert_eq!(
                parse(text),
                Err(DecimalError::TooManyDigits(text.to_owned()))
            );
        }
    }

    #[test]
    fn digit_runs_are_ascending_and_apart() {
        assert!(DIGIT_RUNS.windows(2).all(|w| w[0] + 10 <= w[1]));
    }
}
