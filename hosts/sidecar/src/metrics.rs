//! What can be measured from outside, in the text form of OpenMetrics.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cedarjit::Tier;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::state::Loaded;

/// All that is counted.
pub struct Metrics {
    registry: Registry,
    decisions: Family<Decided, Counter>,
    failures: Counter,
    bind: Histogram,
    decide: Histogram,
    requests: Family<Answered, Counter>,
    request: Histogram,
    reloads: Family<Reloaded, Counter>,
    reloaded: Gauge<f64, AtomicU64>,
    dropped: Counter,
    wrong: Counter,
    states: States,
}

/// Gauges that are read when somebody asks.
#[derive(Default)]
struct States {
    policies: Gauge<i64, AtomicI64>,
    entities: Gauge<i64, AtomicI64>,
    shapes: Gauge<i64, AtomicI64>,
    native: Gauge<i64, AtomicI64>,
    tier: Family<InTier, Gauge<i64, AtomicI64>>,
    engine_memory: Gauge<i64, AtomicI64>,
    process_memory: Gauge<i64, AtomicI64>,
    generation: Gauge<i64, AtomicI64>,
    checked: Gauge<i64, AtomicI64>,
    unchecked: Gauge<i64, AtomicI64>,
    interpreted: Gauge<i64, AtomicI64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Decided {
    result: &'static str,
}

/// What became of a request for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed.
    Allow,
    /// Denied.
    Deny,
    /// The engine did not take the request.
    Refused,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reloaded {
    what: &'static str,
    result: &'static str,
}

/// What is loaded anew while the sidecar runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Policies, links, schema and entities.
    Policies,
    /// Certificates and tokens.
    Credentials,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InTier {
    tier: &'static str,
}

/// From 100 ns to 1.6 ms: what happens in the processor.
fn short() -> Histogram {
    Histogram::new(exponential_buckets(1e-7, 2.0, 15))
}

/// From 5 µs to 10 s: what waits for clients.
fn long() -> Histogram {
    Histogram::new(exponential_buckets(5e-6, 2.5, 17))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("cedarjit"),
            decisions: Family::default(),
            failures: Counter::default(),
            bind: short(),
            decide: short(),
            requests: Family::default(),
            request: long(),
            reloads: Family::default(),
            reloaded: Gauge::default(),
            dropped: Counter::default(),
            wrong: Counter::default(),
            states: States::default(),
        };
        metrics.register();
        metrics
    }
}

/// Registers each: its field, its name, and what it means.
macro_rules! register {
    ($registry:expr, $of:expr, $($field:ident $name:literal $help:literal;)*) => {
        $($registry.register($name, $help, $of.$field.clone());)*
    };
}

impl Metrics {
    fn register(&mut self) {
        register! {
            self.registry, self,
            decisions "decisions" "Decisions by result";
            failures "policy_errors" "Policies that failed when they were evaluated";
            bind "bind_seconds" "Time to read and bind a request, in seconds";
            decide "decide_seconds" "Time to evaluate a bound request, in seconds";
            requests "http_requests" "HTTP requests by the status of their answer";
            request "http_request_seconds" "Time from a request's head to its answer, in seconds";
            reloads "reloads" "Times that something was loaded anew while the sidecar ran";
            reloaded "last_load_timestamp_seconds"
                "When policies were last loaded, in seconds since 1970";
            dropped "decision_log_dropped" "Lines that the decision log did not take";
            wrong "wrong_answers" "Decisions that the interpreter made otherwise when it checked them";
        }
        register! {
            self.registry, self.states,
            policies "policies" "Policies and links";
            entities "entities" "Entities";
            shapes "bodies" "Bodies that policies share";
            native "native_bodies" "Bodies that have native code";
            tier "tier" "1 for how policies are evaluated";
            engine_memory "engine_memory_bytes" "Bytes that the engine uses";
            process_memory "process_resident_memory_bytes"
                "Bytes that the process has in memory";
            generation "engine_generation" "How many engines there were with this one";
            checked "engine_checked_decisions" "Decisions of this engine that were made again";
            unchecked "engine_unchecked_decisions"
                "Decisions of this engine that were not made again since too many waited";
            interpreted "engine_interpreted_policies"
                "Policies that are interpreted since this engine was found to be wrong about them";
        }
    }
}

impl States {
    fn read(&self, loaded: &Loaded) {
        let int = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let snapshot = loaded.engine().snapshot();
        let stats = snapshot.stats();
        self.policies.set(int(stats.policies));
        self.entities.set(int(stats.entities));
        self.shapes.set(int(stats.shapes));
        self.native.set(int(stats.native_shapes));
        let now = match snapshot.tier() {
            Tier::Native => "native",
            Tier::Compiling => "compiling",
            Tier::Interpreted(_) => "interpreted",
        };
        for tier in ["native", "compiling", "interpreted"] {
            let gauge = self.tier.get_or_create(&InTier { tier });
            gauge.set(i64::from(tier == now));
        }
        self.engine_memory.set(int(snapshot.memory().total().used));
        self.process_memory.set(resident().map_or(-1, int));
        let check = stats.self_check.unwrap_or_default();
        let long = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.checked.set(long(check.checked));
        self.unchecked.set(long(check.dropped));
        self.interpreted.set(int(check.interpreted_policies));
        let generation = i64::try_from(loaded.generation());
        self.generation.set(generation.unwrap_or(i64::MAX));
    }
}

/// The bytes that the process has in memory, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

impl Metrics {
    /// A request for a decision was answered.
    pub fn decision(&self, outcome: Outcome, failures: usize, bind: Duration, decide: Duration) {
        let result = match outcome {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::Refused => "refused",
        };
        self.decisions.get_or_create(&Decided { result }).inc();
        if failures > 0 {
            self.failures
                .inc_by(u64::try_from(failures).unwrap_or(u64::MAX));
        }
        self.bind.observe(bind.as_secs_f64());
        if outcome != Outcome::Refused {
            self.decide.observe(decide.as_secs_f64());
        }
    }

    /// An HTTP request was answered.
    pub fn request(&self, status: u16, time: Duration) {
        self.requests.get_or_create(&Answered { status }).inc();
        self.request.observe(time.as_secs_f64());
    }

    /// Something was loaded anew, or could not be.
    pub fn reload(&self, what: What, ok: bool) {
        let what = match what {
            What::Policies => "policies",
            What::Credentials => "credentials",
        };
        let result = if ok { "ok" } else { "failed" };
        self.reloads.get_or_create(&Reloaded { what, result }).inc();
    }

    /// Counts the lines that the decision log does not take.
    pub(crate) fn dropped_log_lines(&self) -> Counter {
        self.dropped.clone()
    }

    /// Counts the decisions that the interpreter made otherwise.
    pub(crate) fn wrong_answers(&self) -> Counter {
        self.wrong.clone()
    }

    /// Policies are in use since then.
    pub fn loaded(&self, since: SystemTime) {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.reloaded.set(since.as_secs_f64());
    }

    /// All metrics, as text.
    ///
    /// # Errors
    /// Never, since it is written to memory.
    pub fn text(&self, loaded: &Loaded) -> Result<String, fmt::Error> {
        self.states.read(loaded);
        let mut all = String::new();
        text::encode(&mut all, &self.registry)?;
        Ok(all)
    }
}
