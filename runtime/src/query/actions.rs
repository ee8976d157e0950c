//! Which actions a principal may do on a resource.

use crate::bind::Binder;
use crate::evaluate::Scratch;
use crate::request::{
    Applicable, EntityHandle, RequestError, RequestPart, Uid, cedar_uid, is_plain_context,
    read_context_text, split_plain,
};
use crate::snapshot::Snapshot;
use cedar_policy::Decision;
use cedarjit_ir::ids::{EntityId, TypeId};
use cedarjit_ir::interner::Interner;
use std::sync::Arc;

/// The actions that a principal may do on a resource.
///
/// An iterator in ascending order of the snapshot's ids, as [`Allowed`](super::Allowed). Candidates
/// are the actions that the schema declares and those that policies or entities have mentioned since
/// the entities were loaded. Each is a request of its own, since its context may be another; actions
/// with which the request is refused are not listed.
#[derive(Debug)]
pub struct AllowedActions {
    binder: Binder,
    scratch: Scratch,
    principal: About,
    resource: About,
    context: Box<str>,
    validate: bool,
    /// The place of the next candidate.
    next: usize,
}

/// The principal or the resource.
#[derive(Debug)]
struct About {
    uid: String,
    /// If the interner knows the entity.
    entity: Option<EntityId>,
    /// If it knows the type's name.
    ty: Option<TypeId>,
}

impl About {
    fn new(part: RequestPart, uid: Uid<'_>, interner: &Interner) -> Result<Self, RequestError> {
        let about = |text: &str, ty: &str, id: &str| Self {
            uid: text.to_owned(),
            entity: interner.find_entity(ty, id),
            ty: interner.find_str(ty).map(TypeId::of_name),
        };
        if let Uid::Text(text) = uid
            && let Some((ty, id)) = split_plain(text)
        {
            return Ok(about(text, ty, &id));
        }
        let uid = cedar_uid(part, uid, interner)?;
        let ty = uid.type_name().to_string();
        Ok(about(&uid.to_string(), &ty, uid.id().unescaped()))
    }
}

impl Snapshot {
    /// Which actions this principal may do on this resource in this context.
    ///
    /// Uids are texts in Cedar's syntax or handles, the context is JSON. With a schema the context is
    /// read for each action by the types that this declares; if `validate` is set, only actions are
    /// listed whose request fits the schema.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cedarjit::Engine;
    ///
    /// let engine = Engine::builder()
    ///     .policies_str(r#"
    ///         permit (principal, action in [Action::"view", Action::"edit"], resource);
    ///         forbid (principal, action == Action::"edit", resource) unless { context.mfa };
    ///     "#)
    ///     .build()?;
    /// let snapshot = engine.snapshot();
    /// let (ann, plan) = (r#"User::"ann""#, r#"Doc::"plan""#);
    /// let allowed = snapshot.allowed_actions(ann, plan, r#"{"mfa": false}"#, true)?;
    /// let allowed: Vec<String> = allowed.filter_map(|id| snapshot.uid_text(id)).collect();
    /// assert_eq!(allowed, [r#"Action::"view""#]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When a uid cannot be read, or the context is not a context for any action.
    pub fn allowed_actions<'u>(
        self: &Arc<Self>,
        principal: impl Into<Uid<'u>>,
        resource: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
    ) -> Result<AllowedActions, RequestError> {
        let principal = About::new(RequestPart::Principal, principal.into(), &self.interner)?;
        let resource = About::new(RequestPart::Resource, resource.into(), &self.interner)?;
        if !is_plain_context(context, &self.interner, &self.store) {
            read_context_text(context, None)?;
        }
        Ok(AllowedActions {
            binder: Binder::new(Arc::clone(self)),
            scratch: Scratch::default(),
            principal,
            resource,
            context: context.into(),
            validate,
            next: 0,
        })
    }
}

impl AllowedActions {
    /// Goes on behind this action, whether it is allowed or not.
    ///
    /// # Errors
    /// When the handle belongs elsewhere; nothing has changed then.
    pub fn after(&mut self, action: EntityHandle) -> Result<(), RequestError> {
        let snapshot = self.binder.snapshot();
        let id = action.id(&snapshot.interner);
        let id = id.ok_or(RequestError::Handle(RequestPart::Action))?;
        self.next = (snapshot.known_actions()).partition_point(|known| *known <= id);
        Ok(())
    }

    /// Whether the action is allowed; not if the request with it is refused.
    fn is_allowed(&mut self, action: EntityId) -> bool {
        if self.validate && self.is_misfit(action) {
            return false;
        }
        let action = EntityHandle::new(action, &self.binder.snapshot().interner);
        let uids = (&self.principal.uid, &self.resource.uid);
        let bound = self
            .binder
            .bind(uids.0, action, uids.1, &self.context, self.validate);
        bound.is_ok_and(|request| request.decide(&mut self.scratch) == Decision::Allow)
    }

    /// Whether the schema certainly declares the action for others: finding that out here saves the
    /// time in which cedar-policy says so, which is that of a hundred decisions.
    fn is_misfit(&self, action: EntityId) -> bool {
        let rules = self.binder.snapshot().rules.as_ref();
        let Some(rules) = rules.and_then(|rules| rules.action(action)) else {
            return false;
        };
        let lacks = |of: &Applicable, about: &About| of.lacks(about.entity, about.ty);
        lacks(&rules.principals, &self.principal) || lacks(&rules.resources, &self.resource)
    }
}

impl Iterator for AllowedActions {
    type Item = EntityHandle;

    fn next(&mut self) -> Option<EntityHandle> {
        loop {
            let snapshot = self.binder.snapshot();
            let action = *snapshot.known_actions().get(self.next)?;
            self.next += 1;
            if self.is_allowed(action) {
                let interner = &self.binder.snapshot().interner;
                return Some(EntityHandle::new(action, interner));
            }
        }
    }
}
