//! Cedar's JSON, for the engines that have a store of their own.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use cedarjit_bench::Error;
use serde_json::Value;

/// The type and id if the value refers to an entity.
pub(crate) fn entity_ref(value: &Value) -> Option<(&str, &str)> {
    let uid = value.get("__entity")?;
    Some((uid.get("type")?.as_str()?, uid.get("id")?.as_str()?))
}

/// A uid as requests have it.
pub(crate) fn uid_text(ty: &str, id: &str) -> Result<String, Error> {
    let ty: EntityTypeName = ty.parse()?;
    Ok(EntityUid::from_type_name_and_id(ty, EntityId::new(id)).to_string())
}
