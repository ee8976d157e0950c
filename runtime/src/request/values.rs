//! A request as ids and values of one snapshot.

use super::{RequestError, RequestPart};
use crate::overlay::Overlay;
use crate::store::Store;
use crate::values::{RequestSink, ValueSink, intern_value};
use cedar_policy::{Context, Entities, EvalResult, Expression, Request, eval_expression};
use cedarjit_ir::abi::{EntityHeader, MISSING_ENTITY, missing_entity};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Space};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::{Interner, InternerIdentity, LocalInterner};
use cedarjit_ir::shape::ShapeTable;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{About, LocalParts};
use std::sync::LazyLock;

/// A request whose uids and context are ids and values of one snapshot.
///
/// Small, so that the requests of a busy caller stay in the cache: what the snapshot does not know,
/// most often nothing, is kept apart.
#[derive(Clone, Debug)]
pub struct RequestValues {
    principal: EntityId,
    action: EntityId,
    resource: EntityId,
    context: Value,
    local: LocalPart,
    identity: InternerIdentity,
}

/// What a request brings along, if it does, and the memory for it once there is any.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalPart {
    local: Option<Box<Local>>,
    /// Whether `local` belongs to the request, and is not just memory.
    used: bool,
}

impl LocalPart {
    // Not by `filter`, here and below: with that a request takes 5 ns more from text to the answer.
    #[inline]
    fn get(&self) -> Option<&Local> {
        match self.used {
            true => self.local.as_deref(),
            false => None,
        }
    }

    #[inline]
    fn get_mut(&mut self) -> Option<&mut Local> {
        match self.used {
            true => self.local.as_deref_mut(),
            false => None,
        }
    }

    /// From here on the request brings something along.
    pub(crate) fn make(&mut self) -> &mut Local {
        self.used = true;
        self.local.get_or_insert_with(|| Box::new(Local::new()))
    }

    /// Forgets everything and keeps the memory.
    #[inline]
    fn clear(&mut self) {
        if let Some(local) = self.get_mut() {
            local.clear();
            self.used = false;
        }
    }
}

/// What one request brings along that its snapshot does not know.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) names: LocalInterner,
    pub(crate) heap: Heap,
    pub(crate) shapes: ShapeTable,
    headers: HeaderTable,
    /// Entities that are laid over those of the store.
    overlay: Option<Box<Overlay>>,
}

impl Local {
    pub(crate) fn new() -> Self {
        Self {
            names: LocalInterner::default(),
            heap: Heap::new(Space::Request),
            shapes: ShapeTable::new(),
            headers: HeaderTable::new(),
            overlay: None,
        }
    }

    /// Forgets everything and keeps the memory.
    fn clear(&mut self) {
        if !self.names.is_empty() {
            self.names.clear();
        }
        self.headers.clear();
        self.overlay = None;
        if !self.heap.is_empty() {
            self.heap.clear();
        }
        if self.shapes.len() > 1 {
            self.shapes.clear();
        }
    }

    /// Makes the headers of the local entities; to be called when all are interned.
    fn add_headers(&mut self) {
        let types = self.names.entities().iter();
        let untyped = planted(Fault::LocalEntityUntyped);
        self.headers.clear();
        self.headers
            .extend(types.map(|(ty, _)| missing_entity(if untyped { 0 } else { ty.0 })));
    }

    /// For requests that bring nothing.
    fn none() -> &'static Self {
        static NONE: LazyLock<Local> = LazyLock::new(Local::new);
        &NONE
    }
}

/// An id that no request gives out, for a request about nobody.
const NOBODY: EntityId = EntityId(u32::MAX);

/// The context of a request about nobody.
const NO_CONTEXT: Value = Value {
    tag: Tag::Record,
    word: HeapRef::NONE.0 as u64,
};

impl RequestValues {
    /// A request about nobody: its principal, action and resource are missing entities, its context
    /// has no attributes. It can be interpreted, but not evaluated natively.
    pub fn unbound(interner: &Interner) -> Self {
        Self {
            identity: interner.identity(),
            principal: NOBODY,
            action: NOBODY,
            resource: NOBODY,
            context: NO_CONTEXT,
            local: LocalPart::default(),
        }
    }

    /// Binds a request of cedar-policy.
    ///
    /// # Errors
    /// When a part of the request is unknown, or a value cannot be represented.
    pub fn new(
        request: &Request,
        interner: &Interner,
        store: &Store,
    ) -> Result<Self, RequestError> {
        let mut values = Self::unbound(interner);
        values.read(request, interner, store)?;
        Ok(values)
    }

    /// Becomes [`unbound`](Self::unbound) in terms of this interner, and keeps the memory.
    #[inline]
    pub(crate) fn clear(&mut self, interner: &Interner) {
        self.local.clear();
        self.identity = interner.identity();
        [self.principal, self.action, self.resource] = [NOBODY; 3];
        self.context = NO_CONTEXT;
    }

    /// Takes over a request of cedar-policy, after [`clear`](Self::clear).
    ///
    /// # Errors
    /// As [`new`](Self::new). What is here then is to be cleared again.
    pub(crate) fn read(
        &mut self,
        request: &Request,
        interner: &Interner,
        store: &Store,
    ) -> Result<(), RequestError> {
        let part = |uid: Option<_>, part| uid.ok_or(RequestError::Unknown(part));
        let principal = part(request.principal(), RequestPart::Principal)?;
        let action = part(request.action(), RequestPart::Action)?;
        let resource = part(request.resource(), RequestPart::Resource)?;
        let context = context_value(request)?;
        let mut sink = self.sink(interner, store);
        let uids = [sink.uid(principal)?, sink.uid(action)?, sink.uid(resource)?];
        let context = match context {
            Some(context) => intern_value(&mut sink, &context)?,
            None => store.empty_record().value(Tag::Record),
        };
        self.set(uids, context);
        Ok(())
    }

    /// Where the values of this request go.
    pub(crate) fn sink<'a>(
        &'a mut self,
        interner: &'a Interner,
        store: &'a Store,
    ) -> RequestSink<'a> {
        RequestSink {
            interner,
            store,
            local: &mut self.local,
        }
    }

    /// Sets principal, action, resource and context, when everything is interned.
    pub(crate) fn set(&mut self, uids: [EntityId; 3], context: Value) {
        if let Some(local) = self.local.get_mut() {
            local.add_headers();
        }
        [self.principal, self.action, self.resource] = uids;
        self.context = context;
    }

    /// Lays entities over those of the store, when everything they mention is interned.
    pub(crate) fn lay_over(&mut self, overlay: Overlay) {
        let local = self.local.make();
        local.add_headers();
        local.overlay = Some(Box::new(overlay));
    }

    /// The entities that are laid over those of the store.
    #[inline]
    pub(crate) fn overlay(&self) -> Option<&Overlay> {
        self.local.get()?.overlay.as_deref()
    }

    /// Exchanges the principal for an entity that the interner knows.
    pub(crate) fn set_principal(&mut self, principal: EntityId) {
        self.principal = principal;
    }

    /// Exchanges the resource for an entity that the interner knows.
    pub(crate) fn set_resource(&mut self, resource: EntityId) {
        self.resource = resource;
    }

    /// What the request brings along for compiled code.
    #[inline]
    pub(crate) fn brought(&self) -> Option<LocalParts<'_>> {
        let local = self.local.get()?;
        let brings = !local.headers.is_empty() || !local.heap.is_empty();
        brings.then_some(LocalParts {
            headers: &local.headers,
            heap: &local.heap,
        })
    }

    #[inline]
    fn local_parts(&self) -> &Local {
        match self.local.get() {
            Some(local) => local,
            None => Local::none(),
        }
    }

    /// Which interner the ids that are not local belong to.
    pub fn identity(&self) -> InternerIdentity {
        self.identity
    }

    /// The principal, local if the interner does not know it.
    #[inline]
    pub fn principal(&self) -> EntityId {
        self.principal
    }

    /// The action, local if the interner does not know it.
    #[inline]
    pub fn action(&self) -> EntityId {
        self.action
    }

    /// The resource, local if the interner does not know it.
    #[inline]
    pub fn resource(&self) -> EntityId {
        self.resource
    }

    /// What the request is about.
    pub(crate) fn about<'a>(&'a self, store: &'a Store) -> About<'a> {
        About {
            principal: self.header(self.principal, store),
            action: self.action,
            resource: self.header(self.resource, store),
        }
    }

    /// The header of an entity of the store or of the request, overlays aside; that of a missing one
    /// for an id that nobody gave out.
    #[inline]
    pub(crate) fn header<'a>(&'a self, entity: EntityId, store: &'a Store) -> &'a EntityHeader {
        match entity.is_local() {
            true => (self.local_headers().get(entity.local_index())).unwrap_or(&MISSING_ENTITY),
            false => store.header(entity),
        }
    }

    /// The context, a record.
    #[inline]
    pub fn context(&self) -> Value {
        self.context
    }

    /// The strings and uids that the interner does not know.
    pub fn local(&self) -> &LocalInterner {
        &self.local_parts().names
    }

    /// The heap of the context's values.
    #[inline]
    pub fn heap(&self) -> &Heap {
        &self.local_parts().heap
    }

    /// The shapes that the store does not know.
    ///
    /// The shape at index `i` here is `ShapeId::local(i)` in values.
    pub fn shapes(&self) -> &ShapeTable {
        &self.local_parts().shapes
    }

    /// The headers of the local entities, none of which exist, by their local index.
    #[inline]
    pub fn local_headers(&self) -> &HeaderTable {
        &self.local_parts().headers
    }
}

/// The context as one value; `None` if it is empty.
///
/// Evaluating the expression `context` is the one way of cedar-policy's public API that gives the
/// whole record, exactly and with one conversion.
fn context_value(request: &Request) -> Result<Option<EvalResult>, RequestError> {
    static CONTEXT: LazyLock<Option<Expression>> = LazyLock::new(|| "context".parse().ok());
    static NO_ENTITIES: LazyLock<Entities> = LazyLock::new(Entities::empty);
    static EMPTY: LazyLock<Context> = LazyLock::new(Context::empty);

    let unreadable = || RequestError::Unknown(RequestPart::Context);
    let context = request.context().ok_or_else(unreadable)?;
    // Most are empty, which is known without evaluating anything.
    if context == &*EMPTY {
        return Ok(None);
    }
    let expression = CONTEXT.as_ref().ok_or_else(unreadable)?;
    eval_expression(request, &NO_ENTITIES, expression)
        .map(Some)
        .map_err(|error| Box::new(error).into())
}
