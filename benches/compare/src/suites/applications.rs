//! The applications of the Cedar paper: bind, evaluate, end to end.

use super::{Run, must_agree};
use crate::engines::cedar::{self, Cedar};
use crate::engines::floor::{Bound, Floor};
use crate::engines::rego::Rego;
use crate::engines::{CEDAR, CEDARJIT, FLOOR, REGORUS};
use crate::measure::{Contender, Series, named};
use crate::report::{Case, Measurement, Row, Stage, ratio, time};
use cedar_policy::Request;
use cedarjit::{BoundRequest, Tier};
use cedarjit_bench::Error;
use cedarjit_bench::apps::{self, App, RequestText, WORLDS};
use cedarjit_bench::client::Client;
use regorus::Value;
use std::collections::BTreeMap;
use std::hint::black_box;

/// The applications, as rows name them.
pub(crate) const APPS: [&str; 3] = ["tinytodo", "gdrive", "github"];

/// The rows of each application.
pub(crate) const ROWS: [&str; 4] = [
    "evaluate-schema",
    "evaluate-untyped",
    "end-to-end",
    "end-to-end-validated",
];

/// Measures the applications, or says that they are skipped.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    let wanted = |app: &&str| ROWS.iter().any(|row| run.wants(&format!("{row}-{app}")));
    let names: Vec<&str> = APPS.into_iter().filter(wanted).collect();
    if names.is_empty() {
        return Ok(());
    }
    let Some(worlds) = apps::worlds(&WORLDS)? else {
        let rows = names.join(", ");
        run.skipped
            .push(format!("the applications {rows}: {}", apps::absent()));
        return Ok(());
    };
    for name in names {
        let world = worlds.iter().find(|world| world.name.starts_with(name));
        let world = world.ok_or_else(|| format!("no world of {name}"))?;
        eprintln!("{}: loading", world.name);
        let mut peers = Peers::new(world)?;
        peers.check()?;
        for (stage, row) in [
            // What has no row of its own is for the plot.
            (Stage::Bind, "end-to-end"),
            (Stage::Evaluate, "evaluate-schema"),
            (Stage::EvaluateUntyped, "evaluate-untyped"),
            (Stage::EndToEnd, "end-to-end"),
            (Stage::EndToEndValidated, "end-to-end-validated"),
        ] {
            if !run.wants(&format!("{row}-{name}")) {
                continue;
            }
            eprintln!("{}: {}", world.name, stage.name());
            let series = peers.measure(stage, run)?;
            run.measurements.push(Measurement {
                case: Case::Application {
                    app: world.name.clone(),
                    stage,
                },
                series: series.clone(),
            });
            if let Some(row) = to_row(name, &world.name, stage, &series)? {
                run.row(row);
            }
        }
    }
    Ok(())
}

/// The required ratio and the dreamt of one of a stage, and what the row calls it.
fn targets(stage: Stage) -> Option<(&'static str, &'static str, f64, f64)> {
    Some(match stage {
        Stage::Bind => return None,
        Stage::Evaluate => (
            "evaluate-schema",
            "evaluate a bound request, full diagnostics, with schema",
            400.0,
            700.0,
        ),
        Stage::EvaluateUntyped => (
            "evaluate-untyped",
            "evaluate a bound request, full diagnostics, no schema",
            250.0,
            400.0,
        ),
        Stage::EndToEnd => (
            "end-to-end",
            "from three uids and a context as text to the answer, no schema",
            100.0,
            200.0,
        ),
        Stage::EndToEndValidated => (
            "end-to-end-validated",
            "from text to the answer, with schema: valid requests, validated",
            100.0,
            200.0,
        ),
    })
}

fn to_row(name: &str, world: &str, stage: Stage, series: &[Series]) -> Result<Option<Row>, Error> {
    let Some((row, what, required, moonshot)) = targets(stage) else {
        return Ok(None);
    };
    let get = |name| named(series, name).ok_or("a contender is missing");
    let (ours, cedar) = (get(CEDARJIT)?, get(CEDAR)?);
    let over = cedar.over(ours);
    let mut detail = format!(
        "{} against {}",
        time(ours.summary().median),
        time(cedar.summary().median)
    );
    let mut figures = BTreeMap::from([("cedar-policy/cedarjit", over)]);
    let mut moonshot_text = format!("{moonshot}×");
    let mut moonshot_met = over.median >= moonshot;
    if stage == Stage::Evaluate {
        let floor = get(FLOOR)?;
        let above = ours.over(floor);
        figures.insert("cedarjit/hand-written", above);
        moonshot_text += ", and no slower than by hand";
        moonshot_met &= above.median <= 1.0;
        detail += &format!(
            "; by hand {}, {} of that",
            time(floor.summary().median),
            ratio(above)
        );
    }
    Ok(Some(Row {
        id: format!("{row}-{name}"),
        what: format!("{world}: {what}"),
        required: format!("{required}×"),
        moonshot: moonshot_text,
        measured: ratio(over),
        detail,
        met: over.median >= required,
        moonshot_met: Some(moonshot_met),
        figures,
    }))
}

/// One application in every engine.
struct Peers<'a> {
    app: &'a App,
    /// Which requests fit the schema.
    valid: Vec<RequestText>,
    /// With the schema, validating what comes as text.
    typed: Client,
    /// Without a schema.
    untyped: Client,
    cedar: Cedar,
    cedar_untyped: Cedar,
    rego: Rego,
    floor: Floor,
    inputs: Inputs,
}

/// The requests as each engine evaluates them.
struct Inputs {
    typed: Vec<BoundRequest>,
    untyped: Vec<BoundRequest>,
    cedar: Vec<Request>,
    rego: Vec<Value>,
    floor: Vec<Bound>,
}

impl<'a> Peers<'a> {
    fn new(app: &'a App) -> Result<Self, Error> {
        let (typed, untyped) = (app.builder(true)?.build()?, app.builder(false)?.build()?);
        for engine in [&typed, &untyped] {
            if !matches!(engine.tier(), Tier::Native) {
                return Err(format!("cedarjit is not native here: {}", engine.tier()).into());
            }
        }
        let (typed, mut untyped) = (Client::new(&typed, true), Client::new(&untyped, false));
        let (cedar, cedar_untyped) = (Cedar::app(app, true)?, Cedar::app(app, false)?);
        let (rego, floor) = (Rego::new(app)?, Floor::new(app)?);
        let all = app.requests.iter();
        let cedar_requests: Vec<Request> = all
            .clone()
            .map(|r| cedar.request(r, false))
            .collect::<Result<_, _>>()?;
        let inputs = Inputs {
            // Some requests name an action that the schema does not know, and so cannot be read
            // by it.
            typed: cedar_requests
                .iter()
                .map(|r| typed.bind_request(r))
                .collect::<Result<_, _>>()?,
            untyped: all
                .clone()
                .map(|r| untyped.bind(r))
                .collect::<Result<_, _>>()?,
            cedar: cedar_requests,
            rego: all.clone().map(Rego::input).collect::<Result<_, _>>()?,
            floor: all.clone().map(|r| floor.bind(r)).collect(),
        };
        let valid = all
            .filter(|r| cedar.request(r, true).is_ok())
            .cloned()
            .collect();
        Ok(Self {
            app,
            valid,
            typed,
            untyped,
            cedar,
            cedar_untyped,
            rego,
            floor,
            inputs,
        })
    }

    /// Every engine gives the recorded answers.
    fn check(&mut self) -> Result<(), Error> {
        for (i, (request, expected)) in self.app.requests.iter().zip(&self.app.answers).enumerate()
        {
            let agree = |who: &str, answer: &_| must_agree(who, request, answer, expected);
            agree(CEDARJIT, &self.typed.answer_bound(&self.inputs.typed[i]))?;
            agree("cedarjit without schema", &self.untyped.answer(request)?)?;
            agree(CEDAR, &cedar::answer(&self.cedar.decide(request, false)?))?;
            let untyped = self.cedar_untyped.decide(request, false)?;
            agree("cedar-policy without schema", &cedar::answer(&untyped))?;
            agree(FLOOR, &self.floor.evaluate(self.inputs.floor[i]).answer())?;
            let decision = self.rego.evaluate(self.inputs.rego[i].clone())?;
            if decision != expected.decision {
                return Err(format!("{REGORUS} answers {decision:?} to {request:?}").into());
            }
            let valid = self.cedar.request(request, true);
            let validated = self.typed.answer(request);
            match (valid, validated) {
                (Ok(_), Ok(answer)) => agree("cedarjit, validating", &answer)?,
                (Err(_), Err(_)) => {}
                (valid, _) => {
                    let fits = valid.is_ok();
                    return Err(format!("whether {request:?} is valid, {fits}, is disputed").into());
                }
            }
        }
        Ok(())
    }

    fn measure(&mut self, stage: Stage, run: &Run) -> Result<Vec<Series>, Error> {
        let mut contenders = match stage {
            Stage::Bind => self.bind(),
            Stage::Evaluate => self.evaluate(),
            Stage::EvaluateUntyped => self.evaluate_untyped(),
            Stage::EndToEnd => self.end_to_end(),
            Stage::EndToEndValidated => self.end_to_end_validated(),
        };
        Ok(run.effort.interleave(&mut contenders))
    }

    fn bind(&mut self) -> Vec<Contender<'_>> {
        let all = &self.app.requests;
        let (untyped, cedar, floor) = (&mut self.untyped, &self.cedar_untyped, &self.floor);
        vec![
            over(CEDARJIT, all, |r| black_box(untyped.rebind(r)).is_ok()),
            over(CEDAR, all, |r| black_box(cedar.request(r, false)).is_ok()),
            over(REGORUS, all, |r| black_box(Rego::input(r)).is_ok()),
            over(FLOOR, all, |r| {
                black_box(floor.bind(r));
                true
            }),
        ]
    }

    fn evaluate(&mut self) -> Vec<Contender<'_>> {
        let Self {
            typed,
            cedar,
            rego,
            floor,
            inputs,
            ..
        } = self;
        vec![
            over(CEDARJIT, &inputs.typed, |r| {
                typed.evaluate(r);
                true
            }),
            over(CEDAR, &inputs.cedar, |r| {
                black_box(cedar.evaluate(r));
                true
            }),
            over(REGORUS, &inputs.rego, |r| {
                black_box(rego.evaluate(r.clone())).is_ok()
            }),
            over(FLOOR, &inputs.floor, |r| {
                black_box(floor.evaluate(*r));
                true
            }),
        ]
    }

    fn evaluate_untyped(&mut self) -> Vec<Contender<'_>> {
        let (untyped, cedar, floor) = (&mut self.untyped, &self.cedar_untyped, &self.floor);
        vec![
            over(CEDARJIT, &self.inputs.untyped, |r| {
                untyped.evaluate(r);
                true
            }),
            over(CEDAR, &self.inputs.cedar, |r| {
                black_box(cedar.evaluate(r));
                true
            }),
            over(FLOOR, &self.inputs.floor, |r| {
                black_box(floor.evaluate(*r));
                true
            }),
        ]
    }

    fn end_to_end(&mut self) -> Vec<Contender<'_>> {
        let all = &self.app.requests;
        let Self {
            untyped,
            cedar_untyped: cedar,
            rego,
            floor,
            ..
        } = self;
        vec![
            over(CEDARJIT, all, |r| black_box(untyped.decide(r)).is_ok()),
            over(CEDAR, all, |r| black_box(cedar.decide(r, false)).is_ok()),
            over(REGORUS, all, |r| {
                let decided = Rego::input(r).and_then(|input| rego.evaluate(input));
                black_box(decided).is_ok()
            }),
            over(FLOOR, all, |r| {
                black_box(floor.evaluate(floor.bind(r)));
                true
            }),
        ]
    }

    fn end_to_end_validated(&mut self) -> Vec<Contender<'_>> {
        let (typed, cedar) = (&mut self.typed, &self.cedar);
        vec![
            over(CEDARJIT, &self.valid, |r| {
                black_box(typed.decide(r)).is_ok()
            }),
            over(CEDAR, &self.valid, |r| {
                black_box(cedar.decide(r, true)).is_ok()
            }),
        ]
    }
}

/// A contender that does something with every one of some inputs, which must work.
fn over<'a, T>(
    name: &'static str,
    inputs: &'a [T],
    mut each: impl FnMut(&T) -> bool + 'a,
) -> Contender<'a> {
    Contender::new(name, inputs.len(), move || {
        let mut fine = true;
        for input in inputs {
            fine &= each(black_box(input));
        }
        assert!(fine, "{name} refuses a request that it answered before");
    })
}
