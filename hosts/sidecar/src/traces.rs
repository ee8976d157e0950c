//! Traces of requests, sent to a collector by OTLP: what the feature `otlp` adds.
//!
//! A request is a span, a child of the one that its `traceparent` header names; each decision that is
//! made for it, of which a batch has many, is an event of that span. A decision never waits for a
//! collector: spans go through a queue of bounded length to a thread that sends them, and what the
//! queue does not take is dropped.

use std::num::NonZero;

use crate::config::{ProblemKind, Section};

#[cfg(not(feature = "otlp"))]
mod none;
#[cfg(feature = "otlp")]
mod otlp;

#[cfg(not(feature = "otlp"))]
pub(crate) use none::{Traces, note};
#[cfg(feature = "otlp")]
pub(crate) use otlp::{Traces, note};

/// What the sidecar is told about traces.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// Where the collector takes OTLP over gRPC.
    pub endpoint: String,
    /// The service's name in the traces.
    pub service: String,
    /// One of so many traces that begin here is kept. Whether others are, who began them says.
    pub one_in: NonZero<u32>,
}

impl TraceConfig {
    pub(crate) fn read(mut section: Section<'_>) -> Option<Self> {
        let endpoint: Option<String> = section.take("endpoint");
        let service: Option<String> = section.take("service");
        let one_in: Option<u32> = section.take("one_in");
        if one_in == Some(0) {
            let kind = ProblemKind::Invalid {
                value: "0".to_owned(),
                what: "is not above 0",
                help: "write a number above 0: one trace of so many is kept",
            };
            section.complain("one_in", kind);
        }
        let invalid = |value: &str, what, help| ProblemKind::Invalid {
            value: value.to_owned(),
            what,
            help,
        };
        let problem = match &endpoint {
            None if service.is_none() && one_in.is_none() => None,
            None => Some(ProblemKind::Missing {
                help: "say where the collector is, as in `http://127.0.0.1:4317`",
            }),
            Some(endpoint) if !is_collector(endpoint) => Some(invalid(
                endpoint,
                "is not where a collector can be",
                "write `http://HOST:PORT`, as in `http://127.0.0.1:4317`; for TLS, let a collector \
                 on this machine send on what it gets",
            )),
            Some(endpoint) if cfg!(not(feature = "otlp")) => Some(invalid(
                endpoint,
                "cannot be sent to: this program is without OTLP",
                "build it with `--features otlp`, or leave `traces` out",
            )),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            section.complain("endpoint", problem);
        }
        section.finish();
        Some(Self {
            endpoint: endpoint?,
            service: service.unwrap_or_else(|| "cedarjit".to_owned()),
            one_in: one_in.and_then(NonZero::new).unwrap_or(NonZero::<u32>::MIN),
        })
    }
}

/// Whether this is the address of a server that is spoken to in the clear.
fn is_collector(endpoint: &str) -> bool {
    let uri: Option<axum::http::Uri> = endpoint.parse().ok();
    uri.is_some_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}
