//! Code that comes to the same instructions is generated once, as long as somebody holds it.

mod host;

use cedarjit_ir::abi::{Outcome, ValuePair};
use cedarjit_ir::expr::Body;
use cedarjit_ir::text::parse;
use cedarjit_jit::{Compiler, Function, Session};
use host::{Broken, OneAttr, prepared};
use std::thread;

const LESS: &str = "consts c0: long, c1: long
    v0: long = const c0
    v1: long = const c1
    v2: bool = less v0, v1
    return v2";

fn body(text: &str) -> Body {
    parse(text).unwrap()
}

fn compile(compiler: &Compiler, texts: &[&str]) -> Vec<Function> {
    let bodies: Vec<Body> = texts.iter().map(|text| body(text)).collect();
    let bodies: Vec<&Body> = bodies.iter().collect();
    compiler.compile(&bodies, &OneAttr).unwrap()
}

/// Whether a function finds that one is less than two, and nothing is less than itself.
fn compares(function: &Function) -> bool {
    let mut host = Broken::new();
    let frame = prepared(ValuePair::ABSENT, |_| {});
    let mut session = Session::new(&mut host, &frame).unwrap();
    session.run(function, &[1, 2]) == Some(Outcome::Satisfied)
        && session.run(function, &[2, 1]) == Some(Outcome::Unsatisfied)
        && session.run(function, &[1, 1]) == Some(Outcome::Unsatisfied)
}

/// As [`LESS`] but for one word, and with another meaning.
fn others() -> [String; 3] {
    [
        LESS.replace("less v0, v1", "less_eq v0, v1"),
        LESS.replace("less v0, v1", "less v1, v0"),
        LESS.replace("less v0, v1", "eq v0, v1"),
    ]
}

#[test]
fn the_same_is_compiled_once() {
    let compiler = Compiler::new().unwrap();
    let first = compile(&compiler, &[LESS]);
    let again = compile(&compiler, &[LESS, LESS]);
    for function in &again {
        assert_eq!(function.address(), first[0].address());
        assert_eq!(function.code_size(), first[0].code_size());
    }
    // It is kept by whoever holds it.
    drop(first);
    assert!(again.iter().all(compares));
    // In one unit, too.
    let twice = &others()[0];
    let functions = compile(&compiler, &[twice, LESS, twice]);
    assert_eq!(functions[0].address(), functions[2].address());
    assert_eq!(functions[1].address(), again[0].address());
}

#[test]
fn what_differs_in_anything_is_not_shared() {
    let compiler = Compiler::new().unwrap();
    let mut functions = compile(&compiler, &[LESS]);
    for text in &others() {
        functions.extend(compile(&compiler, &[text]));
    }
    let mut addresses: Vec<usize> = functions.iter().map(Function::address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), functions.len());
    assert!(compares(&functions[0]));
    assert!(!functions[1..].iter().any(compares));
}

#[test]
fn compilers_share_nothing() {
    let compilers = [
        Compiler::new().unwrap(),
        Compiler::without_vectors().unwrap(),
    ];
    let functions = compilers.map(|compiler| compile(&compiler, &[LESS]).remove(0));
    assert_ne!(functions[0].address(), functions[1].address());
    assert!(functions.iter().all(compares));
}

#[test]
fn what_nobody_holds_is_compiled_anew() {
    let compiler = Compiler::new().unwrap();
    for _ in 0..100 {
        assert!(compile(&compiler, &[LESS]).iter().all(compares));
    }
}

#[test]
fn threads_share() {
    let compiler = Compiler::new().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut held = Vec::new();
                for round in 0..50 {
                    let function = compile(&compiler, &[LESS]).remove(0);
                    assert!(compares(&function));
                    held.push(function);
                    if round % 5 == 0 {
                        held.clear();
                    }
                }
            });
        }
    });
}
