//! The AuthZEN Authorization API 1.0: evaluation, evaluations, searches, metadata.
//!
//! How its subjects, actions and resources become Cedar's is in [`Mapping`]; `docs/sidecar.md` says
//! it for people.

mod evaluate;
mod mapping;
mod metadata;
mod page;
mod request;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;

use crate::api::{self, Answer, ApiError};
use crate::state::State;
use crate::strict;

use request::Object;

pub use mapping::{AuthZen, Mapping};

/// The paths of the API, as the metadata names them.
mod path {
    pub(super) const EVALUATION: &str = "/access/v1/evaluation";
    pub(super) const EVALUATIONS: &str = "/access/v1/evaluations";
    pub(super) const SEARCH_SUBJECT: &str = "/access/v1/search/subject";
    pub(super) const SEARCH_RESOURCE: &str = "/access/v1/search/resource";
    pub(super) const SEARCH_ACTION: &str = "/access/v1/search/action";
    pub(super) const METADATA: &str = "/.well-known/authzen-configuration";
}

/// The endpoints.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route(path::EVALUATION, post(evaluation))
        .route(path::EVALUATIONS, post(evaluations))
        .route(path::SEARCH_SUBJECT, post(search_subject))
        .route(path::SEARCH_RESOURCE, post(search_resource))
        .route(path::SEARCH_ACTION, post(search_action))
        .route(path::METADATA, get(metadata::metadata))
}

type Shared = extract::State<Arc<State>>;

async fn evaluation(state: Shared, headers: HeaderMap, body: Body) -> Answer {
    answer(&state, &headers, body, evaluate::evaluation).await
}

async fn evaluations(state: Shared, headers: HeaderMap, body: Body) -> Answer {
    answer(&state, &headers, body, evaluate::evaluations).await
}

async fn search_subject(state: Shared, headers: HeaderMap, body: Body) -> Answer {
    long_answer(&state, &headers, body, search::subjects).await
}

async fn search_resource(state: Shared, headers: HeaderMap, body: Body) -> Answer {
    long_answer(&state, &headers, body, search::resources).await
}

async fn search_action(state: Shared, headers: HeaderMap, body: Body) -> Answer {
    long_answer(&state, &headers, body, search::actions).await
}

/// What an endpoint makes of a request.
type Endpoint = fn(&State, &Object) -> Result<Value, ApiError>;

/// Reads a request and answers it, which takes microseconds.
async fn answer(state: &State, headers: &HeaderMap, body: Body, endpoint: Endpoint) -> Answer {
    let request = read(state, headers, body).await?;
    Ok(api::json(StatusCode::OK, &endpoint(state, &request)?))
}

/// Reads a request and answers it on a thread where nobody waits for the next answer.
async fn long_answer(
    state: &Arc<State>,
    headers: &HeaderMap,
    body: Body,
    endpoint: Endpoint,
) -> Answer {
    let request = read(state, headers, body).await?;
    let turn = state.search_turn().await;
    let state = Arc::clone(state);
    let answer = tokio::task::spawn_blocking(move || {
        // Given back when the search ends, even if nobody waits for it any more.
        let _turn = turn;
        endpoint(&state, &request)
    });
    let answer = answer.await.map_err(|_| ApiError::Ended)??;
    Ok(api::json(StatusCode::OK, &answer))
}

/// Reads a request, which must be an object.
async fn read(state: &State, headers: &HeaderMap, body: Body) -> Result<Object, ApiError> {
    let body = api::json_body(headers, body, &state.config().limits).await?;
    match strict::from_slice(&body).map_err(ApiError::Json)? {
        Value::Object(request) => Ok(request),
        _ => Err(api::field("the request", "must be an object")),
    }
}
