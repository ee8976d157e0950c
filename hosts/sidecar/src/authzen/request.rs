//! The parts of AuthZEN's requests, as they are sent.

use serde_json::{Map, Value};

use crate::api::{ApiError, field};

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// A subject or a resource: type, id, properties, of which none is known to be there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entity<'a> {
    pub(super) ty: Option<&'a str>,
    pub(super) id: Option<&'a str>,
    pub(super) properties: Option<&'a Object>,
}

/// An action: its name, if it is there, and properties.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Action<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) properties: Option<&'a Object>,
}

/// The parts of a request that are there. What is there has the right types.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts<'a> {
    pub(super) subject: Option<Entity<'a>>,
    pub(super) action: Option<Action<'a>>,
    pub(super) resource: Option<Entity<'a>>,
    pub(super) context: Option<&'a Object>,
}

impl<'a> Parts<'a> {
    /// Reads the parts; other fields are ignored.
    pub(super) fn read(request: &'a Object) -> Result<Self, ApiError> {
        Ok(Self {
            subject: Entity::read(request, "subject")?,
            action: Action::read(request)?,
            resource: Entity::read(request, "resource")?,
            context: object(request, "context", "context")?,
        })
    }

    /// These parts where they are there, else those of `defaults`. Of an entity or action that lacks
    /// its type, id or name, that is taken from the default's.
    pub(super) fn or(self, defaults: Self) -> Self {
        Self {
            subject: or(self.subject, defaults.subject, Entity::or),
            action: or(self.action, defaults.action, Action::or),
            resource: or(self.resource, defaults.resource, Entity::or),
            context: self.context.or(defaults.context),
        }
    }

    pub(super) fn subject(&self) -> Result<Entity<'a>, ApiError> {
        self.subject.ok_or_else(|| missing("subject"))
    }

    pub(super) fn action(&self) -> Result<Action<'a>, ApiError> {
        self.action.ok_or_else(|| missing("action"))
    }

    pub(super) fn resource(&self) -> Result<Entity<'a>, ApiError> {
        self.resource.ok_or_else(|| missing("resource"))
    }
}

fn or<T>(own: Option<T>, default: Option<T>, both: fn(T, T) -> T) -> Option<T> {
    match (own, default) {
        (Some(own), Some(default)) => Some(both(own, default)),
        (own, default) => own.or(default),
    }
}

impl<'a> Entity<'a> {
    fn read(request: &'a Object, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(entity) = object(request, name, name)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            ty: string(entity, name, "type")?,
            id: string(entity, name, "id")?,
            properties: object(entity, "properties", &format!("{name}.properties"))?,
        }))
    }

    /// The type, which `name`, the entity's, must have.
    pub(super) fn ty(&self, name: &str) -> Result<&'a str, ApiError> {
        self.ty.ok_or_else(|| missing(&format!("{name}.type")))
    }

    /// The id, which `name`, the entity's, must have.
    pub(super) fn id(&self, name: &str) -> Result<&'a str, ApiError> {
        self.id.ok_or_else(|| missing(&format!("{name}.id")))
    }

    fn or(self, default: Self) -> Self {
        Self {
            ty: self.ty.or(default.ty),
            id: self.id.or(default.id),
            properties: self.properties,
        }
    }
}

impl<'a> Action<'a> {
    fn read(request: &'a Object) -> Result<Option<Self>, ApiError> {
        let Some(action) = object(request, "action", "action")? else {
            return Ok(None);
        };
        Ok(Some(Self {
            name: string(action, "action", "name")?,
            properties: object(action, "properties", "action.properties")?,
        }))
    }

    /// The name, which must be there.
    pub(super) fn name(&self) -> Result<&'a str, ApiError> {
        self.name.ok_or_else(|| missing("action.name"))
    }

    fn or(self, default: Self) -> Self {
        Self {
            name: self.name.or(default.name),
            properties: self.properties,
        }
    }
}

fn missing(name: &str) -> ApiError {
    field(name, "is missing")
}

/// The object at a key of `of`, if there is anything; `name` is what errors call it.
pub(super) fn object<'a>(
    of: &'a Object,
    key: &str,
    name: &str,
) -> Result<Option<&'a Object>, ApiError> {
    match of.get(key) {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(field(name, "must be an object")),
    }
}

fn string<'a>(of: &'a Object, name: &str, key: &str) -> Result<Option<&'a str>, ApiError> {
    match of.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(field(&format!("{name}.{key}"), "must be a string")),
    }
}
