//! One principal and action, and every resource of a type.

use super::Run;
use crate::engines::cedar::Cedar;
use crate::engines::{CEDAR, CEDARJIT};
use crate::measure::{Contender, Series, named};
use crate::report::{Case, Measurement, Row, count, ratio, time};
use cedar_policy::{Decision, Request};
use cedarjit::{Batch, BoundRequest, EntityHandle};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{self, App, RequestText};
use cedarjit_bench::questions::{QUESTIONS, Question};
use std::hint::black_box;

/// The rows, in the order of [`QUESTIONS`].
pub(crate) const ROWS: &[&str] = &["batch-tinytodo", "batch-gdrive", "batch-github"];

/// How many principals ask in turn.
const PRINCIPALS: usize = 4;

/// How many times faster: required and dreamt of.
const TIMES: (f64, f64) = (1_000.0, 2_000.0);

/// Measures the rows that are asked for, or says that they are skipped.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    for (row, question) in ROWS.iter().zip(&QUESTIONS) {
        if !run.wants(row) {
            continue;
        }
        let Some(worlds) = apps::worlds(&[question.world])? else {
            run.skipped.push(format!("{row}: {}", apps::absent()));
            continue;
        };
        for world in &worlds {
            eprintln!("{}: batch", world.name);
            measure(run, row, question, world)?;
        }
    }
    Ok(())
}

/// What one principal asks.
struct Asking {
    bound: BoundRequest,
    requests: Vec<Request>,
}

fn measure(run: &mut Run, row: &str, question: &Question, app: &App) -> Result<(), Error> {
    let (cedar, engine) = (Cedar::app(app, true)?, app.builder(true)?.build()?);
    let snapshot = engine.snapshot();
    let resources = question.resources(app)?;
    let handles: Vec<EntityHandle> = resources
        .iter()
        .map(|uid| {
            snapshot
                .resolve(uid)?
                .ok_or_else(|| "no such resource".into())
        })
        .collect::<Result<_, Error>>()?;
    snapshot.list_descendants();
    let mut askings = Vec::new();
    for asked in question.requests(app, PRINCIPALS)? {
        let about = |resource: &String| RequestText {
            resource: resource.clone(),
            ..asked.clone()
        };
        let requests = resources
            .iter()
            .map(|resource| cedar.request(&about(resource), true));
        let requests = requests.collect::<Result<Vec<Request>, Error>>()?;
        let bound = snapshot.bind(requests.first().ok_or("no resource")?)?;
        let mut batch = bound.for_resources();
        let first = handles.first().ok_or("no resource")?;
        if !batch.warm_up(*first) {
            return Err(format!("{}: no code for the batch", app.name).into());
        }
        check(&cedar, &mut batch, &handles, &requests)?;
        askings.push(Asking { bound, requests });
    }
    let (bound, requests): (Vec<BoundRequest>, Vec<Vec<Request>>) =
        askings.into_iter().map(|a| (a.bound, a.requests)).unzip();
    let (mut turn, mut cedar_turn) = (0, 0);
    let ours = || {
        turn = (turn + 1) % bound.len();
        let mut batch = bound[turn].for_resources();
        let decisions = batch.decide(handles.iter().copied());
        black_box(decisions.allowed().count());
    };
    let theirs = || {
        cedar_turn = (cedar_turn + 1) % requests.len();
        for request in &requests[cedar_turn] {
            black_box(cedar.evaluate(request));
        }
    };
    let series = run.effort.interleave(&mut [
        Contender::new(CEDARJIT, handles.len(), ours),
        Contender::new(CEDAR, handles.len(), theirs),
    ]);
    run.row(to_row(row, app, handles.len(), &series)?);
    run.measurements.push(Measurement {
        case: Case::Batch {
            app: app.name.clone(),
            resources: handles.len(),
        },
        series,
    });
    Ok(())
}

/// Refuses to measure decisions that are others than cedar-policy's.
fn check(
    cedar: &Cedar,
    batch: &mut Batch,
    handles: &[EntityHandle],
    requests: &[Request],
) -> Result<(), Error> {
    let decisions = batch.decide(handles.iter().copied());
    let expected = requests.iter().map(|r| cedar.evaluate(r).decision());
    let expected: Vec<Option<Decision>> = expected.map(Some).collect();
    if decisions.iter().eq(expected) {
        return Ok(());
    }
    Err("a batch decides otherwise than cedar-policy, so nothing is measured".into())
}

fn to_row(row: &str, app: &App, resources: usize, series: &[Series]) -> Result<Row, Error> {
    let get = |name| named(series, name).ok_or("a contender is missing");
    let (ours, cedar) = (get(CEDARJIT)?, get(CEDAR)?);
    let over = cedar.over(ours);
    Ok(Row {
        id: row.to_owned(),
        what: format!(
            "{}: one principal and action, {} resources, decisions only, a resource",
            app.name,
            count(resources)
        ),
        required: format!("{}×", TIMES.0),
        moonshot: format!("{}×", TIMES.1),
        measured: ratio(over),
        detail: format!(
            "{} against {}",
            time(ours.summary().median),
            time(cedar.summary().median)
        ),
        met: over.median >= TIMES.0,
        moonshot_met: Some(over.median >= TIMES.1),
        figures: [("cedar-policy/cedarjit", over)].into(),
    })
}
