//! Calls of builtins.

use super::{Emitter, Operand, TagOf, constant_memory};
use cedarjit_ir::abi::{Builtin, Frame, FrameRest, Returns};
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, InstBuilder, MemFlagsData, SigRef, Signature, Value};
use std::mem::offset_of;

impl Emitter<'_, '_> {
    /// Calls a builtin and returns the word that it returns.
    pub(super) fn call(&mut self, builtin: Builtin, args: &[Value]) -> Value {
        debug_assert_eq!(args.len(), builtin.arity());
        if self.subjects.is_some() && self.gave_up() {
            // There is no builtin where many are decided at a time.
            let unreachable = self.b.create_block();
            self.b.switch_to_block(unreachable);
            return self.iconst(0);
        }
        let signature = self.builtin_signature(args.len());
        let table = self.rest_field(self.pointer, offset_of!(FrameRest, builtins));
        let offset = (builtin as usize * self.pointer.bytes() as usize) as i32;
        let code = self
            .b
            .ins()
            .load(self.pointer, constant_memory(), table, offset);
        let mut values = vec![self.frame];
        values.extend_from_slice(args);
        let call = self.b.ins().call_indirect(signature, code, &values);
        self.b.inst_results(call)[0]
    }

    fn builtin_signature(&mut self, arity: usize) -> SigRef {
        if let Some(known) = self.builtin_signatures[arity] {
            return known;
        }
        let mut signature = Signature::new(self.target.isa.default_call_conv());
        signature.params.push(AbiParam::new(self.pointer));
        for _ in 0..arity {
            signature.params.push(AbiParam::new(I64));
        }
        signature.returns.push(AbiParam::new(I64));
        let reference = self.b.import_signature(signature);
        self.builtin_signatures[arity] = Some(reference);
        reference
    }

    /// Calls a builtin that returns a Boolean and may fail or not.
    pub(super) fn call_bool(&mut self, builtin: Builtin, args: &[Value]) -> Operand {
        let word = self.call(builtin, args);
        if builtin.returns() == Returns::FallibleBool {
            let ok = self.compare_const(IntCC::UnsignedLessThan, word, 2);
            self.require(ok);
        }
        Operand::known(Tag::Bool, word)
    }

    /// Calls a builtin that returns a value or fails; `tag` if every value it returns has it.
    pub(super) fn call_value(
        &mut self,
        builtin: Builtin,
        args: &[Value],
        tag: Option<Tag>,
    ) -> Operand {
        debug_assert_eq!(builtin.returns(), Returns::FallibleValue);
        let ok = self.call(builtin, args);
        self.require(ok);
        let rest = self.frame_field(self.pointer, offset_of!(Frame, rest));
        let mut load = |offset: usize| {
            self.b
                .ins()
                .load(I64, MemFlagsData::trusted(), rest, offset as i32)
        };
        let word = load(offset_of!(FrameRest, result_word));
        match tag {
            Some(tag) => Operand::known(tag, word),
            None => Operand {
                tag: TagOf::Computed(load(offset_of!(FrameRest, result_tag))),
                word,
            },
        }
    }
}
