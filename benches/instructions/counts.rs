//! The counts that the repository keeps, in `benches/instructions.json`.

use cedarjit_bench::Error;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

/// Instructions of one operation, by case.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<String, f64>);

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))
}

impl Counts {
    /// What is kept; nothing if nothing was recorded yet.
    pub(crate) fn read() -> Result<Self, Error> {
        match fs::read_to_string(file()) {
            Ok(text) => Ok(Self(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps what is kept.
    pub(crate) fn write(&self) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        Ok(fs::write(file(), text)?)
    }

    /// Takes counts over, and leaves those that were not counted now as they were.
    pub(crate) fn record(&mut self, counted: &BTreeMap<String, f64>) {
        for (case, count) in counted {
            self.0.insert(case.clone(), count.round());
        }
    }

    /// Prints every count beside the one that is kept. False if one rose by more than `tolerance`
    /// percent, or has nothing to be compared with.
    pub(crate) fn compare(&self, counted: &BTreeMap<String, f64>, tolerance: f64) -> bool {
        let mut fine = true;
        println!(
            "{:<22} {:>10} {:>10} {:>9}",
            "case", "kept", "now", "change"
        );
        for (case, now) in counted {
            let Some(kept) = self.0.get(case) else {
                println!(
                    "{case:<22} {:>10} {now:>10.0}   FAILED: not recorded",
                    "none"
                );
                fine = false;
                continue;
            };
            let change = (now / kept - 1.0) * 100.0;
            let verdict = match change {
                c if c > tolerance => "  FAILED: a regression",
                c if c < -tolerance => "  better: record it",
                _ => "",
            };
            println!("{case:<22} {kept:>10.0} {now:>10.0} {change:>+8.1}%{verdict}");
            fine &= change <= tolerance;
        }
        if !fine {
            println!(
                "more than {tolerance} % above benches/instructions.json; if that is meant, record \
                 it with .ci/instructions --update"
            );
        }
        fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("a bind".to_owned(), count)])
    }

    #[test]
    fn only_a_rise_above_the_tolerance_fails() {
        let kept = Counts(counts(1000.0));
        assert!(kept.compare(&counts(1049.0), 5.0));
        assert!(!kept.compare(&counts(1051.0), 5.0));
        assert!(kept.compare(&counts(500.0), 5.0));
        assert!(!Counts::default().compare(&counts(1.0), 5.0));
    }

    #[test]
    fn recording_leaves_other_cases_alone() {
        let mut kept = Counts(counts(1000.0));
        kept.record(&BTreeMap::from([("b bind".to_owned(), 7.4)]));
        assert_eq!(kept.0.len(), 2);
        assert_eq!(kept.0.get("b bind"), Some(&7.0));
    }
}
