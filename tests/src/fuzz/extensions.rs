//! Extension values and `like`.

use super::compare::{ALL, Panel, TWO, compare};
use super::{split_mode, with_mode};
use crate::engines::{TestRequest, World};
use cedar_policy::{Entities, PolicySet};
use cedarjit_ir::ext;
use cedarjit_ir::heap::IpWords;
use serde_json::json;
use std::cell::RefCell;
use std::fmt::Write;

/// What stands between operands.
const SEPARATOR: char = '\n';

/// Conditions on two strings `a` and `b`, by function. `shown` is how this project prints the value
/// that `a` stands for; cedar-policy must read the same value from it.
const DECIMAL: &[&str] = &[
    "decimal(context.a) == decimal(context.shown)",
    "decimal(context.a) == decimal(context.b)",
    "decimal(context.a).lessThan(decimal(context.b))",
    "decimal(context.a).lessThanOrEqual(decimal(context.b))",
    "decimal(context.a).greaterThan(decimal(context.b))",
    "decimal(context.a).greaterThanOrEqual(decimal(context.b))",
];
const IP: &[&str] = &[
    "ip(context.a) == ip(context.shown)",
    "ip(context.a) == ip(context.b)",
    "ip(context.a).isInRange(ip(context.b))",
    "ip(context.a).isIpv4()",
    "ip(context.a).isIpv6()",
    "ip(context.a).isLoopback()",
    "ip(context.a).isMulticast()",
];
const DATETIME: &[&str] = &[
    "datetime(context.a).durationSince(datetime(\"1970-01-01\")).toMilliseconds() == context.n",
    "datetime(context.a) == datetime(context.b)",
    "datetime(context.a) < datetime(context.b)",
    "datetime(context.a).offset(duration(context.b)) <= datetime(context.a)",
    "datetime(context.a).durationSince(datetime(context.b)) == duration(\"0ms\")",
    "datetime(context.a).toDate() == datetime(context.b).toDate()",
    "datetime(context.a).toTime() == duration(context.shown)",
    "datetime(\"1970-01-01\").offset(duration(context.b)).toDate() == datetime(context.a)",
];
const DURATION: &[&str] = &[
    "duration(context.a) == duration(context.shown)",
    "duration(context.a) == duration(context.b)",
    "duration(context.a) < duration(context.b)",
    "duration(context.a).toMilliseconds() == context.n",
    "duration(context.a).toSeconds() * 1000 == context.n",
    "duration(context.a).toMinutes() == duration(context.b).toMinutes()",
    "duration(context.a).toHours() == duration(context.b).toHours()",
    "duration(context.a).toDays() == duration(context.b).toDays()",
];

thread_local! {
    /// The conditions of each function.
    static PANELS: RefCell<Vec<Panel>> =
        RefCell::new([DECIMAL, IP, DATETIME, DURATION].map(load).into());
}

fn load(conditions: &[&str]) -> Panel {
    let mut text = String::new();
    for condition in conditions {
        let written = writeln!(
            text,
            "permit (principal, action, resource) when {{ {condition} }};"
        );
        assert!(written.is_ok());
    }
    let world = world(&text).unwrap_or_else(|| panic!("the conditions must parse:\n{text}"));
    Panel::new(&world, ALL)
}

fn world(policies: &str) -> Option<World> {
    let policies: PolicySet = policies.parse().ok()?;
    Some(World::new(policies, Entities::empty(), None))
}

pub(super) fn run(data: &[u8]) {
    let Some((mode, rest)) = split_mode(data, 5) else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let (a, b) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
    match mode {
        4 => like(a, b),
        mode => call(usize::from(mode), a, b),
    }
}

/// The value of `a` as this project prints it, and as a number, if it has one.
fn value(mode: usize, a: &str) -> (String, i64) {
    let value = match mode {
        0 => ext::parse_decimal(a).map(|v| (ext::display_decimal(v).to_string(), v)),
        1 => ext::parse_ip(a).map(|v| (spelled_out(v), 0)),
        2 => ext::parse_datetime(a).map(|v| {
            let time = ext::datetime::to_time(v);
            (ext::display_duration(time).to_string(), v)
        }),
        _ => ext::parse_duration(a).map(|v| (ext::display_duration(v).to_string(), v)),
    };
    value.unwrap_or_default()
}

/// An address in a form that reads back, which the usual one does not for IPv4-mapped addresses.
fn spelled_out(ip: IpWords) -> String {
    let shown = ext::display_ip(ip).to_string();
    if ext::ip::is_ipv4(ip) {
        return shown;
    }
    let groups: Vec<String> = [ip.high, ip.low]
        .iter()
        .flat_map(|half| [48, 32, 16, 0].map(|shift| format!("{:x}", (half >> shift) & 0xffff)))
        .collect();
    let prefix = shown.split_once('/').map_or("128", |(_, prefix)| prefix);
    format!("{}/{prefix}", groups.join(":"))
}

/// `decimal`, `ip`, `datetime` or `duration` on strings that come with the request.
fn call(mode: usize, a: &str, b: &str) {
    let (shown, n) = value(mode, a);
    let request = request(json!({"a": a, "b": b, "shown": shown, "n": n}));
    PANELS.with_borrow_mut(|panels| {
        let verdict = panels.get_mut(mode).map(|panel| panel.ask(&request));
        let Some(Ok(expected)) = verdict else {
            panic!("{a:?}, {b:?}: {verdict:?}");
        };
        // What this project reads and prints is what cedar-policy reads.
        let readable = !expected.errors.contains_key("policy0");
        let faithful = !readable || expected.reasons.contains("policy0");
        assert!(faithful, "{a:?} is read as {shown} or {n}: {expected:?}");
    });
}

fn request(context: serde_json::Value) -> TestRequest {
    let uid = "T::\"e\"";
    TestRequest::new(uid, uid, uid, context, false, None)
}

/// `text like "patterns"`, where each line of `patterns` is one.
fn like(text: &str, patterns: &str) {
    let mut policies = String::new();
    for pattern in patterns.split(SEPARATOR).take(8) {
        policies.push_str("permit (principal, action, resource) when { context.a like \"");
        push_pattern(&mut policies, pattern);
        policies.push_str("\" };\n");
    }
    let Some(world) = world(&policies) else {
        return;
    };
    let request = request(json!({"a": text}));
    compare(&world, &[request], TWO);
}

/// Writes a pattern so that it ends where it should.
fn push_pattern(out: &mut String, pattern: &str) {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => {
                out.push('\\');
                out.push(chars.next().unwrap_or('\\'));
            }
            c => out.push(c),
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let texts: [(u8, &[&str]); 5] = [
        (
            0,
            &[
                "1.5\n1.50",
                "-0.0001\n922337203685477.5807",
                "1.23456\n.",
                "٣.٣\n0.0",
            ],
        ),
        (
            1,
            &[
                "10.0.0.0/8\n10.1.2.3",
                "::1\n::/0",
                "ff00::/8\n::ffff:1.2.3.4",
                "1.2.3\n/",
            ],
        ),
        (
            2,
            &[
                "2024-02-29\n2024-02-29T00:00:00Z",
                "1969-12-31T23:59:59.999+0100\n-1d2h",
                "9999-12-31T23:59:59-2359\n106751991167d",
                "0000-01-01\n-9223372036854775808ms",
            ],
        ),
        (
            3,
            &[
                "1d2h3m4s5ms\n90ms",
                "-1h\n60m",
                "9223372036854775807ms\n1ms",
                "1m1h\n",
            ],
        ),
        (
            4,
            &[
                "aaab\n*a*b\na*\n\\*",
                "é\u{301}\n*\\u{301}\né*",
                "a*\\b\na\\*\\\\b\n\\x61*",
            ],
        ),
    ];
    let seeds = texts
        .into_iter()
        .flat_map(|(mode, texts)| texts.iter().map(move |text| with_mode(mode, text)));
    seeds.collect()
}
