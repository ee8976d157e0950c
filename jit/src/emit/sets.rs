//! Membership in sets, inline: `in` with a set on the right, and `contains`.

use super::known::apart;
use super::{Emitter, Operand, PAIR_SIZE, TagOf, arg, checked_memory, constant_memory};
use cedarjit_ir::abi::Builtin;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Heap;
use cedarjit_ir::ids::NodeId;
use cedarjit_ir::value::{Tag, Value as Constant};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    Block, Endianness, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value,
};

/// The longest set that `contains` scans inline; longer ones are searched by the builtin.
const SCAN_LIMIT: i64 = 16;

/// The longest set each of whose elements is looked for, where many entities are decided about, to
/// save the branches that are mispredicted.
const STEADY_LIMIT: i64 = 12;

/// What is known of the right side of `in`, or of a set that something is looked for in.
#[derive(Clone, Copy, Debug)]
pub(super) struct RightSide {
    /// If it is a set, it holds entities only.
    pub(super) entities: bool,
    /// It is an attribute of a stored entity.
    stored: bool,
    /// It is the same in all rounds, where many entities are decided about.
    steady: bool,
    /// Nothing there can be the entity on the left.
    apart: bool,
}

/// Where a set's tags start, in bytes.
const TAGS: i64 = 8 * Heap::SET_TAGS as i64;

/// A set's object, while compiled code looks through it.
struct SetPlace {
    object: Value,
    length: Value,
    /// The address of the first element's word.
    words: Value,
}

impl Emitter<'_, '_> {
    fn set_object(&mut self, set: Value, kind: RightSide) -> Value {
        if kind.stored {
            return self.global_object(set);
        }
        match kind.steady {
            true => self.object_through(set, constant_memory()),
            false => self.heap_object(set),
        }
    }

    fn set_place(&mut self, object: Value, kind: RightSide) -> SetPlace {
        // One that is steady may be read before anything is checked.
        let memory = match kind.steady {
            true => constant_memory(),
            false => checked_memory(),
        };
        // Its length is in the upper half of the first word.
        let upper = match self.target.isa.endianness() {
            Endianness::Little => 4,
            Endianness::Big => 0,
        };
        let length = self.load_half(memory, object, upper);
        let length = self.and_const(length, (Heap::LENGTH_MASK >> 32).cast_signed());
        // The tags are padded to whole words.
        let padded = self.add_const(length, TAGS + 7);
        let offset = self.and_const(padded, !7);
        let words = self.b.ins().iadd(object, offset);
        SetPlace {
            object,
            length,
            words,
        }
    }

    /// Ends the current block by going to `absent` if the Bloom word of the set lacks all of
    /// `bits`, as that of the empty set does; goes on otherwise.
    fn leave_unless_bloom(&mut self, object: Value, bits: Value, absent: Block) {
        let offset = (Heap::SET_BLOOM * 8) as i32;
        let bloom = self.b.ins().load(I64, checked_memory(), object, offset);
        let common = self.b.ins().band(bloom, bits);
        let next = self.b.create_block();
        self.b.ins().brif(common, next, &[], absent, &[]);
        self.b.switch_to_block(next);
    }

    fn element_tag(&mut self, set: &SetPlace, index: Value) -> Value {
        let address = self.b.ins().iadd(set.object, index);
        self.b
            .ins()
            .uload8(I64, checked_memory(), address, TAGS as i32)
    }

    /// A loop over the set's words. `body` is called in a block that has the element's index and
    /// word, and ends it by going on to the given block or elsewhere. Afterwards the current block
    /// is the one reached when every element went on.
    fn for_each_word(&mut self, set: &SetPlace, body: impl FnOnce(&mut Self, Value, Value, Block)) {
        let (head, step, done) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        let index = self.b.append_block_param(head, I64);
        let zero = self.iconst(0);
        self.b.ins().jump(head, &[arg(zero)]);
        self.b.switch_to_block(head);
        let address = self.word_address(set.words, index);
        let word = self.b.ins().load(I64, checked_memory(), address, 0);
        body(self, index, word, step);
        self.b.switch_to_block(step);
        let next = self.add_const(index, 1);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, set.length);
        self.b.ins().brif(more, head, &[arg(next)], done, &[]);
        self.b.switch_to_block(done);
    }

    /// What is known of the node `id`, where the entity `left` may be in it.
    pub(super) fn right_side(&self, left: NodeId, id: NodeId) -> RightSide {
        let known = self.known(id);
        // A value that is computed without a check can be computed anywhere.
        let certain = known.values.tag == Some(Tag::Set) && known.cost.is_some();
        RightSide {
            entities: known.values.elements.is_some(),
            stored: known.place.is_some(),
            steady: certain && self.subjects.is_some() && !self.varies(id),
            apart: apart(self.known(left), known),
        }
    }

    /// The elements of a node that is a constant set, in fused code.
    pub(super) fn constant_set(&self, id: NodeId) -> Option<Vec<Constant>> {
        let known = self.known(id);
        known.members?;
        self.facts?.constant_set(known.word?)
    }

    /// `set.contains(element)` for a constant set of few elements, without a branch.
    pub(super) fn contains_few(&mut self, set: NodeId, element: NodeId) -> Operand {
        let element = self.operand(element);
        let set = self.constant_set(set).unwrap_or_default();
        let found = self.is_one_of(element, &set);
        Operand::known(Tag::Bool, found)
    }

    /// Whether a value is one of these: 0 or 1.
    pub(super) fn is_one_of(&mut self, value: Operand, set: &[Constant]) -> Value {
        let mut found = None;
        for constant in set {
            let mut same = match value.tag {
                TagOf::Known(tag) if tag != constant.tag => continue,
                _ => self.compare_const(IntCC::Equal, value.word, constant.word.cast_signed()),
            };
            if let TagOf::Computed(tag) = value.tag
                && !planted(Fault::ConstantSetIgnoresTag)
            {
                let tags = self.compare_const(IntCC::Equal, tag, constant.tag as i64);
                same = self.b.ins().band(tags, same);
            }
            found = Some(match found {
                Some(found) => self.b.ins().bor(found, same),
                None => same,
            });
        }
        match found {
            Some(found) => self.widen(found),
            None => self.iconst(0),
        }
    }

    /// Ends the current block with "`left` is in an element of `set`", all of whose elements must
    /// be entities.
    pub(super) fn jump_in_set(
        &mut self,
        left: Value,
        set: Value,
        kind: RightSide,
        then: Block,
        els: Block,
    ) {
        let object = self.set_object(set, kind);
        if !kind.entities {
            let place = self.set_place(object, kind);
            self.require_entities(&place, els);
        }
        if kind.steady {
            let place = self.set_place(object, kind);
            self.jump_in_steady(left, &place, then, els);
        }
        // Whatever `left` is in is itself or an ancestor, and both Bloom words know it.
        let header = self.header(left);
        let bloom = self.bloom_word(header);
        let own = self.bloom_bit(left);
        let bits = if planted(Fault::InSetBloomOfDescendant) {
            own
        } else if kind.apart {
            bloom
        } else {
            self.b.ins().bor(bloom, own)
        };
        self.leave_unless_bloom(object, bits, els);
        let place = self.set_place(object, kind);
        self.for_each_word(&place, |e, _, word, next| {
            let maybe = e.b.create_block();
            if !kind.apart {
                let differ = e.b.create_block();
                let same = e.b.ins().icmp(IntCC::Equal, left, word);
                e.b.ins().brif(same, then, &[], differ, &[]);
                e.b.switch_to_block(differ);
            }
            let bit = e.bloom_bit(word);
            let candidate = e.b.ins().band(bloom, bit);
            e.b.ins().brif(candidate, maybe, &[], next, &[]);
            e.b.switch_to_block(maybe);
            let found = e.has_ancestor(header, word);
            e.b.ins().brif(found, then, &[], next, &[]);
        });
        self.b.ins().jump(els, &[]);
    }

    /// Ends the current block with "`left` is in an element of the set", if the set is short; goes on
    /// in a new block otherwise. All elements are looked at, so that what comes out changes nothing
    /// in how the code runs.
    fn jump_in_steady(&mut self, left: Value, set: &SetPlace, then: Block, els: Block) {
        let (short, long) = (self.b.create_block(), self.b.create_block());
        let (head, done) = (self.b.create_block(), self.b.create_block());
        let fits = self.compare_const(IntCC::UnsignedLessThanOrEqual, set.length, STEADY_LIMIT);
        self.b.ins().brif(fits, short, &[], long, &[]);
        self.b.switch_to_block(short);
        let header = self.header(left);
        let buckets = self.buckets(header);
        let index = self.b.append_block_param(head, I64);
        let own = self.b.ins().ireduce(I32, left);
        let own = self.wanted(own);
        let zero = self.iconst(0);
        let none = self.not_found();
        let kind = self.b.func.dfg.value_type(none);
        let found = self.b.append_block_param(head, kind);
        let any = self.b.append_block_param(done, kind);
        let start = [arg(zero), arg(none)];
        (self.b.ins()).brif(set.length, head, &start, done, &[arg(none)]);
        self.b.switch_to_block(head);
        let address = self.word_address(set.words, index);
        let word = self.b.ins().load(I64, checked_memory(), address, 0);
        let (wanted, below) = self.find(buckets, word);
        let same = self.b.ins().icmp(IntCC::Equal, own, wanted);
        let one = self.b.ins().bor(same, below);
        let found = self.b.ins().bor(found, one);
        let next = self.add_const(index, 1);
        let more = self.b.ins().icmp(IntCC::UnsignedLessThan, next, set.length);
        let again = [arg(next), arg(found)];
        self.b.ins().brif(more, head, &again, done, &[arg(found)]);
        self.b.switch_to_block(done);
        let any = self.any(any);
        self.b.ins().brif(any, then, &[], els, &[]);
        self.b.switch_to_block(long);
    }

    /// Goes to `empty` for the empty set, and fails if an element is no entity.
    fn require_entities(&mut self, set: &SetPlace, empty: Block) {
        let next = self.b.create_block();
        self.b.ins().brif(set.length, next, &[], empty, &[]);
        self.b.switch_to_block(next);
        // Elements are in the order of their tags, so the ends speak for all.
        let zero = self.iconst(0);
        let last = self.add_const(set.length, -1);
        for index in [zero, last] {
            let tag = self.element_tag(set, index);
            if index != zero && planted(Fault::InSetChecksFirst) {
                continue;
            }
            let is_entity = self.compare_const(IntCC::Equal, tag, Tag::Entity as i64);
            self.require(is_entity);
        }
    }

    /// Ends the current block with "a value with this word is an element of `set`", all of whose
    /// elements have the value's tag.
    pub(super) fn jump_has_word(
        &mut self,
        wanted: Value,
        set: Value,
        kind: RightSide,
        then: Block,
        els: Block,
    ) {
        let object = self.set_object(set, kind);
        let bit = self.bloom_bit(wanted);
        self.leave_unless_bloom(object, bit, els);
        let place = self.set_place(object, kind);
        let (head, step, done) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        // The words ascend. How often they are halved depends on how many there are, and not on
        // which is looked for.
        let first = self.b.append_block_param(head, self.pointer);
        let length = self.b.append_block_param(head, I64);
        let all = [arg(place.words), arg(place.length)];
        self.b.ins().jump(head, &all);
        self.b.switch_to_block(head);
        let more = self.compare_const(IntCC::UnsignedGreaterThan, length, 1);
        self.b.ins().brif(more, step, &[], done, &[]);
        self.b.switch_to_block(step);
        let half = self.shift_right(length, 1);
        let middle = self.word_address(first, half);
        let word = self.b.ins().load(I64, checked_memory(), middle, 0);
        let below = match planted(Fault::HalvingLosesMiddle) {
            true => IntCC::UnsignedLessThan,
            false => IntCC::UnsignedLessThanOrEqual,
        };
        let below = self.b.ins().icmp(below, word, wanted);
        let upper = self.b.ins().select(below, middle, first);
        let rest = self.b.ins().isub(length, half);
        self.b.ins().jump(head, &[arg(upper), arg(rest)]);
        self.b.switch_to_block(done);
        let word = self.b.ins().load(I64, checked_memory(), first, 0);
        let same = self.b.ins().icmp(IntCC::Equal, word, wanted);
        self.b.ins().brif(same, then, &[], els, &[]);
    }

    /// Ends the current block with "`set` contains `element`".
    pub(super) fn jump_contains(
        &mut self,
        set: Value,
        kind: RightSide,
        element: Operand,
        then: Block,
        els: Block,
    ) {
        let object = self.set_object(set, kind);
        let bit = self.bloom_bit(element.word);
        self.leave_unless_bloom(object, bit, els);
        let place = self.set_place(object, kind);
        let (scan, search) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(search);
        let short = self.compare_const(IntCC::UnsignedLessThanOrEqual, place.length, SCAN_LIMIT);
        self.b.ins().brif(short, scan, &[], search, &[]);
        let tag = {
            self.b.switch_to_block(search);
            let tag = self.tag_value(element.tag);
            if !self.gave_up() {
                let found = self.call(Builtin::Contains, &[set, tag, element.word]);
                self.b.ins().brif(found, then, &[], els, &[]);
            }
            self.b.switch_to_block(scan);
            self.tag_value(element.tag)
        };
        self.for_each_word(&place, |e, index, word, next| {
            let alike = e.b.create_block();
            let same = e.b.ins().icmp(IntCC::Equal, word, element.word);
            if planted(Fault::ContainsIgnoresTag) {
                e.b.ins().brif(same, then, &[], next, &[]);
                return;
            }
            e.b.ins().brif(same, alike, &[], next, &[]);
            e.b.switch_to_block(alike);
            let found = e.element_tag(&place, index);
            let same = e.b.ins().icmp(IntCC::Equal, found, tag);
            e.b.ins().brif(same, then, &[], next, &[]);
        });
        self.b.ins().jump(els, &[]);
    }

    /// The 0 or 1 of something that `jump` decides by going to one of two blocks.
    pub(super) fn materialise_jump(
        &mut self,
        jump: impl FnOnce(&mut Self, Block, Block),
    ) -> Operand {
        let (then, els) = (self.b.create_block(), self.b.create_block());
        let join = self.b.create_block();
        let result = self.b.append_block_param(join, I64);
        jump(self, then, els);
        for (block, value) in [(then, 1), (els, 0)] {
            self.b.switch_to_block(block);
            let word = self.iconst(value);
            self.b.ins().jump(join, &[arg(word)]);
        }
        self.b.switch_to_block(join);
        Operand::known(Tag::Bool, result)
    }

    /// Puts values in a stack slot and returns its address and their number.
    pub(super) fn pairs(&mut self, values: &[Option<Operand>]) -> (Value, Value) {
        let size = (values.len() * PAIR_SIZE).max(PAIR_SIZE) as u32;
        let slot = self.b.create_sized_stack_slot(StackSlotData::new(
            StackSlotKind::ExplicitSlot,
            size,
            PAIR_SIZE.trailing_zeros() as u8,
        ));
        let address = self.b.ins().stack_addr(self.pointer, slot, 0);
        for (i, value) in values.iter().enumerate() {
            let (tag, word) = match value {
                Some(value) => (self.tag_value(value.tag), value.word),
                None => (self.iconst(Tag::Absent as i64), self.iconst(0)),
            };
            let offset = (i * PAIR_SIZE) as i32;
            let flags = MemFlagsData::trusted();
            self.b.ins().store(flags, tag, address, offset);
            self.b.ins().store(flags, word, address, offset + 8);
        }
        let address = if self.pointer == I64 {
            address
        } else {
            self.b.ins().uextend(I64, address)
        };
        let count = self.iconst(values.len() as i64);
        (address, count)
    }

    pub(super) fn set(&mut self, items: &[NodeId]) -> Operand {
        let values: Vec<_> = items.iter().map(|v| Some(self.operand(*v))).collect();
        let (address, count) = self.pairs(&values);
        self.call_value(Builtin::MakeSet, &[address, count], Some(Tag::Set))
    }

    pub(super) fn record(&mut self, fields: &[(Box<str>, NodeId)]) -> Operand {
        let evaluated: Vec<_> = fields.iter().map(|(_, v)| self.operand(*v)).collect();
        let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        let symbol = self.symbols.record(&names);
        let mut ordered = vec![None; fields.len()];
        for (value, position) in evaluated.into_iter().zip(&symbol.positions) {
            if let Some(place) = ordered.get_mut(*position) {
                *place = Some(value);
            }
        }
        let (address, count) = self.pairs(&ordered);
        let shape = self.iconst(i64::from(symbol.shape.0));
        self.call_value(
            Builtin::MakeRecord,
            &[shape, address, count],
            Some(Tag::Record),
        )
    }

    /// `left in right` for a left that is known to be an entity. Ends the current block.
    pub(super) fn jump_is_in(
        &mut self,
        left: Value,
        right: Operand,
        kind: RightSide,
        then: Block,
        els: Block,
    ) {
        match right.tag {
            TagOf::Known(Tag::Entity) => self.jump_in(left, right.word, then, els),
            TagOf::Known(Tag::Set) => self.jump_in_set(left, right.word, kind, then, els),
            TagOf::Known(_) => {
                self.fail_always();
                self.b.ins().jump(els, &[]);
            }
            TagOf::Computed(tag) => {
                let (entity, set) = self.entity_or(tag, Tag::Set);
                self.b.switch_to_block(set);
                self.jump_in_set(left, right.word, kind, then, els);
                self.b.switch_to_block(entity);
                self.jump_in(left, right.word, then, els);
            }
        }
    }
}
