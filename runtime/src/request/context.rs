//! Reading a context's JSON straight into values.
//!
//! Only what is certain is read here; at anything else the reader gives up, and cedar-policy reads
//! the context from its beginning. What is certain:
//!
//! - Without a schema: Booleans, integers of 64 bits, strings, arrays and objects, and
//!   `{"__entity": {"type", "id"}}` and `{"__extn": {"fn", "arg"}}` with exactly these members and a
//!   constructor that takes the argument. So is `{"__extn": {"fn": "offset", "args": […]}}` of a
//!   datetime and a duration, as cedar-policy writes datetimes that were computed. Other keys that
//!   begin with `__` are not certain.
//! - With a schema: what is of the declared type in one of its usual forms. An entity may be given
//!   without `__entity`, an extension value without `__extn` or as a string alone.
//!
//! The errors of serde_json are made and thrown away: nobody sees them.

use super::is_plain_name;
use super::plain::Work;
use crate::values::{ValueSink, intern_extension};
use cedarjit_frontend::schema::{Attrs, SchemaFacts, SchemaType};
use cedarjit_ir::ext::ExtFn;
use cedarjit_ir::ext::datetime::offset;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::StrId;
use cedarjit_ir::value::{Tag, Value};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use std::borrow::Cow;
use std::fmt;

/// Reads one context, or the attributes or tags of one entity.
pub(crate) struct Reader<'r, S> {
    pub(crate) sink: S,
    pub(crate) work: &'r mut Work,
    /// If what is read must fit the schema, what entity types it has.
    pub(crate) valid: Option<&'r SchemaFacts>,
    /// Whether attributes may be there that are not declared, and those missing that are required.
    pub(crate) lenient: bool,
}

/// What is to be read.
#[derive(Clone, Copy)]
pub(crate) enum Expected<'t> {
    /// Anything.
    Any,
    /// A value that is meant to be of this type.
    Type(&'t SchemaType),
    /// A record of these attributes.
    Record(&'t Attrs),
}

/// The reader gives up.
pub(crate) fn give_up<T, E: Error>() -> Result<T, E> {
    Err(E::custom("not certain"))
}

impl<S: ValueSink> Reader<'_, S> {
    /// Reads a record: the whole context, or all attributes of an entity. `None` if what it means is not certain; then what was
    /// interned so far is to be forgotten.
    pub(crate) fn context<'de, D: Deserializer<'de>>(
        &mut self,
        expected: Expected<'_>,
        json: D,
    ) -> Option<Value> {
        self.work.clear();
        let seed = Seed {
            reader: self,
            expected,
        };
        let context = seed.deserialize(json).ok()?;
        (context.tag == Tag::Record).then_some(context)
    }

    /// The set of the elements from `start` on.
    fn set(&mut self, start: usize) -> Option<Value> {
        let Work {
            elements, values, ..
        } = &mut *self.work;
        values.clear();
        values.extend(elements.drain(start..));
        self.sink.set(values).ok()
    }

    /// The record of the attributes from `start` on; `None` if two have one name.
    fn record(&mut self, start: usize) -> Option<Value> {
        let Work {
            attrs,
            names,
            values,
            ..
        } = &mut *self.work;
        let own = attrs.get_mut(start..)?;
        own.sort_unstable_by_key(|(name, _)| *name);
        names.clear();
        values.clear();
        for (name, value) in attrs.drain(start..) {
            if names.last() == Some(&name) {
                return None;
            }
            names.push(name);
            values.push(value);
        }
        let shape = self.sink.shape(names).ok()?;
        self.sink.record(shape, values).ok()
    }

    fn entity(&mut self, ty: &str, id: &str, declared: Option<&str>) -> Option<Value> {
        if declared.is_some_and(|declared| declared != ty) || !self.is_possible(ty, id) {
            return None;
        }
        self.sink.entity(ty, id).ok().map(Value::entity)
    }

    /// Whether this is certain to be an entity's type and id, and to be valid if it must be.
    pub(crate) fn is_possible(&self, ty: &str, id: &str) -> bool {
        let valid = |facts: &SchemaFacts| facts.entity_type(ty).is_some_and(|ty| ty.may_have(id));
        is_plain_name(ty) && self.valid.is_none_or(valid)
    }

    fn extension(&mut self, constructor: ExtFn, argument: &str) -> Option<Value> {
        intern_extension(&mut self.sink, constructor, argument).ok()
    }
}

/// The constructor that a string stands for where the schema declares this type.
fn constructor(ty: &SchemaType) -> Option<ExtFn> {
    match ty {
        SchemaType::Decimal => Some(ExtFn::Decimal),
        SchemaType::Ip => Some(ExtFn::Ip),
        SchemaType::Datetime => Some(ExtFn::Datetime),
        SchemaType::Duration => Some(ExtFn::Duration),
        _ => None,
    }
}

/// Reads a value.
pub(crate) struct Seed<'x, 'r, 't, S> {
    pub(crate) reader: &'x mut Reader<'r, S>,
    pub(crate) expected: Expected<'t>,
}

impl<'de, S: ValueSink> DeserializeSeed<'de> for Seed<'_, '_, '_, S> {
    type Value = Value;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, S: ValueSink> Visitor<'de> for Seed<'_, '_, '_, S> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        match self.expected {
            Expected::Any | Expected::Type(SchemaType::Bool) => Ok(Value::bool(value)),
            _ => give_up(),
        }
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        match self.expected {
            Expected::Any | Expected::Type(SchemaType::Long) => Ok(Value::long(value)),
            _ => give_up(),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => give_up(),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        let Self { reader, expected } = self;
        let read = match expected {
            Expected::Any | Expected::Type(SchemaType::String) => {
                reader.sink.string(text).ok().map(Value::string)
            }
            Expected::Type(_) if planted(Fault::ExtensionStringKept) => {
                reader.sink.string(text).ok().map(Value::string)
            }
            Expected::Type(ty) => {
                constructor(ty).and_then(|constructor| reader.extension(constructor, text))
            }
            Expected::Record(_) => None,
        };
        read.map_or_else(give_up, Ok)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let Self { reader, expected } = self;
        let expected = match expected {
            Expected::Any => Expected::Any,
            Expected::Type(SchemaType::Set(element)) => Expected::Type(element),
            _ => return give_up(),
        };
        let start = reader.work.elements.len();
        loop {
            let seed = Seed {
                reader: &mut *reader,
                expected,
            };
            match array.next_element_seed(seed)? {
                Some(element) => reader.work.elements.push(element),
                None => break,
            }
        }
        reader.set(start).map_or_else(give_up, Ok)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Value, A::Error> {
        let Self { reader, expected } = self;
        match expected {
            Expected::Any => any_object(reader, object),
            Expected::Record(attrs) => record(reader, attrs, object),
            Expected::Type(SchemaType::Record(attrs)) => record(reader, attrs, object),
            Expected::Type(SchemaType::Entity(ty)) => entity(reader, Some(ty), true, object),
            Expected::Type(ty) => match constructor(ty) {
                Some(function) => extension(reader, Some(function), true, object),
                None => give_up(),
            },
        }
    }
}

/// What a key says where no type is declared.
enum Key {
    Attribute(StrId),
    Entity,
    Extension,
}

/// Reads an object where no type is declared: a record, an entity or an extension value.
fn any_object<'de, A: MapAccess<'de>, S: ValueSink>(
    reader: &mut Reader<'_, S>,
    mut object: A,
) -> Result<Value, A::Error> {
    let start = reader.work.attrs.len();
    loop {
        let sink = &mut reader.sink;
        let key = object.next_key_seed(Text(|key: &str| match key {
            "__entity" => Some(Key::Entity),
            "__extn" => Some(Key::Extension),
            key if is_peculiar(key) => None,
            key => sink.string(key).ok().map(Key::Attribute),
        }))?;
        let first = reader.work.attrs.len() == start;
        match key {
            None => return reader.record(start).map_or_else(give_up, Ok),
            Some(Key::Attribute(name)) => {
                let value = object.next_value_seed(Seed {
                    reader: &mut *reader,
                    expected: Expected::Any,
                })?;
                reader.work.attrs.push((name, value));
            }
            Some(Key::Entity) if first => {
                let escape = Escape::Entity(None);
                let value = object.next_value_seed(EscapeSeed { reader, escape })?;
                return last(object, value);
            }
            Some(Key::Extension) if first => {
                let escape = Escape::Extension(None);
                let value = object.next_value_seed(EscapeSeed { reader, escape })?;
                return last(object, value);
            }
            Some(Key::Entity | Key::Extension) => return give_up(),
        }
    }
}

/// Reads an object where a record of these attributes is declared.
fn record<'de, A: MapAccess<'de>, S: ValueSink>(
    reader: &mut Reader<'_, S>,
    declared: &Attrs,
    mut object: A,
) -> Result<Value, A::Error> {
    let start = reader.work.attrs.len();
    let lenient = reader.lenient;
    let mut required = 0;
    loop {
        let sink = &mut reader.sink;
        let key = object.next_key_seed(Text(|key: &str| {
            let attr = declared.get(key);
            if is_peculiar(key) || (attr.is_none() && !lenient) {
                return None;
            }
            Some((sink.string(key).ok()?, attr))
        }))?;
        let Some((name, attr)) = key else {
            break;
        };
        let value = object.next_value_seed(Seed {
            reader: &mut *reader,
            expected: attr.map_or(Expected::Any, |attr| Expected::Type(&attr.ty)),
        })?;
        required += usize::from(attr.is_some_and(|attr| attr.required));
        reader.work.attrs.push((name, value));
    }
    // If a name came twice, there is no record anyway.
    let complete = lenient
        || declared.values().filter(|attr| attr.required).count() == required
        || planted(Fault::RequiredAttributeMissing);
    let record = complete.then(|| reader.record(start)).flatten();
    record.map_or_else(give_up, Ok)
}

/// Whether a key means more than an attribute of that name: to cedar-policy, or to serde_json,
/// which has one of its own for numbers in one of its configurations.
pub(crate) fn is_peculiar(key: &str) -> bool {
    key.starts_with("__") || key.starts_with('$')
}

/// Ends an object that has no further members.
fn last<'de, A: MapAccess<'de>, T>(mut object: A, value: T) -> Result<T, A::Error> {
    match object.next_key::<&str>()? {
        None => Ok(value),
        Some(_) => give_up(),
    }
}

/// Reads an entity, with `__entity` around it if `escaped` allows for that.
fn entity<'de, A: MapAccess<'de>, S: ValueSink>(
    reader: &mut Reader<'_, S>,
    declared: Option<&str>,
    escaped: bool,
    object: A,
) -> Result<Value, A::Error> {
    let UidText { ty, id } = UidSeed { escaped }.visit_map(object)?;
    let entity = reader.entity(&ty, &id, declared);
    entity.map_or_else(give_up, Ok)
}

/// The type and id of an entity as they are given; neither is looked at yet.
pub(crate) struct UidText<'a> {
    pub(crate) ty: Cow<'a, str>,
    pub(crate) id: Cow<'a, str>,
}

/// Reads `{"type": …, "id": …}`, and around it `{"__entity": …}` if `escaped` allows for that.
pub(crate) struct UidSeed {
    pub(crate) escaped: bool,
}

impl<'de> DeserializeSeed<'de> for UidSeed {
    type Value = UidText<'de>;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<UidText<'de>, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for UidSeed {
    type Value = UidText<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<UidText<'de>, A::Error> {
        let (mut ty, mut id) = (None, None);
        while let Some(key) = object.next_key::<&str>()? {
            let place = match key {
                "type" => &mut ty,
                "id" => &mut id,
                "__entity" if self.escaped && ty.is_none() && id.is_none() => {
                    let uid = object.next_value_seed(UidSeed { escaped: false })?;
                    return last(object, uid);
                }
                _ => return give_up(),
            };
            if place.replace(object.next_value::<Str<'de>>()?.0).is_some() {
                return give_up();
            }
        }
        let uid = ty.zip(id).map(|(ty, id)| UidText { ty, id });
        uid.map_or_else(give_up, Ok)
    }
}

/// Reads `{"fn": …, "arg": …}` or `{"fn": "offset", "args": […]}`, and around it `{"__extn": …}` if
/// `escaped` allows for that.
fn extension<'de, A: MapAccess<'de>, S: ValueSink>(
    reader: &mut Reader<'_, S>,
    declared: Option<ExtFn>,
    escaped: bool,
    mut object: A,
) -> Result<Value, A::Error> {
    let (mut function, mut argument, mut computed) = (None, None, None);
    while let Some(key) = object.next_key::<&str>()? {
        let place = match key {
            "fn" => &mut function,
            "arg" => &mut argument,
            "args" if computed.is_none() => {
                computed = Some(object.next_value_seed(OffsetSeed { reader })?);
                continue;
            }
            "__extn"
                if escaped && function.is_none() && argument.is_none() && computed.is_none() =>
            {
                let escape = Escape::Extension(declared);
                let value = object.next_value_seed(EscapeSeed { reader, escape })?;
                return last(object, value);
            }
            _ => return give_up(),
        };
        if place.replace(object.next_value::<Str<'de>>()?).is_some() {
            return give_up();
        }
    }
    let function = function.and_then(|name| ExtFn::from_name(&name.0));
    let value = match (function, argument, computed) {
        (Some(ExtFn::Offset), None, Some(datetime)) => {
            let expected = declared.is_none_or(|declared| declared == ExtFn::Datetime);
            expected.then_some(datetime)
        }
        (Some(function), Some(argument), None) => {
            let expected = declared.is_none_or(|declared| declared == function);
            (function.is_constructor() && expected)
                .then(|| reader.extension(function, &argument.0))
                .flatten()
        }
        _ => None,
    };
    value.map_or_else(give_up, Ok)
}

/// Reads the arguments of `offset`, and computes the datetime.
struct OffsetSeed<'x, 'r, S> {
    reader: &'x mut Reader<'r, S>,
}

impl<'de, S: ValueSink> DeserializeSeed<'de> for OffsetSeed<'_, '_, S> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de, S: ValueSink> Visitor<'de> for OffsetSeed<'_, '_, S> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a datetime and a duration")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let mut argument = |tag| -> Result<i64, A::Error> {
            // What is declared is the type of the whole.
            let value = array.next_element_seed(Seed {
                reader: &mut *self.reader,
                expected: Expected::Any,
            })?;
            let value = value.filter(|value| value.tag == tag);
            value.map_or_else(give_up, |value| Ok(value.as_i64()))
        };
        let datetime = argument(Tag::Datetime)?;
        let duration = argument(Tag::Duration)?;
        if array.next_element::<IgnoredAny>()?.is_some() {
            return give_up();
        }
        let sum = match planted(Fault::ComputedDatetimeKept) {
            true => Some(datetime),
            false => offset(datetime, duration),
        };
        sum.map_or_else(give_up, |sum| Ok(Value::scalar(Tag::Datetime, sum)))
    }
}

/// What is in an escape, and of which type it must be.
#[derive(Clone, Copy)]
enum Escape<'t> {
    Entity(Option<&'t str>),
    Extension(Option<ExtFn>),
}

/// Reads what is in an escape.
struct EscapeSeed<'x, 'r, 't, S> {
    reader: &'x mut Reader<'r, S>,
    escape: Escape<'t>,
}

impl<'de, S: ValueSink> DeserializeSeed<'de> for EscapeSeed<'_, '_, '_, S> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, S: ValueSink> Visitor<'de> for EscapeSeed<'_, '_, '_, S> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Value, A::Error> {
        match self.escape {
            Escape::Entity(declared) => entity(self.reader, declared, false, object),
            Escape::Extension(declared) => extension(self.reader, declared, false, object),
        }
    }
}

/// A string, borrowed unless it is written with escapes.
struct Str<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Str<'de> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_str(StrVisitor).map(Str)
    }
}

struct StrVisitor;

impl<'de> Visitor<'de> for StrVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    #[inline]
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Gives a string to a function, which may give up.
pub(crate) struct Text<F>(pub(crate) F);

impl<'de, T, F: FnOnce(&str) -> Option<T>> DeserializeSeed<'de> for Text<F> {
    type Value = T;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T, D::Error> {
        json.deserialize_str(self)
    }
}

impl<T, F: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    #[inline]
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_or_else(give_up, Ok)
    }
}
