//! Datetimes: milliseconds since 1970-01-01T00:00:00Z.

use super::{ExtError, display_duration};
use crate::fault::{Fault, planted};
use std::fmt;

const MS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// Why a string is not a datetime, or a datetime method has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatetimeError {
    /// Does not begin with `YYYY-MM-DD`.
    #[error("invalid date pattern")]
    DatePattern,
    /// There is no such day; the date as written.
    #[error("invalid date: {0}")]
    Date(String),
    /// What follows the date does not begin with `THH:MM:SS`.
    #[error("invalid hour/minute/second pattern")]
    TimePattern,
    /// There is no such time; the time as written.
    #[error("invalid hour/minute/second: {0}")]
    Time(String),
    /// What follows the time is not `Z`, `.SSSZ`, an offset, or `.SSS` and an offset.
    #[error("invalid millisecond and/or offset pattern")]
    OffsetPattern,
    /// The offset is a day or longer, or has 60 minutes or more.
    #[error("invalid offset range: {hours}{minutes}")]
    OffsetRange {
        /// The hours of the offset.
        hours: u32,
        /// The minutes of the offset.
        minutes: u32,
    },
    /// `offset` leaves what 64 bits hold; the operands in milliseconds.
    #[error("overflows when adding an offset: {}+({})", display_datetime(*.0), display_duration(*.1))]
    Offset(i64, i64),
    /// `durationSince` leaves what 64 bits hold; the operands in milliseconds.
    #[error(
        "overflows when computing the duration between {} and {}",
        display_datetime(*.0),
        display_datetime(*.1)
    )]
    DurationSince(i64, i64),
    /// `toDate` leaves what 64 bits hold; the operand in milliseconds.
    #[error("overflows when computing the date of {}", display_datetime(*.0))]
    ToDate(i64),
}

/// Reads a datetime like `2024-10-15` or `2024-10-15T11:35:00.000+0100`, in milliseconds since
/// 1970-01-01T00:00:00Z.
///
/// # Errors
/// When the text is malformed, or the date, time or offset does not exist.
pub fn parse_datetime(text: &str) -> Result<i64, ExtError> {
    Ok(parse(text)?)
}

fn parse(text: &str) -> Result<i64, DatetimeError> {
    let (date, rest) = digits_at(text, "dddd-dd-dd").ok_or(DatetimeError::DatePattern)?;
    if rest.is_empty() {
        return date_ms(date);
    }
    let (time, rest) = digits_at(rest, "Tdd:dd:dd").ok_or(DatetimeError::TimePattern)?;
    let (ms, rest) = match digits_at(rest, ".ddd") {
        Some((fraction, rest)) => (number(fraction, 1..4), rest),
        None => (0, rest),
    };
    let offset = match rest {
        "Z" => None,
        _ => match digits_at(rest, "sdddd") {
            Some((offset, "")) => Some(offset),
            _ => return Err(DatetimeError::OffsetPattern),
        },
    };
    // What each part means is looked at only after all parts are well-formed, left to right.
    let local = date_ms(date)? + time_ms(time)? + i64::from(ms);
    Ok(local - offset.map_or(Ok(0), offset_ms)?)
}

/// Splits `text` behind the part that has the form of `pattern`: `d` is an ASCII digit, `s` a
/// sign, and any other byte stands for itself.
fn digits_at<'a>(text: &'a str, pattern: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = text.split_at_checked(pattern.len())?;
    let fits = head.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
        b'd' => b.is_ascii_digit(),
        b's' => b == b'+' || b == b'-',
        _ => b == p,
    });
    fits.then_some((head, rest))
}

/// The number written in ASCII digits at `range`, at most four of them.
fn number(text: &str, range: std::ops::Range<usize>) -> u32 {
    text.get(range)
        .unwrap_or("")
        .bytes()
        .fold(0, |n, b| n * 10 + u32::from(b.saturating_sub(b'0')))
}

/// Midnight of a `YYYY-MM-DD`, in milliseconds.
fn date_ms(date: &str) -> Result<i64, DatetimeError> {
    let (year, month, day) = (number(date, 0..4), number(date, 5..7), number(date, 8..10));
    if day == 0 || day > days_in_month(year, month) {
        return Err(DatetimeError::Date(date.to_owned()));
    }
    Ok(days_since_epoch(year, month, day) * MS_PER_DAY)
}

/// How many days a month has; 0 if there is no such month.
fn days_in_month(year: u32, month: u32) -> u32 {
    let common = year.is_multiple_of(100) && !planted(Fault::CenturyLeapDay);
    let leap = year.is_multiple_of(4) && (!common || year.is_multiple_of(400));
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
///
/// Counts years from March, so that the leap day comes last, and eras of 400 years, which all
/// have the same length: `days_from_civil` of Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms".
fn days_since_epoch(year: u32, month: u32, day: u32) -> i64 {
    const DAYS_PER_ERA: i64 = 146_097;
    const DAYS_FROM_0000_03_01_TO_EPOCH: i64 = 719_468;
    let march_year = i64::from(year) - i64::from(month <= 2);
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let march_month = (i64::from(month) + 9) % 12;
    // 153 days in each five months from March on: 31, 30, 31, 30, 31.
    let day_of_year = (153 * march_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * DAYS_PER_ERA + day_of_era - DAYS_FROM_0000_03_01_TO_EPOCH
}

/// A `THH:MM:SS`, in milliseconds since midnight. There are no leap seconds.
fn time_ms(time: &str) -> Result<i64, DatetimeError> {
    let (hour, minute, second) = (number(time, 1..3), number(time, 4..6), number(time, 7..9));
    if hour >= 24 || minute >= 60 || second >= 60 {
        return Err(DatetimeError::Time(time.get(1..).unwrap_or("").to_owned()));
    }
    Ok(i64::from((hour * 60 + minute) * 60 + second) * 1000)
}

/// A `+hhmm` or `-hhmm`, in milliseconds.
fn offset_ms(offset: &str) -> Result<i64, DatetimeError> {
    let (hours, minutes) = (number(offset, 1..3), number(offset, 3..5));
    if hours >= 24 || minutes >= 60 {
        return Err(DatetimeError::OffsetRange { hours, minutes });
    }
    let ms = i64::from(hours * 60 + minutes) * 60_000;
    if planted(Fault::OffsetSignIgnored) {
        return Ok(ms);
    }
    Ok(if offset.starts_with('-') { -ms } else { ms })
}

/// `datetime.offset(duration)`; `None` on overflow.
pub fn offset(datetime: i64, duration: i64) -> Option<i64> {
    datetime.checked_add(duration)
}

/// `datetime.durationSince(other)`; `None` on overflow.
pub fn duration_since(datetime: i64, other: i64) -> Option<i64> {
    datetime.checked_sub(other)
}

/// `datetime.toDate()`: midnight before or at `datetime`; `None` on overflow.
pub fn to_date(datetime: i64) -> Option<i64> {
    datetime.checked_sub(to_time(datetime))
}

/// `datetime.toTime()`: the time since midnight, never negative.
pub fn to_time(datetime: i64) -> i64 {
    if planted(Fault::TimeBeforeEpoch) {
        return datetime % MS_PER_DAY;
    }
    datetime.rem_euclid(MS_PER_DAY)
}

/// A datetime as Cedar writes it in messages.
///
/// There is no literal for every datetime, so Cedar writes an offset from the epoch.
pub fn display_datetime(ms: i64) -> impl fmt::Display {
    Shown(ms)
}

struct Shown(i64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = display_duration(self.0);
        write!(
            f,
            "datetime(\"1970-01-01\").offset(duration(\"{duration}\"))"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_datetimes() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.001Z", 1),
            ("1970-01-01T00:00:00+0100", -3_600_000),
            ("1970-01-01T00:00:00.250-2359", 86_340_250),
            ("1969-12-31", -86_400_000),
            ("2000-02-29", 951_782_400_000),
            ("2024-10-15T11:35:00Z", 1_728_992_100_000),
            ("0000-01-01", -62_167_219_200_000),
            ("0000-02-29", -62_162_121_600_000),
            ("9999-12-31T23:59:59.999-2359", 253_402_387_139_999),
        ] {
            assert_eq!(parse(text), Ok(ms), "{text}");
        }
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut expected = days_since_epoch(0, 1, 1);
        for year in 0..=9999 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_epoch(year, month, day), expected);
                    expected += 1;
                }
            }
        }
        assert_eq!(days_since_epoch(1970, 1, 1), 0);
    }

    #[test]
    fn malformed_datetimes_say_why() {
        for (text, message) in [
            ("", "invalid date pattern"),
            ("2024-1-01", "invalid date pattern"),
            ("+2024-01-01", "invalid date pattern"),
            ("2024-01-0é", "invalid date pattern"),
            ("2024-02-30", "invalid date: 2024-02-30"),
            ("1900-02-29", "invalid date: 1900-02-29"),
            ("2024-00-01", "invalid date: 2024-00-01"),
            ("2024-13-01", "invalid date: 2024-13-01"),
            ("2024-01-01 ", "invalid hour/minute/second pattern"),
            ("2024-01-01T", "invalid hour/minute/second pattern"),
            ("2024-01-01t00:00:00Z", "invalid hour/minute/second pattern"),
            (
                "2024-01-01T24:00:00Z",
                "invalid hour/minute/second: 24:00:00",
            ),
            (
                "2024-01-01T23:59:60Z",
                "invalid hour/minute/second: 23:59:60",
            ),
            (
                "2024-01-01T00:00:00",
                "invalid millisecond and/or offset pattern",
            ),
            (
                "2024-01-01T00:00:00.1Z",
                "invalid millisecond and/or offset pattern",
            ),
            (
                "2024-01-01T00:00:00Z ",
                "invalid millisecond and/or offset pattern",
            ),
            (
                "2024-01-01T00:00:00+01:00",
                "invalid millisecond and/or offset pattern",
            ),
            ("2024-01-01T00:00:00+2400", "invalid offset range: 240"),
            ("2024-01-01T00:00:00-0160", "invalid offset range: 160"),
            // All patterns are checked before any meaning.
            (
                "2024-13-01T25:00:00",
                "invalid millisecond and/or offset pattern",
            ),
            ("2024-13-01T25:00:00+9999", "invalid date: 2024-13-01"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn methods_check_their_range() {
        assert_eq!(offset(i64::MAX, 1), None);
        assert_eq!(duration_since(i64::MIN, 1), None);
        assert_eq!(to_date(-1), Some(-MS_PER_DAY));
        assert_eq!(to_date(MS_PER_DAY + 1), Some(MS_PER_DAY));
        assert_eq!(to_date(i64::MIN), None);
        assert_eq!(to_time(-1), MS_PER_DAY - 1);
        assert_eq!(to_time(-MS_PER_DAY), 0);
    }
}
