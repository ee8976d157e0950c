//! The admin API: what is loaded, and loading it anew. There is none without tokens for it.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::extract;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde_json::json;

use crate::api::{self, Answer};
use crate::reload::reload;
use crate::state::State;

/// The endpoints.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/admin/v1/state", get(state))
        .route("/admin/v1/reload", post(reload_now))
}

/// `GET /admin/v1/state`: what is loaded, and why newer files are not.
async fn state(extract::State(state): extract::State<Arc<State>>) -> Answer {
    Ok(api::json(StatusCode::OK, &describe(&state)))
}

/// `POST /admin/v1/reload`: loads everything anew; 409 if the last good state had to stay.
async fn reload_now(extract::State(state): extract::State<Arc<State>>) -> Answer {
    let status = match reload(&state).await {
        true => StatusCode::OK,
        false => StatusCode::CONFLICT,
    };
    Ok(api::json(status, &describe(&state)))
}

fn describe(state: &State) -> serde_json::Value {
    let loaded = state.current();
    let snapshot = loaded.engine().snapshot();
    let stats = snapshot.stats();
    let since = loaded
        .since()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    json!({
        "generation": loaded.generation(),
        "loaded_at": since.as_secs(),
        "policies": stats.policies,
        "entities": stats.entities,
        "schema": snapshot.schema().is_some(),
        "tier": snapshot.tier().to_string(),
        "memory_bytes": snapshot.memory().total().used,
        "reload_error": state.reload_error(),
        "credentials_error": state.credentials_error(),
    })
}
