//! The typed expression IR.
//!
//! A [`Body`] is the condition of one *shape* of policy: an expression graph in an arena, with the
//! constants factored out into a table that each policy of the shape brings along. There is no
//! control-flow graph: Cedar has no loops, and `and`, `or` and `if` are its only joins.
//!
//! Each node carries a [`Type`] and whether evaluating it may fail. Structurally equal nodes are
//! one node; that is sound because evaluation has no effect but failing, and whoever reaches a
//! node a second time has seen it succeed.

use crate::ext::ExtFn;
use crate::fault::{Fault, planted};
use crate::ids::{ConstId, NodeId};
use crate::value::Tag;
use std::fmt;

/// What is known of a value before it is computed.
///
/// The lattice is flat: a type is exact, or it is [`Type::Any`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A Boolean.
    Bool,
    /// An integer.
    Long,
    /// A string.
    String,
    /// An entity of any type.
    Entity,
    /// A set of anything.
    Set,
    /// A record of any shape.
    Record,
    /// A decimal.
    Decimal,
    /// A datetime.
    Datetime,
    /// A duration.
    Duration,
    /// An IP address or range.
    Ip,
    /// Unknown until run time.
    Any,
}

impl Type {
    /// Every type, [`Type::Any`] last.
    pub const ALL: [Type; 11] = [
        Type::Bool,
        Type::Long,
        Type::String,
        Type::Entity,
        Type::Set,
        Type::Record,
        Type::Decimal,
        Type::Datetime,
        Type::Duration,
        Type::Ip,
        Type::Any,
    ];

    /// The tag that every value of this type has; `None` for [`Type::Any`].
    pub fn tag(self) -> Option<Tag> {
        Some(match self {
            Type::Bool => Tag::Bool,
            Type::Long => Tag::Long,
            Type::String => Tag::String,
            Type::Entity => Tag::Entity,
            Type::Set => Tag::Set,
            Type::Record => Tag::Record,
            Type::Decimal => Tag::Decimal,
            Type::Datetime => Tag::Datetime,
            Type::Duration => Tag::Duration,
            Type::Ip => Tag::Ip,
            Type::Any => return None,
        })
    }

    /// The least type that covers both.
    pub fn join(self, other: Type) -> Type {
        if self == other { self } else { Type::Any }
    }

    /// Whether a value of this type can turn out to be an `other`.
    pub fn may_be(self, other: Type) -> bool {
        self == other || self == Type::Any || other == Type::Any
    }

    /// The name used in the textual IR.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Long => "long",
            Type::String => "string",
            Type::Entity => "entity",
            Type::Set => "set",
            Type::Record => "record",
            Type::Decimal => "decimal",
            Type::Datetime => "datetime",
            Type::Duration => "duration",
            Type::Ip => "ipaddr",
            Type::Any => "any",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|t| t.name() == name)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a slot of the constants table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConstKind {
    /// A value of this exact type; never [`Type::Any`].
    Value(Type),
    /// A `like` pattern.
    Pattern,
    /// An entity type, for `is`.
    EntityType,
}

impl fmt::Display for ConstKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConstKind::Value(ty) => write!(f, "{ty}"),
            ConstKind::Pattern => f.write_str("pattern"),
            ConstKind::EntityType => f.write_str("type"),
        }
    }
}

/// A request variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Var {
    /// The principal, an entity.
    Principal,
    /// The action, an entity.
    Action,
    /// The resource, an entity.
    Resource,
    /// The context, a record.
    Context,
}

impl Var {
    /// Every variable.
    pub const ALL: [Var; 4] = [Var::Principal, Var::Action, Var::Resource, Var::Context];

    /// The name used in the textual IR.
    pub fn name(self) -> &'static str {
        match self {
            Var::Principal => "principal",
            Var::Action => "action",
            Var::Resource => "resource",
            Var::Context => "context",
        }
    }
}

/// A strict operator with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// Boolean negation.
    Not,
    /// Checked integer negation.
    Neg,
    /// Whether a set is empty.
    IsEmpty,
}

impl UnaryOp {
    /// Every operator.
    pub const ALL: [UnaryOp; 3] = [UnaryOp::Not, UnaryOp::Neg, UnaryOp::IsEmpty];

    /// The name used in the textual IR.
    pub fn name(self) -> &'static str {
        match self {
            UnaryOp::Not => "not",
            UnaryOp::Neg => "neg",
            UnaryOp::IsEmpty => "is_empty",
        }
    }
}

/// A strict operator with two operands: both are evaluated, left first, before types are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// Equality; never fails.
    Eq,
    /// `<` on two integers, two datetimes or two durations.
    Less,
    /// `<=` on two integers, two datetimes or two durations.
    LessEq,
    /// Checked addition.
    Add,
    /// Checked subtraction.
    Sub,
    /// Checked multiplication.
    Mul,
    /// Hierarchy membership of an entity in an entity or a set of entities.
    In,
    /// Set membership.
    Contains,
    /// Superset test.
    ContainsAll,
    /// Whether two sets share an element.
    ContainsAny,
    /// The tag of an entity.
    GetTag,
    /// Whether an entity has a tag.
    HasTag,
}

impl BinaryOp {
    /// Every operator.
    pub const ALL: [BinaryOp; 12] = [
        BinaryOp::Eq,
        BinaryOp::Less,
        BinaryOp::LessEq,
        BinaryOp::Add,
        BinaryOp::Sub,
        BinaryOp::Mul,
        BinaryOp::In,
        BinaryOp::Contains,
        BinaryOp::ContainsAll,
        BinaryOp::ContainsAny,
        BinaryOp::GetTag,
        BinaryOp::HasTag,
    ];

    /// The name used in the textual IR.
    pub fn name(self) -> &'static str {
        match self {
            BinaryOp::Eq => "eq",
            BinaryOp::Less => "less",
            BinaryOp::LessEq => "less_eq",
            BinaryOp::Add => "add",
            BinaryOp::Sub => "sub",
            BinaryOp::Mul => "mul",
            BinaryOp::In => "in",
            BinaryOp::Contains => "contains",
            BinaryOp::ContainsAll => "contains_all",
            BinaryOp::ContainsAny => "contains_any",
            BinaryOp::GetTag => "get_tag",
            BinaryOp::HasTag => "has_tag",
        }
    }
}

/// An attribute of a record literal: its name and the node that computes its value.
pub type Field = (Box<str>, NodeId);

/// What a node computes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A slot of the constants table.
    Const(ConstId),
    /// `true` or `false`.
    Bool(bool),
    /// A request variable.
    Var(Var),
    /// A strict operator with one operand.
    Unary(UnaryOp, NodeId),
    /// A strict operator with two operands.
    Binary(BinaryOp, NodeId, NodeId),
    /// Evaluates its operands, at least one, in order up to the first `false`; each one evaluated
    /// must be a Boolean. A chain is one node, so that long chains do not nest.
    And(Box<[NodeId]>),
    /// As [`Op::And`], up to the first `true`.
    Or(Box<[NodeId]>),
    /// The second if the first is true, else the third; evaluates only that one.
    If(NodeId, NodeId, NodeId),
    /// An attribute of an entity or a record.
    GetAttr(NodeId, Box<str>),
    /// Whether an entity or a record has an attribute.
    HasAttr(NodeId, Box<str>),
    /// Whether a string matches the pattern in a constant slot.
    Like(NodeId, ConstId),
    /// Whether an entity is of the type in a constant slot.
    Is(NodeId, ConstId),
    /// A set of the operands, evaluated in order.
    Set(Box<[NodeId]>),
    /// A record, its attributes in ascending order of their names and evaluated in that order.
    Record(Box<[Field]>),
    /// An extension function or method, its arguments evaluated in order.
    Call(ExtFn, Box<[NodeId]>),
}

impl Op {
    /// Calls `f` with each operand, in order of evaluation.
    pub fn for_each_operand(&self, mut f: impl FnMut(NodeId)) {
        match self {
            Op::Const(_) | Op::Bool(_) | Op::Var(_) => {}
            Op::Unary(_, a)
            | Op::GetAttr(a, _)
            | Op::HasAttr(a, _)
            | Op::Like(a, _)
            | Op::Is(a, _) => f(*a),
            Op::Binary(_, a, b) => {
                f(*a);
                f(*b);
            }
            Op::If(a, b, c) => {
                f(*a);
                f(*b);
                f(*c);
            }
            Op::And(items) | Op::Or(items) | Op::Set(items) | Op::Call(_, items) => {
                items.iter().copied().for_each(f);
            }
            Op::Record(fields) => fields.iter().for_each(|(_, v)| f(*v)),
        }
    }
}

/// A node: what it computes, and what is known of the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What the node computes.
    pub op: Op,
    /// The result's type, if the evaluation succeeds.
    pub ty: Type,
    /// Whether evaluating the node, operands included, may fail.
    pub may_fail: bool,
}

/// The condition of one shape of policy.
///
/// Nodes stand in an order in which operands precede their users.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Body {
    /// What each slot of the constants table holds.
    pub consts: Vec<ConstKind>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The node whose value is the condition's.
    pub root: NodeId,
}

impl Body {
    /// The node behind a handle.
    ///
    /// # Panics
    /// When `id` is not of this body; a verified body refers to its own nodes only.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Calls `f` with each attribute name that the body reads by name.
    pub fn for_each_attr(&self, mut f: impl FnMut(&str)) {
        for node in &self.nodes {
            if let Op::GetAttr(_, attr) | Op::HasAttr(_, attr) = &node.op {
                f(attr);
            }
        }
    }
}

/// What [`infer`] finds: the result's type and whether evaluation may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The result's type.
    pub ty: Type,
    /// Whether evaluating the node, operands included, may fail.
    pub may_fail: bool,
}

/// The type and failure of `op`, given those of its operands and of the constants.
///
/// The single statement of the IR's typing rules: the builder applies it and the verifier checks
/// against it. `None` when an operand or constant does not exist or a constant is of the wrong
/// kind.
pub fn infer(
    op: &Op,
    consts: &[ConstKind],
    operand: impl Fn(NodeId) -> Option<Inferred>,
) -> Option<Inferred> {
    let mut operands_fail = false;
    let mut missing = false;
    op.for_each_operand(|id| match operand(id) {
        Some(i) => operands_fail |= i.may_fail,
        None => missing = true,
    });
    if missing {
        return None;
    }
    let ty = |id: NodeId| operand(id).map(|i| i.ty);
    let kind = |c: ConstId| consts.get(c.index()).copied();
    let (ty, fails) = match op {
        Op::Const(c) => match kind(*c)? {
            ConstKind::Value(Type::Any) | ConstKind::Pattern | ConstKind::EntityType => {
                return None;
            }
            ConstKind::Value(ty) => (ty, false),
        },
        Op::Bool(_) => (Type::Bool, false),
        Op::Var(Var::Context) => (Type::Record, false),
        Op::Var(_) => (Type::Entity, false),
        Op::Unary(UnaryOp::Not, a) => (Type::Bool, ty(*a)? != Type::Bool),
        Op::Unary(UnaryOp::Neg, _) => (Type::Long, true),
        Op::Unary(UnaryOp::IsEmpty, a) => (Type::Bool, ty(*a)? != Type::Set),
        Op::Binary(op, a, b) => infer_binary(*op, ty(*a)?, ty(*b)?),
        Op::And(items) | Op::Or(items) => {
            if items.is_empty() {
                return None;
            }
            (Type::Bool, items.iter().any(|i| ty(*i) != Some(Type::Bool)))
        }
        Op::If(c, t, e) => (ty(*t)?.join(ty(*e)?), ty(*c)? != Type::Bool),
        Op::GetAttr(_, _) => (Type::Any, !planted(Fault::ReadCannotFail)),
        Op::HasAttr(a, _) => (Type::Bool, !matches!(ty(*a)?, Type::Entity | Type::Record)),
        Op::Like(a, c) => match kind(*c)? {
            ConstKind::Pattern => (Type::Bool, ty(*a)? != Type::String),
            _ => return None,
        },
        Op::Is(a, c) => match kind(*c)? {
            ConstKind::EntityType => (Type::Bool, ty(*a)? != Type::Entity),
            _ => return None,
        },
        Op::Set(_) => (Type::Set, false),
        Op::Record(_) => (Type::Record, false),
        Op::Call(func, args) => {
            if args.len() != func.arity() {
                return None;
            }
            infer_call(*func, |i| args.get(i).and_then(|a| ty(*a)))
        }
    };
    Some(Inferred {
        ty,
        may_fail: fails || operands_fail,
    })
}

fn infer_binary(op: BinaryOp, a: Type, b: Type) -> (Type, bool) {
    match op {
        BinaryOp::Eq => (Type::Bool, false),
        BinaryOp::Less | BinaryOp::LessEq => (
            Type::Bool,
            a != b || !matches!(a, Type::Long | Type::Datetime | Type::Duration),
        ),
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => (Type::Long, true),
        // A set on the right may hold something that is no entity.
        BinaryOp::In => (Type::Bool, (a, b) != (Type::Entity, Type::Entity)),
        BinaryOp::Contains => (Type::Bool, a != Type::Set),
        BinaryOp::ContainsAll | BinaryOp::ContainsAny => {
            (Type::Bool, (a, b) != (Type::Set, Type::Set))
        }
        BinaryOp::GetTag => (Type::Any, true),
        BinaryOp::HasTag => (Type::Bool, (a, b) != (Type::Entity, Type::String)),
    }
}

fn infer_call(func: ExtFn, arg: impl Fn(usize) -> Option<Type>) -> (Type, bool) {
    let is = |i: usize, ty: Type| arg(i) == Some(ty);
    match func {
        ExtFn::Decimal => (Type::Decimal, true),
        ExtFn::Ip => (Type::Ip, true),
        ExtFn::Datetime => (Type::Datetime, true),
        ExtFn::Duration => (Type::Duration, true),
        ExtFn::DecimalLessThan
        | ExtFn::DecimalLessEq
        | ExtFn::DecimalGreater
        | ExtFn::DecimalGreaterEq => (Type::Bool, !(is(0, Type::Decimal) && is(1, Type::Decimal))),
        ExtFn::IsIpv4 | ExtFn::IsIpv6 | ExtFn::IsLoopback | ExtFn::IsMulticast => {
            (Type::Bool, !is(0, Type::Ip))
        }
        ExtFn::IsInRange => (Type::Bool, !(is(0, Type::Ip) && is(1, Type::Ip))),
        ExtFn::Offset | ExtFn::ToDate => (Type::Datetime, true),
        ExtFn::DurationSince => (Type::Duration, true),
        ExtFn::ToTime => (Type::Duration, !is(0, Type::Datetime)),
        ExtFn::ToMilliseconds
        | ExtFn::ToSeconds
        | ExtFn::ToMinutes
        | ExtFn::ToHours
        | ExtFn::ToDays => (Type::Long, !is(0, Type::Duration)),
    }
}

/// Whether an operator reads a value from an entity or a record: the schema may know its type.
pub fn reads_data(op: &Op) -> bool {
    matches!(op, Op::GetAttr(..) | Op::Binary(BinaryOp::GetTag, ..))
}
