//! What gateways ask: Envoy over gRPC, and nginx, Caddy and Traefik by forward-auth.
//!
//! Both take a request that a gateway holds back, put it in Cedar's words ([`crate::mapping`]), and
//! say whether it may go on. Whatever goes wrong on the way is a denial.

mod config;
pub mod envoy;
pub mod forward_auth;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode};

pub use config::gateway;

use crate::mapping::source::{Check, PeerPart};
use crate::mapping::{Mapping, Refusal, xfcc};
use crate::state::State;

/// The table `gateway` of the configuration.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// What requests are in Cedar's words.
    pub mapping: Mapping,
    /// Who tells of the client's certificate.
    pub peer: PeerFrom,
    /// What denied clients get.
    pub denied: Denied,
    /// Whether and how Envoy is answered.
    pub envoy: Option<Envoy>,
    /// Where other gateways are answered.
    pub forward_auth: Vec<ForwardAuth>,
}

/// Who tells of the client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerFrom {
    /// Envoy, of the connection that it has with the client.
    #[default]
    Envoy,
    /// The header x-forwarded-client-cert.
    Header,
}

/// What denied clients get.
#[derive(Clone, Debug)]
pub struct Denied {
    /// The status when policies deny, or no route matches, or anything goes wrong.
    pub status: StatusCode,
    /// The status when what the principal is made of is missing.
    pub unauthenticated: StatusCode,
    /// The body.
    pub body: String,
    /// Headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the header `x-cedarjit-reason` says why, to denied clients as well.
    pub reasons: bool,
}

/// How Envoy is answered.
#[derive(Clone, Debug)]
pub struct Envoy {
    /// The name under which Envoy's filter jwt_authn puts the claims, its `payload_in_metadata`.
    pub jwt_payload: String,
    /// Whether Envoy gets the decision and its reasons as dynamic metadata.
    pub metadata: bool,
}

/// An endpoint for gateways that ask by HTTP. The names are those of headers which the gateway sets.
#[derive(Clone, Debug)]
pub struct ForwardAuth {
    /// The endpoint's path.
    pub path: String,
    /// Has the path and query of the request in question.
    pub uri: HeaderName,
    /// Has its method.
    pub method: HeaderName,
    /// Has its host.
    pub host: HeaderName,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Whether it may go on.
    pub allowed: bool,
    /// The status for the client if it may not.
    pub status: StatusCode,
    /// Why no policies were asked, if they were not.
    pub refused: Option<String>,
    /// The policies that determined the decision.
    pub reasons: Vec<String>,
    /// The policies that failed.
    pub errors: Vec<String>,
}

/// The header that says why.
const REASON: HeaderName = HeaderName::from_static("x-cedarjit-reason");

impl Gateway {
    /// Decides whether a request may go on.
    pub fn judge(&self, state: &State, check: Check<'_>) -> Verdict {
        let asked = match self.mapping.ask(check) {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse(state, &refusal),
        };
        match state.decide(asked.question()) {
            Ok(decided) => Verdict {
                allowed: decided.allowed,
                status: self.denied.status,
                refused: None,
                reasons: decided.reasons,
                errors: decided
                    .errors
                    .into_iter()
                    .map(|(policy, _)| policy)
                    .collect(),
            },
            Err(error) => self.refused(self.denied.status, error.to_string()),
        }
    }

    /// Denies a request that the policies are not asked about.
    pub fn refuse(&self, state: &State, refusal: &Refusal) -> Verdict {
        state.unasked(refusal);
        let status = match refusal {
            Refusal::Unauthenticated(_) => self.denied.unauthenticated,
            _ => self.denied.status,
        };
        self.refused(status, refusal.to_string())
    }

    fn refused(&self, status: StatusCode, why: String) -> Verdict {
        Verdict {
            allowed: false,
            status,
            refused: Some(why),
            reasons: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// The headers that go with an answer.
    fn headers(&self, verdict: &Verdict) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = match verdict.allowed {
            true => Vec::new(),
            false => self.denied.headers.clone(),
        };
        if self.denied.reasons
            && let Ok(why) = HeaderValue::from_str(&verdict.why())
        {
            headers.push((REASON, why));
        }
        headers
    }
}

impl Verdict {
    /// Why, in one line of ASCII.
    fn why(&self) -> String {
        let why = match (&self.refused, self.reasons.as_slice()) {
            (Some(why), _) => Cow::Borrowed(why),
            (None, []) => Cow::Owned("no policy permits it".to_owned()),
            (None, reasons) => Cow::Owned(reasons.join(", ")),
        };
        // A header of several KiB would make gateways refuse the answer.
        why.escape_default().take(1000).collect()
    }
}

impl PeerFrom {
    /// What the headers x-forwarded-client-cert say, if they are believed.
    fn in_headers(self, headers: &[Cow<'_, str>], part: PeerPart) -> Option<String> {
        match self {
            Self::Envoy => None,
            Self::Header => xfcc::peer(&headers.join(","), part),
        }
    }
}

/// Says whether the sidecar is well, to Envoy, as `/readyz` does to others.
pub fn health(state: &Arc<State>) -> Router<Arc<State>> {
    match &state.config().gateway {
        Some(Gateway { envoy: Some(_), .. }) => envoy::health(state),
        _ => Router::new(),
    }
}

/// The endpoints that the configuration asks for.
pub fn router(state: &Arc<State>) -> Router<Arc<State>> {
    let Some(gateway) = &state.config().gateway else {
        return Router::new();
    };
    let mut router = Router::new();
    if gateway.envoy.is_some() {
        router = router.merge(envoy::router(state));
    }
    for settings in &gateway.forward_auth {
        router = router.merge(forward_auth::router(settings.clone()));
    }
    router
}
