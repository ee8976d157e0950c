//! Changing an engine: each change builds the next snapshot.
//!
//! The rules of what may be changed are cedar-policy's, and so are the errors. A set of all
//! policies is not needed for that: the rules speak of the ids that a change mentions, so the change
//! is made on a small set with what has these ids, and if that succeeds, on the engine.

use super::build::{EntitySource, read_entities, without_links};
use super::{BuildError, Engine, Source};
use crate::snapshot::{Parts, Snapshot};
use crate::store::Store;
use cedar_policy::{
    Entities, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, SlotId, Template,
};
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::limits::check_entity_count;
use cedarjit_frontend::load::{
    LoadError, LoadedPolicies, NewLink, load_link, load_policies, load_policy, load_template,
};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::Interner;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

/// Why an engine could not be changed; it is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The policy set does not admit the change.
    #[error(transparent)]
    Policies(Box<PolicySetError>),
    /// The changed engine could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl From<PolicySetError> for UpdateError {
    fn from(error: PolicySetError) -> Self {
        UpdateError::Policies(Box::new(error))
    }
}

impl Engine {
    /// Adds a static policy.
    ///
    /// # Errors
    /// When the id is taken, the policy is a link, or the engine cannot be built with it.
    pub fn add_policy(&self, policy: Policy) -> Result<(), UpdateError> {
        self.change(|state| {
            state.excerpt([policy.id()])?.add(policy.clone())?;
            let loaded = load_policy(&policy, &mut state.interner).map_err(BuildError::from)?;
            state.insert(loaded);
            Ok(state.source.policies.add(policy)?)
        })
    }

    /// Adds a template.
    ///
    /// # Errors
    /// When the id is taken or the engine cannot be built with it.
    pub fn add_template(&self, template: Template) -> Result<(), UpdateError> {
        self.change(|state| {
            let mut excerpt = state.excerpt([template.id()])?;
            excerpt.add_template(template.clone())?;
            let loaded = load_template(&template, &mut state.interner).map_err(BuildError::from)?;
            let templates = &mut state.policies.templates;
            let place = templates.partition_point(|t| t.id < loaded.id);
            templates.insert(place, loaded);
            Ok(state.source.policies.add_template(template)?)
        })
    }

    /// Links a template: adds the policy that fills its slots with `slots`.
    ///
    /// # Errors
    /// When there is no such template, the id is taken, or `slots` are not exactly the template's.
    pub fn link(
        &self,
        template_id: PolicyId,
        link_id: PolicyId,
        slots: HashMap<SlotId, EntityUid>,
    ) -> Result<(), UpdateError> {
        self.change(|state| {
            let mut excerpt = state.excerpt([&template_id, &link_id])?;
            excerpt.link(template_id.clone(), link_id.clone(), slots)?;
            let template = state.policies.template(template_id.as_ref());
            if let (Some(template), Some(link)) = (template, excerpt.policy(&link_id)) {
                let loaded = load_link(link, template, &mut state.interner);
                state.insert(loaded.map_err(BuildError::from)?);
            }
            Ok(())
        })
    }

    /// Removes a static policy or a link.
    ///
    /// # Errors
    /// When there is no policy with this id.
    pub fn remove_policy(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change(|state| {
            if !state.is_link(&id) {
                state.source.policies.remove_static(id.clone())?;
            }
            if let Ok(mut place) = state.policies.find(id.as_ref()) {
                if planted(Fault::NeighbourRemoved) {
                    place = place.saturating_sub(1);
                }
                state.policies.policies.remove(place);
            }
            Ok(())
        })
    }

    /// Removes a template that no policy is linked to.
    ///
    /// # Errors
    /// When there is no template with this id, or links of it remain.
    pub fn remove_template(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change(|state| {
            if let Some(link) = state.link_of(&id) {
                let mut linked = PolicySet::from_json_value(linked_stand_in(&id, &link.id))?;
                linked.remove_template(id.clone())?;
            }
            state.source.policies.remove_template(id.clone())?;
            let name: &str = id.as_ref();
            state.policies.templates.retain(|t| t.id != name);
            Ok(())
        })
    }

    /// Replaces all policies, templates and links.
    ///
    /// # Errors
    /// When the engine cannot be built with them.
    pub fn replace_policies(&self, policies: &PolicySet) -> Result<(), UpdateError> {
        self.change(|state| {
            let loaded = load_policies(policies, &mut state.interner);
            state.policies = loaded.map_err(BuildError::from)?;
            state.source.policies = without_links(policies.clone());
            Ok(())
        })
    }

    /// Replaces all entities. With a schema they must fit it, and it supplies the actions.
    ///
    /// # Errors
    /// When the entities do not fit the schema or cannot be stored.
    pub fn replace_entities(&self, entities: Entities) -> Result<(), UpdateError> {
        let started = Instant::now();
        let source = self.source();
        let current = self.snapshot();
        let entities = read_entities(EntitySource::Entities(entities), current.schema())?;
        check_entity_count(entities.len()).map_err(BuildError::from)?;
        let mut interner = Interner::new();
        let store = Store::build(&entities, &mut interner).map_err(BuildError::from)?;
        let policies = renumber(&source, &current, &mut interner).map_err(BuildError::from)?;
        let next = Snapshot::build(Parts {
            interner,
            store,
            policies,
            schema: current.schema.clone(),
            jit: source.jit,
            index: source.index,
            earlier: None,
            started,
        })?;
        self.publish(Arc::new(next), source.compile);
        Ok(())
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // A writer that panicked had not stored anything yet.
        self.shared
            .source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn change(
        &self,
        change: impl FnOnce(&mut State) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let started = Instant::now();
        let mut source = self.source();
        let current = self.snapshot();
        let mut state = State {
            source: source.clone(),
            policies: current.table.loaded.clone(),
            interner: current.interner.clone(),
        };
        change(&mut state)?;
        let next = Snapshot::build(Parts {
            interner: state.interner,
            store: current.store.clone(),
            policies: state.policies,
            schema: current.schema.clone(),
            jit: source.jit,
            index: source.index,
            earlier: Some(&current),
            started,
        })?;
        *source = state.source;
        self.publish(Arc::new(next), source.compile);
        Ok(())
    }
}

/// What an engine will consist of, while it is changed.
struct State {
    source: Source,
    policies: LoadedPolicies,
    interner: Interner,
}

impl State {
    fn is_link(&self, id: &PolicyId) -> bool {
        self.policies.find(id.as_ref()).is_ok() && self.source.policies.policy(id).is_none()
    }

    fn insert(&mut self, policy: BoundPolicy) {
        let (Ok(place) | Err(place)) = self.policies.find(&policy.id);
        self.policies.policies.insert(place, policy);
    }

    /// What has one of these ids. A link is stood in for by a static policy: what matters is that
    /// its id is taken, and not by a template.
    fn excerpt<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a PolicyId>,
    ) -> Result<PolicySet, UpdateError> {
        let mut excerpt = PolicySet::new();
        for id in ids {
            if excerpt.template(id).is_some() || excerpt.policy(id).is_some() {
                continue;
            }
            if let Some(template) = self.source.policies.template(id) {
                excerpt.add_template(template.clone())?;
            } else if let Some(policy) = self.source.policies.policy(id) {
                excerpt.add(policy.clone())?;
            } else if self.is_link(id) {
                let stand_in = PolicySet::from_json_value(stand_in(id))?;
                for policy in stand_in.policies() {
                    excerpt.add(policy.clone())?;
                }
            }
        }
        Ok(excerpt)
    }

    /// Some link of a template.
    fn link_of(&self, template: &PolicyId) -> Option<&BoundPolicy> {
        let template: &str = template.as_ref();
        let mut policies = self.policies.policies.iter();
        policies.find(|policy| policy.policy.id == template && policy.id != template)
    }
}

/// A set of one static policy.
fn stand_in(id: &PolicyId) -> Value {
    let id: &str = id.as_ref();
    let any = json!({ "op": "All" });
    let policy = json!({
        "effect": "permit", "principal": any, "action": any, "resource": any, "conditions": [],
    });
    json!({ "staticPolicies": { id: policy }, "templates": {}, "templateLinks": [] })
}

/// A set of one template and one link of it.
fn linked_stand_in(template: &PolicyId, link: &str) -> Value {
    let id: &str = template.as_ref();
    let any = json!({ "op": "All" });
    let slot = json!({ "op": "==", "slot": "?principal" });
    let template = json!({
        "effect": "permit", "principal": slot, "action": any, "resource": any, "conditions": [],
    });
    let values = json!({ "?principal": { "type": "Any", "id": "" } });
    let link = json!({ "templateId": id, "newId": link, "values": values });
    json!({ "staticPolicies": {}, "templates": { id: template }, "templateLinks": [link] })
}

/// The policies of the current state in terms of another interner.
fn renumber(
    source: &Source,
    current: &Snapshot,
    interner: &mut Interner,
) -> Result<LoadedPolicies, LoadError> {
    let mut loaded = load_policies(&source.policies, interner)?;
    let names = &current.interner;
    let uid = |entity: EntityId| {
        let (ty, eid) = names.entity(entity)?;
        Some((names.str(ty.name()), names.str(eid)))
    };
    let policies = current.table.policies().iter();
    // A static policy has the id of its text; a link has not that of its template.
    let links = policies.filter(|policy| policy.id != policy.policy.id);
    let links = links.map(|link| NewLink {
        id: &link.id,
        template: &link.policy.id,
        principal: link.slots.principal.and_then(uid),
        resource: link.slots.resource.and_then(uid),
    });
    loaded.add_links(links, interner)?;
    Ok(loaded)
}
