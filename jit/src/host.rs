//! What compiled code asks of the runtime.

use cedarjit_ir::abi::ValuePair;
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::heap::{Heap, HeapRef};
use cedarjit_ir::ids::{EntityId, PatternId, ShapeId, StrId};
use cedarjit_ir::value::Value;

/// The builtins that compiled code calls, on typed arguments.
///
/// One method for each [`Builtin`](cedarjit_ir::abi::Builtin). `None` means that the evaluation
/// fails; the interpreter then says why.
pub trait Host {
    /// An attribute of an entity or a record.
    fn get_attr(&mut self, base: Value, attr: StrId) -> Option<Value>;
    /// Whether an entity or a record has an attribute.
    fn has_attr(&mut self, base: Value, attr: StrId) -> Option<bool>;
    /// A tag of an entity.
    fn get_tag(&mut self, entity: EntityId, key: StrId) -> Option<Value>;
    /// Whether an entity has a tag.
    fn has_tag(&mut self, entity: EntityId, key: StrId) -> bool;
    /// Set membership.
    fn contains(&mut self, set: HeapRef, element: Value) -> bool;
    /// Whether `left` has every element of `right`.
    fn contains_all(&mut self, left: HeapRef, right: HeapRef) -> bool;
    /// Whether the two share an element.
    fn contains_any(&mut self, left: HeapRef, right: HeapRef) -> bool;
    /// A set of these values.
    fn make_set(&mut self, elements: &[ValuePair]) -> Option<HeapRef>;
    /// A record of this shape with these values, in the shape's order.
    fn make_record(&mut self, shape: ShapeId, values: &[ValuePair]) -> Option<HeapRef>;
    /// Whether a string matches a pattern.
    fn like(&mut self, text: StrId, pattern: PatternId) -> bool;
    /// An extension function on arguments whose types were checked; `b` is 0 if it takes one.
    fn call_ext(&mut self, func: ExtFn, a: u64, b: u64) -> Option<Value>;
    /// The heap that the other methods build values on.
    fn scratch(&self) -> &Heap;
}
