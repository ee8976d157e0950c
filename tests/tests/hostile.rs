//! What hostile input costs: each measurement doubles the size of something and says by how much
//! the time grows. Twice the size must not take much more than twice the time.
//!
//! With `--nocapture` and in a release build this prints the table of docs/limits.md.

use cedar_policy::{Context, EntityUid, Request};
use cedarjit::{BoundRequest, Engine, Scratch};
use cedarjit_frontend::limits::with_big_stack;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long each measurement goes on. The clock ticks every few milliseconds.
const AT_LEAST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 60 });

/// The most that a time may grow by from the smallest size to the one four times as large. Linear
/// work grows by 4, `n log n` a little more, quadratic work by 16; the rest is for caches that get
/// too small.
const MAX_GROWTH: f64 = 11.0;

/// The time that this thread has run, which other work on the machine does not add to; where the
/// system does not tell, the time that has passed.
fn clock() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let running = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let running = running.and_then(|text| text.split(' ').next()?.parse().ok());
    running.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// How often a measurement is made at most: what else runs on the machine makes caches smaller for a
/// while, and never larger.
const ATTEMPTS: usize = 5;

/// Takes the time of `run` on what `make` makes of each size, which doubles twice from `n`: the least
/// of some attempts.
fn measure<T>(what: &str, n: usize, make: impl Fn(usize) -> T, mut run: impl FnMut(&T)) {
    let sizes = [n, 2 * n, 4 * n];
    let mut best = [Duration::MAX; 3];
    for _ in 0..ATTEMPTS {
        for (best, size) in best.iter_mut().zip(sizes) {
            let made = make(size);
            run(&made);
            *best = time(|| run(black_box(&made))).min(*best);
        }
        if growth(&best) < MAX_GROWTH {
            break;
        }
    }
    let [first, second, third] = best;
    let ratio = growth(&best).sqrt();
    println!("| {what} | {n} | {first:.1?} | {second:.1?} | {third:.1?} | {ratio:.1} |");
    assert!(growth(&best) < MAX_GROWTH, "{what}: {best:?} for {sizes:?}");
}

/// By what the time grows from the smallest size to the largest.
fn growth([first, _, third]: &[Duration; 3]) -> f64 {
    third.as_secs_f64() / first.as_secs_f64()
}

/// The time of one run.
fn time(mut run: impl FnMut()) -> Duration {
    let (started, mut runs) = (clock(), 0);
    loop {
        run();
        runs += 1;
        let taken = clock().saturating_sub(started);
        if taken >= AT_LEAST {
            return taken / runs;
        }
    }
}

fn uid(text: &str) -> EntityUid {
    text.parse().unwrap()
}

fn engine(policies: &str, entities: &str) -> Engine {
    let builder = Engine::builder().policies_str(policies);
    builder.entities_json(entities).build().unwrap()
}

fn request(context: &str) -> Request {
    let context = Context::from_json_str(context, None).unwrap();
    let (user, view, doc) = (uid("User::\"a\""), uid("Action::\"v\""), uid("Doc::\"d\""));
    Request::new(user, view, doc, context, None).unwrap()
}

fn policy(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

/// A condition over one context, bound.
fn bound(condition: &str, context: &str) -> BoundRequest {
    let engine = engine(&policy(condition), "[]");
    engine.snapshot().bind(&request(context)).unwrap()
}

/// The same decision a hundred times: one is too short to measure.
fn decide(bound: &BoundRequest) {
    let mut scratch = Scratch::default();
    for _ in 0..100 {
        black_box(bound.evaluate(&mut scratch).decision());
    }
}

fn joined(n: usize, separator: &str, item: impl Fn(usize) -> String) -> String {
    (0..n).map(item).collect::<Vec<_>>().join(separator)
}

fn scaled(n: usize) -> usize {
    if cfg!(debug_assertions) { n / 8 } else { n }
}

fn decisions() {
    let text = |n: usize| format!(r#"{{"s": "{}"}}"#, "a".repeat(n));
    let stars = r#"context.s like "*a*a*a*a*a*b*""#;
    measure(
        "`like \"*a*a*a*a*a*b*\"`, characters",
        scaled(1 << 16),
        |n| bound(stars, &text(n)),
        decide,
    );
    let long = format!("context.s like \"*{}b*\"", "a".repeat(1000));
    measure(
        "`like` a segment of 1,000, characters",
        scaled(1 << 16),
        |n| bound(&long, &text(n)),
        decide,
    );
    let numbers = |n| format!(r#"{{"l": [{}]}}"#, joined(n, ",", |i| i.to_string()));
    let member = "context.l.contains(-1)";
    measure(
        "`contains` in a set, elements",
        scaled(1 << 14),
        |n| bound(member, &numbers(n)),
        decide,
    );
    let two = |n: usize| {
        let (low, high) = (
            joined(n, ",", |i| i.to_string()),
            joined(n, ",", |i| (n + i).to_string()),
        );
        format!(r#"{{"a": [{low}], "b": [{high}]}}"#)
    };
    let any = "context.a.containsAny(context.b)";
    measure(
        "`containsAny` of disjoint sets, elements",
        scaled(1 << 12),
        |n| bound(any, &two(n)),
        decide,
    );
}

fn requests() {
    let engine = engine(&policy("context has a"), "[]");
    let bind = |request: &Request| drop(black_box(engine.snapshot().bind(request).unwrap()));
    let set = |n| {
        request(&format!(
            r#"{{"l": [{}]}}"#,
            joined(n, ",", |i| format!("\"s{i}\""))
        ))
    };
    measure(
        "binding a context, strings that nobody knows",
        scaled(1 << 14),
        set,
        bind,
    );
    let wide = |n| {
        request(&format!(
            "{{{}}}",
            joined(n, ",", |i| format!("\"a{i}\": {i}"))
        ))
    };
    measure("binding a context, attributes", scaled(1 << 14), wide, bind);
    let same = |n| {
        request(&format!(
            r#"{{"l": [{}]}}"#,
            joined(n, ",", |i| format!("{{\"a\": {i}}}"))
        ))
    };
    measure(
        "binding a context, records in a set",
        scaled(1 << 13),
        same,
        bind,
    );
}

fn entities() {
    let build = |json: &String| drop(black_box(engine(&policy("true"), json)));
    let entity = |id: &str, parents: &str| {
        format!(
            r#"{{"uid": {{"type": "T", "id": "{id}"}}, "attrs": {{}}, "parents": [{parents}]}}"#
        )
    };
    let parent = |i: usize| format!(r#"{{"type": "T", "id": "p{i}"}}"#);
    let wide = |n| format!("[{}]", entity("e", &joined(n, ",", parent)));
    measure("loading one entity, parents", scaled(1 << 13), wide, build);
    let many = |n| {
        format!(
            "[{}]",
            joined(n, ",", |i| entity(&i.to_string(), &joined(16, ",", parent)))
        )
    };
    measure(
        "loading entities of 16 parents each",
        scaled(1 << 10),
        many,
        build,
    );
    let strings = |n| format!("[{}]", joined(n, ",", |i| entity(&format!("{i:064}"), "")));
    measure(
        "loading entities, alike names",
        scaled(1 << 12),
        strings,
        build,
    );
}

fn policies() {
    let build = |text: &String| drop(black_box(engine(text, "[]")));
    let and = |n| policy(&joined(n, " && ", |i| format!("context.a{i}")));
    measure(
        "loading a chain of `&&`, operands",
        scaled(1 << 9),
        and,
        build,
    );
    let set = |n| {
        policy(&format!(
            "[{}].contains(context.n)",
            joined(n, ",", |i| i.to_string())
        ))
    };
    measure(
        "loading a set literal, elements",
        scaled(1 << 12),
        set,
        build,
    );
    let record = |n| {
        policy(&format!(
            "context.r == {{{}}}",
            joined(n, ",", |i| format!("a{i}: {i}"))
        ))
    };
    measure(
        "loading a record literal, attributes",
        scaled(1 << 11),
        record,
        build,
    );
    let nested = |n: usize| {
        let ifs = (0..n).fold(String::from("true"), |inner, i| {
            format!("if context.a{i} then {inner} else false")
        });
        policy(&ifs)
    };
    measure("loading nested `if`, depth", 16, nested, build);
    let many = |n| {
        let mut text = String::new();
        for i in 0..n {
            let added = writeln!(
                text,
                "permit (principal == User::\"u{i}\", action, resource);"
            );
            assert!(added.is_ok());
        }
        text
    };
    measure("loading policies", scaled(1 << 10), many, build);
}

/// One test: side by side they would disturb each other.
#[test]
fn twice_the_size_takes_twice_the_time() {
    println!(
        "| what grows | n | time for n | 2 n | 4 n | growth when doubled |\n|---|---|---|---|---|---|"
    );
    // Loading stays on the thread whose time is taken if that has the stack for it.
    let measured = with_big_stack(|| {
        decisions();
        requests();
        entities();
        policies();
    });
    assert_eq!(measured, Ok(()));
}
