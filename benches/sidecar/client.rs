//! A client that sends one request after the other.

use crate::stream::Stream;
use cedarjit_bench::Error;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// A connection with what is sent before each body, and memory for what comes back.
#[derive(Debug)]
pub(crate) struct Client {
    stream: Stream,
    head: String,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: &str, path: &str) -> Result<Self, Error> {
        let stream = Stream::connect(address).map_err(|error| format!("{address}: {error}"))?;
        Ok(Self {
            stream,
            head: format!(
                "POST {path} HTTP/1.1\r\nhost: sidecar\r\ncontent-type: application/json\r\n"
            ),
            sent: Vec::new(),
            received: Vec::new(),
        })
    }

    /// Sends a request, and waits for all of its answer, which must be 200. How long it took.
    pub(crate) fn ask(&mut self, body: &str) -> Result<Duration, Error> {
        self.sent.clear();
        let length = body.len();
        write!(
            self.sent,
            "{}content-length: {length}\r\n\r\n{body}",
            self.head
        )?;
        let started = Instant::now();
        self.stream.write_all(&self.sent)?;
        self.received.clear();
        let mut buffer = [0; 4096];
        loop {
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                return Err("the connection ended".into());
            }
            self.received
                .extend_from_slice(buffer.get(..n).unwrap_or_default());
            if is_whole(&self.received)? {
                return Ok(started.elapsed());
            }
        }
    }
}

/// Whether an answer has come to its end.
fn is_whole(answer: &[u8]) -> Result<bool, Error> {
    let text = std::str::from_utf8(answer)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(format!("not 200: {text}").into());
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is = name.eq_ignore_ascii_case("content-length");
        is.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.ok_or("an answer without a length")?;
    Ok(body.len() >= length)
}
