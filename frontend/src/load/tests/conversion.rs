//! Each form of syntax, and what it becomes.

use super::arity::Tree;
use super::*;
use crate::hir::{
    ActionConstraint, BinaryOp, Effect, Expr, Literal, ScopeConstraint, UnaryOp, Var,
};
use crate::limits::{MAX_EXPR_DEPTH, with_big_stack};
use cedar_policy::pst;
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::pattern::Pattern;

/// The one condition of a policy.
struct Loaded {
    interner: Interner,
    expr: Expr,
}

impl Loaded {
    fn str(&self, s: &str) -> StrId {
        self.interner.find_str(s).unwrap()
    }

    fn ty(&self, name: &str) -> TypeId {
        TypeId::of_name(self.str(name))
    }

    fn entity(&self, ty: &str, id: &str) -> EntityId {
        self.interner.find_entity(ty, id).unwrap()
    }
}

fn condition(text: &str) -> Loaded {
    let mut interner = Interner::new();
    let loaded = super::load(&super::policy(text), &mut interner).unwrap();
    let condition = &loaded[0].policy.conditions[0];
    assert!(!condition.unless);
    Loaded {
        expr: condition.body.clone(),
        interner,
    }
}

fn long(n: i64) -> Expr {
    Expr::Literal(Literal::Long(n))
}

fn truth(b: bool) -> Expr {
    Expr::Literal(Literal::Bool(b))
}

fn context() -> Box<Expr> {
    Box::new(Expr::Var(Var::Context))
}

fn attr(loaded: &Loaded, name: &str) -> Expr {
    Expr::GetAttr(context(), loaded.str(name))
}

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    Expr::Binary(op, Box::new(a), Box::new(b))
}

fn unary(op: UnaryOp, a: Expr) -> Expr {
    Expr::Unary(op, Box::new(a))
}

#[test]
fn literals_and_variables() {
    assert_eq!(condition("true").expr, truth(true));
    assert_eq!(condition("42").expr, long(42));
    assert_eq!(condition("-9223372036854775808").expr, long(i64::MIN));
    let string = condition("\"a\\n\\u{e9}\"");
    let expected = Literal::String(string.str("a\né"));
    assert_eq!(string.expr, Expr::Literal(expected));
    let entity = condition("A::B::\"c \\\"d\"");
    let expected = Literal::Entity(entity.entity("A::B", "c \"d"));
    assert_eq!(entity.expr, Expr::Literal(expected));
    for (text, var) in [
        ("principal", Var::Principal),
        ("action", Var::Action),
        ("resource", Var::Resource),
        ("context", Var::Context),
    ] {
        assert_eq!(condition(text).expr, Expr::Var(var));
    }
}

#[test]
fn core_operators() {
    for (text, op) in [
        ("==", BinaryOp::Eq),
        ("<", BinaryOp::Less),
        ("<=", BinaryOp::LessEq),
        ("+", BinaryOp::Add),
        ("-", BinaryOp::Sub),
        ("*", BinaryOp::Mul),
        ("in", BinaryOp::In),
    ] {
        let loaded = condition(&format!("1 {text} context.a"));
        let right = attr(&loaded, "a");
        assert_eq!(loaded.expr, binary(op, long(1), right), "{text}");
    }
    for (text, op) in [
        ("!=", BinaryOp::Eq),
        (">", BinaryOp::LessEq),
        (">=", BinaryOp::Less),
    ] {
        let loaded = condition(&format!("1 {text} 2"));
        let positive = binary(op, long(1), long(2));
        assert_eq!(loaded.expr, unary(UnaryOp::Not, positive), "{text}");
    }
    let negated = condition("-context.a");
    assert_eq!(negated.expr, unary(UnaryOp::Neg, attr(&negated, "a")));
    let negated = condition("!context.a");
    assert_eq!(negated.expr, unary(UnaryOp::Not, attr(&negated, "a")));
    for (text, op) in [
        ("contains", BinaryOp::Contains),
        ("containsAll", BinaryOp::ContainsAll),
        ("containsAny", BinaryOp::ContainsAny),
        ("getTag", BinaryOp::GetTag),
        ("hasTag", BinaryOp::HasTag),
    ] {
        let loaded = condition(&format!("context.{text}(1)"));
        assert_eq!(loaded.expr, binary(op, *context(), long(1)), "{text}");
    }
    let empty = condition("context.isEmpty()");
    assert_eq!(empty.expr, unary(UnaryOp::IsEmpty, *context()));
}

#[test]
fn chains_are_flat_however_they_nest() {
    let loaded = condition("context.a && (context.b && context.c) && context.d");
    let operands = ["a", "b", "c", "d"].map(|name| attr(&loaded, name));
    assert_eq!(loaded.expr, Expr::And(operands.to_vec()));
    let loaded = condition("context.a || context.b && context.c || context.d");
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| attr(&loaded, name));
    assert_eq!(loaded.expr, Expr::Or(vec![a, Expr::And(vec![b, c]), d]));
    // Literals stay: they have a type to check.
    let loaded = condition("true && 1");
    assert_eq!(loaded.expr, Expr::And(vec![truth(true), long(1)]));
}

#[test]
fn attributes() {
    let loaded = condition("context.a[\"if\"][\"b c\"]");
    let path = ["a", "if", "b c"].map(|name| loaded.str(name));
    let expected = path
        .into_iter()
        .fold(context(), |expr, name| Box::new(Expr::GetAttr(expr, name)));
    assert_eq!(loaded.expr, *expected);
    let loaded = condition("context has a");
    assert_eq!(loaded.expr, Expr::Has(context(), vec![loaded.str("a")]));
    let loaded = condition("context has \"b c\"");
    assert_eq!(loaded.expr, Expr::Has(context(), vec![loaded.str("b c")]));
    let loaded = condition("context has a.b.c");
    let path = ["a", "b", "c"].map(|name| loaded.str(name));
    assert_eq!(loaded.expr, Expr::Has(context(), path.to_vec()));
}

#[test]
fn like_is_and_if() {
    let loaded = condition("context.a like \"x*\\*é\"");
    let pattern = Pattern::parse("x*\\*é").unwrap();
    let expected = Expr::Like(Box::new(attr(&loaded, "a")), Arc::new(pattern));
    assert_eq!(loaded.expr, expected);
    let loaded = condition("context is A::B");
    assert_eq!(loaded.expr, Expr::Is(context(), loaded.ty("A::B"), None));
    let loaded = condition("context is A in context.a");
    let within = Some(Box::new(attr(&loaded, "a")));
    assert_eq!(loaded.expr, Expr::Is(context(), loaded.ty("A"), within));
    let loaded = condition("if context.a then 1 else 2");
    let [then, other] = [1, 2].map(|n| Box::new(long(n)));
    let expected = Expr::If(Box::new(attr(&loaded, "a")), then, other);
    assert_eq!(loaded.expr, expected);
}

#[test]
fn sets_and_records() {
    assert_eq!(condition("[]").expr, Expr::Set(vec![]));
    let loaded = condition("[2, 1, 2]");
    assert_eq!(loaded.expr, Expr::Set(vec![long(2), long(1), long(2)]));
    let loaded = condition("{b: 1, \"a c\": 2, B: 3}");
    let fields = [("B", 3), ("a c", 2), ("b", 1)];
    let fields = fields.map(|(key, n)| (loaded.str(key), long(n)));
    assert_eq!(loaded.expr, Expr::Record(fields.to_vec()));
}

#[test]
fn every_extension_function() {
    for f in ExtFn::ALL {
        let (text, arguments) = match (f.is_constructor(), f.arity()) {
            (true, _) => (format!("{}(context)", f.name()), vec![*context()]),
            (false, 1) => (format!("context.{}()", f.name()), vec![*context()]),
            _ => (
                format!("context.{}(1)", f.name()),
                vec![*context(), long(1)],
            ),
        };
        assert_eq!(condition(&text).expr, Expr::Call(f, arguments), "{text}");
    }
}

/// A call with a wrong number of arguments fails when it is evaluated, not when it is loaded.
#[test]
fn calls_of_a_wrong_arity() {
    let loaded = condition("ip(1, context).isInRange()");
    let call = Expr::Call(ExtFn::Ip, vec![long(1), *context()]);
    assert_eq!(loaded.expr, Expr::Call(ExtFn::IsInRange, vec![call]));
    let loaded = condition("[ip(), {\"Value\": ip()}, {ip: [1]}, {Value: {ip: [1]}}]");
    let call = || Expr::Call(ExtFn::Ip, vec![]);
    let ip = Expr::Record(vec![(loaded.str("ip"), Expr::Set(vec![long(1)]))]);
    let value = |value| Expr::Record(vec![(loaded.str("Value"), value)]);
    let expected = vec![call(), value(call()), ip.clone(), value(ip)];
    assert_eq!(loaded.expr, Expr::Set(expected));
    // In the JSON form a literal record may look like a call.
    let json = r#"{"effect": "permit", "principal": {"op": "All"}, "action": {"op": "All"},
        "resource": {"op": "All"}, "conditions": [{"kind": "when", "body": {"Set": [
            {"ip": []}, {"Value": {"ip": [1, 2]}}, {"Value": {"decimal": {"Value": 1}}}]}}]}"#;
    let set = parse_policies_json(json, "a.json").unwrap();
    let mut interner = Interner::new();
    let loaded = load_policy_set(&set, &mut interner).unwrap();
    let str = |s| interner.find_str(s).unwrap();
    let set = Expr::Set(vec![long(1), long(2)]);
    let value = Expr::Record(vec![(str("Value"), long(1))]);
    let expected = vec![
        Expr::Call(ExtFn::Ip, vec![]),
        Expr::Record(vec![(str("ip"), set)]),
        Expr::Record(vec![(str("decimal"), value)]),
    ];
    assert_eq!(loaded[0].policy.conditions[0].body, Expr::Set(expected));
}

#[test]
fn scopes() {
    let mut interner = Interner::new();
    let loaded = super::load(
        "permit (principal == A::\"x\", action == Action::\"v\", resource is R);
         @note(\"n\") @empty
         forbid (principal in A::\"x\", action in [Action::\"v\", Action::\"w\"], resource is R in A::\"y\")
           when { 1 == 1 } unless { 2 == 2 };
         permit (principal, action in Action::\"v\", resource);",
        &mut interner,
    )
    .unwrap();
    let entity = |ty, id| interner.find_entity(ty, id).unwrap();
    let named = |id| EntityRef::Entity(entity("A", id));
    let ty = TypeId::of_name(interner.find_str("R").unwrap());
    let [first, second, third] = [0, 1, 2].map(|i| &*loaded[i].policy);
    assert_eq!(first.effect, Effect::Permit);
    assert_eq!(first.principal, ScopeConstraint::Eq(named("x")));
    assert_eq!(first.resource, ScopeConstraint::Is(ty));
    let (v, w) = (entity("Action", "v"), entity("Action", "w"));
    assert_eq!(first.action, ActionConstraint::Eq(v));
    assert!(first.conditions.is_empty() && first.annotations.is_empty());
    assert_eq!(second.effect, Effect::Forbid);
    assert_eq!(second.principal, ScopeConstraint::In(named("x")));
    assert_eq!(second.action, ActionConstraint::In(vec![v, w]));
    assert_eq!(second.resource, ScopeConstraint::IsIn(ty, named("y")));
    let unless: Vec<_> = second.conditions.iter().map(|c| c.unless).collect();
    assert_eq!(unless, [false, true]);
    let annotations = [("empty", ""), ("note", "n")].map(|(k, v)| (k.into(), v.into()));
    assert_eq!(second.annotations, annotations);
    assert_eq!(third.principal, ScopeConstraint::Any);
    assert_eq!(third.action, ActionConstraint::In(vec![v]));
    assert_eq!(third.resource, ScopeConstraint::Any);
}

#[test]
fn links_share_their_template() {
    let mut set = parse_policies(
        "@id(\"t\") permit (principal == ?principal, action, resource in ?resource) when { 1 == 1 };
         @id(\"s\") permit (principal, action, resource is R in ?resource);
         @id(\"m\") permit (principal, action, resource);",
        "test.cedar",
    )
    .unwrap();
    let links = r#"[
        {"template_id": "t", "link_id": "l2", "args": {"?principal": "A::\"x\"", "?resource": "A::\"y\""}},
        {"template_id": "t", "link_id": "l1", "args": {"?principal": "B::C::\"z\"", "?resource": "A::\"y\""}},
        {"template_id": "s", "link_id": "l3", "args": {"?resource": "A::\"x\""}}]"#;
    link(&mut set, links, "links.json").unwrap();
    let mut interner = Interner::new();
    let loaded = load_policy_set(&set, &mut interner).unwrap();
    let ids: Vec<_> = loaded.iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, ["l1", "l2", "l3", "m"]);
    assert!(Arc::ptr_eq(&loaded[0].policy, &loaded[1].policy));
    let template = &loaded[0].policy;
    assert_eq!(template.id, "t");
    let [principal, resource] = [Slot::Principal, Slot::Resource].map(EntityRef::Slot);
    assert_eq!(template.principal, ScopeConstraint::Eq(principal));
    assert_eq!(template.resource, ScopeConstraint::In(resource));
    let entity = |ty, id| interner.find_entity(ty, id);
    assert_eq!(loaded[0].slots.principal, entity("B::C", "z"));
    assert_eq!(loaded[1].slots.principal, entity("A", "x"));
    assert_eq!(loaded[1].slots.resource, entity("A", "y"));
    assert_eq!(loaded[2].slots.principal, None);
    assert_eq!(loaded[2].slots.resource, entity("A", "x"));
    assert_eq!(loaded[3].slots, SlotBindings::default());

    let find = |id: &str| {
        set.policies()
            .find(|p| p.id().as_ref() as &str == id)
            .unwrap()
    };
    let body = set
        .templates()
        .find(|t| t.id().as_ref() as &str == "t")
        .unwrap();
    let body = load_template(body, &mut interner).unwrap();
    assert_eq!(body, *template);
    let again = load_link(find("l1"), &body, &mut interner).unwrap();
    assert_eq!(again.slots, loaded[0].slots);
    let wrong = load_link(find("l3"), &body, &mut interner).unwrap_err();
    assert!(matches!(wrong.kind(), LoadErrorKind::NoTemplate { .. }));
    assert_eq!(wrong.policy(), Some("l3"));
    let wrong = load_link(find("m"), &body, &mut interner).unwrap_err();
    assert!(matches!(wrong.kind(), LoadErrorKind::WrongKind { .. }));
    let wrong = load_policy(find("l1"), &mut interner).unwrap_err();
    assert!(matches!(wrong.kind(), LoadErrorKind::WrongKind { .. }));
    assert_eq!(load_policy(find("m"), &mut interner).unwrap().id, "m");
}

#[test]
fn depth_is_bounded() {
    let mut interner = Interner::new();
    // The chain of sums is one deeper than the number of its operators.
    let sum = |operators: usize| super::policy(&format!("1{}", " + 1".repeat(operators)));
    assert!(super::load(&sum(MAX_EXPR_DEPTH - 1), &mut interner).is_ok());
    let error = super::load(&sum(MAX_EXPR_DEPTH), &mut interner).unwrap_err();
    assert!(matches!(error.kind(), LoadErrorKind::TooDeep { .. }));
    assert_eq!(error.policy(), Some("policy0"));
    let message = error.to_string();
    assert_eq!(
        message,
        "policy `policy0`: expressions nest more than 256 deep"
    );
    // Parentheses are not expressions, and chains of `&&` are one level.
    let parens = format!("{}1 == 1{}", "(".repeat(300), ")".repeat(300));
    assert!(super::load(&super::policy(&parens), &mut interner).is_ok());
    let chain = vec!["context.a == 1"; 2000].join(" && ");
    assert!(super::load(&super::policy(&chain), &mut interner).is_ok());
}

fn tree(body: pst::Template) -> Tree {
    Tree { body, marker: None }
}

/// A chain that nests to the left and one that nests to the right, by turns.
fn long_chain(n: usize) -> pst::Expr {
    let and = |left, right| pst::Expr::BinaryOp {
        op: pst::BinaryOp::And,
        left: Arc::new(left),
        right: Arc::new(right),
    };
    let operand = |i| pst::Expr::Literal(pst::Literal::Long(i));
    (1..n as i64).fold(operand(0), |chain, i| match i % 2 {
        0 => and(chain, operand(i)),
        _ => and(operand(i), chain),
    })
}

#[test]
fn conversion_does_not_recurse_along_chains() {
    let n = 100_000;
    // Dropping the chain recurses, so that is done on the large stack, too.
    let operands = with_big_stack(|| {
        let template = pst::Template::new(
            "p",
            pst::Effect::Permit,
            pst::PrincipalConstraint::Any,
            pst::ActionConstraint::Any,
            pst::ResourceConstraint::Any,
        );
        let chain = Arc::new(long_chain(n));
        let clause = pst::Clause::When(chain);
        let tree = tree(template.try_with_clauses([clause]).unwrap());
        std::thread::scope(|scope| {
            // A stack on which recursion along the chain would overflow.
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            let convert = || convert::policy(&tree, "p".into(), &mut Interner::new());
            thread.spawn_scoped(scope, convert).unwrap().join().unwrap()
        })
    });
    let loaded = operands.unwrap().unwrap();
    let Expr::And(operands) = &loaded.conditions[0].body else {
        panic!("not a chain");
    };
    assert_eq!(operands.len(), n);
}

#[test]
fn what_is_not_known_is_refused() {
    let template = pst::Template::new(
        "p",
        pst::Effect::Permit,
        pst::PrincipalConstraint::Eq(pst::EntityOrSlot::Slot(pst::SlotId::Principal)),
        pst::ActionConstraint::Any,
        pst::ResourceConstraint::Any,
    );
    let tree = tree(template.clone());
    let loaded = convert::policy(&tree, "p".into(), &mut Interner::new()).unwrap();
    let slot = EntityRef::Slot(Slot::Principal);
    assert_eq!(loaded.principal, ScopeConstraint::Eq(slot));
    // cedar-policy's own types refuse slots and unknowns in conditions.
    let slot = pst::Clause::When(Arc::new(pst::Expr::Slot(pst::SlotId::Principal)));
    assert!(template.try_with_clauses([slot]).is_err());
    let error = LoadError::new(
        "p",
        LoadErrorKind::Unsupported {
            what: "this".to_owned(),
        },
        None,
    );
    assert_eq!(error.to_string(), "policy `p`: unsupported: this");
}
