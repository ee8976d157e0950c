//! What all endpoints have in common: reading bodies, errors, answers.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderMap, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use bytes::Bytes;
use cedarjit::RequestError;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;

use crate::changes::Refused;
use crate::config::Limits;
use crate::journal::JournalError;
use crate::uid::BadType;

/// Why a request has no answer but an error.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not said to be JSON.
    #[error("the content type must be application/json")]
    ContentType,
    /// There is no body.
    #[error("the body is empty; it must be a JSON object")]
    Empty,
    /// The body is not JSON, or not what the endpoint takes.
    #[error("the body is not a request of this endpoint: {0}")]
    Json(#[source] serde_json::Error),
    /// A part of the request has the wrong shape.
    #[error("`{field}` {what}")]
    Field {
        /// Where it is.
        field: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A type that is none.
    #[error("{field}: {error}")]
    Type {
        /// Where it is.
        field: &'static str,
        /// What is wrong with it.
        error: BadType,
    },
    /// The engine refuses the request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A message asks for too many decisions.
    #[error("{asked} decisions are asked for, the limit is {limit}")]
    Batch {
        /// How many.
        asked: usize,
        /// How many may be.
        limit: usize,
    },
    /// A change makes no sense, or what is there does not admit it.
    #[error(transparent)]
    Change(#[from] Box<Refused>),
    /// There is nothing to keep changes in.
    #[error("changes must be kept: say `changes = \"FILE\"` in the configuration")]
    NoJournal,
    /// What is kept cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The body is too large.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("the body did not come in time")]
    Slow,
    /// The connection broke while the body came.
    #[error("the body ended too soon")]
    Broken,
    /// Too many requests are in work.
    #[error("too many requests are in work; try again")]
    Busy,
    /// The sidecar ends before there is an answer.
    #[error("the sidecar is about to end")]
    Ended,
    /// No token, or a wrong one.
    #[error("this takes a token, as `Authorization: Bearer TOKEN`")]
    Unauthorized,
    /// Metrics could not be written.
    #[error("the metrics could not be written")]
    Metrics,
    /// There is no such endpoint.
    #[error("there is no such endpoint")]
    NotFound,
    /// The endpoint takes another method.
    #[error("this endpoint takes another method")]
    Method,
}

impl ApiError {
    /// The status that says it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::ContentType
            | Self::Empty
            | Self::Json(_)
            | Self::Field { .. }
            | Self::Type { .. }
            | Self::Request(_)
            | Self::Batch { .. }
            | Self::Broken => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy | Self::Ended => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Change(refused) if refused.is_unkept() => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Change(refused) if refused.is_conflict() => StatusCode::CONFLICT,
            Self::Change(_) => StatusCode::BAD_REQUEST,
            Self::NoJournal => StatusCode::CONFLICT,
            Self::Metrics | Self::Journal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl axum::response::IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Answer {
            error: String,
        }
        let error = self.to_string();
        let mut response = json(self.status(), &Answer { error });
        if matches!(self, Self::Unauthorized) {
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// Something is wrong with a field.
pub fn field(field: &str, what: &'static str) -> ApiError {
    let field = field.to_owned();
    ApiError::Field { field, what }
}

/// What an endpoint answers.
pub type Answer = Result<Response<Body>, ApiError>;

/// An answer in JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let (status, text) = match serde_json::to_vec(body) {
        Ok(text) => (status, text),
        // What we answer has text for keys and no numbers beyond JSON's.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The body of a request that must be JSON: not empty, within the limits, and in time.
///
/// # Errors
/// When it is not.
pub async fn json_body(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
) -> Result<Bytes, ApiError> {
    // What is left unread ends the connection, so it is read whatever it is.
    let bytes = read(body, limits).await?;
    if !is_json(headers) {
        return Err(ApiError::ContentType);
    }
    match bytes.iter().all(u8::is_ascii_whitespace) {
        true => Err(ApiError::Empty),
        false => Ok(bytes),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = value.and_then(|v| v.split(';').next());
    essence.is_some_and(|e| e.trim().eq_ignore_ascii_case("application/json"))
}

/// A body, within the limits and in time.
///
/// # Errors
/// When it is too large, too slow or broken.
pub async fn read(body: Body, limits: &Limits) -> Result<Bytes, ApiError> {
    let body = Limited::new(body, limits.body_bytes).collect();
    match tokio::time::timeout(limits.body_time, body).await {
        Err(_) => Err(ApiError::Slow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ApiError::TooLarge(limits.body_bytes))
        }
        Ok(Err(_)) => Err(ApiError::Broken),
    }
}
