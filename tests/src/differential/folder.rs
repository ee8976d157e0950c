//! Keeps a mismatch as a test in the public integration-test format.

use super::{Difference, Mismatch};
use crate::engines::{Answer, CedarEngine, TestEngine, Verdict};
use crate::generator::{Case, CaseRequest};
use cedar_policy::{Decision, ValidationMode, Validator};
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// A request as the integration-test format has it, without its answer.
pub(super) fn request_json(case: &Case, request: &CaseRequest) -> Value {
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
    /// Paths in the test are relative to `folder`. The test holds the failing request with
    /// cedar-policy's answer, or all requests where there is no single one. `docs/cli.md` says
    /// where this goes beyond the public format: worlds without a schema, links, and requests that
    /// are refused.
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
        let only = match self.difference {
            Difference::Answer { request, .. } => Some(request),
            _ => None,
        };
        let verdicts = verdicts(&self.case);
        let requests = self.case.requests.iter().zip(verdicts).enumerate();
        let kept = requests.filter(|(position, _)| only.is_none_or(|only| only == *position));
        kept.map(|(_, (request, verdict))| {
            let request = request_json(&self.case, request);
            match verdict {
                Ok(answer) => with_answer(request, &answer),
                Err(_) => request,
            }
        })
        .collect()
    }
}

/// What cedar-policy says to each request; nothing if it does not load the world.
fn verdicts(case: &Case) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let Ok(loaded) = case.load() else {
        return verdicts;
    };
    if let Ok(mut judge) = CedarEngine.load(&loaded.world) {
        for request in &loaded.requests {
            judge.authorize(request, &mut |_, given| verdicts.push(given.into()));
        }
    }
    verdicts
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
