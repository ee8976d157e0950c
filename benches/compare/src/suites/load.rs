//! Loading many links, from texts to the first answer.

use super::{Run, must_agree};
use crate::engines::cedar::{self, Cedar};
use crate::engines::{CEDAR, CEDARJIT};
use crate::measure::{Contender, named};
use crate::report::{Case, Measurement, Row, ratio, time};
use cedar_policy::Entities;
use cedarjit::Engine;
use cedarjit_bench::Error;
use cedarjit_bench::apps::Answer;
use cedarjit_bench::client::Client;
use cedarjit_bench::generate::{Generated, Names, links};
use std::time::{Duration, Instant};

/// The row.
pub(crate) const ROWS: &[&str] = &["load-links"];

const LINKS: usize = 100_000;

/// cedar-policy's time over ours: required and dreamt of.
const RATIO: (f64, f64) = (1.0, 2.0);

/// Measures the row if it is asked for.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    if !run.wants_any(ROWS) {
        return Ok(());
    }
    eprintln!("load: 100,000 links");
    let generated = links(LINKS, Names::Own);
    let entities = Entities::from_json_str(&generated.entities, None)?;
    let ((_, ours), (_, theirs)) = (
        load_ours(&generated, &entities)?,
        load_theirs(&generated, &entities)?,
    );
    must_agree(CEDARJIT, &"the first request", &ours, &theirs)?;
    let mut contenders = [
        Contender::timed(CEDARJIT, || taken(load_ours(&generated, &entities))),
        Contender::timed(CEDAR, || taken(load_theirs(&generated, &entities))),
    ];
    let series = run.effort.interleave_long(&mut contenders);
    drop(contenders);
    let get = |name| named(&series, name).ok_or("a contender is missing");
    let (ours, cedar) = (get(CEDARJIT)?, get(CEDAR)?);
    let over = cedar.over(ours);
    run.row(Row {
        id: "load-links".into(),
        what: "load 100,000 links, from texts to the first answer".into(),
        required: "1×, no slower than cedar-policy".into(),
        moonshot: "2×, half its time".into(),
        measured: ratio(over),
        detail: format!(
            "{} against {}",
            time(ours.summary().median),
            time(cedar.summary().median)
        ),
        met: over.median >= RATIO.0,
        moonshot_met: Some(over.median >= RATIO.1),
        figures: [("cedar-policy/cedarjit", over)].into(),
    });
    run.measurements.push(Measurement {
        case: Case::Load { links: LINKS },
        series,
    });
    Ok(())
}

/// It worked before, with the same texts.
fn taken(loaded: Result<(Duration, Answer), Error>) -> Duration {
    loaded.expect("the same texts loaded before").0
}

/// How long it took to the first answer; what was loaded is dropped after the clock stopped.
fn load_ours(generated: &Generated, entities: &Entities) -> Result<(Duration, Answer), Error> {
    let builder = Engine::builder()
        .policies_str(&generated.policies)
        .links_json(&generated.links)
        .entities(entities.clone());
    let start = Instant::now();
    let engine = builder.build()?;
    let answer = Client::new(&engine, false).answer(&generated.requests[0])?;
    Ok((start.elapsed(), answer))
}

fn load_theirs(generated: &Generated, entities: &Entities) -> Result<(Duration, Answer), Error> {
    let entities = entities.clone();
    let start = Instant::now();
    let policies = cedar::policies(&generated.policies, &generated.links)?;
    let cedar = Cedar::new(policies, entities);
    let answer = cedar::answer(&cedar.decide(&generated.requests[0], false)?);
    Ok((start.elapsed(), answer))
}
