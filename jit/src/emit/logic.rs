//! Boolean structure as control flow.

use super::known::Known;
use super::{Emitter, Operand, TagOf, arg};
use cedarjit_ir::expr::{BinaryOp, Op, Type as IrType, UnaryOp};
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, InstBuilder};

/// The most instructions that are computed without branches rather than jumped over: about what a
/// mispredicted branch costs.
const MAX_FLAG_COST: u32 = 64;

/// Whether a condition is computed without a branch.
pub(super) fn is_flag(known: &[Known], root: NodeId) -> bool {
    let known = known.get(root.index()).copied().unwrap_or_default();
    let cost = known.cost.is_some_and(|cost| cost <= MAX_FLAG_COST);
    cost && known.values.tag == Some(Tag::Bool)
}

impl Emitter<'_, '_> {
    /// The operands, none of which has branches or can fail, all or-ed, or and-ed if `all`.
    pub(super) fn flags(&mut self, items: &[NodeId], all: bool) -> Operand {
        let mut result = None;
        for item in items {
            let word = self.word_of(*item, Tag::Bool);
            result = Some(match result {
                None => word,
                Some(other) if all => self.b.ins().band(other, word),
                Some(other) => self.b.ins().bor(other, word),
            });
        }
        let word = result.unwrap_or_else(|| self.iconst(i64::from(all)));
        Operand::known(Tag::Bool, word)
    }

    /// Ends the current block by going to `then` if the node is true, to `els` if it is false, and
    /// to the failure block if it is no Boolean.
    ///
    /// What the node computes on the way to both blocks stays known.
    pub(super) fn branch(&mut self, id: NodeId, then: Block, els: Block) {
        let known = self.known(id);
        if let (Some(word), Some(Tag::Bool)) = (known.word, known.values.tag) {
            let target = if word != 0 { then } else { els };
            self.b.ins().jump(target, &[]);
            return;
        }
        let flag = known.cost.is_some_and(|cost| cost <= MAX_FLAG_COST);
        if self.memo[id.index()].is_none() && !flag {
            let body = self.body;
            match &body.node(id).op {
                Op::Bool(b) => {
                    let target = if *b { then } else { els };
                    self.b.ins().jump(target, &[]);
                    return;
                }
                Op::Unary(UnaryOp::Not, a) => return self.branch(*a, els, then),
                Op::And(items) => return self.chain(items, |next| (next, els), then, els),
                Op::Or(items) => return self.chain(items, |next| (then, next), then, els),
                Op::If(c, t, e) => return self.branch_if(*c, *t, *e, then, els),
                Op::Binary(BinaryOp::In, a, b) => {
                    return self.branch_in(*a, *b, known.flat, then, els);
                }
                Op::Binary(BinaryOp::Contains, a, b) => {
                    return self.branch_contains(*a, *b, then, els);
                }
                _ => {}
            }
        }
        let word = self.word_of(id, Tag::Bool);
        self.b.ins().brif(word, then, &[], els, &[]);
    }

    /// An `and` or `or`: each operand but the last goes to `targets(next)`, the last decides.
    fn chain(
        &mut self,
        items: &[NodeId],
        targets: impl Fn(Block) -> (Block, Block),
        then: Block,
        els: Block,
    ) {
        let Some((last, before)) = items.split_last() else {
            self.fail_always();
            self.b.ins().jump(els, &[]);
            return;
        };
        let mut reaches_both = None;
        let guards = self.guards.len();
        for item in before {
            let next = self.b.create_block();
            let (on_true, on_false) = targets(next);
            let leads = on_true == next;
            let guard = match leads {
                true => self.branch_has(*item, on_true, on_false),
                false => None,
            };
            if guard.is_none() {
                self.branch(*item, on_true, on_false);
            }
            self.b.switch_to_block(next);
            self.guards.extend(guard);
            // Only the first operand is computed whichever way the chain ends.
            reaches_both.get_or_insert(self.mark());
        }
        self.branch(*last, then, els);
        self.guards.truncate(guards);
        if let Some(mark) = reaches_both {
            self.forget_since(mark);
        }
    }

    fn branch_if(&mut self, c: NodeId, t: NodeId, e: NodeId, then: Block, els: Block) {
        let (on_true, on_false) = (self.b.create_block(), self.b.create_block());
        self.branch(c, on_true, on_false);
        let mark = self.mark();
        for (block, arm) in [(on_true, t), (on_false, e)] {
            self.b.switch_to_block(block);
            self.branch(arm, then, els);
            self.forget_since(mark);
        }
    }

    /// The 0 or 1 of a node that is control flow.
    pub(super) fn materialise(&mut self, id: NodeId) -> Operand {
        self.materialise_jump(|e, then, els| e.branch(id, then, els))
    }

    pub(super) fn conditional(&mut self, c: NodeId, t: NodeId, e: NodeId, ty: IrType) -> Operand {
        let (on_true, on_false) = (self.b.create_block(), self.b.create_block());
        let join = self.b.create_block();
        let word = self.b.append_block_param(join, I64);
        let tag = match ty.tag() {
            Some(tag) => TagOf::Known(tag),
            None => TagOf::Computed(self.b.append_block_param(join, I64)),
        };
        self.branch(c, on_true, on_false);
        let mark = self.mark();
        for (block, arm) in [(on_true, t), (on_false, e)] {
            self.b.switch_to_block(block);
            let value = self.operand(arm);
            let mut args = vec![arg(value.word)];
            if let TagOf::Computed(_) = tag {
                args.push(arg(self.tag_value(value.tag)));
            }
            self.b.ins().jump(join, &args);
            self.forget_since(mark);
        }
        self.b.switch_to_block(join);
        Operand { tag, word }
    }
}
