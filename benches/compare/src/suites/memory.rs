//! The memory that a linked policy takes.

use super::Run;
use crate::alloc::live_growth;
use crate::engines::{CEDAR, CEDARJIT, cedar};
use crate::measure::Series;
use crate::report::{Case, Measurement, Row, figures};
use cedarjit_bench::Error;
use cedarjit_bench::client::Client;
use cedarjit_bench::generate::{Names, links};
use std::hint::black_box;

/// The rows.
pub(crate) const ROWS: &[&str] = &["memory-link", "memory-link-own-names"];

const FEW: usize = 10_000;
const MANY: usize = 110_000;

/// cedar-policy's memory over ours: required and dreamt of.
const RATIO: (f64, f64) = (10.0, 30.0);

/// Measures the rows that are asked for.
pub(crate) fn run(run: &mut Run) -> Result<(), Error> {
    for (row, names, what) in [
        (
            "memory-link",
            Names::Shared,
            "memory of a linked policy that names entities which others name too",
        ),
        (
            "memory-link-own-names",
            Names::Own,
            "the same, each naming a person that no other does",
        ),
    ] {
        if !run.wants(row) {
            continue;
        }
        eprintln!("memory: links, {names:?} names");
        let per_link = |of: fn(usize, Names) -> Result<f64, Error>| -> Result<f64, Error> {
            let few = of(FEW, names)?;
            Ok((of(MANY, names)? - few) / (MANY - FEW) as f64)
        };
        let (ours, theirs) = (per_link(ours)?, per_link(theirs)?);
        let series = vec![
            Series::new(CEDARJIT, vec![ours]),
            Series::new(CEDAR, vec![theirs]),
        ];
        let over = series[1].over(&series[0]);
        run.row(Row {
            id: row.into(),
            what: what.into(),
            required: "a tenth of cedar-policy's".into(),
            moonshot: "a thirtieth".into(),
            measured: format!("1/{}", figures(over.median)),
            detail: format!("{} against {} bytes", figures(ours), figures(theirs)),
            met: over.median >= RATIO.0,
            moonshot_met: Some(over.median >= RATIO.1),
            figures: [("cedar-policy/cedarjit", over)].into(),
        });
        run.measurements.push(Measurement {
            case: Case::Memory {
                names: format!("{names:?}").to_lowercase(),
            },
            series,
        });
    }
    Ok(())
}

/// The bytes that an engine with so many links keeps, code included.
fn ours(count: usize, names: Names) -> Result<f64, Error> {
    let generated = links(count, names);
    let (engine, growth) = live_growth(|| -> Result<_, Error> {
        let engine = generated.builder().build()?;
        // Whatever is made when first needed, and all code.
        Client::new(&engine, false).decide(&generated.requests[0])?;
        while engine.stats().native_shapes < engine.stats().shapes {
            std::thread::yield_now();
        }
        Ok(engine)
    });
    let code = engine?.stats().code_bytes;
    Ok(growth as f64 + code as f64)
}

/// The bytes that cedar-policy's policy set with so many links keeps.
fn theirs(count: usize, names: Names) -> Result<f64, Error> {
    let generated = links(count, names);
    let (policies, growth) = live_growth(|| cedar::policies(&generated.policies, &generated.links));
    black_box(policies?);
    Ok(growth as f64)
}
