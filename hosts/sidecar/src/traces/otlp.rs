//! A program with OTLP.

use std::io;

use axum::extract::{MatchedPath, Request};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

use super::TraceConfig;
use crate::decision_log::Outcome;
use crate::log::say;

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
}

/// Headers, as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}

impl Traces {
    /// Begins to send spans, in the tokio runtime of the caller. Whether a collector is there turns
    /// out when there is something to send.
    ///
    /// # Errors
    /// When the endpoint will not do.
    pub(crate) fn open(config: &TraceConfig) -> io::Result<Self> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .build()
            .map_err(io::Error::other)?;
        let kept = Sampler::TraceIdRatioBased(1.0 / f64::from(config.one_in.get()));
        let service = Resource::builder().with_service_name(config.service.clone());
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(kept)))
            .with_resource(service.build())
            .build();
        Ok(Self {
            tracer: provider.tracer("cedarjit"),
            provider,
            propagator: TraceContextPropagator::new(),
        })
    }

    /// Answers a request, in a span of its own.
    pub(crate) async fn follow(&self, request: Request, next: Next) -> Response {
        let parent = self.propagator.extract(&Headers(request.headers()));
        let method = request.method().as_str().to_owned();
        let route = request.extensions().get::<MatchedPath>();
        // What no route matches is named by its method alone: paths are without number.
        let name = match route {
            Some(route) => format!("{method} {}", route.as_str()),
            None => method.clone(),
        };
        let mut attributes = vec![KeyValue::new("http.request.method", method)];
        attributes.extend(route.map(|r| KeyValue::new("http.route", r.as_str().to_owned())));
        let span = self.tracer.span_builder(name).with_kind(SpanKind::Server);
        let span = span.with_attributes(attributes);
        let span = self.tracer.build_with_context(span, &parent);
        let context = parent.with_span(span);
        let response = next.run(request).with_context(context.clone()).await;
        let (span, status) = (context.span(), response.status());
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
        response
    }

    /// Sends what is left. Waits for the collector, for some seconds at most.
    pub(crate) fn end(&self) {
        if let Err(error) = self.provider.shutdown() {
            say(format_args!("the last traces were not sent: {error}"));
        }
    }
}

/// Notes what became of a request, in the span that it is answered in.
pub(crate) fn note(outcome: &Outcome<'_>) {
    let context = Context::current();
    if !context.span().is_recording() {
        return;
    }
    // Why a request was refused may quote it: that is for the decision log, which can be masked.
    let attributes = match outcome {
        Err(_) => vec![KeyValue::new("cedar.decision", "refused")],
        Ok(decided) => {
            let policies = decided.reasons.iter().map(|id| id.clone().into());
            let policies = opentelemetry::Array::String(policies.collect());
            vec![
                KeyValue::new("cedar.decision", decided.word()),
                KeyValue::new("cedar.policies", opentelemetry::Value::Array(policies)),
                KeyValue::new("cedar.errors", decided.errors.len() as i64),
            ]
        }
    };
    context.span().add_event("decision", attributes);
}
