//! HIR as text, for people: an indented tree, one node a line.

use super::syntax::{binary_name, unary_name};
use super::{ActionConstraint, Effect, EntityRef, Expr, Literal, Policy, ScopeConstraint, Slot};
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use std::fmt;

/// A policy together with the interner that names its ids; displays as an indented tree.
#[derive(Clone, Copy, Debug)]
pub struct Printed<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its interner.
    pub interner: &'a Interner,
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = self.policy;
        let mut printer = Printer {
            interner: self.interner,
            out: f,
            indent: 1,
        };
        let effect = match policy.effect {
            Effect::Permit => "permit",
            Effect::Forbid => "forbid",
        };
        writeln!(printer.out, "{effect} {}", policy.id)?;
        for (name, value) in &policy.annotations {
            printer.line(format_args!("annotation {name} = {value:?}"))?;
        }
        printer.scope("principal", &policy.principal)?;
        printer.action(&policy.action)?;
        printer.scope("resource", &policy.resource)?;
        for condition in &policy.conditions {
            let kind = if condition.unless { "unless" } else { "when" };
            printer.line(format_args!("{kind}"))?;
            printer.nested(&condition.body)?;
        }
        Ok(())
    }
}

struct Printer<'a, 'f, 'g> {
    interner: &'a Interner,
    out: &'f mut fmt::Formatter<'g>,
    indent: usize,
}

impl Printer<'_, '_, '_> {
    fn line(&mut self, text: fmt::Arguments<'_>) -> fmt::Result {
        for _ in 0..self.indent {
            write!(self.out, "  ")?;
        }
        writeln!(self.out, "{text}")
    }

    fn nested(&mut self, expr: &Expr) -> fmt::Result {
        self.indent += 1;
        let done = self.expr(expr);
        self.indent -= 1;
        done
    }

    fn entity(&self, id: EntityId) -> String {
        match self.interner.entity(id) {
            Some((ty, eid)) => format!("{}::{:?}", self.type_name(ty), self.interner.str(eid)),
            None => id.to_string(),
        }
    }

    fn type_name(&self, ty: TypeId) -> &str {
        self.interner.str(ty.name())
    }

    fn entity_ref(&self, entity: EntityRef) -> String {
        match entity {
            EntityRef::Entity(id) => self.entity(id),
            EntityRef::Slot(Slot::Principal) => "?principal".to_owned(),
            EntityRef::Slot(Slot::Resource) => "?resource".to_owned(),
        }
    }

    fn scope(&mut self, var: &str, constraint: &ScopeConstraint) -> fmt::Result {
        let text = match *constraint {
            ScopeConstraint::Any => "any".to_owned(),
            ScopeConstraint::Eq(e) => format!("== {}", self.entity_ref(e)),
            ScopeConstraint::In(e) => format!("in {}", self.entity_ref(e)),
            ScopeConstraint::Is(ty) => format!("is {}", self.type_name(ty)),
            ScopeConstraint::IsIn(ty, e) => {
                format!("is {} in {}", self.type_name(ty), self.entity_ref(e))
            }
        };
        self.line(format_args!("{var} {text}"))
    }

    fn action(&mut self, constraint: &ActionConstraint) -> fmt::Result {
        let text = match constraint {
            ActionConstraint::Any => "any".to_owned(),
            ActionConstraint::Eq(e) => format!("== {}", self.entity(*e)),
            ActionConstraint::In(list) => {
                let list: Vec<String> = list.iter().map(|e| self.entity(*e)).collect();
                format!("in [{}]", list.join(", "))
            }
        };
        self.line(format_args!("action {text}"))
    }

    fn name(&self, id: StrId) -> String {
        format!("{:?}", self.interner.str(id))
    }

    fn all<'e>(&mut self, head: &str, items: impl IntoIterator<Item = &'e Expr>) -> fmt::Result {
        self.line(format_args!("{head}"))?;
        for item in items {
            self.nested(item)?;
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> fmt::Result {
        match expr {
            Expr::Literal(literal) => {
                let text = match *literal {
                    Literal::Bool(b) => b.to_string(),
                    Literal::Long(i) => i.to_string(),
                    Literal::String(s) => self.name(s),
                    Literal::Entity(e) => self.entity(e),
                };
                self.line(format_args!("{text}"))
            }
            Expr::Var(var) => self.line(format_args!("{}", var.name())),
            Expr::Unary(op, a) => self.all(unary_name(*op), [&**a]),
            Expr::Binary(op, a, b) => self.all(binary_name(*op), [&**a, &**b]),
            Expr::And(items) => self.all("&&", items),
            Expr::Or(items) => self.all("||", items),
            Expr::If(c, t, e) => self.all("if", [&**c, &**t, &**e]),
            Expr::GetAttr(base, attr) => {
                let head = format!("attr {}", self.name(*attr));
                self.all(&head, [&**base])
            }
            Expr::Has(base, path) => {
                let path: Vec<String> = path.iter().map(|a| self.name(*a)).collect();
                self.all(&format!("has {}", path.join(".")), [&**base])
            }
            Expr::Like(text, pattern) => self.all(&format!("like \"{pattern}\""), [&**text]),
            Expr::Is(entity, ty, within) => {
                let mut head = format!("is {}", self.type_name(*ty));
                if within.is_some() {
                    head.push_str(" in");
                }
                self.all(&head, std::iter::once(&**entity).chain(within.as_deref()))
            }
            Expr::Set(items) => self.all("set", items),
            Expr::Record(fields) => {
                self.line(format_args!("record"))?;
                self.indent += 1;
                for (key, value) in fields {
                    let key = self.name(*key);
                    self.all(&key, [value])?;
                }
                self.indent -= 1;
                Ok(())
            }
            Expr::Call(func, args) => self.all(func.name(), args),
        }
    }
}
