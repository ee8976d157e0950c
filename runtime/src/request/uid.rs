//! Entity uids as callers give them: as text, or as a handle that was resolved before.

use super::{RequestError, RequestPart, parse_uid};
use crate::values::escaped_char;
use cedar_policy::{EntityId as CedarEntityId, EntityTypeName, EntityUid};
use cedarjit_frontend::limits::MAX_UID_BYTES;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::{Interner, InternerIdentity};
use std::borrow::Cow;

/// An entity that an engine knows, looked up once.
///
/// A handle stays good while the engine's policies change. It ends with the entities: once they are
/// replaced, using it is an error. The same holds for the handles of another engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityHandle {
    id: EntityId,
    identity: InternerIdentity,
}

impl EntityHandle {
    pub(crate) fn new(id: EntityId, interner: &Interner) -> Self {
        Self {
            id,
            identity: interner.identity(),
        }
    }

    /// The entity's id in `interner`.
    ///
    /// `None` if the handle is not of this interner, or of a later state of it.
    #[inline]
    pub(crate) fn id(self, interner: &Interner) -> Option<EntityId> {
        let known =
            self.identity == interner.identity() && self.id.index() < interner.entity_count();
        known.then_some(self.id)
    }
}

/// A principal, action or resource.
#[derive(Clone, Copy, Debug)]
pub enum Uid<'a> {
    /// In Cedar's syntax, `Type::"id"`.
    Text(&'a str),
    /// Looked up before.
    Handle(EntityHandle),
}

impl<'a> From<&'a str> for Uid<'a> {
    fn from(text: &'a str) -> Self {
        Uid::Text(text)
    }
}

impl<'a> From<&'a String> for Uid<'a> {
    fn from(text: &'a String) -> Self {
        Uid::Text(text)
    }
}

impl From<EntityHandle> for Uid<'_> {
    fn from(handle: EntityHandle) -> Self {
        Uid::Handle(handle)
    }
}

/// cedar-policy's uid.
///
/// # Errors
/// When cedar-policy cannot read it, or the handle is not of this interner.
pub(crate) fn cedar_uid(
    part: RequestPart,
    uid: Uid<'_>,
    interner: &Interner,
) -> Result<EntityUid, RequestError> {
    let handle = match uid {
        Uid::Text(text) => return parse_uid(part, text),
        Uid::Handle(handle) => handle,
    };
    let known = handle.id(interner).and_then(|id| interner.entity(id));
    let (ty, eid) = known.ok_or(RequestError::Handle(part))?;
    uid_of_names(interner.str(ty.name()), interner.str(eid)).ok_or(RequestError::Handle(part))
}

/// The uid of a type and an id; `None` if the type is not written as cedar-policy writes it.
pub(crate) fn uid_of_names(ty: &str, eid: &str) -> Option<EntityUid> {
    let ty: EntityTypeName = ty.parse().ok()?;
    Some(EntityUid::from_type_name_and_id(
        ty,
        CedarEntityId::new(eid),
    ))
}

/// The type and id of a uid that is written plainly: a name of ASCII identifiers, and an id with the
/// escapes that it needs.
///
/// cedar-policy takes every such text, and no other reading of it is possible. What is wrong with any
/// other is left to it. Escapes cost an allocation. O(n).
#[inline]
pub(crate) fn split_plain(text: &str) -> Option<(&str, Cow<'_, str>)> {
    if text.len() > MAX_UID_BYTES {
        return None;
    }
    let body = text.strip_suffix('"')?;
    let name = plain_name(body.as_bytes());
    let (ty, rest) = body.split_at_checked(name)?;
    let eid = rest.strip_prefix("::\"")?;
    if name == 0 {
        return None;
    }
    match is_plain_id(eid) {
        true => Some((ty, Cow::Borrowed(eid))),
        false => Some((ty, Cow::Owned(unescape(eid)?))),
    }
}

/// What an id with escapes means, if it is written as cedar-policy writes it: it takes no other.
#[cold]
fn unescape(id: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(id.len());
    let mut chars = id.chars();
    while let Some(c) = chars.next() {
        unescaped.push(match c {
            '\\' => escaped_char(&mut chars)?,
            c => c,
        });
    }
    (unescaped.escape_debug().eq(id.chars())).then_some(unescaped)
}

/// Whether this names an entity type: ASCII identifiers, none reserved, joined by `::`.
#[inline]
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && plain_name(name.as_bytes()) == name.len()
}

/// The length of the name that a text begins with: ASCII identifiers, none reserved, joined by
/// `::`. 0 if it does not begin with one.
#[inline]
fn plain_name(text: &[u8]) -> usize {
    let mut start = 0;
    loop {
        let identifier = text.get(start..).unwrap_or_default();
        let end = identifier.iter().position(|b| !is_word(*b));
        let (identifier, rest) = identifier.split_at(end.unwrap_or(identifier.len()));
        if identifier.first().is_none_or(u8::is_ascii_digit) || is_reserved(identifier) {
            return 0;
        }
        let end = start + identifier.len();
        match rest {
            [b':', b':', next, ..] if is_word(*next) => start = end + 2,
            _ => return end,
        }
    }
}

#[inline]
fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

#[inline]
fn is_reserved(identifier: &[u8]) -> bool {
    matches!(
        identifier,
        b"if"
            | b"in"
            | b"is"
            | b"has"
            | b"true"
            | b"then"
            | b"else"
            | b"like"
            | b"false"
            | b"__cedar"
    )
}

/// Whether cedar-policy writes this id as it stands, between quotes.
#[inline]
fn is_plain_id(id: &str) -> bool {
    let escapes = planted(Fault::EscapesOfIdKept);
    // No early exit: so it is a few vector instructions.
    let plain = id.bytes().fold(true, |plain, b| {
        plain & (b' '..=b'~').contains(&b) & (b != b'"') & (b != b'\'') & (b != b'\\' || escapes)
    });
    plain || (!id.is_ascii() && id.escape_debug().eq(id.chars()))
}

#[cfg(test)]
mod tests;
