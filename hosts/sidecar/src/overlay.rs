//! Properties that a request brings for its principal and resource, over what is stored of them.

use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{Entity, EntityUid, ParseErrors};
use cedarjit::{OverlayError, Snapshot};
use serde_json::{Map, Value, json};

/// Attributes that hold for one request only, in Cedar's JSON. Each takes the place of the stored
/// attribute of its name; parents and tags stay.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overlay<'a> {
    /// Attributes of the principal.
    pub principal: Option<&'a Map<String, Value>>,
    /// Attributes of the resource. Where that is the principal too, they go before the principal's.
    pub resource: Option<&'a Map<String, Value>>,
}

/// Why what a request brings cannot be attributes.
#[derive(Debug, thiserror::Error)]
pub enum OverlayRefused {
    /// The uid is none.
    #[error("the properties belong to no entity: {0}")]
    Uid(#[source] Box<ParseErrors>),
    /// The properties are not Cedar's, or the schema does not have them so.
    #[error("the properties cannot be attributes of {uid}: {cause}")]
    Properties {
        /// The entity.
        uid: String,
        /// What cedar-policy says.
        #[source]
        cause: Box<EntitiesError>,
    },
    /// The engine does not take the entity.
    #[error("the properties cannot be attributes: {0}")]
    Engine(#[source] Box<OverlayError>),
}

impl From<OverlayError> for OverlayRefused {
    fn from(error: OverlayError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl Overlay<'_> {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        let empty = |of: Option<&Map<String, Value>>| of.is_none_or(Map::is_empty);
        empty(self.principal) && empty(self.resource)
    }

    /// The entities as they are for the request.
    ///
    /// # Errors
    /// When a uid is none, or properties cannot be attributes.
    pub(crate) fn entities(
        &self,
        snapshot: &Snapshot,
        principal: &str,
        resource: &str,
    ) -> Result<Vec<Entity>, OverlayRefused> {
        let brought = [(principal, self.principal), (resource, self.resource)];
        let brought = brought.into_iter().filter_map(|(uid, properties)| {
            let properties = properties.filter(|properties| !properties.is_empty())?;
            Some((uid, properties))
        });
        let mut entities: Vec<Entity> = Vec::new();
        for (uid, properties) in brought {
            let uid: EntityUid = uid
                .parse()
                .map_err(|error| OverlayRefused::Uid(Box::new(error)))?;
            let before = entities.pop_if(|entity| entity.uid() == uid);
            let before = before.or_else(|| snapshot.entity(&uid));
            let overlaid = overlaid(snapshot, &uid, before, properties);
            entities.push(overlaid.map_err(|cause| OverlayRefused::Properties {
                uid: uid.to_string(),
                cause,
            })?);
        }
        Ok(entities)
    }
}

/// An entity with these attributes in place of its own of the same names.
fn overlaid(
    snapshot: &Snapshot,
    uid: &EntityUid,
    entity: Option<Entity>,
    properties: &Map<String, Value>,
) -> Result<Entity, Box<EntitiesError>> {
    let mut json = match entity {
        Some(entity) => entity.to_json_value()?,
        None => json!({
            "uid": { "type": uid.type_name().to_string(), "id": uid.id().unescaped() },
            "attrs": {},
            "parents": [],
        }),
    };
    if let Some(attrs) = json.get_mut("attrs").and_then(Value::as_object_mut) {
        attrs.extend(properties.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
    Ok(Entity::from_json_value(json, snapshot.schema())?)
}
