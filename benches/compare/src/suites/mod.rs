//! What is measured: each suite checks answers first, and gives rows and figures.

pub(crate) mod applications;
pub(crate) mod batch;
pub(crate) mod distinct;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod policies;

use crate::measure::Effort;
use crate::report::{Measurement, Row};
use cedarjit_bench::Error;
use cedarjit_bench::apps::Answer;
use std::fmt::Debug;

/// What one run measures, and what it has come to so far.
#[derive(Debug)]
pub(crate) struct Run {
    /// How long to measure.
    pub(crate) effort: Effort,
    /// The rows, or beginnings of their names, that are asked for; all if there are none.
    pub(crate) only: Vec<String>,
    /// The rows so far.
    pub(crate) rows: Vec<Row>,
    /// The figures so far.
    pub(crate) measurements: Vec<Measurement>,
    /// What was left out because something was missing.
    pub(crate) skipped: Vec<String>,
}

impl Run {
    /// Whether a row is asked for.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| row.starts_with(only.as_str()))
    }

    /// Whether any of some rows is asked for.
    pub(crate) fn wants_any(&self, rows: &[&str]) -> bool {
        rows.iter().any(|row| self.wants(row))
    }

    /// Adds a row if it is asked for.
    pub(crate) fn row(&mut self, row: Row) {
        if self.wants(&row.id) {
            self.rows.push(row);
        }
    }
}

/// Every row's name; `{app}` stands for the applications.
pub(crate) fn row_names() -> Vec<String> {
    let apps = applications::ROWS.iter().flat_map(|row| {
        applications::APPS
            .iter()
            .map(move |app| format!("{row}-{app}"))
    });
    let others = [
        batch::ROWS,
        policies::ROWS,
        load::ROWS,
        distinct::ROWS,
        memory::ROWS,
    ]
    .concat();
    apps.chain(others.into_iter().map(str::to_owned)).collect()
}

/// Refuses to measure an engine whose answer is another.
pub(crate) fn must_agree(
    who: &str,
    request: &impl Debug,
    answer: &Answer,
    expected: &Answer,
) -> Result<(), Error> {
    if answer == expected {
        return Ok(());
    }
    let message = format!(
        "{who} answers another than expected, so nothing is measured: \
         {request:?}: {answer:?}, expected {expected:?}"
    );
    Err(message.into())
}
