//! A request in terms of interned ids.
//!
//! Requests are untrusted and never grow the interner. What a request mentions and the interner
//! lacks gets an id that is local to its [`RequestValues`], in tables of its own.

pub(crate) mod context;
mod plain;
mod remembered;
mod rules;
mod uid;
mod values;

pub(crate) use plain::{ContextJson, Ground, Work, bind_plain, is_plain_context};
pub(crate) use rules::{Applicable, RequestRules};
pub use uid::{EntityHandle, Uid};
pub(crate) use uid::{cedar_uid, is_plain_name, split_plain, uid_of_names};
pub use values::RequestValues;
pub(crate) use values::{Local, LocalPart};

use crate::values::ValueError;
use cedar_policy::{
    Context, ContextJsonError, EntityUid, EvaluationError, ParseErrors, Request,
    RequestValidationError, Schema,
};
use cedarjit_frontend::limits::{LimitError, check_context, check_context_text, check_uid};
use cedarjit_ir::interner::CapacityError;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

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
    /// None of these: an entity that is looked up.
    Entity,
}

impl fmt::Display for RequestPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RequestPart::Principal => "principal",
            RequestPart::Action => "action",
            RequestPart::Resource => "resource",
            RequestPart::Context => "context",
            RequestPart::Entity => "entity",
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
    /// A handle was not resolved by this engine, or the entities were replaced since.
    #[error("the {0} is a handle of another engine, or of entities that were replaced since")]
    Handle(RequestPart),
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
    let context = read_context(context, schema.map(|schema| (schema, &action)))?;
    make_request(principal, action, resource, context, schema, validate)
}

/// cedar-policy's request.
///
/// # Errors
/// When `validate` is set and the request does not fit the schema.
pub(crate) fn make_request(
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    context: Context,
    schema: Option<&Schema>,
    validate: bool,
) -> Result<Request, RequestError> {
    let schema = schema.filter(|_| validate);
    Request::new(principal, action, resource, context, schema)
        .map_err(|error| Box::new(error).into())
}

/// Reads a context, with a schema that of an action's request.
///
/// # Errors
/// When cedar-policy refuses it, or it exceeds a limit.
pub(crate) fn read_context(
    context: Cow<'_, serde_json::Value>,
    schema: Option<(&Schema, &EntityUid)>,
) -> Result<Context, RequestError> {
    check_context(&context).map_err(|error| limit(RequestPart::Context, error))?;
    Context::from_json_value(context.into_owned(), schema).map_err(|error| Box::new(error).into())
}

/// As [`read_context`], from text.
///
/// # Errors
/// As there.
pub(crate) fn read_context_text(
    context: &str,
    schema: Option<(&Schema, &EntityUid)>,
) -> Result<Context, RequestError> {
    check_context_text(context).map_err(|error| limit(RequestPart::Context, error))?;
    match serde_json::from_str(context) {
        Ok(json) => read_context(Cow::Owned(json), schema),
        // It is not JSON. cedar-policy finds that too, and has a word for it.
        Err(_) => Context::from_json_str(context, schema).map_err(|error| Box::new(error).into()),
    }
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
