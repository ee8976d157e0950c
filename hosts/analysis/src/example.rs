//! Answers, and the requests that show them.

use cedar_policy::{Authorizer, Decision, PolicySet, Response};
use cedar_policy_symcc::Env;
use serde::Serialize;
use serde_json::Value;

/// What is known about a question in one request environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer", content = "detail")]
pub enum Answer {
    /// It holds for every request of the environment: proved.
    Yes,
    /// It does not, as this request shows.
    No(Box<Example>),
    /// Nobody knows.
    NotKnown(NotKnown),
}

/// Why an answer is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "reason", content = "detail")]
pub enum NotKnown {
    /// The solver did not come to an end in the time that it had.
    #[error("the solver did not come to an end in time")]
    TimeLimit,
    /// A policy is not valid for the schema, so nothing can be said about it.
    #[error("policies are not strictly valid for the schema: {0}")]
    NotValid(String),
    /// Policy or schema have something that cannot be translated.
    #[error("it cannot be translated for the solver: {0}")]
    NotTranslated(String),
    /// The solver found an example that could not be read, or that cedar-policy judges otherwise.
    #[error("the solver's example could not be confirmed: {0}")]
    NotConfirmed(String),
    /// The solver failed.
    #[error("the solver failed: {0}")]
    Solver(String),
}

/// A request and entities, as concrete as cedar-policy reads them.
#[derive(Clone, Debug, Serialize)]
pub struct Example {
    /// Who asks, in Cedar's syntax.
    pub principal: String,
    /// What for.
    pub action: String,
    /// On what.
    pub resource: String,
    /// The context, in Cedar's JSON format.
    pub context: Value,
    /// All entities, in Cedar's JSON format, sorted by uid. Actions are as in the schema.
    pub entities: Value,
    /// What cedar-policy decides on each policy set asked about, in their order.
    pub judged: Vec<Judged>,
}

/// What cedar-policy says about an example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// `true` if the request is allowed.
    pub allowed: bool,
    /// Ids of the determining policies, sorted.
    pub reasons: Vec<String>,
    /// Errors of policies, sorted.
    pub errors: Vec<String>,
}

impl Judged {
    fn new(response: &Response) -> Self {
        let diagnostics = response.diagnostics();
        let mut reasons: Vec<_> = diagnostics.reason().map(ToString::to_string).collect();
        let mut errors: Vec<_> = diagnostics.errors().map(ToString::to_string).collect();
        reasons.sort();
        errors.sort();
        Self {
            allowed: response.decision() == Decision::Allow,
            reasons,
            errors,
        }
    }
}

impl Example {
    /// Asks cedar-policy what it decides on each of `sets`, and makes an example of it if that is what
    /// the solver found.
    ///
    /// # Errors
    ///
    /// If `expected` says that cedar-policy judges otherwise, or if request or entities have no JSON.
    pub(crate) fn confirmed(
        found: &Env,
        sets: &[&PolicySet],
        expected: impl Fn(&[Judged]) -> bool,
    ) -> Result<Box<Self>, NotKnown> {
        let authorizer = Authorizer::new();
        let judged: Vec<_> = sets
            .iter()
            .map(|set| Judged::new(&authorizer.is_authorized(&found.request, set, &found.entities)))
            .collect();
        let unreadable = |error: &dyn std::error::Error| NotKnown::NotConfirmed(error.to_string());
        let part = |uid: Option<&cedar_policy::EntityUid>| {
            uid.map_or_else(|| "?".to_owned(), ToString::to_string)
        };
        let example = Box::new(Self {
            principal: part(found.request.principal()),
            action: part(found.request.action()),
            resource: part(found.request.resource()),
            context: match found.request.context() {
                Some(context) => context.to_json_value().map_err(|e| unreadable(&e))?,
                None => Value::Null,
            },
            entities: sorted(found.entities.to_json_value().map_err(|e| unreadable(&e))?),
            judged,
        });
        match expected(&example.judged) {
            true => Ok(example),
            false => Err(NotKnown::NotConfirmed(format!(
                "cedar-policy judges it as {:?}",
                example.judged
            ))),
        }
    }
}

/// Entities in an order that does not change from run to run.
fn sorted(mut entities: Value) -> Value {
    let part = |entity: &Value, name: &str| {
        let part = entity.get("uid").and_then(|uid| uid.get(name));
        part.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if let Some(entities) = entities.as_array_mut() {
        entities.sort_by_cached_key(|entity| (part(entity, "type"), part(entity, "id")));
    }
    entities
}
