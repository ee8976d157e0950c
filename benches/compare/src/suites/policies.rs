//! A decision against the number of policies, and with all policies on one hub.

use super::{Run, must_agree};
use crate::engines::cedar::{self, Cedar};
use crate::engines::{CEDAR, CEDARJIT};
use crate::measure::{Contender, Series, Summary, named};
use crate::report::{Case, Measurement, Row, count, ratio, time};
use cedar_policy::{Entities, Request};
use cedarjit::BoundRequest;
use cedarjit_bench::Error;
use cedarjit_bench::client::Client;
use cedarjit_bench::generate::{Layout, scaling};
use std::hint::black_box;

/// The rows.
pub(crate) const ROWS: &[&str] = &[
    "policies-1000",
    "policies-1000-flat",
    "policies-100000",
    "policies-100000-flat",
    "hub-group",
    "hub-resource",
];

/// What own costs are compared with.
const FEW: usize = 10;

const MANY: usize = 100_000;

/// The sizes of the plot.
const SIZES: [usize; 5] = [FEW, 100, 1_000, 10_000, MANY];

/// How many distinct requests are asked.
const REQUESTS: usize = 2_000;

/// Our cost may be so many times that of fewer or other policies; required and dreamt of.
const FLAT: (f64, f64) = (4.0, 2.0);

/// Measures the rows that are asked for. They take turns with each other: costs at one size are
/// compared with costs at another.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    if !run.wants_any(ROWS) {
        return Ok(());
    }
    let mut sets = Vec::new();
    for size in SIZES {
        sets.push(Set::new(Layout::Mixed, size)?);
    }
    for (row, layout) in [
        ("hub-group", Layout::HubGroup),
        ("hub-resource", Layout::HubResource),
    ] {
        if run.wants(row) {
            sets.push(Set::new(layout, MANY)?);
        }
    }
    eprintln!("policies: evaluating");
    let cases: Vec<Case> = sets.iter().map(Set::case).collect();
    let mut contenders: Vec<Contender<'_>> = sets.iter_mut().flat_map(Set::contenders).collect();
    // cedar-policy takes most of a round, and each of its passes is long: fewer rounds do.
    let mut effort = run.effort;
    effort.rounds = effort.rounds.div_ceil(3);
    let mut series = effort.interleave(&mut contenders).into_iter();
    drop(contenders);
    for case in cases {
        let series: Vec<Series> = series.by_ref().take(2).collect();
        run.measurements.push(Measurement { case, series });
    }
    rows(run)
}

fn rows(run: &mut Run) -> Result<(), Error> {
    let measured = run.measurements.clone();
    let mixed = |size, name| {
        let of_size = |m: &&Measurement| matches!(m.case, Case::Policies { policies, .. } if policies == size);
        let series = &measured
            .iter()
            .find(of_size)
            .ok_or("a size is missing")?
            .series;
        named(series, name).ok_or("a contender is missing")
    };
    let few = mixed(FEW, CEDARJIT)?;
    for (policies, required) in [(1_000, 2_000.0), (MANY, 100_000.0)] {
        let (ours, cedar) = (mixed(policies, CEDARJIT)?, mixed(policies, CEDAR)?);
        let over = cedar.over(ours);
        run.row(Row {
            id: format!("policies-{policies}"),
            what: format!(
                "{} policies, the scopes of about three match",
                count(policies)
            ),
            required: format!("{}×", count(required as usize)),
            moonshot: "the same".into(),
            measured: ratio(over),
            detail: against(ours, cedar),
            met: over.median >= required,
            moonshot_met: None,
            figures: [("cedar-policy/cedarjit", over)].into(),
        });
        let what = format!("the same, against own cost at {FEW}");
        run.row(flat(format!("policies-{policies}-flat"), what, ours, few));
    }
    let many = mixed(MANY, CEDARJIT)?;
    for (hub, what) in [
        (
            "hub-group",
            "all 100,000 for one group, each another resource",
        ),
        (
            "hub-resource",
            "all 100,000 for one resource, each another principal",
        ),
    ] {
        let of_hub = |m: &&Measurement| matches!(&m.case, Case::Hub { hub: name } if name == hub);
        let series = measured.iter().find(of_hub).map(|m| &m.series);
        if let Some(ours) = series.and_then(|series| named(series, CEDARJIT)) {
            let what = format!("{what}, against own cost at 100,000 mixed");
            run.row(flat(hub.into(), what, ours, many));
        }
    }
    Ok(())
}

/// A row that asks for a cost not far above another.
fn flat(id: String, what: String, ours: &Series, other: &Series) -> Row {
    let over: Summary = ours.over(other);
    Row {
        id,
        what,
        required: format!("under {}×", FLAT.0),
        moonshot: format!("under {}×", FLAT.1),
        measured: ratio(over),
        detail: against(ours, other),
        met: over.median < FLAT.0,
        moonshot_met: Some(over.median < FLAT.1),
        figures: [("cost/cost", over)].into(),
    }
}

fn against(ours: &Series, other: &Series) -> String {
    let (ours, other) = (ours.summary().median, other.summary().median);
    format!("{} against {}", time(ours), time(other))
}

/// One policy set in both engines.
struct Set {
    layout: Layout,
    size: usize,
    client: Client,
    bound: Vec<BoundRequest>,
    cedar: Cedar,
    requests: Vec<Request>,
    /// How many policies determine an answer, on average.
    determining: f64,
}

impl Set {
    fn new(layout: Layout, size: usize) -> Result<Self, Error> {
        eprintln!("{} policies, {layout:?}: loading", count(size));
        let generated = scaling(layout, size, REQUESTS);
        let engine = generated.builder().build()?;
        let loaded = engine.stats().policies;
        if loaded != size {
            return Err(format!("{loaded} policies were generated, not {size}").into());
        }
        let mut client = Client::new(&engine, false);
        let policies = cedar::policies(&generated.policies, &generated.links)?;
        let entities = Entities::from_json_str(&generated.entities, None)?;
        let cedar = Cedar::new(policies, entities);
        let texts = generated.requests.iter();
        let bound: Vec<BoundRequest> = texts
            .clone()
            .map(|r| client.bind(r))
            .collect::<Result<_, _>>()?;
        let requests: Vec<Request> = texts
            .map(|r| cedar.request(r, false))
            .collect::<Result<_, _>>()?;
        // cedar-policy's time for an answer grows with the policies.
        let checked = (200_000 / size).clamp(8, 200);
        for (text, request) in generated.requests.iter().zip(&requests).take(checked) {
            let expected = cedar::answer(&cedar.evaluate(request));
            must_agree(CEDARJIT, text, &client.answer(text)?, &expected)?;
        }
        let reasons = bound.iter().map(|r| client.answer_bound(r).reasons.len());
        let determining = reasons.sum::<usize>() as f64 / bound.len() as f64;
        Ok(Self {
            layout,
            size,
            client,
            bound,
            cedar,
            requests,
            determining,
        })
    }

    fn case(&self) -> Case {
        let hub = match self.layout {
            Layout::Mixed => {
                return Case::Policies {
                    policies: self.size,
                    determining: self.determining,
                };
            }
            Layout::HubGroup => "hub-group",
            Layout::HubResource => "hub-resource",
        };
        Case::Hub { hub: hub.into() }
    }

    /// We evaluate all requests in a pass; cedar-policy as many as take some milliseconds, in the
    /// next pass the next ones.
    fn contenders(&mut self) -> [Contender<'_>; 2] {
        let Self {
            client,
            bound,
            cedar,
            requests,
            size,
            ..
        } = self;
        let ours = Contender::new(CEDARJIT, bound.len(), move || {
            for request in &*bound {
                client.evaluate(black_box(request));
            }
        });
        let some = (10_000 / *size).clamp(1, 200);
        let mut next = requests.iter().cycle();
        let theirs = Contender::new(CEDAR, some, move || {
            for request in next.by_ref().take(some) {
                black_box(cedar.evaluate(black_box(request)));
            }
        });
        [ours, theirs]
    }
}
