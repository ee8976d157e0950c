//! Holds extension values and `like` patterns against cedar-policy: what is accepted, the value,
//! and the text of errors.

use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Request};
use cedarjit_ir::ext::{self, ExtError, ExtFn};
use cedarjit_ir::heap::IpWords;
use cedarjit_ir::pattern::Pattern;
use std::fmt::Display;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Evaluates Cedar expressions without entities.
struct Cedar {
    request: Request,
    entities: Entities,
}

impl Cedar {
    fn new() -> Self {
        let uid = || EntityUid::from_str("T::\"e\"").unwrap();
        Self {
            request: Request::new(uid(), uid(), uid(), Context::empty(), None).unwrap(),
            entities: Entities::empty(),
        }
    }

    fn eval(&self, source: &str) -> Result<EvalResult, String> {
        let expr = Expression::from_str(source).unwrap_or_else(|e| panic!("{source}: {e}"));
        cedar_policy::eval_expression(&self.request, &self.entities, &expr)
            .map_err(|e| e.to_string())
    }

    fn bool(&self, source: &str) -> bool {
        match self.eval(source) {
            Ok(EvalResult::Bool(b)) => b,
            other => panic!("{source}: {other:?}"),
        }
    }

    fn long(&self, source: &str) -> i64 {
        match self.eval(source) {
            Ok(EvalResult::Long(n)) => n,
            other => panic!("{source}: {other:?}"),
        }
    }
}

/// A Cedar string literal.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// The message that cedar-policy gives for an error of ours.
fn message(f: ExtFn, error: &ExtError) -> String {
    let name = f.error_name();
    format!("error while evaluating `{name}` extension function: {error}")
}

/// Compares one constructor call; `same` compares the values once both sides accept.
fn compare<T: Copy>(
    cedar: &Cedar,
    f: ExtFn,
    text: &str,
    ours: Result<T, ExtError>,
    same: impl Fn(&str, T) -> bool,
) {
    let source = format!("{}({})", f.name(), quote(text));
    match (cedar.eval(&source), ours) {
        (Ok(_), Ok(value)) => assert!(same(&source, value), "{source}: values differ"),
        (Err(theirs), Err(ours)) => assert_eq!(theirs, message(f, &ours), "{source}"),
        (theirs, ours) => panic!(
            "{source}: cedar-policy says {theirs:?}, we {}",
            ours.map_or_else(|e| e.to_string(), |_| "accept".to_owned())
        ),
    }
}

fn equals_constructor(cedar: &Cedar, f: ExtFn, source: &str, shown: impl Display) -> bool {
    let shown = quote(&shown.to_string());
    cedar.bool(&format!("{source} == {}({shown})", f.name()))
}

fn compare_decimal(cedar: &Cedar, text: &str) {
    let f = ExtFn::Decimal;
    compare(cedar, f, text, ext::parse_decimal(text), |source, value| {
        equals_constructor(cedar, f, source, ext::display_decimal(value))
    });
}

fn compare_ip(cedar: &Cedar, text: &str) {
    let f = ExtFn::Ip;
    compare(cedar, f, text, ext::parse_ip(text), |source, value| {
        equals_constructor(cedar, f, source, spelled_out(value))
            && cedar.bool(&format!("{source}.isIpv4()")) == ext::ip::is_ipv4(value)
            && cedar.bool(&format!("{source}.isIpv6()")) == ext::ip::is_ipv6(value)
            && cedar.bool(&format!("{source}.isLoopback()")) == ext::ip::is_loopback(value)
            && cedar.bool(&format!("{source}.isMulticast()")) == ext::ip::is_multicast(value)
    });
}

/// The address in a form that parses back; the usual one does not for IPv4-mapped addresses.
fn spelled_out(ip: IpWords) -> String {
    let shown = ext::display_ip(ip).to_string();
    if ext::ip::is_ipv4(ip) {
        return shown;
    }
    let groups: Vec<String> = [ip.high, ip.low]
        .iter()
        .flat_map(|half| [48, 32, 16, 0].map(|shift| format!("{:x}", (half >> shift) & 0xffff)))
        .collect();
    let (address, prefix) = shown.split_once('/').unwrap();
    assert_eq!(address.parse::<Ipv6Addr>(), groups.join(":").parse());
    format!("{}/{prefix}", groups.join(":"))
}

fn compare_duration(cedar: &Cedar, text: &str) {
    let f = ExtFn::Duration;
    let ours = ext::parse_duration(text);
    compare(cedar, f, text, ours, |source, value| {
        use ext::duration::{to_days, to_hours, to_milliseconds, to_minutes, to_seconds};
        cedar.long(&format!("{source}.toMilliseconds()")) == to_milliseconds(value)
            && cedar.long(&format!("{source}.toSeconds()")) == to_seconds(value)
            && cedar.long(&format!("{source}.toMinutes()")) == to_minutes(value)
            && cedar.long(&format!("{source}.toHours()")) == to_hours(value)
            && cedar.long(&format!("{source}.toDays()")) == to_days(value)
            && equals_constructor(cedar, f, source, ext::display_duration(value))
    });
}

fn compare_datetime(cedar: &Cedar, text: &str) {
    let f = ExtFn::Datetime;
    let ours = ext::parse_datetime(text);
    compare(cedar, f, text, ours, |source, value| {
        let since = "durationSince(datetime(\"1970-01-01\")).toMilliseconds()";
        let shown = ext::datetime::display_datetime(value);
        cedar.long(&format!("{source}.{since}")) == value
            && cedar.bool(&format!("{source} == {shown}"))
            && Some(cedar.long(&format!("{source}.toDate().{since}")))
                == ext::datetime::to_date(value)
            && cedar.long(&format!("{source}.toTime().toMilliseconds()"))
                == ext::datetime::to_time(value)
    });
}

/// Marsaglia's xorshift64, so that runs repeat without a dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// `seed` with a few characters replaced, inserted, removed or doubled.
    fn mutate(&mut self, seed: &str, alphabet: &[char]) -> String {
        let mut chars: Vec<char> = seed.chars().collect();
        for _ in 0..=self.below(3) {
            let at = self.below(chars.len() + 1);
            match self.below(4) {
                0 if at < chars.len() => chars[at] = self.pick(alphabet),
                1 if at < chars.len() => drop(chars.remove(at)),
                2 if at < chars.len() => chars.insert(at, chars[at]),
                _ => chars.insert(at, self.pick(alphabet)),
            }
        }
        chars.into_iter().collect()
    }
}

/// Compares every seed and `n` mutations.
fn compare_all(seeds: &[&str], alphabet: &str, n: usize, compare: impl Fn(&Cedar, &str)) {
    let cedar = Cedar::new();
    let alphabet: Vec<char> = alphabet.chars().collect();
    for seed in seeds {
        compare(&cedar, seed);
    }
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..n {
        let seed = random.pick(seeds);
        compare(&cedar, &random.mutate(seed, &alphabet));
    }
}

#[test]
fn decimals() {
    let seeds = [
        "",
        "-",
        ".",
        "-.",
        "1",
        "1.",
        ".1",
        "0.0",
        "-0.0",
        "-0.5",
        "0.5",
        "1.2345",
        "1.23456",
        "00001.1",
        "-00001.1",
        "+1.0",
        "1.0 ",
        " 1.0",
        "1.0\n",
        "\n1.0",
        "1..0",
        "1.0.0",
        "1e3.0",
        "922337203685477.5807",
        "922337203685477.5808",
        "-922337203685477.5808",
        "-922337203685477.5809",
        "922337203685478.0",
        "-922337203685478.0",
        "9223372036854775807.0",
        "9223372036854775808.0",
        "-9223372036854775808.0",
        "99999999999999999999999.0",
        "99999999999999999999999.00000",
        "1.99999999999999999999999",
        "٣.٣",
        "1.٣",
        "1.٣٣",
        "1.٣٣٣",
        "٣.12345",
        "-٣.0",
        "½.0",
        "Ⅷ.0",
        "１.0",
        "é.0",
        "1.é",
    ];
    compare_all(&seeds, "0123456789.-+ e٣", 400, compare_decimal);
}

/// Cedar's notion of a digit is Unicode's; there are too many to spell out.
#[test]
fn decimal_digits_of_all_scripts() {
    let cedar = Cedar::new();
    for c in (0..=0x10_FFFF).filter_map(char::from_u32) {
        if c.is_numeric() {
            compare_decimal(&cedar, &format!("{c}.0"));
        }
    }
}

#[rustfmt::skip]
const IPS: &[&str] = &[
    "", "/", "1.2.3.4", "1.2.3.4/", "1.2.3.4/0", "1.2.3.4/00", "1.2.3.4/8", "1.2.3.4/08",
    "1.2.3.4/32", "1.2.3.4/33", "1.2.3.4/99", "1.2.3.4/100", "1.2.3.4/+8", "1.2.3.4/-1",
    "1.2.3.4/8/8", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", " 1.2.3.4", "1.2.3.4 ",
    "127.0.0.1", "127.0.0.0/8", "127.0.0.0/7", "224.0.0.0/4", "224.0.0.0/3", "239.255.255.255",
    "::", "::1", "::1/128", "::1/127", "::/0", "::/129", "::/255", "::/256", "::/300", "::/1000",
    "::/٣", "ff00::", "ff00::/8", "ff00::/7", "fe80::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
    "1::2::3", "12345::", "::ffff:1.2.3.4", "::1.2.3.4", "::ffff:102:304", "1.2.3.4:80", "[::1]",
    "fe80::1%eth0", "ABCD::ef01", "g::", "1.2.3/8", "x/8", "::x/8",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
    "0000:0000:0000:0000:0000:0000:0000:0000/1280", "é", "1.2.3.4/é", "::/é",
];

#[test]
fn ips() {
    compare_all(IPS, "0123456789abcdef:./ x", 500, compare_ip);
}

#[test]
fn ip_ranges() {
    let cedar = Cedar::new();
    let ips = [
        "0.0.0.0",
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.2.3",
        "10.1.2.3/8",
        "10.1.2.3/9",
        "10.128.0.0/9",
        "255.255.255.255",
        "255.255.255.255/1",
        "::",
        "::/0",
        "::1",
        "::1/1",
        "ffff::/16",
        "ffff::1/64",
        "ffff::1:0:0:0:1",
        "ffff:ffff:ffff:ffff::/64",
        "::a00:0",
    ];
    for a in ips {
        for b in ips {
            let theirs = cedar.bool(&format!("ip(\"{a}\").isInRange(ip(\"{b}\"))"));
            let ours = ext::ip::in_range(ext::parse_ip(a).unwrap(), ext::parse_ip(b).unwrap());
            assert_eq!(theirs, ours, "{a} in {b}");
        }
    }
}

#[test]
fn durations() {
    let seeds = [
        "",
        "-",
        "0",
        "0ms",
        "-0ms",
        "1d",
        "1h",
        "1m",
        "1s",
        "1ms",
        "1d2h3m4s5ms",
        "-1d2h3m4s5ms",
        "5m5ms",
        "5ms5m",
        "1h1d",
        "1s1s",
        "+1d",
        "--1d",
        " 1d",
        "1d ",
        "1D",
        "1.5h",
        "d",
        "ms",
        "1msd",
        "1d-1h",
        "000000000000000000000000000001d",
        "9223372036854775807ms",
        "9223372036854775808ms",
        "-9223372036854775808ms",
        "-9223372036854775809ms",
        "9223372036854775s807ms",
        "9223372036854775s808ms",
        "-9223372036854775s808ms",
        "-9223372036854775s809ms",
        "18446744073709551615ms",
        "18446744073709551616ms",
        "106751991167d",
        "106751991168d",
        "-106751991168d",
        "106751991167d7h12m55s807ms",
        "106751991167d7h12m55s808ms",
        "-106751991167d7h12m55s808ms",
        "-106751991167d7h12m55s809ms",
        "99999999999999999999d1",
        "18446744073709551616d1x",
        "٣d",
        "1é",
    ];
    compare_all(&seeds, "0123456789dhms-", 500, compare_duration);
}

#[test]
fn datetimes() {
    let seeds = [
        "",
        "2024",
        "2024-01-01",
        "0000-01-01",
        "0000-02-29",
        "0000-00-00",
        "9999-12-31",
        "1900-02-29",
        "2000-02-29",
        "2023-02-29",
        "2024-02-29",
        "2024-02-30",
        "2024-04-31",
        "2024-13-01",
        "2024-1-1",
        "-001-01-01",
        "12024-01-01",
        "2024-01-01T",
        "2024-01-01T00:00",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T23:59:59Z",
        "2024-01-01T23:59:60Z",
        "2024-01-01T23:60:00Z",
        "2024-01-01T00:00:00.000Z",
        "2024-01-01T00:00:00.999Z",
        "2024-01-01T00:00:00.99Z",
        "2024-01-01T00:00:00.9999Z",
        "2024-01-01T00:00:00,000Z",
        "2024-01-01T00:00:00+0000",
        "2024-01-01T00:00:00-0000",
        "2024-01-01T00:00:00+2359",
        "2024-01-01T00:00:00-2359",
        "2024-01-01T00:00:00+2400",
        "2024-01-01T00:00:00+0060",
        "2024-01-01T00:00:00-9999",
        "2024-01-01T00:00:00.123+0545",
        "2024-01-01T00:00:00.123-0545",
        "2024-01-01T00:00:00+01:00",
        "2024-01-01T00:00:00+01",
        "2024-01-01t00:00:00z",
        "2024-01-01 00:00:00Z",
        "2024-01-01Z",
        "2024-13-01T99:99:99+9999",
        "2024-13-01T99:99:99",
        "2024-01-01T99:99:99+9999",
        "0000-01-01T00:00:00+2359",
        "9999-12-31T23:59:59.999-2359",
        "2024-01-01T00:00:00Z\n",
        "٢٠٢٤-01-01",
        "2024-01-0é",
        "2024-01-01T00:00:0é",
        "2024-01-01T00:00:00.00é",
    ];
    compare_all(&seeds, "0123456789-:.TZ+ ", 800, compare_datetime);
}

#[test]
fn overflowing_methods_say_so() {
    let cedar = Cedar::new();
    let at = |ms: i64| format!("{}", ext::datetime::display_datetime(ms));
    let ms = |ms: i64| format!("duration(\"{}\")", ext::display_duration(ms));
    use ext::datetime::DatetimeError;
    for (source, f, error) in [
        (
            format!("{}.offset({})", at(i64::MAX), ms(1)),
            ExtFn::Offset,
            DatetimeError::Offset(i64::MAX, 1),
        ),
        (
            format!("{}.durationSince({})", at(i64::MIN), at(1)),
            ExtFn::DurationSince,
            DatetimeError::DurationSince(i64::MIN, 1),
        ),
        (
            format!("{}.toDate()", at(i64::MIN)),
            ExtFn::ToDate,
            DatetimeError::ToDate(i64::MIN),
        ),
    ] {
        assert_eq!(
            cedar.eval(&source),
            Err(message(f, &ExtError::from(error))),
            "{source}"
        );
    }
    assert_eq!(
        cedar.long(&format!("{}.toTime().toMilliseconds()", at(i64::MIN))),
        ext::datetime::to_time(i64::MIN)
    );
}

#[test]
fn names_and_arities_are_cedars() {
    for f in ExtFn::ALL {
        let receiver = "principal";
        let arguments = vec![receiver; f.arity() - usize::from(!f.is_constructor())].join(", ");
        let source = if f.is_constructor() {
            format!("{}({arguments})", f.name())
        } else {
            format!("{receiver}.{}({arguments})", f.name())
        };
        assert!(Expression::from_str(&source).is_ok(), "{source}");
    }
}

#[test]
fn like() {
    let cedar = Cedar::new();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let texts: Vec<char> = "aab*é\u{301}\\\"\n".chars().collect();
    let patterns = [
        "a", "a", "b", "*", "*", "\\*", "é", "\\u{301}", "\\\\", "\\\"", "\\n", "\\x61",
    ];
    for _ in 0..3000 {
        let text: String = (0..random.below(8)).map(|_| random.pick(&texts)).collect();
        let pattern: String = (0..random.below(6))
            .map(|_| random.pick(&patterns))
            .collect();
        let theirs = cedar.bool(&format!("{} like \"{pattern}\"", quote(&text)));
        let ours = Pattern::parse(&pattern).unwrap();
        assert_eq!(theirs, ours.matches(&text), "{text:?} like \"{pattern}\"");
        let shown = cedar.bool(&format!("{} like \"{ours}\"", quote(&text)));
        assert_eq!(theirs, shown, "{text:?} like \"{ours}\"");
    }
}
