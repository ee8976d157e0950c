//! A host without entities for compiled code, and constants of every kind.

use cedarjit_ir::abi::{Outcome, ValuePair, missing_entity};
use cedarjit_ir::ancestors::Ancestors;
use cedarjit_ir::expr::{Body, ConstKind, Op, Type};
use cedarjit_ir::ext::{self, ExtFn};
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Heaps, IpWords, Object, Space};
use cedarjit_ir::ids::{AttrId, EntityId, PatternId, ShapeId, StrId};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{
    Function, Host, LocalParts, PreparedFrame, RecordSymbol, RequestParts, Session, StoreMemory,
    Symbols,
};
use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

/// Attribute names and record shapes of one body.
pub(super) struct Names {
    strings: BTreeMap<Box<str>, StrId>,
    shapes: ShapeTable,
}

impl Names {
    pub(super) fn new(body: &Body) -> Self {
        let mut names = Self {
            strings: BTreeMap::new(),
            shapes: ShapeTable::new(),
        };
        for node in &body.nodes {
            match &node.op {
                Op::GetAttr(_, attr) | Op::HasAttr(_, attr) => drop(names.string(attr)),
                Op::Record(fields) => {
                    let mut ids: Vec<StrId> = fields.iter().map(|f| names.string(&f.0)).collect();
                    ids.sort_unstable();
                    if let Err(error) = names.shapes.intern(&ids) {
                        panic!("few shapes, and yet: {error}");
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn string(&mut self, text: &str) -> StrId {
        let next = StrId::from_index(self.strings.len());
        *self.strings.entry(text.into()).or_insert(next)
    }
}

impl Symbols for Names {
    fn attr_name(&self, attr: &str) -> StrId {
        self.strings.get(attr).copied().unwrap_or(StrId(u32::MAX))
    }
    fn attr_column(&self, _: &str) -> Option<AttrId> {
        None
    }
    fn context_slot(&self, attr: &str) -> Option<usize> {
        (attr == "a").then_some(0)
    }
    fn record(&self, attrs: &[&str]) -> RecordSymbol {
        let ids: Vec<StrId> = attrs.iter().map(|attr| self.attr_name(attr)).collect();
        let mut sorted = ids.clone();
        sorted.sort_unstable();
        let position = |id| sorted.iter().position(|other| *other == id).unwrap_or(0);
        RecordSymbol {
            shape: self.shapes.find(&sorted).unwrap_or(EMPTY_SHAPE),
            positions: ids.into_iter().map(position).collect(),
        }
    }
}

/// Builtins over heaps, without entities, strings or patterns.
struct Bare<'a> {
    names: &'a Names,
    global: &'a Heap,
    request: &'a Heap,
    scratch: Heap,
}

impl Bare<'_> {
    fn object(&self, r: HeapRef) -> Object<'_> {
        let heaps = Heaps {
            global: self.global,
            request: self.request,
            scratch: &self.scratch,
        };
        let object = heaps.object(r);
        object.unwrap_or_else(|| panic!("code made up the reference {r:?}"))
    }

    fn find(&self, base: Value, attr: StrId) -> Option<Value> {
        if base.tag != Tag::Record {
            return None;
        }
        let record = self.object(base.as_heap_ref());
        let attrs = self.names.shapes.attrs(record.shape());
        Some(record.get(attrs.iter().position(|a| *a == attr)?))
    }

    fn ip(&self, word: u64) -> IpWords {
        self.object(HeapRef(word as u32)).ip()
    }
}

impl Host for Bare<'_> {
    fn get_attr(&mut self, base: Value, attr: StrId) -> Option<Value> {
        self.find(base, attr)
    }
    fn has_attr(&mut self, base: Value, attr: StrId) -> Option<bool> {
        let has_attrs = matches!(base.tag, Tag::Record | Tag::Entity);
        has_attrs.then(|| self.find(base, attr).is_some())
    }
    fn get_tag(&mut self, _: EntityId, _: StrId) -> Option<Value> {
        None
    }
    fn has_tag(&mut self, _: EntityId, _: StrId) -> bool {
        false
    }
    fn contains(&mut self, set: HeapRef, element: Value) -> bool {
        self.object(set).contains(element)
    }
    fn contains_all(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let left = self.object(left);
        self.object(right).values().all(|v| left.contains(v))
    }
    fn contains_any(&mut self, left: HeapRef, right: HeapRef) -> bool {
        let left = self.object(left);
        self.object(right).values().any(|v| left.contains(v))
    }
    fn make_set(&mut self, elements: &[ValuePair]) -> Option<HeapRef> {
        let mut values = elements.iter().map(|pair| pair.value()).collect();
        let older = [self.global, self.request];
        self.scratch.set(&older, &mut values).ok()
    }
    fn make_record(&mut self, shape: ShapeId, values: &[ValuePair]) -> Option<HeapRef> {
        let values: Vec<Value> = values.iter().map(|pair| pair.value()).collect();
        let older = [self.global, self.request];
        self.scratch.record(&older, shape, &values).ok()
    }
    fn like(&mut self, text: StrId, pattern: PatternId) -> bool {
        text.0 == pattern.0
    }
    fn call_ext(&mut self, func: ExtFn, a: u64, b: u64) -> Option<Value> {
        let (x, y) = (a.cast_signed(), b.cast_signed());
        Some(match func {
            ExtFn::Decimal => Value::scalar(Tag::Decimal, x),
            ExtFn::DecimalLessThan => Value::bool(x < y),
            ExtFn::DecimalLessEq => Value::bool(x <= y),
            ExtFn::DecimalGreater => Value::bool(x > y),
            ExtFn::DecimalGreaterEq => Value::bool(x >= y),
            ExtFn::Ip => {
                let older = [self.global, self.request];
                self.scratch.ip(&older, localhost()).ok()?.value(Tag::Ip)
            }
            ExtFn::IsIpv4 => Value::bool(ext::ip::is_ipv4(self.ip(a))),
            ExtFn::IsIpv6 => Value::bool(ext::ip::is_ipv6(self.ip(a))),
            ExtFn::IsLoopback => Value::bool(ext::ip::is_loopback(self.ip(a))),
            ExtFn::IsMulticast => Value::bool(ext::ip::is_multicast(self.ip(a))),
            ExtFn::IsInRange => Value::bool(ext::ip::in_range(self.ip(a), self.ip(b))),
            ExtFn::Datetime => Value::scalar(Tag::Datetime, x),
            ExtFn::Duration => Value::scalar(Tag::Duration, x),
            ExtFn::Offset => Value::scalar(Tag::Datetime, ext::datetime::offset(x, y)?),
            ExtFn::DurationSince => {
                Value::scalar(Tag::Duration, ext::datetime::duration_since(x, y)?)
            }
            ExtFn::ToDate => Value::scalar(Tag::Datetime, ext::datetime::to_date(x)?),
            ExtFn::ToTime => Value::scalar(Tag::Duration, ext::datetime::to_time(x)),
            ExtFn::ToMilliseconds => Value::long(ext::duration::to_milliseconds(x)),
            ExtFn::ToSeconds => Value::long(ext::duration::to_seconds(x)),
            ExtFn::ToMinutes => Value::long(ext::duration::to_minutes(x)),
            ExtFn::ToHours => Value::long(ext::duration::to_hours(x)),
            ExtFn::ToDays => Value::long(ext::duration::to_days(x)),
        })
    }
    fn scratch(&self) -> &Heap {
        &self.scratch
    }
}

fn localhost() -> IpWords {
    ext::parse_ip("127.0.0.1").unwrap_or_else(|error| panic!("{error}"))
}

/// Neither exists nor has anything.
/// Runs a body with one of several choices of constants.
pub(super) fn evaluate(
    function: &Function,
    body: &Body,
    names: &Names,
    variant: usize,
) -> Option<Outcome> {
    let mut global = Heap::new(Space::Global);
    let request = Heap::new(Space::Request);
    let context = global.record(&[], EMPTY_SHAPE, &[]).ok()?;
    let consts = body.consts.iter().enumerate();
    let consts: Option<Vec<u64>> = consts
        .map(|(i, kind)| constant(*kind, i + variant, &mut global))
        .collect();
    let store = Arc::new(StoreMemory {
        heap: global,
        headers: iter::repeat_n(missing_entity(5), 4).collect(),
        ancestors: Ancestors::default(),
        attr_table: Arc::default(),
        attr_stride: 0,
        attr_complete: false,
    });
    let mut frame = PreparedFrame::new(Arc::clone(&store));
    frame.context_slots_mut().push(ValuePair::ABSENT);
    frame.prepare(RequestParts {
        principal: EntityId(0),
        action: EntityId(1),
        resource: EntityId(2),
        context,
        local: Some(LocalParts {
            headers: &HeaderTable::new(),
            heap: &request,
        }),
    });
    let mut host = Bare {
        names,
        global: &store.heap,
        request: &request,
        scratch: Heap::new(Space::Scratch),
    };
    Session::new(&mut host, &frame)?.run(function, &consts?)
}

/// A word for a constant slot of this kind.
fn constant(kind: ConstKind, choice: usize, heap: &mut Heap) -> Option<u64> {
    let numbers = [0, 1, -1, i64::MAX, i64::MIN, 86_400_000];
    let number = numbers
        .get(choice % numbers.len())
        .copied()?
        .cast_unsigned();
    let ty = match kind {
        ConstKind::Pattern | ConstKind::EntityType => return Some(choice as u64 % 7),
        ConstKind::Value(ty) => ty,
    };
    Some(match ty {
        Type::Bool => choice as u64 % 2,
        Type::Long | Type::Decimal | Type::Datetime | Type::Duration => number,
        Type::String => choice as u64 % 5,
        Type::Entity => choice as u64 % 4,
        Type::Set => {
            let entities = (0..choice as u32 % 4).map(|i| Value::entity(EntityId(i)));
            let mut elements: Vec<Value> = entities.collect();
            elements.extend((choice % 5 == 4).then_some(Value::long(1)));
            heap.set(&[], &mut elements).ok()?.value(Tag::Set).word
        }
        Type::Record => {
            heap.record(&[], EMPTY_SHAPE, &[])
                .ok()?
                .value(Tag::Record)
                .word
        }
        Type::Ip => heap.ip(&[], localhost()).ok()?.value(Tag::Ip).word,
        // The verifier admits no such slot.
        Type::Any => return None,
    })
}
