//! Keeps a difference as a test in the public format for integration tests.
//!
//! All of it comes from the state that the decision was made on, which may no longer be the engine's.

use super::Difference;
use super::difference::CheckedAnswer;
use crate::bind::BoundRequest;
use crate::snapshot::Snapshot;
use crate::store::restricted;
use crate::values::ScratchSpace;
use cedar_policy::{
    Context, Decision, Entities, EntityUid, RestrictedExpression, ValidationMode, Validator,
};
use cedarjit_frontend::hir::{AsCedar, BoundPolicy, Policy};
use cedarjit_frontend::load::{SchemaFormat, parse_policies};
use cedarjit_ir::ids::EntityId;
use serde_json::{Value, json};
use smol_str::SmolStr;
use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a difference was not kept for replaying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReproductionError {
    /// A file could not be written.
    #[error("{}: {cause}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// A part of the world cannot be written as cedar-policy reads it.
    #[error("the {part} cannot be written")]
    Unwritable {
        /// Which part.
        part: &'static str,
    },
}

/// Writes the test and the files that it refers to; the path of the test.
pub(super) fn write(
    folder: &Path,
    number: u64,
    request: &BoundRequest,
    difference: &Difference,
) -> Result<PathBuf, ReproductionError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.unwrap_or_default().as_secs();
    let name = format!("difference-{seconds}-{}-{number}", std::process::id());
    let snapshot = &*request.snapshot;
    let policies = Policies::of(snapshot);
    let mut files = vec![
        ("policies.cedar", policies.text.clone()),
        ("entities.json", entities(snapshot)?),
    ];
    let mut test = json!({
        "policies": format!("{name}/policies.cedar"),
        "entities": format!("{name}/entities.json"),
        "shouldValidate": validates(snapshot, &policies.text),
        "requests": [request_json(request, difference, &policies)?],
    });
    if let Some((text, format)) = snapshot.schema.as_ref().and_then(|s| s.source.as_ref()) {
        let file = match format {
            SchemaFormat::Cedar => "schema.cedarschema",
            SchemaFormat::Json => "schema.json",
        };
        files.push((file, text.clone()));
        test["schema"] = format!("{name}/{file}").into();
    }
    if !policies.links.is_empty() {
        files.push(("links.json", Value::from(policies.links).to_string()));
        test["templateLinked"] = format!("{name}/links.json").into();
    }
    let own = folder.join(&name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| ReproductionError::Write { path, cause }
    };
    std::fs::create_dir_all(&own).map_err(failed(&own))?;
    for (file, text) in files {
        let path = own.join(file);
        std::fs::write(&path, text + "\n").map_err(failed(&path))?;
    }
    // Last, so that there is no test whose files are missing.
    let path = folder.join(format!("{name}.json"));
    std::fs::write(&path, format!("{test:#}\n")).map_err(failed(&path))?;
    Ok(path)
}

/// The policies of a state, as files have them.
struct Policies {
    /// Templates and static policies.
    text: String,
    links: Vec<Value>,
    /// What the test calls each policy: Cedar names those of a file by their positions.
    names: HashMap<SmolStr, String>,
}

impl Policies {
    fn of(snapshot: &Snapshot) -> Self {
        let loaded = snapshot.loaded();
        let mut all = Self {
            text: String::new(),
            links: Vec::new(),
            names: HashMap::new(),
        };
        for template in &loaded.templates {
            all.add(template, snapshot);
        }
        let is_static = |policy: &&BoundPolicy| policy.id == policy.policy.id;
        for policy in loaded.policies.iter().filter(is_static) {
            all.add(&policy.policy, snapshot);
        }
        for link in loaded.policies.iter().filter(|policy| !is_static(policy)) {
            let template = all.names.get(&link.policy.id).cloned();
            // Links of the file must not be called as its policies are.
            let name = format!("link {}", link.id);
            let bound = [
                ("?principal", link.slots.principal),
                ("?resource", link.slots.resource),
            ];
            let uid = |id| snapshot.store.uid(&snapshot.interner, id);
            let args = bound.into_iter().filter_map(|(slot, entity)| {
                let uid = uid(entity?)?;
                Some((slot.to_owned(), Value::from(uid.to_string())))
            });
            let args: serde_json::Map<String, Value> = args.collect();
            all.links
                .push(json!({"template_id": template, "link_id": name, "args": args}));
            all.names.insert(link.id.clone(), name);
        }
        all
    }

    fn add(&mut self, policy: &Policy, snapshot: &Snapshot) {
        let name = format!("policy{}", self.names.len());
        let interner = &snapshot.interner;
        // By an `@id` some would go by that name, and others by their position.
        let is_id = |(name, _): &(SmolStr, SmolStr)| name == "id";
        let mut anonymous = policy.clone();
        anonymous
            .annotations
            .retain(|annotation| !is_id(annotation));
        let policy = &anonymous;
        let shown = AsCedar { policy, interner };
        // Writing to a string does not fail.
        let _ = writeln!(
            self.text,
            "// {name}: {}\n{shown}",
            policy.id.escape_debug()
        );
        self.names.insert(policy.id.clone(), name);
    }

    /// What the test calls these policies.
    fn names(&self, ids: &[String]) -> Vec<String> {
        let name = |id: &String| self.names.get(id.as_str()).cloned();
        let mut names: Vec<String> = ids.iter().filter_map(name).collect();
        names.sort_unstable();
        names
    }
}

fn entities(snapshot: &Snapshot) -> Result<String, ReproductionError> {
    let unwritable = || ReproductionError::Unwritable { part: "entities" };
    let all: Vec<_> = snapshot.entities().collect();
    if all.len() != snapshot.store.len() {
        return Err(unwritable());
    }
    let mut text = Vec::new();
    let entities = Entities::from_entities(all, None).map_err(|_| unwritable())?;
    entities
        .write_to_json(&mut text)
        .map_err(|_| unwritable())?;
    String::from_utf8(text).map_err(|_| unwritable())
}

fn validates(snapshot: &Snapshot, policies: &str) -> bool {
    let Some(schema) = snapshot.schema() else {
        return false;
    };
    let read = parse_policies(policies, "policies.cedar");
    let validator = Validator::new(schema.clone());
    read.is_ok_and(|policies| {
        let result = validator.validate(&policies, ValidationMode::Strict);
        result.validation_passed()
    })
}

fn request_json(
    request: &BoundRequest,
    difference: &Difference,
    policies: &Policies,
) -> Result<Value, ReproductionError> {
    let uid = |id: EntityId, part| {
        let uid = request.uid(id);
        let uid = uid.ok_or(ReproductionError::Unwritable { part })?;
        Ok(uid_json(&uid))
    };
    let values = &request.details.values;
    let CheckedAnswer {
        decision,
        diagnostics,
    } = &difference.expected;
    let (reasons, failed) = diagnostics.clone().unwrap_or_default();
    Ok(json!({
        "description": format!("cedarjit decided {}", difference.given),
        "principal": uid(values.principal(), "principal")?,
        "action": uid(values.action(), "action")?,
        "resource": uid(values.resource(), "resource")?,
        "context": context(request).ok_or(ReproductionError::Unwritable { part: "context" })?,
        "validateRequest": request.details.validated,
        "decision": match decision {
            Decision::Allow => "allow",
            Decision::Deny => "deny",
        },
        "reason": policies.names(&reasons),
        "errors": policies.names(&failed),
    }))
}

fn uid_json(uid: &EntityUid) -> Value {
    json!({"type": uid.type_name().to_string(), "id": uid.id().unescaped()})
}

/// The request's context as cedar-policy writes it.
fn context(request: &BoundRequest) -> Option<Value> {
    let mut scratch = ScratchSpace::new();
    let values = request.values(&mut scratch);
    let record = values.attributes(request.details.values.context())?;
    let names = values.shape_attrs(record.shape());
    let pairs = names.iter().zip(record.values()).map(|(name, value)| {
        let value: RestrictedExpression = restricted(&values, value)?;
        Some((values.str(*name).to_owned(), value))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    Context::from_pairs(pairs?).ok()?.to_json_value().ok()
}
