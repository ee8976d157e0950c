//! Evaluation of one request, and of many in one message.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::request::{Action, Object, Parts, object};
use crate::api::{ApiError, field};
use crate::overlay::Overlay;
use crate::state::{DecideError, Decided, Loaded, Question, State};
use crate::uid::BadType;

/// Why a request that is well-formed has no decision of a policy, but is denied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A type that Cedar cannot have.
    #[error(transparent)]
    Type(#[from] BadType),
    /// Properties of the action, and a context that has the same key.
    #[error("the context has a key `action`, where the action's properties belong")]
    ActionInContext,
    /// The engine does not take the request, or what it brings.
    #[error(transparent)]
    Decide(#[from] DecideError),
}

/// `evaluation`.
pub(super) fn evaluation(state: &State, request: &Object) -> Result<Value, ApiError> {
    one(state, &state.current(), Parts::read(request)?)
}

/// How far the requests of a message are evaluated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Semantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// `evaluations`.
pub(super) fn evaluations(state: &State, request: &Object) -> Result<Value, ApiError> {
    let defaults = Parts::read(request)?;
    let semantic = semantic(request)?;
    let items = match request.get("evaluations") {
        None => &[],
        Some(Value::Array(items)) => items.as_slice(),
        Some(_) => return Err(field("evaluations", "must be an array")),
    };
    let loaded = state.current();
    if items.is_empty() {
        return one(state, &loaded, defaults);
    }
    let (asked, limit) = (items.len(), state.config().limits.batch);
    if asked > limit {
        return Err(ApiError::Batch { asked, limit });
    }
    let mut answers = Vec::with_capacity(asked);
    for item in items {
        let answer = match item {
            Value::Object(item) => {
                Parts::read(item).and_then(|parts| one(state, &loaded, parts.or(defaults)))
            }
            _ => Err(field("the evaluation", "must be an object")),
        };
        let answer = answer.unwrap_or_else(|error| denied(&error));
        let permitted = answer.get("decision") == Some(&Value::Bool(true));
        answers.push(answer);
        match semantic {
            Semantic::DenyOnFirstDeny if !permitted => break,
            Semantic::PermitOnFirstPermit if permitted => break,
            _ => {}
        }
    }
    Ok(json!({ "evaluations": answers }))
}

fn semantic(request: &Object) -> Result<Semantic, ApiError> {
    let options = object(request, "options", "options")?;
    let said = options.and_then(|options| options.get("evaluations_semantic"));
    match said.map(Value::as_str) {
        None | Some(Some("execute_all")) => Ok(Semantic::ExecuteAll),
        Some(Some("deny_on_first_deny")) => Ok(Semantic::DenyOnFirstDeny),
        Some(Some("permit_on_first_permit")) => Ok(Semantic::PermitOnFirstPermit),
        Some(_) => Err(field(
            "options.evaluations_semantic",
            "must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
        )),
    }
}

/// The answer to one request, an error if something is missing.
fn one(state: &State, loaded: &Loaded, parts: Parts<'_>) -> Result<Value, ApiError> {
    let (subject, action, resource) = (parts.subject()?, parts.action()?, parts.resource()?);
    let (subject_type, subject_id) = (subject.ty("subject")?, subject.id("subject")?);
    let (resource_type, resource_id) = (resource.ty("resource")?, resource.id("resource")?);
    let name = action.name()?;
    let mapping = &state.config().authzen.mapping;
    let decide = || -> Result<Decided, Refusal> {
        let question = Question {
            principal: &mapping.entity(subject_type, subject_id)?,
            action: &mapping.action(name)?,
            resource: &mapping.entity(resource_type, resource_id)?,
            context: &context(parts.context, action)?,
        };
        let overlay = Overlay {
            principal: subject.properties,
            resource: resource.properties,
        };
        Ok(state.decide_overlaid(loaded, question, overlay)?)
    };
    Ok(match decide() {
        Ok(decided) => answer(&decided, state.config().authzen.reasons),
        Err(refusal) => denied(&refusal),
    })
}

/// Cedar's context: AuthZEN's, and the action's properties as its `action`.
pub(super) fn context<'a>(
    context: Option<&Object>,
    action: Action<'_>,
) -> Result<Cow<'a, str>, Refusal> {
    let context = context.filter(|context| !context.is_empty());
    let properties = action.properties.filter(|p| !p.is_empty());
    let (context, properties) = match (context, properties) {
        (None, None) => return Ok(Cow::Borrowed("{}")),
        (Some(context), None) => return Ok(Cow::Owned(text(context))),
        (context, Some(properties)) => (context.cloned().unwrap_or_default(), properties.clone()),
    };
    let mut context = context;
    match context.insert("action".to_owned(), Value::Object(properties)) {
        None => Ok(Cow::Owned(text(&context))),
        Some(_) => Err(Refusal::ActionInContext),
    }
}

fn text(object: &Object) -> String {
    // What was read from JSON can be written as JSON.
    serde_json::to_string(object).unwrap_or_default()
}

/// The answer of a decision.
fn answer(decided: &Decided, reasons: bool) -> Value {
    if !reasons {
        return json!({ "decision": decided.allowed });
    }
    let errors = decided.errors.iter();
    let errors: Vec<Value> = errors
        .map(|(policy, message)| json!({ "policy": policy, "message": message }))
        .collect();
    json!({
        "decision": decided.allowed,
        "context": { "policies": decided.reasons, "errors": errors },
    })
}

/// The answer to a request that no policy was asked about.
fn denied(why: &impl std::error::Error) -> Value {
    json!({ "decision": false, "context": refused(why) })
}

/// The context of such an answer.
pub(super) fn refused(why: &impl std::error::Error) -> Value {
    json!({ "error": { "status": 400, "message": why.to_string() } })
}
