//! Entities' headers: where they are, and what is in them.

use super::{Emitter, checked_memory, constant_memory};
use cedarjit_ir::abi::{
    DIRECTORY_BITS, EntityHeader, Frame, HEADERS_IN_PAGE, PAGE_BITS, PAGES_IN_DIRECTORY,
};
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value};
use std::mem::offset_of;

impl Emitter<'_, '_> {
    /// The address of an entity's header.
    pub(super) fn header(&mut self, entity: Value) -> Value {
        if let Some(header) = self.subject_header(entity) {
            return header;
        }
        let local = self.shift_right(entity, 31);
        let scale = i64::from(self.pointer.bytes().trailing_zeros());
        let slot = self.shift_left(local, scale);
        let frame = self.frame;
        let slot = self.b.ins().iadd(frame, slot);
        // Where there is a loop, nothing may be read before it that has not been checked.
        let memory = match self.subjects {
            Some(_) => checked_memory(),
            None => constant_memory(),
        };
        let base = (self.b.ins()).load(
            self.pointer,
            memory,
            slot,
            offset_of!(Frame, headers) as i32,
        );
        let index = self.and_const(entity, (1 << 31) - 1);
        self.header_in(base, index)
    }

    /// The address of the header of an entity that exists: no request's own does.
    pub(super) fn stored_header(&mut self, entity: Value) -> Value {
        if let Some(header) = self.subject_header(entity) {
            return header;
        }
        let table = self.frame_field(self.pointer, offset_of!(Frame, headers));
        self.header_in(table, entity)
    }

    /// The address of the header of the principal or the resource, if the entity is one of them.
    fn subject_header(&mut self, entity: Value) -> Option<Value> {
        if let Some(subjects) = self.subjects {
            return subjects.header(entity);
        }
        let (_, field) = *self.headers.iter().find(|(word, _)| *word == entity)?;
        Some(self.frame_field(self.pointer, field))
    }

    /// The address of the header at a position of the table that starts at `base`.
    pub(super) fn header_in(&mut self, base: Value, index: Value) -> Value {
        let directory = self.shift_right(index, i64::from(PAGE_BITS + DIRECTORY_BITS));
        let directory = self.address_at(base, directory);
        let page = self.shift_right(index, i64::from(PAGE_BITS));
        let page = self.and_const(page, PAGES_IN_DIRECTORY as i64 - 1);
        let page = self.address_at(directory, page);
        let place = self.and_const(index, HEADERS_IN_PAGE as i64 - 1);
        let scale = size_of::<EntityHeader>().trailing_zeros();
        let offset = self.shift_left(place, i64::from(scale));
        self.b.ins().iadd(page, offset)
    }

    /// The address in the `index`-th place of a table of addresses.
    fn address_at(&mut self, table: Value, index: Value) -> Value {
        let scale = i64::from(self.pointer.bytes().trailing_zeros());
        let offset = self.shift_left(index, scale);
        let place = self.b.ins().iadd(table, offset);
        self.b.ins().load(self.pointer, checked_memory(), place, 0)
    }

    /// A 32-bit header field, widened.
    pub(super) fn header_field(&mut self, header: Value, offset: usize) -> Value {
        let subjects = self.subjects.as_ref();
        let memory = match subjects.is_some_and(|s| s.is_fixed_header(header)) {
            true => constant_memory(),
            false => checked_memory(),
        };
        self.load_half(memory, header, offset as i32)
    }

    /// Loads 32 bits, widened.
    pub(super) fn load_half(&mut self, memory: MemFlagsData, address: Value, offset: i32) -> Value {
        if memory.can_move() {
            // Only what is a load by itself is moved.
            let half = self.b.ins().load(I32, memory, address, offset);
            return self.b.ins().uextend(I64, half);
        }
        self.b.ins().uload32(memory, address, offset)
    }
}
