//! Code for many entities at a time: fused policies in a loop over the principals or over the
//! resources, with what stays the same computed before it.
//!
//! One of principal and resource is the same in all rounds, the other *varies*. What depends on the
//! one that stays alone the code generator moves before the loop, where it may be read whatever
//! happens. Whether the one that stays is in some stored entity is looked up in a bit set of its
//! ancestors. The result is not which policies are satisfied, but the decision.

use super::fuse::check_fused;
use super::known::{Facts, Known, Subject, analyse};
use super::logic::is_flag;
use super::lookup::{Lookup, LookupTable, Lookups};
use super::{Consts, Emitter, FusedPolicy, Operand, Symbols, Target, arg, checked_memory};
use crate::unit::CompileError;
use cedarjit_ir::abi::{EntityHeader, Frame};
use cedarjit_ir::expr::{Body, Op, Var};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, Function as ClifFunction, InstBuilder, MemFlagsData, Signature, Value,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::mem::offset_of;

/// What code for many entities is made of, and what it may rely on.
#[derive(Clone, Copy)]
pub struct BatchSource<'a> {
    /// The policies.
    pub policies: &'a [FusedPolicy<'a>],
    /// The bits of the policies that permit; the others forbid.
    pub permits: u64,
    /// Which of principal and resource varies.
    pub varied: Var,
    /// Of what kind the entities are that the code decides about; it leaves others undecided.
    pub kind: Subject,
    /// What holds for all of them, for the one that stays, and for the store.
    pub facts: &'a dyn Facts,
    /// Whether the code looks up the answers to what [`Lookup`]s ask. Then these must be there.
    pub lookups: bool,
}

/// What code says of one entity: bits.
pub(crate) mod answer {
    /// A policy that permits is satisfied.
    pub(crate) const PERMITTED: u8 = 1;
    /// A policy that forbids is satisfied.
    pub(crate) const FORBIDDEN: u8 = 2;
    /// The code gave up: this entity is to be asked about by itself.
    pub(crate) const GAVE_UP: u8 = 4;
    /// The entity is of another kind.
    pub(crate) const OTHER_KIND: u8 = 8;
}

/// The signature: `(frame, ids, answers, count, ancestors of the one that stays, lookups) -> all
/// answers`.
///
/// `answers` has a byte for each of the `count` ids, which is at least 1. `lookups` has for each 64
/// entities a word of each question. The result is all answers or-ed.
pub(crate) fn batch_signature(isa: &dyn TargetIsa) -> Signature {
    let pointer = AbiParam::new(isa.pointer_type());
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.extend([pointer; 3]);
    signature.params.push(AbiParam::new(I64));
    signature.params.extend([pointer; 2]);
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// Principal and resource, in code for many entities.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subjects {
    varied: (Var, Value, Value),
    fixed: (Var, Value, Value),
    /// The address of a bit set by entity id: the one that stays and its ancestors.
    members: Value,
}

impl Subjects {
    /// The id and the address of the header of the principal or the resource.
    pub(super) fn get(&self, var: Var) -> Option<(Value, Value)> {
        let subjects = [self.varied, self.fixed];
        let found = subjects.iter().find(|(of, ..)| *of == var);
        found.map(|(_, id, header)| (*id, *header))
    }

    /// The address of the header of an entity that is one of them.
    pub(super) fn header(&self, id: Value) -> Option<Value> {
        let subjects = [self.varied, self.fixed];
        let found = subjects.iter().find(|(_, of, _)| *of == id);
        found.map(|(.., header)| *header)
    }

    /// Whether this header may be read anywhere.
    pub(super) fn is_fixed_header(&self, header: Value) -> bool {
        header == self.fixed.2
    }

    fn is_fixed(&self, id: Value) -> bool {
        id == self.fixed.1
    }
}

/// One round's results.
#[derive(Clone, Copy)]
struct Flags {
    permitted: Variable,
    forbidden: Variable,
}

/// What is known of each policy, and what can be looked up.
fn analyse_all(source: &BatchSource<'_>, symbols: &dyn Symbols) -> (Vec<Vec<Known>>, Vec<Lookup>) {
    let mut lookups = Lookups::new(source.varied, symbols, source.lookups);
    let policies = source.policies.iter();
    let known = policies.map(|policy| {
        let fused = Some((policy.consts, source.facts));
        analyse(policy.body, fused, Some(&mut lookups))
    });
    let known = known.collect();
    (known, lookups.into_found())
}

/// Writes the CLIF of verified policies into `func`, whose signature is already set. What the code
/// looks up or, if it does not, what could be.
pub(crate) fn emit_batch(
    source: &BatchSource<'_>,
    symbols: &dyn Symbols,
    target: Target<'_>,
    func: &mut ClifFunction,
    context: &mut FunctionBuilderContext,
) -> Result<Vec<Lookup>, CompileError> {
    check_fused(source.policies)?;
    let (known, lookups) = analyse_all(source, symbols);
    let mut builder = FunctionBuilder::new(func, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let params = builder.block_params(entry);
    let (frame, ids, answers) = (params[0], params[1], params[2]);
    let (count, members, words) = (params[3], params[4], params[5]);
    let flags = Flags {
        permitted: builder.declare_var(I64),
        forbidden: builder.declare_var(I64),
    };
    let mut emitter = Emitter::new(builder, target, symbols, frame);
    emitter.facts = Some(source.facts);
    let (round, answered) = (emitter.b.create_block(), emitter.b.create_block());
    let index = emitter.b.append_block_param(round, I64);
    let before = emitter.b.append_block_param(round, I64);
    let answer = emitter.b.append_block_param(answered, I64);
    let fixed = emitter.fixed_subject(source.varied);
    let zero = emitter.iconst(0);
    emitter.b.ins().jump(round, &[arg(zero), arg(zero)]);

    emitter.b.switch_to_block(round);
    let varied = emitter.varied_subject(ids, index, source);
    emitter.lookups = Some(LookupTable {
        words,
        count: lookups.len(),
        varied: varied.1,
    });
    emitter.subjects = Some(Subjects {
        varied,
        fixed,
        members,
    });
    emitter.leave_unless_kind(varied.2, source.kind, answered);
    emitter.round(source, known, flags, answered);

    emitter.b.switch_to_block(answered);
    let address = emitter.b.ins().iadd(answers, index);
    emitter
        .b
        .ins()
        .istore8(MemFlagsData::trusted(), answer, address, 0);
    let all = emitter.b.ins().bor(before, answer);
    let next = emitter.add_const(index, 1);
    let more = emitter.b.ins().icmp(IntCC::UnsignedLessThan, next, count);
    let done = emitter.b.create_block();
    let again = [arg(next), arg(all)];
    emitter.b.ins().brif(more, round, &again, done, &[]);
    emitter.b.switch_to_block(done);
    emitter.b.ins().return_(&[all]);
    let mut builder = emitter.b;
    builder.seal_all_blocks();
    builder.finalize(target.isa.frontend_config());
    Ok(lookups)
}

impl<'a> Emitter<'a, '_> {
    fn fixed_subject(&mut self, varied: Var) -> (Var, Value, Value) {
        let (var, id, header) = match varied {
            Var::Principal => (
                Var::Resource,
                offset_of!(Frame, resource),
                offset_of!(Frame, resource_header),
            ),
            _ => (
                Var::Principal,
                offset_of!(Frame, principal),
                offset_of!(Frame, principal_header),
            ),
        };
        let id = self.frame_id(id);
        (var, id, self.frame_field(self.pointer, header))
    }

    fn varied_subject(
        &mut self,
        ids: Value,
        index: Value,
        source: &BatchSource<'_>,
    ) -> (Var, Value, Value) {
        let offset = self.shift_left(index, 2);
        let address = self.b.ins().iadd(ids, offset);
        let id = self.b.ins().load(I32, checked_memory(), address, 0);
        let id = self.b.ins().uextend(I64, id);
        let table = offset_of!(Frame, headers);
        let table = self.frame_field(self.pointer, table);
        let header = self.header_in(table, id);
        (source.varied, id, header)
    }

    /// Goes on if the entity with this header is of the kind that the code is for.
    fn leave_unless_kind(&mut self, header: Value, kind: Subject, answered: Block) {
        let ty = self.header_field(header, offset_of!(EntityHeader, ty));
        let attrs = self.header_field(header, offset_of!(EntityHeader, attrs));
        let exists = match kind.exists {
            true => IntCC::NotEqual,
            false => IntCC::Equal,
        };
        let exists = self.compare_const(exists, attrs, 0);
        let same = self.compare_const(IntCC::Equal, ty, i64::from(kind.ty.0));
        let fits = self.b.ins().band(same, exists);
        let (next, other) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(other);
        self.b.ins().brif(fits, next, &[], other, &[]);
        self.answer_with(other, answer::OTHER_KIND, answered);
        self.b.switch_to_block(next);
    }

    fn answer_with(&mut self, block: Block, answer: u8, answered: Block) {
        self.b.switch_to_block(block);
        let answer = self.iconst(i64::from(answer));
        self.b.ins().jump(answered, &[arg(answer)]);
    }

    /// Evaluates all policies for one entity, those without branches first.
    fn round(
        &mut self,
        source: &BatchSource<'a>,
        known: Vec<Vec<Known>>,
        flags: Flags,
        answered: Block,
    ) {
        let zero = self.iconst(0);
        self.b.def_var(flags.permitted, zero);
        self.b.def_var(flags.forbidden, zero);
        let give_up = self.b.create_block();
        self.b.set_cold_block(give_up);
        self.give_up = Some(give_up);
        let numbered = source.policies.iter().zip(known).enumerate();
        let numbered = numbered.map(|(bit, (policy, known))| (bit, policy, known));
        let mut policies: Vec<(usize, &FusedPolicy<'a>, Vec<Known>)> = numbered.collect();
        policies.sort_by_key(|(_, policy, known)| !is_flag(known, policy.body.root));
        for (bit, policy, known) in policies {
            let effect = match source.permits >> bit & 1 {
                0 => flags.forbidden,
                _ => flags.permitted,
            };
            self.start(policy.body, Consts::Words(policy.consts), known);
            self.varies = varying(policy.body, source.varied);
            self.policy(effect);
        }
        let permitted = self.b.use_var(flags.permitted);
        let forbidden = self.b.use_var(flags.forbidden);
        let forbidden = self.shift_left(forbidden, 1);
        let both = self.b.ins().bor(permitted, forbidden);
        self.b.ins().jump(answered, &[arg(both)]);
        self.answer_with(give_up, answer::GAVE_UP, answered);
    }

    /// Evaluates the body at hand; a policy that fails is as one that is not satisfied.
    fn policy(&mut self, effect: Variable) {
        let root = self.body.root;
        let known = self.known(root);
        if known.values.tag == Some(Tag::Bool) && known.word == Some(0) {
            return;
        }
        if is_flag(&self.known, root) {
            let flag = self.word_of(root, Tag::Bool);
            let before = self.b.use_var(effect);
            let after = self.b.ins().bor(before, flag);
            self.b.def_var(effect, after);
            return;
        }
        let (satisfied, next) = (self.b.create_block(), self.b.create_block());
        self.branch(root, satisfied, next);
        self.b.switch_to_block(satisfied);
        let one = self.iconst(1);
        self.b.def_var(effect, one);
        self.b.ins().jump(next, &[]);
        let fail = self.fail;
        self.b.switch_to_block(fail);
        if planted(Fault::BatchFailureSatisfies) {
            self.b.def_var(effect, one);
        }
        self.b.ins().jump(next, &[]);
        self.b.switch_to_block(next);
    }

    /// Whether the one that stays is in an entity that a stored attribute names, as a flag; `None`
    /// if this is not asked.
    pub(super) fn is_member(&mut self, left: Value, right: NodeId) -> Option<Operand> {
        let subjects = self.subjects.filter(|subjects| subjects.is_fixed(left))?;
        // The bit set has a place for every stored entity, not for those of the request.
        let stored = self.known(right).place.is_some();
        if !stored || !self.varies(right) {
            return None;
        }
        let entity = self.word_of(right, Tag::Entity);
        let word = self.shift_right(entity, 6);
        let word = self.word_address(subjects.members, word);
        let word = self.b.ins().load(I64, checked_memory(), word, 0);
        // The machine looks at the low six bits.
        let bit = self.b.ins().ushr(word, entity);
        let bit = self.and_const(bit, 1);
        Some(Operand::known(Tag::Bool, bit))
    }

    /// Whether a node's value depends on the one that varies.
    pub(super) fn varies(&self, id: NodeId) -> bool {
        self.varies.get(id.index()).copied().unwrap_or(true)
    }
}

/// For each node, whether it depends on a variable.
fn varying(body: &Body, var: Var) -> Vec<bool> {
    let mut varies: Vec<bool> = Vec::with_capacity(body.nodes.len());
    for node in &body.nodes {
        let mut any = matches!(node.op, Op::Var(of) if of == var);
        node.op
            .for_each_operand(|operand| any |= varies.get(operand.index()).is_none_or(|v| *v));
        varies.push(any);
    }
    varies
}
