//! Request environments.

use std::fmt;

use cedar_policy::{EntityTypeName, EntityUid, RequestEnv, Schema};
use serde::Serialize;

/// A type of principal, an action and a type of resource that a schema joins in requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Environment(RequestEnv);

impl Environment {
    /// All request environments of a schema, sorted.
    pub(crate) fn all(schema: &Schema) -> Vec<Self> {
        let mut all: Vec<_> = schema.request_envs().map(Self).collect();
        all.sort();
        all.dedup();
        all
    }

    pub(crate) fn inner(&self) -> &RequestEnv {
        &self.0
    }

    /// The type of principals.
    #[must_use]
    pub fn principal(&self) -> &EntityTypeName {
        self.0.principal()
    }

    /// The action.
    #[must_use]
    pub fn action(&self) -> &EntityUid {
        self.0.action()
    }

    /// The type of resources.
    #[must_use]
    pub fn resource(&self) -> &EntityTypeName {
        self.0.resource()
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (principal, action, resource) = (self.principal(), self.action(), self.resource());
        write!(f, "{principal}, {action}, {resource}")
    }
}

impl Serialize for Environment {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Environment", 3)?;
        out.serialize_field("principal", &self.principal().to_string())?;
        out.serialize_field("action", &self.action().to_string())?;
        out.serialize_field("resource", &self.resource().to_string())?;
        out.end()
    }
}
