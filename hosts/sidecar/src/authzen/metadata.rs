//! What clients are told about the decision point.

use std::sync::Arc;

use axum::extract;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::json;

use super::path;
use crate::api::{self, Answer, ApiError, field};
use crate::state::State;

/// `GET /.well-known/authzen-configuration`.
///
/// Without a configured URL it names the host that was asked, so that a client finds what it expects.
pub(super) async fn metadata(
    extract::State(state): extract::State<Arc<State>>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let base = match &state.config().authzen.base_url {
        Some(url) => url.clone(),
        None => format!("https://{}", host(&uri, &headers)?),
    };
    let url = |path| format!("{base}{path}");
    let body = json!({
        "policy_decision_point": base,
        "access_evaluation_endpoint": url(path::EVALUATION),
        "access_evaluations_endpoint": url(path::EVALUATIONS),
        "search_subject_endpoint": url(path::SEARCH_SUBJECT),
        "search_resource_endpoint": url(path::SEARCH_RESOURCE),
        "search_action_endpoint": url(path::SEARCH_ACTION),
    });
    Ok(api::json(StatusCode::OK, &body))
}

fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, ApiError> {
    let header = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|a| a.as_str()).or(header);
    // Nothing else belongs to a host's name, an address, or a port.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    host.filter(|host| !host.is_empty() && host.chars().all(plain))
        .map(str::to_owned)
        .ok_or_else(|| field("the header host", "must name the host"))
}
