//! HIR as Cedar's own text, to be read again.

use super::syntax::{self, Quoted};
use super::{ActionConstraint, Effect, EntityRef, Expr, Literal, Policy, ScopeConstraint, Slot};
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

impl<'a> AsCedar<'a> {
    fn of(&self, expr: &'a Expr) -> String {
        let interner = self.interner;
        Expression { expr, interner }.text()
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

/// An expression.
struct Expression<'a> {
    expr: &'a Expr,
    interner: &'a Interner,
}

impl<'a> Expression<'a> {
    fn of(&self, expr: &'a Expr) -> String {
        let interner = self.interner;
        Self { expr, interner }.text()
    }

    fn all(&self, exprs: &'a [Expr]) -> Vec<String> {
        exprs.iter().map(|expr| self.of(expr)).collect()
    }

    fn name(&self, id: StrId) -> &'a str {
        self.interner.str(id)
    }

    fn literal(&self, literal: Literal) -> String {
        match literal {
            Literal::Bool(b) => b.to_string(),
            Literal::Long(i) => syntax::long(i),
            Literal::String(s) => Quoted(self.name(s)).to_string(),
            Literal::Entity(e) => Reference(EntityRef::Entity(e), self.interner).to_string(),
        }
    }

    /// `base has a.b.c`; where names are no identifiers, `base has "a" && base["a"] has "b"`.
    fn has(&self, base: &'a Expr, path: &[StrId]) -> String {
        let names = || path.iter().map(|name| self.name(*name));
        let mut base = self.of(base);
        if path.len() > 1 && names().all(is_identifier) {
            let path: Vec<&str> = names().collect();
            return format!("({base} has {})", path.join("."));
        }
        let tests = names().map(|name| {
            let test = syntax::has(&base, name);
            base = syntax::attribute(&base, name);
            test
        });
        let tests: Vec<String> = tests.collect();
        match &tests[..] {
            [one] => one.clone(),
            more => syntax::and(more),
        }
    }

    fn text(&self) -> String {
        match self.expr {
            Expr::Literal(literal) => self.literal(*literal),
            Expr::Var(var) => var.name().to_owned(),
            Expr::Unary(op, a) => syntax::unary(*op, &self.of(a)),
            Expr::Binary(op, a, b) => syntax::binary(*op, &self.of(a), &self.of(b)),
            Expr::And(items) => syntax::and(&self.all(items)),
            Expr::Or(items) => syntax::or(&self.all(items)),
            Expr::If(c, t, e) => syntax::choice(&self.of(c), &self.of(t), &self.of(e)),
            Expr::GetAttr(base, attr) => syntax::attribute(&self.of(base), self.name(*attr)),
            Expr::Has(base, path) => self.has(base, path),
            Expr::Like(text, pattern) => syntax::like(&self.of(text), pattern),
            Expr::Is(entity, ty, within) => {
                let within = within.as_ref().map(|within| self.of(within));
                let ty = self.name(ty.name());
                syntax::is(&self.of(entity), ty, within.as_deref())
            }
            Expr::Set(items) => syntax::set(&self.all(items)),
            Expr::Record(fields) => {
                let fields = fields.iter();
                syntax::record(fields.map(|(key, value)| (self.name(*key), self.of(value))))
            }
            Expr::Call(func, args) => syntax::call(*func, &self.all(args)),
        }
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
