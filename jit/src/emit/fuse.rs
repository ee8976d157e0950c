//! Fused code: the conditions of many policies in one function.
//!
//! A bucket of policies that apply to the same requests becomes one function that evaluates all of
//! them and answers with a bit for each. Constants are part of the code, and the code relies on
//! [`Facts`].

use super::known::{Facts, analyse};
use super::logic::MAX_FLAG_COST;
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

/// The signature of fused code: `(frame, failed) -> satisfied`, a bit for each policy.
///
/// The bits of policies that failed go to where `failed` points. Code that gives up sets all bits of
/// both, which no outcome does.
pub(crate) fn fused_signature(isa: &dyn TargetIsa) -> Signature {
    let mut signature = Signature::new(isa.default_call_conv());
    signature.params.push(AbiParam::new(isa.pointer_type()));
    signature.params.push(AbiParam::new(isa.pointer_type()));
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
    let (frame, failed_out) = (
        builder.block_params(entry)[0],
        builder.block_params(entry)[1],
    );
    let masks = Masks {
        satisfied: builder.declare_var(I64),
        failed: builder.declare_var(I64),
    };
    let zero = builder.ins().iconst(I64, 0);
    builder.def_var(masks.satisfied, zero);
    builder.def_var(masks.failed, zero);
    let mut emitter = Emitter::new(builder, target, symbols, frame);
    let give_up = emitter.b.create_block();
    emitter.b.set_cold_block(give_up);
    emitter.give_up = Some(give_up);
    let mut straight = true;
    for (bit, policy) in policies.iter().enumerate() {
        let known = analyse(policy.body, Some((policy.consts, facts)), None);
        emitter.start(policy.body, Consts::Words(policy.consts), known);
        straight &= emitter.fused(bit as u32, masks);
    }
    let code = FusedCode {
        calls_builtins: emitter.calls_builtins(),
        straight,
    };
    let mut builder = emitter.b;
    let failed = builder.use_var(masks.failed);
    builder
        .ins()
        .store(MemFlagsData::trusted(), failed, failed_out, 0);
    let satisfied = builder.use_var(masks.satisfied);
    builder.ins().return_(&[satisfied]);
    builder.switch_to_block(give_up);
    let all = builder.ins().iconst(I64, -1);
    builder
        .ins()
        .store(MemFlagsData::trusted(), all, failed_out, 0);
    builder.ins().return_(&[all]);
    builder.seal_all_blocks();
    builder.finalize(target.isa.frontend_config());
    Ok(code)
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
    failed: Variable,
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
        if is_bool && known.cost.is_some_and(|cost| cost <= MAX_FLAG_COST) {
            let flag = self.word_of(root, Tag::Bool);
            let flag = self.shift_left(flag, i64::from(bit));
            self.add_to(masks.satisfied, flag);
            return true;
        }
        let (satisfied, next) = (self.b.create_block(), self.b.create_block());
        self.branch(root, satisfied, next);
        let fail = self.fail;
        for (block, mask) in [(satisfied, masks.satisfied), (fail, masks.failed)] {
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
