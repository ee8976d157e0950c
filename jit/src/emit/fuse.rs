//! Fused code: the conditions of many policies in one function.
//!
//! A bucket of policies that apply to the same requests becomes one function that evaluates all of
//! them and answers with a bit for each. Constants are part of the code, and the code relies on
//! [`Facts`].

use super::known::{Facts, Known, analyse};
use super::logic::is_flag;
use super::{Consts, Emitter, Symbols, Target, check_size};
use crate::unit::CompileError;
use cedarjit_ir::expr::Body;
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{
    AbiParam, Function as ClifFunction, InstBuilder, MemFlagsData, Signature,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};

/// The most policies that are fused into one function: they have a bit each.
pub const MAX_FUSED: usize = 64;

/// The most nodes that fused policies may have together; compiling takes more than linear time.
const MAX_FUSED_NODES: usize = 4_000;

/// A policy to fuse: its condition, and at least as many words of constants as that has.
#[derive(Clone, Copy, Debug)]
pub struct FusedPolicy<'a> {
    /// The condition.
    pub body: &'a Body,
    /// The constants.
    pub consts: &'a [u64],
}

/// What fused code turned out to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FusedCode {
    /// It calls builtins.
    pub(crate) calls_builtins: bool,
    /// It has no branches.
    pub(crate) straight: bool,
}

/// The most policies whose outcomes are in one word: see [`fused_signature`].
pub(crate) const MAX_PACKED: usize = 32;

/// The signature of fused code of so many policies.
///
/// Of at most [`MAX_PACKED`] it is `(frame) -> outcomes`: in the lower half a bit for each policy
/// that is satisfied, in the upper half one for each that failed. Of more it is
/// `(frame, failed) -> satisfied`, where the bits of those that failed go to where `failed` points.
/// Code that gives up sets all bits, which no outcome does.
pub(crate) fn fused_signature(isa: &dyn TargetIsa, policies: usize) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(isa.pointer_type()));
    if policies > MAX_PACKED {
        signature.params.push(AbiParam::new(isa.pointer_type()));
    }
    signature.returns.push(AbiParam::new(I64));
    signature
}

/// Writes the CLIF of verified policies into `func`, whose signature is already set.
pub(crate) fn emit_fused(
    policies: &[FusedPolicy<'_>],
    symbols: &dyn Symbols,
    facts: &dyn Facts,
    target: Target<'_>,
    func: &mut ClifFunction,
    context: &mut FunctionBuilderContext,
) -> Result<FusedCode, CompileError> {
    check_fused(policies)?;
    let mut builder = FunctionBuilder::new(func, context);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let frame = builder.block_params(entry)[0];
    let failed_out = builder.block_params(entry).get(1).copied();
    let zero = builder.ins().iconst(I64, 0);
    let satisfied = builder.declare_var(I64);
    builder.def_var(satisfied, zero);
    let masks = match failed_out {
        None => Masks {
            satisfied,
            failed: satisfied,
            first_failed: MAX_PACKED as u32,
        },
        Some(_) => {
            let failed = builder.declare_var(I64);
            builder.def_var(failed, zero);
            Masks {
                satisfied,
                failed,
                first_failed: 0,
            }
        }
    };
    let mut emitter = Emitter::new(builder, target, symbols, frame);
    let give_up = emitter.b.create_block();
    emitter.b.set_cold_block(give_up);
    emitter.give_up = Some(give_up);
    emitter.facts = Some(facts);
    let mut straight = true;
    for (bit, policy, known) in branches_first(policies, facts) {
        emitter.start(policy.body, Consts::Words(policy.consts), known);
        straight &= emitter.fused(bit as u32, masks);
    }
    let code = FusedCode {
        calls_builtins: emitter.calls_builtins(),
        straight,
    };
    let mut builder = emitter.b;
    let outcomes = builder.use_var(masks.satisfied);
    if let Some(out) = failed_out {
        let failed = builder.use_var(masks.failed);
        (builder.ins()).store(MemFlagsData::trusted(), failed, out, 0);
    }
    builder.ins().return_(&[outcomes]);
    builder.switch_to_block(give_up);
    let all = builder.ins().iconst(I64, -1);
    if let Some(out) = failed_out {
        (builder.ins()).store(MemFlagsData::trusted(), all, out, 0);
    }
    builder.ins().return_(&[all]);
    builder.seal_all_blocks();
    builder.finalize(target.isa.frontend_config());
    Ok(code)
}

/// The policies with their numbers and what is known of their nodes, those without branches last:
/// what these compute need not be kept while others run.
fn branches_first<'a, 'p>(
    policies: &'a [FusedPolicy<'p>],
    facts: &dyn Facts,
) -> Vec<(usize, &'a FusedPolicy<'p>, Vec<Known>)> {
    let numbered = policies.iter().enumerate();
    let analysed = numbered.map(|(bit, policy)| {
        let known = analyse(policy.body, Some((policy.consts, facts)), None);
        (bit, policy, known)
    });
    let mut ordered: Vec<_> = analysed.collect();
    ordered.sort_by_key(|(_, policy, known)| is_flag(known, policy.body.root));
    ordered
}

pub(super) fn check_fused(policies: &[FusedPolicy<'_>]) -> Result<(), CompileError> {
    let too_large = |what, size, limit| {
        if size > limit {
            return Err(CompileError::TooLarge { what, size, limit });
        }
        Ok(())
    };
    too_large("number of fused policies", policies.len(), MAX_FUSED)?;
    let nodes = policies.iter().map(|p| p.body.nodes.len()).sum();
    too_large("number of fused nodes", nodes, MAX_FUSED_NODES)?;
    policies.iter().try_for_each(|p| check_size(p.body))
}

/// The results so far.
#[derive(Clone, Copy)]
struct Masks {
    satisfied: Variable,
    /// The same where outcomes are in one word.
    failed: Variable,
    /// The bit of the first policy that failed.
    first_failed: u32,
}

impl Emitter<'_, '_> {
    /// Evaluates the body at hand, and goes on in a new block or the same; whether in the same.
    fn fused(&mut self, bit: u32, masks: Masks) -> bool {
        let root = self.body.root;
        let known = self.known(root);
        let is_bool = known.values.tag == Some(Tag::Bool);
        if is_bool && known.word == Some(0) {
            return true;
        }
        if is_flag(&self.known, root) {
            let flag = self.word_of(root, Tag::Bool);
            let flag = self.shift_left(flag, i64::from(bit));
            self.add_to(masks.satisfied, flag);
            return true;
        }
        let (satisfied, next) = (self.b.create_block(), self.b.create_block());
        self.branch(root, satisfied, next);
        let fail = self.fail;
        let failed_bit = masks.first_failed + bit;
        for (block, mask, bit) in [
            (satisfied, masks.satisfied, bit),
            (fail, masks.failed, failed_bit),
        ] {
            self.b.switch_to_block(block);
            let flag = self.iconst((1_u64 << bit).cast_signed());
            self.add_to(mask, flag);
            self.b.ins().jump(next, &[]);
        }
        self.b.switch_to_block(next);
        false
    }

    fn add_to(&mut self, mask: Variable, flag: cranelift_codegen::ir::Value) {
        let before = self.b.use_var(mask);
        let after = self.b.ins().bor(before, flag);
        self.b.def_var(mask, after);
    }
}
