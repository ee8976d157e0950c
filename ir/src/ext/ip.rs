//! IP addresses and ranges.
//!
//! A value is an address and a prefix length. The address keeps all its bits, also those below
//! the prefix, and equality compares them.

use super::ExtError;
use crate::fault::{Fault, planted};
use crate::heap::IpWords;
use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::ParseIntError;

/// The longest text that Cedar looks at, in bytes.
const MAX_LEN: usize = 43;

/// The bit of [`IpWords::meta`] that says IPv6.
const V6: u64 = 1 << 8;

/// Why a string is not an IP address or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IpError {
    /// Longer than any address.
    #[error("error parsing IP address from string `{0}`: string length is too large")]
    TooLong(String),
    /// An IPv4 address written inside an IPv6 one.
    #[error(
        "error parsing IP address from string: We do not accept IPv4 embedded in IPv6 (e.g., ::ffff:127.0.0.1). Found: `{0}`"
    )]
    Embedded(String),
    /// The address before the `/` is malformed.
    #[error("error parsing IP address from the string `{text}`: {source}")]
    RangeAddress {
        /// The part before the `/`.
        text: String,
        /// What is wrong with it.
        source: AddrParseError,
    },
    /// Malformed, and without a `/`.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// The prefix has more digits than any valid one.
    #[error("error parsing prefix: string length {0} is too large")]
    PrefixLength(usize),
    /// The prefix has other characters than digits.
    #[error("error parsing prefix `{0}`: encountered non-digit")]
    PrefixDigits(String),
    /// The prefix begins with a zero and is not zero.
    #[error("error parsing prefix `{0}`: leading zero(s)")]
    PrefixZeros(String),
    /// The prefix is empty or above 255.
    #[error("error parsing prefix from the string `{text}`: {source}")]
    PrefixNumber {
        /// The part after the `/`.
        text: String,
        /// What is wrong with it.
        source: ParseIntError,
    },
    /// The prefix is longer than the address.
    #[error("error parsing prefix: {prefix} is larger than the limit {limit}")]
    PrefixRange {
        /// The prefix.
        prefix: u8,
        /// How many bits the address has.
        limit: u8,
    },
}

/// Reads an address like `10.0.0.1` or `::1`, or a range like `10.0.0.0/8`.
///
/// # Errors
/// When the address or the prefix is malformed or too large, or when IPv4 and IPv6 notation mix.
pub fn parse_ip(text: &str) -> Result<IpWords, ExtError> {
    Ok(parse(text)?)
}

fn parse(text: &str) -> Result<IpWords, IpError> {
    if text.len() > MAX_LEN {
        return Err(IpError::TooLong(text.to_owned()));
    }
    let twice = |c| text.matches(c).nth(1).is_some();
    if twice(':') && twice('.') {
        return Err(IpError::Embedded(text.to_owned()));
    }
    let Some((address, prefix)) = text.split_once('/') else {
        let address = text
            .parse()
            .map_err(|_| IpError::Address(text.to_owned()))?;
        return Ok(from_parts(address, bits(&address)));
    };
    let address: IpAddr = address.parse().map_err(|source| IpError::RangeAddress {
        text: address.to_owned(),
        source,
    })?;
    let prefix = parse_prefix(prefix, bits(&address))?;
    Ok(from_parts(address, prefix))
}

/// How many bits an address of this family has.
fn bits(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn parse_prefix(text: &str, limit: u8) -> Result<u8, IpError> {
    let max_digits = if limit < 100 { 2 } else { 3 };
    if text.len() > max_digits {
        return Err(IpError::PrefixLength(text.len()));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(IpError::PrefixDigits(text.to_owned()));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(IpError::PrefixZeros(text.to_owned()));
    }
    let prefix: u8 = text.parse().map_err(|source| IpError::PrefixNumber {
        text: text.to_owned(),
        source,
    })?;
    if prefix > limit {
        return Err(IpError::PrefixRange { prefix, limit });
    }
    Ok(prefix)
}

fn from_parts(address: IpAddr, prefix: u8) -> IpWords {
    let prefix = u64::from(prefix);
    match address {
        IpAddr::V4(a) => IpWords {
            high: 0,
            low: u64::from(a.to_bits()),
            meta: prefix,
        },
        IpAddr::V6(a) => {
            let bits = a.to_bits();
            IpWords {
                high: (bits >> 64) as u64,
                low: bits as u64,
                meta: V6 | prefix,
            }
        }
    }
}

/// The address without its prefix.
fn address(ip: IpWords) -> IpAddr {
    if is_ipv6(ip) {
        IpAddr::V6(Ipv6Addr::from_bits(number(ip)))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits(ip.low as u32))
    }
}

/// The address bits, right-aligned.
fn number(ip: IpWords) -> u128 {
    (u128::from(ip.high) << 64) | u128::from(ip.low)
}

/// The prefix length in bits.
fn prefix(ip: IpWords) -> u8 {
    ip.meta as u8
}

/// Whether the address is IPv4.
pub fn is_ipv4(ip: IpWords) -> bool {
    !is_ipv6(ip)
}

/// Whether the address is IPv6.
pub fn is_ipv6(ip: IpWords) -> bool {
    ip.meta & V6 != 0
}

/// Whether every address of the range is a loopback address: in `127.0.0.0/8`, or `::1`.
pub fn is_loopback(ip: IpWords) -> bool {
    let network = if is_ipv6(ip) { 128 } else { 8 };
    address(ip).is_loopback() && prefix(ip) >= network
}

/// Whether every address of the range is a multicast address: in `224.0.0.0/4` or `ff00::/8`.
pub fn is_multicast(ip: IpWords) -> bool {
    let network = if is_ipv6(ip) { 8 } else { 4 };
    address(ip).is_multicast() && prefix(ip) >= network
}

/// Whether every address of `ip` is one of `range`; never across the two families.
pub fn in_range(ip: IpWords, range: IpWords) -> bool {
    if is_ipv6(ip) != is_ipv6(range) || prefix(ip) < prefix(range) {
        return false;
    }
    if planted(Fault::RangeOfSameLength) && prefix(ip) == prefix(range) {
        return ip == range;
    }
    let width: u32 = if is_ipv6(range) { 128 } else { 32 };
    let below = width.saturating_sub(u32::from(prefix(range)));
    // A shift by all 128 bits leaves nothing to compare.
    (number(ip) ^ number(range)).checked_shr(below).unwrap_or(0) == 0
}

/// An address as Cedar writes it: always with its prefix.
///
/// Cedar writes the last 32 bits of an IPv4-mapped address with points (`::ffff:1.2.3.4/128`),
/// which it does not read back.
pub fn display_ip(ip: IpWords) -> impl fmt::Display {
    Shown(ip)
}

struct Shown(IpWords);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", address(self.0), prefix(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpWords {
        parse(text).unwrap()
    }

    #[test]
    fn addresses_are_ranges_of_one() {
        assert_eq!(ip("1.2.3.4"), ip("1.2.3.4/32"));
        assert_eq!(ip("::1"), ip("0:0::1/128"));
        assert_ne!(ip("1.2.3.4"), ip("1.2.3.4/31"));
        assert_ne!(ip("0.0.0.0"), ip("::"));
        assert_eq!(display_ip(ip("1.2.3.4/8")).to_string(), "1.2.3.4/8");
        assert_eq!(display_ip(ip("::1")).to_string(), "::1/128");
    }

    #[test]
    fn ranges_hold_whole_ranges_only() {
        assert!(in_range(ip("10.1.2.3"), ip("10.0.0.0/8")));
        assert!(in_range(ip("10.1.2.3/8"), ip("10.9.9.9/8")));
        assert!(!in_range(ip("10.0.0.0/7"), ip("10.0.0.0/8")));
        assert!(!in_range(ip("11.0.0.1"), ip("10.0.0.0/8")));
        assert!(in_range(ip("255.255.255.255"), ip("0.0.0.0/0")));
        assert!(in_range(ip("ffff::"), ip("::/0")));
        assert!(!in_range(ip("1.2.3.4"), ip("::/0")));
        assert!(!in_range(ip("::1"), ip("0.0.0.0/0")));
        assert!(in_range(ip("2001:db8::1"), ip("2001:db8::/32")));
    }

    #[test]
    fn kinds_hold_for_the_whole_range() {
        assert!(is_loopback(ip("127.1.2.3")) && is_loopback(ip("127.0.0.0/8")));
        assert!(!is_loopback(ip("127.0.0.0/7")) && is_loopback(ip("::1")));
        assert!(!is_loopback(ip("::1/127")) && !is_loopback(ip("::ffff:7f00:1")));
        assert!(is_multicast(ip("224.0.0.0/4")) && !is_multicast(ip("224.0.0.0/3")));
        assert!(is_multicast(ip("ff00::/8")) && !is_multicast(ip("ff00::/7")));
        assert!(is_ipv4(ip("0.0.0.0")) && is_ipv6(ip("::")));
    }

    #[test]
    fn malformed_addresses_say_why() {
        for (text, message) in [
            ("", "invalid IP address: "),
            ("1.2.3", "invalid IP address: 1.2.3"),
            ("1.2.3.04", "invalid IP address: 1.2.3.04"),
            (
                "1.2.3/8",
                "error parsing IP address from the string `1.2.3`: invalid IP address syntax",
            ),
            (
                "::1.2.3.4",
                "error parsing IP address from string: We do not accept IPv4 embedded in IPv6 (e.g., ::ffff:127.0.0.1). Found: `::1.2.3.4`",
            ),
            (
                "1.2.3.4/",
                "error parsing prefix from the string ``: cannot parse integer from empty string",
            ),
            (
                "1.2.3.4/032",
                "error parsing prefix: string length 3 is too large",
            ),
            ("1.2.3.4/08", "error parsing prefix `08`: leading zero(s)"),
            (
                "1.2.3.4/+8",
                "error parsing prefix `+8`: encountered non-digit",
            ),
            (
                "1.2.3.4/33",
                "error parsing prefix: 33 is larger than the limit 32",
            ),
            (
                "::/300",
                "error parsing prefix from the string `300`: number too large to fit in target type",
            ),
            (
                "::/129",
                "error parsing prefix: 129 is larger than the limit 128",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
        let long = "0".repeat(44);
        assert_eq!(parse(&long), Err(IpError::TooLong(long)));
    }
}
