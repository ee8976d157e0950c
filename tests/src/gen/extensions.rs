//! Edge values of the extension types, as the strings their constructors take.

/// An extension type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ext {
    /// A number with four decimal places.
    Decimal,
    /// An address or a range of addresses.
    Ip,
    /// An instant.
    Datetime,
    /// A length of time.
    Duration,
}

impl Ext {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Decimal, Self::Ip, Self::Datetime, Self::Duration];

    /// The constructor's name.
    pub fn constructor(self) -> &'static str {
        match self {
            Self::Decimal => "decimal",
            Self::Ip => "ip",
            Self::Datetime => "datetime",
            Self::Duration => "duration",
        }
    }

    /// The type's name in a schema.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Ip => "ipaddr",
            other => other.constructor(),
        }
    }

    /// Strings that the constructor takes.
    pub fn valid(self) -> &'static [&'static str] {
        match self {
            Self::Decimal => VALID_DECIMALS,
            Self::Ip => VALID_IPS,
            Self::Datetime => VALID_DATETIMES,
            Self::Duration => VALID_DURATIONS,
        }
    }

    /// Strings that the constructor refuses.
    pub fn invalid(self) -> &'static [&'static str] {
        match self {
            Self::Decimal => INVALID_DECIMALS,
            Self::Ip => INVALID_IPS,
            Self::Datetime => INVALID_DATETIMES,
            Self::Duration => INVALID_DURATIONS,
        }
    }
}

const VALID_DECIMALS: &[&str] = &[
    "0.0",
    "1.0",
    "1.00",
    "1.0000",
    "-1.5",
    "0.0001",
    "-0.0001",
    "-0.0",
    "12.3456",
    "12.34",
    "007.5",
    "-00.10",
    "922337203685477.5807",
    "-922337203685477.5808",
    "922337203685477.58",
];

const INVALID_DECIMALS: &[&str] = &[
    "",
    "1",
    "1.",
    ".5",
    "-.5",
    "-",
    "1.23456",
    "+1.0",
    "1.0e3",
    " 1.0",
    "1.0 ",
    "1.0\n",
    "1..0",
    "1.0.0",
    "1.-5",
    "--1.0",
    "\u{661}.\u{660}",
    "922337203685477.5808",
    "-922337203685477.5809",
    "922337203685478.0",
    "99999999999999999999.0",
    "1,5",
];

const VALID_IPS: &[&str] = &[
    "127.0.0.1",
    "127.255.255.255",
    "127.0.0.1/32",
    "127.0.0.0/8",
    "126.0.0.0/7",
    "10.0.0.0/8",
    "10.1.2.3",
    "10.1.2.3/24",
    "10.1.2.200/24",
    "10.9.8.7/8",
    "0.0.0.0/0",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.255.255.255/4",
    "224.0.0.0/3",
    "1.2.3.4",
    "::",
    "::/0",
    "::1",
    "::1/128",
    "::1/127",
    "1:2:3:4:5:6:7:8",
    "ff00::/8",
    "ff02::1",
    "fe00::/7",
    "2001:db8::/32",
    "2001:DB8::1",
    "2001:db8:0:0:0:0:0:1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

const INVALID_IPS: &[&str] = &[
    "",
    "/",
    "/8",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4/",
    "1.2.3.4/33",
    "1.2.3.4/032",
    "1.2.3.4/-1",
    "1.2.3.4/+8",
    "1.2.3.4/8/8",
    " 1.2.3.4",
    "1.2.3.4 ",
    "1.2.3.4/ 8",
    "::ffff:1.2.3.4",
    "::/129",
    "::/00",
    "::1::",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "fe80::1%eth0",
    "[::1]",
    "0000:0000:0000:0000:0000:0000:0000:00001",
    "0000:0000:0000:0000:0000:0000:0000:0001/1280",
    "localhost",
];

const VALID_DATETIMES: &[&str] = &[
    "1970-01-01",
    "1969-12-31T23:59:59.999Z",
    "2024-02-29",
    "2000-02-29T12:00:00Z",
    "1900-02-28",
    "1900-03-01",
    "2100-02-28T23:59:59.999Z",
    "2024-06-30T23:59:59.999+0000",
    "2024-06-30T23:59:59.999+2359",
    "2024-06-30T00:00:00.000-2359",
    "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00.000Z",
    "2024-01-01T05:30:00+0530",
    "2024-01-01",
    "0000-01-01",
    "0000-01-01T00:00:00+2359",
    "9999-12-31",
    "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999-2359",
];

const INVALID_DATETIMES: &[&str] = &[
    "",
    "2024",
    "2024-1-1",
    "2023-02-29",
    "1900-02-29",
    "2100-02-29",
    "2024-13-01",
    "2024-00-10",
    "2024-04-31",
    "2024-01-00",
    "10000-01-01",
    "-001-01-01",
    "24-01-01",
    "2024-01-01T24:00:00Z",
    "2024-01-01T23:60:00Z",
    "2024-01-01T23:59:60Z",
    "2024-01-01T00:00:00",
    "2024-01-01T00:00Z",
    "2024-01-01T00:00:00.00Z",
    "2024-01-01T00:00:00.0000Z",
    "2024-01-01T00:00:00z",
    "2024-01-01 00:00:00Z",
    "2024-01-01T00:00:00+2400",
    "2024-01-01T00:00:00+0060",
    "2024-01-01T00:00:00+00:00",
    "2024-01-01T00:00:00+000",
    "2024-01-01Z",
    " 2024-01-01",
    "2024-01-01 ",
    "\u{662}024-01-01",
];

const VALID_DURATIONS: &[&str] = &[
    "0ms",
    "-0ms",
    "1ms",
    "-1ms",
    "999ms",
    "-999ms",
    "1s",
    "-61s",
    "60s",
    "1m",
    "1h",
    "24h",
    "1d",
    "-1d",
    "1440m",
    "86400000ms",
    "1d2h3m4s5ms",
    "-1d2h3m4s5ms",
    "2h30m",
    "01d",
    "106751991167d",
    "106751991167d7h12m55s807ms",
    "-106751991167d7h12m55s808ms",
    "9223372036854775807ms",
    "-9223372036854775808ms",
];

const INVALID_DURATIONS: &[&str] = &[
    "",
    "-",
    "d",
    "1",
    "ms",
    "1h1d",
    "1d1d",
    "--1d",
    "+1d",
    "1D",
    "1.5h",
    "1 d",
    " 1d",
    "1d ",
    "1d-2h",
    "1y",
    "1us",
    "9223372036854775808ms",
    "-9223372036854775809ms",
    "106751991167d7h12m55s808ms",
    "106751991168d",
    "99999999999999999999d",
    "\u{661}d",
];

/// Strings of one extension type whose values are equal, next to each other or, for ranges, within
/// each other.
pub(super) const KIN: &[(Ext, &[&str])] = &[
    (Ext::Decimal, &["1.0", "1.00", "1.0000", "0.9999", "1.0001"]),
    (Ext::Decimal, &["0.0", "-0.0", "0.0001", "-0.0001", "00.00"]),
    (Ext::Decimal, &["12.34", "12.3400", "12.3399", "12.3401"]),
    (
        Ext::Decimal,
        &["-1.5", "-1.50", "-01.5", "-1.4999", "-1.5001", "1.5"],
    ),
    (
        Ext::Ip,
        &[
            "10.0.0.0/8",
            "10.9.8.7/8",
            "10.1.2.3",
            "10.1.2.3/24",
            "10.1.2.200/24",
        ],
    ),
    (
        Ext::Ip,
        &[
            "10.1.2.3/24",
            "10.1.2.0/23",
            "10.1.3.7/24",
            "10.1.3.7/23",
            "10.1.2.3/32",
        ],
    ),
    (
        Ext::Ip,
        &[
            "127.0.0.1",
            "127.0.0.1/32",
            "127.0.0.0/8",
            "127.1.2.3/8",
            "126.0.0.0/7",
        ],
    ),
    (
        Ext::Ip,
        &[
            "224.0.0.1",
            "224.0.0.1/4",
            "239.255.255.255/4",
            "224.0.0.0/3",
            "0.0.0.0/0",
        ],
    ),
    (
        Ext::Ip,
        &["::1", "::1/128", "::1/127", "::/127", "::/0", "1::/0"],
    ),
    (
        Ext::Ip,
        &[
            "2001:db8::/32",
            "2001:db8:1::1/32",
            "2001:DB8::1",
            "2001:db9::/32",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "2024-01-01",
            "2024-01-01T00:00:00Z",
            "2024-01-01T05:30:00+0530",
            "2023-12-31T18:30:00.000-0530",
            "2023-12-31T23:59:59.999Z",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "1970-01-01",
            "1969-12-31T23:59:59.999Z",
            "1969-12-31T12:00:00-1200",
            "1970-01-01T00:30:00+0030",
            "1970-01-01T00:00:00.001Z",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "2024-02-29",
            "2024-02-28T23:59:59.999Z",
            "2024-02-29T23:59:00+2359",
            "2024-02-28T00:01:00-2359",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "2000-02-29T12:00:00Z",
            "2000-02-29T17:30:00+0530",
            "2000-02-29T06:30:00-0530",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "1900-02-28",
            "1900-03-01",
            "1900-02-28T23:59:59.999Z",
            "1900-02-28T23:00:00-0100",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "0000-01-01",
            "0000-01-01T23:59:00+2359",
            "0000-01-01T00:00:00.001Z",
        ],
    ),
    (
        Ext::Datetime,
        &[
            "2024-06-30T00:00:00.000-2359",
            "2024-06-30T23:59:00Z",
            "2024-06-30T23:59:59.999Z",
        ],
    ),
    (
        Ext::Duration,
        &[
            "1d",
            "24h",
            "1440m",
            "86400000ms",
            "01d",
            "86399999ms",
            "23h60m",
        ],
    ),
    (
        Ext::Duration,
        &["-1d", "-24h", "-86400000ms", "-86400001ms", "-1d1ms", "1d"],
    ),
    (Ext::Duration, &["0ms", "-0ms", "1ms", "-1ms", "0d"]),
    (Ext::Duration, &["1m", "60s", "60000ms", "59999ms", "61s"]),
    (Ext::Duration, &["-61s", "-1m1s", "-61000ms", "-60999ms"]),
    (Ext::Duration, &["1s", "999ms", "1000ms", "0m1s"]),
];

/// The strings that are kin to `text`, itself included.
pub(super) fn kin(ext: Ext, text: &str) -> Option<&'static [&'static str]> {
    let has_it = |family: &&(Ext, &[&str])| family.0 == ext && family.1.contains(&text);
    KIN.iter().find(has_it).map(|(_, family)| *family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cedar_policy::RestrictedExpression as R;

    #[test]
    fn the_judge_agrees_which_strings_are_valid() {
        for ext in Ext::ALL {
            let parses = |text: &str| {
                let value = match ext {
                    Ext::Decimal => R::new_decimal(text),
                    Ext::Ip => R::new_ip(text),
                    Ext::Datetime => R::new_datetime(text),
                    Ext::Duration => R::new_duration(text),
                };
                cedar_policy::Context::from_pairs([("x".to_owned(), value)]).is_ok()
            };
            let kin = KIN.iter().filter(|(of, _)| *of == ext);
            let kin = kin.flat_map(|(_, family)| *family);
            for text in ext.valid().iter().chain(kin) {
                assert!(parses(text), "{ext:?} refuses {text:?}");
            }
            for text in ext.invalid() {
                assert!(!parses(text), "{ext:?} takes {text:?}");
            }
        }
    }
}
