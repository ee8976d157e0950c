//! Cedar's extension values: parsing, formatting and arithmetic.
//!
//! Everything here agrees with cedar-policy on what is accepted, on the resulting value, and on
//! the text of errors; `tests/ext_against_cedar.rs` checks it.

pub mod datetime;
pub mod decimal;
pub mod duration;
pub mod ip;

pub use datetime::parse_datetime;
pub use decimal::{display_decimal, parse_decimal};
pub use duration::{display_duration, parse_duration};
pub use ip::{display_ip, parse_ip};

/// Why an extension function failed.
///
/// `Display` is the text that follows ``error while evaluating `…` extension function: `` in
/// cedar-policy's message; [`ExtFn::error_name`] is the name between the backquotes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtError {
    /// `decimal` got a malformed or too large number.
    #[error(transparent)]
    Decimal(#[from] decimal::DecimalError),
    /// `ip` got a malformed address or range.
    #[error(transparent)]
    Ip(#[from] ip::IpError),
    /// `datetime` got a malformed date, or a datetime method overflowed.
    #[error(transparent)]
    Datetime(#[from] datetime::DatetimeError),
    /// `duration` got a malformed or too large duration.
    #[error(transparent)]
    Duration(#[from] duration::DurationError),
}

macro_rules! ext_fns {
    ($($(#[$doc:meta])* $variant:ident = $name:literal / $arity:literal),* $(,)?) => {
        /// An extension function or method; a method's receiver is its first argument.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ExtFn {
            $($(#[$doc])* $variant),*
        }

        impl ExtFn {
            /// Every extension function, in declaration order.
            pub const ALL: [ExtFn; [$(ExtFn::$variant),*].len()] = [$(ExtFn::$variant),*];

            /// Cedar's name of the function.
            pub fn name(self) -> &'static str {
                match self {
                    $(ExtFn::$variant => $name),*
                }
            }

            /// How many arguments the function takes, a method's receiver included.
            pub fn arity(self) -> usize {
                match self {
                    $(ExtFn::$variant => $arity),*
                }
            }
        }
    };
}

ext_fns! {
    /// `decimal("…")`
    Decimal = "decimal" / 1,
    /// `a.lessThan(b)` on decimals
    DecimalLessThan = "lessThan" / 2,
    /// `a.lessThanOrEqual(b)` on decimals
    DecimalLessEq = "lessThanOrEqual" / 2,
    /// `a.greaterThan(b)` on decimals
    DecimalGreater = "greaterThan" / 2,
    /// `a.greaterThanOrEqual(b)` on decimals
    DecimalGreaterEq = "greaterThanOrEqual" / 2,
    /// `ip("…")`
    Ip = "ip" / 1,
    /// `a.isIpv4()`
    IsIpv4 = "isIpv4" / 1,
    /// `a.isIpv6()`
    IsIpv6 = "isIpv6" / 1,
    /// `a.isLoopback()`
    IsLoopback = "isLoopback" / 1,
    /// `a.isMulticast()`
    IsMulticast = "isMulticast" / 1,
    /// `a.isInRange(range)`
    IsInRange = "isInRange" / 2,
    /// `datetime("…")`
    Datetime = "datetime" / 1,
    /// `duration("…")`
    Duration = "duration" / 1,
    /// `datetime.offset(duration)`
    Offset = "offset" / 2,
    /// `datetime.durationSince(datetime)`
    DurationSince = "durationSince" / 2,
    /// `datetime.toDate()`
    ToDate = "toDate" / 1,
    /// `datetime.toTime()`
    ToTime = "toTime" / 1,
    /// `duration.toMilliseconds()`
    ToMilliseconds = "toMilliseconds" / 1,
    /// `duration.toSeconds()`
    ToSeconds = "toSeconds" / 1,
    /// `duration.toMinutes()`
    ToMinutes = "toMinutes" / 1,
    /// `duration.toHours()`
    ToHours = "toHours" / 1,
    /// `duration.toDays()`
    ToDays = "toDays" / 1,
}

impl ExtFn {
    /// The function with this Cedar name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.name() == name)
    }

    /// The name under which cedar-policy reports a failure of this function.
    ///
    /// It is the function's own name, but for `ip`, whose failures name the type `ipaddr`.
    pub fn error_name(self) -> &'static str {
        match self {
            ExtFn::Ip => "ipaddr",
            f => f.name(),
        }
    }

    /// Whether this makes an extension value from a string.
    pub fn is_constructor(self) -> bool {
        matches!(
            self,
            ExtFn::Decimal | ExtFn::Ip | ExtFn::Datetime | ExtFn::Duration
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_distinct() {
        for f in ExtFn::ALL {
            assert_eq!(ExtFn::from_name(f.name()), Some(f));
        }
        assert_eq!(ExtFn::from_name("Decimal"), None);
        assert_eq!(ExtFn::from_name(""), None);
    }

    #[test]
    fn constructors_take_one_argument() {
        for f in ExtFn::ALL.into_iter().filter(|f| f.is_constructor()) {
            assert_eq!(f.arity(), 1);
        }
    }
}
