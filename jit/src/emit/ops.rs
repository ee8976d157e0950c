//! Operators and extension functions.

use super::known::differ;
use super::{Emitter, Operand, TagOf, checked_memory, unaligned_memory};
use cedarjit_ir::abi::{BUCKET_BYTES, Builtin, EntityHeader, Frame};
use cedarjit_ir::expr::{BinaryOp, UnaryOp};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Heap;
use cedarjit_ir::ids::{ConstId, NodeId};
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I32X4, I64};
use cranelift_codegen::ir::{Block, InstBuilder, Value};
use std::mem::offset_of;

/// The buckets of one entity's ancestors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Buckets {
    search: Value,
    first: Value,
}

impl Emitter<'_, '_> {
    pub(super) fn unary(&mut self, op: UnaryOp, a: NodeId) -> Operand {
        match op {
            UnaryOp::Not => {
                let word = self.word_of(a, Tag::Bool);
                let one = self.iconst(1);
                let word = self.b.ins().bxor(word, one);
                Operand::known(Tag::Bool, word)
            }
            UnaryOp::Neg => {
                let word = self.word_of(a, Tag::Long);
                let ok = self.compare_const(IntCC::NotEqual, word, i64::MIN);
                self.require(ok);
                let word = self.b.ins().ineg(word);
                Operand::known(Tag::Long, word)
            }
            UnaryOp::IsEmpty => {
                // There is one empty set, but it may be in any heap: look at the length.
                let set = self.word_of(a, Tag::Set);
                let object = self.heap_object(set);
                let first = self.b.ins().load(I64, checked_memory(), object, 0);
                let length = self.and_const(first, Heap::LENGTH_MASK.cast_signed());
                let empty = self.compare_const(IntCC::Equal, length, 0);
                self.truth(empty)
            }
        }
    }

    fn truth(&mut self, flag: Value) -> Operand {
        let word = self.widen(flag);
        Operand::known(Tag::Bool, word)
    }

    /// The node `id`, which is this operation.
    pub(super) fn binary(&mut self, id: NodeId, op: BinaryOp, a: NodeId, b: NodeId) -> Operand {
        // Both sides first, then types: an operand's own failure comes before a type error.
        let left = self.operand(a);
        let right = self.operand(b);
        match op {
            BinaryOp::Eq => self.equal(left, right),
            BinaryOp::Less => self.ordered(IntCC::SignedLessThan, left, right),
            BinaryOp::LessEq => self.ordered(IntCC::SignedLessThanOrEqual, left, right),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => {
                self.require_tag(left, Tag::Long);
                self.require_tag(right, Tag::Long);
                let word = match op {
                    BinaryOp::Add => self.checked_add(left.word, right.word),
                    BinaryOp::Sub => self.checked_sub(left.word, right.word),
                    _ => self.checked_mul(left.word, right.word),
                };
                Operand::known(Tag::Long, word)
            }
            BinaryOp::In | BinaryOp::Contains => self.materialise(id),
            BinaryOp::ContainsAll => self.on_sets(Builtin::ContainsAll, left, right),
            BinaryOp::ContainsAny => self.on_sets(Builtin::ContainsAny, left, right),
            BinaryOp::GetTag => {
                self.require_tag(left, Tag::Entity);
                self.require_tag(right, Tag::String);
                let result = self.body.node(id).ty.tag();
                self.call_value(Builtin::GetTag, &[left.word, right.word], result)
            }
            BinaryOp::HasTag => {
                self.require_tag(left, Tag::Entity);
                self.require_tag(right, Tag::String);
                self.call_bool(Builtin::HasTag, &[left.word, right.word])
            }
        }
    }

    fn on_sets(&mut self, builtin: Builtin, left: Operand, right: Operand) -> Operand {
        self.require_tag(left, Tag::Set);
        self.require_tag(right, Tag::Set);
        self.call_bool(builtin, &[left.word, right.word])
    }

    /// Values are interned, so equality is equality of tag and word.
    fn equal(&mut self, left: Operand, right: Operand) -> Operand {
        let words = self.b.ins().icmp(IntCC::Equal, left.word, right.word);
        let flag = match (left.tag, right.tag) {
            (TagOf::Known(l), TagOf::Known(r)) if l == r => words,
            (TagOf::Known(_), TagOf::Known(_)) => {
                let zero = self.iconst(0);
                return Operand::known(Tag::Bool, zero);
            }
            (TagOf::Known(_), _) | (_, TagOf::Known(_)) if planted(Fault::EqualIgnoresTag) => words,
            _ => {
                let l = self.tag_value(left.tag);
                let r = self.tag_value(right.tag);
                let tags = self.b.ins().icmp(IntCC::Equal, l, r);
                self.b.ins().band(tags, words)
            }
        };
        self.truth(flag)
    }

    /// `<` and `<=`: both integers, both datetimes or both durations.
    fn ordered(&mut self, mut cc: IntCC, left: Operand, right: Operand) -> Operand {
        const ORDERED: [Tag; 3] = [Tag::Long, Tag::Datetime, Tag::Duration];
        match (left.tag, right.tag) {
            (TagOf::Known(tag), _) if ORDERED.contains(&tag) => self.require_tag(right, tag),
            (_, TagOf::Known(tag)) if ORDERED.contains(&tag) => self.require_tag(left, tag),
            (TagOf::Known(_), _) | (_, TagOf::Known(_)) => self.fail_always(),
            (TagOf::Computed(l), TagOf::Computed(r)) => {
                let same = self.b.ins().icmp(IntCC::Equal, l, r);
                self.require(same);
                let mask: i64 = ORDERED.iter().map(|tag| 1 << *tag as u8).sum();
                let one = self.iconst(1);
                let bit = self.b.ins().ishl(one, l);
                let allowed = self.and_const(bit, mask);
                self.require(allowed);
                if planted(Fault::UnsignedComparison) {
                    cc = cc.unsigned();
                }
            }
        }
        let flag = self.b.ins().icmp(cc, left.word, right.word);
        self.truth(flag)
    }

    /// A sum overflows when both operands have the sign that it lacks.
    fn checked_add(&mut self, a: Value, b: Value) -> Value {
        let sum = self.b.ins().iadd(a, b);
        let with_a = self.b.ins().bxor(a, sum);
        let with_b = self.b.ins().bxor(b, sum);
        let overflow = self.b.ins().band(with_a, with_b);
        let ok = self.compare_const(IntCC::SignedGreaterThanOrEqual, overflow, 0);
        self.require(ok);
        sum
    }

    /// A difference overflows when the operands' signs differ and it lacks the first one's.
    fn checked_sub(&mut self, a: Value, b: Value) -> Value {
        let difference = self.b.ins().isub(a, b);
        let operands = if planted(Fault::SubOverflowAsAdd) {
            self.b.ins().bxor(b, difference)
        } else {
            self.b.ins().bxor(a, b)
        };
        let with_a = self.b.ins().bxor(a, difference);
        let overflow = self.b.ins().band(operands, with_a);
        let ok = self.compare_const(IntCC::SignedGreaterThanOrEqual, overflow, 0);
        self.require(ok);
        difference
    }

    /// A product fits when its upper half is the sign of its lower half.
    fn checked_mul(&mut self, a: Value, b: Value) -> Value {
        let low = self.b.ins().imul(a, b);
        let high = self.b.ins().smulhi(a, b);
        let by = self.iconst(63);
        let sign = self.b.ins().sshr(low, by);
        let ok = if planted(Fault::MulOverflowIntoSign) {
            let above = self.add_const(high, 1);
            self.compare_const(IntCC::UnsignedLessThan, above, 2)
        } else {
            self.b.ins().icmp(IntCC::Equal, high, sign)
        };
        self.require(ok);
        low
    }

    /// Ends the current block with `left in right`.
    ///
    /// `flat` says that nothing on the right can be an ancestor of what is on the left.
    pub(super) fn branch_in(&mut self, a: NodeId, b: NodeId, flat: bool, then: Block, els: Block) {
        let left = self.operand(a);
        let right = self.operand(b);
        self.require_tag(left, Tag::Entity);
        let kind = self.right_side(a, b);
        match right.tag {
            TagOf::Known(Tag::Entity) if flat => {
                let same = self.b.ins().icmp(IntCC::Equal, left.word, right.word);
                self.b.ins().brif(same, then, &[], els, &[]);
            }
            TagOf::Known(Tag::Set) if flat => {
                self.jump_has_word(left.word, right.word, kind, then, els);
            }
            _ => self.jump_is_in(left.word, right, kind, then, els),
        }
    }

    /// Ends the current block with `left.contains(right)`.
    pub(super) fn branch_contains(&mut self, a: NodeId, b: NodeId, then: Block, els: Block) {
        let left = self.operand(a);
        let right = self.operand(b);
        self.require_tag(left, Tag::Set);
        if self.known(a).few_members().is_some() {
            let found = self.contains_few(a, b).word;
            self.b.ins().brif(found, then, &[], els, &[]);
            return;
        }
        let kind = self.right_side(b, a);
        let constant = self.constant_set(a);
        // Whether all elements have the tag of what is looked for.
        let alike = match right.tag {
            TagOf::Known(Tag::Entity) if kind.entities => true,
            TagOf::Known(tag) => {
                constant.is_some_and(|set| set.iter().all(|value| value.tag == tag))
            }
            TagOf::Computed(_) => false,
        };
        match alike {
            true => self.jump_has_word(right.word, left.word, kind, then, els),
            false => self.jump_contains(left.word, kind, right, then, els),
        }
    }

    /// An entity is in itself and its ancestors. Most entities that are no ancestor lack its bit
    /// in the Bloom word, which is on the header's own cache line; a bucket settles the rest.
    pub(super) fn jump_in(&mut self, left: Value, right: Value, then: Block, els: Block) {
        let (differ, maybe) = (self.b.create_block(), self.b.create_block());
        let same = self.b.ins().icmp(IntCC::Equal, left, right);
        self.b.ins().brif(same, then, &[], differ, &[]);
        self.b.switch_to_block(differ);
        let header = self.header(left);
        let bloom = self.bloom_word(header);
        let bit = self.bloom_bit(right);
        let candidate = self.b.ins().band(bloom, bit);
        self.b.ins().brif(candidate, maybe, &[], els, &[]);
        self.b.switch_to_block(maybe);
        let found = self.has_ancestor(header, right);
        self.b.ins().brif(found, then, &[], els, &[]);
    }

    /// `a in b` for entities, and if it is `flat` for constant sets of few, without a branch.
    pub(super) fn is_in(&mut self, a: NodeId, b: NodeId, flat: bool) -> Operand {
        let left = self.word_of(a, Tag::Entity);
        if let Some(set) = self.constant_set(b).filter(|_| flat) {
            let found = self.is_one_of(Operand::known(Tag::Entity, left), &set);
            return Operand::known(Tag::Bool, found);
        }
        if flat {
            let right = self.word_of(b, Tag::Entity);
            let same = self.b.ins().icmp(IntCC::Equal, left, right);
            return self.truth(same);
        }
        if let Some(found) = self.is_member(left, b) {
            return found;
        }
        let right = self.word_of(b, Tag::Entity);
        let header = self.header(left);
        let found = self.has_ancestor(header, right);
        if differ(self.known(a), self.known(b)) {
            return self.truth(found);
        }
        let same = self.b.ins().icmp(IntCC::Equal, left, right);
        let either = self.b.ins().bor(same, found);
        self.truth(either)
    }

    /// Whether `other` is an ancestor of the entity at `header`, as a flag.
    ///
    /// [`BucketSearch::bucket`](cedarjit_ir::abi::BucketSearch::bucket) says where it would be.
    pub(super) fn has_ancestor(&mut self, header: Value, other: Value) -> Value {
        let buckets = self.buckets(header);
        let (_, found) = self.find(buckets, other);
        self.any(found)
    }

    /// Whether something was [looked for](Self::find) and found, as a flag.
    pub(super) fn any(&mut self, found: Value) -> Value {
        match self.target.vectors {
            true => self.b.ins().vany_true(found),
            false => found,
        }
    }

    /// An id, to be compared with what was looked for.
    pub(super) fn wanted(&mut self, id: Value) -> Value {
        match self.target.vectors {
            true => self.b.ins().splat(I32X4, id),
            false => id,
        }
    }

    /// What says that nothing was found.
    pub(super) fn not_found(&mut self) -> Value {
        match self.target.vectors {
            true => {
                let zero = self.b.ins().iconst(I32, 0);
                self.b.ins().splat(I32X4, zero)
            }
            false => self.b.ins().iconst(I8, 0),
        }
    }

    /// How the buckets of the entity at `header` are searched, and the first of them.
    pub(super) fn buckets(&mut self, header: Value) -> Buckets {
        Buckets {
            search: self.header_field(header, offset_of!(EntityHeader, search)),
            first: self.header_field(header, offset_of!(EntityHeader, ancestors)),
        }
    }

    /// Looks for `other` in its place in an entity's buckets: its id four times, and a vector that is
    /// not zero where it was found; without vectors, its id and a flag.
    pub(super) fn find(&mut self, buckets: Buckets, other: Value) -> (Value, Value) {
        let Buckets { search, first } = buckets;
        let id = self.b.ins().ireduce(I32, other);
        let multiplier = self.b.ins().ireduce(I32, search);
        let one = self.b.ins().iconst(I32, 1);
        let multiplier = self.b.ins().bor(multiplier, one);
        let product = self.b.ins().imul(id, multiplier);
        let product = self.b.ins().uextend(I64, product);
        // The machine looks at the low six bits of `search`, which is what they are for.
        let bucket = self.b.ins().ushr(product, search);
        let bucket = self.b.ins().iadd(first, bucket);
        let scale = BUCKET_BYTES.trailing_zeros();
        let offset = self.shift_left(bucket, i64::from(scale));
        let all = self.frame_field(self.pointer, offset_of!(Frame, ancestors));
        let bucket = self.b.ins().iadd(all, offset);
        let wanted = self.wanted(id);
        // Two vectors, or the eight ids one by one.
        let (kind, step) = match self.target.vectors {
            true => (I32X4, 16),
            false => (I32, 4),
        };
        let mut found: Option<Value> = None;
        for offset in (0..BUCKET_BYTES as i32).step_by(step) {
            if offset >= 16 && planted(Fault::AncestorHalfBucket) {
                continue;
            }
            let ids = self.b.ins().load(kind, unaligned_memory(), bucket, offset);
            let equal = self.b.ins().icmp(IntCC::Equal, ids, wanted);
            found = Some(match found {
                Some(other) => self.b.ins().bor(other, equal),
                None => equal,
            });
        }
        (wanted, found.unwrap_or(wanted))
    }

    /// The Bloom word of the ancestors of the entity at `header`.
    pub(super) fn bloom_word(&mut self, header: Value) -> Value {
        let offset = offset_of!(EntityHeader, bloom) as i32;
        self.b.ins().load(I64, checked_memory(), header, offset)
    }

    /// [`bloom_bit`](cedarjit_ir::abi::bloom_bit), in code.
    pub(super) fn bloom_bit(&mut self, entity: Value) -> Value {
        let id = self.b.ins().ireduce(I32, entity);
        let factor = i64::from(cedarjit_ir::abi::HASH_FACTOR);
        let factor = self.b.ins().iconst(I32, factor);
        let hash = self.b.ins().imul(id, factor);
        let shift = i64::from(cedarjit_ir::abi::BLOOM_SHIFT);
        let shift = self.b.ins().iconst(I32, shift);
        let position = self.b.ins().ushr(hash, shift);
        let one = self.iconst(1);
        self.b.ins().ishl(one, position)
    }

    pub(super) fn is_type(&mut self, a: NodeId, ty: ConstId) -> Operand {
        let entity = self.word_of(a, Tag::Entity);
        let header = self.header(entity);
        let actual = self.header_field(header, offset_of!(EntityHeader, ty));
        let expected = self.constant_word(ty);
        let same = self.b.ins().icmp(IntCC::Equal, actual, expected);
        self.truth(same)
    }

    pub(super) fn call_function(&mut self, func: ExtFn, args: &[NodeId]) -> Operand {
        let operands: Vec<_> = args.iter().map(|v| self.operand(*v)).collect();
        let (types, returns) = function_type(func);
        for (operand, tag) in operands.iter().zip(types) {
            self.require_tag(*operand, *tag);
        }
        let a = operands.first().map(|o| o.word);
        let b = operands.get(1).map(|o| o.word);
        let zero = self.iconst(0);
        let (a, b) = (a.unwrap_or(zero), b.unwrap_or(zero));
        let compared = match func {
            ExtFn::DecimalLessThan => Some(IntCC::SignedLessThan),
            ExtFn::DecimalLessEq => Some(IntCC::SignedLessThanOrEqual),
            ExtFn::DecimalGreater => Some(IntCC::SignedGreaterThan),
            ExtFn::DecimalGreaterEq => Some(IntCC::SignedGreaterThanOrEqual),
            _ => None,
        };
        if let Some(cc) = compared {
            let flag = self.b.ins().icmp(cc, a, b);
            return self.truth(flag);
        }
        match func {
            ExtFn::Offset => Operand::known(returns, self.checked_add(a, b)),
            ExtFn::DurationSince => Operand::known(returns, self.checked_sub(a, b)),
            ExtFn::ToMilliseconds => Operand::known(returns, a),
            _ => {
                let number = ExtFn::ALL.iter().position(|f| *f == func).unwrap_or(0);
                let number = self.iconst(number as i64);
                self.call_value(Builtin::CallExt, &[number, a, b], Some(returns))
            }
        }
    }
}

/// The tags of a function's parameters and of its result.
fn function_type(func: ExtFn) -> (&'static [Tag], Tag) {
    use Tag::{Bool, Datetime, Decimal, Duration, Ip, Long, String};
    match func {
        ExtFn::Decimal => (&[String], Decimal),
        ExtFn::Ip => (&[String], Ip),
        ExtFn::Datetime => (&[String], Datetime),
        ExtFn::Duration => (&[String], Duration),
        ExtFn::DecimalLessThan
        | ExtFn::DecimalLessEq
        | ExtFn::DecimalGreater
        | ExtFn::DecimalGreaterEq => (&[Decimal, Decimal], Bool),
        ExtFn::IsIpv4 | ExtFn::IsIpv6 | ExtFn::IsLoopback | ExtFn::IsMulticast => (&[Ip], Bool),
        ExtFn::IsInRange => (&[Ip, Ip], Bool),
        ExtFn::Offset => (&[Datetime, Duration], Datetime),
        ExtFn::DurationSince => (&[Datetime, Datetime], Duration),
        ExtFn::ToDate => (&[Datetime], Datetime),
        ExtFn::ToTime => (&[Datetime], Duration),
        ExtFn::ToMilliseconds
        | ExtFn::ToSeconds
        | ExtFn::ToMinutes
        | ExtFn::ToHours
        | ExtFn::ToDays => (&[Duration], Long),
    }
}
