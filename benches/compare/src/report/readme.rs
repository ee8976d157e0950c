//! The summary in the repository's README: a table between two marks.

use super::{Case, Report, Stage, count, figures, time};
use crate::engines::{CEDAR, CEDARJIT};
use crate::measure::named;
use cedarjit_bench::Error;
use std::fmt::Write;
use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- written by benches/compare: begin -->\n";
const END: &str = "<!-- written by benches/compare: end -->\n";

/// Puts the summary of a whole run into the README.
pub(super) fn update(file: &Path, report: &Report) -> Result<(), Error> {
    let text = fs::read_to_string(file)?;
    let updated = replace(&text, &summary(report))
        .ok_or_else(|| format!("{} has no place for the summary", file.display()))?;
    Ok(fs::write(file, updated)?)
}

/// The text with the part between the marks replaced.
fn replace(text: &str, summary: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{summary}{END}{after}"))
}

fn summary(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "| a decision, median | {CEDAR} | {CEDARJIT} | ratio |\n|---|---|---|---|"
    );
    for measurement in &report.measurements {
        let what = match &measurement.case {
            Case::Application { app, stage } => match stage {
                Stage::Evaluate => format!("{app}, evaluate"),
                Stage::EndToEnd => format!("{app}, from text"),
                _ => continue,
            },
            Case::Policies { policies, .. } if *policies >= 1_000 => {
                format!("{} policies, evaluate", count(*policies))
            }
            _ => continue,
        };
        let series = |name| named(&measurement.series, name);
        if let (Some(cedar), Some(ours)) = (series(CEDAR), series(CEDARJIT)) {
            let _ = writeln!(
                text,
                "| {what} | {} | {} | {}× |",
                time(cedar.summary().median),
                time(ours.summary().median),
                figures(cedar.over(ours).median)
            );
        }
    }
    let met = report.rows.iter().filter(|row| row.met).count();
    let _ = writeln!(
        text,
        "\nOf {} goals set beforehand {met} are met; [docs/benchmarks](docs/benchmarks/README.md) has \
         each, the peers, the plots and the machine.",
        report.rows.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        let expected = format!("a\n{BEGIN}new\n{END}b\n");
        assert_eq!(replace(&text, "new\n"), Some(expected));
        assert_eq!(replace("a\nb\n", "new\n"), None);
    }

    #[test]
    fn the_readme_has_the_marks() {
        let readme = include_str!("../../../../README.md");
        assert!(replace(readme, "").is_some());
    }
}
