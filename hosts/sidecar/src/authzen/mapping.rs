//! From AuthZEN's types, ids and names to Cedar's entities.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cedar_policy::{EntityNamespace, EntityTypeName};

use crate::config::{ProblemKind, Section};
use crate::uid::{BadType, type_name, uid_text};

/// What the sidecar is told about AuthZEN.
#[derive(Clone, Debug, Default)]
pub struct AuthZen {
    /// How types and names become Cedar's.
    pub mapping: Mapping,
    /// The URL under which clients know the decision point, for the metadata. By default what they
    /// asked.
    pub base_url: Option<String>,
    /// Whether answers name the policies that determined them and those that failed.
    pub reasons: bool,
}

/// How AuthZEN's types and names become Cedar's.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// Goes before each type: `""`, or `"Ns::"`.
    prefix: String,
    /// The type of actions, with its namespace.
    action: String,
    /// Types that are called otherwise in Cedar, with their namespace.
    types: BTreeMap<String, String>,
}

impl Default for Mapping {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            action: "Action".to_owned(),
            types: BTreeMap::new(),
        }
    }
}

impl AuthZen {
    pub(crate) fn read(mut section: Section<'_>) -> Self {
        let prefix = match section.take::<String>("namespace") {
            None => String::new(),
            Some(namespace) if namespace.parse::<EntityNamespace>().is_ok() => {
                format!("{namespace}::")
            }
            Some(value) => {
                let what = "is no namespace of Cedar";
                let help = "write it as `Shop` or `Acme::Shop`, or leave it out";
                section.complain("namespace", ProblemKind::Invalid { value, what, help });
                String::new()
            }
        };
        let mut types = BTreeMap::new();
        let said: Option<BTreeMap<String, String>> = section.take("types");
        for (theirs, ours) in said.unwrap_or_default() {
            match ours.parse::<EntityTypeName>() {
                Ok(_) => {
                    types.insert(theirs, format!("{prefix}{ours}"));
                }
                Err(_) => {
                    let (value, what) = (ours, "is not the name of an entity type");
                    let help = "write the type that it has in Cedar, without the namespace";
                    let key = format!("types.{theirs}");
                    section.complain(&key, ProblemKind::Invalid { value, what, help });
                }
            }
        }
        let base_url = section.take::<String>("base_url");
        let base_url = base_url.map(|url| url.trim_end_matches('/').to_owned());
        if let Some(value) = base_url.clone().filter(|url| !is_base_url(url)) {
            let what = "is not the URL of a decision point";
            let help = "write `https://HOST` or `https://HOST:PORT`";
            section.complain("base_url", ProblemKind::Invalid { value, what, help });
        }
        let reasons = section.take("reasons").unwrap_or(false);
        section.finish();
        Self {
            mapping: Mapping {
                action: format!("{prefix}Action"),
                prefix,
                types,
            },
            base_url,
            reasons,
        }
    }
}

fn is_base_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['?', '#', ' ', '/']))
}

impl Mapping {
    /// The Cedar type of an AuthZEN type.
    ///
    /// # Errors
    /// When it is neither listed nor the name of a Cedar type.
    pub fn type_name<'a>(&'a self, ty: &'a str) -> Result<Cow<'a, str>, BadType> {
        if let Some(ours) = self.types.get(ty) {
            return Ok(Cow::Borrowed(ours));
        }
        let name = type_name(ty)?;
        match self.prefix.as_str() {
            "" => Ok(name),
            prefix => Ok(Cow::Owned(format!("{prefix}{name}"))),
        }
    }

    /// The uid of a subject or a resource, in Cedar's syntax.
    ///
    /// # Errors
    /// As [`type_name`](Self::type_name).
    pub fn entity(&self, ty: &str, id: &str) -> Result<String, BadType> {
        uid_text(&self.type_name(ty)?, id)
    }

    /// The uid of an action, in Cedar's syntax.
    ///
    /// # Errors
    /// Never, since the type was a name when it was read.
    pub fn action(&self, name: &str) -> Result<String, BadType> {
        uid_text(&self.action, name)
    }

    /// The name of an action, if the uid is one of an action of this namespace.
    pub(crate) fn action_name(&self, uid: &str) -> Option<String> {
        id_of(&self.action, uid)
    }
}

/// The id of a uid in Cedar's syntax, if it has this type.
pub(crate) fn id_of(ty: &str, uid: &str) -> Option<String> {
    let quoted = uid.strip_prefix(ty)?.strip_prefix("::\"")?;
    let id = quoted.strip_suffix('"')?;
    match id.contains('\\') {
        false => Some(id.to_owned()),
        true => {
            let uid: cedar_policy::EntityUid = uid.parse().ok()?;
            Some(uid.id().unescaped().to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back() {
        for id in ["a", "", "a\"b", "a\\b", "\n\u{0}", "é'`", "\u{301}"] {
            let text = uid_text("A::B", id).expect("a name");
            assert_eq!(id_of("A::B", &text).as_deref(), Some(id));
        }
        assert_eq!(id_of("A", r#"A::B::"x""#), None);
    }

    #[test]
    fn types_are_listed_or_names() {
        let mapping = Mapping {
            prefix: "Ns::".to_owned(),
            action: "Ns::Action".to_owned(),
            types: [("odd-one".to_owned(), "Ns::Odd".to_owned())].into(),
        };
        assert_eq!(
            mapping.entity("odd-one", "1").as_deref(),
            Ok(r#"Ns::Odd::"1""#)
        );
        assert_eq!(
            mapping.entity("user", "1").as_deref(),
            Ok(r#"Ns::user::"1""#)
        );
        assert!(mapping.entity("even-one", "1").is_err());
        assert_eq!(mapping.action("a b").as_deref(), Ok(r#"Ns::Action::"a b""#));
    }
}
