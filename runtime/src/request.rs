//! A request in terms of interned ids.
//!
//! Requests are untrusted and never grow the interner. What a request mentions and the interner
//! lacks gets an id that is local to its [`RequestValues`], in tables of its own.

use crate::store::{Store, missing};
use crate::values::{RequestSink, ValueError, ValueSink, intern_value};
use cedar_policy::{
    Context, ContextJsonError, Entities, EntityUid, EvalResult, EvaluationError, Expression,
    ParseErrors, Request, RequestValidationError, Schema, eval_expression,
};
use cedarjit_frontend::limits::{LimitError, check_context, check_uid};
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::{Heap, HeapRef, Space};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::{CapacityError, Interner, InternerIdentity, LocalInterner};
use cedarjit_ir::shape::ShapeTable;
use cedarjit_ir::value::{Tag, Value};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

#[cfg(test)]
mod tests;

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestPart {
    /// The principal.
    Principal,
    /// The action.
    Action,
    /// The resource.
    Resource,
    /// The context.
    Context,
}

impl fmt::Display for RequestPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestPart::Principal => "principal",
            RequestPart::Action => "action",
            RequestPart::Resource => "resource",
            RequestPart::Context => "context",
        })
    }
}

/// A request could not be understood, or does not fit the schema.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A principal, action or resource is not written as an entity uid.
    #[error("the {part} `{text}` is not an entity uid: {error}")]
    Uid {
        /// Which one.
        part: RequestPart,
        /// What it is.
        text: String,
        /// What cedar-policy says to it.
        error: Box<ParseErrors>,
    },
    /// The context's JSON is not a context, or not one for the action.
    #[error("the context is not valid: {0}")]
    Context(#[from] Box<ContextJsonError>),
    /// The request does not fit the schema.
    #[error("the request does not fit the schema: {0}")]
    Validation(#[from] Box<RequestValidationError>),
    /// A part is unknown, which only cedar-policy's partial evaluation has.
    #[error("the {0} is unknown, and partial evaluation is not supported")]
    Unknown(RequestPart),
    /// cedar-policy did not give the context's value.
    #[error("the context cannot be read: {0}")]
    ContextValue(#[from] Box<EvaluationError>),
    /// The context has a value that is not supported.
    #[error("the context has an unsupported value: {0}")]
    Value(#[from] ValueError),
    /// The request mentions too many different things.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// A uid or the context exceeds a limit.
    #[error("the {part} exceeds a limit: {error}")]
    Limit {
        /// Which part of the request.
        part: RequestPart,
        /// Which limit.
        error: LimitError,
    },
}

/// Reads a request as cedar-policy does.
///
/// The uids are in Cedar's own form, `Type::"id"`; the context is a JSON object with Cedar's
/// `__entity` and `__extn` escapes. With a schema, the context is read by the declared types of
/// the action's context, and escapes may be left out where the schema says what is meant;
/// `validate` decides whether the request must fit the schema. A borrowed context is copied, once it
/// is known to be within the limits.
///
/// # Errors
/// Whatever cedar-policy has to complain about, and when a part exceeds a limit.
pub fn parse_request(
    principal: &str,
    action: &str,
    resource: &str,
    context: Cow<'_, serde_json::Value>,
    schema: Option<&Schema>,
    validate: bool,
) -> Result<Request, RequestError> {
    let principal = parse_uid(RequestPart::Principal, principal)?;
    let action = parse_uid(RequestPart::Action, action)?;
    let resource = parse_uid(RequestPart::Resource, resource)?;
    check_context(&context).map_err(|error| limit(RequestPart::Context, error))?;
    let context = Context::from_json_value(context.into_owned(), schema.map(|s| (s, &action)))
        .map_err(Box::new)?;
    let schema = schema.filter(|_| validate);
    Request::new(principal, action, resource, context, schema)
        .map_err(|error| Box::new(error).into())
}

fn limit(part: RequestPart, error: LimitError) -> RequestError {
    RequestError::Limit { part, error }
}

fn parse_uid(part: RequestPart, text: &str) -> Result<EntityUid, RequestError> {
    check_uid(text).map_err(|error| limit(part, error))?;
    EntityUid::from_str(text).map_err(|error| RequestError::Uid {
        part,
        text: text.into(),
        error: Box::new(error),
    })
}

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
    local: Option<Box<Local>>,
    identity: InternerIdentity,
}

/// What one request brings along that its snapshot does not know.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) names: LocalInterner,
    pub(crate) heap: Heap,
    pub(crate) shapes: ShapeTable,
    headers: Vec<EntityHeader>,
}

impl Local {
    pub(crate) fn new() -> Self {
        Self {
            names: LocalInterner::default(),
            heap: Heap::new(Space::Request),
            shapes: ShapeTable::new(),
            headers: Vec::new(),
        }
    }

    /// Makes the headers of the local entities; to be called when all are interned.
    fn add_headers(&mut self) {
        let types = self.names.entities().iter();
        let untyped = planted(Fault::LocalEntityUntyped);
        self.headers = types
            .map(|(ty, _)| missing(if untyped { 0 } else { ty.0 }))
            .collect();
    }

    /// For requests that bring nothing.
    fn none() -> &'static Self {
        static NONE: LazyLock<Local> = LazyLock::new(Local::new);
        &NONE
    }
}

/// An id that no request gives out, for a request about nobody.
const NOBODY: EntityId = EntityId(u32::MAX);

impl RequestValues {
    /// A request about nobody: its principal, action and resource are missing entities, its context
    /// has no attributes. It can be interpreted, but not evaluated natively.
    pub fn unbound(interner: &Interner) -> Self {
        Self {
            identity: interner.identity(),
            principal: NOBODY,
            action: NOBODY,
            resource: NOBODY,
            context: HeapRef::NONE.value(Tag::Record),
            local: None,
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
        let part = |uid: Option<&EntityUid>, part| uid.cloned().ok_or(RequestError::Unknown(part));
        let principal = part(request.principal(), RequestPart::Principal)?;
        let action = part(request.action(), RequestPart::Action)?;
        let resource = part(request.resource(), RequestPart::Resource)?;
        let context = context_value(request)?;
        let mut local = None;
        let mut sink = RequestSink {
            interner,
            store,
            local: &mut local,
        };
        let (principal, action, resource) = (
            sink.uid(&principal)?,
            sink.uid(&action)?,
            sink.uid(&resource)?,
        );
        let context = intern_value(&mut sink, &context)?;
        if let Some(local) = &mut local {
            local.add_headers();
        }
        Ok(Self {
            principal,
            action,
            resource,
            context,
            local,
            identity: interner.identity(),
        })
    }

    #[inline]
    fn local_parts(&self) -> &Local {
        match &self.local {
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
    pub fn local_headers(&self) -> &[EntityHeader] {
        &self.local_parts().headers
    }
}

/// The context as one value.
///
/// Evaluating the expression `context` is the one way of cedar-policy's public API that gives the
/// whole record, exactly and with one conversion.
fn context_value(request: &Request) -> Result<EvalResult, RequestError> {
    static CONTEXT: LazyLock<Option<Expression>> = LazyLock::new(|| "context".parse().ok());
    static NO_ENTITIES: LazyLock<Entities> = LazyLock::new(Entities::empty);

    if request.context().is_none() {
        return Err(RequestError::Unknown(RequestPart::Context));
    }
    let unreadable = || RequestError::Unknown(RequestPart::Context);
    let expression = CONTEXT.as_ref().ok_or_else(unreadable)?;
    eval_expression(request, &NO_ENTITIES, expression).map_err(|error| Box::new(error).into())
}
