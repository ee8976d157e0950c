//! The state that an engine is to reach: a world, taken apart.

use super::state::{Row, State};
use crate::engines::{EngineError, SchemaText, World};
use crate::generator::Rng;
use ::cedarjit::{Transaction, UpdateError};
use cedar_policy::{
    Entities, Entity, EntityId, EntityUid, Policy, PolicyId, PolicySet, Schema, SlotId, Template,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A world, entity by entity and policy by policy.
pub(super) struct Goal {
    /// The entities, but for the actions of a schema, which it supplies itself.
    pub(super) entities: BTreeMap<EntityUid, Row>,
    /// The uids of entities, of parents and of what attributes name, and some that the world knows nothing of.
    pub(super) uids: Vec<EntityUid>,
    /// The parents that entities of a type have, by the type's name.
    parents: BTreeMap<String, Vec<EntityUid>>,
    /// In the order of their ids.
    pub(super) policies: Vec<Policy>,
    set: PolicySet,
    schema: Option<Arc<Schema>>,
    schema_text: Option<SchemaText>,
}

/// The template that a link is of, and what its slots are bound to.
pub(super) fn template(policy: &Policy) -> Option<(&PolicyId, HashMap<SlotId, EntityUid>)> {
    Some((policy.template_id()?, policy.template_links()?))
}

fn is_action(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Action"
}

impl Goal {
    pub(super) fn of(world: &World) -> Result<Self, EngineError> {
        let schema = world.schema.clone();
        let mut entities = read(world)?;
        let mut parents: BTreeMap<String, Vec<EntityUid>> = BTreeMap::new();
        for (uid, row) in &entities {
            let of_type = parents.entry(uid.type_name().to_string()).or_default();
            of_type.extend(row.parents.iter().cloned());
        }
        let mut uids: BTreeSet<EntityUid> = entities.keys().cloned().collect();
        uids.extend(parents.values().flatten().cloned());
        for row in entities.values() {
            named(&row.attrs, &mut uids);
        }
        for ty in entities.keys().map(EntityUid::type_name) {
            let stranger = EntityId::new("a stranger");
            uids.insert(EntityUid::from_type_name_and_id(ty.clone(), stranger));
        }
        if schema.is_some() {
            uids.retain(|uid| !is_action(uid));
            entities.retain(|uid, _| !is_action(uid));
        }
        let mut policies: Vec<Policy> = world.policies.policies().cloned().collect();
        policies.sort_by(|a, b| a.id().cmp(b.id()));
        Ok(Self {
            entities,
            uids: uids.into_iter().collect(),
            parents,
            policies,
            set: world.policies.clone(),
            schema,
            schema_text: world.texts.schema.clone(),
        })
    }

    pub(super) fn schema(&self) -> Option<&Schema> {
        self.schema.as_deref()
    }

    /// Gives a transaction the world's schema, if that has one.
    pub(super) fn give_schema(&self, tx: &mut Transaction<'_>) -> Result<(), UpdateError> {
        match (&self.schema_text, self.schema()) {
            (Some(SchemaText::Cedar(text)), _) => tx.replace_schema_str(text),
            (Some(SchemaText::Json(text)), _) => tx.replace_schema_json(text),
            (None, Some(schema)) => tx.replace_schema(schema),
            (None, None) => Ok(()),
        }
    }

    pub(super) fn template(&self, id: &PolicyId) -> Option<&Template> {
        self.set.template(id)
    }

    /// An entity as cedar-policy's, read by itself: so it has only its parents.
    pub(super) fn entity(&self, uid: &EntityUid, row: &Row) -> Result<Entity, EngineError> {
        Entity::from_json_value(row.json(uid), self.schema()).map_err(EngineError::load)
    }

    /// What an entity of this uid might be: its own self, with the attributes of another of its
    /// type, or with fewer; in its own parents or in those of others. `None` if the schema does not
    /// admit it.
    pub(super) fn row(&self, uid: &EntityUid, rng: &mut Rng) -> Option<Row> {
        let own = self.entities.get(uid);
        let alike = self.entities.iter();
        let alike = alike.filter(|(other, _)| other.type_name() == uid.type_name());
        let alike: Vec<&Row> = alike.map(|(_, row)| row).collect();
        let mut row = match own {
            Some(row) if rng.one_in(2) => row.clone(),
            _ => Row {
                own: false,
                ..(**rng.pick(&alike)?).clone()
            },
        };
        if rng.one_in(4) {
            row.own = false;
            match rng.below(3) {
                0 => row.attrs = Value::Null,
                1 => row.tags = Value::Null,
                _ => {
                    let attrs = row.attrs.as_object_mut()?;
                    let names: Vec<String> = attrs.keys().cloned().collect();
                    attrs.remove(rng.pick(&names)?);
                }
            }
        }
        row.parents = self.parents(uid, rng);
        self.admits(uid, &row).then_some(row)
    }

    /// Parents that an entity of this uid might have.
    pub(super) fn parents(&self, uid: &EntityUid, rng: &mut Rng) -> BTreeSet<EntityUid> {
        let own = self.entities.get(uid).map(|row| &row.parents);
        let mut parents = own.cloned().unwrap_or_default();
        if rng.one_in(2) {
            parents.retain(|_| !rng.one_in(3));
            let candidates = match self.schema {
                Some(_) => self.parents.get(&uid.type_name().to_string()),
                // Anything may be in anything.
                None => Some(&self.uids),
            };
            for _ in 0..rng.below(3) {
                parents.extend(rng.pick(candidates.map_or(&[], Vec::as_slice)).cloned());
            }
        }
        parents
    }

    /// Whether the schema, if there is one, admits an entity.
    pub(super) fn admits(&self, uid: &EntityUid, row: &Row) -> bool {
        let Ok(entity) = self.entity(uid, row) else {
            return false;
        };
        Entities::from_entities([entity], self.schema()).is_ok()
    }

    /// The policies of a state, with the templates of its links.
    pub(super) fn policy_set(
        &self,
        policies: &BTreeSet<PolicyId>,
    ) -> Result<PolicySet, EngineError> {
        let mut set = PolicySet::new();
        for policy in self.policies.iter().filter(|p| policies.contains(p.id())) {
            let Some((id, slots)) = template(policy) else {
                set.add(policy.clone()).map_err(EngineError::load)?;
                continue;
            };
            if let Some(template) = self.template(id).filter(|_| set.template(id).is_none()) {
                let added = set.add_template(template.clone());
                added.map_err(EngineError::load)?;
            }
            let linked = set.link(id.clone(), policy.id().clone(), slots);
            linked.map_err(EngineError::load)?;
        }
        Ok(set)
    }

    /// Whether a state is this one.
    pub(super) fn is_reached(&self, state: &State) -> bool {
        let same = |(uid, own): (&EntityUid, &Row)| {
            (state.entities.get(uid)).is_some_and(|row| row.own && row.parents == own.parents)
        };
        state.entities.len() == self.entities.len()
            && state.policies.len() == self.policies.len()
            && self.entities.iter().all(same)
    }
}

/// Adds the entities that a value names in the explicit form.
fn named(value: &Value, uids: &mut BTreeSet<EntityUid>) {
    match value {
        Value::Object(object) => {
            if let Some(uid) = object.get("__entity") {
                uids.extend(EntityUid::from_json(uid.clone()));
            }
            object.values().for_each(|value| named(value, uids));
        }
        Value::Array(values) => values.iter().for_each(|value| named(value, uids)),
        _ => {}
    }
}

/// The entities with the parents that the text gives them; without a text, with all ancestors.
fn read(world: &World) -> Result<BTreeMap<EntityUid, Row>, EngineError> {
    let values: Vec<Value> = match &world.texts.entities {
        Some(text) => serde_json::from_str(text).map_err(EngineError::load)?,
        None => {
            let values = world.entities.iter().map(Entity::to_json_value);
            let values: Result<_, _> = values.collect();
            values.map_err(EngineError::load)?
        }
    };
    let rows = values.into_iter().map(|mut value| {
        let entity = Entity::from_json_value(value.clone(), world.schema.as_deref());
        let (uid, _, parents) = entity.map_err(EngineError::load)?.into_inner();
        let row = Row {
            attrs: value["attrs"].take(),
            tags: value["tags"].take(),
            parents: parents.into_iter().collect(),
            own: true,
        };
        Ok((uid, row))
    });
    rows.collect()
}
