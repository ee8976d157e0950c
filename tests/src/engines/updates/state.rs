//! What an engine must have become: entities with their parents, and policies.

use super::goal::Goal;
use crate::engines::EngineError;
use cedar_policy::{Entities, EntityUid, PolicyId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// An entity but for its uid.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Attributes and tags as the world's text has them, each `null` if it has none.
    pub(super) attrs: Value,
    pub(super) tags: Value,
    pub(super) parents: BTreeSet<EntityUid>,
    /// Whether attributes and tags are those that the entity has in the world.
    pub(super) own: bool,
}

impl Row {
    /// The entity in the form in which documents have it.
    pub(super) fn json(&self, uid: &EntityUid) -> Value {
        let reference = |uid: &EntityUid| {
            let (ty, id) = (uid.type_name().to_string(), uid.id().unescaped());
            json!({ "type": ty, "id": id })
        };
        let parents: Vec<Value> = self.parents.iter().map(reference).collect();
        let mut entity = json!({ "uid": reference(uid), "attrs": {}, "parents": parents });
        for (name, value) in [("attrs", &self.attrs), ("tags", &self.tags)] {
            if !value.is_null() {
                entity[name] = value.clone();
            }
        }
        entity
    }
}

/// A state of an engine.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) entities: BTreeMap<EntityUid, Row>,
    pub(super) policies: BTreeSet<PolicyId>,
    /// The templates that were added for links.
    pub(super) templates: BTreeSet<PolicyId>,
}

impl State {
    /// Takes an entity away. Whether there was one.
    pub(super) fn remove(&mut self, uid: &EntityUid) -> bool {
        let removed = self.entities.remove(uid).is_some();
        if removed {
            for row in self.entities.values_mut() {
                row.parents.remove(uid);
            }
        }
        removed
    }

    /// Makes all ancestors of each entity its parents, as they are for an engine that got them in
    /// one value: that does not tell them apart.
    pub(super) fn close(&mut self, entities: &Entities) {
        for (uid, row) in &mut self.entities {
            row.parents = entities
                .ancestors(uid)
                .into_iter()
                .flatten()
                .cloned()
                .collect();
        }
    }

    /// Whether some entity is in itself.
    pub(super) fn has_cycle(&self) -> bool {
        // Whoever is only in what is known not to be in a cycle is not in one.
        let mut left: BTreeMap<&EntityUid, &Row> = self.entities.iter().collect();
        loop {
            let waits = |row: &Row| row.parents.iter().any(|parent| left.contains_key(parent));
            let done = left.iter().filter(|(_, row)| !waits(row));
            let done: Vec<&EntityUid> = done.map(|(uid, _)| *uid).collect();
            if done.is_empty() {
                return !left.is_empty();
            }
            for uid in done {
                left.remove(uid);
            }
        }
    }

    /// The entities as cedar-policy's.
    pub(super) fn entities(&self, goal: &Goal) -> Result<Entities, EngineError> {
        let rows: Vec<Value> = self
            .entities
            .iter()
            .map(|(uid, row)| row.json(uid))
            .collect();
        Entities::from_json_value(Value::from(rows), goal.schema()).map_err(EngineError::load)
    }
}
