//! Compiled bodies on a host of their own, without the runtime.

mod host;

use cedarjit_ir::abi::{Outcome, ValuePair};
use cedarjit_ir::expr::Body;
use cedarjit_ir::heap::HeapRef;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::text::parse;
use cedarjit_ir::value::Value;
use cedarjit_jit::{Compiler, Function, RequestParts, Session};
use host::{Broken, OneAttr, prepared};

fn compile(text: &str) -> Function {
    let body: Body = parse(text).unwrap();
    let compiler = Compiler::new().unwrap();
    compiler.compile(&[&body], &OneAttr).unwrap().remove(0)
}

fn call_with(function: &Function, consts: &[u64], slot: ValuePair) -> Option<Outcome> {
    let mut host = Broken::new();
    let frame = prepared(slot, |_| {});
    Session::new(&mut host, &frame)
        .unwrap()
        .run(function, consts)
}

fn call(function: &Function, consts: &[u64]) -> Option<Outcome> {
    call_with(function, consts, ValuePair::ABSENT)
}

fn run_with(text: &str, consts: &[u64], slot: ValuePair) -> Option<Outcome> {
    call_with(&compile(text), consts, slot)
}

fn run(text: &str, consts: &[u64]) -> Option<Outcome> {
    run_with(text, consts, ValuePair::ABSENT)
}

#[test]
fn outcomes() {
    let cases = [
        ("v0: bool = true\nreturn v0", Outcome::Satisfied),
        ("v0: bool = false\nreturn v0", Outcome::Unsatisfied),
        (
            "v0: entity = principal\nv1: any! = get_attr v0, \"a\"\nreturn v1",
            Outcome::Failed,
        ),
        (
            "v0: entity = principal\nv1: bool = has_attr v0, \"a\"\nreturn v1",
            Outcome::Unsatisfied,
        ),
    ];
    for (text, outcome) in cases {
        assert_eq!(run(text, &[]), Some(outcome), "{text}");
    }
}

#[test]
fn arithmetic_fails_exactly_on_overflow() {
    let samples = [
        0,
        1,
        -1,
        2,
        -2,
        3_037_000_499,
        3_037_000_500,
        -3_037_000_500,
        i64::MAX,
        i64::MAX - 1,
        i64::MIN,
        i64::MIN + 1,
        i64::MAX / 2,
        i64::MIN / 2,
    ];
    type Checked = fn(i64, i64) -> Option<i64>;
    let ops: [(&str, Checked); 3] = [
        ("add", i64::checked_add),
        ("sub", i64::checked_sub),
        ("mul", i64::checked_mul),
    ];
    for (name, checked) in ops {
        let text = format!(
            "consts c0: long, c1: long, c2: long
             v0: long = const c0
             v1: long = const c1
             v2: long! = {name} v0, v1
             v3: long = const c2
             v4: bool! = eq v2, v3
             return v4"
        );
        let function = compile(&text);
        for a in samples {
            for b in samples {
                let expected = checked(a, b);
                let consts = [a, b, expected.unwrap_or(0)].map(i64::cast_unsigned);
                let outcome = call(&function, &consts);
                let wanted = expected.map_or(Outcome::Failed, |_| Outcome::Satisfied);
                assert_eq!(outcome, Some(wanted), "{a} {name} {b}");
            }
        }
    }
}

#[test]
fn a_context_attribute_comes_from_its_slot() {
    let text = "v0: record = context\nv1: any! = get_attr v0, \"a\"\nreturn v1";
    assert_eq!(run(text, &[]), Some(Outcome::Failed));
    for (value, outcome) in [
        (Value::bool(true), Outcome::Satisfied),
        (Value::bool(false), Outcome::Unsatisfied),
        (Value::long(1), Outcome::Failed),
    ] {
        assert_eq!(run_with(text, &[], value.into()), Some(outcome));
    }
}

#[test]
fn a_panicking_builtin_leaves_the_answer_to_the_interpreter() {
    let text = "v0: entity = principal\nv1: set! = set v0\nv2: bool! = is_empty v1\nreturn v2"
        .replace("set!", "set")
        .replace("bool!", "bool");
    assert_eq!(run(&text, &[]), None);
}

#[test]
fn too_few_constants_leave_the_answer_to_the_interpreter() {
    let text = "consts c0: bool\nv0: bool = const c0\nreturn v0";
    assert_eq!(run(text, &[]), None);
    assert_eq!(run(text, &[1]), Some(Outcome::Satisfied));
}

#[test]
fn a_request_with_unknown_ids_is_not_evaluated() {
    let mut host = Broken::new();
    let mut runs = |change: fn(&mut RequestParts<'_>)| {
        Session::new(&mut host, &prepared(ValuePair::ABSENT, change)).is_some()
    };
    assert!(runs(|_| {}));
    assert!(!runs(|parts| parts.principal = EntityId(3)));
    assert!(!runs(|parts| parts.action = EntityId(3)));
    assert!(!runs(|parts| parts.resource = EntityId::local(0)));
    assert!(!runs(|parts| parts.context = HeapRef::NONE));
    assert!(!runs(|parts| parts.context = HeapRef(9999)));
}

#[test]
fn a_body_too_large_is_refused() {
    let mut text = String::from("v0: entity = principal\n");
    for i in 1..=cedarjit_jit::MAX_NODES {
        text.push_str(&format!("v{i}: any! = get_attr v{}, \"a\"\n", i - 1));
    }
    text.push_str(&format!("return v{}", cedarjit_jit::MAX_NODES));
    let body = parse(&text).unwrap();
    let compiler = Compiler::new().unwrap();
    assert!(compiler.check(&body).is_err());
    assert!(compiler.compile(&[&body], &OneAttr).is_err());
}

/// The permissions of every mapping of this process, with its address range.
#[cfg(target_os = "linux")]
fn mappings() -> Vec<(usize, usize, String)> {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (start, end) = fields.next()?.split_once('-')?;
            Some((
                usize::from_str_radix(start, 16).ok()?,
                usize::from_str_radix(end, 16).ok()?,
                fields.next()?.to_owned(),
            ))
        })
        .collect()
}

#[test]
#[cfg(target_os = "linux")]
fn code_is_never_writable_and_is_freed_with_its_last_holder() {
    let function = compile("v0: bool = true\nreturn v0");
    let address = function.address();
    let of_code = || {
        mappings()
            .into_iter()
            .find(|(start, end, _)| (*start..*end).contains(&address))
            .map(|(_, _, permissions)| permissions)
    };
    assert_eq!(of_code().as_deref(), Some("r-xp"));
    assert!(
        mappings()
            .iter()
            .all(|(_, _, p)| !(p.contains('w') && p.contains('x')))
    );
    let other = function.clone();
    drop(function);
    assert_eq!(call(&other, &[]), Some(Outcome::Satisfied));
    drop(other);
    assert_ne!(of_code().as_deref(), Some("r-xp"));
}
