//! Changing an engine: each change builds the next snapshot.

use super::build::{EntitySource, read_entities};
use super::{BuildError, Engine, Source};
use crate::snapshot::{Parts, Snapshot};
use crate::store::Store;
use cedar_policy::{
    Entities, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, SlotId, Template,
};
use cedarjit_frontend::limits::check_entity_count;
use cedarjit_ir::interner::Interner;
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
        self.change_policies(|set| Ok(set.add(policy)?))
    }

    /// Adds a template.
    ///
    /// # Errors
    /// When the id is taken or the engine cannot be built with it.
    pub fn add_template(&self, template: Template) -> Result<(), UpdateError> {
        self.change_policies(|set| Ok(set.add_template(template)?))
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
        self.change_policies(|set| Ok(set.link(template_id, link_id, slots)?))
    }

    /// Removes a static policy or a link.
    ///
    /// # Errors
    /// When there is no policy with this id.
    pub fn remove_policy(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            let is_link = set.policy(&id).is_some_and(|p| !p.is_static());
            if is_link {
                set.unlink(id)?;
            } else {
                set.remove_static(id)?;
            }
            Ok(())
        })
    }

    /// Removes a template that no policy is linked to.
    ///
    /// # Errors
    /// When there is no template with this id, or links of it remain.
    pub fn remove_template(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            set.remove_template(id)?;
            Ok(())
        })
    }

    /// Replaces all policies, templates and links.
    ///
    /// # Errors
    /// When the engine cannot be built with them.
    pub fn replace_policies(&self, policies: &PolicySet) -> Result<(), UpdateError> {
        self.change_policies(|set| {
            *set = policies.clone();
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
        let next = Snapshot::build(Parts {
            interner,
            store,
            policies: &source.policies,
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

    fn change_policies(
        &self,
        change: impl FnOnce(&mut PolicySet) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let started = Instant::now();
        let mut source = self.source();
        let mut policies = source.policies.clone();
        change(&mut policies)?;
        let current = self.snapshot();
        let next = Snapshot::build(Parts {
            interner: current.interner.clone(),
            store: current.store.clone(),
            policies: &policies,
            schema: current.schema.clone(),
            jit: source.jit,
            index: source.index,
            earlier: Some(&current),
            started,
        })?;
        source.policies = policies;
        self.publish(Arc::new(next), source.compile);
        Ok(())
    }
}
