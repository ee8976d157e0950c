//! Attributes: found by shape through the attribute table, or in the frame's context slots.

use super::known::Known;
use super::{
    Emitter, Operand, PAIR_SIZE, RecordPlace, TagOf, arg, checked_memory, constant_memory,
};
use cedarjit_ir::abi::{AttrEntry, Builtin, EntityHeader, Frame, FrameRest};
use cedarjit_ir::expr::{Op, Var};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{AttrId, NodeId};
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{Block, InstBuilder, Value};
use std::mem::offset_of;

/// An attribute that is there where the current block is, since a `has` leads to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// The `has`.
    has: NodeId,
    /// Where it is and the entry of the attribute table, 0 if searching found it; `None` for one of
    /// the context.
    found: Option<(RecordPlace, Value)>,
}

impl Emitter<'_, '_> {
    /// `known` is the value's tag, if the schema gives the attribute a type.
    pub(super) fn get_attr(&mut self, base: NodeId, attr: &str, known: Option<Tag>) -> Operand {
        if let Some(slot) = self.context_attr(base, attr) {
            let tag = self.context_word(slot, 0);
            if self.guard(base, attr).is_none() {
                self.require(tag);
            }
            let word = self.context_word(slot, 8);
            return Operand {
                tag: known.map_or(TagOf::Computed(tag), TagOf::Known),
                word,
            };
        }
        let record = self.operand(base);
        let tag = self.tag_value(record.tag);
        let name = self.attr_name(attr);
        let Some(column) = self.symbols.attr_column(attr) else {
            return self.call_value(Builtin::GetAttr, &[tag, record.word, name], known);
        };
        let join = self.b.create_block();
        let word_out = self.b.append_block_param(join, I64);
        let tag_out = match known {
            Some(tag) => TagOf::Known(tag),
            None => TagOf::Computed(self.b.append_block_param(join, I64)),
        };
        let search = self.b.create_block();
        self.b.set_cold_block(search);
        let (place, entry) = match self.guard(base, attr).and_then(|guard| guard.found) {
            Some((place, entry)) => {
                self.leave_unless_found(entry, search);
                (place, entry)
            }
            None => {
                let (place, fail) = (self.record_place(record), self.fail);
                (place, self.attr_entry(place, column, search, fail))
            }
        };
        let mut found = vec![arg(self.entry_word(place, entry))];
        if known.is_none() {
            found.push(arg(self.entry_tag(place, entry)));
        }
        self.b.ins().jump(join, &found);
        self.b.switch_to_block(search);
        if !self.gave_up() {
            let searched = self.call_value(Builtin::GetAttr, &[tag, record.word, name], known);
            let mut found = vec![arg(searched.word)];
            if known.is_none() {
                found.push(arg(self.tag_value(searched.tag)));
            }
            self.b.ins().jump(join, &found);
        }
        self.b.switch_to_block(join);
        Operand {
            tag: tag_out,
            word: word_out,
        }
    }

    /// An attribute of an entity that exists, at the place that all entities of its type have it.
    pub(super) fn read_place(&mut self, base: NodeId, known: Known) -> Operand {
        let entity = self.word_of(base, Tag::Entity);
        let header = self.stored_header(entity);
        let object = self.attributes(header);
        let AttrEntry(entry) = known.place.unwrap_or(AttrEntry::NONE);
        let (tag, word) = (entry & 0xffff, (entry >> 16) * 8);
        // What a variable has that exists can be read before anything is checked.
        let memory = match self.body.node(base).op {
            Op::Var(_) if self.subjects.is_some() && !self.varies(base) => constant_memory(),
            _ => checked_memory(),
        };
        let word = (self.b.ins()).load(I64, memory, object, word as i32);
        let tag = match known.values.tag {
            Some(tag) => TagOf::Known(tag),
            None => {
                let tag = tag as i32;
                TagOf::Computed(self.b.ins().uload8(I64, checked_memory(), object, tag))
            }
        };
        Operand { tag, word }
    }

    pub(super) fn has_attr(&mut self, base: NodeId, attr: &str) -> Operand {
        if let Some(slot) = self.context_attr(base, attr) {
            let tag = self.context_has(slot);
            let present = self.compare_const(IntCC::NotEqual, tag, 0);
            let word = self.widen(present);
            return Operand::known(Tag::Bool, word);
        }
        let record = self.operand(base);
        match self.symbols.attr_column(attr) {
            Some(column) => self.materialise_jump(|e, then, els| {
                e.jump_has(record, attr, column, then, els);
            }),
            None => self.search_attr(record, attr),
        }
    }

    /// Whether a value has an attribute, by the builtin.
    fn search_attr(&mut self, record: Operand, attr: &str) -> Operand {
        let (tag, name) = (self.tag_value(record.tag), self.attr_name(attr));
        self.call_bool(Builtin::HasAttr, &[tag, record.word, name])
    }

    /// Ends the current block by going to `then` if an entity or a record has an attribute, to `els`
    /// if it lacks it, where nothing but this block leads to `then`. Where it is then, and its entry, or
    /// 0 if searching found it.
    fn jump_has(
        &mut self,
        record: Operand,
        attr: &str,
        column: AttrId,
        then: Block,
        els: Block,
    ) -> (RecordPlace, Value) {
        let entry = self.b.append_block_param(then, I64);
        let search = self.b.create_block();
        self.b.set_cold_block(search);
        let place = self.record_place(record);
        if planted(Fault::HasWithoutAttributes) {
            let some = self.compare_const(IntCC::NotEqual, place.shape, 0);
            self.require(some);
        }
        let found = self.attr_entry(place, column, search, els);
        self.b.ins().jump(then, &[arg(found)]);
        self.b.switch_to_block(search);
        if !self.gave_up() {
            let searched = self.search_attr(record, attr).word;
            let zero = self.iconst(0);
            (self.b.ins()).brif(searched, then, &[arg(zero)], els, &[]);
        }
        (place, entry)
    }

    /// Ends the current block by going to `then` if an entity or a record has an attribute, to `els`
    /// if it lacks it, where nothing but this block leads to `then`. What is known there; `None` if
    /// nothing was done, since the node is no such question or its answer is known.
    pub(super) fn branch_has(&mut self, id: NodeId, then: Block, els: Block) -> Option<Guard> {
        let body = self.body;
        let Op::HasAttr(base, attr) = &body.node(id).op else {
            return None;
        };
        if self.memo[id.index()].is_some() || self.known(id).word.is_some() {
            return None;
        }
        let guard = |found| Some(Guard { has: id, found });
        if let Some(slot) = self.context_attr(*base, attr) {
            let tag = self.context_has(slot);
            self.b.ins().brif(tag, then, &[], els, &[]);
            return guard(None);
        }
        let column = self.symbols.attr_column(attr)?;
        let record = self.operand(*base);
        guard(Some(self.jump_has(record, attr, column, then, els)))
    }

    /// What is known of an attribute where the current block is.
    fn guard(&self, base: NodeId, attr: &str) -> Option<Guard> {
        let is_of = |guard: &&Guard| match &self.body.node(guard.has).op {
            Op::HasAttr(_, name) if planted(Fault::GuardOfOtherBase) => **name == *attr,
            Op::HasAttr(of, name) => *of == base && **name == *attr,
            _ => false,
        };
        self.guards.iter().find(is_of).copied()
    }

    /// Goes to `search` where that was what found an attribute.
    fn leave_unless_found(&mut self, entry: Value, search: Block) {
        // Fused code gives up rather than searches.
        if self.give_up.is_none() {
            let next = self.b.create_block();
            self.b.ins().brif(entry, next, &[], search, &[]);
            self.b.switch_to_block(next);
        }
    }

    /// Not zero if the context has the attribute of a slot.
    fn context_has(&mut self, slot: usize) -> Value {
        let offset = if planted(Fault::ContextHasZero) { 8 } else { 0 };
        self.context_word(slot, offset)
    }

    fn attr_name(&mut self, attr: &str) -> Value {
        let name = self.symbols.attr_name(attr);
        self.iconst(i64::from(name.0))
    }

    /// The context slot that holds `attr` if `base` is the context itself.
    fn context_attr(&self, base: NodeId, attr: &str) -> Option<usize> {
        match self.body.node(base).op {
            Op::Var(Var::Context) => self.symbols.context_slot(attr),
            _ => None,
        }
    }

    fn context_word(&mut self, slot: usize, offset: usize) -> Value {
        let slots = self.frame_field(self.pointer, offset_of!(Frame, context_slots));
        let offset = (slot * PAIR_SIZE + offset) as i32;
        self.b.ins().load(I64, constant_memory(), slots, offset)
    }

    /// Where the attributes of an entity or a record are.
    ///
    /// Fails for other values.
    fn record_place(&mut self, base: Operand) -> RecordPlace {
        match base.tag {
            TagOf::Known(Tag::Entity) => self.entity_place(base.word),
            TagOf::Known(Tag::Record) => self.object_place(base.word),
            TagOf::Known(_) => {
                self.fail_always();
                let zero = self.iconst(0);
                RecordPlace {
                    shape: zero,
                    object: zero,
                }
            }
            TagOf::Computed(tag) => self.computed_place(tag, base.word),
        }
    }

    fn computed_place(&mut self, tag: Value, word: Value) -> RecordPlace {
        let join = self.b.create_block();
        let place = RecordPlace {
            shape: self.b.append_block_param(join, I64),
            object: self.b.append_block_param(join, self.pointer),
        };
        let (entity, record) = self.entity_or(tag, Tag::Record);
        self.b.switch_to_block(entity);
        let found = self.entity_place(word);
        self.b
            .ins()
            .jump(join, &[arg(found.shape), arg(found.object)]);
        self.b.switch_to_block(record);
        let found = self.object_place(word);
        self.b
            .ins()
            .jump(join, &[arg(found.shape), arg(found.object)]);
        self.b.switch_to_block(join);
        place
    }

    /// A missing entity has the empty shape, so its object is never read.
    fn entity_place(&mut self, entity: Value) -> RecordPlace {
        let header = self.header(entity);
        self.headed_place(header)
    }

    /// Where the attributes of the entity with this header are.
    fn headed_place(&mut self, header: Value) -> RecordPlace {
        let shape = self.header_field(header, offset_of!(EntityHeader, shape));
        let object = self.attributes(header);
        RecordPlace { shape, object }
    }

    /// The address of the attribute record of the entity with this header.
    fn attributes(&mut self, header: Value) -> Value {
        let attrs = self.header_field(header, offset_of!(EntityHeader, attrs));
        self.global_object(attrs)
    }

    fn object_place(&mut self, record: Value) -> RecordPlace {
        let object = self.heap_object(record);
        let first = self.b.ins().load(I64, checked_memory(), object, 0);
        let shape = self.and_const(first, i64::from(u32::MAX));
        RecordPlace { shape, object }
    }

    /// The attribute table's entry, not 0; goes to `search` where the table does not know, and to
    /// `absent` where it knows that the attribute is missing.
    fn attr_entry(
        &mut self,
        place: RecordPlace,
        column: AttrId,
        search: Block,
        absent: Block,
    ) -> Value {
        let shapes = self.rest_field(I64, offset_of!(FrameRest, attr_shapes));
        let covered = self
            .b
            .ins()
            .icmp(IntCC::UnsignedLessThan, place.shape, shapes);
        let in_table = self.b.create_block();
        self.b.ins().brif(covered, in_table, &[], search, &[]);
        self.b.switch_to_block(in_table);
        let stride = self.rest_field(I64, offset_of!(FrameRest, attr_stride));
        let row = self.b.ins().imul(place.shape, stride);
        let index = self.add_const(row, i64::from(column.0));
        let offset = self.shift_left(index, 2);
        let table = self.rest_field(self.pointer, offset_of!(FrameRest, attr_table));
        let address = self.b.ins().iadd(table, offset);
        let entry = self.b.ins().load(I32, checked_memory(), address, 0);
        let entry = self.b.ins().uextend(I64, entry);
        let (present, missing) = (self.b.create_block(), self.b.create_block());
        self.b.ins().brif(entry, present, &[], missing, &[]);
        self.b.switch_to_block(missing);
        let complete = self.rest_field(I32, offset_of!(FrameRest, attr_complete));
        self.b.ins().brif(complete, absent, &[], search, &[]);
        self.b.switch_to_block(present);
        entry
    }

    /// The tag that an entry leads to.
    fn entry_tag(&mut self, place: RecordPlace, entry: Value) -> Value {
        let offset = self.and_const(entry, 0xffff);
        let address = self.b.ins().iadd(place.object, offset);
        self.b.ins().uload8(I64, checked_memory(), address, 0)
    }

    /// The word that an entry leads to.
    fn entry_word(&mut self, place: RecordPlace, entry: Value) -> Value {
        let offset = self.shift_right(entry, 16);
        let address = self.word_address(place.object, offset);
        self.b.ins().load(I64, checked_memory(), address, 0)
    }
}
