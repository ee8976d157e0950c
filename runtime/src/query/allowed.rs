//! Which resources, and which principals, a request is allowed for.

use super::Batch;
use super::kind::applies;
use crate::bind::{Binder, BoundRequest};
use crate::index::Side;
use crate::request::{EntityHandle, RequestError, RequestPart, Uid, cedar_uid};
use crate::snapshot::Snapshot;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use std::sync::Arc;

/// The fewest and the most entities that are decided about at a time: who asks for a few should not
/// wait for many.
const BLOCK: (usize, usize) = (16, 1024);

/// How many entities are tried, of one type, to find one that the request may be about.
const ATTEMPTS: usize = 64;

/// The stored entities for which a request is allowed, in place of its own resource or principal.
///
/// An iterator in ascending order of the snapshot's ids, an order that stays the same for a snapshot
/// and means nothing else. It decides as it goes, in blocks, so whoever stops early pays for little
/// more than was looked at. To list page by page, take some, and begin the next page
/// [after](Self::after) the last one of them; that may be another `Allowed` for the same question.
///
/// Where the request must fit the schema, entities with which it does not are not listed.
#[derive(Debug)]
pub struct Allowed {
    batch: Batch,
    of_type: Option<Box<str>>,
    /// The first candidate that has not been looked at: its place in the list of its type, or its id
    /// where there is no type.
    next: usize,
    /// How many candidates are looked at next.
    block: usize,
    candidates: Vec<EntityId>,
    /// What was found and not yet given out, the last first.
    found: Vec<EntityId>,
}

impl Batch {
    /// All stored entities, or those of a type, for which the request is allowed.
    ///
    /// A type's name is written as Cedar prints it. The first question about types for a snapshot
    /// takes O(entities), to list them by type.
    pub fn allowed(self, of_type: Option<&str>) -> Allowed {
        Allowed {
            batch: self,
            of_type: of_type.map(Into::into),
            next: 0,
            block: BLOCK.0,
            candidates: Vec::new(),
            found: Vec::new(),
        }
    }
}

impl Allowed {
    /// Goes on behind this entity, whether it is allowed or not.
    ///
    /// # Errors
    /// When the handle belongs elsewhere; nothing has changed then.
    pub fn after(&mut self, entity: EntityHandle) -> Result<(), RequestError> {
        let snapshot = self.batch.snapshot();
        let id = entity.id(&snapshot.interner);
        let id = id.ok_or(RequestError::Handle(RequestPart::Entity))?;
        self.next = match &self.of_type {
            Some(ty) => (snapshot.stored_of(ty)).partition_point(|stored| *stored <= id),
            None => id.index() + 1,
        };
        self.block = BLOCK.0;
        self.found.clear();
        Ok(())
    }

    /// What is asked, to evaluate it for one of the entities.
    pub fn batch(&mut self) -> &mut Batch {
        &mut self.batch
    }

    /// Decides about the next block. Whether there was one.
    fn fill(&mut self) -> bool {
        let Snapshot { store, .. } = &**self.batch.snapshot();
        self.candidates.clear();
        match &self.of_type {
            Some(ty) => {
                let stored = self.batch.snapshot().stored_of(ty);
                let left = stored.get(self.next..).unwrap_or_default();
                self.candidates.extend(left.iter().take(self.block));
                self.next += self.candidates.len();
            }
            None => {
                let headers = store.headers().len();
                while self.next < headers && self.candidates.len() < self.block {
                    let id = EntityId::from_index(self.next);
                    if store.exists(id) {
                        self.candidates.push(id);
                    }
                    self.next += 1;
                }
            }
        }
        let lost = usize::from(self.block > BLOCK.0 && planted(Fault::QueryLosesFirst));
        self.block = (self.block * 2).min(BLOCK.1);
        let allowed = self.batch.decide_ids(&self.candidates).allowed().skip(lost);
        let allowed = allowed.filter_map(|position| self.candidates.get(position));
        self.found.extend(allowed);
        self.found.reverse();
        !self.candidates.is_empty()
    }
}

impl Iterator for Allowed {
    type Item = EntityHandle;

    fn next(&mut self) -> Option<EntityHandle> {
        while self.found.is_empty() {
            if !self.fill() {
                return None;
            }
        }
        let id = self.found.pop()?;
        Some(EntityHandle::new(id, &self.batch.snapshot().interner))
    }
}

impl Snapshot {
    /// Which resources, all or those of a type, this principal may act on so.
    ///
    /// Uids are texts in Cedar's syntax or handles, the context is JSON. If `validate` is set and
    /// there is a schema, requests must fit it, and only resources are listed with which they do;
    /// where no stored resource can be one of the action's, the list is empty and neither principal
    /// nor context is validated. See [`Allowed`] for the order and for pages.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use cedarjit::Engine;
    ///
    /// let engine = Engine::builder()
    ///     .policies_str("permit (principal, action, resource) when { resource.public };")
    ///     .entities_json(r#"[
    ///         {"uid": {"type": "Doc", "id": "a"}, "attrs": {"public": true}, "parents": []},
    ///         {"uid": {"type": "Doc", "id": "b"}, "attrs": {"public": false}, "parents": []}
    ///     ]"#)
    ///     .build()?;
    /// let snapshot = engine.snapshot();
    /// let (ann, view) = (r#"User::"ann""#, r#"Action::"view""#);
    /// let allowed = snapshot.allowed_resources(ann, view, "{}", true, Some("Doc"))?;
    /// let allowed: Vec<String> = allowed.filter_map(|doc| snapshot.uid_text(doc)).collect();
    /// assert_eq!(allowed, [r#"Doc::"a""#]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub fn allowed_resources<'u>(
        self: &Arc<Self>,
        principal: impl Into<Uid<'u>>,
        action: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
        of_type: Option<&str>,
    ) -> Result<Allowed, RequestError> {
        let question = Question {
            snapshot: self,
            side: Side::Resource,
            fixed: principal.into(),
            action: action.into(),
            context,
            validate,
        };
        Ok(question.ask(of_type)?.for_resources().allowed(of_type))
    }

    /// Which principals, all or those of a type, may act on this resource so.
    ///
    /// As [`allowed_resources`](Self::allowed_resources).
    ///
    /// # Errors
    /// As [`Binder::bind`].
    pub fn allowed_principals<'u>(
        self: &Arc<Self>,
        action: impl Into<Uid<'u>>,
        resource: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
        of_type: Option<&str>,
    ) -> Result<Allowed, RequestError> {
        let question = Question {
            snapshot: self,
            side: Side::Principal,
            fixed: resource.into(),
            action: action.into(),
            context,
            validate,
        };
        Ok(question.ask(of_type)?.for_principals().allowed(of_type))
    }

    /// An entity's uid as Cedar prints it; `None` if the handle belongs elsewhere.
    pub fn uid_text(&self, entity: EntityHandle) -> Option<String> {
        let id = entity.id(&self.interner)?;
        Some(crate::store::uid_text(&self.interner, id))
    }
}

/// A request without its principal or without its resource.
struct Question<'a> {
    snapshot: &'a Arc<Snapshot>,
    /// The side that is asked for.
    side: Side,
    fixed: Uid<'a>,
    action: Uid<'a>,
    context: &'a str,
    validate: bool,
}

impl Question<'_> {
    /// The request, about some entity that it may be about.
    fn ask(&self, of_type: Option<&str>) -> Result<BoundRequest, RequestError> {
        let snapshot = self.snapshot;
        let mut binder = Binder::new(Arc::clone(snapshot));
        let Some(schema) = snapshot.schema().filter(|_| self.validate) else {
            self.bind(&mut binder, self.fixed, false)?;
            return Ok(binder.into_request());
        };
        let action = cedar_uid(RequestPart::Action, self.action, &snapshot.interner)?;
        let mut refused = None;
        for (ty, stored) in snapshot.stored_types() {
            if of_type.is_some_and(|of| of != ty) || !applies(schema, self.side, &action, ty) {
                continue;
            }
            for id in stored.iter().take(ATTEMPTS) {
                let candidate = EntityHandle::new(*id, &snapshot.interner);
                match self.bind(&mut binder, candidate.into(), true) {
                    Ok(()) => return Ok(binder.into_request()),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
        if let Some(error) = refused {
            return Err(error);
        }
        self.bind(&mut binder, self.fixed, false)?;
        let mut request = binder.into_request();
        request.details.validated = true;
        Ok(request)
    }

    fn bind(
        &self,
        binder: &mut Binder,
        candidate: Uid<'_>,
        validate: bool,
    ) -> Result<(), RequestError> {
        let (principal, resource) = match self.side {
            Side::Principal => (candidate, self.fixed),
            Side::Resource => (self.fixed, candidate),
        };
        binder.bind(principal, self.action, resource, self.context, validate)?;
        Ok(())
    }
}
