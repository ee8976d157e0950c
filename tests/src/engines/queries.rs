//! cedarjit's batches and queries, made to answer single requests.
//!
//! A batch answers about the request's own resource or principal among others, a query by what it
//! lists. What they say about the others must be what evaluating one by one says; if it is not, the
//! request counts as refused, which cedar-policy does not do.

use super::{EngineError, TestRequest};
use ::cedarjit::{Batch, BoundRequest, EntityHandle, RequestError, Scratch, Snapshot};
use cedar_policy::{Decision, EntityUid};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many others a batch asks about, of those that were asked about before.
const OTHERS: usize = 8;

/// How often a batch asks about all of them, so that looking up answers pays.
const ROUNDS: usize = 4;

/// How many a page of a query's list has.
const PAGE: usize = 3;

/// Asks a world in batches and queries.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// The stored entities.
    stored: Vec<EntityHandle>,
    /// Principals and resources of earlier requests.
    seen: Vec<EntityHandle>,
    asked: usize,
    scratch: Scratch,
}

/// What a batch or a query says does not agree with evaluating one by one.
#[derive(Debug, thiserror::Error)]
enum Disagreement {
    #[error("about entity {0} of a batch the decision is {1:?}, evaluated it is {2:?}")]
    Batch(String, Option<Decision>, Option<Decision>),
    #[error("entity {0} is listed in one way of asking and not in the other")]
    Query(String),
}

impl Asking {
    pub(super) fn new<'e>(
        snapshot: &Arc<Snapshot>,
        entities: impl Iterator<Item = &'e cedar_policy::Entity>,
    ) -> Self {
        let handle = |uid: EntityUid| snapshot.resolve(&uid.to_string()).ok().flatten();
        Self {
            stored: entities.filter_map(|e| handle(e.uid())).collect(),
            ..Self::default()
        }
    }

    /// Whether a query is to be asked now: the more entities there are, the more seldom.
    fn is_due(&self) -> bool {
        self.asked.is_multiple_of(1 + self.stored.len() / 32)
    }

    /// The decision from a batch; `None` if the engine knows neither principal nor resource.
    ///
    /// `warm_up` has code compiled for the batch.
    pub(super) fn batch(
        &mut self,
        bound: &BoundRequest,
        request: &TestRequest,
        warm_up: bool,
    ) -> Option<Result<Decision, EngineError>> {
        self.asked += 1;
        let handle = |uid: &str| bound.snapshot().resolve(uid).ok().flatten();
        let (principal, resource) = (handle(&request.principal), handle(&request.resource));
        let resources = self.asked.is_multiple_of(2);
        let (mut batch, own) = match (principal, resource) {
            (_, Some(resource)) if resources || principal.is_none() => {
                (bound.for_resources(), resource)
            }
            (Some(principal), _) => (bound.for_principals(), principal),
            _ => return None,
        };
        if warm_up {
            // Both kinds of code have their turn, with and without lists.
            if self.asked.is_multiple_of(16) {
                bound.snapshot().list_descendants();
            }
            batch.warm_up(own);
        }
        let mut entities = self.seen.clone();
        let place = entities.len() / 2;
        entities.insert(place, own);
        self.seen
            .extend([principal, resource].into_iter().flatten());
        let surplus = self.seen.len().saturating_sub(OTHERS);
        self.seen.drain(..surplus);
        let rounds = entities.iter().cycle().take(ROUNDS * entities.len());
        let decisions: Vec<_> = batch.decide(rounds.copied()).iter().collect();
        for (position, entity) in entities.iter().enumerate() {
            let evaluated = self.evaluate(&mut batch, *entity);
            let mut decided = decisions.iter().skip(position).step_by(entities.len());
            if let Some(decision) = decided.find(|decided| **decided != evaluated) {
                let uid = bound.snapshot().uid_text(*entity).unwrap_or_default();
                let error = Disagreement::Batch(uid, *decision, evaluated);
                return Some(Err(EngineError::request(error)));
            }
        }
        decisions.get(place).copied().flatten().map(Ok)
    }

    fn evaluate(&mut self, batch: &mut Batch, entity: EntityHandle) -> Option<Decision> {
        let evaluation = batch.evaluate(entity, &mut self.scratch).ok()?;
        Some(evaluation.decision())
    }

    /// The decision from what a query lists; `None` if it says nothing about the request.
    pub(super) fn query(
        &mut self,
        snapshot: &Arc<Snapshot>,
        request: &TestRequest,
    ) -> Option<Result<Decision, EngineError>> {
        self.asked += 1;
        if !self.is_due() {
            return None;
        }
        let listed = match self.asked % 3 {
            0 => self.listed_actions(snapshot, request),
            1 => self.listed(snapshot, request, true),
            _ => self.listed(snapshot, request, false),
        };
        match (listed.transpose()?, &request.parsed) {
            (Ok(true), _) => Some(Ok(Decision::Allow)),
            (Ok(false), Ok(_)) => Some(Ok(Decision::Deny)),
            // What cannot be asked is not listed.
            (Ok(false), Err(error)) => Some(Err(error.clone())),
            (Err(error), _) => Some(Err(error)),
        }
    }

    fn listed_actions(
        &self,
        snapshot: &Arc<Snapshot>,
        request: &TestRequest,
    ) -> Result<Option<bool>, EngineError> {
        let ty = request.action.split("::\"").next().unwrap_or_default();
        // Others are no candidates.
        if ty.rsplit("::").next() != Some("Action") {
            return Ok(None);
        }
        let Ok(Some(own)) = snapshot.resolve(&request.action) else {
            return Ok(None);
        };
        let TestRequest {
            principal,
            resource,
            validate,
            ..
        } = request;
        let context = &*request.context.text;
        let allowed = snapshot.allowed_actions(&**principal, &**resource, context, *validate);
        let mut allowed = allowed.map_err(EngineError::request)?;
        Ok(Some(allowed.any(|action| action == own)))
    }

    /// Whether the request's own resource, or principal, is among those listed.
    fn listed(
        &mut self,
        snapshot: &Arc<Snapshot>,
        request: &TestRequest,
        resources: bool,
    ) -> Result<Option<bool>, EngineError> {
        let own = match resources {
            true => &request.resource,
            false => &request.principal,
        };
        let Ok(Some(handle)) = snapshot.resolve(own) else {
            return Ok(None);
        };
        if !self.stored.contains(&handle) {
            return Ok(None);
        }
        let mut list: Vec<EntityHandle> = Vec::new();
        loop {
            let mut allowed = ask(snapshot, request, resources, None)?;
            if let Some(last) = list.last() {
                allowed.after(*last).map_err(EngineError::request)?;
            }
            let before = list.len();
            // Pages at first, then all that is left.
            let page = if before < 2 * PAGE { PAGE } else { usize::MAX };
            list.extend(allowed.by_ref().take(page));
            if list.len() == before {
                self.check_list(snapshot, &list, allowed.batch())?;
                break;
            }
        }
        let ty = own.split("::\"").next().unwrap_or_default();
        let of_type: Vec<_> = ask(snapshot, request, resources, Some(ty))?.collect();
        let is_of_type = |entity: &&EntityHandle| {
            let uid = snapshot.uid_text(**entity).unwrap_or_default();
            uid.split("::\"").next() == Some(ty)
        };
        if !list.iter().filter(is_of_type).eq(&of_type) {
            return Err(EngineError::request(Disagreement::Query(ty.to_owned())));
        }
        Ok(Some(list.contains(&handle)))
    }

    /// Makes sure that exactly those are listed for which the request is allowed.
    fn check_list(
        &mut self,
        snapshot: &Arc<Snapshot>,
        list: &[EntityHandle],
        batch: &mut Batch,
    ) -> Result<(), EngineError> {
        let listed: BTreeSet<String> = list.iter().filter_map(|e| snapshot.uid_text(*e)).collect();
        for entity in self.stored.clone() {
            let uid = snapshot.uid_text(entity).unwrap_or_default();
            let allowed = self.evaluate(batch, entity) == Some(Decision::Allow);
            if listed.contains(&uid) != allowed {
                return Err(EngineError::request(Disagreement::Query(uid)));
            }
        }
        Ok(())
    }
}

/// Asks for resources or principals.
fn ask(
    snapshot: &Arc<Snapshot>,
    request: &TestRequest,
    resources: bool,
    of_type: Option<&str>,
) -> Result<::cedarjit::Allowed, EngineError> {
    let TestRequest {
        principal,
        action,
        resource,
        validate,
        ..
    } = request;
    let context = &*request.context.text;
    let asked: Result<_, RequestError> = match resources {
        true => snapshot.allowed_resources(&**principal, &**action, context, *validate, of_type),
        false => snapshot.allowed_principals(&**action, &**resource, context, *validate, of_type),
    };
    asked.map_err(EngineError::request)
}
