//! Requests: from the command line, or from JSON as `--request-json` has it.

use std::borrow::Cow;
use std::path::Path;

use cedar_policy::{Request, Schema};
use cedar_policy_cli::RequestArgs;
use cedarjit::request::{RequestError, parse_request};
use miette::{Diagnostic, IntoDiagnostic, Result, WrapErr};
use serde::Deserialize;
use serde_json::Value;

use crate::load;

/// Who wants to do what, in Cedar's syntax of entity uids.
#[derive(Debug, Clone)]
pub(crate) struct Uids {
    pub(crate) principal: String,
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// Why a request is invalid. The text fits on one line and names the place.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(crate) enum RequestProblem {
    #[error("the request is not UTF-8: invalid byte at column {column}")]
    NotUtf8 { column: usize },
    #[error("the request is not JSON of the expected form: {0}")]
    Json(serde_json::Error),
    #[error("the request has no {0}")]
    #[diagnostic(help("all of `principal`, `action` and `resource` must be given"))]
    Missing(&'static str),
    // The causes are in the text: as sources they would be reported twice.
    #[error("{}", chain(_0))]
    Refused(RequestError),
}

impl From<RequestError> for RequestProblem {
    fn from(error: RequestError) -> Self {
        Self::Refused(error)
    }
}

/// An error with all its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let deeper = error.to_string();
        if !text.ends_with(&deeper) {
            text.push_str(": ");
            text.push_str(&deeper);
        }
        cause = error.source();
    }
    text
}

/// The JSON form. Other keys are ignored.
#[derive(Deserialize)]
struct RequestJson {
    #[serde(default)]
    principal: Option<String>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    resource: Option<String>,
    context: Value,
}

/// Reads a request from JSON text.
pub(crate) fn from_json(text: &[u8]) -> Result<(Uids, Value), RequestProblem> {
    let text = std::str::from_utf8(text).map_err(|e| RequestProblem::NotUtf8 {
        column: e.valid_up_to() + 1,
    })?;
    let json: RequestJson = serde_json::from_str(text).map_err(RequestProblem::Json)?;
    let uids = Uids {
        principal: json.principal.ok_or(RequestProblem::Missing("principal"))?,
        action: json.action.ok_or(RequestProblem::Missing("action"))?,
        resource: json.resource.ok_or(RequestProblem::Missing("resource"))?,
    };
    Ok((uids, json.context))
}

/// Makes cedar-policy's request. The context is read with the schema; the request is validated
/// against it if `validate` is set. Takes the context by value: the engine that this is for should
/// not be charged for a copy.
pub(crate) fn to_cedar(
    uids: &Uids,
    context: Value,
    schema: Option<&Schema>,
    validate: bool,
) -> Result<Request, RequestProblem> {
    let (principal, action, resource) = (&uids.principal, &uids.action, &uids.resource);
    let context = Cow::Owned(context);
    let request = parse_request(principal, action, resource, context, schema, validate)?;
    Ok(request)
}

/// The request that the flags of `authorize` describe.
pub(crate) fn from_args(args: &RequestArgs, schema: Option<&Schema>) -> Result<Request> {
    let (uids, context) = match &args.request_json_file {
        Some(file) => {
            let (text, _) = load::read_text(Some(Path::new(file)), "request-json")?;
            from_json(text.as_bytes())
                .wrap_err_with(|| format!("failed to parse request-json file {file}"))?
        }
        None => (uids_from_args(args)?, context_from_args(args)?),
    };
    Ok(to_cedar(&uids, context, schema, args.request_validation)?)
}

fn uids_from_args(args: &RequestArgs) -> Result<Uids, RequestProblem> {
    let given = |role, text: &Option<String>| text.clone().ok_or(RequestProblem::Missing(role));
    Ok(Uids {
        principal: given("principal", &args.principal)?,
        action: given("action", &args.action)?,
        resource: given("resource", &args.resource)?,
    })
}

fn context_from_args(args: &RequestArgs) -> Result<Value> {
    let Some(file) = &args.context_json_file else {
        return Ok(Value::Object(serde_json::Map::new()));
    };
    let (text, origin) = load::read_text(Some(Path::new(file)), "context")?;
    serde_json::from_str(&text)
        .into_diagnostic()
        .wrap_err_with(|| format!("failed to parse context file {origin}"))
}
