//! The printer and the parser of the textual IR are inverse to each other.

use cedarjit_ir::builder::BodyBuilder;
use cedarjit_ir::expr::{BinaryOp, Body, ConstKind, Op, Type, UnaryOp, Var};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::text::parse;
use cedarjit_ir::verify::verify;

/// A body with every operator.
fn everything() -> Body {
    let mut b = BodyBuilder::new();
    let vars: Vec<NodeId> = Var::ALL.iter().map(|v| b.push(Op::Var(*v))).collect();
    let mut consts = Vec::new();
    for ty in Type::ALL {
        if ty != Type::Any {
            let c = b.constant(ConstKind::Value(ty));
            consts.push(b.push(Op::Const(c)));
        }
    }
    let pattern = b.constant(ConstKind::Pattern);
    let entity_type = b.constant(ConstKind::EntityType);
    let mut all = vars.clone();
    all.extend(consts.clone());
    for op in UnaryOp::ALL {
        all.push(b.push(Op::Unary(op, consts[1])));
    }
    for op in BinaryOp::ALL {
        all.push(b.push(Op::Binary(op, vars[0], consts[1])));
    }
    for func in ExtFn::ALL {
        let args = consts[..func.arity()].to_vec();
        all.push(b.push(Op::Call(func, args.into())));
    }
    for attr in [
        "plain",
        "with space",
        "qu\"ote",
        "back\\slash",
        "",
        "ünï\u{7f}\n☃\0",
    ] {
        all.push(b.push(Op::GetAttr(vars[0], attr.into())));
        all.push(b.push(Op::HasAttr(vars[3], attr.into())));
    }
    all.push(b.push(Op::Like(consts[2], pattern)));
    all.push(b.push(Op::Is(vars[2], entity_type)));
    all.push(b.push(Op::If(consts[0], vars[0], vars[1])));
    all.push(b.push(Op::Set([].into())));
    all.push(b.push(Op::Record([].into())));
    all.push(b.push(Op::Record(
        [("a".into(), vars[0]), ("b c".into(), vars[1])].into(),
    )));
    let set = b.push(Op::Set(all.into()));
    let and = b.push(Op::And([set, consts[0]].into()));
    let root = b.push(Op::Or([and, set].into()));
    b.finish(root).0
}

#[test]
fn every_operator_survives_printing_and_parsing() {
    let body = everything();
    verify(&body).unwrap();
    let text = body.to_string();
    let again = parse(&text).unwrap();
    assert_eq!(body, again, "{text}");
    assert_eq!(text, again.to_string());
}

#[test]
fn an_error_names_its_line() {
    for (text, line) in [
        ("", 0),
        ("v0: bool = true", 1),
        ("v0: bool = true\nreturn v0\nreturn v0", 3),
        ("v1: bool = true\nreturn v1", 1),
        ("v0: bool = maybe\nreturn v0", 1),
        ("v0: bool = true\nv1: bool = and v0,\nreturn v1", 2),
        (
            "v0: entity = principal\nv1: any! = get_attr v0, \"a\nreturn v1",
            2,
        ),
        ("consts c0: thing\nv0: bool = true\nreturn v0", 1),
        ("v0: bool = true extra\nreturn v0", 1),
    ] {
        assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
    }
}
