//! The decision log: a line of JSON for each decision, to a file or to stdout.
//!
//! A decision never waits for it. Lines go through a queue of bounded length to a thread that writes
//! them; what the queue does not take is dropped and counted.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use serde::Serialize;
use serde_json::Value;

use crate::config::{ProblemKind, Section};
use crate::log::say;
use crate::state::{Decided, Question};

/// What the sidecar is told about the decision log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The file that lines are appended to; `None` for stdout.
    pub file: Option<PathBuf>,
    /// One decision of so many is logged.
    pub sample: u64,
    /// The fields in whose place there is `"*"`.
    pub mask: Vec<Masked>,
    /// Whether the context is logged.
    pub context: bool,
    /// How many lines may wait to be written.
    pub queue: usize,
}

/// What can be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masked {
    /// The id of the principal.
    Principal,
    /// The id of the resource.
    Resource,
}

impl LogConfig {
    pub(crate) fn read(mut section: Section<'_>) -> Option<Self> {
        let folder = section.origin().folder().to_owned();
        let to: Option<String> = section.take("to");
        let number = |section: &mut Section<'_>, key, default: u32| match section.take::<u32>(key) {
            Some(0) => {
                let (value, what) = ("0".to_owned(), "is not above 0");
                let help = "write a number above 0, or leave it out";
                section.complain(key, ProblemKind::Invalid { value, what, help });
                default
            }
            said => said.unwrap_or(default),
        };
        let config = Self {
            file: (to.as_deref())
                .filter(|to| *to != "stdout")
                .map(|to| folder.join(to)),
            sample: number(&mut section, "sample", 1).into(),
            mask: section.take("mask").unwrap_or_default(),
            context: section.take("context").unwrap_or(false),
            queue: usize::try_from(number(&mut section, "queue", 8192)).unwrap_or(8192),
        };
        section.finish();
        to.is_some().then_some(config)
    }
}

/// How long is waited at the end for what is still to be written.
const FLUSH: Duration = Duration::from_secs(2);

/// Where decisions are logged.
#[derive(Debug)]
pub struct DecisionLog {
    config: LogConfig,
    queue: SyncSender<Item>,
    seen: AtomicU64,
    dropped: Counter,
}

enum Item {
    Line(Vec<u8>),
    /// Somebody waits until all is written.
    Flush(SyncSender<()>),
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a> {
    time_ms: u128,
    principal: &'a str,
    action: &'a str,
    resource: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Value>,
    decision: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policies: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [(String, String)],
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// What became of a request.
pub(crate) type Outcome<'a> = Result<&'a Decided, &'a dyn std::error::Error>;

impl DecisionLog {
    /// Opens the log. `dropped` counts what it does not take.
    ///
    /// # Errors
    /// When the file cannot be appended to, or there is no thread to be had.
    pub fn open(config: &LogConfig, dropped: Counter) -> io::Result<Self> {
        let sink: Box<dyn Write + Send> = match &config.file {
            Some(file) => Box::new(OpenOptions::new().append(true).create(true).open(file)?),
            None => Box::new(io::stdout()),
        };
        let (queue, items) = sync_channel(config.queue);
        let lost = dropped.clone();
        std::thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || write(&items, BufWriter::with_capacity(1 << 16, sink), &lost))?;
        Ok(Self {
            config: config.clone(),
            queue,
            seen: AtomicU64::new(0),
            dropped,
        })
    }

    /// Logs what became of a request, if it is one of the sample.
    pub(crate) fn log(&self, question: Question<'_>, outcome: Outcome<'_>) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if !seen.is_multiple_of(self.config.sample) {
            return;
        }
        let mut line = self.line(question, outcome);
        line.push(b'\n');
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.inc();
        }
    }

    fn line(&self, question: Question<'_>, outcome: Outcome<'_>) -> Vec<u8> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let masked = |uid, what| match self.config.mask.contains(&what) {
            true => "*",
            false => uid,
        };
        let context = self
            .config
            .context
            .then(|| serde_json::from_str(question.context).unwrap_or(Value::Null));
        let decided = outcome.ok();
        let line = Line {
            time_ms: now.unwrap_or_default().as_millis(),
            principal: masked(question.principal, Masked::Principal),
            action: question.action,
            resource: masked(question.resource, Masked::Resource),
            context,
            decision: match decided {
                Some(decided) if decided.allowed => "allow",
                Some(_) => "deny",
                None => "refused",
            },
            policies: decided.map_or(&[], |decided| &decided.reasons),
            errors: decided.map_or(&[], |decided| &decided.errors),
            refused: match self.config.mask.is_empty() {
                true => outcome.err().map(ToString::to_string),
                // It may name what is masked.
                false => None,
            },
        };
        // Texts and numbers can be written.
        serde_json::to_vec(&line).unwrap_or_default()
    }

    /// Waits until what was logged is written, or for a while.
    pub(crate) fn flush(&self) {
        let patience = Instant::now() + FLUSH;
        let (done, wait) = sync_channel(1);
        let mut item = Item::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(item) {
            if Instant::now() > patience {
                return;
            }
            item = back;
            std::thread::sleep(Duration::from_millis(10));
        }
        // It takes too long, else.
        let _ = wait.recv_timeout(patience.saturating_duration_since(Instant::now()));
    }
}

/// Writes what comes until nobody can send more, and flushes whenever nothing waits.
fn write(items: &Receiver<Item>, mut sink: impl Write, lost: &Counter) {
    let mut well = true;
    loop {
        let item = match items.try_recv() {
            Ok(item) => item,
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                well = told(well, sink.flush());
                match items.recv() {
                    Ok(item) => item,
                    Err(_) => break,
                }
            }
        };
        match item {
            Item::Line(line) => {
                let wrote = sink.write_all(&line);
                if wrote.is_err() {
                    lost.inc();
                }
                well = told(well, wrote);
            }
            Item::Flush(done) => {
                well = told(well, sink.flush());
                let _ = done.try_send(());
            }
        }
    }
    told(well, sink.flush());
}

/// Says that the log cannot be written, once until it can be again. Whether it can.
fn told(well: bool, wrote: io::Result<()>) -> bool {
    if let (true, Err(error)) = (well, &wrote) {
        say(format_args!("the decision log cannot be written: {error}"));
    }
    wrote.is_ok()
}
