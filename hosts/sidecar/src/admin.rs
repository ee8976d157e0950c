//! The admin API: what is loaded, loading it anew, and changing it. There is none without tokens for
//! it.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Router;
use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use crate::api::{self, Answer, ApiError};
use crate::changes::Change;
use crate::explain;
use crate::journal::Journal;
use crate::reload::reload;
use crate::state::State;
use crate::strict;

/// The endpoints.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/admin/v1/state", get(state))
        .route("/admin/v1/reload", post(reload_now))
        .route("/admin/v1/changes", get(changes).post(change))
        .route("/admin/v1/policies", get(explain::policies))
        .route("/admin/v1/explain", post(explain::explain))
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

/// What `POST /admin/v1/changes` takes.
#[derive(Deserialize)]
struct Changes {
    changes: Vec<Change>,
}

/// `POST /admin/v1/changes`: makes changes, all or none; they are kept when it answers.
async fn change(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let limits = &state.config().limits;
    let body = api::json_body(&headers, body, limits).await?;
    let body = strict::from_slice(&body).map_err(ApiError::Json)?;
    let Changes { changes } = serde_json::from_value(body).map_err(ApiError::Json)?;
    let (asked, limit) = (changes.len(), limits.batch);
    if asked > limit {
        return Err(ApiError::Batch { asked, limit });
    }
    if state.journal().is_none() {
        return Err(ApiError::NoJournal);
    }
    // Who loads anew reads the journal, and must not miss this, even if the client is gone meanwhile.
    let turn = state.reload_turn().await;
    let changing = Arc::clone(&state);
    let change = move || {
        let made = changing.change(&changes);
        drop(turn);
        made
    };
    let made = tokio::task::spawn_blocking(change).await;
    made.map_err(|_| ApiError::Ended)??;
    Ok(api::json(StatusCode::OK, &json!({ "made": asked })))
}

/// `GET /admin/v1/changes`: the changes that are kept, in their order.
async fn changes(extract::State(state): extract::State<Arc<State>>) -> Answer {
    let reading = Arc::clone(&state);
    let read = move || reading.journal().map(Journal::changes).transpose();
    let read = tokio::task::spawn_blocking(read).await;
    let changes = read.map_err(|_| ApiError::Ended)??.unwrap_or_default();
    Ok(api::json(StatusCode::OK, &json!({ "changes": changes })))
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
        "native_bodies": stats.native_shapes,
        "bodies": stats.shapes,
        "changes": state.journal().map(|journal| journal.path().display().to_string()),
        "checked": stats.self_check.map(|check| json!({
            "decisions": check.checked,
            "dropped": check.dropped,
            "differences": check.differences,
            "interpreted_policies": check.interpreted_policies,
        })),
        "reload_error": state.reload_error(),
        "credentials_error": state.credentials_error(),
    })
}
