//! Binding requests to a snapshot.
//!
//! A request in plain form, which is almost every one, is bound here from its text, in a buffer that
//! is used again and again. Everything else goes the long way through cedar-policy, with the same
//! outcome; a test compares the two ways.

use crate::request::{
    ContextJson, EntityHandle, Ground, RequestError, RequestPart, RequestValues, Uid, Work,
    bind_plain, cedar_uid, make_request, read_context, read_context_text, uid_of_names,
};
use crate::snapshot::Snapshot;
use cedar_policy::{Context, EntityUid, Request, RequestValidationError, Schema};
use cedarjit_frontend::limits::check_context;
use cedarjit_ir::abi::{Frame, ValuePair};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Heaps;
use cedarjit_ir::ids::{EntityId, ShapeId};
use cedarjit_ir::value::Tag;
use cedarjit_jit::{PreparedFrame, RequestParts};
use std::borrow::Cow;
use std::mem::offset_of;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A request in terms of one snapshot, ready to be evaluated any number of times.
///
/// It holds its snapshot, so it goes on seeing that state when the engine has moved on. Of a bound
/// request the principal and the resource can be exchanged for others that were
/// [resolved](Snapshot::resolve), which is the fastest way to ask about many of them:
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedarjit::{Binder, Decision, Engine, Scratch};
///
/// let engine = Engine::builder()
///     .policies_str(r#"permit (principal, action, resource == Doc::"b");"#)
///     .entities_json(r#"[{"uid": {"type": "Doc", "id": "a"}, "attrs": {}, "parents": []}]"#)
///     .build()?;
/// let mut binder = Binder::new(engine.snapshot());
/// let request = binder.bind(r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"a""#, "{}", true)?;
/// let mut scratch = Scratch::default();
/// assert_eq!(request.evaluate(&mut scratch).decision(), Decision::Deny);
///
/// let other = engine.resolve(r#"Doc::"b""#)?.expect("a policy mentions it");
/// request.set_resource(other)?;
/// assert_eq!(request.evaluate(&mut scratch).decision(), Decision::Allow);
/// # Ok(())
/// # }
/// ```
// What evaluation reads of a request comes first, in two cache lines.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct BoundRequest {
    pub(crate) snapshot: Arc<Snapshot>,
    /// The place of its bucket in the snapshot's table.
    pub(crate) bucket: Option<u32>,
    pub(crate) details: Box<Details>,
    /// For compiled code.
    pub(crate) frame: PreparedFrame,
}

const _: () = assert!(offset_of!(BoundRequest, frame) + size_of::<Frame>() <= 128);

/// What fused code does not read of a request.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) values: RequestValues,
    /// Whether it was asked that the request fit the schema, if there is one.
    pub(crate) validated: bool,
}

/// Binds one request after the other, in memory that is kept.
///
/// Once it has grown to size, binding a plain request allocates nothing. It remembers up to 2,048
/// uids, in 130 KiB: those are found in half the time. Plain are uids, `Type::"id"`, and contexts of
/// Booleans, integers, strings, arrays, objects, entities and extension values without peculiarities.
/// JSON escapes in a string and Cedar's in an id cost an allocation; keys that begin with `__` or `$`
/// make a request one that takes microseconds.
///
/// A schema must have been given to the engine as text: a `cedar_policy::Schema` does not tell what
/// is in a context.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedarjit::{Binder, Decision, Engine, Scratch};
///
/// let engine = Engine::builder()
///     .policies_str("permit (principal, action, resource) when { context.level > 3 };")
///     .build()?;
/// let mut binder = Binder::new(engine.snapshot());
/// let mut scratch = Scratch::default();
/// for (level, decision) in [(1, Decision::Deny), (9, Decision::Allow)] {
///     let context = format!(r#"{{"level": {level}}}"#);
///     let request =
///         binder.bind(r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"a""#, &context, true)?;
///     assert_eq!(request.evaluate(&mut scratch).decision(), decision);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Binder {
    request: BoundRequest,
    work: Work,
}

impl Binder {
    /// A binder for requests to this state of an engine.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            request: BoundRequest::about_nobody(snapshot),
            work: Work::default(),
        }
    }

    /// The state that requests are bound to.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.request.snapshot
    }

    /// Binds requests to another state from now on.
    pub fn set_snapshot(&mut self, snapshot: Arc<Snapshot>) {
        self.request.frame = PreparedFrame::new(Arc::clone(snapshot.store.memory()));
        self.request.snapshot = snapshot;
        self.request.clear();
    }

    /// Binds a request given as uids, each as text in Cedar's syntax or as a handle, and a context
    /// in JSON.
    ///
    /// Everything is read exactly as cedar-policy does. With a schema, the context is read by the
    /// types that it declares for the action; if `validate` is set, the request must fit it. O(n)
    /// for a plain request of size n, but for the sorting of sets and attributes.
    ///
    /// # Errors
    /// When a uid or the context cannot be read, the request is invalid, something exceeds a limit,
    /// or a handle belongs elsewhere.
    pub fn bind<'u>(
        &mut self,
        principal: impl Into<Uid<'u>>,
        action: impl Into<Uid<'u>>,
        resource: impl Into<Uid<'u>>,
        context: &str,
        validate: bool,
    ) -> Result<&mut BoundRequest, RequestError> {
        let uids = [principal.into(), action.into(), resource.into()];
        let context = ContextJson::Text(context);
        self.request.bind(uids, context, validate, &mut self.work)?;
        Ok(&mut self.request)
    }

    /// Binds a request of cedar-policy's, as [`Snapshot::bind`] does, in the memory that is kept.
    ///
    /// # Errors
    /// When the request has an unknown part, or its context is too large.
    pub fn bind_request(&mut self, request: &Request) -> Result<&mut BoundRequest, RequestError> {
        self.request.clear();
        self.request.details.validated = false;
        self.request.take(request)?;
        Ok(&mut self.request)
    }

    /// The request that was bound last.
    pub(crate) fn into_request(self) -> BoundRequest {
        self.request
    }
}

impl Snapshot {
    /// Binds a request: looks up its uids and interns its context.
    ///
    /// To bind many requests, keep a [`Binder`].
    ///
    /// # Errors
    /// When the request has an unknown part, or its context is too large.
    pub fn bind(self: &Arc<Self>, request: &Request) -> Result<BoundRequest, RequestError> {
        let mut bound = BoundRequest::about_nobody(Arc::clone(self));
        bound.take(request)?;
        Ok(bound)
    }

    /// Binds a request given as entity uids in Cedar's syntax and a context in JSON, read and, if
    /// `validate` is set and there is a schema, validated exactly as cedar-policy does.
    ///
    /// To bind many requests, keep a [`Binder`].
    ///
    /// # Errors
    /// When a uid or the context cannot be read, or the request is invalid.
    pub fn bind_json(
        self: &Arc<Self>,
        principal: &str,
        action: &str,
        resource: &str,
        context: &serde_json::Value,
        validate: bool,
    ) -> Result<BoundRequest, RequestError> {
        let mut bound = BoundRequest::about_nobody(Arc::clone(self));
        let uids = [principal, action, resource].map(Uid::Text);
        let context = ContextJson::Value(context);
        bound.bind(uids, context, validate, &mut Work::default())?;
        Ok(bound)
    }

    /// Looks up an entity that is given in Cedar's syntax, to bind requests about it faster.
    ///
    /// `None` if neither entities nor policies mention it. A request about such an entity is bound
    /// from its text.
    ///
    /// # Errors
    /// When the text is not an entity uid.
    pub fn resolve(&self, uid: &str) -> Result<Option<EntityHandle>, RequestError> {
        let interner = &self.interner;
        let known = match crate::request::split_plain(uid) {
            Some((ty, eid)) => interner.find_entity(ty, &eid),
            None => {
                let uid = cedar_uid(RequestPart::Entity, uid.into(), interner)?;
                interner.find_entity(&uid.type_name().to_string(), uid.id().unescaped())
            }
        };
        Ok(known.map(|id| EntityHandle::new(id, interner)))
    }

    fn ground(&self) -> Option<Ground<'_>> {
        let schema = match &self.schema {
            None => None,
            Some(schema) => Some((&**self.rules.as_ref()?, schema.facts.as_ref()?)),
        };
        Some(Ground {
            interner: &self.interner,
            store: &self.store,
            schema,
        })
    }
}

impl BoundRequest {
    fn about_nobody(snapshot: Arc<Snapshot>) -> Self {
        Self {
            details: Box::new(Details {
                values: RequestValues::unbound(&snapshot.interner),
                validated: false,
            }),
            bucket: None,
            frame: PreparedFrame::new(Arc::clone(snapshot.store.memory())),
            snapshot,
        }
    }

    /// The snapshot that the request is bound to.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    #[inline]
    fn clear(&mut self) {
        self.details.values.clear(&self.snapshot.interner);
        self.bucket = None;
        self.frame.clear();
    }

    /// Prepares for evaluation; to be called whenever a part of the request has changed.
    pub(crate) fn seal(&mut self) {
        let values = &self.details.values;
        let headers = self.frame.prepare(RequestParts {
            principal: values.principal(),
            action: values.action(),
            resource: values.resource(),
            context: values.context().as_heap_ref(),
            local: values.brought(),
        });
        self.bucket = headers.and_then(|headers| self.snapshot.bucket(values.action(), headers));
    }

    /// Binds; on an error the request is about nobody.
    fn bind(
        &mut self,
        uids: [Uid<'_>; 3],
        context: ContextJson<'_>,
        validate: bool,
        work: &mut Work,
    ) -> Result<(), RequestError> {
        self.clear();
        self.details.validated = validate;
        if self.bind_plain(uids, context, validate, work).is_some() {
            self.fill_context_slots();
            self.seal();
            return Ok(());
        }
        self.bind_otherwise(uids, context, validate)
    }

    /// Binds what is not plain.
    #[cold]
    fn bind_otherwise(
        &mut self,
        uids: [Uid<'_>; 3],
        context: ContextJson<'_>,
        validate: bool,
    ) -> Result<(), RequestError> {
        // What was done so far is half of a request.
        self.clear();
        let request = self.cedar_request(uids, context, validate)?;
        self.take(&request)
    }

    fn bind_plain(
        &mut self,
        uids: [Uid<'_>; 3],
        context: ContextJson<'_>,
        validate: bool,
        work: &mut Work,
    ) -> Option<()> {
        if let ContextJson::Value(json) = context {
            check_context(json).ok()?;
        }
        let ground = self.snapshot.ground()?;
        bind_plain(
            &mut self.details.values,
            ground,
            uids,
            context,
            validate,
            work,
        )
    }

    /// What cedar-policy makes of a request.
    fn cedar_request(
        &self,
        [principal, action, resource]: [Uid<'_>; 3],
        context: ContextJson<'_>,
        validate: bool,
    ) -> Result<Request, RequestError> {
        let Snapshot { interner, .. } = &*self.snapshot;
        let schema = self.snapshot.schema();
        let principal = cedar_uid(RequestPart::Principal, principal, interner)?;
        let action = cedar_uid(RequestPart::Action, action, interner)?;
        let resource = cedar_uid(RequestPart::Resource, resource, interner)?;
        let declared = schema.map(|schema| (schema, &action));
        let context = match context {
            ContextJson::Text(text) => read_context_text(text, declared)?,
            ContextJson::Value(json) => read_context(Cow::Borrowed(json), declared)?,
        };
        make_request(principal, action, resource, context, schema, validate)
    }

    /// Takes over a request of cedar-policy; on an error the request is about nobody.
    fn take(&mut self, request: &Request) -> Result<(), RequestError> {
        let Snapshot {
            interner, store, ..
        } = &*self.snapshot;
        if let Err(error) = self.details.values.read(request, interner, store) {
            self.clear();
            return Err(error);
        }
        self.fill_context_slots();
        self.seal();
        Ok(())
    }

    /// Exchanges the principal.
    ///
    /// If the request was bound to fit the schema, it must go on to.
    ///
    /// # Errors
    /// When the new principal does not fit the schema, or the handle is not one for the request's
    /// snapshot. The request is then as it was.
    pub fn set_principal(&mut self, principal: EntityHandle) -> Result<(), RequestError> {
        let id = self.exchange(RequestPart::Principal, principal)?;
        self.details.values.set_principal(id);
        self.seal();
        Ok(())
    }

    /// Exchanges the resource.
    ///
    /// If the request was bound to fit the schema, it must go on to.
    ///
    /// # Errors
    /// When the new resource does not fit the schema, or the handle is not one for the request's
    /// snapshot. The request is then as it was.
    pub fn set_resource(&mut self, resource: EntityHandle) -> Result<(), RequestError> {
        let id = self.exchange(RequestPart::Resource, resource)?;
        self.details.values.set_resource(id);
        self.seal();
        Ok(())
    }

    /// The entity that is to become this part of the request.
    pub(crate) fn exchange(
        &self,
        part: RequestPart,
        handle: EntityHandle,
    ) -> Result<EntityId, RequestError> {
        let id = handle.id(&self.snapshot.interner);
        let id = id.ok_or(RequestError::Handle(part))?;
        if let Some(schema) = self.snapshot.schema().filter(|_| self.details.validated)
            && !self.certainly_fits(part, id)
            && !(part == RequestPart::Principal && planted(Fault::ExchangedWithoutValidation))
        {
            self.check_fit(part, id, schema)?;
        }
        Ok(id)
    }

    /// Whether the schema's rules say that this entity may be this part of the request.
    fn certainly_fits(&self, part: RequestPart, id: EntityId) -> bool {
        let rules = self.snapshot.rules.as_ref();
        let rules = rules.and_then(|rules| rules.action(self.details.values.action()));
        let applicable = rules.map(|rules| match part {
            RequestPart::Principal => &rules.principals,
            _ => &rules.resources,
        });
        let entity = self.snapshot.interner.entity(id);
        applicable
            .zip(entity)
            .is_some_and(|(applicable, (ty, _))| applicable.has(id, ty))
    }

    /// Asks cedar-policy whether this entity may be this part of the request.
    fn check_fit(
        &self,
        part: RequestPart,
        id: EntityId,
        schema: &Schema,
    ) -> Result<(), RequestError> {
        let (principal, resource) = match part {
            RequestPart::Principal => (id, self.details.values.resource()),
            _ => (self.details.values.principal(), id),
        };
        let uids = [principal, self.details.values.action(), resource].map(|id| self.uid(id));
        let [Some(principal), Some(action), Some(resource)] = uids else {
            return Err(RequestError::Handle(part));
        };
        match Request::new(principal, action, resource, Context::empty(), Some(schema)) {
            // The context comes last, and the request's own did fit.
            Ok(_)
            | Err(
                RequestValidationError::InvalidContext(_)
                | RequestValidationError::TypeOfContext(_),
            ) => Ok(()),
            Err(error) => Err(Box::new(error).into()),
        }
    }

    /// The uid of an entity of this request.
    pub(crate) fn uid(&self, id: EntityId) -> Option<EntityUid> {
        let interner = &self.snapshot.interner;
        let names = self.details.values.local();
        let (ty, eid) = names.entity(interner, id)?;
        uid_of_names(names.str(interner, ty.name()), names.str(interner, eid))
    }

    /// Puts each context attribute that policies read into its slot.
    #[inline]
    fn fill_context_slots(&mut self) {
        let slots = self.snapshot.columns.context_slots();
        if slots != 0 || !self.frame.context_slots().is_empty() {
            self.fill_some_context_slots();
        }
    }

    fn fill_some_context_slots(&mut self) {
        let Self {
            snapshot,
            details,
            frame,
            ..
        } = self;
        let (values, slots) = (&details.values, frame.context_slots_mut());
        let columns = &snapshot.columns;
        if !planted(Fault::StaleContextSlots) {
            slots.clear();
        }
        slots.resize(columns.context_slots(), ValuePair::ABSENT);
        if slots.is_empty() {
            return;
        }
        let context = values.context();
        debug_assert_eq!(context.tag, Tag::Record);
        let heaps = Heaps {
            global: snapshot.store.heap(),
            request: values.heap(),
            // A context is bound before anything is evaluated.
            scratch: values.heap(),
        };
        let Some(record) = heaps.object(context.as_heap_ref()) else {
            return;
        };
        let shape = record.shape();
        let names = if planted(Fault::ContextSlotsOfOtherShape) && shape.is_local() {
            let other = ShapeId::from_index(shape.local_index());
            snapshot.store.shapes().attrs(other)
        } else if shape.is_local() {
            let local = ShapeId::from_index(shape.local_index());
            values.shapes().attrs(local)
        } else {
            snapshot.store.shapes().attrs(shape)
        };
        for (name, value) in names.iter().zip(record.values()) {
            if let Some(slot) = columns.context_slot(*name).and_then(|s| slots.get_mut(s)) {
                *slot = value.into();
            }
        }
    }
}
