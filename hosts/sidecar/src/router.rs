//! The endpoints.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{self, Request};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Body as _;
use tokio::sync::Semaphore;

use crate::api::{Answer, ApiError};
use crate::credentials::{Credentials, Guard};
use crate::state::State;
use crate::{admin, authzen, gateway, native, page};

/// The header that is given back as it came.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Everything that the sidecar answers.
pub fn router(state: &Arc<State>) -> Router {
    let in_work = Arc::new(Semaphore::new(state.config().limits.concurrency));
    let decisions = Router::new()
        .route("/v1/is_authorized", post(native::is_authorized))
        .route("/v1/is_authorized_batch", post(native::is_authorized_batch))
        .merge(authzen::router())
        .merge(gateway::router(state))
        // Who asks whether the sidecar lives is always answered.
        .layer(middleware::from_fn_with_state(in_work, bounded));
    let mut router = guarded(state, decisions, |credentials| &credentials.api);
    if state.config().tokens.admin.is_some() {
        router = router.merge(guarded(state, admin::router(), |c| &c.admin));
        router = router.merge(page::router());
    }
    router
        .merge(gateway::health(state))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::Method)
        .with_state(Arc::clone(state))
        .layer(middleware::from_fn_with_state(Arc::clone(state), counted))
}

/// The endpoints for those whom the guard admits.
pub(crate) fn guarded(
    state: &Arc<State>,
    endpoints: Router<Arc<State>>,
    guard: fn(&Credentials) -> &Guard,
) -> Router<Arc<State>> {
    let state = Arc::clone(state);
    endpoints.layer(middleware::from_fn(move |request: Request, next: Next| {
        let admitted = guard(&state.credentials()).admits(request.headers());
        async move {
            match admitted {
                true => next.run(request).await,
                false => ApiError::Unauthorized.into_response(),
            }
        }
    }))
}

async fn ready(extract::State(state): extract::State<Arc<State>>) -> Response {
    match state.is_ready() {
        true => "ready\n".into_response(),
        false => ApiError::Ended.into_response(),
    }
}

/// `GET /metrics`, in the form that Prometheus reads.
async fn metrics(extract::State(state): extract::State<Arc<State>>) -> Answer {
    let text = state.metrics().text(&state.current());
    let mut response = text.map_err(|_| ApiError::Metrics)?.into_response();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Refuses requests beyond those that may be in work at a time.
async fn bounded(
    extract::State(in_work): extract::State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Response {
    match in_work.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => ApiError::Busy.into_response(),
    }
}

/// Whether an answer of this status may have left the request's body unread.
fn leaves_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// Counts requests, gives `X-Request-ID` back, and says when a connection ends because a body was not
/// read.
async fn counted(
    extract::State(state): extract::State<Arc<State>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = request.headers().get(REQUEST_ID).cloned();
    let closes = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
    let mut response = match state.traces() {
        Some(traces) => traces.follow(request, next).await,
        None => next.run(request).await,
    };
    if let Some(id) = id {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let status = response.status();
    if closes && leaves_body(status) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    state.metrics().request(status.as_u16(), started.elapsed());
    response
}
