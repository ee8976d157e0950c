//! What a schema says about types, for typed lowering.
//!
//! cedar-policy's public API tells which entity types and actions a schema has, but not the types
//! of attributes. [`SchemaFacts`] reads those from the schema's JSON form, resolving names as
//! Cedar does. It is meant for schemas that cedar-policy accepts, and does not check them; what it
//! does not understand it leaves out or calls [`SchemaType::Unknown`].

mod resolve;

use crate::limits::LimitError;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A type, with common types replaced by what they stand for.
///
/// Names of entity types are qualified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaType {
    /// Any type at all.
    Unknown,
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    String,
    /// An entity of this type.
    Entity(Arc<str>),
    /// `Set<…>`
    Set(Arc<SchemaType>),
    /// A record with these attributes and no others.
    Record(Arc<Attrs>),
    /// `decimal`
    Decimal,
    /// `ipaddr`
    Ip,
    /// `datetime`
    Datetime,
    /// `duration`
    Duration,
}

/// The attributes of a record or an entity type, by name.
pub type Attrs = BTreeMap<String, AttrFacts>;

/// An attribute of a record or of an entity type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrFacts {
    /// The type of its values.
    pub ty: SchemaType,
    /// Whether every such record or entity has it.
    pub required: bool,
}

/// An entity type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTypeFacts {
    /// The attributes that entities of this type have; there are no others.
    pub attrs: Arc<Attrs>,
    /// The type of the values of tags; `None` if entities of this type have no tags.
    pub tags: Option<SchemaType>,
    /// The ids of its entities, if the type enumerates them.
    pub choices: Option<Vec<String>>,
}

impl EntityTypeFacts {
    /// Whether the type may have an entity with this id. O(n) for n enumerated entities.
    pub fn may_have(&self, id: &str) -> bool {
        let choices = self.choices.as_ref();
        choices.is_none_or(|choices| choices.iter().any(|choice| choice == id))
    }
}

/// An action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionFacts {
    /// The types of principals that it applies to.
    pub principals: Vec<Arc<str>>,
    /// The types of resources that it applies to.
    pub resources: Vec<Arc<str>>,
    /// The attributes of its context; there are no others. `None` if they are not known.
    pub context: Option<Arc<Attrs>>,
}

/// What a schema says about types.
///
/// An entity type or action that is not here may still exist: nothing is known about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaFacts {
    /// Entity types by qualified name. Types that are declared to be external, and the types of
    /// actions, are not among them.
    pub entity_types: HashMap<Arc<str>, EntityTypeFacts>,
    /// Actions by qualified type and id. Actions that are declared to be external are not among
    /// them.
    pub actions: HashMap<(Arc<str>, Arc<str>), ActionFacts>,
}

impl SchemaFacts {
    /// Reads the JSON form of a schema, such as `cedar_policy::SchemaFragment::to_json_value`
    /// gives.
    ///
    /// O(n) for a schema of size n: equal common types are shared, not copied.
    ///
    /// # Errors
    /// When common types, replaced by what they stand for, make types deeper or larger than
    /// [`MAX_SCHEMA_NESTING`] or [`MAX_TYPE_SIZE`], or when entity types or actions are in one
    /// another over more than [`MAX_SCHEMA_HIERARCHY`] steps.
    ///
    /// [`MAX_SCHEMA_NESTING`]: crate::limits::MAX_SCHEMA_NESTING
    /// [`MAX_TYPE_SIZE`]: crate::limits::MAX_TYPE_SIZE
    /// [`MAX_SCHEMA_HIERARCHY`]: crate::limits::MAX_SCHEMA_HIERARCHY
    pub fn from_fragment_json(fragment: &Value) -> Result<Self, LimitError> {
        resolve::facts(fragment)
    }

    /// What is known about an entity type, given by its qualified name.
    pub fn entity_type(&self, name: &str) -> Option<&EntityTypeFacts> {
        self.entity_types.get(name)
    }

    /// What is known about an action.
    pub fn action(&self, ty: &str, id: &str) -> Option<&ActionFacts> {
        self.actions.get(&(Arc::from(ty), Arc::from(id)))
    }
}

#[cfg(test)]
mod tests;
