//! Malformed calls of Envoy's service: each gets an answer, none an approval, and the sidecar goes on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, Bytes};
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use crate::world::{Folder, free_address, sidecar};

/// Calls with a malformed message or frame.
const CALLS: usize = 10_000;

/// Connections that they are spread over.
const CONNECTIONS: usize = 8;

/// Connections that speak nothing that is HTTP.
const NOISE: usize = 200;

/// A hang takes longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn token(user: &str) -> Metadata {
    let text = |text: &str| Value {
        kind: Some(Kind::StringValue(text.to_owned())),
    };
    let verified = Value {
        kind: Some(Kind::BoolValue(true)),
    };
    let claims = [
        ("sub".to_owned(), text(user)),
        ("email_verified".to_owned(), verified),
    ];
    let claims = Struct {
        fields: claims.into(),
    };
    let payload = Value {
        kind: Some(Kind::StructValue(claims)),
    };
    let tokens = Struct {
        fields: [("token".to_owned(), payload)].into(),
    };
    Metadata {
        filter_metadata: [("envoy.filters.http.jwt_authn".to_owned(), tokens)].into(),
        ..Metadata::default()
    }
}

/// A call about what this user does.
fn call(user: &str, method: &str, path: &str) -> CheckRequest {
    let http = HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        host: "localhost".to_owned(),
        headers: [(":path".to_owned(), path.to_owned())].into(),
        ..HttpRequest::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Request::default()
            }),
            metadata_context: Some(token(user)),
            ..AttributeContext::default()
        }),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a length");
    [[0].as_slice(), &length.to_be_bytes(), message].concat()
}

/// Spoils a message, or the frame around it.
fn spoiled(message: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(20) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, [0xff; 9]).for_each(drop),
            2 => {
                let more: Vec<u8> = (0..dice.below(40)).map(|_| dice.next() as u8).collect();
                bytes.splice(at..at, more).for_each(drop);
            }
            // Messages in messages: field 1, of a length that is about right.
            3 => {
                for _ in 0..dice.below(300) {
                    let length = bytes.len().min(127) as u8;
                    bytes.splice(0..0, [0x0a, length]).for_each(drop);
                }
            }
            4 => bytes = (0..dice.below(200)).map(|_| dice.next() as u8).collect(),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
        }
    }
    let mut frame = framed(&bytes);
    match dice.below(20) {
        0 => frame[0] = dice.next() as u8,
        1 => frame[1 + dice.below(4)] ^= 1 << dice.below(8),
        2 => frame.truncate(dice.below(frame.len())),
        3 => frame.extend(framed(&bytes)),
        _ => {}
    }
    frame
}

type Sender = SendRequest<Full<Bytes>>;

async fn connect(address: SocketAddr) -> Sender {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// What came back.
struct Answer {
    status: u16,
    /// gRPC's status.
    code: Option<String>,
    body: Bytes,
}

/// Sends a frame; `None` if the connection is no more.
async fn send(sender: &mut Sender, path: &str, frame: Vec<u8>) -> Option<Answer> {
    let request = hyper::Request::post(format!("http://localhost{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::from(frame))
        .expect("a request");
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        let code = head
            .headers
            .get("grpc-status")
            .or(trailers.get("grpc-status"));
        Some(Answer {
            status: head.status.as_u16(),
            code: code.and_then(|code| Some(code.to_str().ok()?.to_owned())),
            body: body.to_bytes(),
        })
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .expect("an answer in time")
}

/// The response in an answer that carries one.
fn response(answer: &Answer) -> CheckResponse {
    let mut body = answer.body.clone();
    assert!(body.len() > 5, "{body:?}");
    body.advance(5);
    CheckResponse::decode(body).expect("a response")
}

async fn is_allowed(sender: &mut Sender, request: &CheckRequest) -> bool {
    let frame = framed(&request.encode_to_vec());
    let answer = send(sender, CHECK, frame).await.expect("an answer");
    assert_eq!((answer.status, answer.code.as_deref()), (200, Some("0")));
    matches!(
        response(&answer).http_response,
        Some(HttpResponse::OkResponse(_))
    )
}

async fn calls(address: SocketAddr, seed: u64) -> [usize; 3] {
    let mut dice = Dice(seed);
    // What remains valid is a request that nobody may make.
    let message = call("mallory", "DELETE", "/todos/2").encode_to_vec();
    let mut sender = connect(address).await;
    let mut seen = [0; 3];
    for _ in 0..CALLS / CONNECTIONS {
        let path = match dice.below(20) {
            0 => "/envoy.service.auth.v3.Authorization/Chekc",
            1 => "/grpc.health.v1.Health/Watch",
            _ => CHECK,
        };
        let Some(answer) = send(&mut sender, path, spoiled(&message, &mut dice)).await else {
            panic!("the connection ended without an answer");
        };
        match (answer.status, answer.code.as_deref()) {
            (200, Some("0")) => {
                let response = response(&answer).http_response;
                assert!(
                    matches!(response, Some(HttpResponse::DeniedResponse(_))),
                    "{response:?}"
                );
                seen[0] += 1;
            }
            (200, Some(_)) => seen[1] += 1,
            (400..=499, _) => seen[2] += 1,
            (status, code) => panic!("answered {status}, {code:?}"),
        }
    }
    seen
}

/// Bytes that are no HTTP, or begin as if they were.
fn noise(address: SocketAddr, dice: &mut Dice) {
    let Ok(mut stream) = TcpStream::connect(address) else {
        panic!("no connection");
    };
    let begin: &[u8] = match dice.below(3) {
        0 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        1 => b"POST /envoy.service.auth.v3.Authorization/Check HTTP/1.1\r\n",
        _ => b"",
    };
    let junk: Vec<u8> = (0..dice.below(400)).map(|_| dice.next() as u8).collect();
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a timeout");
    let _ = stream
        .write_all(begin)
        .and_then(|()| stream.write_all(&junk));
    let _ = stream.read(&mut [0; 512]);
}

#[test]
fn malformed_calls_are_answered_and_never_approved() {
    let address = free_address();
    let limits = "[limits]\nbody_seconds = 1\n\n[gateway.denied]".to_owned();
    let exchange = [
        ("127.0.0.1:8180", address.to_string()),
        ("[gateway.denied]", limits),
    ];
    let folder = Folder::of_example("fuzz", &exchange);
    let mut process = sidecar(&folder, "envoy.toml", address);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let mut sender = connect(address).await;
        assert!(is_allowed(&mut sender, &call("ann", "GET", "/todos/1")).await);
        assert!(!is_allowed(&mut sender, &call("mallory", "DELETE", "/todos/2")).await);
        assert!(!is_allowed(&mut sender, &CheckRequest::default()).await);

        let all =
            (1..=CONNECTIONS as u64).map(|seed| tokio::spawn(calls(address, seed * 0x9e37_79b9)));
        let mut seen = [0; 3];
        for one in all.collect::<Vec<_>>() {
            let counts = one.await.expect("all are answered");
            seen = std::array::from_fn(|i| seen[i] + counts[i]);
        }
        eprintln!(
            "{CALLS} malformed calls: {} denied, {} refused by gRPC, {} by HTTP",
            seen[0], seen[1], seen[2]
        );
        assert_eq!(seen.iter().sum::<usize>(), CALLS);
        // Some of each kind, or the test does not test what it says.
        assert!(seen[0] > 1000 && seen[1] > 1000, "{seen:?}");

        let mut dice = Dice(7);
        for _ in 0..NOISE {
            noise(address, &mut dice);
        }
        let mut sender = connect(address).await;
        assert!(is_allowed(&mut sender, &call("ann", "GET", "/todos/1")).await);
        health(&mut sender).await;
        slow(address).await;
    });
    assert!(process.runs(), "{}", process.log());
    assert!(!process.log().contains("panicked"), "{}", process.log());
    process.end();
}

/// Who asks whether the sidecar is well learns it.
async fn health(sender: &mut Sender) {
    let ask = async |sender: &mut Sender, service: &str| {
        let mut message = vec![0x0a, service.len() as u8];
        message.extend(service.as_bytes());
        send(sender, "/grpc.health.v1.Health/Check", framed(&message))
            .await
            .expect("an answer")
    };
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        let answer = ask(sender, service).await;
        assert_eq!(answer.code.as_deref(), Some("0"));
        // Field 1 is 1: SERVING.
        assert_eq!(answer.body[5..], [0x08, 0x01]);
    }
    assert_eq!(ask(sender, "other").await.code.as_deref(), Some("5"));
}

/// A message that does not come to its end is not waited for.
async fn slow(address: SocketAddr) {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    let body = StreamBody::new(tonic::codegen::tokio_stream::pending::<
        Result<Frame<Bytes>, std::io::Error>,
    >());
    let request = hyper::Request::post(format!("http://localhost{CHECK}"))
        .header("content-type", "application/grpc")
        .body(body)
        .expect("a request");
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    let answer = answer.expect("an answer in time").expect("an answer");
    assert_eq!(answer.status().as_u16(), 408);
}
