//! Measuring: contenders take turns, round after round, in one process.
//!
//! A noisy machine slows everybody that is measured at the time. So each round measures every
//! contender once, and what is reported are the medians over the rounds and, for two contenders,
//! the median of their ratios round by round.

use crate::clock;
use serde::Serialize;
use std::time::Duration;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds for what takes microseconds.
    pub(crate) rounds: usize,
    /// Rounds for what takes seconds.
    pub(crate) long_rounds: usize,
    /// Passes of one contender are repeated in a round until they take this long together.
    pub(crate) turn: Duration,
}

impl Effort {
    /// For figures to publish.
    pub(crate) const FULL: Effort = Effort {
        rounds: 41,
        long_rounds: 5,
        turn: Duration::from_millis(4),
    };

    /// For a look.
    pub(crate) const QUICK: Effort = Effort {
        rounds: 7,
        long_rounds: 1,
        turn: Duration::from_millis(2),
    };
}

impl Effort {
    /// Lets contenders take turns at something short.
    pub(crate) fn interleave(self, contenders: &mut [Contender<'_>]) -> Vec<Series> {
        interleave(contenders, self.rounds, self.turn)
    }

    /// Lets contenders take turns at something that takes seconds.
    pub(crate) fn interleave_long(self, contenders: &mut [Contender<'_>]) -> Vec<Series> {
        interleave(contenders, self.long_rounds, Duration::ZERO)
    }
}

/// One of those who take turns.
pub(crate) struct Contender<'a> {
    name: &'static str,
    operations: usize,
    pass: Pass<'a>,
}

enum Pass<'a> {
    /// Is timed from outside.
    Short(Box<dyn FnMut() + 'a>),
    /// Says itself how long it took.
    Long(Box<dyn FnMut() -> Duration + 'a>),
}

impl<'a> Contender<'a> {
    /// `pass` performs `operations` operations on this thread.
    pub(crate) fn new(name: &'static str, operations: usize, pass: impl FnMut() + 'a) -> Self {
        Self {
            name,
            operations,
            pass: Pass::Short(Box::new(pass)),
        }
    }

    /// `pass` performs one operation and says how long it took, setting up aside.
    pub(crate) fn timed(name: &'static str, pass: impl FnMut() -> Duration + 'a) -> Self {
        Self {
            name,
            operations: 1,
            pass: Pass::Long(Box::new(pass)),
        }
    }

    /// Nanoseconds of `passes` passes.
    fn time(&mut self, passes: u32) -> f64 {
        let all: Duration = match &mut self.pass {
            Pass::Short(pass) => {
                let start = clock::now();
                for _ in 0..passes {
                    pass();
                }
                clock::now().saturating_sub(start)
            }
            Pass::Long(pass) => (0..passes).map(|_| pass()).sum(),
        };
        all.as_nanos() as f64
    }
}

/// What one contender took, round by round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    /// Whose figures these are.
    pub(crate) name: String,
    /// Nanoseconds an operation in each round.
    pub(crate) rounds: Vec<f64>,
}

impl Series {
    /// What was measured once, or apart.
    pub(crate) fn new(name: &str, rounds: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            rounds,
        }
    }

    /// The median, and how the rounds spread.
    pub(crate) fn summary(&self) -> Summary {
        Summary::of(self.rounds.clone())
    }

    /// How many times longer `self` took than `other`, round by round.
    pub(crate) fn over(&self, other: &Series) -> Summary {
        let pairs = self.rounds.iter().zip(&other.rounds);
        Summary::of(pairs.map(|(a, b)| a / b).collect())
    }
}

/// A median and a spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Summary {
    /// Half of the rounds were below.
    pub(crate) median: f64,
    /// A tenth of the rounds were below.
    pub(crate) low: f64,
    /// A tenth of the rounds were above.
    pub(crate) high: f64,
}

impl Summary {
    /// Of no values: not a number.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            median: quantile(&values, 0.5),
            low: quantile(&values, 0.1),
            high: quantile(&values, 0.9),
        }
    }
}

/// The value that a share of the sorted values is below, interpolated.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(a), Some(b)) => a + (b - a) * position.fract(),
        _ => f64::NAN,
    }
}

/// Lets the contenders take turns; gives one series each, in their order.
fn interleave(contenders: &mut [Contender<'_>], rounds: usize, turn: Duration) -> Vec<Series> {
    // The first pass warms up, the second says how many passes make a turn, unless the first says
    // that one is enough.
    let passes: Vec<u32> = contenders
        .iter_mut()
        .map(|contender| {
            let turn = turn.as_nanos() as f64;
            let first = contender.time(1);
            let one = if first > 10.0 * turn {
                first
            } else {
                contender.time(1)
            };
            (turn / one.max(1.0)).ceil().clamp(1.0, 1e6) as u32
        })
        .collect();
    let mut series: Vec<Series> = contenders
        .iter()
        .map(|contender| Series::new(contender.name, Vec::with_capacity(rounds)))
        .collect();
    for _ in 0..rounds {
        for ((contender, passes), series) in contenders.iter_mut().zip(&passes).zip(&mut series) {
            let operations = contender.operations as f64 * f64::from(*passes);
            series.rounds.push(contender.time(*passes) / operations);
        }
    }
    series
}

/// The series of that name.
pub(crate) fn named<'a>(series: &'a [Series], name: &str) -> Option<&'a Series> {
    series.iter().find(|series| series.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries() {
        let summary = Summary::of(vec![3.0, 1.0, 2.0]);
        assert_eq!(summary.median, 2.0);
        assert_eq!(Summary::of(vec![1.0, 3.0]).median, 2.0);
        assert!(Summary::of(vec![]).median.is_nan());
        let wide = Summary::of((0..=10).map(f64::from).collect());
        assert_eq!((wide.low, wide.median, wide.high), (1.0, 5.0, 9.0));
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let slow = Series::new("slow", vec![10.0, 40.0, 10.0]);
        let fast = Series::new("fast", vec![1.0, 4.0, 1.0]);
        let ratio = slow.over(&fast);
        assert_eq!((ratio.low, ratio.median, ratio.high), (10.0, 10.0, 10.0));
    }

    #[test]
    fn everybody_gets_every_round() {
        let (mut a, mut b) = (0, 0);
        let series = {
            let mut contenders = [
                Contender::new("a", 1, || a += 1),
                Contender::new("b", 2, || b += 1),
            ];
            interleave(&mut contenders, 5, Duration::ZERO)
        };
        assert!(a >= 6 && b >= 6);
        assert_eq!(series.len(), 2);
        assert!(series.iter().all(|s| s.rounds.len() == 5));
        assert!(named(&series, "b").is_some() && named(&series, "c").is_none());
    }
}
