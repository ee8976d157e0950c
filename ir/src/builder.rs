//! Building bodies: equal nodes become one, and what cannot be observed is simplified away.

use crate::expr::{
    BinaryOp, Body, ConstKind, Inferred, Node, Op, Type, UnaryOp, infer, reads_data,
};
use crate::fault::{Fault, planted};
use crate::ids::{ConstId, NodeId};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

/// Builds a [`Body`] node by node, sharing equal nodes and simplifying what cannot fail.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    consts: Vec<ConstKind>,
    nodes: Vec<Node>,
    known: HashMap<Op, NodeId, RandomState>,
}

impl BodyBuilder {
    /// A builder without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a slot to the constants table.
    pub fn constant(&mut self, kind: ConstKind) -> ConstId {
        self.consts.push(kind);
        ConstId::from_index(self.consts.len() - 1)
    }

    /// The node behind a handle that this builder gave out.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    fn is_bool(&self, id: NodeId) -> bool {
        self.node(id).ty == Type::Bool
    }

    fn as_const_bool(&self, id: NodeId) -> Option<bool> {
        match self.node(id).op {
            Op::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The node that computes `op`, or a simpler one with the same value and the same failures.
    ///
    /// # Panics
    /// When `op` names an operand or constant that this builder did not give out, or a constant
    /// of the wrong kind.
    pub fn push(&mut self, op: Op) -> NodeId {
        let op = match self.simplify(op) {
            Ok(known) => return known,
            Err(op) => op,
        };
        if let Some(&known) = self.known.get(&op) {
            return known;
        }
        let inferred = infer(&op, &self.consts, |id| {
            self.nodes.get(id.index()).map(|n| Inferred {
                ty: n.ty,
                may_fail: n.may_fail,
            })
        });
        let Some(Inferred { ty, may_fail }) = inferred else {
            panic!("an IR node names operands that its builder does not have: {op:?}");
        };
        let id = NodeId::from_index(self.nodes.len());
        self.known.insert(op.clone(), id);
        self.nodes.push(Node { op, ty, may_fail });
        id
    }

    /// The node that reads an attribute or a tag that the schema gives a type.
    ///
    /// What is known of the value does not follow from the operands, so whoever claims it must
    /// have checked the entities.
    ///
    /// # Panics
    /// As [`push`](Self::push).
    pub fn push_typed(&mut self, op: Op, ty: Type) -> NodeId {
        let id = self.push(op);
        if let Some(node) = self.nodes.get_mut(id.index())
            && reads_data(&node.op)
        {
            node.ty = ty;
        }
        id
    }

    /// A simpler node for `op`, or `op` back.
    ///
    /// Dropping an operand needs proof that it is never evaluated or cannot fail; replacing a
    /// Boolean operator by its operand needs proof that the operand is a Boolean, because the
    /// operator would have failed otherwise.
    fn simplify(&mut self, op: Op) -> Result<NodeId, Op> {
        match op {
            Op::Unary(UnaryOp::Not, a) => {
                if let Some(b) = self.as_const_bool(a) {
                    return Ok(self.push(Op::Bool(!b)));
                }
                match self.node(a).op {
                    Op::Unary(UnaryOp::Not, inner) if self.is_bool(inner) => Ok(inner),
                    _ => Err(op),
                }
            }
            Op::And(items) => self.simplify_chain(items, false),
            Op::Or(items) => self.simplify_chain(items, true),
            Op::If(c, t, e) => match self.as_const_bool(c) {
                Some(true) if planted(Fault::ConstantIfTakesElse) => Ok(e),
                Some(true) => Ok(t),
                Some(false) => Ok(e),
                None if t == e && self.is_bool(c) && !self.node(c).may_fail => Ok(t),
                None => Err(op),
            },
            Op::Binary(BinaryOp::Eq, a, b) => self.simplify_eq(a, b).ok_or(op),
            _ => Err(op),
        }
    }

    /// An `and` (which `stop`s at `false`) or an `or` (which stops at `true`).
    fn simplify_chain(&mut self, items: Box<[NodeId]>, stop: bool) -> Result<NodeId, Op> {
        let mut kept: Vec<NodeId> = Vec::with_capacity(items.len());
        let mut seen: HashSet<NodeId, RandomState> = HashSet::default();
        for &item in &items {
            match self.as_const_bool(item) {
                // The neutral element changes nothing.
                Some(b) if b != stop => {}
                Some(_) => {
                    kept.push(item);
                    break;
                }
                // Evaluated again, it would be neutral again.
                None if !seen.insert(item) && self.is_bool(item) => {}
                None => kept.push(item),
            }
        }
        let Some((&last, before)) = kept.split_last() else {
            return Ok(self.push(Op::Bool(!stop)));
        };
        let harmless = |&id: &NodeId| {
            (self.is_bool(id) && !self.node(id).may_fail)
                || (stop && planted(Fault::OrDropsFailing))
        };
        let unchecked = planted(Fault::ChainOfOneUnchecked);
        let decided = self.as_const_bool(last) == Some(stop) && before.iter().all(harmless);
        if decided || (before.is_empty() && (self.is_bool(last) || unchecked)) {
            return Ok(last);
        }
        let items = kept.into_boxed_slice();
        Err(if stop { Op::Or(items) } else { Op::And(items) })
    }

    /// `a == b` where the answer does not depend on the request.
    fn simplify_eq(&mut self, a: NodeId, b: NodeId) -> Option<NodeId> {
        let (left, right) = (self.node(a), self.node(b));
        if left.may_fail || right.may_fail {
            return None;
        }
        if a == b {
            return Some(self.push(Op::Bool(true)));
        }
        if !left.ty.may_be(right.ty) {
            return Some(self.push(Op::Bool(false)));
        }
        None
    }

    /// The finished body with `root` as its value, without nodes and constants that nothing uses.
    ///
    /// Returns with it, for each slot of the body's constants table, the slot of the builder's.
    pub fn finish(self, root: NodeId) -> (Body, Vec<ConstId>) {
        let mut order = Order {
            builder: &self,
            nodes: Vec::new(),
            consts: Vec::new(),
            node_of: vec![None; self.nodes.len()],
        };
        let root = order.visit(root);
        let (nodes, used) = (order.nodes, order.consts);
        let consts = used.iter().map(|c| self.consts[c.index()]).collect();
        (
            Body {
                consts,
                nodes,
                root,
            },
            used,
        )
    }
}

/// Renumbers nodes and constants in order of first evaluation, so that policies alike but for
/// constants get identical bodies.
struct Order<'a> {
    builder: &'a BodyBuilder,
    nodes: Vec<Node>,
    consts: Vec<ConstId>,
    node_of: Vec<Option<NodeId>>,
}

impl Order<'_> {
    fn constant(&mut self, c: ConstId) -> ConstId {
        // A constant slot belongs to one node, and a node is visited once.
        self.consts.push(c);
        ConstId::from_index(self.consts.len() - 1)
    }

    fn visit(&mut self, id: NodeId) -> NodeId {
        if let Some(done) = self.node_of[id.index()] {
            return done;
        }
        let node = self.builder.node(id);
        let op = match &node.op {
            Op::Const(c) => Op::Const(self.constant(*c)),
            Op::Bool(b) => Op::Bool(*b),
            Op::Var(v) => Op::Var(*v),
            Op::Unary(op, a) => Op::Unary(*op, self.visit(*a)),
            Op::Binary(op, a, b) => {
                let a = self.visit(*a);
                Op::Binary(*op, a, self.visit(*b))
            }
            Op::And(items) => Op::And(items.iter().map(|v| self.visit(*v)).collect()),
            Op::Or(items) => Op::Or(items.iter().map(|v| self.visit(*v)).collect()),
            Op::If(c, t, e) => {
                let c = self.visit(*c);
                let t = self.visit(*t);
                Op::If(c, t, self.visit(*e))
            }
            Op::GetAttr(a, attr) => Op::GetAttr(self.visit(*a), attr.clone()),
            Op::HasAttr(a, attr) => Op::HasAttr(self.visit(*a), attr.clone()),
            Op::Like(a, c) => {
                let a = self.visit(*a);
                Op::Like(a, self.constant(*c))
            }
            Op::Is(a, c) => {
                let a = self.visit(*a);
                Op::Is(a, self.constant(*c))
            }
            Op::Set(items) => Op::Set(items.iter().map(|v| self.visit(*v)).collect()),
            Op::Record(fields) => Op::Record(
                fields
                    .iter()
                    .map(|(k, v)| (k.clone(), self.visit(*v)))
                    .collect(),
            ),
            Op::Call(func, args) => Op::Call(*func, args.iter().map(|v| self.visit(*v)).collect()),
        };
        self.nodes.push(Node {
            op,
            ty: node.ty,
            may_fail: node.may_fail,
        });
        let new = NodeId::from_index(self.nodes.len() - 1);
        self.node_of[id.index()] = Some(new);
        new
    }
}
