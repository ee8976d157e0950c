//! Expressions as deep as loading lets through fit the stack of an ordinary thread.

use crate::interpreter::Interpreter;
use crate::request::RequestValues;
use crate::store::Store;
use crate::values::{ScratchSpace, ValueContext};
use cedarjit_frontend::hir::{BinaryOp, Expr, Literal, UnaryOp};
use cedarjit_ir::ids::StrId;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};

/// Deeper than any expression that loads.
const DEPTH: usize = 512;

/// The least stack that we expect of a caller; the default of Rust's threads is twice that.
const STACK: usize = 1 << 20;

fn literal(b: bool) -> Expr {
    Expr::Literal(Literal::Bool(b))
}

/// Evaluates `wrap(wrap(… leaf))`.
fn nested(leaf: Expr, wrap: impl Fn(Expr) -> Expr) -> Value {
    let mut expr = leaf;
    for _ in 0..DEPTH {
        expr = wrap(expr);
    }
    let run = move || {
        let interner = Interner::new();
        let store = Store::empty(&interner);
        let request = RequestValues::unbound(&interner);
        let mut scratch = ScratchSpace::new();
        let mut interpreter = Interpreter::new(ValueContext {
            interner: &interner,
            store: &store,
            request: &request,
            scratch: &mut scratch,
        });
        interpreter.expression(&expr).unwrap()
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(run);
    thread.unwrap().join().unwrap()
}

#[test]
fn every_nesting_construct() {
    let truth = Value::bool(true);
    let not = nested(literal(true), |e| Expr::Unary(UnaryOp::Not, Box::new(e)));
    assert_eq!(not, truth);
    let and = nested(literal(true), |e| Expr::And(vec![literal(true), e]));
    assert_eq!(and, truth);
    let or = nested(literal(true), |e| Expr::Or(vec![literal(false), e]));
    assert_eq!(or, truth);
    let condition = nested(literal(true), |e| {
        Expr::If(
            Box::new(e),
            Box::new(literal(true)),
            Box::new(literal(false)),
        )
    });
    assert_eq!(condition, truth);
    let branch = nested(literal(true), |e| {
        Expr::If(
            Box::new(literal(true)),
            Box::new(e),
            Box::new(literal(false)),
        )
    });
    assert_eq!(branch, truth);
    let equal = nested(literal(true), |e| {
        Expr::Binary(BinaryOp::Eq, Box::new(literal(true)), Box::new(e))
    });
    assert_eq!(equal, truth);
    assert_eq!(nested(literal(true), |e| Expr::Set(vec![e])).tag, Tag::Set);
    let record = nested(literal(true), |e| Expr::Record(vec![(StrId(0), e)]));
    assert_eq!(record.tag, Tag::Record);
    let has = nested(Expr::Record(Vec::new()), |e| {
        Expr::Record(vec![(StrId(0), Expr::Has(Box::new(e), vec![StrId(1)]))])
    });
    assert_eq!(has.tag, Tag::Record);
}
