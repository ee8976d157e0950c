//! Durations: milliseconds.

use super::ExtError;
use crate::fault::{Fault, planted};
use std::fmt;

/// Why a string is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not amounts of days, hours, minutes, seconds and milliseconds in that order.
    #[error("invalid duration pattern")]
    Pattern,
    /// Outside of what 64 bits of milliseconds hold.
    #[error("Duration overflows internal representation")]
    Overflow,
}

/// The units in the order in which they must appear, with their milliseconds.
const UNITS: [(&str, i128); 5] = [
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration like `1d12h`, `-30s` or `1m500ms`, in milliseconds.
///
/// # Errors
/// When the text is malformed or the duration is out of range.
pub fn parse_duration(text: &str) -> Result<i64, ExtError> {
    Ok(parse(text)?)
}

fn parse(text: &str) -> Result<i64, DurationError> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let mut rest = unsigned;
    let mut units = UNITS.iter();
    let mut total = 0;
    let mut overflow = false;
    if rest.is_empty() {
        return Err(DurationError::Pattern);
    }
    while !rest.is_empty() {
        let (amount, after) = split_digits(rest).ok_or(DurationError::Pattern)?;
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        // Going on from the last unit seen is what keeps them in order and each at most once.
        let (_, scale) = units
            .find(|(name, _)| *name == unit)
            .ok_or(DurationError::Pattern)?;
        match amount.parse::<u64>() {
            Ok(amount) => total += i128::from(amount) * scale,
            // A malformed rest comes before a number that is too large.
            Err(_) => overflow = true,
        }
        rest = after;
    }
    if overflow {
        return Err(DurationError::Overflow);
    }
    let signed = if text.starts_with('-') { -total } else { total };
    i64::try_from(signed).map_err(|_| DurationError::Overflow)
}

/// The ASCII digits that `text` begins with, at least one, and what follows.
fn split_digits(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `duration.toMilliseconds()`
pub fn to_milliseconds(duration: i64) -> i64 {
    duration
}

/// `duration.toSeconds()`, truncating toward zero, as all of these do.
pub fn to_seconds(duration: i64) -> i64 {
    if planted(Fault::DurationRoundsDown) {
        return to_milliseconds(duration).div_euclid(1000);
    }
    to_milliseconds(duration) / 1000
}

/// `duration.toMinutes()`
pub fn to_minutes(duration: i64) -> i64 {
    to_seconds(duration) / 60
}

/// `duration.toHours()`
pub fn to_hours(duration: i64) -> i64 {
    to_minutes(duration) / 60
}

/// `duration.toDays()`
pub fn to_days(duration: i64) -> i64 {
    to_hours(duration) / 24
}

/// A duration as Cedar writes it: in milliseconds.
pub fn display_duration(ms: i64) -> impl fmt::Display {
    Shown(ms)
}

struct Shown(i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_durations() {
        for (text, ms) in [
            ("0ms", 0),
            ("-0d", 0),
            ("1d2h3m4s5ms", 93_784_005),
            ("-1d1ms", -86_400_001),
            ("5ms", 5),
            ("5m5ms", 300_005),
            ("5m", 300_000),
            ("00000000000000000000001s", 1000),
            ("90m90s", 5_490_000),
            ("9223372036854775807ms", i64::MAX),
            ("-9223372036854775808ms", i64::MIN),
            ("-9223372036854775s808ms", i64::MIN),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
            let shown = display_duration(ms).to_string();
            assert_eq!(parse(&shown), Ok(ms), "{shown}");
        }
    }

    #[test]
    fn malformed_durations() {
        for text in [
            "",
            "-",
            "1",
            "d",
            "1x",
            "1h1d",
            "1ms1s",
            "1s1s",
            "1ms1m",
            "+1d",
            "--1d",
            "1 d",
            "1d ",
            "1D",
            "1.5h",
            "1d-1h",
            "٣d",
            "1mss",
            "99999999999999999999d1",
        ] {
            assert_eq!(parse(text), Err(DurationError::Pattern), "{text}");
        }
    }

    #[test]
    fn durations_out_of_range() {
        for text in [
            "9223372036854775808ms",
            "-9223372036854775809ms",
            "18446744073709551616ms",
            "18446744073709551615d",
            "106751991168d",
            "9223372036854775s808ms",
            "-9223372036854775s809ms",
        ] {
            assert_eq!(parse(text), Err(DurationError::Overflow), "{text}");
        }
    }

    #[test]
    fn divisions_truncate_toward_zero() {
        assert_eq!(to_seconds(-1999), -1);
        assert_eq!(to_minutes(119_999), 1);
        assert_eq!(to_hours(-3_599_999), 0);
        assert_eq!(to_days(i64::MIN), -106_751_991_167);
    }
}
