//! Plots, as SVG written by hand: two are not worth a library.

use super::{Case, Measurement, Stage, count, time};
use crate::engines::{CEDAR, CEDARJIT, FLOOR, REGORUS};
use crate::measure::named;
use std::fmt::Write;

/// A plot that is worth a heading.
pub(super) struct Plot {
    /// What it shows.
    pub(super) title: &'static str,
    /// Its file's name.
    pub(super) file: &'static str,
    /// Its file's text.
    pub(super) svg: String,
}

/// The plots that the measurements suffice for.
pub(super) fn plots(measurements: &[Measurement]) -> Vec<Plot> {
    let bars = bars(measurements).map(|svg| Plot {
        title: "Applications",
        file: "applications.svg",
        svg,
    });
    let lines = lines(measurements).map(|svg| Plot {
        title: "Number of policies",
        file: "policies.svg",
        svg,
    });
    bars.into_iter().chain(lines).collect()
}

/// The engines in the order of their bars; the colours can be told apart by the colour-blind too.
const ENGINES: [(&str, &str); 4] = [
    (CEDAR, "#d55e00"),
    (REGORUS, "#999999"),
    (CEDARJIT, "#0072b2"),
    (FLOOR, "#009e73"),
];

const WIDTH: f64 = 760.0;

/// A logarithmic axis from one place to another.
#[derive(Clone, Copy)]
struct Axis {
    /// Decimal logarithms of the ends.
    from: f64,
    to: f64,
    /// Where the ends are.
    start: f64,
    end: f64,
}

impl Axis {
    /// An axis of whole decades that has room for all values.
    fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Self> {
        let logs: Vec<f64> = values
            .map(f64::log10)
            .filter(|log| log.is_finite())
            .collect();
        let from = logs.iter().copied().reduce(f64::min)?.floor();
        let to = logs
            .iter()
            .copied()
            .reduce(f64::max)?
            .ceil()
            .max(from + 1.0);
        Some(Self {
            from,
            to,
            start,
            end,
        })
    }

    fn place(self, value: f64) -> f64 {
        let share = (value.log10() - self.from) / (self.to - self.from);
        self.start + share * (self.end - self.start)
    }

    /// The powers of ten on the axis.
    fn decades(self) -> impl Iterator<Item = f64> {
        (self.from as i32..=self.to as i32).map(|exponent| 10_f64.powi(exponent))
    }
}

/// An SVG while it is written.
struct Svg(String);

impl Svg {
    fn new(height: f64, description: &str) -> Self {
        let mut svg = Self(String::new());
        svg.line(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" \
             aria-label=\"{description}\">"
        ));
        svg.line(format_args!(
            "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>"
        ));
        svg
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    /// Text whose anchor is `start`, `middle` or `end`.
    fn text(&mut self, x: f64, y: f64, anchor: &str, fill: &str, text: &str) {
        self.line(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{text}</text>"
        ));
    }

    fn rule(&mut self, x1: f64, y1: f64, x2: f64, y2: f64) {
        self.line(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#dddddd\"/>"
        ));
    }

    fn legend(&mut self, y: f64) {
        for (i, (name, colour)) in ENGINES.iter().enumerate() {
            let x = 170.0 + 140.0 * i as f64;
            self.line(format_args!(
                "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>",
                y - 10.0
            ));
            self.text(x + 18.0, y, "start", "#333333", name);
        }
    }

    fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }
}

const BAR: f64 = 13.0;
const GAP: f64 = 12.0;
const STAGES: [Stage; 3] = [Stage::Bind, Stage::Evaluate, Stage::EndToEnd];

/// Bars for each application and stage, one an engine.
fn bars(measurements: &[Measurement]) -> Option<String> {
    let groups: Vec<(String, &Measurement)> = measurements
        .iter()
        .filter_map(|m| match &m.case {
            Case::Application { app, stage } if STAGES.contains(stage) => {
                Some((format!("{app}, {}", stage.name()), m))
            }
            _ => None,
        })
        .collect();
    let medians = groups.iter().flat_map(|(_, m)| &m.series);
    let axis = Axis::over(medians.map(|s| s.summary().median), 170.0, WIDTH - 80.0)?;
    let bars: usize = groups.iter().map(|(_, m)| m.series.len()).sum();
    let bottom = 50.0 + bars as f64 * BAR + groups.len() as f64 * GAP;
    let mut svg = Svg::new(
        bottom + 40.0,
        "Time of one operation in each application, by stage and engine, logarithmic",
    );
    svg.legend(24.0);
    for decade in axis.decades() {
        let x = axis.place(decade);
        svg.rule(x, 40.0, x, bottom);
        svg.text(x, bottom + 16.0, "middle", "#333333", &label(decade));
    }
    let mut y = 50.0;
    for (name, measurement) in groups {
        let middle = y + measurement.series.len() as f64 * BAR / 2.0 + 4.0;
        svg.text(160.0, middle, "end", "#333333", &name);
        for (engine, colour) in ENGINES {
            let Some(series) = named(&measurement.series, engine) else {
                continue;
            };
            let median = series.summary().median;
            let end = axis.place(median);
            svg.line(format_args!(
                "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>",
                axis.start,
                (end - axis.start).max(1.0),
                BAR - 2.0
            ));
            svg.text(end + 5.0, y + BAR - 4.0, "start", "#333333", &time(median));
            y += BAR;
        }
        y += GAP;
    }
    svg.text(
        f64::midpoint(axis.start, axis.end),
        bottom + 33.0,
        "middle",
        "#333333",
        "median time of one operation",
    );
    Some(svg.finish())
}

/// The cost of a decision against the number of policies, a line an engine.
fn lines(measurements: &[Measurement]) -> Option<String> {
    let points: Vec<(f64, &Measurement)> = measurements
        .iter()
        .filter_map(|m| match m.case {
            Case::Policies { policies, .. } => Some((policies as f64, m)),
            _ => None,
        })
        .collect();
    let (top, bottom) = (44.0, 380.0);
    let x_axis = Axis::over(points.iter().map(|(x, _)| *x), 80.0, WIDTH - 110.0)?;
    let medians = points.iter().flat_map(|(_, m)| &m.series);
    let y_axis = Axis::over(medians.map(|s| s.summary().median), bottom, top)?;
    let mut svg = Svg::new(
        bottom + 46.0,
        "Time of one decision against the number of policies, both logarithmic",
    );
    svg.text(
        80.0,
        24.0,
        "start",
        "#333333",
        "median time to evaluate one request",
    );
    for decade in x_axis.decades() {
        let x = x_axis.place(decade);
        svg.rule(x, top, x, bottom);
        svg.text(
            x,
            bottom + 18.0,
            "middle",
            "#333333",
            &count(decade as usize),
        );
    }
    for decade in y_axis.decades() {
        let y = y_axis.place(decade);
        svg.rule(x_axis.start, y, x_axis.end, y);
        svg.text(72.0, y + 4.0, "end", "#333333", &label(decade));
    }
    for (engine, colour) in ENGINES {
        let places: Vec<(f64, f64)> = points
            .iter()
            .filter_map(|(x, m)| {
                let median = named(&m.series, engine)?.summary().median;
                Some((x_axis.place(*x), y_axis.place(median)))
            })
            .collect();
        line(&mut svg, engine, colour, &places);
    }
    let middle = f64::midpoint(x_axis.start, x_axis.end);
    svg.text(middle, bottom + 36.0, "middle", "#333333", "policies");
    Some(svg.finish())
}

fn line(svg: &mut Svg, engine: &str, colour: &str, places: &[(f64, f64)]) {
    let Some((end_x, end_y)) = places.last() else {
        return;
    };
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    svg.line(format_args!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    ));
    for (x, y) in places {
        svg.line(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        ));
    }
    svg.text(end_x + 9.0, end_y + 4.0, "start", colour, engine);
}

/// A power of ten of nanoseconds.
fn label(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Series;

    #[test]
    fn plots_are_drawn_of_what_there_is() {
        assert!(plots(&[]).is_empty());
        let series = |ns: f64| {
            vec![
                Series::new(CEDAR, vec![ns * 100.0]),
                Series::new(CEDARJIT, vec![ns]),
            ]
        };
        let mut measurements = vec![Measurement {
            case: Case::Application {
                app: "tinytodo-50".into(),
                stage: Stage::Bind,
            },
            series: series(40.0),
        }];
        assert_eq!(plots(&measurements).len(), 1);
        for policies in [10, 1000] {
            measurements.push(Measurement {
                case: Case::Policies {
                    policies,
                    determining: 1.0,
                },
                series: series(30.0),
            });
        }
        let plots = plots(&measurements);
        assert_eq!(plots.len(), 2);
        for plot in plots {
            assert!(plot.svg.starts_with("<svg") && plot.svg.ends_with("</svg>\n"));
            assert!(
                !plot.svg.contains("NaN") && !plot.svg.contains("inf"),
                "{}",
                plot.svg
            );
        }
    }

    #[test]
    fn an_axis_covers_its_values() {
        let axis = Axis::over([20.0, 5_000.0].into_iter(), 0.0, 100.0).unwrap();
        assert_eq!(
            axis.decades().collect::<Vec<_>>(),
            [10.0, 100.0, 1_000.0, 10_000.0]
        );
        assert_eq!(axis.place(10.0), 0.0);
        assert_eq!(axis.place(10_000.0), 100.0);
    }
}
