//! What was measured, and how it is written down.

mod markdown;
mod plot;
mod readme;

use crate::machine::Machine;
use crate::measure::{Series, Summary};
use cedarjit_bench::Error;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Everything that one run came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// How it was run: the arguments.
    pub(crate) arguments: Vec<String>,
    /// The main table.
    pub(crate) rows: Vec<Row>,
    /// What could not be measured, and why.
    pub(crate) skipped: Vec<String>,
    /// Every figure, round by round.
    pub(crate) measurements: Vec<Measurement>,
}

/// A line of the main table.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What `--only` calls it.
    pub(crate) id: String,
    /// What is measured.
    pub(crate) what: String,
    /// What is required.
    pub(crate) required: String,
    /// What was dreamt of.
    pub(crate) moonshot: String,
    /// What was measured, in the same terms.
    pub(crate) measured: String,
    /// The figures that this was made from.
    pub(crate) detail: String,
    /// Whether the requirement is met.
    pub(crate) met: bool,
    /// Whether the moonshot is; `None` if there is none.
    pub(crate) moonshot_met: Option<bool>,
    /// The figures that decide, for programs.
    pub(crate) figures: BTreeMap<&'static str, Summary>,
}

/// Contenders that took turns at one thing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    /// What they did.
    pub(crate) case: Case,
    /// Nanoseconds an operation.
    pub(crate) series: Vec<Series>,
}

/// What was done, for plots and tables to find it by.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum Case {
    /// A stage of a decision in an application.
    Application {
        /// The application and its size.
        app: String,
        /// What of a decision.
        stage: Stage,
    },
    /// Decisions about many resources for one principal: the figures are for one resource.
    Batch {
        /// The application and its size.
        app: String,
        /// How many resources.
        resources: usize,
    },
    /// A decision with so many policies.
    Policies {
        /// How many.
        policies: usize,
        /// How many of them determine an answer, on average.
        determining: f64,
    },
    /// A decision with 100,000 policies on one hub.
    Hub {
        /// Which kind of hub.
        hub: String,
    },
    /// Loading, to the first answer.
    Load {
        /// How many links.
        links: usize,
    },
    /// Compiling policies of distinct shapes.
    Compile {
        /// How many policies.
        policies: usize,
    },
    /// Memory: the figures are bytes a link.
    Memory {
        /// What the links name.
        names: String,
    },
}

/// A stage of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// From texts to what is evaluated.
    Bind,
    /// From that to the answer, with the schema.
    Evaluate,
    /// The same without a schema.
    EvaluateUntyped,
    /// From texts to the answer.
    EndToEnd,
    /// The same, requests validated against the schema.
    EndToEndValidated,
}

impl Report {
    /// Writes the report, its plots and the raw figures into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Error> {
        fs::create_dir_all(folder)?;
        let plots = plot::plots(&self.measurements);
        for plot in &plots {
            fs::write(folder.join(plot.file), &plot.svg)?;
        }
        let figures = serde_json::to_string(self)? + "\n";
        fs::write(folder.join("figures.json"), figures)?;
        fs::write(folder.join("README.md"), markdown::render(self, &plots))?;
        Ok(())
    }

    /// Puts the summary into the repository's README.
    pub(crate) fn update_readme(&self, file: &Path) -> Result<(), Error> {
        readme::update(file, self)
    }

    /// The main table as text for a terminal.
    pub(crate) fn print(&self) {
        for row in &self.rows {
            println!(
                "{:<9} {:<28} {:<22} required {:<10} moonshot {:<28} {}",
                markdown::verdict(row),
                row.id,
                row.measured,
                row.required,
                row.moonshot,
                row.detail,
            );
        }
        for skipped in &self.skipped {
            println!("SKIPPED: {skipped}");
        }
    }
}

/// Nanoseconds in the unit that reads best.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 999.5 => format!("{} ns", figures(ns)),
        ns if ns < 999.5e3 => format!("{} µs", figures(ns / 1e3)),
        ns if ns < 999.5e6 => format!("{} ms", figures(ns / 1e6)),
        ns => format!("{} s", figures(ns / 1e9)),
    }
}

/// A positive number with three figures, or more if it is large.
pub(crate) fn figures(value: f64) -> String {
    match value {
        v if v < 10.0 => format!("{value:.2}"),
        v if v < 100.0 => format!("{value:.1}"),
        _ => count(value.round() as usize),
    }
}

/// A whole number, thousands set apart.
pub(crate) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio with its spread.
pub(crate) fn ratio(summary: Summary) -> String {
    let Summary { median, low, high } = summary;
    format!(
        "{}× ({} to {})",
        figures(median),
        figures(low),
        figures(high)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(figures(1.234), "1.23");
        assert_eq!(figures(45.67), "45.7");
        assert_eq!(figures(345.4), "345");
        assert_eq!(figures(1_234_567.0), "1,234,567");
        assert_eq!(count(10), "10");
        assert_eq!(count(100_000), "100,000");
        assert_eq!(time(12.3), "12.3 ns");
        assert_eq!(time(183e6), "183 ms");
        assert_eq!(time(2.5e9), "2.50 s");
    }
}
