//! Requests and the witnesses among them.

use super::case::CaseRequest;
use super::knobs::Knobs;
use super::model::Action;
use super::paths::Witness;
use super::population::{Context, Population};
use super::rng::Rng;
use std::collections::HashSet;

/// How many of the first requests policies are written for; many later ones are close to one.
const WITNESSES: usize = 20;

/// Requests, and the contexts they refer to as JSON.
pub(super) fn make(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
) -> (Vec<CaseRequest>, Vec<String>) {
    let contexts = world.contexts.iter();
    let mut contexts: Vec<String> = contexts
        .map(|context| world.context_json(rng, &context.fields))
        .collect();
    for _ in 0..SPOILED_CONTEXTS {
        contexts.push(world.spoiled_context_json(rng, knobs));
    }
    let all_validated = rng.chance(knobs.validated);
    let count = rng.between(knobs.sizes.min_requests, knobs.sizes.max_requests);
    let mut requests: Vec<CaseRequest> = Vec::with_capacity(count);
    let mut known = HashSet::with_capacity(count);
    // A small world has fewer different requests than asked for.
    for _ in 0..count * 2 {
        if requests.len() == count {
            break;
        }
        let witnesses = requests.get(..WITNESSES).unwrap_or_default();
        let near = match rng.pick(witnesses) {
            Some(witness) if rng.one_in(2) => near(rng, world, *witness),
            _ => None,
        };
        let Some(mut request) = near.or_else(|| fresh(rng, world)) else {
            break;
        };
        request.validate = all_validated || rng.one_in(2);
        // The witnesses are not spoiled: conditions on them could not be made to hold.
        if requests.len() >= WITNESSES && rng.chance(knobs.spoiled_requests) {
            spoil(rng, world, &mut request);
        }
        // Witnesses may be alike: conditions are to hold for the same request more often.
        if known.insert(request) || requests.len() < WITNESSES {
            requests.push(request);
        }
    }
    (requests, contexts)
}

/// The last contexts are not of any action's type.
const SPOILED_CONTEXTS: usize = 2;

/// The first requests, as policies need them.
pub(super) fn witnesses(world: &Population, requests: &[CaseRequest]) -> Vec<Witness> {
    let first = requests.iter().take(WITNESSES);
    let witness = |request: &CaseRequest| {
        let (context, action) = context(world, request.context)?;
        Some(Witness {
            principal: request.principal,
            action: request.action,
            resource: request.resource,
            context: context.fields.clone(),
            context_type: action.context,
        })
    };
    first.filter_map(witness).collect()
}

/// A context and the action it is for.
fn context(world: &Population, position: usize) -> Option<(&Context, &Action)> {
    let context = world.contexts.get(position)?;
    Some((context, world.model.actions.get(context.action)?))
}

/// A request that fits the model.
fn fresh(rng: &mut Rng, world: &Population) -> Option<CaseRequest> {
    let position = requestable(rng, world);
    let (context, action) = context(world, position)?;
    let uid = |rng: &mut Rng, types: &[usize]| match rng.pick(types) {
        Some(&ty) => world.uid_of(rng, ty),
        None => world.any_uid(rng),
    };
    Some(CaseRequest {
        principal: uid(rng, &action.principals),
        action: world.actions.get(context.action).copied()?,
        resource: uid(rng, &action.resources),
        context: position,
        validate: false,
    })
}

/// A request that differs from `witness` in one thing.
fn near(rng: &mut Rng, world: &Population, witness: CaseRequest) -> Option<CaseRequest> {
    let mut request = witness;
    match rng.below(3) {
        0 => request.principal = world.uid_of(rng, world.type_of(witness.principal)),
        1 => request.resource = world.uid_of(rng, world.type_of(witness.resource)),
        _ => {
            let action = world.contexts.get(witness.context)?.action;
            let others: Vec<usize> = (0..world.contexts.len())
                .filter(|&other| {
                    world
                        .contexts
                        .get(other)
                        .is_some_and(|c| c.action == action)
                })
                .collect();
            request.context = rng.pick(&others).copied()?;
        }
    }
    Some(request)
}

fn spoil(rng: &mut Rng, world: &Population, request: &mut CaseRequest) {
    match rng.below(4) {
        0 => request.action = world.any_uid(rng),
        1 => request.context = world.contexts.len() + rng.below(SPOILED_CONTEXTS),
        2 => request.principal = world.any_uid(rng),
        _ => request.resource = world.any_uid(rng),
    }
}

/// The position of a context; rarely that of a mere group of actions, which no valid request names.
fn requestable(rng: &mut Rng, world: &Population) -> usize {
    let applies = |position: &usize| {
        let found = context(world, *position);
        found.is_some_and(|(_, action)| !action.principals.is_empty()) || !world.declared
    };
    let first = rng.below(world.contexts.len());
    if rng.one_in(16) {
        return first;
    }
    let mut in_turn = (first..world.contexts.len()).chain(0..first);
    in_turn.find(applies).unwrap_or(first)
}
