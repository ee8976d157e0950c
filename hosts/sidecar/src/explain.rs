//! What policies there are, and why each decides about a request as it does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode};
use cedarjit::{PolicyVerdict, Snapshot, Unmet};
use cedarjit_frontend::hir::{AsCedar, BoundPolicy, Effect};
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::{self, Answer, ApiError};
use crate::native::Call;
use crate::state::State;
use crate::strict;

/// How many policies an answer lists.
const LISTED: usize = 1_000;

/// A policy, for people.
#[derive(Serialize)]
struct Listed {
    id: String,
    effect: &'static str,
    /// A link's template.
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
    /// It, or its template, in Cedar's syntax.
    text: String,
    /// How often it determined a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    hits: Option<u64>,
    /// What came of it.
    #[serde(flatten)]
    why: Option<Why>,
}

#[derive(Serialize)]
struct Why {
    candidate: bool,
    outcome: &'static str,
    /// The clause that is not met, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    clause: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Listed {
    fn new(bound: &BoundPolicy, snapshot: &Snapshot) -> Self {
        let (policy, interner) = (&*bound.policy, snapshot.interner());
        Self {
            id: bound.id.to_string(),
            effect: match policy.effect {
                Effect::Permit => "permit",
                Effect::Forbid => "forbid",
            },
            template: (bound.id != policy.id).then(|| policy.id.to_string()),
            text: AsCedar { policy, interner }.to_string(),
            hits: None,
            why: None,
        }
    }
}

impl From<&PolicyVerdict<'_>> for Why {
    fn from(of: &PolicyVerdict<'_>) -> Self {
        let (outcome, clause, error) = match &of.unmet {
            Ok(None) => ("satisfied", None, None),
            Ok(Some(Unmet::Principal)) => ("other_principal", None, None),
            Ok(Some(Unmet::Action)) => ("other_action", None, None),
            Ok(Some(Unmet::Resource)) => ("other_resource", None, None),
            Ok(Some(Unmet::Clause(clause))) => ("unmet", Some(clause + 1), None),
            Err(error) => ("failed", None, Some(error.to_string())),
        };
        Self {
            candidate: of.candidate,
            outcome,
            clause,
            error,
        }
    }
}

/// `GET /admin/v1/policies`: the policies, and how often each determined a decision.
pub(crate) async fn policies(extract::State(state): extract::State<Arc<State>>) -> Answer {
    let loaded = state.current();
    let snapshot = loaded.engine().snapshot();
    let hits = loaded.hits();
    let policies = snapshot.policies();
    let omitted = policies.len().saturating_sub(LISTED);
    let listed: Vec<Listed> = policies
        .take(LISTED)
        .map(|policy| Listed {
            hits: Some(hits.get(policy.id.as_str()).copied().unwrap_or(0)),
            ..Listed::new(policy, &snapshot)
        })
        .collect();
    let body = json!({ "policies": listed, "omitted": omitted });
    Ok(api::json(StatusCode::OK, &body))
}

/// `POST /admin/v1/explain`: a request, as the native API takes it, and why each policy decides as it
/// does. It is neither counted nor logged.
pub(crate) async fn explain(
    extract::State(state): extract::State<Arc<State>>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let body = api::json_body(&headers, body, &state.config().limits).await?;
    let call = Call::read(&strict::from_slice(&body).map_err(ApiError::Json)?)?;
    // Interpreting many policies takes a while.
    let explained = tokio::task::spawn_blocking(move || explained(&state, &call)).await;
    let body = explained.map_err(|_| ApiError::Ended)??;
    Ok(api::json(StatusCode::OK, &body))
}

fn explained(state: &State, call: &Call) -> Result<Value, ApiError> {
    let loaded = state.current();
    let snapshot = loaded.engine().snapshot();
    let (request, decided) = state.ask_quietly(&snapshot, call.question())?;
    let mut verdicts = request.verdicts();
    let rank = |of: &PolicyVerdict<'_>| match of.unmet {
        Ok(None) => 0,
        Err(_) => 1,
        Ok(Some(Unmet::Clause(_))) => 2,
        Ok(Some(_)) => 3,
    };
    // What comes first tells most.
    verdicts.sort_by_key(|of| (rank(of), !of.candidate));
    let omitted = verdicts.len().saturating_sub(LISTED);
    let listed = verdicts.iter().take(LISTED).map(|of| Listed {
        why: Some(of.into()),
        ..Listed::new(of.policy, &snapshot)
    });
    let listed: Vec<Listed> = listed.collect();
    let errors = decided.errors.iter();
    let errors = errors.map(|(policy, error)| json!({"policy": policy, "error": error}));
    Ok(json!({
        "decision": decided.word(),
        "reasons": decided.reasons,
        "errors": errors.collect::<Vec<_>>(),
        "policies": listed,
        "omitted": omitted,
    }))
}
