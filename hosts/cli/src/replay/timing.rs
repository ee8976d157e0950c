//! How `replay --timing` measures.
//!
//! Each phase has its own passes over all requests, so that one clock reading serves a whole pass
//! and no phase runs in the caches that another left behind: first every request is bound, in every
//! pass anew; then the requests that the last of these passes bound are evaluated; then each
//! request is bound, evaluated and dropped before the next. Copies of the contexts, for engines that
//! keep them, are made before the clock starts.

use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::num::NonZero;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::engine::Engine;
use crate::request::Uids;

/// Median over all passes of a pass's time divided by its requests, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Strings and context to bound request.
    pub(super) bind: f64,
    /// Bound request to response with full diagnostics.
    pub(super) evaluate: f64,
    /// Strings and context to response, and dropping both.
    pub(super) total: f64,
}

/// What `--timing` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) engine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tier: Option<String>,
    pub(super) requests: usize,
    pub(super) invalid: usize,
    pub(super) repeat: NonZero<usize>,
    pub(super) bind: f64,
    pub(super) evaluate: f64,
    pub(super) total: f64,
    pub(super) load_ns: u128,
    pub(super) compile_ns: u128,
    pub(super) peak_memory_bytes: Option<u64>,
}

impl Report {
    /// Prints one line of JSON on stderr.
    pub(super) fn print(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            // Nobody is left to tell if stderr is gone.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// Measures `repeat` passes over requests that are known to be valid.
pub(super) fn measure<E: Engine>(
    engine: &mut E,
    requests: &[(Uids, Value)],
    repeat: NonZero<usize>,
) -> Times {
    if requests.is_empty() {
        return Times::default();
    }
    let mut bound = Vec::with_capacity(requests.len());
    let bind = median_pass(repeat, requests, |contexts| {
        bound.clear();
        let start = Instant::now();
        for ((uids, _), context) in requests.iter().zip(contexts) {
            bound.extend(engine.bind(uids, context).ok());
        }
        start.elapsed()
    });
    let evaluate = median_pass(repeat, &[], |_| {
        let start = Instant::now();
        for request in &bound {
            engine.evaluate(black_box(request));
        }
        start.elapsed()
    });
    drop(bound);
    let total = median_pass(repeat, requests, |contexts| {
        let start = Instant::now();
        for ((uids, _), context) in requests.iter().zip(contexts) {
            if let Ok(request) = engine.bind(uids, context) {
                engine.evaluate(black_box(&request));
            }
        }
        start.elapsed()
    });
    let per_request = |pass: f64| pass / requests.len() as f64;
    Times {
        bind: per_request(bind),
        evaluate: per_request(evaluate),
        total: per_request(total),
    }
}

/// The median of what `pass` takes, in nanoseconds. It gets fresh copies of the contexts.
fn median_pass(
    repeat: NonZero<usize>,
    requests: &[(Uids, Value)],
    mut pass: impl FnMut(&mut [Value]) -> Duration,
) -> f64 {
    let times = (0..repeat.get()).map(|_| {
        let mut contexts: Vec<Value> = requests
            .iter()
            .map(|(_, context)| context.clone())
            .collect();
        pass(&mut contexts).as_nanos() as f64
    });
    median(times.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => (lower + upper) / 2.0,
        _ => 0.0,
    }
}

/// The most memory that this process ever had resident, in bytes, where the system tells.
pub(super) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }
}
