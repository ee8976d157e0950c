//! Reading a mapping from the configuration.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::path::PathTemplate;
use super::source::{PeerPart, Source};
use super::value::{Expression, TextTemplate, ValueType};
use super::{Attribute, Mapping, MappingProblem, Route, Uid, host_name};
use crate::config::{OneOrMore, ProblemKind, Section};
use crate::uid::type_name;

/// What the gateways that are answered can tell.
#[derive(Clone, Copy, Debug)]
pub struct Tells {
    /// Claims of tokens.
    pub claims: bool,
    /// Who a peer is, or its URI.
    pub peer: bool,
    /// More of a peer than that.
    pub peer_parts: bool,
}

impl Tells {
    /// Why nobody tells of this, `None` if somebody does.
    fn lack(self, source: &Source) -> Option<MappingProblem> {
        match source {
            Source::Claim(_) if !self.claims => Some(MappingProblem::NoClaims(source.clone())),
            Source::Peer(PeerPart::Dns | PeerPart::Subject) if !self.peer_parts => {
                Some(MappingProblem::PeerPart(source.clone()))
            }
            Source::Peer(_) if !self.peer => Some(MappingProblem::NoPeer(source.clone())),
            _ => None,
        }
    }
}

/// Reads the routes in `section`, and what they have in common; notes all mistakes there.
pub fn mapping(section: &mut Section<'_>, tells: Tells) -> Mapping {
    let common = uid(section, "principal", None, tells);
    let tables = section.tables("route");
    if tables.is_empty() {
        let help = "say what requests are in Cedar's words, in tables `[[gateway.route]]`";
        section.complain_if_absent("route", ProblemKind::Missing { help });
    }
    let mut routes = Vec::new();
    for (i, table) in tables.into_iter().enumerate() {
        let mut one = section.child(format!("route[{i}]"), table);
        routes.extend(route(&mut one, common.as_ref(), tells));
        one.finish();
    }
    Mapping { routes }
}

fn route(section: &mut Section<'_>, common: Option<&Uid>, tells: Tells) -> Option<Route> {
    let methods = methods(section);
    let hosts = hosts(section);
    let path = path(section);
    let mut entity = |key, ty| {
        let given = section.has(key) || (key == "principal" && common.is_some());
        let uid = uid(section, key, ty, tells);
        if !given {
            let help = "write `{ type = \"Todo\", id = \"{path.id}\" }`";
            section.complain_if_absent(key, ProblemKind::Missing { help });
        }
        if let (Some(path), Some(uid)) = (&path, &uid) {
            in_path(section, &format!("{key}.id"), path, uid.id.sources());
        }
        uid
    };
    let principal = entity("principal", None).or_else(|| common.cloned());
    let (action, resource) = (entity("action", Some("Action")), entity("resource", None));
    let context = context(section, path.as_ref(), tells);
    if let (Some(path), Some(common)) = (&path, common) {
        in_path(section, "principal.id", path, common.id.sources());
    }
    Some(Route {
        methods,
        hosts,
        path: path?,
        principal: principal?,
        action: action?,
        resource: resource?,
        context,
    })
}

fn complain(section: &mut Section<'_>, key: &str, problem: MappingProblem) {
    section.complain(key, ProblemKind::Mapping(problem));
}

fn methods(section: &mut Section<'_>) -> Vec<String> {
    let good = |m: &str| !m.is_empty() && m.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    let help = "write methods as HTTP does, `GET`; leave the key out for any";
    names(section, "method", good, "is no method", help)
}

fn hosts(section: &mut Section<'_>) -> Vec<String> {
    let good = |host: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        !host.is_empty() && host.bytes().all(plain) && host_name(host).len() == host.len()
    };
    let help = "write a host's name without port, `api.example`; leave the key out for any";
    let hosts = names(section, "host", good, "is no host", help);
    hosts.iter().map(|host| host_name(host)).collect()
}

/// A name or a list of them. An empty list is a mistake: it would look like nothing and mean anything.
fn names(
    section: &mut Section<'_>,
    key: &'static str,
    good: impl Fn(&str) -> bool,
    what: &'static str,
    help: &'static str,
) -> Vec<String> {
    let Some(names) = section.take::<OneOrMore<String>>(key) else {
        return Vec::new();
    };
    let names = names.into_vec();
    if names.is_empty() {
        let value = "[]".to_owned();
        section.complain(key, ProblemKind::Invalid { value, what, help });
    }
    for name in names.iter().filter(|name| !good(name)) {
        let value = name.clone();
        section.complain(key, ProblemKind::Invalid { value, what, help });
    }
    names
}

fn path(section: &mut Section<'_>) -> Option<PathTemplate> {
    let Some(text) = section.take::<String>("path") else {
        let help = "write `path = \"/todos/{id}\"`";
        section.complain_if_absent("path", ProblemKind::Missing { help });
        return None;
    };
    let path = PathTemplate::parse(&text);
    path.map_err(|problem| complain(section, "path", problem))
        .ok()
}

/// The entity of a key, `None` if it is not there or has mistakes, which are noted.
fn uid(
    section: &mut Section<'_>,
    key: &'static str,
    default: Option<&str>,
    tells: Tells,
) -> Option<Uid> {
    if !section.has(key) {
        section.allow(key);
        return None;
    }
    let mut one = section.section(key);
    let ty = one
        .take::<String>("type")
        .or_else(|| default.map(str::to_owned));
    if ty.is_none() {
        let help = "write the name of the entity's type";
        one.complain_if_absent("type", ProblemKind::Missing { help });
    }
    let ty = ty.filter(|ty| {
        let is_name = type_name(ty).is_ok();
        if !is_name {
            complain(&mut one, "type", MappingProblem::Type(ty.clone()));
        }
        is_name
    });
    let id = one.take::<String>("id");
    if id.is_none() {
        let help = "write the entity's id, or where it comes from, `\"{header.x-user}\"`";
        one.complain_if_absent("id", ProblemKind::Missing { help });
    }
    let id = id.and_then(|id| text(&mut one, "id", &id, tells));
    one.finish();
    Some(Uid { ty: ty?, id: id? })
}

fn text(section: &mut Section<'_>, key: &str, text: &str, tells: Tells) -> Option<TextTemplate> {
    match TextTemplate::parse(text) {
        Err(problem) => {
            complain(section, key, problem);
            None
        }
        Ok(template) => {
            for problem in template.sources().filter_map(|source| tells.lack(source)) {
                complain(section, key, problem);
            }
            Some(template)
        }
    }
}

/// Complains of variables that the path does not have.
fn in_path<'a>(
    section: &mut Section<'_>,
    key: &str,
    path: &PathTemplate,
    sources: impl Iterator<Item = &'a Source>,
) {
    for source in sources {
        if let Source::Path(name) = source
            && path.variables().all(|variable| variable != name)
        {
            let (name, path) = (name.clone(), path.to_string());
            complain(section, key, MappingProblem::NotInPath { name, path });
        }
    }
}

/// A value as it is written.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string, whole number, bool or list of strings"
)]
enum Written {
    Text(String),
    Long(i64),
    Bool(bool),
    Texts(Vec<String>),
}

fn context(section: &mut Section<'_>, path: Option<&PathTemplate>, tells: Tells) -> Vec<Attribute> {
    let mut all = section.section("context");
    let mut attributes = Vec::new();
    for (name, table) in all.child_tables() {
        let mut one = all.child(name.clone(), table);
        let value = expression(&mut one, tells);
        if let (Some(path), Some(value)) = (path, &value) {
            in_path(&mut one, "", path, value.sources().into_iter());
        }
        let optional = one.take("optional").unwrap_or(false);
        one.finish();
        attributes.extend(value.map(|value| Attribute {
            name,
            value,
            optional,
        }));
    }
    all.finish();
    attributes
}

const TYPES: [(&str, ValueType); 4] = [
    ("string", ValueType::String),
    ("long", ValueType::Long),
    ("bool", ValueType::Bool),
    ("set", ValueType::Set),
];

/// The value of an attribute, `None` if it has mistakes, which are noted.
fn expression(section: &mut Section<'_>, tells: Tells) -> Option<Expression> {
    let said: Vec<_> = TYPES
        .into_iter()
        .filter(|(key, _)| section.has(key))
        .collect();
    let written = TYPES.map(|(key, _)| section.take::<Written>(key));
    let separator = section.take::<String>("separator");
    let [(key, ty)] = said.as_slice() else {
        complain(section, "", MappingProblem::OneType);
        return None;
    };
    let written = written.into_iter().flatten().next()?;
    let made = match written {
        Written::Text(written) => {
            let template = text(section, key, &written, tells)?;
            match (ty, template.only_source()) {
                (ValueType::String, _) => Ok(Expression::Text(template)),
                (_, None) => Err(MappingProblem::OneSource(*ty)),
                (ValueType::Set, Some(source)) => Ok(Expression::Set(
                    source.clone(),
                    separated(source, separator.clone()),
                )),
                (_, Some(source)) => Ok(Expression::Scalar(*ty, source.clone())),
            }
        }
        Written::Long(n) if *ty == ValueType::Long => Ok(Expression::Constant(n.into())),
        Written::Bool(b) if *ty == ValueType::Bool => Ok(Expression::Constant(b.into())),
        Written::Texts(texts) if *ty == ValueType::Set => {
            let texts: BTreeSet<String> = texts.into_iter().collect();
            Ok(Expression::Constant(Value::from_iter(texts)))
        }
        _ => Err(MappingProblem::Constant(*ty)),
    };
    if separator.is_some() && !matches!(made, Ok(Expression::Set(..)) | Err(_))
        || separator.as_deref() == Some("")
    {
        complain(section, "separator", MappingProblem::Separator);
    }
    made.map_err(|problem| complain(section, key, problem)).ok()
}

/// What divides a text into the elements of a set: in headers a comma, if nothing else is said.
fn separated(source: &Source, separator: Option<String>) -> Option<String> {
    match source {
        Source::Header(_) => separator.or_else(|| Some(",".to_owned())),
        _ => separator,
    }
}
