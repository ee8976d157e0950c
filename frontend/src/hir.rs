//! The high-level IR: one plain tree per policy or template.
//!
//! HIR is Cedar's own syntax tree with names interned and sugar removed (`!=`, `>`, `>=`; chains
//! of `&&` and `||` are flat). The interpreter walks it, so it shares no lowering or optimisation
//! with compiled code.

mod cedar;
mod print;
pub mod syntax;

pub use cedar::AsCedar;
pub use print::Printed;

/// Operators and variables are the same in HIR and IR.
pub use cedarjit_ir::expr::{BinaryOp, UnaryOp, Var};

use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::pattern::Pattern;
use smol_str::SmolStr;
use std::sync::Arc;

/// What a satisfied policy does to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Allows it, unless a satisfied `forbid` policy denies it.
    Permit,
    /// Denies it.
    Forbid,
}

/// A template's placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// `?principal`
    Principal,
    /// `?resource`
    Resource,
}

/// What the slots of a template stand for in one link.
///
/// A static policy has no bindings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotBindings {
    /// The entity for `?principal`.
    pub principal: Option<EntityId>,
    /// The entity for `?resource`.
    pub resource: Option<EntityId>,
}

impl SlotBindings {
    /// The entity bound to `slot`.
    pub fn get(&self, slot: Slot) -> Option<EntityId> {
        match slot {
            Slot::Principal => self.principal,
            Slot::Resource => self.resource,
        }
    }
}

/// An entity in a scope: named, or left to a template's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntityRef {
    /// This entity.
    Entity(EntityId),
    /// Whatever the slot is linked with.
    Slot(Slot),
}

/// A scope constraint on principal or resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeConstraint {
    /// No constraint.
    Any,
    /// `== entity`
    Eq(EntityRef),
    /// `in entity`
    In(EntityRef),
    /// `is Type`
    Is(TypeId),
    /// `is Type in entity`
    IsIn(TypeId, EntityRef),
}

impl ScopeConstraint {
    /// The entity that the constraint compares with, if it names one.
    pub fn entity(&self) -> Option<EntityRef> {
        match *self {
            Self::Any | Self::Is(_) => None,
            Self::Eq(e) | Self::In(e) | Self::IsIn(_, e) => Some(e),
        }
    }
}

/// A scope constraint on the action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActionConstraint {
    /// No constraint.
    Any,
    /// `== action`
    Eq(EntityId),
    /// `in [action, …]`; `in action` is a list of one.
    In(Vec<EntityId>),
}

/// A `when` or `unless` clause.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `true` for `unless`: the body's negation must hold.
    pub unless: bool,
    /// The clause's expression.
    pub body: Expr,
}

/// A static policy or a template: everything but the link's slot bindings.
///
/// All links of a template share one.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The id of the static policy or template.
    pub id: SmolStr,
    /// What the policy does when satisfied.
    pub effect: Effect,
    /// The principal's scope.
    pub principal: ScopeConstraint,
    /// The action's scope.
    pub action: ActionConstraint,
    /// The resource's scope.
    pub resource: ScopeConstraint,
    /// The clauses, in source order; all must hold.
    pub conditions: Vec<Condition>,
    /// Annotations by name, in order.
    pub annotations: Vec<(SmolStr, SmolStr)>,
}

/// A policy to evaluate: a static policy, or a link of a template.
#[derive(Clone, Debug)]
pub struct BoundPolicy {
    /// The id that responses name: the static policy's or the link's.
    pub id: SmolStr,
    /// The policy's text, shared by all links of a template.
    pub policy: Arc<Policy>,
    /// What the slots stand for.
    pub slots: SlotBindings,
}

/// A literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Literal {
    /// `true`, `false`
    Bool(bool),
    /// An integer.
    Long(i64),
    /// A string.
    String(StrId),
    /// An entity uid.
    Entity(EntityId),
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A literal.
    Literal(Literal),
    /// A request variable.
    Var(Var),
    /// An operator with one operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator with two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// `a && b && …`: at least two operands, left to right, each must be a Boolean, stops at the
    /// first `false`. Nested `&&` is flattened: it checks and stops in the same order.
    And(Vec<Expr>),
    /// `a || b || …`: as [`Expr::And`], stops at the first `true`.
    Or(Vec<Expr>),
    /// `if c then t else e`
    If(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `e.attr`
    GetAttr(Box<Expr>, StrId),
    /// `e has a.b.c`: `e has a && e.a has b && e.a.b has c`, with `e` evaluated once; the path is
    /// not empty.
    Has(Box<Expr>, Vec<StrId>),
    /// `e like pattern`
    Like(Box<Expr>, Arc<Pattern>),
    /// `e is Type`, or `e is Type in other`: `e is Type && e in other`, with `e` evaluated once.
    Is(Box<Expr>, TypeId, Option<Box<Expr>>),
    /// `[a, b]`, evaluated in source order.
    Set(Vec<Expr>),
    /// `{k: v}`, evaluated in ascending order of the key texts.
    Record(Vec<(StrId, Expr)>),
    /// An extension function or method; a method's receiver is the first argument. With a wrong
    /// number of arguments the call fails once they are evaluated.
    Call(ExtFn, Vec<Expr>),
}
