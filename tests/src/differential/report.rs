//! What came of many worlds, and how a mismatch is shown and kept.

use super::{Difference, Mismatch, Outcome, Verdict};
use crate::engines::Answer;
use crate::generator::{Case, CaseRequest};
use cedar_policy::{Decision, ValidationMode, Validator};
use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::path::Path;

/// The sums over many worlds.
#[derive(Debug, Default)]
pub struct Report {
    /// Worlds that cedar-policy loaded.
    pub worlds: usize,
    /// Worlds that it refused, with seed and cause of the first few.
    pub rejected: usize,
    /// Seeds and causes of the first refused worlds.
    pub rejections: Vec<(u64, String)>,
    /// Requests asked, of which the refused ones were neither allowed nor denied.
    pub requests: usize,
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
    /// All mismatches, the first of each world and engine, by seed.
    pub mismatches: Vec<Mismatch>,
}

/// How many rejections are kept to look at.
const REJECTIONS_KEPT: usize = 10;

impl Report {
    /// Adds one world's outcome.
    pub fn add(&mut self, outcome: Outcome, seed: u64) {
        match outcome.rejected {
            Some(error) => {
                self.rejected += 1;
                self.rejections.push((seed, error.to_string()));
                self.rejections.truncate(REJECTIONS_KEPT);
            }
            None => self.worlds += 1,
        }
        self.requests += outcome.requests;
        self.allows += outcome.allows;
        self.denies += outcome.denies;
        self.errors += outcome.errors;
        self.refused += outcome.refused;
        self.skipped += outcome.skipped;
        self.mismatches.extend(outcome.mismatches);
    }

    /// Adds another report.
    pub fn merge(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.rejected += other.rejected;
        self.rejections.extend(other.rejections);
        self.requests += other.requests;
        self.allows += other.allows;
        self.denies += other.denies;
        self.errors += other.errors;
        self.refused += other.refused;
        self.skipped += other.skipped;
        self.mismatches.extend(other.mismatches);
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
             {} mismatches",
            self.worlds,
            self.requests,
            self.allows,
            self.denies,
            self.errors,
            self.refused,
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

/// A request as the integration-test format has it, without its answer.
fn request_json(case: &Case, request: &CaseRequest) -> Value {
    let uid = |position: usize| {
        let uid = case.uids.get(position);
        uid.map(|uid| json!({"type": &*uid.type_name, "id": &*uid.id}))
    };
    let context = case.contexts.get(request.context);
    let context: Option<Value> = context.and_then(|text| serde_json::from_str(text).ok());
    json!({
        "description": "",
        "principal": uid(request.principal),
        "action": uid(request.action),
        "resource": uid(request.resource),
        "context": context,
        "validateRequest": request.validate,
    })
}

impl Mismatch {
    /// Writes the case as a test in the public integration-test format: `<name>.json` in `folder`,
    /// and the files it refers to in `<folder>/<name>/`.
    ///
    /// Paths in the test are relative to `folder`. The test holds the failing request with the
    /// judge's answer, or all requests where there is no single one. The public format knows
    /// neither worlds without a schema nor links: without a schema the key `schema` is absent, and
    /// links are a file named by the key `templateLinked`, in the format of the `cedar` command
    /// line's option of that name.
    ///
    /// # Errors
    ///
    /// Those of writing files.
    pub fn write(&self, folder: &Path, name: &str) -> io::Result<()> {
        let case = &self.case;
        let files = folder.join(name);
        std::fs::create_dir_all(&files)?;
        std::fs::write(
            files.join("policies.cedar"),
            case.policies.join("\n") + "\n",
        )?;
        std::fs::write(
            files.join("entities.json"),
            case.entities.json_array() + "\n",
        )?;
        let mut test = json!({
            "policies": format!("{name}/policies.cedar"),
            "entities": format!("{name}/entities.json"),
            "shouldValidate": should_validate(case),
            "requests": self.requests_json(),
        });
        if let Some(schema) = &case.schema {
            std::fs::write(files.join("schema.json"), format!("{schema}\n"))?;
            test["schema"] = format!("{name}/schema.json").into();
        }
        if !case.links.is_empty() {
            std::fs::write(files.join("links.json"), case.links_json() + "\n")?;
            test["templateLinked"] = format!("{name}/links.json").into();
        }
        let text = serde_json::to_string_pretty(&test)?;
        std::fs::write(folder.join(format!("{name}.json")), text + "\n")
    }

    fn requests_json(&self) -> Vec<Value> {
        match &self.difference {
            Difference::Answer {
                request,
                expected: Ok(expected),
                ..
            } => {
                let request = self.case.requests.get(*request);
                let request = request.map(|r| with_answer(request_json(&self.case, r), expected));
                request.into_iter().collect()
            }
            _ => {
                let requests = self.case.requests.iter();
                requests.map(|r| request_json(&self.case, r)).collect()
            }
        }
    }
}

fn with_answer(mut request: Value, answer: &Answer) -> Value {
    let allowed = answer.decision == Decision::Allow;
    request["decision"] = if allowed { "allow" } else { "deny" }.into();
    request["reason"] = json!(answer.reasons);
    request["errors"] = json!(answer.errors.keys().collect::<Vec<_>>());
    request
}

/// Whether the policies pass strict validation; without a schema they cannot.
fn should_validate(case: &Case) -> bool {
    let Ok(loaded) = case.load() else {
        return false;
    };
    let Some(schema) = loaded.world.schema else {
        return false;
    };
    let validator = Validator::new(schema.as_ref().clone());
    validator
        .validate(&loaded.world.policies, ValidationMode::Strict)
        .validation_passed()
}
