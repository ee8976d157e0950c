//! The verifier: checks that a [`Body`] is one that code generation can rely on.
//!
//! It checks that
//!
//! - every operand stands before its user, and the root exists;
//! - every constant slot that a node names exists and is of the kind that the node needs, and no
//!   slot holds a value of unknown type;
//! - every node's type and failure flag are those that the typing rules give, except that what is
//!   read from an entity or a record may be of a type that the schema gives;
//! - `and` and `or` have at least one operand, and a call has as many arguments as its function;
//! - a record's attributes are distinct and in ascending order of their names;
//! - no two nodes compute the same.
//!
//! It does not check that every node and every constant is used: that costs nothing at run time.

use crate::expr::{Body, ConstKind, Inferred, Op, Type, infer, reads_data};
use crate::ids::{ConstId, NodeId};
use foldhash::fast::RandomState;
use hashbrown::HashSet;

/// What is wrong with a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A node uses one that does not stand before it.
    #[error("{node} uses {operand}, which does not stand before it")]
    OperandOrder {
        /// The user.
        node: NodeId,
        /// The operand.
        operand: NodeId,
    },
    /// The root is not a node of the body.
    #[error("the body returns {0}, which does not exist")]
    Root(NodeId),
    /// A constant slot holds a value of unknown type.
    #[error("{0} has no exact type")]
    UntypedConst(ConstId),
    /// An operator without the operands or constants that it needs.
    #[error(
        "{0} names a constant that does not exist or is of the wrong kind, or has the wrong number of operands"
    )]
    IllFormed(NodeId),
    /// The recorded type is not the one that follows from the operands.
    #[error("{node} is recorded as {recorded} but is {inferred}")]
    WrongType {
        /// The node.
        node: NodeId,
        /// What the node says.
        recorded: Type,
        /// What the typing rules say.
        inferred: Type,
    },
    /// The recorded failure flag is not the one that follows from the operands.
    #[error("{node} is recorded as one that {} fail", if *.recorded { "may" } else { "cannot" })]
    WrongFailure {
        /// The node.
        node: NodeId,
        /// What the node says.
        recorded: bool,
    },
    /// A record with an attribute twice or out of order.
    #[error("the attributes of {0} are not distinct and ascending")]
    RecordOrder(NodeId),
    /// Two nodes that compute the same.
    #[error("{0} computes what an earlier node computes")]
    Duplicate(NodeId),
}

/// Checks a body; see the module's documentation for what is checked. O(nodes).
///
/// # Errors
/// The first violation found.
pub fn verify(body: &Body) -> Result<(), VerifyError> {
    for (i, kind) in body.consts.iter().enumerate() {
        if *kind == ConstKind::Value(Type::Any) {
            return Err(VerifyError::UntypedConst(ConstId::from_index(i)));
        }
    }
    if body.root.index() >= body.nodes.len() {
        return Err(VerifyError::Root(body.root));
    }
    let mut seen: HashSet<&Op, RandomState> = HashSet::default();
    for (i, node) in body.nodes.iter().enumerate() {
        let id = NodeId::from_index(i);
        check_operands(id, &node.op)?;
        let inferred = infer(&node.op, &body.consts, |operand| {
            body.nodes.get(operand.index()).map(|n| Inferred {
                ty: n.ty,
                may_fail: n.may_fail,
            })
        })
        .ok_or(VerifyError::IllFormed(id))?;
        if inferred.ty != node.ty && !reads_data(&node.op) {
            return Err(VerifyError::WrongType {
                node: id,
                recorded: node.ty,
                inferred: inferred.ty,
            });
        }
        if inferred.may_fail != node.may_fail {
            return Err(VerifyError::WrongFailure {
                node: id,
                recorded: node.may_fail,
            });
        }
        if !seen.insert(&node.op) {
            return Err(VerifyError::Duplicate(id));
        }
    }
    Ok(())
}

fn check_operands(id: NodeId, op: &Op) -> Result<(), VerifyError> {
    let mut late = None;
    op.for_each_operand(|operand| {
        if operand >= id && late.is_none() {
            late = Some(operand);
        }
    });
    if let Some(operand) = late {
        return Err(VerifyError::OperandOrder { node: id, operand });
    }
    if let Op::Record(fields) = op
        && !fields.is_sorted_by(|(a, _), (b, _)| a < b)
    {
        return Err(VerifyError::RecordOrder(id));
    }
    Ok(())
}
