//! HIR to IR.
//!
//! A policy becomes a [`Body`] and a list of constants. Policies alike but for constants, above
//! all the links of one template, get equal bodies, and so share compiled code.
//!
//! The body is the policy's condition without the action's scope: which policies apply to an
//! action is known before any of them runs.
//!
//! With a schema, attributes and tags of entities whose type the scope fixes have types. Types of the
//! context are not used: a request need not have been validated.
//!
//! Constant subexpressions are folded, except those that fail: a failing one stays, to fail when
//! it is reached.

mod fold;

use crate::hir::{
    BinaryOp, EntityRef, Expr, Literal, Policy, ScopeConstraint, Slot, SlotBindings, UnaryOp, Var,
};
use crate::schema::{AttrFacts, SchemaFacts, SchemaType};
use cedarjit_ir::builder::BodyBuilder;
use cedarjit_ir::expr::{Body, ConstKind, Op, Type};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::IpWords;
use cedarjit_ir::ids::{ConstId, EntityId, NodeId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::pattern::Pattern;
use std::collections::HashMap;
use std::sync::Arc;

/// A value known at load time.
///
/// Sets are sorted and without duplicates, and records sorted by key, so equality of constants is
/// equality of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConstValue {
    /// A Boolean.
    Bool(bool),
    /// An integer.
    Long(i64),
    /// A string.
    String(StrId),
    /// An entity.
    Entity(EntityId),
    /// A decimal, in units of 1/10,000.
    Decimal(i64),
    /// A datetime, in milliseconds since 1970.
    Datetime(i64),
    /// A duration, in milliseconds.
    Duration(i64),
    /// An IP address or range.
    Ip(IpWords),
    /// A set.
    Set(Vec<ConstValue>),
    /// A record.
    Record(Vec<(StrId, ConstValue)>),
}

impl ConstValue {
    /// The set of these elements.
    pub fn set(mut elements: Vec<ConstValue>) -> Self {
        elements.sort_unstable();
        if !planted(Fault::FoldSetDuplicates) {
            elements.dedup();
        }
        Self::Set(elements)
    }

    /// The record of these attributes, whose keys must be distinct.
    pub fn record(mut fields: Vec<(StrId, ConstValue)>) -> Self {
        fields.sort_unstable();
        Self::Record(fields)
    }

    /// The value's type.
    pub fn ty(&self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::Long(_) => Type::Long,
            Self::String(_) => Type::String,
            Self::Entity(_) => Type::Entity,
            Self::Decimal(_) => Type::Decimal,
            Self::Datetime(_) => Type::Datetime,
            Self::Duration(_) => Type::Duration,
            Self::Ip(_) => Type::Ip,
            Self::Set(_) => Type::Set,
            Self::Record(_) => Type::Record,
        }
    }
}

/// What a policy puts into a slot of its body's constants table.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A value.
    Value(ConstValue),
    /// The entity that the template's slot is linked with.
    Slot(Slot),
    /// A `like` pattern.
    Pattern(Arc<Pattern>),
    /// An entity type.
    EntityType(TypeId),
}

impl Constant {
    /// The value, with a template's slot filled in; `None` for patterns, entity types and slots
    /// without a binding.
    pub fn value(&self, slots: &SlotBindings) -> Option<ConstValue> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Slot(slot) => slots.get(*slot).map(ConstValue::Entity),
            Self::Pattern(_) | Self::EntityType(_) => None,
        }
    }
}

/// A lowered policy or template.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// The condition's shape.
    pub body: Body,
    /// The constants, by their slots.
    pub consts: Vec<Constant>,
}

/// Lowers a policy or template.
///
/// `interner` must be the one that the policy was loaded with. `facts` are claims about the
/// entities that the body will be evaluated with: code generated from it relies on them. Recursion
/// is bounded by the depth that loading admits.
pub fn lower(policy: &Policy, interner: &Interner, facts: Option<&SchemaFacts>) -> Lowered {
    let mut lowering = Lowering {
        interner,
        facts,
        types: HashMap::new(),
        builder: BodyBuilder::new(),
        consts: Vec::new(),
    };
    let mut conjuncts = Vec::new();
    lowering.scope(Var::Principal, &policy.principal, &mut conjuncts);
    lowering.scope(Var::Resource, &policy.resource, &mut conjuncts);
    for condition in &policy.conditions {
        let body = lowering.expr(&condition.body);
        let node = if condition.unless {
            let negated = lowering.unary(UnaryOp::Not, body);
            lowering.node(negated)
        } else {
            lowering.node(body)
        };
        conjuncts.push(node);
    }
    let root = if conjuncts.is_empty() {
        lowering.builder.push(Op::Bool(true))
    } else {
        lowering.builder.push(Op::And(conjuncts.into()))
    };
    let (body, used) = lowering.builder.finish(root);
    let consts = used
        .iter()
        .filter_map(|c| lowering.consts.get(c.index()).cloned())
        .collect();
    Lowered { body, consts }
}

/// An expression on its way to the IR: known now, or computed by a node.
#[derive(Clone, Debug)]
enum Operand {
    Const(ConstValue),
    Node(NodeId),
}

struct Lowering<'a> {
    interner: &'a Interner,
    facts: Option<&'a SchemaFacts>,
    /// What the schema says about nodes.
    types: HashMap<NodeId, SchemaType>,
    builder: BodyBuilder,
    /// By the builder's constant slots.
    consts: Vec<Constant>,
}

impl Lowering<'_> {
    fn constant(&mut self, kind: ConstKind, constant: Constant) -> ConstId {
        self.consts.push(constant);
        self.builder.constant(kind)
    }

    /// The node of an operand. A constant gets a slot of its own, even if another slot holds the
    /// same: policies that differ in which constants coincide still share a body.
    fn node(&mut self, operand: Operand) -> NodeId {
        match operand {
            Operand::Node(node) => node,
            Operand::Const(ConstValue::Bool(b)) => self.builder.push(Op::Bool(b)),
            Operand::Const(value) => {
                let kind = ConstKind::Value(value.ty());
                let c = self.constant(kind, Constant::Value(value));
                self.builder.push(Op::Const(c))
            }
        }
    }

    fn push(&mut self, op: Op) -> Operand {
        Operand::Node(self.builder.push(op))
    }

    fn entity_ref(&mut self, entity: EntityRef) -> NodeId {
        let constant = match entity {
            EntityRef::Entity(id) => Constant::Value(ConstValue::Entity(id)),
            EntityRef::Slot(slot) => Constant::Slot(slot),
        };
        let c = self.constant(ConstKind::Value(Type::Entity), constant);
        self.builder.push(Op::Const(c))
    }

    fn scope(&mut self, var: Var, constraint: &ScopeConstraint, out: &mut Vec<NodeId>) {
        let (ty, relation) = match *constraint {
            ScopeConstraint::Any => (None, None),
            ScopeConstraint::Eq(e) => (None, Some((BinaryOp::Eq, e))),
            ScopeConstraint::In(e) => (None, Some((BinaryOp::In, e))),
            ScopeConstraint::Is(ty) => (Some(ty), None),
            ScopeConstraint::IsIn(ty, e) => (Some(ty), Some((BinaryOp::In, e))),
        };
        let var = self.builder.push(Op::Var(var));
        // Conditions run only when the scope holds, so in them the variable is of this type.
        let fixed = match *constraint {
            ScopeConstraint::Is(ty) | ScopeConstraint::IsIn(ty, _) => Some(ty),
            ScopeConstraint::Eq(EntityRef::Entity(id)) => self.interner.entity(id).map(|e| e.0),
            ScopeConstraint::In(EntityRef::Entity(id)) if planted(Fault::ScopeInGivesType) => {
                self.interner.entity(id).map(|e| e.0)
            }
            _ => None,
        };
        if let Some(fixed) = fixed {
            self.set_entity_type(var, fixed);
        }
        if let Some(ty) = ty {
            let c = self.constant(ConstKind::EntityType, Constant::EntityType(ty));
            out.push(self.builder.push(Op::Is(var, c)));
        }
        if let Some((op, entity)) = relation {
            let entity = self.entity_ref(entity);
            out.push(self.builder.push(Op::Binary(op, var, entity)));
        }
    }

    fn name(&self, id: StrId) -> Box<str> {
        self.interner.str(id).into()
    }

    fn expr_node(&mut self, expr: &Expr) -> NodeId {
        let operand = self.expr(expr);
        self.node(operand)
    }

    fn expr(&mut self, expr: &Expr) -> Operand {
        match expr {
            Expr::Literal(literal) => Operand::Const(match *literal {
                Literal::Bool(b) => ConstValue::Bool(b),
                Literal::Long(i) => ConstValue::Long(i),
                Literal::String(s) => ConstValue::String(s),
                Literal::Entity(e) => ConstValue::Entity(e),
            }),
            Expr::Var(var) => self.push(Op::Var(*var)),
            Expr::Unary(op, a) => {
                let a = self.expr(a);
                self.unary(*op, a)
            }
            Expr::Binary(op, a, b) => {
                let a = self.expr(a);
                let b = self.expr(b);
                self.binary(*op, a, b)
            }
            Expr::And(items) => {
                let items = items.iter().map(|e| self.expr_node(e)).collect();
                self.push(Op::And(items))
            }
            Expr::Or(items) => {
                let items = items.iter().map(|e| self.expr_node(e)).collect();
                self.push(Op::Or(items))
            }
            Expr::If(c, t, e) => {
                let c = self.expr_node(c);
                let t = self.expr_node(t);
                let e = self.expr_node(e);
                self.push(Op::If(c, t, e))
            }
            Expr::GetAttr(base, attr) => {
                let base = self.expr(base);
                self.get_attr(base, *attr)
            }
            Expr::Has(base, path) => self.has(base, path),
            Expr::Like(text, pattern) => self.like(text, pattern),
            Expr::Is(entity, ty, within) => self.is(entity, *ty, within.as_deref()),
            Expr::Set(items) => self.set(items),
            Expr::Record(fields) => self.record(fields),
            Expr::Call(func, args) if args.len() != func.arity() => {
                // The arguments are evaluated, and then the call fails: as does negating a set.
                let args = args.iter().map(|a| self.expr_node(a)).collect();
                let set = self.builder.push(Op::Set(args));
                self.push(Op::Unary(UnaryOp::Neg, set))
            }
            Expr::Call(func, args) => {
                let args: Vec<_> = args.iter().map(|a| self.expr(a)).collect();
                if let Some(value) = self.fold_call(*func, &args) {
                    return Operand::Const(value);
                }
                let args = args.into_iter().map(|a| self.node(a)).collect();
                self.push(Op::Call(*func, args))
            }
        }
    }

    fn unary(&mut self, op: UnaryOp, a: Operand) -> Operand {
        if let Operand::Const(value) = &a
            && let Some(folded) = fold::unary(op, value)
        {
            return Operand::Const(folded);
        }
        let a = self.node(a);
        self.push(Op::Unary(op, a))
    }

    fn binary(&mut self, op: BinaryOp, a: Operand, b: Operand) -> Operand {
        if let (Operand::Const(left), Operand::Const(right)) = (&a, &b)
            && let Some(folded) = fold::binary(op, left, right)
        {
            return Operand::Const(folded);
        }
        let a = self.node(a);
        let b = self.node(b);
        if op == BinaryOp::GetTag {
            let ty = match (self.types.get(&a), self.facts) {
                (Some(SchemaType::Entity(name)), Some(facts)) => {
                    facts.entity_type(name).and_then(|ty| ty.tags.clone())
                }
                _ => None,
            };
            let tag = Op::Binary(BinaryOp::GetTag, a, b);
            return Operand::Node(self.read(tag, ty));
        }
        self.push(Op::Binary(op, a, b))
    }

    fn get_attr(&mut self, base: Operand, attr: StrId) -> Operand {
        if let Operand::Const(ConstValue::Record(fields)) = &base
            && let Some((_, value)) = fields.iter().find(|(k, _)| *k == attr)
        {
            return Operand::Const(value.clone());
        }
        Operand::Node(self.get_attr_node(base, attr))
    }

    fn get_attr_node(&mut self, base: Operand, attr: StrId) -> NodeId {
        let fixed = match base {
            Operand::Const(ConstValue::Entity(id)) => self.interner.entity(id).map(|e| e.0),
            _ => None,
        };
        let base = self.node(base);
        if let Some(fixed) = fixed {
            self.set_entity_type(base, fixed);
        }
        let attr = self.name(attr);
        let ty = self.attr_facts(base, &attr).map(|a| a.ty.clone());
        self.read(Op::GetAttr(base, attr), ty)
    }

    /// What the schema says about an attribute of a node's value.
    fn attr_facts(&self, base: NodeId, attr: &str) -> Option<&AttrFacts> {
        match (self.types.get(&base)?, self.facts) {
            (SchemaType::Record(attrs), _) => attrs.get(attr),
            (SchemaType::Entity(name), Some(facts)) => facts.entity_type(name)?.attrs.get(attr),
            _ => None,
        }
    }

    /// The node that reads an attribute or tag which the schema may give a type.
    fn read(&mut self, op: Op, ty: Option<SchemaType>) -> NodeId {
        let mut known = ty.and_then(|ty| Some((ir_type(&ty)?, ty)));
        if planted(Fault::ScopeInGivesType) {
            // A word that is wrongly taken for a reference would be followed.
            known = known.filter(|(ty, _)| {
                !matches!(ty, Type::Entity | Type::Set | Type::Record | Type::Ip)
            });
        }
        let Some((ir_type, ty)) = known else {
            return self.builder.push(op);
        };
        let node = self.builder.push_typed(op, ir_type);
        self.types.insert(node, ty);
        node
    }

    fn set_entity_type(&mut self, node: NodeId, ty: TypeId) {
        if self.facts.is_some() {
            let name = self.interner.str(ty.name());
            self.types.insert(node, SchemaType::Entity(name.into()));
        }
    }

    /// `e has a.b` is `e has a && e.a has b`, with `e` one node.
    fn has(&mut self, base: &Expr, path: &[StrId]) -> Operand {
        let mut base = self.expr_node(base);
        let mut tests = Vec::with_capacity(path.len());
        for (i, attr) in path.iter().enumerate() {
            if i >= 2 && planted(Fault::HasPathTail) {
                break;
            }
            let name = self.name(*attr);
            let sure = planted(Fault::HasRequired)
                && self.attr_facts(base, &name).is_some_and(|a| a.required);
            if !sure {
                tests.push(self.builder.push(Op::HasAttr(base, name)));
            }
            if i + 1 < path.len() {
                base = self.get_attr_node(Operand::Node(base), *attr);
            }
        }
        self.push(Op::And(tests.into()))
    }

    fn like(&mut self, text: &Expr, pattern: &Arc<Pattern>) -> Operand {
        let text = self.expr(text);
        if let Operand::Const(ConstValue::String(s)) = text {
            let matches = pattern.matches(self.interner.str(s));
            return Operand::Const(ConstValue::Bool(matches));
        }
        let text = self.node(text);
        let c = self.constant(ConstKind::Pattern, Constant::Pattern(Arc::clone(pattern)));
        self.push(Op::Like(text, c))
    }

    fn is(&mut self, entity: &Expr, ty: TypeId, within: Option<&Expr>) -> Operand {
        let entity = self.expr_node(entity);
        let c = self.constant(ConstKind::EntityType, Constant::EntityType(ty));
        let is = self.builder.push(Op::Is(entity, c));
        let Some(within) = within else {
            return Operand::Node(is);
        };
        let within = self.expr_node(within);
        let member = self.builder.push(Op::Binary(BinaryOp::In, entity, within));
        if planted(Fault::IsInLosesType) {
            return Operand::Node(member);
        }
        self.push(Op::And([is, member].into()))
    }

    fn set(&mut self, items: &[Expr]) -> Operand {
        let items: Vec<_> = items.iter().map(|e| self.expr(e)).collect();
        let constants: Option<Vec<_>> = items.iter().map(as_const).collect();
        if let Some(elements) = constants {
            return Operand::Const(ConstValue::set(elements));
        }
        let items = items.into_iter().map(|v| self.node(v)).collect();
        self.push(Op::Set(items))
    }

    fn record(&mut self, fields: &[(StrId, Expr)]) -> Operand {
        let fields: Vec<_> = fields.iter().map(|(k, e)| (*k, self.expr(e))).collect();
        let constants: Option<Vec<_>> = fields
            .iter()
            .map(|(k, v)| Some((*k, as_const(v)?)))
            .collect();
        if let Some(fields) = constants {
            return Operand::Const(ConstValue::record(fields));
        }
        let fields = fields
            .into_iter()
            .map(|(k, v)| (self.name(k), self.node(v)))
            .collect();
        self.push(Op::Record(fields))
    }
}

/// The IR's type for a schema's; `None` if nothing is known.
fn ir_type(ty: &SchemaType) -> Option<Type> {
    Some(match ty {
        SchemaType::Unknown => return None,
        SchemaType::Bool => Type::Bool,
        SchemaType::Long => Type::Long,
        SchemaType::String => Type::String,
        SchemaType::Entity(_) => Type::Entity,
        SchemaType::Set(_) => Type::Set,
        SchemaType::Record(_) => Type::Record,
        SchemaType::Decimal => Type::Decimal,
        SchemaType::Ip => Type::Ip,
        SchemaType::Datetime if planted(Fault::DatetimeTypedDuration) => Type::Duration,
        SchemaType::Datetime => Type::Datetime,
        SchemaType::Duration => Type::Duration,
    })
}

fn as_const(operand: &Operand) -> Option<ConstValue> {
    match operand {
        Operand::Const(value) => Some(value.clone()),
        Operand::Node(_) => None,
    }
}
