//! Envoy's external authorization, version 3, over gRPC, and gRPC's health service.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract;
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{
    Authorization, AuthorizationServer,
};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value};
use envoy_types::pb::google::rpc;
use tonic::codegen::BoxStream;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{Gateway, PeerFrom, Verdict};
use crate::api::ApiError;
use crate::config::Limits;
use crate::mapping::Refusal;
use crate::mapping::source::{Check, Found, PeerPart, Told};
use crate::state::State;

/// The service's name, under which its health is asked for as well.
const SERVICE: &str = "envoy.service.auth.v3.Authorization";

/// Under this name the filter that verifies tokens tells of their claims.
const JWT: &str = "envoy.filters.http.jwt_authn";

/// The service that Envoy asks.
pub(super) fn router(state: &Arc<State>) -> Router<Arc<State>> {
    let limits = &state.config().limits;
    let service = AuthorizationServer::new(Checks(Arc::clone(state)))
        .max_decoding_message_size(limits.body_bytes);
    timed(limits, &format!("/{SERVICE}/{{method}}"), service)
}

/// gRPC's health service.
pub(super) fn health(state: &Arc<State>) -> Router<Arc<State>> {
    let limits = &state.config().limits;
    let service =
        HealthServer::new(Checks(Arc::clone(state))).max_decoding_message_size(limits.body_bytes);
    timed(limits, "/grpc.health.v1.Health/{method}", service)
}

fn timed<S>(limits: &Limits, path: &str, service: S) -> Router<Arc<State>>
where
    S: tower_service::Service<
            extract::Request,
            Response = axum::http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let time = limits.body_time;
    Router::new()
        .route_service(path, service)
        .layer(middleware::from_fn_with_state(time, in_time))
}

/// Bounds how long a message may take to come: nothing else here waits.
async fn in_time(
    extract::State(time): extract::State<Duration>,
    request: extract::Request,
    next: Next,
) -> axum::response::Response {
    match tokio::time::timeout(time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Slow.into_response(),
    }
}

struct Checks(Arc<State>);

#[tonic::async_trait]
impl Authorization for Checks {
    /// Answers every message that is one with a decision, so that what becomes of a request does not
    /// depend on what Envoy does about errors.
    async fn check(
        &self,
        request: Request<CheckRequest>,
    ) -> Result<Response<CheckResponse>, Status> {
        let Some(gateway) = &self.0.config().gateway else {
            return Err(Status::unimplemented("no gateway is configured"));
        };
        let attributes = request.into_inner().attributes.unwrap_or_default();
        let verdict = judge(&self.0, gateway, &attributes);
        Ok(Response::new(answer(gateway, &verdict)))
    }
}

#[tonic::async_trait]
impl Health for Checks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !service.is_empty() && service != SERVICE {
            return Err(Status::not_found("there is no such service"));
        }
        let status = match self.0.is_ready() {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        let status = status.into();
        Ok(Response::new(HealthCheckResponse { status }))
    }

    type WatchStream = BoxStream<HealthCheckResponse>;

    async fn watch(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("ask with Check"))
    }
}

fn judge(state: &State, gateway: &Gateway, attributes: &AttributeContext) -> Verdict {
    let http = attributes
        .request
        .as_ref()
        .and_then(|request| request.http.as_ref());
    let (Some(http), Some(envoy)) = (http, &gateway.envoy) else {
        return gateway.refuse(state, &Refusal::Untold("which HTTP request it is"));
    };
    let told = Attributes {
        attributes,
        http,
        peer: gateway.peer,
        jwt_payload: &envoy.jwt_payload,
    };
    let check = Check {
        method: &http.method,
        target: &http.path,
        host: Some(http.host.as_str()).filter(|host| !host.is_empty()),
        told: &told,
    };
    gateway.judge(state, check)
}

fn answer(gateway: &Gateway, verdict: &Verdict) -> CheckResponse {
    let headers = gateway.headers(verdict).into_iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        HeaderValueOption {
            header: Some(HeaderValue {
                key: name.as_str().to_owned(),
                value,
                ..HeaderValue::default()
            }),
            // In place of what a client sent under that name.
            append_action: OVERWRITE,
            ..HeaderValueOption::default()
        }
    });
    let headers = headers.collect();
    let (code, http) = match verdict.allowed {
        true => {
            let answer = OkHttpResponse {
                headers,
                ..OkHttpResponse::default()
            };
            (Code::Ok, HttpResponse::OkResponse(answer))
        }
        false => {
            let code = verdict.status.as_u16().into();
            let answer = DeniedHttpResponse {
                status: Some(HttpStatus { code }),
                headers,
                body: gateway.denied.body.clone(),
            };
            (Code::PermissionDenied, HttpResponse::DeniedResponse(answer))
        }
    };
    let metadata = gateway.envoy.as_ref().is_some_and(|envoy| envoy.metadata);
    CheckResponse {
        status: Some(rpc::Status {
            code: code.into(),
            ..rpc::Status::default()
        }),
        dynamic_metadata: metadata.then(|| metadata_of(verdict)),
        http_response: Some(http),
    }
}

/// `OVERWRITE_IF_EXISTS_OR_ADD`.
const OVERWRITE: i32 = 2;

/// The decision as Envoy's filters and logs can use it.
fn metadata_of(verdict: &Verdict) -> Struct {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let list = |texts: &[String]| {
        let values = texts.iter().map(|one| text(one)).collect();
        Value {
            kind: Some(Kind::ListValue(ListValue { values })),
        }
    };
    let decision = match verdict.allowed {
        true => "allow",
        false => "deny",
    };
    let mut fields = vec![
        ("decision", text(decision)),
        ("reasons", list(&verdict.reasons)),
        ("errors", list(&verdict.errors)),
    ];
    if let Some(refused) = &verdict.refused {
        fields.push(("refused", text(refused)));
    }
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Struct {
        fields: fields.collect(),
    }
}

/// What Envoy tells of a request.
struct Attributes<'a> {
    attributes: &'a AttributeContext,
    http: &'a HttpRequest,
    peer: PeerFrom,
    jwt_payload: &'a str,
}

impl Told for Attributes<'_> {
    fn header(&self, name: &str) -> Vec<Cow<'_, str>> {
        let Some(raw) = &self.http.header_map else {
            // Envoy has put those of one name together.
            return self
                .http
                .headers
                .get(name)
                .map(|v| v.as_str().into())
                .into_iter()
                .collect();
        };
        let named = raw
            .headers
            .iter()
            .filter(|header| header.key.eq_ignore_ascii_case(name));
        let value = |header: &HeaderValue| match header.raw_value.is_empty() {
            true => header.value.clone(),
            false => String::from_utf8_lossy(&header.raw_value).into_owned(),
        };
        named.map(|header| value(header).into()).collect()
    }

    fn claim(&self, path: &[String]) -> Option<Found<'_>> {
        let metadata = self.attributes.metadata_context.as_ref()?;
        let tokens = metadata.filter_metadata.get(JWT)?;
        let payload = tokens.fields.get(self.jwt_payload)?;
        match payload.kind.as_ref()? {
            Kind::StructValue(claims) => claim(claims, path),
            _ => None,
        }
    }

    fn peer(&self, part: PeerPart) -> Option<Cow<'_, str>> {
        if self.peer == PeerFrom::Header {
            let headers = self.header("x-forwarded-client-cert");
            return self.peer.in_headers(&headers, part).map(Cow::Owned);
        }
        let identity = self.attributes.source.as_ref()?.principal.as_str();
        let fits = match part {
            PeerPart::Identity => true,
            PeerPart::Uri => identity.contains("://"),
            PeerPart::Dns | PeerPart::Subject => false,
        };
        fits.then_some(identity.into())
    }
}

/// A claim: `a.b` is the claim of that name, or else `b` in `a`.
fn claim<'a>(claims: &'a Struct, path: &[String]) -> Option<Found<'a>> {
    for n in (1..=path.len()).rev() {
        let (name, rest) = path.split_at(n);
        let Some(value) = claims.fields.get(&name.join(".")) else {
            continue;
        };
        return match (value.kind.as_ref()?, rest) {
            (Kind::NullValue(_), []) => None,
            (Kind::StringValue(text), []) => Some(Found::Text(text.into())),
            (Kind::NumberValue(number), []) => Some(Found::Number(*number)),
            (Kind::BoolValue(value), []) => Some(Found::Bool(*value)),
            (Kind::ListValue(list), []) => Some(texts(list)),
            (Kind::StructValue(_), []) => Some(Found::Other),
            (Kind::StructValue(claims), rest) => claim(claims, rest),
            _ => None,
        };
    }
    None
}

fn texts(list: &ListValue) -> Found<'_> {
    let text = |value: &Value| match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    };
    match list.values.iter().map(text).collect() {
        Some(texts) => Found::Texts(texts),
        None => Found::Other,
    }
}
