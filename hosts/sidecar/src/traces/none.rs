//! A program without OTLP: there are no traces.

use std::convert::Infallible;
use std::io;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::TraceConfig;
use crate::decision_log::Outcome;

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Traces(Infallible);

impl Traces {
    pub(crate) fn open(_: &TraceConfig) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) async fn follow(&self, _: Request, _: Next) -> Response {
        match self.0 {}
    }

    pub(crate) fn end(&self) {
        match self.0 {}
    }
}

/// Notes what became of a request.
#[inline]
pub(crate) fn note(_: &Outcome<'_>) {}
