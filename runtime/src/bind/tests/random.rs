//! Random requests, sound and spoiled.

use super::*;
use std::fmt::Write;

/// How many requests for each kind of world.
const REQUESTS: usize = 20_000;

/// A small generator of random numbers: xorshift64*.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const TYPES: &[&str] = &[
    "User",
    "Team",
    "Color",
    "App::Doc",
    "App::Kind",
    "Action",
    "New",
    "A::B::C",
    "if",
    "__cedar",
    "User ",
    "",
    "_1",
    "App::",
    "1x",
    "Üser",
];
const IDS: &[&str] = &[
    "ann",
    "zoë",
    "core",
    "plan",
    "red",
    "blue",
    "a",
    "view",
    "edit",
    "list",
    "idle",
    "nobody",
    "",
    "it's",
    "b\\\"ob\\n",
    "a\\u{301}",
    "a\u{301}",
    "x\\",
    "tab\t",
    "{}",
    "::",
    "🍓",
];
const STRINGS: &[&str] = &[
    "known",
    "Rome",
    "",
    "a",
    "b",
    "127.0.0.1",
    "127.0.0.1/8",
    "::1",
    "1.5",
    "1.50",
    "-0.1",
    "1",
    "2024-01-01",
    "2024-01-01T00:00:00Z",
    "1h",
    "60m",
    "1d2h",
    "ip",
    "decimal",
    "unknown",
    "\\u0061",
    "\\n",
    "\\ud83c\\udf53",
    "\\ud800",
    "üñ",
    "ann",
    "User",
    "__entity",
    "\t",
];
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "3",
    "-0",
    "1.0",
    "1e2",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "01",
    "-",
    "1e999",
];
const KEYS: &[&str] = &[
    "b", "n", "s", "e", "d", "c", "ip", "dec", "t", "dur", "sn", "ss", "se", "sip", "r", "sr",
    "deep", "p", "city", "zip", "a", "other", "", "\\u006e", "__entity", "__extn", "__expr", "__x",
    "$x", "type", "id", "fn", "arg", "args",
];
const FUNCTIONS: &[&str] = &[
    "ip", "decimal", "datetime", "duration", "unknown", "offset", "isIpv4", "",
];

fn uid(rng: &mut Rng, usual: &str) -> String {
    if rng.chance(60) {
        return usual.to_owned();
    }
    format!("{}::\"{}\"", rng.pick(TYPES), rng.pick(IDS))
}

/// Any JSON.
fn json(rng: &mut Rng, depth: usize, out: &mut String) {
    match rng.below(if depth == 0 { 6 } else { 11 }) {
        0 => out.push_str(rng.pick(&["true", "false", "null"])),
        1 | 2 => out.push_str(rng.pick(NUMBERS)),
        3..=5 => string(rng, out),
        6 => array(rng, out, |rng, out| json(rng, depth - 1, out)),
        7 => escape(rng, out),
        _ => {
            let keys: Vec<&str> = (0..rng.below(5)).map(|_| rng.pick(KEYS)).collect();
            object(rng, &keys, out, |rng, _, out| json(rng, depth - 1, out));
        }
    }
}

fn string(rng: &mut Rng, out: &mut String) {
    let _ = write!(out, "\"{}\"", rng.pick(STRINGS));
}

fn array(rng: &mut Rng, out: &mut String, mut element: impl FnMut(&mut Rng, &mut String)) {
    out.push('[');
    for i in 0..rng.below(4) {
        out.push_str(if i > 0 { "," } else { "" });
        element(rng, out);
    }
    out.push(']');
}

fn object(
    rng: &mut Rng,
    keys: &[&str],
    out: &mut String,
    mut member: impl FnMut(&mut Rng, &str, &mut String),
) {
    out.push('{');
    for (i, key) in keys.iter().enumerate() {
        let _ = write!(out, "{}\"{key}\": ", if i > 0 { ", " } else { "" });
        member(rng, key, out);
    }
    out.push('}');
}

/// An entity or an extension value, with or without its escape.
fn escape(rng: &mut Rng, out: &mut String) {
    let (key, members) = match rng.chance(50) {
        true => ("__entity", [("type", TYPES), ("id", IDS)]),
        false => ("__extn", [("fn", FUNCTIONS), ("arg", STRINGS)]),
    };
    let escaped = rng.chance(60);
    if escaped {
        let _ = write!(out, "{{\"{key}\": ");
    }
    let [first, second] = members;
    let (a, b) = (rng.pick(first.1), rng.pick(second.1));
    let _ = write!(
        out,
        "{{\"{}\": \"{a}\", \"{}\": \"{b}\"}}",
        first.0, second.0
    );
    if escaped {
        out.push('}');
    }
}

/// A datetime that is computed from another, mostly.
fn computed(rng: &mut Rng, datetime: &str, out: &mut String) {
    let function = if rng.chance(95) {
        "offset"
    } else {
        rng.pick(FUNCTIONS)
    };
    let by = rng.pick(&["1h", "-1d", "9223372036854775807ms", "1", "2024-01-01"]);
    let mut arguments = vec![
        format!(r#"{{"__extn": {{"fn": "datetime", "arg": "{datetime}"}}}}"#),
        format!(r#"{{"__extn": {{"fn": "duration", "arg": "{by}"}}}}"#),
    ];
    match rng.below(12) {
        0 => arguments.reverse(),
        1 => arguments.truncate(1),
        2 => arguments.push(arguments[1].clone()),
        _ => {}
    }
    let call = format!(
        r#"{{"fn": "{function}", "args": [{}]}}"#,
        arguments.join(", ")
    );
    match rng.chance(30) {
        true => out.push_str(&call),
        false => drop(write!(out, "{{\"__extn\": {call}}}")),
    }
}

/// JSON that mostly is of the type that the schema declares for an attribute.
fn typed(rng: &mut Rng, key: &str, out: &mut String) {
    if rng.chance(7) {
        return json(rng, 2, out);
    }
    match key {
        "b" => out.push_str(rng.pick(&["true", "false"])),
        "n" | "zip" => out.push_str(rng.pick(&["0", "1", "-3", "9223372036854775807"])),
        "s" | "city" => string(rng, out),
        "e" | "d" | "c" => {
            let ty = match key {
                "e" => "User",
                "d" => "App::Doc",
                _ => "Color",
            };
            let id = rng.pick(IDS);
            let uid = format!("{{\"type\": \"{ty}\", \"id\": \"{id}\"}}");
            match rng.chance(50) {
                true => out.push_str(&uid),
                false => drop(write!(out, "{{\"__entity\": {uid}}}")),
            }
        }
        "ip" | "dec" | "t" | "dur" => {
            let (function, argument) = match key {
                "ip" => ("ip", rng.pick(&["127.0.0.1", "10.0.0.0/8", "::1"])),
                "dec" => ("decimal", rng.pick(&["1.5", "1.50", "-0.1"])),
                "t" => (
                    "datetime",
                    rng.pick(&["2024-01-01", "2024-01-01T00:00:00Z"]),
                ),
                _ => ("duration", rng.pick(&["1h", "60m", "-1d"])),
            };
            if key == "t" && rng.chance(20) {
                return computed(rng, argument, out);
            }
            let call = format!("{{\"fn\": \"{function}\", \"arg\": \"{argument}\"}}");
            match rng.below(3) {
                0 => drop(write!(out, "\"{argument}\"")),
                1 => out.push_str(&call),
                _ => drop(write!(out, "{{\"__extn\": {call}}}")),
            }
        }
        "sn" => array(rng, out, |rng, out| typed(rng, "n", out)),
        "ss" => array(rng, out, |rng, out| typed(rng, "s", out)),
        "se" => array(rng, out, |rng, out| typed(rng, "e", out)),
        "sip" => array(rng, out, |rng, out| typed(rng, "ip", out)),
        "r" | "p" => {
            let keys = [["city", "zip"], ["zip", "city"]][rng.below(2)];
            let some = if rng.chance(70) { 2 } else { rng.below(3) };
            object(rng, &keys[..some], out, typed);
        }
        "sr" => array(rng, out, |rng, out| typed(rng, "r", out)),
        "deep" => {
            out.push_str("{\"a\": {\"b\": {\"c\": ");
            array(rng, out, |rng, out| {
                array(rng, out, |rng, out| typed(rng, "n", out))
            });
            out.push_str("}}}");
        }
        _ => json(rng, 1, out),
    }
}

fn context(rng: &mut Rng) -> String {
    let mut text = String::new();
    let any = rng.chance(30);
    let mut keys: Vec<&str> = Vec::new();
    for _ in 0..rng.below(6) {
        let known = if rng.chance(97) { 17 } else { KEYS.len() };
        keys.push(rng.pick(&KEYS[..known]));
    }
    if rng.chance(85) {
        keys.sort_unstable();
        keys.dedup();
    }
    object(rng, &keys, &mut text, |rng, key, out| match any {
        true => json(rng, 3, out),
        false => typed(rng, key, out),
    });
    if rng.chance(10) {
        spoil(rng, &mut text);
    }
    text
}

/// Changes, takes away or adds a character.
fn spoil(rng: &mut Rng, text: &mut String) {
    let mut chars: Vec<char> = text.chars().collect();
    let at = rng.below(chars.len());
    let other = rng.pick(&[
        "\"", "{", "}", "[", "]", ",", ":", "\\", " ", "0", "e", "\u{1}", "é",
    ]);
    let other = other.chars().next().unwrap_or(' ');
    match rng.below(3) {
        0 => chars[at] = other,
        1 => drop(chars.remove(at)),
        _ => chars.insert(at, other),
    }
    *text = chars.into_iter().collect();
}

/// cedar-policy parses on this stack.
fn on_large_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(32 << 20);
        let thread = builder.spawn_scoped(scope, test).expect("a thread");
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn compare(schema: bool, seed: u64) {
    let engine = engine(schema);
    let mut binder = Binder::new(engine.snapshot());
    let mut rng = Rng(seed);
    let (mut plain, mut accepted) = (0, 0);
    for _ in 0..REQUESTS {
        let (user, doc) = (uid(&mut rng, UIDS[0]), uid(&mut rng, UIDS[2]));
        let action = rng.pick(&["Action::\"view\"", "Action::\"edit\""]);
        let action = uid(&mut rng, action);
        let (mut uids, context) = ([user, action, doc], context(&mut rng));
        if rng.chance(3) {
            let part = rng.below(3);
            spoil(&mut rng, &mut uids[part]);
        }
        let [principal, action, resource] = &uids;
        let parts = Parts {
            uids: [principal, action, resource],
            context: &context,
            validate: rng.chance(50),
        };
        plain += usize::from(check(&mut binder, parts));
        let accepts = !matches!(by_cedar(binder.snapshot(), parts), Bound::Refused(_));
        accepted += usize::from(accepts);
    }
    println!("schema {schema}: {REQUESTS} requests, {accepted} accepted, {plain} plain");
    assert!(accepted > REQUESTS / 20, "too few are accepted: {accepted}");
    assert!(
        accepted < REQUESTS * 9 / 10,
        "too few are refused: {accepted}"
    );
    assert!(
        plain * 3 > accepted,
        "too few are plain: {plain} of {accepted}"
    );
}

#[test]
fn random_requests_without_a_schema() {
    on_large_stack(|| compare(false, 0x0102_0304_0506_0708));
}

#[test]
fn random_requests_with_a_schema() {
    on_large_stack(|| compare(true, 0x1112_1314_1516_1718));
}
