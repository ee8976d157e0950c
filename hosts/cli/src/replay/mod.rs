//! `cedarjit replay`: a file of requests in, an answer a line out, and how long it took.

mod timing;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cedar_policy::Decision;
use cedar_policy_cli::{CedarExitCode, OptionalSchemaArgs, PoliciesArgs};
use cedarjit::BuildError;
use cedarjit_tests::engines::Answer;
use clap::{ArgAction, Args};
use miette::{Report, Result};
use serde::Serialize;
use serde_json::Value;

use crate::engine::{CedarEngine, CedarjitEngine, Engine, EngineKind};
use crate::load::{self, Failure};
use crate::output::{self, Written};
use crate::request::{self, RequestProblem, Uids};

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Policies args (incorporated by reference)
    #[command(flatten)]
    policies: PoliciesArgs,
    /// Schema args (incorporated by reference)
    ///
    /// With a schema, entities and requests are validated against it.
    #[command(flatten)]
    schema: OptionalSchemaArgs,
    /// File containing JSON representation of the Cedar entity hierarchy
    #[arg(
        long = "entities",
        value_name = "FILE",
        required_unless_present = "saved"
    )]
    entities: Option<PathBuf>,
    /// A file that `save` wrote, in place of policies, schema and entities
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["policies_file", "template_linked_file", "schema_file", "entities"]
    )]
    saved: Option<PathBuf>,
    /// Believe what takes most of the time to check in that file
    #[arg(long, requires = "saved")]
    trust_saved: bool,
    /// File of requests, one a line, each as in a `--request-json` file of `authorize`; `-` is
    /// stdin
    #[arg(long = "requests", value_name = "FILE")]
    requests: PathBuf,
    /// Whether to validate requests. This has no effect without a schema.
    #[arg(long = "request-validation", action = ArgAction::Set, default_value_t = true)]
    request_validation: bool,
    /// The engine that decides
    #[arg(long, value_enum, default_value = "native")]
    engine: EngineKind,
    /// With --timing, how many times the requests are measured
    #[arg(long, value_name = "N", default_value = "1")]
    repeat: NonZero<usize>,
    /// Measure, and print one JSON object of times on stderr
    #[arg(long)]
    timing: bool,
}

/// Answers every request on stdout, in order.
pub(crate) fn replay(args: &ReplayArgs) -> CedarExitCode {
    match try_replay(args) {
        Ok(()) => CedarExitCode::Success,
        Err(reports) => {
            reports.iter().for_each(output::complain);
            CedarExitCode::Failure
        }
    }
}

fn try_replay(args: &ReplayArgs) -> Result<(), Vec<Report>> {
    let from_stdin = args.requests == Path::new("-");
    if let Some(path) = &args.saved {
        return replay_saved(path, args, from_stdin).map_err(|failure| vec![failure.into()]);
    }
    if from_stdin && args.policies.policies_file.is_none() {
        return Err(vec![Failure::StdinTwice.into()]);
    }
    let requests = open(&args.requests, from_stdin).map_err(|e| vec![e.into()])?;
    let start = Instant::now();
    // clap sees to it that there are entities.
    let entities = args.entities.as_deref().unwrap_or(Path::new(""));
    let mut world = load::world(&args.policies, &args.schema, entities)?;
    let load = start.elapsed();
    let validate = args.request_validation;
    let text = world.texts.policies.take();
    let unbuilt = |e: Box<BuildError>| load::build_report(*e, &args.policies, text.as_deref());
    let done = match args.engine {
        EngineKind::Cedar => {
            let engine = CedarEngine::new(world, validate);
            run(engine, requests, args, load)
        }
        EngineKind::Native => {
            let engine = CedarjitEngine::<false>::new(world, validate);
            let engine = engine.map_err(|e| vec![unbuilt(e)])?;
            run(engine, requests, args, load)
        }
        EngineKind::Interpreter => {
            let engine = CedarjitEngine::<true>::new(world, validate);
            let engine = engine.map_err(|e| vec![unbuilt(e)])?;
            run(engine, requests, args, load)
        }
    };
    done.map_err(|failure| vec![failure.into()])
}

/// As [`try_replay`], with a saved engine.
fn replay_saved(path: &Path, args: &ReplayArgs, from_stdin: bool) -> Result<(), Failure> {
    let requests = open(&args.requests, from_stdin)?;
    let (start, validate) = (Instant::now(), args.request_validation);
    match args.engine {
        EngineKind::Cedar => Err(Failure::SavedForCedar),
        EngineKind::Native => {
            let engine = CedarjitEngine::<false>::saved(path, args.trust_saved, validate)?;
            run(engine, requests, args, start.elapsed())
        }
        EngineKind::Interpreter => {
            let engine = CedarjitEngine::<true>::saved(path, args.trust_saved, validate)?;
            run(engine, requests, args, start.elapsed())
        }
    }
}

/// Lines of requests, and whether each answer is waited for before the next request is sent.
struct Requests {
    lines: Box<dyn BufRead>,
    interactive: bool,
    path: String,
}

fn open(path: &Path, from_stdin: bool) -> Result<Requests, Failure> {
    if from_stdin {
        return Ok(Requests {
            lines: Box::new(BufReader::new(io::stdin())),
            interactive: true,
            path: "<stdin>".to_owned(),
        });
    }
    let path_text = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok(Requests {
            lines: Box::new(BufReader::with_capacity(1 << 16, file)),
            interactive: io::stdout().is_terminal(),
            path: path_text,
        }),
        Err(cause) => Err(Failure::Read {
            what: "requests",
            path: path_text,
            cause,
        }),
    }
}

impl Requests {
    /// The next line without its end; `None` at the end of the file.
    fn next<'a>(&mut self, line: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>, Failure> {
        line.clear();
        let read = self.lines.read_until(b'\n', line);
        let count = read.map_err(|cause| Failure::Read {
            what: "requests",
            path: self.path.clone(),
            cause,
        })?;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok((count > 0).then_some(line))
    }
}

fn run<E: Engine>(
    mut engine: E,
    requests: Requests,
    args: &ReplayArgs,
    load: Duration,
) -> Result<(), Failure> {
    let mut valid = Vec::new();
    let counts = answer_all(&mut engine, requests, args.timing.then_some(&mut valid))?;
    if args.timing {
        let build = engine.build();
        let times = timing::measure(&mut engine, &valid, args.repeat);
        let report = timing::Report {
            engine: args.engine.name(),
            tier: build.tier,
            requests: counts.requests,
            invalid: counts.invalid,
            repeat: args.repeat,
            bind: times.bind,
            evaluate: times.evaluate,
            total: times.total,
            load_ns: (load + build.load).as_nanos(),
            compile_ns: build.compile.as_nanos(),
            peak_memory_bytes: timing::peak_memory(),
        };
        report.print();
    }
    Ok(())
}

/// How many lines there were, and how many of them were not valid requests.
#[derive(Default)]
struct Counts {
    requests: usize,
    invalid: usize,
}

/// Prints the answers, and keeps the valid requests if somebody wants them later. Stops early if
/// nobody reads the answers any more and nobody wants the requests.
fn answer_all<E: Engine>(
    engine: &mut E,
    mut requests: Requests,
    mut keep: Option<&mut Vec<(Uids, Value)>>,
) -> Result<Counts, Failure> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut reader_gone = false;
    let mut counts = Counts::default();
    let mut line = Vec::new();
    while let Some(text) = requests.next(&mut line)? {
        counts.requests += 1;
        let answer = answer(engine, text, keep.as_deref_mut());
        counts.invalid += usize::from(answer.is_err());
        if reader_gone {
            continue;
        }
        let wrote = write(&mut out, &answer).and_then(|()| match requests.interactive {
            true => out.flush(),
            false => Ok(()),
        });
        if let Written::Closed = output::written(wrote)? {
            if keep.is_none() {
                return Ok(counts);
            }
            reader_gone = true;
        }
    }
    if !reader_gone {
        output::written(out.flush())?;
    }
    Ok(counts)
}

fn answer<E: Engine>(
    engine: &mut E,
    line: &[u8],
    keep: Option<&mut Vec<(Uids, Value)>>,
) -> Result<Answer, RequestProblem> {
    let (uids, mut context) = request::from_json(line)?;
    let kept = keep.is_some().then(|| context.clone());
    let bound = engine.bind(&uids, &mut context)?;
    if let Some((keep, context)) = keep.zip(kept) {
        keep.push((uids, context));
    }
    Ok(engine.answer(&bound))
}

#[derive(Serialize)]
struct AnswerLine<'a> {
    decision: &'static str,
    reason: Vec<&'a str>,
    errors: Vec<ErrorEntry<'a>>,
}

#[derive(Serialize)]
struct ErrorEntry<'a> {
    policy: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct ProblemLine {
    error: String,
}

fn write(out: &mut impl Write, answer: &Result<Answer, RequestProblem>) -> io::Result<()> {
    match answer {
        Ok(answer) => {
            let errors = answer.errors.iter();
            let line = AnswerLine {
                decision: match answer.decision {
                    Decision::Allow => "allow",
                    Decision::Deny => "deny",
                },
                reason: answer.reasons.iter().map(String::as_str).collect(),
                errors: errors
                    .map(|(policy, failure)| ErrorEntry {
                        policy,
                        message: &failure.text,
                    })
                    .collect(),
            };
            serde_json::to_writer(&mut *out, &line)?;
        }
        Err(problem) => {
            let error = problem.to_string();
            serde_json::to_writer(&mut *out, &ProblemLine { error })?;
        }
    }
    out.write_all(b"\n")
}
