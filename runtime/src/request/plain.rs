//! Binding a request that is written plainly, without cedar-policy.
//!
//! Almost every request is, and for those this gives what cedar-policy would have given. At
//! anything else [`bind_plain`] gives up, and cedar-policy reads the request from its beginning: so
//! whatever is unusual, and every error, is cedar-policy's own.

use super::context::{Expected, Reader};
use super::remembered::RememberedUids;
use super::{RequestRules, RequestValues, Uid, split_plain};
use crate::store::Store;
use crate::values::RequestSink;
use cedarjit_frontend::limits::MAX_UID_BYTES;
use cedarjit_frontend::limits::is_small_context_text;
use cedarjit_frontend::schema::SchemaFacts;
use cedarjit_ir::ids::{EntityId, StrId, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::value::{Tag, Value};
use std::borrow::Cow;

/// A context in JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContextJson<'a> {
    /// As text.
    Text(&'a str),
    /// Parsed, and known to be within the limits.
    Value(&'a serde_json::Value),
}

/// What requests are bound to.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) interner: &'a Interner,
    pub(crate) store: &'a Store,
    /// If there is a schema, what it says about requests.
    pub(crate) schema: Option<(&'a RequestRules, &'a SchemaFacts)>,
}

/// Memory that reading a request needs on its way, kept to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// Uids that were looked up before.
    pub(crate) uids: RememberedUids,
    /// Attributes of the records that are being read, those of the innermost last.
    pub(crate) attrs: Vec<(StrId, Value)>,
    /// Elements of the sets that are being read, those of the innermost last.
    pub(crate) elements: Vec<Value>,
    /// Names of a record that is finished.
    pub(crate) names: Vec<StrId>,
    /// Values of a record or set that is finished.
    pub(crate) values: Vec<Value>,
}

impl Work {
    pub(crate) fn clear(&mut self) {
        self.attrs.clear();
        self.elements.clear();
    }
}

/// Binds a request that is written plainly, and that fits the schema if it must.
///
/// `values` must be clear. `None` if the request is not certain to be one; `values` is then to be
/// cleared again. Allocates nothing once `values` and `work` have grown to size, unless a string or an
/// id has escapes. O(n) in the size of the request, but for the sorting of sets and attributes.
pub(crate) fn bind_plain(
    values: &mut RequestValues,
    ground: Ground<'_>,
    [principal, action, resource]: [Uid<'_>; 3],
    context: ContextJson<'_>,
    validate: bool,
    work: &mut Work,
) -> Option<()> {
    let mut sink = values.sink(ground.interner, ground.store);
    let uids = &mut work.uids;
    uids.turn_to(ground.interner);
    let principal = known_uid(&mut sink, uids, principal)?;
    let action = known_uid(&mut sink, uids, action)?;
    let resource = known_uid(&mut sink, uids, resource)?;
    let mut expected = Expected::Any;
    let mut may_be_empty = true;
    let mut valid = None;
    if let Some((rules, facts)) = ground.schema {
        let rules = rules.action(action.0)?;
        if validate {
            valid = Some(facts);
            let fits = rules.principals.has(principal.0, principal.1)
                && rules.resources.has(resource.0, resource.1);
            fits.then_some(())?;
        }
        expected = Expected::Record(&rules.context);
        may_be_empty = rules.may_be_empty;
    }
    let context = if matches!(context, ContextJson::Text("{}")) && may_be_empty {
        ground.store.empty_record().value(Tag::Record)
    } else {
        let lenient = false;
        let mut reader = Reader {
            sink,
            work,
            valid,
            lenient,
        };
        read_context(&mut reader, expected, context)?
    };
    values.set([principal.0, action.0, resource.0], context);
    Some(())
}

/// Whether this is certain to be a context where no schema says what is in one.
pub(crate) fn is_plain_context(context: &str, interner: &Interner, store: &Store) -> bool {
    let mut values = RequestValues::unbound(interner);
    let mut reader = Reader {
        sink: values.sink(interner, store),
        work: &mut Work::default(),
        valid: None,
        lenient: false,
    };
    let context = ContextJson::Text(context);
    read_context(&mut reader, Expected::Any, context).is_some()
}

fn read_context(
    reader: &mut Reader<'_, RequestSink<'_>>,
    expected: Expected<'_>,
    context: ContextJson<'_>,
) -> Option<Value> {
    match context {
        ContextJson::Value(json) => reader.context(expected, json),
        ContextJson::Text(text) if is_small_context_text(text) => {
            let mut json = serde_json::Deserializer::from_str(text);
            let context = reader.context(expected, &mut json)?;
            json.end().ok()?;
            Some(context)
        }
        ContextJson::Text(_) => None,
    }
}

/// The entity that a uid names, and its type.
///
/// `None` if the uid is not written plainly, the handle is not of this interner, or a table is full.
#[inline(always)]
fn known_uid(
    sink: &mut RequestSink<'_>,
    uids: &mut RememberedUids,
    uid: Uid<'_>,
) -> Option<(EntityId, TypeId)> {
    match uid {
        Uid::Text(text) => match uids.get(sink.interner, text) {
            None => looked_up(sink, uids, text),
            known => known,
        },
        Uid::Handle(handle) => {
            let id = handle.id(sink.interner)?;
            Some((id, sink.interner.entity(id)?.0))
        }
    }
}

/// As [`known_uid`], of a text that is not remembered.
#[inline(never)]
fn looked_up(
    sink: &mut RequestSink<'_>,
    uids: &mut RememberedUids,
    text: &str,
) -> Option<(EntityId, TypeId)> {
    if text.len() <= MAX_UID_BYTES
        && let Some(known) = sink.interner.find_uid_text(text)
    {
        uids.note(text, known);
        return Some(known);
    }
    let (ty, eid) = split_plain(text)?;
    let entity = sink.typed_entity(ty, &eid).ok()?;
    if matches!(eid, Cow::Owned(_)) && !entity.0.is_local() {
        // The interner does not know ids by their escapes.
        uids.note(text, entity);
    }
    Some(entity)
}
