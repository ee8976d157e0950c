//! Ten thousand malformed requests: each is answered by a 4xx, or hung up on where it is no HTTP.

use std::io::Write;

use serde_json::json;

use crate::client::Client;
use crate::server::Sidecar;

const REQUESTS: usize = 10_000;

const PATHS: [&str; 7] = [
    "/v1/is_authorized",
    "/v1/is_authorized_batch",
    "/access/v1/evaluation",
    "/access/v1/evaluations",
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
];

/// Random numbers, the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        // xorshift64.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % n
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// A body that no endpoint takes: a request of it, spoiled until it is none.
fn spoiled_body(random: &mut Random) -> Vec<u8> {
    let good = json!({
        "subject": { "type": "user", "id": "alice", "properties": { "a": [1, true, "x"] } },
        "action": { "name": "view" },
        "resource": { "type": "record", "id": "101" },
    });
    let mut body = good.to_string().into_bytes();
    match random.below(8) {
        0 => body.truncate(random.below(body.len())),
        1 => body = vec![b'['; 1 + random.below(300_000)],
        2 => body = b"{\"a\":".repeat(1 + random.below(20_000)),
        3 => {
            body = (0..random.below(200))
                .map(|_| u8::try_from(random.below(256)).expect("a byte"))
                .collect()
        }
        4 => body.extend(random.pick::<[u8]>(&[b"}", b",", b"x", b"\0", b"{}", b"\xff"])),
        5 => {
            let at = random.below(body.len());
            body.splice(at..at, *b"\x01\"");
        }
        6 => {
            body = random
                .pick::<str>(&[
                    "null",
                    "1e999",
                    "\"x\"",
                    "[]",
                    "{}",
                    "-",
                    "\u{feff}{}",
                    "{\"subject\":1}",
                ])
                .into()
        }
        _ => {
            body = format!(
                "{{\"subject\":{{}},{}",
                good.to_string().trim_start_matches('{')
            )
            .into()
        }
    }
    body
}

/// A well-formed request whose content is none.
fn spoiled_content(random: &mut Random, out: &mut Vec<u8>) {
    let body = spoiled_body(random);
    let path = random.pick::<str>(&PATHS);
    let kind = random.pick::<str>(&["application/json", "application/json", "text/html", ""]);
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    out.write_all(head.as_bytes()).expect("memory");
    out.write_all(&body).expect("memory");
}

/// What is wrong in the head already.
fn spoiled_head(random: &mut Random, out: &mut Vec<u8>) {
    let long = "x".repeat(100_000);
    let head = match random.below(12) {
        0 => "BREW /v1/is_authorized HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        1 => format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", random.below(1_000_000)),
        2 => "GET /v1/is_authorized HTTP/9.9\r\n\r\n".to_owned(),
        3 => format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        4 => format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n"),
        5 => "POST /v1/is_authorized HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(),
        6 => "POST /v1/is_authorized HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
        7 => "POST /v1/is_authorized HTTP/1.1\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\nzz\r\n".to_owned(),
        8 => "\0\r\n\r\n".to_owned(),
        9 => format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200)),
        10 => "GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(),
        _ => "DELETE /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
    };
    out.write_all(head.as_bytes()).expect("memory");
}

#[test]
fn each_is_answered() {
    let sidecar = Sidecar::start("examples/authzen-search/cedarjit.toml");
    let mut random = Random(0x5eed_c3da);
    let mut client = Client::connect(sidecar.address);
    let (mut answered, mut hung_up) = (0, 0);
    let mut bytes = Vec::new();
    for i in 0..REQUESTS {
        bytes.clear();
        let of_content = random.below(4) != 0;
        match of_content {
            true => spoiled_content(&mut random, &mut bytes),
            false => spoiled_head(&mut random, &mut bytes),
        }
        // The sidecar may have hung up before it read all.
        let sent = client.send(&bytes);
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        match client.receive() {
            Some(answer) => {
                assert!(
                    (400..500).contains(&answer.status),
                    "{i}: {} to {}",
                    answer.status,
                    shown()
                );
                answered += 1;
                let close = answer.header("connection") == Some("close");
                if close || !of_content || sent.is_err() {
                    client = Client::connect(sidecar.address);
                }
            }
            None => {
                assert!(!of_content, "{i}: no answer to {}", shown());
                hung_up += 1;
                client = Client::connect(sidecar.address);
            }
        }
    }
    println!("{answered} answered by 4xx, {hung_up} hung up on");
    assert!(answered > REQUESTS * 9 / 10);
    let good = json!({
        "principal": "user::\"alice\"",
        "action": "Action::\"view\"",
        "resource": "record::\"101\"",
    });
    let mut client = Client::connect(sidecar.address);
    assert_eq!(
        client.post("/v1/is_authorized", &good).json()["decision"],
        "allow"
    );
}
