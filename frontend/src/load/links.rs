//! Files of template links in their usual form, read without cedar-policy.
//!
//! A link takes cedar-policy tens of microseconds and 2.6 KB, most of it for uids that go through
//! its parser and for texts that it keeps. Links as people and programs write them need none of
//! that. Anything unusual, be it right or wrong, is left to cedar-policy, so that what is accepted
//! and what errors say is the same.

use super::text::guard_json_text;
use crate::limits::MAX_POLICY_SET_BYTES;
use cedar_policy::{PolicyId, PolicySet, SlotId};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// A link that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainLink<'a> {
    /// The link's id, which nothing else has.
    pub id: Cow<'a, str>,
    /// The id of a template.
    pub template: Cow<'a, str>,
    /// The entity for `?principal`, if the template has that slot.
    pub principal: Option<PlainUid<'a>>,
    /// The entity for `?resource`, if the template has that slot.
    pub resource: Option<PlainUid<'a>>,
}

/// An entity uid: its type, with namespaces, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainUid<'a>(Cow<'a, str>, usize);

impl PlainUid<'_> {
    /// The type, as it is interned.
    pub fn ty(&self) -> &str {
        self.0.get(..self.1).unwrap_or("")
    }

    /// The id.
    pub fn eid(&self) -> &str {
        // Between `::"` and `"`.
        let end = self.0.len().saturating_sub(1);
        self.0.get(self.1 + 3..end).unwrap_or("")
    }
}

/// A link as JSON has it.
#[derive(Deserialize)]
struct Link<'a> {
    #[serde(borrow)]
    template_id: Cow<'a, str>,
    #[serde(borrow)]
    link_id: Cow<'a, str>,
    #[serde(borrow)]
    args: Args<'a>,
}

/// What a link binds; of several values of one slot the last counts.
#[derive(Default)]
struct Args<'a> {
    principal: Option<Text<'a>>,
    resource: Option<Text<'a>>,
    /// Whether there is another slot, which is an error.
    other: bool,
}

/// A string that is borrowed if it can be.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Args<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ArgsVisitor;

        impl<'de> Visitor<'de> for ArgsVisitor {
            type Value = Args<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args<'de>, A::Error> {
                let mut args = Args::default();
                while let Some((slot, uid)) = map.next_entry::<Text<'de>, Text<'de>>()? {
                    match &*slot.0 {
                        "?principal" => args.principal = Some(uid),
                        "?resource" => args.resource = Some(uid),
                        _ => args.other = true,
                    }
                }
                Ok(args)
            }
        }

        deserializer.deserialize_map(ArgsVisitor)
    }
}

/// The links of a file, if all of them are in the usual form and can be made.
///
/// `None` if anything is unusual or wrong: [`link`](super::link) then tells which, and makes the
/// links if they can be made. O(n) in the length of the text.
pub fn plain_links<'a>(policies: &PolicySet, text: &'a str) -> Option<Vec<PlainLink<'a>>> {
    guard_json_text(text, MAX_POLICY_SET_BYTES, "").ok()?;
    let links: Vec<Link<'a>> = serde_json::from_str(text).ok()?;
    let mut slots: HashMap<&str, [bool; 2]> = HashMap::new();
    for template in policies.templates() {
        let has = |slot: SlotId| template.slots().any(|s| *s == slot);
        let needs = [has(SlotId::principal()), has(SlotId::resource())];
        slots.insert(template.id().as_ref(), needs);
    }
    let mut ids = HashSet::with_capacity(links.len());
    let mut plain = Vec::with_capacity(links.len());
    for link in &links {
        let [principal, resource] = *slots.get(&*link.template_id)?;
        let id = PolicyId::new(&*link.link_id);
        let taken = policies.policy(&id).is_some() || policies.template(&id).is_some();
        if taken || link.args.other || !ids.insert(&*link.link_id) {
            return None;
        }
        plain.push(PlainLink {
            id: link.link_id.clone(),
            template: link.template_id.clone(),
            principal: bound(principal, link.args.principal.as_ref())?,
            resource: bound(resource, link.args.resource.as_ref())?,
        });
    }
    Some(plain)
}

/// What a slot is bound to, if it is bound exactly when it must be.
fn bound<'a>(needed: bool, text: Option<&Text<'a>>) -> Option<Option<PlainUid<'a>>> {
    match (needed, text) {
        (true, Some(Text(text))) => Some(Some(plain_uid(text.clone())?)),
        (false, None) => Some(None),
        _ => None,
    }
}

/// The longest word that Cedar's grammar reserves: `principal`. No type name has a reserved word.
const LONGEST_RESERVED: usize = 9;

/// Words that cannot be part of a type name, or could not in some version of Cedar.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "if",
    "then",
    "else",
    "in",
    "is",
    "has",
    "like",
    "permit",
    "forbid",
    "when",
    "unless",
    "principal",
    "action",
    "resource",
    "context",
    "__cedar",
];

/// A uid of plain ASCII without escapes, nor anything that would have to be escaped: cedar-policy
/// accepts a uid only as it prints it.
fn plain_uid(text: Cow<'_, str>) -> Option<PlainUid<'_>> {
    let ty_len = text.find("::\"")?;
    let ty = text.get(..ty_len)?;
    let eid = text.get(ty_len + 3..)?.strip_suffix('"')?;
    let plain = |b: u8| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\'' | b'\\');
    let name = |part: &str| {
        let first = part.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let reserved = part.len() <= LONGEST_RESERVED && RESERVED.contains(&part);
        first && part.bytes().all(word) && !reserved
    };
    (ty.split("::").all(name) && eid.bytes().all(plain)).then_some(PlainUid(text, ty_len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::link;
    use cedar_policy::EntityUid;

    #[test]
    fn plain_uids_are_read_as_cedar_policy_reads_them() {
        let plain = [
            r#"User::"ann""#,
            r#"A::B::_c9::"x y : {} // ~""#,
            r#"A::"""#,
            r#"whenever::"1""#,
        ];
        for text in plain {
            let uid = plain_uid(text.into()).expect(text);
            let expected: EntityUid = text.parse().expect(text);
            assert_eq!(uid.ty(), expected.type_name().to_string());
            assert_eq!(uid.eid(), expected.id().unescaped());
        }
        let unusual = [
            "",
            "A",
            r#"A"x""#,
            r#"A::x"#,
            r#"A:: "x""#,
            r#" A::"x""#,
            r#"A::"x" "#,
            r#"A::"\n""#,
            r#"A::"é""#,
            r#"A::"x"y""#,
            r#"A::"'""#,
            r#"if::"x""#,
            r#"A::in::"x""#,
            r#"9::"x""#,
            r#"::"x""#,
            r#"A::::"x""#,
            r#"A::B"#,
            "A::\"\u{7f}\"",
            "A::\"\n\"",
            r#"__cedar::"x""#,
            r#"A::"x"#,
            r#"A::"\"""#,
            r#"A::""#,
        ];
        for text in unusual {
            assert_eq!(plain_uid(text.into()), None, "{text}");
        }
    }

    /// Every single-byte change of a uid is left to cedar-policy or read as it does.
    #[test]
    fn changed_uids_are_never_read_differently() {
        let original = br#"Ab::C::"d e""#;
        for i in 0..original.len() {
            for b in 0..=0x7f {
                let mut bytes = original.to_vec();
                bytes[i] = b;
                let text = String::from_utf8(bytes).unwrap();
                let Some(uid) = plain_uid(text.as_str().into()) else {
                    continue;
                };
                let expected: EntityUid = text.parse().expect(&text);
                assert_eq!(uid.ty(), expected.type_name().to_string());
                assert_eq!(uid.eid(), expected.id().unescaped());
            }
        }
    }

    #[test]
    fn what_is_unusual_is_left_to_cedar_policy() {
        let policies = || -> PolicySet {
            "permit (principal == ?principal, action, resource in ?resource);
             forbid (principal, action, resource == ?resource);
             permit (principal, action, resource);"
                .parse()
                .unwrap()
        };
        let both = r#"{"?principal": "A::\"x\"", "?resource": "B::\"y\""}"#;
        let read = |links: &str| plain_links(&policies(), links).map(|links| links.len());
        let one = |template: &str, id: &str, args: &str| {
            format!(r#"{{"template_id": "{template}", "link_id": "{id}", "args": {args}}}"#)
        };
        let usual = format!(
            "[{}, {}]",
            one("policy0", "l", both),
            one("policy1", "m", r#"{"?resource": "B::\"y\""}"#)
        );
        assert_eq!(read(&usual), Some(2));
        let mut linked = policies();
        link(&mut linked, &usual, "").unwrap();
        assert_eq!(linked.num_of_policies(), 3);
        let unusual = [
            one("policy2", "l", "{}"),
            one("policy9", "l", both),
            one("policy0", "policy1", both),
            one("policy0", "policy2", both),
            one("policy1", "l", both),
            one("policy0", "l", r#"{"?principal": "A::\"x\""}"#),
            one(
                "policy1",
                "l",
                r#"{"?other": "A::\"x\"", "?resource": "A::\"x\""}"#,
            ),
            one("policy1", "l", r#"{"?resource": "A :: \"x\""}"#),
            one("policy1", "l", r#"{"?resource": 1}"#),
            format!(
                "{}, {}",
                one("policy0", "l", both),
                one("policy0", "l", both)
            ),
        ];
        for links in unusual {
            assert_eq!(read(&format!("[{links}]")), None, "{links}");
        }
        for links in ["", "[", "{}", "[1]"] {
            assert_eq!(read(links), None);
        }
    }
}
