//! What the engine makes of a policy, as a Cedar expression: so that it can be compared with the
//! policy, whatever made it.
//!
//! The expression has the entry in the scope index, the action constraint as the actions that it was
//! resolved to, and the optimised IR with the policy's own words in its table of constants.

use crate::index::{Posting, Side, postings};
use crate::policies::Evaluable;
use crate::request::RequestValues;
use crate::snapshot::Snapshot;
use crate::values::{ScratchSpace, ValueContext};
use cedarjit_frontend::hir::{BinaryOp, BoundPolicy, syntax};
use cedarjit_frontend::limits::with_big_stack;
use cedarjit_ir::expr::{Body, ConstKind, Op};
use cedarjit_ir::ids::{ConstId, EntityId, NodeId, PatternId, TypeId};
use cedarjit_ir::pattern::Pattern;
use cedarjit_ir::value::Value;
use std::sync::Arc;

/// How many nodes an expression may have that is written: in the IR equal ones are one, so that it
/// may be exponentially smaller.
const MAX_NODES: usize = 50_000;

/// What an engine made of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompiledCondition {
    /// The policy's id.
    pub policy: String,
    /// A Cedar expression over the request that is true where the engine finds the policy satisfied,
    /// fails where it finds that the policy fails, and is false elsewhere; `None` if it would be too
    /// large to be written.
    pub expression: Option<String>,
}

impl Snapshot {
    /// What the engine made of each policy, in the order of their ids.
    ///
    /// Native code and the interpreter of the IR's shapes are made from this; how code is generated,
    /// alone or fused, is not in it. O(policies), and the size of their text.
    pub fn compiled_conditions(&self) -> Vec<CompiledCondition> {
        let mut policies: Vec<_> = self.all_policies().collect();
        policies.sort_unstable_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let bound: Vec<BoundPolicy> = policies
            .iter()
            .map(|(_, policy)| (*policy).clone())
            .collect();
        let postings = postings(&bound, &self.store);
        let write = || {
            let policies = policies.iter().zip(&postings);
            let written = policies.map(|((index, policy), posting)| CompiledCondition {
                policy: policy.id.to_string(),
                expression: self.evaluable(*index).and_then(|evaluable| {
                    let mut scratch = ScratchSpace::new();
                    let request = RequestValues::unbound(&self.interner);
                    let writer = Writer {
                        values: ValueContext {
                            interner: &self.interner,
                            store: &self.store,
                            request: &request,
                            scratch: &mut scratch,
                        },
                        patterns: &self.table.patterns,
                        evaluable,
                    };
                    writer.condition(posting)
                }),
            });
            written.collect()
        };
        with_big_stack(write).unwrap_or_default()
    }
}

struct Writer<'a> {
    values: ValueContext<'a>,
    patterns: &'a [Arc<Pattern>],
    evaluable: Evaluable<'a>,
}

impl Writer<'_> {
    /// The whole condition: entry in the index, actions, body.
    fn condition(&self, posting: &Posting) -> Option<String> {
        let side = |side: Side| match side {
            Side::Principal => "principal",
            Side::Resource => "resource",
        };
        let mut parts = Vec::new();
        if let Some((under, entity)) = posting.under {
            let entity = self.values.uid_text(entity);
            parts.push(syntax::binary(BinaryOp::In, side(under), &entity));
        }
        if let Some((under, ty)) = posting.of_type {
            parts.push(syntax::is(side(under), self.type_name(ty), None));
        }
        if let Some(actions) = &posting.actions {
            let is = |action: &EntityId| {
                syntax::binary(BinaryOp::Eq, "action", &self.values.uid_text(*action))
            };
            let actions: Vec<String> = actions.iter().map(is).collect();
            parts.push(match &actions[..] {
                [] => "false".to_owned(),
                [one] => one.clone(),
                more => syntax::or(more),
            });
        }
        let body = &self.evaluable.body.body;
        let mut left = MAX_NODES;
        parts.push(self.node(body, body.root, &mut left)?);
        Some(syntax::and(&parts))
    }

    fn type_name(&self, ty: TypeId) -> &str {
        self.values.str(ty.name())
    }

    fn word(&self, constant: ConstId) -> Option<u64> {
        self.evaluable.consts.get(constant.index()).copied()
    }

    fn pattern(&self, constant: ConstId) -> Option<&Pattern> {
        let id = PatternId(u32::try_from(self.word(constant)?).ok()?);
        self.patterns.get(id.index()).map(|pattern| &**pattern)
    }

    fn constant(&self, body: &Body, constant: ConstId) -> Option<String> {
        let ConstKind::Value(ty) = body.consts.get(constant.index())? else {
            return None;
        };
        let (tag, word) = (ty.tag()?, self.word(constant)?);
        let text = self.values.text(Value { tag, word });
        Some(match text.starts_with('-') {
            true => format!("({text})"),
            false => text,
        })
    }

    fn nodes(&self, body: &Body, ids: &[NodeId], left: &mut usize) -> Option<Vec<String>> {
        ids.iter().map(|id| self.node(body, *id, left)).collect()
    }

    /// A node and what it is made of; `None` once more than `left` nodes were written.
    fn node(&self, body: &Body, id: NodeId, left: &mut usize) -> Option<String> {
        *left = left.checked_sub(1)?;
        let mut of = |id: &NodeId| self.node(body, *id, left);
        Some(match &body.nodes.get(id.index())?.op {
            Op::Const(constant) => self.constant(body, *constant)?,
            Op::Bool(b) => b.to_string(),
            Op::Var(var) => var.name().to_owned(),
            Op::Unary(op, a) => syntax::unary(*op, &of(a)?),
            Op::Binary(op, a, b) => syntax::binary(*op, &of(a)?, &of(b)?),
            Op::And(items) => syntax::and(&self.nodes(body, items, left)?),
            Op::Or(items) => syntax::or(&self.nodes(body, items, left)?),
            Op::If(c, t, e) => syntax::choice(&of(c)?, &of(t)?, &of(e)?),
            Op::GetAttr(base, name) => syntax::attribute(&of(base)?, name),
            Op::HasAttr(base, name) => syntax::has(&of(base)?, name),
            Op::Like(text, pattern) => syntax::like(&of(text)?, self.pattern(*pattern)?),
            Op::Is(entity, ty) => {
                let name = TypeId(u32::try_from(self.word(*ty)?).ok()?);
                syntax::is(&of(entity)?, self.type_name(name), None)
            }
            Op::Set(items) => syntax::set(&self.nodes(body, items, left)?),
            Op::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| Some((&**name, of(value)?)));
                syntax::record(fields.collect::<Option<Vec<_>>>()?)
            }
            Op::Call(func, args) => syntax::call(*func, &self.nodes(body, args, left)?),
        })
    }
}
