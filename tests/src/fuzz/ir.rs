//! The IR: its text, its verifier, and the code made of it.

mod host;

use super::fixed::POLICIES;
use cedarjit_frontend::load::load_policy_set;
use cedarjit_frontend::lower::lower;
use cedarjit_ir::abi::Outcome;
use cedarjit_ir::expr::{Body, Type, reads_data};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::text::parse;
use cedarjit_ir::verify::verify;
use cedarjit_jit::Compiler;
use host::{Names, evaluate};

/// Bodies beyond this are compiled by no input worth its time.
const MAX_NODES: usize = 500;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(body) = parse(text) else {
        return;
    };
    let printed = body.to_string();
    let again = parse(&printed);
    assert_eq!(again.as_ref(), Ok(&body), "printed as {printed:?}");
    if verify(&body).is_ok() && body.nodes.len() <= MAX_NODES {
        compile(&body, &printed);
    }
}

fn compile(body: &Body, printed: &str) {
    let names = Names::new(body);
    let compiler = Compiler::new();
    let compiler = compiler.unwrap_or_else(|error| panic!("no code generator: {error}"));
    let small = compiler.check(body).is_ok();
    let functions = match compiler.compile(&[body], &names) {
        Ok(functions) => functions,
        Err(error) => {
            assert!(!small, "not compiled: {error}\n{printed}");
            return;
        }
    };
    // What is read from data is of the type that the body claims: the schema sees to that, and
    // nothing here does.
    let claims = |node: &cedarjit_ir::expr::Node| reads_data(&node.op) && node.ty != Type::Any;
    if body.nodes.iter().any(claims) {
        return;
    }
    let Some(function) = functions.first() else {
        panic!("no function for a body");
    };
    for variant in 0..3 {
        let outcome = evaluate(function, body, &names, variant);
        let root = body.nodes.get(body.root.index());
        let total = root.is_some_and(|root| root.ty == Type::Bool && !root.may_fail);
        let fine = outcome.is_some_and(|outcome| !total || outcome != Outcome::Failed);
        assert!(fine, "{outcome:?} of\n{printed}");
    }
}

const TEXTS: &[&str] = &[
    "v0: bool = true\nreturn v0\n",
    "consts c0: long, c1: long\nv0: long = const c0\nv1: long = const c1\nv2: long! = mul v0, v1\n\
     v3: bool! = less v2, v0\nreturn v3\n",
    "consts c0: string, c1: pattern\nv0: string = const c0\nv1: record = record \"a\": v0\n\
     v2: any! = get_attr v1, \"a\"\nv3: bool! = like v2, c1\nreturn v3\n",
    "consts c0: set, c1: entity, c2: type\nv0: set = const c0\nv1: entity = const c1\n\
     v2: bool = is v1, c2\nv3: bool = contains v0, v1\nv4: bool = and v2, v3\nreturn v4\n",
    "consts c0: decimal, c1: datetime, c2: duration, c3: ipaddr\nv0: datetime = const c1\n\
     v1: duration = const c2\nv2: datetime! = call offset v0, v1\nv3: bool! = less v2, v0\n\
     return v3\n",
];

/// Hand-written texts, and what the fixed policies lower to.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let mut interner = Interner::new();
    let policies = POLICIES.parse().unwrap_or_default();
    for policy in load_policy_set(&policies, &mut interner).unwrap_or_default() {
        let body = lower(&policy.policy, &interner, None).body;
        seeds.push(body.to_string().into_bytes());
    }
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_compiled() {
        for seed in seeds() {
            let text = String::from_utf8(seed).unwrap();
            let body = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(verify(&body), Ok(()), "{text}");
        }
    }
}
