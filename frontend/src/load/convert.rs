//! cedar-policy's public syntax tree to HIR.

use super::arity::{Tree, rewritten_call};
use super::error::LoadErrorKind;
use crate::hir::{
    ActionConstraint, BinaryOp, Condition, Effect, EntityRef, Expr, Literal, Policy,
    ScopeConstraint, Slot, SlotBindings, UnaryOp, Var,
};
use crate::limits::MAX_EXPR_DEPTH;
use cedar_policy::{EntityUid, SlotId, pst};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::pattern::{Pattern, PatternElem};
use smol_str::SmolStr;
use std::collections::HashMap;
use std::sync::Arc;

type Result<T> = std::result::Result<T, LoadErrorKind>;

/// Whether a chain is of `&&` or of `||`.
#[derive(Clone, Copy)]
enum Chain {
    And,
    Or,
}

/// What an operator of the public syntax tree is here.
enum Operator {
    Chain(Chain),
    Core(BinaryOp),
    /// The negation of an operator.
    Not(BinaryOp),
    Call(ExtFn),
}

fn unsupported<T>(what: impl Into<String>) -> Result<T> {
    Err(LoadErrorKind::Unsupported { what: what.into() })
}

/// A static policy or a template under the id `id`.
pub(super) fn policy(tree: &Tree, id: SmolStr, interner: &mut Interner) -> Result<Policy> {
    let template = &tree.body;
    let mut converter = Converter {
        interner,
        marker: tree.marker.as_deref(),
    };
    let mut conditions = Vec::with_capacity(template.clauses().len());
    for clause in template.clauses() {
        let (mut unless, body) = match clause {
            pst::Clause::When(body) => (false, body),
            pst::Clause::Unless(body) => (true, body),
        };
        let body = converter.expr(body, 1)?;
        if planted(Fault::LaterClauseKind) {
            unless = conditions.first().map_or(unless, |c: &Condition| c.unless);
        }
        conditions.push(Condition { unless, body });
    }
    Ok(Policy {
        id,
        effect: match template.effect {
            pst::Effect::Permit => Effect::Permit,
            pst::Effect::Forbid => Effect::Forbid,
        },
        principal: converter.principal(&template.principal)?,
        action: converter.action(&template.action)?,
        resource: converter.resource(&template.resource)?,
        conditions,
        annotations: template
            .annotations
            .iter()
            .map(|(name, value)| (name.into(), value.clone()))
            .collect(),
    })
}

/// What a link binds the slots of its template to.
pub(super) fn bindings(
    values: &HashMap<SlotId, EntityUid>,
    interner: &mut Interner,
) -> Result<SlotBindings> {
    let mut bindings = SlotBindings::default();
    for (slot, uid) in values {
        let place = if *slot == SlotId::principal() {
            &mut bindings.principal
        } else if *slot == SlotId::resource() {
            &mut bindings.resource
        } else {
            return unsupported(format!("the slot {slot}"));
        };
        let ty = uid.type_name().to_string();
        *place = Some(interner.intern_entity(&ty, uid.id().unescaped())?);
    }
    if planted(Fault::SlotsExchanged) && values.len() > 1 {
        std::mem::swap(&mut bindings.principal, &mut bindings.resource);
    }
    Ok(bindings)
}

struct Converter<'a> {
    interner: &'a mut Interner,
    /// See [`Tree::marker`].
    marker: Option<&'a str>,
}

impl Converter<'_> {
    fn entity(&mut self, uid: &pst::EntityUID) -> Result<EntityId> {
        Ok(self.interner.intern_entity(&uid.ty.to_string(), &uid.eid)?)
    }

    fn entity_type(&mut self, ty: &pst::EntityType) -> Result<TypeId> {
        let mut name = ty.to_string();
        if planted(Fault::IsIgnoresNamespace) {
            name = name.split("::").last().unwrap_or_default().to_owned();
        }
        let name = self.interner.intern_str(&name)?;
        Ok(TypeId::of_name(name))
    }

    fn entity_ref(&mut self, entity: &pst::EntityOrSlot) -> Result<EntityRef> {
        Ok(match entity {
            pst::EntityOrSlot::Entity(uid) => EntityRef::Entity(self.entity(uid)?),
            pst::EntityOrSlot::Slot(slot) => EntityRef::Slot(match slot {
                pst::SlotId::Principal => Slot::Principal,
                pst::SlotId::Resource => Slot::Resource,
                slot => return unsupported(format!("the slot {slot}")),
            }),
        })
    }

    fn principal(&mut self, constraint: &pst::PrincipalConstraint) -> Result<ScopeConstraint> {
        use pst::PrincipalConstraint as P;
        Ok(match constraint {
            P::Any => ScopeConstraint::Any,
            P::Eq(e) => ScopeConstraint::Eq(self.entity_ref(e)?),
            P::In(e) => ScopeConstraint::In(self.entity_ref(e)?),
            P::Is(ty) => ScopeConstraint::Is(self.entity_type(ty)?),
            P::IsIn(ty, e) => ScopeConstraint::IsIn(self.entity_type(ty)?, self.entity_ref(e)?),
        })
    }

    fn resource(&mut self, constraint: &pst::ResourceConstraint) -> Result<ScopeConstraint> {
        use pst::ResourceConstraint as R;
        Ok(match constraint {
            R::Any => ScopeConstraint::Any,
            R::Eq(e) => ScopeConstraint::Eq(self.entity_ref(e)?),
            R::In(e) => ScopeConstraint::In(self.entity_ref(e)?),
            R::Is(ty) => ScopeConstraint::Is(self.entity_type(ty)?),
            R::IsIn(ty, e) => ScopeConstraint::IsIn(self.entity_type(ty)?, self.entity_ref(e)?),
        })
    }

    fn action(&mut self, constraint: &pst::ActionConstraint) -> Result<ActionConstraint> {
        Ok(match constraint {
            pst::ActionConstraint::Any => ActionConstraint::Any,
            pst::ActionConstraint::Eq(uid) => ActionConstraint::Eq(self.entity(uid)?),
            pst::ActionConstraint::In(uids)
                if uids.is_empty() && planted(Fault::EmptyActionList) =>
            {
                ActionConstraint::Any
            }
            pst::ActionConstraint::In(uids) => {
                let uids = uids.iter().map(|uid| self.entity(uid));
                ActionConstraint::In(uids.collect::<Result<_>>()?)
            }
        })
    }

    /// An expression whose root is at `depth`, the root of a condition being at 1.
    fn expr(&mut self, expr: &pst::Expr, depth: usize) -> Result<Expr> {
        use pst::Expr as E;
        if depth > MAX_EXPR_DEPTH {
            let limit = MAX_EXPR_DEPTH;
            return Err(LoadErrorKind::TooDeep { limit });
        }
        let below = depth + 1;
        Ok(match expr {
            E::Literal(literal) => Expr::Literal(self.literal(literal)?),
            E::Var(var) => Expr::Var(request_var(var)),
            E::UnaryOp { op, expr } => self.unary(*op, expr, below)?,
            E::BinaryOp { op, left, right } => match binary_op(*op)? {
                Operator::Chain(chain) => self.chain(chain, expr, below)?,
                Operator::Core(op) => self.binary(op, left, right, below)?,
                Operator::Not(op) => {
                    let positive = self.binary(op, left, right, below + 1)?;
                    Expr::Unary(UnaryOp::Not, Box::new(positive))
                }
                Operator::Call(f) => Expr::Call(f, self.exprs([left, right], below)?),
            },
            E::GetAttr { expr, attr } => {
                let expr = self.boxed(expr, below)?;
                Expr::GetAttr(expr, self.interner.intern_str(attr)?)
            }
            E::HasAttr { expr, attrs } => {
                let expr = self.boxed(expr, below)?;
                let attrs = attrs.iter().map(|attr| Ok(self.interner.intern_str(attr)?));
                Expr::Has(expr, attrs.collect::<Result<_>>()?)
            }
            E::Like { expr, pattern } => {
                Expr::Like(self.boxed(expr, below)?, Arc::new(like_pattern(pattern)))
            }
            E::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let expr = self.boxed(expr, below)?;
                let ty = self.entity_type(entity_type)?;
                let within = in_expr.as_ref().map(|e| self.boxed(e, below));
                Expr::Is(expr, ty, within.transpose()?)
            }
            E::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => Expr::If(
                self.boxed(cond, below)?,
                self.boxed(then_expr, below)?,
                self.boxed(else_expr, below)?,
            ),
            E::Set(elements) => Expr::Set(self.exprs(elements, below)?),
            E::Record(fields) => match rewritten_call(self.marker, fields) {
                Some((f, args)) => Expr::Call(f, self.exprs(args, below)?),
                None => self.record(fields, below)?,
            },
            E::Slot(slot) => return unsupported(format!("the slot {slot} in a condition")),
            E::Unknown { name } => return unsupported(format!("the unknown `{name}`")),
            _ => return unsupported("an expression of a kind that this version does not know"),
        })
    }

    fn exprs<'e>(
        &mut self,
        exprs: impl IntoIterator<Item = &'e Arc<pst::Expr>>,
        depth: usize,
    ) -> Result<Vec<Expr>> {
        exprs.into_iter().map(|e| self.expr(e, depth)).collect()
    }

    fn boxed(&mut self, expr: &pst::Expr, depth: usize) -> Result<Box<Expr>> {
        Ok(Box::new(self.expr(expr, depth)?))
    }

    fn literal(&mut self, literal: &pst::Literal) -> Result<Literal> {
        Ok(match literal {
            pst::Literal::Bool(b) => Literal::Bool(*b),
            pst::Literal::Long(n) => Literal::Long(*n),
            pst::Literal::String(s) => Literal::String(self.interner.intern_str(s)?),
            pst::Literal::EntityUID(uid) => Literal::Entity(self.entity(uid)?),
            _ => return unsupported("a literal of a kind that this version does not know"),
        })
    }

    fn unary(&mut self, op: pst::UnaryOp, operand: &pst::Expr, depth: usize) -> Result<Expr> {
        let core = match op {
            pst::UnaryOp::Not => UnaryOp::Not,
            pst::UnaryOp::Neg => UnaryOp::Neg,
            pst::UnaryOp::IsEmpty => UnaryOp::IsEmpty,
            op => {
                let f = unary_function(op)?;
                return Ok(Expr::Call(f, vec![self.expr(operand, depth)?]));
            }
        };
        Ok(Expr::Unary(core, self.boxed(operand, depth)?))
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: &pst::Expr,
        right: &pst::Expr,
        depth: usize,
    ) -> Result<Expr> {
        let left = self.boxed(left, depth)?;
        Ok(Expr::Binary(op, left, self.boxed(right, depth)?))
    }

    /// All operands of a chain of one operator, however it nests: `(a && b) && (c && d)` checks
    /// and stops in the same order as `a && b && c && d`. Does not recurse along the chain.
    fn chain(&mut self, chain: Chain, expr: &pst::Expr, depth: usize) -> Result<Expr> {
        let mut operands = Vec::new();
        let mut pending = vec![expr];
        while let Some(expr) = pending.pop() {
            match (chain, expr) {
                (
                    Chain::And,
                    pst::Expr::BinaryOp {
                        op: pst::BinaryOp::And,
                        left,
                        right,
                    },
                )
                | (
                    Chain::Or,
                    pst::Expr::BinaryOp {
                        op: pst::BinaryOp::Or,
                        left,
                        right,
                    },
                ) => {
                    let (first, second) = if planted(Fault::ChainOperandOrder) {
                        (right, left)
                    } else {
                        (left, right)
                    };
                    pending.extend([&**second, &**first]);
                }
                _ => operands.push(self.expr(expr, depth)?),
            }
        }
        Ok(match chain {
            Chain::And => Expr::And(operands),
            Chain::Or => Expr::Or(operands),
        })
    }

    fn record(
        &mut self,
        fields: &std::collections::BTreeMap<String, Arc<pst::Expr>>,
        depth: usize,
    ) -> Result<Expr> {
        let mut converted = Vec::with_capacity(fields.len());
        // The map's order is that of the key texts, which is the order of evaluation.
        for (key, value) in fields {
            let key = self.interner.intern_str(key)?;
            converted.push((key, self.expr(value, depth)?));
        }
        Ok(Expr::Record(converted))
    }
}

fn request_var(var: &pst::Var) -> Var {
    match var {
        pst::Var::Principal => Var::Principal,
        pst::Var::Action => Var::Action,
        pst::Var::Resource => Var::Resource,
        pst::Var::Context => Var::Context,
    }
}

fn like_pattern(elems: &[pst::PatternElem]) -> Pattern {
    Pattern::new(elems.iter().map(|elem| match elem {
        pst::PatternElem::Char('*') if planted(Fault::EscapedStarIsWildcard) => {
            PatternElem::Wildcard
        }
        pst::PatternElem::Char(c) => PatternElem::Char(*c),
        pst::PatternElem::Wildcard => PatternElem::Wildcard,
    }))
}

fn unary_function(op: pst::UnaryOp) -> Result<ExtFn> {
    use pst::UnaryOp as U;
    Ok(match op {
        U::Decimal => ExtFn::Decimal,
        U::Ip => ExtFn::Ip,
        U::Datetime => ExtFn::Datetime,
        U::Duration => ExtFn::Duration,
        U::IsIPv4 => ExtFn::IsIpv4,
        U::IsIPV6 => ExtFn::IsIpv6,
        U::IsLoopback => ExtFn::IsLoopback,
        U::IsMulticast => ExtFn::IsMulticast,
        U::ToDate => ExtFn::ToDate,
        U::ToTime => ExtFn::ToTime,
        U::ToMilliseconds => ExtFn::ToMilliseconds,
        U::ToSeconds => ExtFn::ToSeconds,
        U::ToMinutes => ExtFn::ToMinutes,
        U::ToHours => ExtFn::ToHours,
        U::ToDays => ExtFn::ToDays,
        op => return unsupported(format!("the operator `{op}`")),
    })
}

fn binary_op(op: pst::BinaryOp) -> Result<Operator> {
    use pst::BinaryOp as B;
    Ok(match op {
        B::And => Operator::Chain(Chain::And),
        B::Or => Operator::Chain(Chain::Or),
        B::Eq => Operator::Core(BinaryOp::Eq),
        B::Less => Operator::Core(BinaryOp::Less),
        B::LessEq => Operator::Core(BinaryOp::LessEq),
        B::NotEq => Operator::Not(BinaryOp::Eq),
        B::Greater => Operator::Not(BinaryOp::LessEq),
        B::GreaterEq => Operator::Not(BinaryOp::Less),
        B::Add => Operator::Core(BinaryOp::Add),
        B::Sub => Operator::Core(BinaryOp::Sub),
        B::Mul => Operator::Core(BinaryOp::Mul),
        B::In => Operator::Core(BinaryOp::In),
        B::Contains => Operator::Core(BinaryOp::Contains),
        B::ContainsAll => Operator::Core(BinaryOp::ContainsAll),
        B::ContainsAny => Operator::Core(BinaryOp::ContainsAny),
        B::GetTag => Operator::Core(BinaryOp::GetTag),
        B::HasTag => Operator::Core(BinaryOp::HasTag),
        B::IsInRange => Operator::Call(ExtFn::IsInRange),
        B::Offset => Operator::Call(ExtFn::Offset),
        B::DurationSince => Operator::Call(ExtFn::DurationSince),
        B::DecimalLessThan => Operator::Call(ExtFn::DecimalLessThan),
        B::DecimalLessEq => Operator::Call(ExtFn::DecimalLessEq),
        B::DecimalGreater => Operator::Call(ExtFn::DecimalGreater),
        B::DecimalGreaterEq => Operator::Call(ExtFn::DecimalGreaterEq),
        op => return unsupported(format!("the operator `{op}`")),
    })
}
