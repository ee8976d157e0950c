//! What came of many worlds, and how a mismatch is shown and kept.

use super::folder::request_json;
use super::{Difference, Mismatch, Outcome, Verdict};
use cedarjit::coverage::Coverage;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The sums over many worlds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Worlds that cedar-policy loaded.
    pub worlds: usize,
    /// Worlds that it refused, with seed and cause of the first few.
    pub rejected: usize,
    /// Seeds and causes of the first refused worlds.
    pub rejections: Vec<(u64, String)>,
    /// Requests asked, of which the refused ones were neither allowed nor denied.
    pub requests: usize,
    /// Answers compared with cedar-policy's.
    pub answers: usize,
    /// Requests allowed.
    pub allows: usize,
    /// Requests denied.
    pub denies: usize,
    /// Requests for which some policy failed.
    pub errors: usize,
    /// Requests that cedar-policy refused.
    pub refused: usize,
    /// Requests left out, because cedar-policy ran out of stack.
    pub skipped: usize,
    /// What the engines executed, as far as they count it.
    #[serde(with = "coverage")]
    pub coverage: Coverage,
    /// All mismatches, the first of each world and mode, by seed.
    #[serde(skip)]
    pub mismatches: Vec<Mismatch>,
}

/// How many rejections are kept to look at.
const REJECTIONS_KEPT: usize = 10;

impl Report {
    /// One world's outcome.
    pub fn of(outcome: Outcome, seed: u64) -> Self {
        let rejection = outcome.rejected.map(|error| (seed, error.to_string()));
        Self {
            worlds: usize::from(rejection.is_none()),
            rejected: usize::from(rejection.is_some()),
            rejections: rejection.into_iter().collect(),
            requests: outcome.requests,
            answers: outcome.answers,
            allows: outcome.allows,
            denies: outcome.denies,
            errors: outcome.errors,
            refused: outcome.refused,
            skipped: outcome.skipped,
            coverage: outcome.coverage,
            mismatches: outcome.mismatches,
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.rejected += other.rejected;
        self.rejections.extend(other.rejections);
        self.rejections.truncate(REJECTIONS_KEPT);
        self.requests += other.requests;
        self.answers += other.answers;
        self.allows += other.allows;
        self.denies += other.denies;
        self.errors += other.errors;
        self.refused += other.refused;
        self.skipped += other.skipped;
        self.coverage.merge(&other.coverage);
        self.mismatches.extend(other.mismatches);
    }

    /// The same without the mismatches themselves.
    pub(super) fn counts(&self) -> Self {
        Self {
            mismatches: Vec::new(),
            rejections: self.rejections.clone(),
            coverage: self.coverage.clone(),
            ..*self
        }
    }

    /// Puts everything in the order of seeds, which threads do not keep.
    pub(super) fn sort(&mut self) {
        self.rejections.sort();
        self.rejections.truncate(REJECTIONS_KEPT);
        self.mismatches.sort_by_key(|mismatch| mismatch.seed);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} worlds, {} requests ({} allowed, {} denied, {} with errors, {} refused), \
             {} answers compared, {} mismatches",
            self.worlds,
            self.requests,
            self.allows,
            self.denies,
            self.errors,
            self.refused,
            self.answers,
            self.mismatches.len()
        )?;
        if self.skipped > 0 {
            write!(f, ", {} requests left out", self.skipped)?;
        }
        if self.rejected > 0 {
            write!(f, ", {} worlds refused", self.rejected)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    /// Everything, in the order in which one would look at it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "=== {} differs from cedar-policy", self.engine)?;
        if let Some(seed) = self.seed {
            write!(f, ", seed {seed}")?;
        }
        writeln!(f, "\n--- policies")?;
        for (position, policy) in self.case.policies.iter().enumerate() {
            writeln!(f, "// policy{position}\n{policy}")?;
        }
        if !self.case.links.is_empty() {
            writeln!(f, "--- links\n{}", self.case.links_json())?;
        }
        writeln!(f, "--- entities\n{}", self.case.entities.json_array())?;
        if let Some(schema) = &self.case.schema {
            writeln!(f, "--- schema\n{schema}")?;
        }
        match &self.difference {
            Difference::Load(error) => writeln!(f, "--- does not load: {error}"),
            Difference::Panic(message) => writeln!(f, "--- panics: {message}"),
            Difference::Answer {
                request,
                expected,
                got,
            } => {
                let request = self.case.requests.get(*request);
                let request = request.map(|r| request_json(&self.case, r));
                writeln!(f, "--- request\n{}", request.unwrap_or_default())?;
                writeln!(f, "--- cedar-policy\n{}", Shown(expected))?;
                writeln!(f, "--- {}\n{}", self.engine, Shown(got))
            }
        }
    }
}

/// Coverage in files: rows by the names of constructs, so that constructs can come and go.
mod coverage {
    use cedarjit::coverage::{Came, Construct, Coverage};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(coverage: &Coverage, to: S) -> Result<S::Ok, S::Error> {
        let row = |construct| Came::ALL.map(|came| coverage.count(construct, came));
        let all = Construct::all().into_iter();
        let rows = all.map(|construct| (construct.to_string(), row(construct)));
        rows.collect::<BTreeMap<_, _>>().serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Coverage, D::Error> {
        let rows = BTreeMap::<String, [u64; Came::ALL.len()]>::deserialize(from)?;
        let mut coverage = Coverage::default();
        for construct in Construct::all() {
            let counts = rows
                .get(&construct.to_string())
                .copied()
                .unwrap_or_default();
            for (came, count) in Came::ALL.into_iter().zip(counts) {
                coverage.add_count(construct, came, count);
            }
        }
        Ok(coverage)
    }
}

struct Shown<'a>(&'a Verdict);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(answer) => {
                write!(f, "{:?} by {:?}", answer.decision, answer.reasons)?;
                for (policy, error) in &answer.errors {
                    write!(f, "\n{policy}: {error}")?;
                }
                Ok(())
            }
            Err(error) => write!(f, "{error}"),
        }
    }
}
