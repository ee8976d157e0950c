//! Many policies no two of which are alike: how long until all have native code, and whether the
//! engine answers meanwhile.

use super::{Run, must_agree};
use crate::clock;
use crate::engines::CEDARJIT;
use crate::engines::cedar::{self, Cedar};
use crate::measure::{Series, Summary};
use crate::report::{Case, Measurement, Row, count, time};
use cedar_policy::Entities;
use cedarjit::CompileMode;
use cedarjit_bench::Error;
use cedarjit_bench::apps::Answer;
use cedarjit_bench::client::Client;
use cedarjit_bench::generate::{Generated, distinct};
use std::time::{Duration, Instant};

/// The row.
pub(crate) const ROWS: &[&str] = &["distinct-policies"];

const POLICIES: usize = 10_000;

/// Seconds until all is native: required and dreamt of.
const SECONDS: (f64, f64) = (10.0, 3.0);

/// If not all is native by then, it is not going to be.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two questions while code is generated.
const PAUSE: Duration = Duration::from_millis(1);

/// How many requests are asked, again and again.
const REQUESTS: usize = 100;

/// What one build came to.
struct Build {
    /// Until the first answer.
    first: Duration,
    /// Until every shape had native code.
    native: Duration,
    /// The processor time that all threads used until then.
    processor: Option<Duration>,
    /// How many answers were given before.
    meanwhile: usize,
    /// How long the slowest of them took.
    slowest: Duration,
    /// How many distinct shapes there were, and how many got native code.
    shapes: (usize, usize),
}

/// Measures the row if it is asked for.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    if !run.wants_any(ROWS) {
        return Ok(());
    }
    eprintln!("distinct: 10,000 policies");
    let generated = distinct(POLICIES, REQUESTS);
    let cedar = Cedar::new(
        cedar::policies(&generated.policies, &generated.links)?,
        Entities::from_json_str(&generated.entities, None)?,
    );
    let expected: Vec<Answer> = generated
        .requests
        .iter()
        .map(|r| Ok(cedar::answer(&cedar.decide(r, false)?)))
        .collect::<Result<_, Error>>()?;
    let rounds = run.effort.long_rounds.min(3);
    let builds: Vec<Build> = (0..rounds)
        .map(|_| build(&generated, &expected))
        .collect::<Result<_, _>>()?;
    let series = |name: &str, of: fn(&Build) -> Duration| {
        Series::new(
            name,
            builds.iter().map(|b| of(b).as_nanos() as f64).collect(),
        )
    };
    let (native, first) = (
        series("all native", |b| b.native),
        series("first answer", |b| b.first),
    );
    run.row(to_row(&builds, native.summary(), first.summary()));
    run.measurements.push(Measurement {
        case: Case::Compile { policies: POLICIES },
        series: vec![native, first],
    });
    Ok(())
}

/// Builds an engine and asks it until everything is native, comparing every answer.
fn build(generated: &Generated, expected: &[Answer]) -> Result<Build, Error> {
    let builder = generated.builder().compile(CompileMode::Background);
    let processor = clock::process();
    let start = Instant::now();
    let engine = builder.build()?;
    let mut asked = generated.requests.iter().zip(expected).cycle();
    let mut ask = || -> Result<(), Error> {
        // The engine may have moved on to a snapshot with more code.
        let mut client = Client::new(&engine, false);
        let Some((request, expected)) = asked.next() else {
            return Ok(());
        };
        must_agree(CEDARJIT, request, &client.answer(request)?, expected)
    };
    // Before any question: with an engine that compiles while it is built, this is the end of it.
    let native = || {
        let stats = engine.stats();
        stats.native_shapes == stats.shapes
    };
    let mut done = native().then(|| start.elapsed());
    ask()?;
    let first = start.elapsed();
    let mut meanwhile = usize::from(done.is_none());
    let mut slowest = Duration::ZERO;
    while done.is_none() && start.elapsed() < PATIENCE {
        done = native().then(|| start.elapsed());
        if done.is_none() {
            let asked = Instant::now();
            ask()?;
            slowest = slowest.max(asked.elapsed());
            meanwhile += 1;
            // A question now and then: the processors are for compiling.
            std::thread::sleep(PAUSE);
        }
    }
    let processor = clock::process()
        .zip(processor)
        .map(|(now, then)| now.saturating_sub(then));
    for _ in 0..expected.len() {
        ask()?;
    }
    let stats = engine.stats();
    Ok(Build {
        first,
        native: done.unwrap_or(PATIENCE),
        processor,
        meanwhile,
        slowest,
        shapes: (stats.shapes, stats.native_shapes),
    })
}

fn to_row(builds: &[Build], native: Summary, first: Summary) -> Row {
    let meanwhile = builds.iter().map(|b| b.meanwhile).min().unwrap_or(0);
    let (shapes, compiled) = builds.iter().map(|b| b.shapes).min().unwrap_or((0, 0));
    let complete = shapes >= POLICIES && compiled == shapes;
    let within = |seconds: f64| complete && meanwhile > 0 && native.median <= seconds * 1e9;
    let slowest = builds.iter().map(|b| b.slowest).max().unwrap_or_default();
    let answered = match meanwhile {
        0 => "no answer before that".into(),
        some => format!(
            "{} answers before that, the slowest in {}",
            count(some),
            time(slowest.as_nanos() as f64)
        ),
    };
    let processor = builds.iter().filter_map(|b| b.processor).min();
    let processor = processor.map_or(String::new(), |processor| {
        format!("{} of processor time; ", time(processor.as_nanos() as f64))
    });
    Row {
        id: "distinct-policies".into(),
        what: "10,000 static policies, no two alike: all native, in the background, answering \
               meanwhile"
            .into(),
        required: format!("{} s", SECONDS.0),
        moonshot: format!("{} s", SECONDS.1),
        measured: time(native.median),
        detail: format!(
            "{processor}{} of {} shapes native; first answer after {}; {answered}",
            count(compiled),
            count(shapes),
            time(first.median)
        ),
        met: within(SECONDS.0),
        moonshot_met: Some(within(SECONDS.1)),
        figures: [("native", native), ("first answer", first)].into(),
    }
}
