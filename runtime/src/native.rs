//! The runtime's side of compiled code: the builtins, on interned values.

use crate::coverage::Observer;
use crate::values::ValueContext;
use cedarjit_ir::abi::{Builtin, ValuePair};
use cedarjit_ir::ext::{self, ExtFn};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{Heap, HeapRef};
use cedarjit_ir::ids::{EntityId, PatternId, ShapeId, StrId};
use cedarjit_ir::pattern::Pattern;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::Host;
use std::sync::Arc;

/// Answers compiled code's calls during one evaluation.
#[derive(Debug)]
pub(crate) struct NativeHost<'a> {
    pub(crate) values: ValueContext<'a>,
    /// The patterns that constants tables name.
    pub(crate) patterns: &'a [Arc<Pattern>],
    /// Where set and record literals are collected; kept so that its memory is used again.
    pub(crate) elements: &'a mut Vec<Value>,
}

impl NativeHost<'_> {
    fn collect(&mut self, pairs: &[ValuePair]) {
        self.elements.clear();
        self.elements.extend(pairs.iter().map(|pair| pair.value()));
    }

    fn ip_words(&self, word: u64) -> Option<cedarjit_ir::heap::IpWords> {
        self.values.ip(HeapRef(word as u32).value(Tag::Ip))
    }
}

impl Host for NativeHost<'_> {
    fn get_attr(&mut self, base: Value, attr: StrId) -> Option<Value> {
        self.values.get_attr(base, attr)
    }

    fn has_attr(&mut self, base: Value, attr: StrId) -> Option<bool> {
        self.values.has_attr(base, attr)
    }

    fn get_tag(&mut self, entity: EntityId, key: StrId) -> Option<Value> {
        self.values.get_tag(entity, key)
    }

    fn has_tag(&mut self, entity: EntityId, key: StrId) -> bool {
        self.values.has_tag(entity, key)
    }

    fn contains(&mut self, set: HeapRef, element: Value) -> bool {
        let set = set.value(Tag::Set);
        self.values.contains(set, element).unwrap_or(false)
    }

    fn contains_all(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let (left, right) = (left.value(Tag::Set), right.value(Tag::Set));
        if planted(Fault::ContainsAllEmpty)
            && self.values.object(right).is_none_or(|o| o.is_empty())
        {
            return false;
        }
        self.values.contains_all(left, right).unwrap_or(false)
    }

    fn contains_any(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let (left, right) = (left.value(Tag::Set), right.value(Tag::Set));
        self.values.contains_any(left, right).unwrap_or(false)
    }

    fn make_set(&mut self, elements: &[ValuePair]) -> Option<HeapRef> {
        if planted(Fault::StaleElements) {
            self.elements
                .extend(elements.iter().map(|pair| pair.value()));
        } else {
            self.collect(elements);
        }
        let made = self.values.make_set(self.elements).ok()?;
        Some(made.as_heap_ref())
    }

    fn make_record(&mut self, shape: ShapeId, values: &[ValuePair]) -> Option<HeapRef> {
        self.collect(values);
        let made = self
            .values
            .make_record_of_shape(shape, self.elements)
            .ok()?;
        Some(made.as_heap_ref())
    }

    fn like(&mut self, text: StrId, pattern: PatternId) -> bool {
        let text = self.values.str(text);
        self.patterns
            .get(pattern.index())
            .is_some_and(|pattern| pattern.matches(text))
    }

    fn call_ext(&mut self, func: ExtFn, a: u64, b: u64) -> Option<Value> {
        let number = a.cast_signed();
        Some(match func {
            ExtFn::Decimal | ExtFn::Ip | ExtFn::Datetime | ExtFn::Duration => {
                let text = self.values.str(StrId(a as u32));
                match func {
                    ExtFn::Decimal => Value::scalar(Tag::Decimal, ext::parse_decimal(text).ok()?),
                    ExtFn::Datetime => {
                        Value::scalar(Tag::Datetime, ext::parse_datetime(text).ok()?)
                    }
                    ExtFn::Duration => {
                        Value::scalar(Tag::Duration, ext::parse_duration(text).ok()?)
                    }
                    _ => {
                        let ip = ext::parse_ip(text).ok()?;
                        self.values.make_ip(ip).ok()?
                    }
                }
            }
            ExtFn::IsIpv4 => Value::bool(ext::ip::is_ipv4(self.ip_words(a)?)),
            ExtFn::IsIpv6 => Value::bool(ext::ip::is_ipv6(self.ip_words(a)?)),
            ExtFn::IsLoopback => Value::bool(ext::ip::is_loopback(self.ip_words(a)?)),
            ExtFn::IsMulticast => Value::bool(ext::ip::is_multicast(self.ip_words(a)?)),
            ExtFn::IsInRange => {
                Value::bool(ext::ip::in_range(self.ip_words(a)?, self.ip_words(b)?))
            }
            ExtFn::ToDate => Value::scalar(Tag::Datetime, ext::datetime::to_date(number)?),
            ExtFn::ToTime => Value::scalar(Tag::Duration, ext::datetime::to_time(number)),
            ExtFn::ToSeconds => Value::long(ext::duration::to_seconds(number)),
            ExtFn::ToMinutes => Value::long(ext::duration::to_minutes(number)),
            ExtFn::ToHours => Value::long(ext::duration::to_hours(number)),
            ExtFn::ToDays => Value::long(ext::duration::to_days(number)),
            // Emitted inline.
            ExtFn::DecimalLessThan
            | ExtFn::DecimalLessEq
            | ExtFn::DecimalGreater
            | ExtFn::DecimalGreaterEq
            | ExtFn::Offset
            | ExtFn::DurationSince
            | ExtFn::ToMilliseconds => return None,
        })
    }

    fn scratch(&self) -> &Heap {
        &self.values.scratch.heap
    }
}

/// A host whose answers an observer hears of; it adds nothing for the observer `()`.
#[derive(Debug)]
pub(crate) struct ObservedHost<H, O> {
    pub(crate) host: H,
    pub(crate) observer: O,
}

impl<H: Host, O: Observer> ObservedHost<H, O> {
    #[inline]
    fn test(&mut self, builtin: Builtin, holds: bool) -> bool {
        self.observer.builtin(builtin, Some(Value::bool(holds)));
        holds
    }

    #[inline]
    fn built(&mut self, builtin: Builtin, tag: Tag, made: Option<HeapRef>) -> Option<HeapRef> {
        self.observer
            .builtin(builtin, made.map(|made| made.value(tag)));
        made
    }

    #[inline]
    fn found(&mut self, builtin: Builtin, value: Option<Value>) -> Option<Value> {
        self.observer.builtin(builtin, value);
        value
    }
}

impl<H: Host, O: Observer> Host for ObservedHost<H, O> {
    #[inline]
    fn get_attr(&mut self, base: Value, attr: StrId) -> Option<Value> {
        let value = self.host.get_attr(base, attr);
        self.found(Builtin::GetAttr, value)
    }

    #[inline]
    fn has_attr(&mut self, base: Value, attr: StrId) -> Option<bool> {
        let holds = self.host.has_attr(base, attr);
        self.observer
            .builtin(Builtin::HasAttr, holds.map(Value::bool));
        holds
    }

    #[inline]
    fn get_tag(&mut self, entity: EntityId, key: StrId) -> Option<Value> {
        let value = self.host.get_tag(entity, key);
        self.found(Builtin::GetTag, value)
    }

    #[inline]
    fn has_tag(&mut self, entity: EntityId, key: StrId) -> bool {
        let holds = self.host.has_tag(entity, key);
        self.test(Builtin::HasTag, holds)
    }

    #[inline]
    fn contains(&mut self, set: HeapRef, element: Value) -> bool {
        let holds = self.host.contains(set, element);
        self.test(Builtin::Contains, holds)
    }

    #[inline]
    fn contains_all(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let holds = self.host.contains_all(left, right);
        self.test(Builtin::ContainsAll, holds)
    }

    #[inline]
    fn contains_any(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let holds = self.host.contains_any(left, right);
        self.test(Builtin::ContainsAny, holds)
    }

    #[inline]
    fn make_set(&mut self, elements: &[ValuePair]) -> Option<HeapRef> {
        let made = self.host.make_set(elements);
        self.built(Builtin::MakeSet, Tag::Set, made)
    }

    #[inline]
    fn make_record(&mut self, shape: ShapeId, values: &[ValuePair]) -> Option<HeapRef> {
        let made = self.host.make_record(shape, values);
        self.built(Builtin::MakeRecord, Tag::Record, made)
    }

    #[inline]
    fn like(&mut self, text: StrId, pattern: PatternId) -> bool {
        let holds = self.host.like(text, pattern);
        self.test(Builtin::Like, holds)
    }

    #[inline]
    fn call_ext(&mut self, func: ExtFn, a: u64, b: u64) -> Option<Value> {
        let value = self.host.call_ext(func, a, b);
        self.observer.extension(func, value);
        self.found(Builtin::CallExt, value)
    }

    #[inline]
    fn scratch(&self) -> &Heap {
        self.host.scratch()
    }
}
