//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

use crate::client::Client;
use crate::native::folder;
use crate::server::Sidecar;

const POLICIES: &str = "@id(\"everybody\") permit (principal, action, resource);\n\
                        @id(\"none\") permit (principal, action, resource) when { resource.gone };";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collected(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Collected {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = texts(&attributes)["service.name"].clone();
            let spans = resource.scope_spans.into_iter().flat_map(|s| s.spans);
            let spans = spans.map(|span| (service.clone(), span));
            self.0.lock().expect("spans").extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

struct Collector {
    address: SocketAddr,
    collected: Collected,
    _runtime: Runtime,
}

impl Collector {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let collected = Collected::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("an address");
        let service = TraceServiceServer::new(collected.clone());
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let router = Router::new().route_service(path, service);
        runtime.spawn(async { axum::serve(listener, router).await });
        Self {
            address,
            collected,
            _runtime: runtime,
        }
    }

    /// The spans that a sidecar sent by its end.
    fn spans(&self, sidecar: Sidecar) -> Vec<(String, Span)> {
        drop(sidecar);
        std::mem::take(&mut *self.collected.0.lock().expect("spans"))
    }
}

fn text(value: &AnyValue) -> String {
    match &value.value {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::ArrayValue(array)) => {
            let texts: Vec<String> = array.values.iter().map(text).collect();
            texts.join(" ")
        }
        other => format!("{other:?}"),
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let attributes = attributes.iter();
    let values = attributes.map(|a| (&*a.key, a.value.as_ref().map(text).unwrap_or_default()));
    values.collect()
}

fn traced(name: &str, endpoint: SocketAddr, more: &str) -> Sidecar {
    let config = format!("[traces]\nendpoint = \"http://{endpoint}\"\n{more}");
    Sidecar::configured(
        &folder(name, POLICIES, &config).join("cedarjit.toml"),
        |_| {},
    )
}

fn ask(client: &mut Client, path: &str, sampled: &str, body: &serde_json::Value) -> u16 {
    let parent = format!("00-{TRACE}-{PARENT}-{sampled}");
    let headers = [
        ("content-type", "application/json"),
        ("traceparent", parent.as_str()),
    ];
    let body = body.to_string();
    let answer = client.request("POST", path, &headers, body.as_bytes());
    answer.status
}

fn call() -> serde_json::Value {
    json!({
        "principal": "User::\"ann\"",
        "action": "Action::\"view\"",
        "resource": "Doc::\"a\"",
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_request_is_a_span_and_each_decision_an_event_of_it() {
    let collector = Collector::start();
    let sidecar = traced("traces", collector.address, "service = \"gate\"\n");
    let mut client = Client::connect(sidecar.address);
    assert_eq!(ask(&mut client, "/v1/is_authorized", "01", &call()), 200);
    let bad =
        json!({"principal": "nobody", "action": "Action::\"view\"", "resource": "Doc::\"a\""});
    let batch = json!({"requests": [call(), bad]});
    assert_eq!(
        ask(&mut client, "/v1/is_authorized_batch", "01", &batch),
        200
    );
    assert_eq!(ask(&mut client, "/nothing/here", "01", &batch), 404);

    let spans = collector.spans(sidecar);
    let [one, two, three] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    for (service, span) in &spans {
        assert_eq!(service, "gate");
        assert_eq!(
            (hex(&span.trace_id), hex(&span.parent_span_id)),
            (TRACE.into(), PARENT.into())
        );
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    assert_eq!(one.1.name, "POST /v1/is_authorized");
    let about = texts(&one.1.attributes);
    assert_eq!(about["http.response.status_code"], "200");
    assert_eq!(about["http.route"], "/v1/is_authorized");
    let events = |span: &Span| -> Vec<BTreeMap<String, String>> {
        let events = span
            .events
            .iter()
            .inspect(|event| assert_eq!(event.name, "decision"));
        let owned = |(key, value): (&str, String)| (key.to_owned(), value);
        events
            .map(|event| texts(&event.attributes).into_iter().map(owned).collect())
            .collect()
    };
    let allowed = &events(&one.1)[0];
    assert_eq!(allowed["cedar.decision"], "allow");
    assert_eq!(allowed["cedar.policies"], "everybody");
    assert_eq!(allowed["cedar.errors"], "1");
    let decisions: Vec<String> = events(&two.1)
        .iter()
        .map(|e| e["cedar.decision"].clone())
        .collect();
    assert_eq!(decisions, ["allow", "refused"]);
    assert_eq!(three.1.name, "POST");
    assert_eq!(
        texts(&three.1.attributes)["http.response.status_code"],
        "404"
    );
}

#[test]
fn traces_that_others_did_not_keep_are_not_sent() {
    let collector = Collector::start();
    let sidecar = traced("traces-unsampled", collector.address, "");
    let mut client = Client::connect(sidecar.address);
    assert_eq!(ask(&mut client, "/v1/is_authorized", "00", &call()), 200);
    // A trace that begins here is kept.
    assert_eq!(client.request("GET", "/healthz", &[], b"").status, 200);
    let spans = collector.spans(sidecar);
    let names: Vec<&str> = spans.iter().map(|(_, span)| span.name.as_str()).collect();
    assert_eq!(names, ["GET /healthz"]);
    assert_eq!(spans[0].0, "cedarjit");
}

#[test]
fn without_a_collector_all_is_answered_and_the_end_comes() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let sidecar = traced("traces-alone", address, "");
    let mut client = Client::connect(sidecar.address);
    for _ in 0..100 {
        assert_eq!(ask(&mut client, "/v1/is_authorized", "01", &call()), 200);
    }
    let started = Instant::now();
    drop(sidecar);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
