//! From cedar-policy's values to ours.
//!
//! No recursion: how deep a value may nest is up to whoever made it.

use super::extension::{Extension, construct, parse_extension};
use crate::request::{Local, LocalPart};
use crate::store::Store;
use cedar_policy::{EntityUid, EvalResult, PartialValueToValueError, Record};
use cedarjit_ir::ext::{ExtError, ExtFn};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{Heap, IpWords};
use cedarjit_ir::ids::{EntityId, ShapeId, StrId, TypeId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::{Tag, Value};
use smol_str::format_smolstr;

/// A value of cedar-policy has no counterpart here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// cedar-policy wrote an extension value in a way that is not known.
    #[error("`{source_text}` is not a known way to write an extension value")]
    ExtensionSyntax {
        /// What cedar-policy wrote.
        source_text: Box<str>,
    },
    /// An extension value did not evaluate.
    #[error("`{source_text}` failed: {error}")]
    Extension {
        /// What cedar-policy wrote.
        source_text: Box<str>,
        /// Why it is not a value.
        error: ExtError,
    },
    /// The value is unknown, which only cedar-policy's partial evaluation has.
    #[error("the value is unknown, and partial evaluation is not supported: {0}")]
    Unknown(Box<str>),
    /// A table is full.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
}

impl From<PartialValueToValueError> for ValueError {
    fn from(error: PartialValueToValueError) -> Self {
        ValueError::Unknown(error.to_string().into())
    }
}

/// Where converted values go.
pub(crate) trait ValueSink {
    /// The id of a string.
    fn string(&mut self, text: &str) -> Result<StrId, CapacityError>;
    /// The id of an entity uid.
    fn entity(&mut self, ty: &str, eid: &str) -> Result<EntityId, CapacityError>;
    /// The shape with these ascending names.
    fn shape(&mut self, names: &[StrId]) -> Result<ShapeId, CapacityError>;
    /// A set.
    fn set(&mut self, elements: &mut Vec<Value>) -> Result<Value, CapacityError>;
    /// A record.
    fn record(&mut self, shape: ShapeId, values: &[Value]) -> Result<Value, CapacityError>;
    /// An IP address or range.
    fn ip(&mut self, ip: IpWords) -> Result<Value, CapacityError>;

    /// The id of an entity uid.
    fn uid(&mut self, uid: &EntityUid) -> Result<EntityId, CapacityError> {
        let (ty, eid) = (uid.type_name(), uid.id().unescaped());
        if ty.namespace_components().next().is_none() {
            return self.entity(ty.basename(), eid);
        }
        self.entity(&format_smolstr!("{ty}"), eid)
    }
}

/// Makes values that last: policies' and entities'.
pub(crate) struct GlobalSink<'a> {
    pub(crate) interner: &'a mut Interner,
    pub(crate) heap: &'a mut Heap,
    pub(crate) shapes: &'a mut ShapeTable,
}

impl ValueSink for GlobalSink<'_> {
    fn string(&mut self, text: &str) -> Result<StrId, CapacityError> {
        self.interner.intern_str(text)
    }

    fn entity(&mut self, ty: &str, eid: &str) -> Result<EntityId, CapacityError> {
        self.interner.intern_entity(ty, eid)
    }

    fn shape(&mut self, names: &[StrId]) -> Result<ShapeId, CapacityError> {
        self.shapes.intern(names)
    }

    fn set(&mut self, elements: &mut Vec<Value>) -> Result<Value, CapacityError> {
        Ok(self.heap.set(&[], elements)?.value(Tag::Set))
    }

    fn record(&mut self, shape: ShapeId, values: &[Value]) -> Result<Value, CapacityError> {
        Ok(self.heap.record(&[], shape, values)?.value(Tag::Record))
    }

    fn ip(&mut self, ip: IpWords) -> Result<Value, CapacityError> {
        Ok(self.heap.ip(&[], ip)?.value(Tag::Ip))
    }
}

/// Makes values that last as long as a request. What the snapshot has already is taken from there;
/// `local` comes into being with the first thing that it lacks.
pub(crate) struct RequestSink<'a> {
    pub(crate) interner: &'a Interner,
    pub(crate) store: &'a Store,
    pub(crate) local: &'a mut LocalPart,
}

impl RequestSink<'_> {
    /// The entity with this type and id, and its type, both local if they are not known.
    #[inline]
    pub(crate) fn typed_entity(
        &mut self,
        ty: &str,
        eid: &str,
    ) -> Result<(EntityId, TypeId), CapacityError> {
        let interner = self.interner;
        match interner.find_uid(ty, eid) {
            Some(known) => Ok(known),
            None => self.local().names.add_entity(interner, ty, eid),
        }
    }

    fn local(&mut self) -> &mut Local {
        self.local.make()
    }
}

impl ValueSink for RequestSink<'_> {
    fn string(&mut self, text: &str) -> Result<StrId, CapacityError> {
        let interner = self.interner;
        match interner.look_up(text) {
            Ok(known) => Ok(known),
            Err(hash) => self.local().names.add_str(interner, hash, text),
        }
    }

    fn entity(&mut self, ty: &str, eid: &str) -> Result<EntityId, CapacityError> {
        Ok(self.typed_entity(ty, eid)?.0)
    }

    fn shape(&mut self, names: &[StrId]) -> Result<ShapeId, CapacityError> {
        match self.store.shapes().find(names) {
            Some(shape) => Ok(shape),
            None => Ok(ShapeId::local(self.local().shapes.intern(names)?.index())),
        }
    }

    fn set(&mut self, elements: &mut Vec<Value>) -> Result<Value, CapacityError> {
        if planted(Fault::ContextSetNotShared) {
            return Ok(self.local().heap.set(&[], elements)?.value(Tag::Set));
        }
        let older = [self.store.heap()];
        Ok(self.local().heap.set(&older, elements)?.value(Tag::Set))
    }

    fn record(&mut self, shape: ShapeId, values: &[Value]) -> Result<Value, CapacityError> {
        // The most frequent context.
        if values.is_empty() && shape == EMPTY_SHAPE {
            return Ok(self.store.empty_record().value(Tag::Record));
        }
        let older = [self.store.heap()];
        let made = self.local().heap.record(&older, shape, values)?;
        Ok(made.value(Tag::Record))
    }

    fn ip(&mut self, ip: IpWords) -> Result<Value, CapacityError> {
        let older = [self.store.heap()];
        Ok(self.local().heap.ip(&older, ip)?.value(Tag::Ip))
    }
}

enum Task<'v> {
    /// Convert this and put it on the stack of finished values.
    Convert(&'v EvalResult),
    /// Make a set of so many finished values.
    Set(usize),
    /// Make a record of the last finished values, which are in the record's own order.
    Record(&'v Record),
}

/// Puts a value where `sink` puts them.
///
/// # Errors
/// When a table is full, or cedar-policy wrote an extension value in an unknown way.
pub(crate) fn intern_value(
    sink: &mut impl ValueSink,
    value: &EvalResult,
) -> Result<Value, ValueError> {
    if !matches!(value, EvalResult::Set(_) | EvalResult::Record(_)) {
        return intern_leaf(sink, value);
    }
    let mut tasks = vec![Task::Convert(value)];
    let mut done: Vec<Value> = Vec::new();
    while let Some(task) = tasks.pop() {
        let made = match task {
            Task::Convert(EvalResult::Set(set)) => {
                tasks.push(Task::Set(set.len()));
                tasks.extend(set.iter().map(Task::Convert));
                continue;
            }
            Task::Convert(EvalResult::Record(record)) => {
                tasks.push(Task::Record(record));
                let first = tasks.len();
                tasks.extend(record.iter().map(|(_, value)| Task::Convert(value)));
                // The last one pushed is finished first.
                if let Some(values) = tasks.get_mut(first..) {
                    values.reverse();
                }
                continue;
            }
            Task::Convert(leaf) => intern_leaf(sink, leaf)?,
            Task::Set(len) => {
                let mut elements = done.split_off(done.len().saturating_sub(len));
                sink.set(&mut elements)?
            }
            Task::Record(record) => {
                let values = done.split_off(done.len().saturating_sub(record.len()));
                let mut attrs = Vec::with_capacity(values.len());
                for ((name, _), value) in record.iter().zip(values) {
                    attrs.push((sink.string(name)?, value));
                }
                intern_record(sink, &mut attrs)?.1
            }
        };
        done.push(made);
    }
    Ok(done.pop().unwrap_or(Value::ABSENT))
}

/// The record with these attributes, and its shape; `attrs` is sorted in place.
pub(crate) fn intern_record(
    sink: &mut impl ValueSink,
    attrs: &mut [(StrId, Value)],
) -> Result<(ShapeId, Value), CapacityError> {
    attrs.sort_unstable_by_key(|(name, _)| *name);
    let names: Vec<StrId> = attrs.iter().map(|(name, _)| *name).collect();
    let values: Vec<Value> = attrs.iter().map(|(_, value)| *value).collect();
    let shape = sink.shape(&names)?;
    Ok((shape, sink.record(shape, &values)?))
}

/// The extension value that a constructor makes of its argument.
///
/// # Errors
/// When it does not take the argument, or a table is full.
pub(crate) fn intern_extension(
    sink: &mut impl ValueSink,
    constructor: ExtFn,
    argument: &str,
) -> Result<Value, ValueError> {
    let failed = |error| ValueError::Extension {
        source_text: argument.into(),
        error,
    };
    Ok(match construct(constructor, argument).map_err(failed)? {
        Extension::Scalar(value) => value,
        Extension::Ip(ip) => sink.ip(ip)?,
    })
}

fn intern_leaf(sink: &mut impl ValueSink, value: &EvalResult) -> Result<Value, ValueError> {
    Ok(match value {
        EvalResult::Bool(b) => Value::bool(*b),
        EvalResult::Long(i) => Value::long(*i),
        EvalResult::String(s) => Value::string(sink.string(s)?),
        EvalResult::EntityUid(uid) => Value::entity(sink.uid(uid)?),
        EvalResult::ExtensionValue(source) => match parse_extension(source)? {
            Extension::Scalar(value) => value,
            Extension::Ip(ip) => sink.ip(ip)?,
        },
        // Sets and records never come here.
        EvalResult::Set(_) | EvalResult::Record(_) => Value::ABSENT,
    })
}
