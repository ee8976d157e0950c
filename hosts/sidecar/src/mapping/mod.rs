//! From an HTTP request to principal, action, resource and context.
//!
//! A mapping is a list of routes; the first whose method, host and path match says what the request is
//! in Cedar's words. Everything that can be wrong with a mapping is found at start. What a request does
//! not have, or has in a way that could be read otherwise, makes a [`Refusal`], which is a denial:
//! nothing is ever allowed because something was not there. `docs/gateways.md` is its reference.

mod config;
pub mod path;
mod problem;
pub mod source;
pub mod value;
pub mod xfcc;

use serde_json::{Map, Value};

pub use config::{Tells, mapping};
pub use problem::{MappingProblem, Refusal};

use crate::state::Question;
use crate::uid::uid_text;
use path::PathTemplate;
use source::{Check, Look, host_name};
use value::{Expression, Failed, TextTemplate};

/// A mapping.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    routes: Vec<Route>,
}

/// What requests of some methods, hosts and paths are in Cedar's words.
#[derive(Clone, Debug)]
struct Route {
    /// Any, if there is none.
    methods: Vec<String>,
    /// Any, if there is none.
    hosts: Vec<String>,
    path: PathTemplate,
    principal: Uid,
    action: Uid,
    resource: Uid,
    context: Vec<Attribute>,
}

/// An entity.
#[derive(Clone, Debug)]
struct Uid {
    ty: String,
    id: TextTemplate,
}

/// An attribute of the context.
#[derive(Clone, Debug)]
struct Attribute {
    name: String,
    value: Expression,
    /// Whether the context goes without it when its source is missing.
    optional: bool,
}

/// A request in Cedar's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The uid in Cedar's syntax.
    pub principal: String,
    /// The uid in Cedar's syntax.
    pub action: String,
    /// The uid in Cedar's syntax.
    pub resource: String,
    /// A JSON object.
    pub context: String,
}

impl Asked {
    /// The request, for the engine.
    pub fn question(&self) -> Question<'_> {
        Question {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            context: &self.context,
        }
    }
}

impl Mapping {
    /// How many routes there are.
    pub fn routes(&self) -> usize {
        self.routes.len()
    }

    /// What a request is in Cedar's words.
    ///
    /// # Errors
    /// When no route matches, or the request does not have what the route needs.
    pub fn ask(&self, check: Check<'_>) -> Result<Asked, Refusal> {
        let mut look = Look::new(check)?;
        let route = self.routes.iter().find(|route| route.matches(&look));
        let route = route.ok_or(Refusal::NoRoute)?;
        look.with_path(&route.path);
        let missing = |part: &str| {
            let part = part.to_owned();
            move |source_name| Refusal::Missing { part, source_name }
        };
        Ok(Asked {
            principal: route.principal.text(&look, Refusal::Unauthenticated)?,
            action: route.action.text(&look, missing("action"))?,
            resource: route.resource.text(&look, missing("resource"))?,
            context: route.context(&look)?,
        })
    }
}

impl Route {
    fn matches(&self, look: &Look<'_>) -> bool {
        let host = || {
            look.host()
                .is_some_and(|host| self.hosts.iter().any(|h| h == host))
        };
        (self.methods.is_empty() || self.methods.iter().any(|m| m == look.method()))
            && (self.hosts.is_empty() || host())
            && self.path.matches(look.segments())
    }

    fn context(&self, look: &Look<'_>) -> Result<String, Refusal> {
        let mut context = Map::new();
        for Attribute {
            name,
            value,
            optional,
        } in &self.context
        {
            match value.value(look) {
                Ok(value) => {
                    context.insert(name.clone(), value);
                }
                Err(Failed::Missing(_)) if *optional => {}
                Err(Failed::Missing(source_name)) => {
                    let part = format!("context.{name}");
                    return Err(Refusal::Missing { part, source_name });
                }
                Err(Failed::Refused(refusal)) => return Err(refusal),
            }
        }
        Ok(Value::Object(context).to_string())
    }
}

impl Uid {
    /// The uid for a request. An id that is empty is none.
    fn text(
        &self,
        look: &Look<'_>,
        missing: impl FnOnce(source::Source) -> Refusal,
    ) -> Result<String, Refusal> {
        let id = match self.id.text(look) {
            Ok(id) => id,
            Err(Failed::Missing(source)) => return Err(missing(source)),
            Err(Failed::Refused(refusal)) => return Err(refusal),
        };
        if let ("", Some(source)) = (id.as_str(), self.id.only_source()) {
            return Err(missing(source.clone()));
        }
        // The type was read at start.
        uid_text(&self.ty, &id).map_err(|_| Refusal::Untold("a type that is one"))
    }
}

#[cfg(test)]
mod tests;
