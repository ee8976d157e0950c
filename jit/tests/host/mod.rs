//! What compiled bodies run on in tests.

use cedarjit_ir::abi::{ValuePair, missing_entity};
use cedarjit_ir::ancestors::Ancestors;
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Space};
use cedarjit_ir::ids::{AttrId, EntityId, PatternId, ShapeId, StrId};
use cedarjit_ir::shape::EMPTY_SHAPE;
use cedarjit_ir::value::Value;
use cedarjit_jit::{
    Host, LocalParts, PreparedFrame, RecordSymbol, RequestParts, StoreMemory, Symbols,
};
use std::iter;
use std::sync::Arc;

/// A host whose every builtin panics, as a builtin with a bug would.
pub(crate) struct Broken(Heap);

impl Broken {
    pub(crate) fn new() -> Self {
        Self(Heap::new(Space::Scratch))
    }
}

impl Host for Broken {
    fn get_attr(&mut self, _: Value, _: StrId) -> Option<Value> {
        panic!("get_attr")
    }
    fn has_attr(&mut self, _: Value, _: StrId) -> Option<bool> {
        panic!("has_attr")
    }
    fn get_tag(&mut self, _: EntityId, _: StrId) -> Option<Value> {
        panic!("get_tag")
    }
    fn has_tag(&mut self, _: EntityId, _: StrId) -> bool {
        panic!("has_tag")
    }
    fn contains(&mut self, _: HeapRef, _: Value) -> bool {
        panic!("contains")
    }
    fn contains_all(&mut self, _: HeapRef, _: HeapRef) -> bool {
        panic!("contains_all")
    }
    fn contains_any(&mut self, _: HeapRef, _: HeapRef) -> bool {
        panic!("contains_any")
    }
    fn make_set(&mut self, _: &[ValuePair]) -> Option<HeapRef> {
        panic!("make_set")
    }
    fn make_record(&mut self, _: ShapeId, _: &[ValuePair]) -> Option<HeapRef> {
        panic!("make_record")
    }
    fn like(&mut self, _: StrId, _: PatternId) -> bool {
        panic!("like")
    }
    fn call_ext(&mut self, _: ExtFn, _: u64, _: u64) -> Option<Value> {
        panic!("call_ext")
    }
    fn scratch(&self) -> &Heap {
        &self.0
    }
}

/// One attribute, `a`, with string id 7, in column 0 and context slot 0.
pub(crate) struct OneAttr;

impl Symbols for OneAttr {
    fn attr_name(&self, _: &str) -> StrId {
        StrId(7)
    }
    fn attr_column(&self, attr: &str) -> Option<AttrId> {
        (attr == "a").then_some(AttrId(0))
    }
    fn context_slot(&self, attr: &str) -> Option<usize> {
        (attr == "a").then_some(0)
    }
    fn record(&self, attrs: &[&str]) -> RecordSymbol {
        RecordSymbol {
            shape: ShapeId(1),
            positions: (0..attrs.len()).collect(),
        }
    }
}

/// Three entities without attributes, and an empty context record.
pub(crate) fn store() -> (StoreMemory, HeapRef) {
    let mut heap = Heap::new(Space::Global);
    let context = heap.record(&[], EMPTY_SHAPE, &[]).unwrap();
    let memory = StoreMemory {
        heap,
        headers: iter::repeat_n(missing_entity(5), 3).collect(),
        ancestors: Ancestors::default(),
        attr_table: Arc::new([0]),
        attr_stride: 1,
        attr_complete: true,
    };
    (memory, context)
}

static NO_HEADERS: HeaderTable = HeaderTable::new();

/// The request about principal 0, action 1 and resource 2.
pub(crate) fn request(context: HeapRef, heap: &Heap) -> RequestParts<'_> {
    RequestParts {
        principal: EntityId(0),
        action: EntityId(1),
        resource: EntityId(2),
        context,
        local: Some(LocalParts {
            headers: &NO_HEADERS,
            heap,
        }),
    }
}

/// A frame for the request once `change` has changed that, with `slot` in context slot 0.
pub(crate) fn prepared(
    slot: ValuePair,
    change: impl FnOnce(&mut RequestParts<'_>),
) -> PreparedFrame {
    let (memory, context) = store();
    let mut frame = PreparedFrame::new(Arc::new(memory));
    frame.context_slots_mut().push(slot);
    let heap = Heap::new(Space::Request);
    let mut parts = request(context, &heap);
    change(&mut parts);
    frame.prepare(parts);
    frame
}
