//! The builder simplifies only what cannot be observed.

use cedarjit_ir::builder::BodyBuilder;
use cedarjit_ir::expr::{BinaryOp, ConstKind, Op, Type, UnaryOp, Var};
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::verify::verify;

/// The textual root of the body that `build` makes.
fn root(build: impl FnOnce(&mut BodyBuilder) -> NodeId) -> String {
    let mut b = BodyBuilder::new();
    let node = build(&mut b);
    let body = b.finish(node).0;
    verify(&body).unwrap();
    body.node(body.root).op.to_string()
}

fn boolean(b: &mut BodyBuilder) -> NodeId {
    let c = b.constant(ConstKind::Value(Type::Bool));
    b.push(Op::Const(c))
}

/// A node of unknown type that may fail.
fn unknown(b: &mut BodyBuilder) -> NodeId {
    let principal = b.push(Op::Var(Var::Principal));
    b.push(Op::GetAttr(principal, "a".into()))
}

/// A Boolean that may fail.
fn risky(b: &mut BodyBuilder) -> NodeId {
    let a = unknown(b);
    b.push(Op::Unary(UnaryOp::Not, a))
}

#[test]
fn neutral_operands_go() {
    assert_eq!(
        root(|b| {
            let (t, x) = (b.push(Op::Bool(true)), boolean(b));
            b.push(Op::And([t, x, t].into()))
        }),
        "const c0"
    );
    assert_eq!(
        root(|b| {
            let (f, x) = (b.push(Op::Bool(false)), boolean(b));
            b.push(Op::Or([f, x].into()))
        }),
        "const c0"
    );
}

#[test]
fn an_operand_of_unknown_type_keeps_its_check() {
    let kept = root(|b| {
        let (t, x) = (b.push(Op::Bool(true)), unknown(b));
        b.push(Op::And([t, x].into()))
    });
    assert!(kept.starts_with("and"), "{kept}");
}

#[test]
fn what_follows_the_deciding_constant_goes() {
    assert_eq!(
        root(|b| {
            let (f, x) = (b.push(Op::Bool(false)), unknown(b));
            b.push(Op::And([f, x].into()))
        }),
        "false"
    );
    assert_eq!(
        root(|b| {
            let (x, t) = (boolean(b), b.push(Op::Bool(true)));
            b.push(Op::Or([x, t].into()))
        }),
        "true"
    );
}

#[test]
fn what_may_fail_before_the_deciding_constant_stays() {
    let kept = root(|b| {
        let (x, f) = (risky(b), b.push(Op::Bool(false)));
        b.push(Op::And([x, f].into()))
    });
    assert!(kept.starts_with("and"), "{kept}");
    let kept = root(|b| {
        let (x, t) = (unknown(b), b.push(Op::Bool(true)));
        b.push(Op::Or([x, t].into()))
    });
    assert!(kept.starts_with("or"), "{kept}");
}

#[test]
fn a_double_negation_of_a_boolean_goes_and_of_anything_else_stays() {
    assert_eq!(
        root(|b| {
            let x = boolean(b);
            let not = b.push(Op::Unary(UnaryOp::Not, x));
            b.push(Op::Unary(UnaryOp::Not, not))
        }),
        "const c0"
    );
    let kept = root(|b| {
        let not = risky(b);
        b.push(Op::Unary(UnaryOp::Not, not))
    });
    assert!(kept.starts_with("not"), "{kept}");
}

#[test]
fn equality_of_a_node_with_itself_is_true_unless_it_may_fail() {
    assert_eq!(
        root(|b| {
            let x = b.push(Op::Var(Var::Principal));
            b.push(Op::Binary(BinaryOp::Eq, x, x))
        }),
        "true"
    );
    let kept = root(|b| {
        let x = unknown(b);
        b.push(Op::Binary(BinaryOp::Eq, x, x))
    });
    assert!(kept.starts_with("eq"), "{kept}");
}

#[test]
fn values_of_different_types_differ() {
    assert_eq!(
        root(|b| {
            let (x, y) = (
                b.push(Op::Var(Var::Principal)),
                b.push(Op::Var(Var::Context)),
            );
            b.push(Op::Binary(BinaryOp::Eq, x, y))
        }),
        "false"
    );
}

#[test]
fn policies_alike_but_for_constants_get_equal_bodies() {
    let body = |extra: bool| {
        let mut b = BodyBuilder::new();
        if extra {
            // A constant that folding made useless.
            boolean(&mut b);
        }
        let principal = b.push(Op::Var(Var::Principal));
        let c = b.constant(ConstKind::Value(Type::Entity));
        let entity = b.push(Op::Const(c));
        let root = b.push(Op::Binary(BinaryOp::Eq, principal, entity));
        b.finish(root)
    };
    let ((plain, used), (other, used_other)) = (body(false), body(true));
    assert_eq!(plain, other);
    assert_eq!((used[0].0, used_other[0].0), (0, 1));
}
