//! The policies of an engine while they are changed.
//!
//! The rules of what may be changed are cedar-policy's, and so are the errors. A set of all
//! policies is not needed for that: the rules speak of the ids that a change mentions, so the change
//! is made on a small set with what has these ids, and if that succeeds, on the engine.

use super::UpdateError;
use crate::recent::{Naming, Recent};
use crate::snapshot::Snapshot;
use cedar_policy::{EntityUid, Policy, PolicyId, PolicySet, SlotId, Template};
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::load::{
    LoadError, LoadedPolicies, NewLink, load_link, load_policies, load_policy, load_template,
};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use cedarjit_ir::interner::Interner;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What policies an engine will have.
pub(super) struct PolicyChange {
    /// The earlier state.
    earlier: Arc<Snapshot>,
    /// Templates and static policies; `None` if they are the earlier ones.
    set: Option<PolicySet>,
    /// All policies, if table and index are to be built anew.
    full: Option<LoadedPolicies>,
    /// Else, what differs from the earlier state's table and index.
    recent: Recent,
}

/// What policies and what is in them are made in terms of.
pub(super) struct Ground<'a> {
    /// Templates and static policies of the earlier state.
    pub(super) set: &'a PolicySet,
    pub(super) interner: &'a mut Interner,
    pub(super) naming: &'a mut dyn Naming,
}

impl PolicyChange {
    /// No change yet.
    pub(super) fn new(earlier: Arc<Snapshot>) -> Self {
        Self {
            recent: earlier.recent.as_deref().cloned().unwrap_or_default(),
            earlier,
            set: None,
            full: None,
        }
    }

    /// Other policies altogether.
    pub(super) fn replaced(earlier: Arc<Snapshot>, set: PolicySet, full: LoadedPolicies) -> Self {
        Self {
            earlier,
            set: Some(set),
            full: Some(full),
            recent: Recent::default(),
        }
    }

    /// The changed templates and static policies, if they have changed.
    pub(super) fn into_set(self) -> Option<PolicySet> {
        self.set
    }

    /// What differs from the earlier state's table and index; `None` if these are to be built anew.
    pub(super) fn recent(&self) -> Option<&Recent> {
        self.full.is_none().then_some(&self.recent)
    }

    /// All policies, for table and index to be built of.
    pub(super) fn full(&mut self) -> &mut LoadedPolicies {
        let (recent, earlier) = (&self.recent, &self.earlier);
        self.full
            .get_or_insert_with(|| recent.loaded(&earlier.table))
    }

    fn set_mut(&mut self, ground: &Ground<'_>) -> &mut PolicySet {
        self.set.get_or_insert_with(|| ground.set.clone())
    }

    pub(super) fn add(&mut self, policy: Policy, ground: Ground<'_>) -> Result<(), UpdateError> {
        self.excerpt([policy.id()], &ground)?.add(policy.clone())?;
        let loaded = load_policy(&policy, ground.interner)?;
        insert(self.full(), loaded);
        Ok(self.set_mut(&ground).add(policy)?)
    }

    pub(super) fn add_template(
        &mut self,
        template: Template,
        ground: Ground<'_>,
    ) -> Result<(), UpdateError> {
        let mut excerpt = self.excerpt([template.id()], &ground)?;
        excerpt.add_template(template.clone())?;
        let loaded = load_template(&template, ground.interner)?;
        let templates = &mut self.full().templates;
        let place = templates.partition_point(|t| t.id < loaded.id);
        templates.insert(place, loaded);
        Ok(self.set_mut(&ground).add_template(template)?)
    }

    pub(super) fn link(
        &mut self,
        template_id: PolicyId,
        link_id: PolicyId,
        slots: HashMap<SlotId, EntityUid>,
        ground: Ground<'_>,
    ) -> Result<(), UpdateError> {
        let mut excerpt = self.excerpt([&template_id, &link_id], &ground)?;
        excerpt.link(template_id.clone(), link_id.clone(), slots)?;
        let loaded = self.full.as_ref().unwrap_or(&self.earlier.table.loaded);
        let template = loaded.template(template_id.as_ref());
        let (Some(template), Some(link)) = (template, excerpt.policy(&link_id)) else {
            return Ok(());
        };
        let link = load_link(link, template, ground.interner)?;
        ground.naming.extend_to(ground.interner);
        let Snapshot { table, index, .. } = &*self.earlier;
        let light = self.full.is_none();
        if !light || !(self.recent).add(table, index.as_deref(), &link, ground.naming) {
            insert(self.full(), link);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, id: PolicyId, ground: Ground<'_>) -> Result<(), UpdateError> {
        let name: &str = id.as_ref();
        if !self.is_link(&id, &ground) {
            self.set_mut(&ground).remove_static(id.clone())?;
        }
        let Snapshot { table, index, .. } = &*self.earlier;
        if self.full.is_none()
            && let Some(found) = self.recent.find(table, name)
            && self.recent.remove(table, index.as_deref(), found)
        {
            return Ok(());
        }
        let full = self.full();
        if let Ok(mut place) = full.find(name) {
            if planted(Fault::NeighbourRemoved) {
                place = place.saturating_sub(1);
            }
            full.policies.remove(place);
        }
        Ok(())
    }

    pub(super) fn remove_template(
        &mut self,
        id: PolicyId,
        ground: Ground<'_>,
    ) -> Result<(), UpdateError> {
        if let Some(link) = self.link_of(&id) {
            let mut linked = PolicySet::from_json_value(linked_stand_in(&id, link))?;
            linked.remove_template(id.clone())?;
        }
        self.set_mut(&ground).remove_template(id.clone())?;
        let name: &str = id.as_ref();
        self.full().templates.retain(|t| t.id != name);
        Ok(())
    }

    fn is_known(&self, id: &str) -> bool {
        match &self.full {
            Some(full) => full.find(id).is_ok(),
            None => self.recent.find(&self.earlier.table, id).is_some(),
        }
    }

    fn is_link(&self, id: &PolicyId, ground: &Ground<'_>) -> bool {
        let set = self.set.as_ref().unwrap_or(ground.set);
        set.policy(id).is_none() && self.is_known(id.as_ref())
    }

    /// What has one of these ids. A link is stood in for by a static policy: what matters is that
    /// its id is taken, and not by a template.
    fn excerpt<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a PolicyId>,
        ground: &Ground<'_>,
    ) -> Result<PolicySet, UpdateError> {
        let set = self.set.as_ref().unwrap_or(ground.set);
        let mut excerpt = PolicySet::new();
        for id in ids {
            if excerpt.template(id).is_some() || excerpt.policy(id).is_some() {
                continue;
            }
            if let Some(template) = set.template(id) {
                excerpt.add_template(template.clone())?;
            } else if let Some(policy) = set.policy(id) {
                excerpt.add(policy.clone())?;
            } else if self.is_link(id, ground) {
                let stand_in = PolicySet::from_json_value(stand_in(id))?;
                for policy in stand_in.policies() {
                    excerpt.add(policy.clone())?;
                }
            }
        }
        Ok(excerpt)
    }

    /// The id of some link of a template.
    fn link_of(&self, template: &PolicyId) -> Option<&str> {
        let template: &str = template.as_ref();
        let is_link = |policy: &&BoundPolicy| policy.policy.id == template && policy.id != template;
        let found = match &self.full {
            Some(full) => full.policies.iter().find(is_link),
            None => {
                let Self {
                    earlier, recent, ..
                } = self;
                let table = earlier.table.policies().iter().enumerate();
                let left = table.filter(|(i, _)| !recent.is_removed(PolicyIndex::from_index(*i)));
                let links = recent.links(&earlier.table).map(|(_, policy)| policy);
                left.map(|(_, policy)| policy).chain(links).find(is_link)
            }
        };
        found.map(|policy| policy.id.as_str())
    }
}

fn insert(loaded: &mut LoadedPolicies, policy: BoundPolicy) {
    let (Ok(place) | Err(place)) = loaded.find(&policy.id);
    loaded.policies.insert(place, policy);
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

/// Policies in terms of another interner; `set` has the templates and static ones.
pub(super) fn renumber(
    set: &PolicySet,
    current: &LoadedPolicies,
    names: &Interner,
    interner: &mut Interner,
) -> Result<LoadedPolicies, LoadError> {
    let mut loaded = load_policies(set, interner)?;
    let uid = |entity: EntityId| {
        let (ty, eid) = names.entity(entity)?;
        Some((names.str(ty.name()), names.str(eid)))
    };
    // A static policy has the id of its text; a link has not that of its template.
    let links = (current.policies.iter()).filter(|policy| policy.id != policy.policy.id);
    let links = links.map(|link| NewLink {
        id: &link.id,
        template: &link.policy.id,
        principal: link.slots.principal.and_then(uid),
        resource: link.slots.resource.and_then(uid),
    });
    loaded.add_links(links, interner)?;
    Ok(loaded)
}
