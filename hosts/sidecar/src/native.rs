//! The native API: cedar-policy's own requests and responses in JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::api::{self, Answer, ApiError, field};
use crate::state::{Decided, Question, State};
use crate::strict;
use crate::uid::uid_text;

/// A request in the texts that the engine takes.
pub(crate) struct Call {
    principal: String,
    action: String,
    resource: String,
    context: Option<String>,
}

impl Call {
    /// Reads a request as cedar-policy's interfaces take it. Other fields are ignored.
    pub(crate) fn read(call: &Value) -> Result<Self, ApiError> {
        Ok(Self {
            principal: uid(call, "principal")?,
            action: uid(call, "action")?,
            resource: uid(call, "resource")?,
            context: match call.get("context") {
                None => None,
                Some(context @ Value::Object(_)) => Some(context.to_string()),
                Some(_) => return Err(field("context", "must be an object")),
            },
        })
    }

    pub(crate) fn question(&self) -> Question<'_> {
        Question {
            principal: &self.principal,
            action: &self.action,
            resource: &self.resource,
            context: self.context.as_deref().unwrap_or("{}"),
        }
    }
}

/// An entity: as text in Cedar's syntax, as `{"type", "id"}`, or that as `__entity`.
fn uid(call: &Value, name: &'static str) -> Result<String, ApiError> {
    let value = call.get(name).ok_or_else(|| field(name, "is missing"))?;
    if let Value::String(text) = value {
        return Ok(text.clone());
    }
    let parts = value.get("__entity").unwrap_or(value);
    let part = |part| parts.get(part).and_then(Value::as_str);
    match (part("type"), part("id")) {
        (Some(ty), Some(id)) => {
            uid_text(ty, id).map_err(|error| ApiError::Type { field: name, error })
        }
        _ => Err(field(
            name,
            "must be a string, `Type::\"id\"`, or an object with the strings `type` and `id`",
        )),
    }
}

/// The answer, as cedar-policy's interfaces give it.
#[derive(Serialize)]
struct Response<'a> {
    decision: &'static str,
    diagnostics: Diagnostics<'a>,
}

#[derive(Serialize)]
struct Diagnostics<'a> {
    reason: &'a [String],
    errors: Vec<PolicyError<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyError<'a> {
    policy_id: &'a str,
    error: DetailedError<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailedError<'a> {
    message: &'a str,
    help: Option<&'a str>,
    code: Option<&'a str>,
    url: Option<&'a str>,
    severity: Option<&'a str>,
    source_locations: [(); 0],
    related: [(); 0],
}

impl<'a> From<&'a Decided> for Response<'a> {
    fn from(decided: &'a Decided) -> Self {
        let errors = decided.errors.iter().map(|(policy, message)| PolicyError {
            policy_id: policy,
            error: DetailedError {
                message,
                help: None,
                code: None,
                url: None,
                severity: None,
                source_locations: [],
                related: [],
            },
        });
        Self {
            decision: decided.word(),
            diagnostics: Diagnostics {
                reason: &decided.reasons,
                errors: errors.collect(),
            },
        }
    }
}

/// `POST /v1/is_authorized`: one request, one response.
pub(crate) async fn is_authorized(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = api::json_body(&headers, body, &state.config().limits).await?;
    let call = Call::read(&strict::from_slice(&body).map_err(ApiError::Json)?)?;
    let decided = state.decide(call.question())?;
    Ok(api::json(StatusCode::OK, &Response::from(&decided)))
}

/// The answer to one request of many.
#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Response(Response<'a>),
    Error { error: String },
}

/// `POST /v1/is_authorized_batch`: `{"requests": [...]}`, answered by `{"responses": [...]}`, all of
/// them by one engine. Where a request has no response, there is its error.
pub(crate) async fn is_authorized_batch(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    #[derive(Serialize)]
    struct Batch<'a> {
        responses: Vec<Item<'a>>,
    }
    let body = api::json_body(&headers, body, &state.config().limits).await?;
    let body = strict::from_slice(&body).map_err(ApiError::Json)?;
    let Some(Value::Array(requests)) = body.get("requests") else {
        return Err(field("requests", "must be an array"));
    };
    let (asked, limit) = (requests.len(), state.config().limits.batch);
    if asked > limit {
        return Err(ApiError::Batch { asked, limit });
    }
    let loaded = state.current();
    let decide = |request| -> Result<Decided, ApiError> {
        let call = Call::read(request)?;
        Ok(state.decide_on(&loaded, call.question())?)
    };
    let decided: Vec<_> = requests.iter().map(decide).collect();
    let responses = decided.iter().map(|decided| match decided {
        Ok(decided) => Item::Response(decided.into()),
        Err(error) => Item::Error {
            error: error.to_string(),
        },
    });
    let responses = responses.collect();
    Ok(api::json(StatusCode::OK, &Batch { responses }))
}
