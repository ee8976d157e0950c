//! The report as Markdown.

use super::plot::Plot;
use super::{Case, Measurement, Report, Row, Stage, count, figures, time};
use crate::engines::{CEDAR, CEDARJIT, FLOOR, REGORUS};
use crate::measure::named;
use std::fmt::{self, Write};

/// The whole report.
pub(super) fn render(report: &Report, plots: &[Plot]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, report, plots);
    text
}

/// Whether a row is met, in a word.
pub(super) fn verdict(row: &Row) -> &'static str {
    match (row.met, row.moonshot_met) {
        (false, _) => "not met",
        (true, Some(true)) => "moonshot",
        (true, _) => "met",
    }
}

fn write(text: &mut String, report: &Report, plots: &[Plot]) -> fmt::Result {
    writeln!(text, "{INTRODUCTION}")?;
    main_table(text, report)?;
    for plot in plots {
        writeln!(
            text,
            "\n## {}\n\n![{}]({})",
            plot.title, plot.title, plot.file
        )?;
    }
    applications(text, &report.measurements)?;
    scaling(text, &report.measurements)?;
    writeln!(text, "\n{METHOD}")?;
    machine(text, report)
}

const INTRODUCTION: &str = "# Benchmarks

Written by `cargo run --release --manifest-path benches/compare/Cargo.toml`, which measures all of
this on your machine and writes this page anew. Every figure is of one run on the machine named
below; read the ratios.

## What must hold

A row's own command is the one above with ` -- --only` and the row's name. *Measured* is the median,
and in brackets what all rounds but the lowest and the highest tenth lay between.
";

const METHOD: &str = "## How this is measured

- The engines take turns, round after round, in one process; a figure is the median over the rounds,
  a ratio the median of the ratios round by round. Each turn is at least some milliseconds. Decisions
  are timed by the processor time of the thread, loading and compiling by the clock on the wall.
- Before anything is timed, answers are compared. In the applications, each of the 2,000 recorded
  requests: decision, determining policies and failing policies for cedarjit, cedar-policy and
  hand-written Rust, the decision for regorus, which gives no more. In generated policy sets,
  decision, determining and failing policies of some requests for cedarjit and cedar-policy.
- *Evaluate* is a request that was built before, to full diagnostics; cedar-policy's is
  `Authorizer::is_authorized` on a `Request`. *Bind* is three uids and a context as text, to that
  request; a binder of cedarjit's remembers up to 2,048 uids, and the applications name fewer (where
  none is remembered, see [bounds](bounds.md)). *End to end* is both. *Validated* requests are those
  that fit the schema, and both engines check that; others are decided as they are.
- *Hand-written Rust* is one function an application, over a store like the engine's own; it says of
  each policy whether it was satisfied or failed. Binding is three look-ups of the uids as they are
  written, and the context is not read: no policy of these applications asks for it.
- *regorus* interprets Rego of our own (`benches/compare/src/engines/rego`), from an `Engine` that
  is prepared and kept.
- Generated policy sets (`benches/src/generate.rs`) are the same every time. Of ten policies seven
  are links of two templates, the others permits for a group; two have no scope. Requests ask about
  documents that were shared and people they were shared with: they are in the scopes of about three
  policies, of which one or two determine the answer. The engine is asked 2,000 different requests in
  turn, so at 100,000 policies much of what it reads is in no near cache.
- Loading starts from texts in memory, entities parsed before, and ends with the first answer.
  cedar-policy parses, links one by one and answers.
- Memory is live bytes that a counting allocator sees, with the code's pages added: the difference
  of engines with 110,000 and 10,000 links, divided by 100,000. cedar-policy's is its `PolicySet`.
- All engines use the system's allocator. cedar-policy is built with the same profile.
";

fn main_table(text: &mut String, report: &Report) -> fmt::Result {
    writeln!(
        text,
        "| what | `--only` | required | moonshot | measured | | |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for row in &report.rows {
        let verdict = match verdict(row) {
            "not met" => "**not met**",
            met => met,
        };
        writeln!(
            text,
            "| {} | `{}` | {} | {} | {} | {verdict} | {} |",
            row.what, row.id, row.required, row.moonshot, row.measured, row.detail
        )?;
    }
    let met = report.rows.iter().filter(|row| row.met).count();
    let moonshots = report
        .rows
        .iter()
        .filter(|row| row.moonshot_met == Some(true));
    writeln!(
        text,
        "\n{met} of {} rows are met, {} of them with the moonshot.",
        report.rows.len(),
        moonshots.filter(|row| row.met).count()
    )?;
    for skipped in &report.skipped {
        writeln!(text, "\n**Skipped:** {skipped}.")?;
    }
    Ok(())
}

fn applications(text: &mut String, measurements: &[Measurement]) -> fmt::Result {
    let mut rows = measurements.iter().filter_map(|m| match &m.case {
        Case::Application { app, stage } => Some((app, *stage, m)),
        _ => None,
    });
    let Some(first) = rows.next() else {
        return Ok(());
    };
    writeln!(text, "\nMedians of one operation:\n")?;
    writeln!(
        text,
        "| application | stage | {CEDAR} | {REGORUS} | {CEDARJIT} | {FLOOR} | {CEDAR} / {CEDARJIT} | \
         {CEDARJIT} / hand-written |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (app, stage, measurement) in std::iter::once(first).chain(rows) {
        let series = |name| named(&measurement.series, name);
        let cell = |name| series(name).map_or("".into(), |s| time(s.summary().median));
        let over = |a, b| match (series(a), series(b)) {
            (Some(a), Some(b)) => format!("{}×", figures(a.over(b).median)),
            _ => String::new(),
        };
        writeln!(
            text,
            "| {app} | {} | {} | {} | {} | {} | {} | {} |",
            stage.name(),
            cell(CEDAR),
            cell(REGORUS),
            cell(CEDARJIT),
            cell(FLOOR),
            over(CEDAR, CEDARJIT),
            over(CEDARJIT, FLOOR),
        )?;
    }
    Ok(())
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Bind => "bind",
            Stage::Evaluate => "evaluate",
            Stage::EvaluateUntyped => "evaluate, no schema",
            Stage::EndToEnd => "end to end",
            Stage::EndToEndValidated => "end to end, validated",
        }
    }
}

fn scaling(text: &mut String, measurements: &[Measurement]) -> fmt::Result {
    let mut rows = measurements.iter().filter_map(|m| {
        let name = match &m.case {
            Case::Policies {
                policies,
                determining,
            } => format!(
                "{}, mixed; {} determine an answer on average",
                count(*policies),
                figures(*determining)
            ),
            Case::Hub { hub } => format!("100,000, {hub}"),
            _ => return None,
        };
        Some((name, m))
    });
    let Some(first) = rows.next() else {
        return Ok(());
    };
    writeln!(text, "\nMedians of evaluating one request:\n")?;
    writeln!(
        text,
        "| policies | {CEDAR} | {CEDARJIT} | ratio |\n|---|---|---|---|"
    )?;
    for (name, measurement) in std::iter::once(first).chain(rows) {
        let series = |name| named(&measurement.series, name);
        let cell = |name| series(name).map_or("".into(), |s| time(s.summary().median));
        let ratio = match (series(CEDAR), series(CEDARJIT)) {
            (Some(a), Some(b)) => format!("{}×", figures(a.over(b).median)),
            _ => String::new(),
        };
        writeln!(
            text,
            "| {name} | {} | {} | {ratio} |",
            cell(CEDAR),
            cell(CEDARJIT)
        )?;
    }
    Ok(())
}

fn machine(text: &mut String, report: &Report) -> fmt::Result {
    let machine = &report.machine;
    let load = |load: Option<f64>| load.map_or("unknown".into(), |load| format!("{load:.1}"));
    let memory = machine
        .memory_gib
        .map_or("unknown".into(), |gib| format!("{gib} GiB"));
    let versions: Vec<String> = machine
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let commit = machine.commit.as_deref().unwrap_or("unknown");
    let modified = if machine.modified {
        ", with changes"
    } else {
        ""
    };
    let arguments = match report.arguments.as_slice() {
        [] => "none".into(),
        arguments => format!("`{}`", arguments.join(" ")),
    };
    writeln!(text, "## Measured on\n\n| | |\n|---|---|")?;
    writeln!(
        text,
        "| processor | {}, {} threads |",
        machine.processor, machine.threads
    )?;
    writeln!(text, "| memory | {memory} |")?;
    writeln!(text, "| system | {} |", machine.system)?;
    writeln!(
        text,
        "| load average before and after | {} and {} |",
        load(machine.load[0]),
        load(machine.load[1])
    )?;
    writeln!(text, "| compiler | {} |", machine.rustc)?;
    writeln!(text, "| versions | {} |", versions.join(", "))?;
    writeln!(text, "| commit | {commit}{modified} |")?;
    writeln!(text, "| arguments | {arguments} |")
}
