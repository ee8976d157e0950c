//! The verifier rejects a violation of each invariant that it lists.

use cedarjit_ir::expr::{Body, ConstKind, Type};
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::text::parse;
use cedarjit_ir::verify::{VerifyError, verify};

fn check(text: &str) -> Result<(), VerifyError> {
    verify(&parse(text).unwrap())
}

#[test]
fn a_sound_body_passes() {
    check(
        "consts c0: entity, c1: pattern, c2: type
         v0: entity = principal
         v1: entity = const c0
         v2: bool = in v0, v1
         v3: any! = get_attr v0, \"name\"
         v4: bool! = like v3, c1
         v5: bool = is v0, c2
         v6: bool! = and v2, v4, v5
         return v6",
    )
    .unwrap();
}

#[test]
fn operands_precede_their_users() {
    let late = check("v0: bool = not v1\nv1: bool = true\nreturn v0");
    assert!(matches!(late, Err(VerifyError::OperandOrder { .. })));
    let own = check("v0: bool = not v0\nreturn v0");
    assert!(matches!(own, Err(VerifyError::OperandOrder { .. })));
}

#[test]
fn the_root_exists() {
    let outside = check("v0: bool = true\nreturn v1");
    assert_eq!(outside, Err(VerifyError::Root(NodeId(1))));
}

#[test]
fn constants_have_an_exact_type() {
    let mut body = parse("v0: bool = true\nreturn v0").unwrap();
    body.consts.push(ConstKind::Value(Type::Any));
    assert!(matches!(verify(&body), Err(VerifyError::UntypedConst(_))));
}

#[test]
fn constants_are_of_the_kind_their_user_needs() {
    for text in [
        "v0: long = const c0\nreturn v0",
        "consts c0: pattern\nv0: string = const c0\nreturn v0",
        "consts c0: type\nv0: string = const c0\nreturn v0",
        "consts c0: string, c1: type\nv0: string = const c0\nv1: bool = like v0, c1\nreturn v1",
        "consts c0: pattern\nv0: entity = principal\nv1: bool = is v0, c0\nreturn v1",
    ] {
        assert!(
            matches!(check(text), Err(VerifyError::IllFormed(_))),
            "{text}"
        );
    }
}

#[test]
fn and_or_and_calls_have_their_operands() {
    for text in [
        "v0: bool = and\nreturn v0",
        "v0: bool = or\nreturn v0",
        "v0: record = context\nv1: ipaddr! = call ip v0, v0\nreturn v1",
        "v0: bool! = call isInRange\nreturn v0",
    ] {
        assert!(
            matches!(check(text), Err(VerifyError::IllFormed(_))),
            "{text}"
        );
    }
}

#[test]
fn types_and_failures_follow_the_typing_rules() {
    let wrong = check("v0: long = principal\nreturn v0");
    assert!(matches!(wrong, Err(VerifyError::WrongType { .. })));
    let wrong = check("v0: entity = principal\nv1: any = get_attr v0, \"a\"\nreturn v1");
    assert!(matches!(
        wrong,
        Err(VerifyError::WrongFailure {
            recorded: false,
            ..
        })
    ));
    let wrong = check("v0: entity! = principal\nreturn v0");
    assert!(matches!(
        wrong,
        Err(VerifyError::WrongFailure { recorded: true, .. })
    ));
}

#[test]
fn what_is_read_from_an_entity_may_have_the_schemas_type() {
    check(
        "consts c0: long
         v0: entity = principal
         v1: long! = get_attr v0, \"age\"
         v2: long = const c0
         v3: bool! = less v1, v2
         return v3",
    )
    .unwrap();
}

#[test]
fn record_attributes_ascend() {
    for fields in ["\"b\": v0, \"a\": v0", "\"a\": v0, \"a\": v0"] {
        let text = format!("v0: entity = principal\nv1: record = record {fields}\nreturn v1");
        assert!(
            matches!(check(&text), Err(VerifyError::RecordOrder(_))),
            "{text}"
        );
    }
}

#[test]
fn no_node_computes_what_another_does() {
    let twice = check("v0: entity = principal\nv1: entity = principal\nreturn v1");
    assert_eq!(twice, Err(VerifyError::Duplicate(NodeId(1))));
}

#[test]
fn an_empty_body_has_no_root() {
    let body = Body {
        consts: Vec::new(),
        nodes: Vec::new(),
        root: NodeId(0),
    };
    assert_eq!(verify(&body), Err(VerifyError::Root(NodeId(0))));
}
