//! Values: attributes, tags, contexts and constants.

use super::extensions::Ext;
use super::text::{cedar_string, comma_separated, escape, is_plain, json_string};
use std::sync::Arc;

/// A position in the world's list of uids.
pub(super) type Uid = usize;

/// A value, before it is written as JSON or Cedar text.
#[derive(Debug, Clone)]
pub(super) enum Val {
    Bool(bool),
    Long(i64),
    Str(Arc<str>),
    Entity(Uid),
    Set(Arc<[Val]>),
    Record(Fields),
    Ext(Ext, Arc<str>),
    /// A datetime and the duration to move it by: the one extension value in the list whose
    /// construction takes two calls.
    Offset(Arc<str>, Arc<str>),
}

/// The attributes of a record, an entity or a context.
pub(super) type Fields = Arc<[(Arc<str>, Val)]>;

/// The value of `name` in `fields`.
pub(super) fn field<'a>(fields: &'a [(Arc<str>, Val)], name: &str) -> Option<&'a Val> {
    fields
        .iter()
        .find(|(key, _)| &**key == name)
        .map(|(_, value)| value)
}

impl Val {
    /// Whether Cedar calls the two equal, as far as that can be told without evaluating extension
    /// values or comparing very large sets.
    pub(super) fn same(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a == b),
            (Self::Long(a), Self::Long(b)) => Some(a == b),
            (Self::Str(a), Self::Str(b)) => Some(a == b),
            (Self::Entity(a), Self::Entity(b)) => Some(a == b),
            (Self::Set(a), Self::Set(b)) => same_sets(a, b),
            (Self::Record(a), Self::Record(b)) => same_records(a, b),
            (Self::Ext(a, x), Self::Ext(b, y)) if a == b => (x == y).then_some(true),
            (Self::Offset(a, b), Self::Offset(x, y)) if a == x && b == y => Some(true),
            (Self::Ext(Ext::Datetime, _), Self::Offset(..))
            | (Self::Offset(..), Self::Ext(Ext::Datetime, _) | Self::Offset(..)) => None,
            _ => Some(false),
        }
    }
}

/// Whether `set` contains `value`; none if that takes evaluation to tell.
pub(super) fn contains(set: &[Val], value: &Val) -> Option<bool> {
    let mut unknown = false;
    for member in set {
        match member.same(value) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

fn same_sets(a: &Arc<[Val]>, b: &Arc<[Val]>) -> Option<bool> {
    if Arc::ptr_eq(a, b) {
        return Some(true);
    }
    if a.len().max(b.len()) > 16 {
        return None;
    }
    let within = |a: &[Val], b: &[Val]| {
        a.iter().try_fold(true, |all, value| {
            contains(b, value).map(|found| all && found)
        })
    };
    Some(within(a, b)? && within(b, a)?)
}

fn same_records(a: &Fields, b: &Fields) -> Option<bool> {
    if a.len() != b.len() {
        return Some(false);
    }
    let mut same = true;
    for (name, value) in a.iter() {
        match field(b, name) {
            None => return Some(false),
            Some(other) => same &= value.same(other)?,
        }
    }
    Some(same)
}

/// In which of its JSON forms a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JsonForm {
    /// With `__entity` and `__extn`, readable without a schema.
    Explicit,
    /// An entity as `{type, id}`, an extension value as `{fn, arg}`.
    Implicit,
    /// An extension value as a plain string where one call makes it.
    Short,
}

/// A uid's type and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UidText {
    /// The entity type, with its namespace.
    pub type_name: Arc<str>,
    /// The id, unescaped.
    pub id: Arc<str>,
}

impl UidText {
    pub(super) fn json(&self, out: &mut String) {
        out.push_str("{\"type\": ");
        json_string(out, &self.type_name);
        out.push_str(", \"id\": ");
        json_string(out, &self.id);
        out.push('}');
    }

    pub(super) fn cedar(&self, out: &mut String, ascii: bool) {
        out.push_str(&self.type_name);
        out.push_str("::");
        cedar_string(out, &self.id, ascii);
    }
}

impl std::fmt::Display for UidText {
    /// The uid as Cedar itself prints it, which is the only form in which it reads a uid from text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}::\"{}\"", self.type_name, self.id.escape_debug())
    }
}

/// Writes values; knows the uids they refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Printer<'w> {
    pub(super) uids: &'w [UidText],
}

impl Printer<'_> {
    pub(super) fn json(&self, out: &mut String, value: &Val, form: JsonForm) {
        match value {
            Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Val::Long(n) => escape(out, format_args!("{n}")),
            Val::Str(s) => json_string(out, s),
            Val::Entity(uid) => self.json_uid(out, *uid, form),
            Val::Set(members) => {
                out.push('[');
                comma_separated(out, members.iter(), |out, m| self.json(out, m, form));
                out.push(']');
            }
            Val::Record(fields) => self.json_fields(out, fields, form),
            Val::Ext(_, arg) if form == JsonForm::Short => json_string(out, arg),
            Val::Ext(ext, arg) => json_call(out, form, ext.constructor(), |out| {
                out.push_str("\"arg\": ");
                json_string(out, arg);
            }),
            Val::Offset(instant, by) => json_call(out, JsonForm::Explicit, "offset", |out| {
                out.push_str("\"args\": [");
                for (ext, arg, end) in [(Ext::Datetime, instant, ", "), (Ext::Duration, by, "]")] {
                    self.json(out, &Val::Ext(ext, arg.clone()), JsonForm::Explicit);
                    out.push_str(end);
                }
            }),
        }
    }

    /// Writes fields as a JSON object.
    pub(super) fn json_fields(&self, out: &mut String, fields: &[(Arc<str>, Val)], form: JsonForm) {
        out.push('{');
        comma_separated(out, fields, |out, (name, value)| {
            json_string(out, name);
            out.push_str(": ");
            self.json(out, value, form);
        });
        out.push('}');
    }

    pub(super) fn json_uid(&self, out: &mut String, uid: Uid, form: JsonForm) {
        let Some(uid) = self.uids.get(uid) else {
            return;
        };
        if form == JsonForm::Explicit {
            out.push_str("{\"__entity\": ");
            uid.json(out);
            out.push('}');
        } else {
            uid.json(out);
        }
    }

    pub(super) fn cedar_uid(&self, out: &mut String, uid: Uid, ascii: bool) {
        if let Some(uid) = self.uids.get(uid) {
            uid.cedar(out, ascii);
        }
    }

    /// Writes a value as a Cedar expression that needs no parentheses around it.
    pub(super) fn cedar(&self, out: &mut String, value: &Val, ascii: bool) {
        match value {
            Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Val::Long(n) if *n < 0 => escape(out, format_args!("({n})")),
            Val::Long(n) => escape(out, format_args!("{n}")),
            Val::Str(s) => cedar_string(out, s, ascii),
            Val::Entity(uid) => self.cedar_uid(out, *uid, ascii),
            Val::Set(members) => {
                out.push('[');
                comma_separated(out, members.iter(), |out, m| self.cedar(out, m, ascii));
                out.push(']');
            }
            Val::Record(fields) => {
                out.push('{');
                comma_separated(out, fields.iter(), |out, (name, value)| {
                    record_key(out, name, ascii);
                    out.push_str(": ");
                    self.cedar(out, value, ascii);
                });
                out.push('}');
            }
            Val::Ext(ext, arg) => {
                out.push_str(ext.constructor());
                out.push('(');
                cedar_string(out, arg, ascii);
                out.push(')');
            }
            Val::Offset(instant, by) => {
                self.cedar(out, &Val::Ext(Ext::Datetime, instant.clone()), ascii);
                out.push_str(".offset(");
                self.cedar(out, &Val::Ext(Ext::Duration, by.clone()), ascii);
                out.push(')');
            }
        }
    }
}

/// Writes a record key, quoted only if it must be.
pub(super) fn record_key(out: &mut String, name: &str, ascii: bool) {
    if is_plain(name) {
        out.push_str(name);
    } else {
        cedar_string(out, name, ascii);
    }
}

fn json_call(out: &mut String, form: JsonForm, function: &str, args: impl FnOnce(&mut String)) {
    if form == JsonForm::Explicit {
        out.push_str("{\"__extn\": ");
    }
    escape(out, format_args!("{{\"fn\": \"{function}\", "));
    args(out);
    out.push('}');
    if form == JsonForm::Explicit {
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::names::ODD_STRINGS;

    #[test]
    fn uids_read_back() {
        for id in ODD_STRINGS {
            let uid = UidText {
                type_name: Arc::from("App::User"),
                id: Arc::from(*id),
            };
            let parsed: cedar_policy::EntityUid = uid.to_string().parse().unwrap();
            assert_eq!(parsed.id().unescaped(), *id);
        }
    }
}
