//! HIR as Cedar's own text, to be read again.

use super::{
    ActionConstraint, BinaryOp, Effect, EntityRef, Expr, Literal, Policy, ScopeConstraint, Slot,
    UnaryOp,
};
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use std::fmt;

/// A policy or template together with the interner that names its ids; displays as Cedar text.
///
/// What is read from that text is the same policy, but for its id, which Cedar's syntax has no place
/// for, and for an attribute path whose names are no identifiers, which is written as the tests that
/// it stands for. Recursion is as deep as expressions nest.
#[derive(Clone, Copy, Debug)]
pub struct AsCedar<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its interner.
    pub interner: &'a Interner,
}

impl fmt::Display for AsCedar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy;
        for (name, value) in &policy.annotations {
            writeln!(f, "@{name}({})", Quoted(value))?;
        }
        f.write_str(match policy.effect {
            Effect::Permit => "permit (\n  ",
            Effect::Forbid => "forbid (\n  ",
        })?;
        self.scope(f, "principal", &policy.principal)?;
        f.write_str(",\n  ")?;
        self.action(f, &policy.action)?;
        f.write_str(",\n  ")?;
        self.scope(f, "resource", &policy.resource)?;
        f.write_str("\n)")?;
        for condition in &policy.conditions {
            let kind = if condition.unless { "unless" } else { "when" };
            let body = self.of(&condition.body);
            write!(f, "\n{kind} {{ {body} }}")?;
        }
        f.write_str(";")
    }
}

/// A text as a string literal.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_debug())
    }
}

impl<'a> AsCedar<'a> {
    fn of(&self, expr: &'a Expr) -> Expression<'a> {
        let interner = self.interner;
        Expression { expr, interner }
    }

    fn entity(&self, entity: EntityRef) -> Reference<'a> {
        Reference(entity, self.interner)
    }

    fn scope(
        &self,
        f: &mut fmt::Formatter<'_>,
        var: &str,
        constraint: &ScopeConstraint,
    ) -> fmt::Result {
        let ty = |ty: TypeId| self.interner.str(ty.name());
        match *constraint {
            ScopeConstraint::Any => f.write_str(var),
            ScopeConstraint::Eq(e) => write!(f, "{var} == {}", self.entity(e)),
            ScopeConstraint::In(e) => write!(f, "{var} in {}", self.entity(e)),
            ScopeConstraint::Is(t) => write!(f, "{var} is {}", ty(t)),
            ScopeConstraint::IsIn(t, e) => write!(f, "{var} is {} in {}", ty(t), self.entity(e)),
        }
    }

    fn action(&self, f: &mut fmt::Formatter<'_>, constraint: &ActionConstraint) -> fmt::Result {
        let uid = |id: &EntityId| self.entity(EntityRef::Entity(*id)).to_string();
        match constraint {
            ActionConstraint::Any => f.write_str("action"),
            ActionConstraint::Eq(e) => write!(f, "action == {}", uid(e)),
            ActionConstraint::In(list) => {
                let list: Vec<String> = list.iter().map(uid).collect();
                write!(f, "action in [{}]", list.join(", "))
            }
        }
    }
}

/// An entity uid, or the slot that stands for one.
struct Reference<'a>(EntityRef, &'a Interner);

impl fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interner = self.1;
        match self.0 {
            EntityRef::Slot(Slot::Principal) => f.write_str("?principal"),
            EntityRef::Slot(Slot::Resource) => f.write_str("?resource"),
            EntityRef::Entity(id) => match interner.entity(id) {
                Some((ty, eid)) => {
                    let ty = interner.str(ty.name());
                    write!(f, "{ty}::{}", Quoted(interner.str(eid)))
                }
                None => write!(f, "{id}"),
            },
        }
    }
}

/// An expression, in parentheses where it is not one word or call.
struct Expression<'a> {
    expr: &'a Expr,
    interner: &'a Interner,
}

impl<'a> Expression<'a> {
    fn of(&self, expr: &'a Expr) -> Self {
        let interner = self.interner;
        Self { expr, interner }
    }

    fn name(&self, id: StrId) -> Quoted<'a> {
        Quoted(self.interner.str(id))
    }

    fn list(&self, items: &'a [Expr], between: &str) -> String {
        let items = items.iter().map(|item| self.of(item).to_string());
        items.collect::<Vec<_>>().join(between)
    }

    fn literal(&self, f: &mut fmt::Formatter<'_>, literal: Literal) -> fmt::Result {
        match literal {
            Literal::Bool(b) => write!(f, "{b}"),
            Literal::Long(i) if i < 0 => write!(f, "({i})"),
            Literal::Long(i) => write!(f, "{i}"),
            Literal::String(s) => write!(f, "{}", self.name(s)),
            Literal::Entity(e) => write!(f, "{}", Reference(EntityRef::Entity(e), self.interner)),
        }
    }

    fn binary(
        &self,
        f: &mut fmt::Formatter<'_>,
        op: BinaryOp,
        a: &'a Expr,
        b: &'a Expr,
    ) -> fmt::Result {
        let (a, b) = (self.of(a), self.of(b));
        let infix = match op {
            BinaryOp::Eq => "==",
            BinaryOp::Less => "<",
            BinaryOp::LessEq => "<=",
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::In => "in",
            BinaryOp::Contains => return write!(f, "{a}.contains({b})"),
            BinaryOp::ContainsAll => return write!(f, "{a}.containsAll({b})"),
            BinaryOp::ContainsAny => return write!(f, "{a}.containsAny({b})"),
            BinaryOp::GetTag => return write!(f, "{a}.getTag({b})"),
            BinaryOp::HasTag => return write!(f, "{a}.hasTag({b})"),
        };
        write!(f, "({a} {infix} {b})")
    }

    /// `base has a.b.c`; where names are no identifiers, `base has "a" && base["a"] has "b"`.
    fn has(&self, f: &mut fmt::Formatter<'_>, base: &'a Expr, path: &[StrId]) -> fmt::Result {
        let names = || path.iter().map(|name| self.interner.str(*name));
        let base = self.of(base);
        if path.len() > 1 && names().all(is_identifier) {
            let path: Vec<&str> = names().collect();
            return write!(f, "({base} has {})", path.join("."));
        }
        let mut base = base.to_string();
        let tests = names().map(|name| {
            let name = Quoted(name);
            let test = format!("{base} has {name}");
            base = format!("{base}[{name}]");
            test
        });
        let tests: Vec<String> = tests.collect();
        write!(f, "({})", tests.join(" && "))
    }

    fn call(&self, f: &mut fmt::Formatter<'_>, args: &'a [Expr]) -> fmt::Result {
        write!(f, "({})", self.list(args, ", "))
    }
}

/// Whether a name can be in a path after `has`.
fn is_identifier(name: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "true", "false", "if", "then", "else", "in", "is", "like", "has",
    ];
    let mut chars = name.chars();
    let first = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && !RESERVED.contains(&name)
}

impl fmt::Display for Expression<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.expr {
            Expr::Literal(literal) => self.literal(f, *literal),
            Expr::Var(var) => f.write_str(var.name()),
            Expr::Unary(UnaryOp::Not, a) => write!(f, "(!{})", self.of(a)),
            // Two signs, or a sign and digits, would be read as one literal.
            Expr::Unary(UnaryOp::Neg, a) => write!(f, "(-({}))", self.of(a)),
            Expr::Unary(UnaryOp::IsEmpty, a) => write!(f, "{}.isEmpty()", self.of(a)),
            Expr::Binary(op, a, b) => self.binary(f, *op, a, b),
            Expr::And(items) => write!(f, "({})", self.list(items, " && ")),
            Expr::Or(items) => write!(f, "({})", self.list(items, " || ")),
            Expr::If(c, t, e) => {
                let [c, t, e] = [c, t, e].map(|part| self.of(part));
                write!(f, "(if {c} then {t} else {e})")
            }
            Expr::GetAttr(base, attr) => write!(f, "{}[{}]", self.of(base), self.name(*attr)),
            Expr::Has(base, path) => self.has(f, base, path),
            Expr::Like(text, pattern) => write!(f, "({} like \"{pattern}\")", self.of(text)),
            Expr::Is(entity, ty, within) => {
                let ty = self.interner.str(ty.name());
                write!(f, "({} is {ty}", self.of(entity))?;
                match within {
                    Some(within) => write!(f, " in {})", self.of(within)),
                    None => f.write_str(")"),
                }
            }
            Expr::Set(items) => write!(f, "[{}]", self.list(items, ", ")),
            Expr::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(key, value)| format!("{}: {}", self.name(*key), self.of(value)));
                write!(f, "{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Expr::Call(func, args) => match args.split_first() {
                Some((receiver, rest)) if !func.is_constructor() => {
                    write!(f, "{}.{}", self.of(receiver), func.name())?;
                    self.call(f, rest)
                }
                _ => {
                    f.write_str(func.name())?;
                    self.call(f, args)
                }
            },
        }
    }
}
