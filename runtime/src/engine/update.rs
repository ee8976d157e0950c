//! Changing an engine: each transaction makes the next snapshot.

use super::transaction::Transaction;
use super::{BuildError, Engine};
use crate::store::{HierarchyError, StoreError};
use cedar_policy::entities_errors::EntitiesError;
use cedar_policy::{
    Entities, EntityUid, Policy, PolicyId, PolicySet, PolicySetError, SlotId, Template,
};
use cedarjit_frontend::limits::LimitError;
use cedarjit_frontend::load::LoadError;
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

/// Why an engine could not be changed; it is then as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The policy set does not admit the change.
    #[error(transparent)]
    Policies(Box<PolicySetError>),
    /// An entity could not be read, or does not fit the schema.
    #[error("the entities are not valid: {0}")]
    Entities(#[source] Box<EntitiesError>),
    /// Entities would be in one another as they must not be.
    #[error(transparent)]
    Hierarchy(#[from] HierarchyError),
    /// The action is the schema's, and changes with the schema only.
    #[error("the schema has the action `{0}`: an action changes only with the schema")]
    SchemaAction(Box<EntityUid>),
    /// A part of the transaction failed, which its closure did not return as an error.
    #[error("a part of the transaction failed, so none of it takes effect")]
    Failed,
    /// The changed engine could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The change could not be kept; see [`Engine::update_kept`].
    #[error("the change could not be kept: {0}")]
    Keep(#[source] Box<dyn Error + Send + Sync>),
}

impl From<PolicySetError> for UpdateError {
    fn from(error: PolicySetError) -> Self {
        UpdateError::Policies(Box::new(error))
    }
}

impl From<EntitiesError> for UpdateError {
    fn from(error: EntitiesError) -> Self {
        UpdateError::Entities(Box::new(error))
    }
}

impl From<StoreError> for UpdateError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Hierarchy(error) => UpdateError::Hierarchy(error),
            error => UpdateError::Build(error.into()),
        }
    }
}

impl From<LoadError> for UpdateError {
    fn from(error: LoadError) -> Self {
        UpdateError::Build(error.into())
    }
}

impl From<LimitError> for UpdateError {
    fn from(error: LimitError) -> Self {
        UpdateError::Build(error.into())
    }
}

impl Engine {
    /// Changes the engine: whatever `change` does to the transaction takes effect at once for all
    /// handles, or, if it fails, not at all.
    ///
    /// Decisions that are being made go on seeing the state that they began with. Transactions come
    /// one after the other; whoever begins one while another is under way waits.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cedarjit::{Decision, Engine};
    /// use cedar_policy::{Context, Entity, Request};
    ///
    /// let engine = Engine::builder()
    ///     .policies_str(r#"permit (principal in Team::"red", action, resource);"#)
    ///     .build()?;
    /// let ann = r#"User::"ann""#.parse()?;
    /// engine.update(|tx| {
    ///     let parents = [r#"Team::"red""#.parse().expect("a uid")];
    ///     tx.upsert_entity(Entity::new_no_attrs(ann, parents.into()))
    /// })?;
    /// let [ann, view, plan] = [r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"plan""#];
    /// let request =
    ///     Request::new(ann.parse()?, view.parse()?, plan.parse()?, Context::empty(), None)?;
    /// assert_eq!(engine.is_authorized(&request).decision(), Decision::Allow);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `change` returns, or why the changed engine cannot be built.
    pub fn update<T>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, UpdateError>,
    ) -> Result<T, UpdateError> {
        self.update_kept(change, || Ok(()))
    }

    /// As [`update`](Self::update), for who keeps changes elsewhere, too: calls `keep` once it is
    /// certain that the change can take effect, and before it does. If that fails, it does not.
    ///
    /// # Errors
    /// As there, and [`UpdateError::Keep`] if `keep` fails.
    pub fn update_kept<T>(
        &self,
        change: impl FnOnce(&mut Transaction<'_>) -> Result<T, UpdateError>,
        keep: impl FnOnce() -> Result<(), Box<dyn Error + Send + Sync>>,
    ) -> Result<T, UpdateError> {
        let mut source = self.source();
        let mut transaction = Transaction::begin(self.snapshot(), &mut source);
        let result = change(&mut transaction)?;
        let next = transaction.commit(|| keep().map_err(UpdateError::Keep))?;
        let compile = source.compile;
        if let Some(next) = next {
            self.publish(Arc::new(next), compile);
        }
        Ok(result)
    }

    /// Adds a static policy: [`Transaction::add_policy`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn add_policy(&self, policy: Policy) -> Result<(), UpdateError> {
        self.update(|tx| tx.add_policy(policy))
    }

    /// Adds a template: [`Transaction::add_template`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn add_template(&self, template: Template) -> Result<(), UpdateError> {
        self.update(|tx| tx.add_template(template))
    }

    /// Links a template: [`Transaction::link`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn link(
        &self,
        template_id: PolicyId,
        link_id: PolicyId,
        slots: HashMap<SlotId, EntityUid>,
    ) -> Result<(), UpdateError> {
        self.update(|tx| tx.link(template_id, link_id, slots))
    }

    /// Removes a static policy or a link: [`Transaction::remove_policy`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn remove_policy(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.update(|tx| tx.remove_policy(id))
    }

    /// Removes a template: [`Transaction::remove_template`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn remove_template(&self, id: PolicyId) -> Result<(), UpdateError> {
        self.update(|tx| tx.remove_template(id))
    }

    /// Replaces all policies: [`Transaction::replace_policies`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn replace_policies(&self, policies: &PolicySet) -> Result<(), UpdateError> {
        self.update(|tx| tx.replace_policies(policies))
    }

    /// Replaces all entities: [`Transaction::replace_entities`] by itself.
    ///
    /// # Errors
    /// As there.
    pub fn replace_entities(&self, entities: Entities) -> Result<(), UpdateError> {
        self.update(|tx| tx.replace_entities(entities))
    }
}
