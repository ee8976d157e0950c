//! Makes random worlds that are consistent by construction.
//!
//! From a seed come, in this order: a [model](model) of entity types and actions, which is written
//! as a schema or kept back; the [population](population) of entities that fits it, with values and
//! parents; contexts and requests; and policies that speak of all of these. Each policy is written
//! for one of the requests, its *witness*: scopes and conditions are chosen so that they hold for
//! it more often than not, because conditions that are never true test little. Then some entities
//! are left out.
//!
//! [`Knobs`] says how often each hazard occurs. The same seed and knobs give the same [`Case`],
//! byte for byte.

mod boolean;
mod case;
mod compare;
mod dynamic;
mod expr;
pub mod extensions;
mod knobs;
mod model;
mod names;
mod paths;
mod policies;
mod population;
mod rng;
mod schema;
mod text;
mod value;

pub use case::{Case, CaseError, CaseRequest, LoadedCase};
pub use knobs::{Knobs, Sizes};
pub use policies::Link;
pub use rng::Rng;
pub use text::Pieces;
pub use value::UidText;

use model::Model;
use paths::Witness;
use population::Population;

/// The world of `seed`.
///
/// With the default [`Sizes`] this takes some tens of microseconds in a release build.
pub fn generate(seed: u64, knobs: &Knobs) -> Case {
    generate_from(&mut Rng::new(seed), knobs)
}

/// The world that follows from a sequence of choices.
pub fn generate_from(rng: &mut Rng, knobs: &Knobs) -> Case {
    let knobs = &knobs.swarm(rng);
    let model = Model::new(rng, knobs);
    let declared = rng.chance(knobs.schema);
    let schema = declared.then(|| schema::write(&model));
    let world = Population::new(rng, knobs, model, declared);
    let (requests, contexts, witnesses) = requests(rng, knobs, &world);
    let (policies, links) = policies::write(rng, knobs, &world, &witnesses);
    Case {
        schema,
        policies,
        links,
        entities: world.entities_json(rng),
        uids: world.uids,
        contexts,
        requests,
    }
}

/// Requests, their contexts as JSON, and some of them as witnesses.
fn requests(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
) -> (Vec<CaseRequest>, Vec<String>, Vec<Witness>) {
    let mut contexts: Vec<String> = Vec::new();
    for context in &world.contexts {
        contexts.push(world.context_json(rng, &context.fields));
    }
    let fitting = contexts.len();
    for _ in 0..2 {
        contexts.push(world.spoiled_context_json(rng, knobs));
    }
    let all_validated = rng.chance(knobs.validated);
    let count = rng.between(knobs.sizes.min_requests, knobs.sizes.max_requests);
    let mut requests = Vec::with_capacity(count);
    let mut witnesses: Vec<Witness> = Vec::new();
    for _ in 0..count {
        let spoiled = rng.chance(knobs.spoiled_requests);
        let position = requestable(rng, world, fitting);
        let Some(context) = world.contexts.get(position) else {
            break;
        };
        let Some(action) = world.model.actions.get(context.action) else {
            break;
        };
        let side = |rng: &mut Rng, types: &[usize]| match rng.pick(types) {
            Some(&ty) if !spoiled => world.uid_of(rng, ty),
            _ => world.any_uid(rng),
        };
        let principal = side(rng, &action.principals);
        let resource = side(rng, &action.resources);
        let own_action = world.actions.get(context.action).copied().unwrap_or(0);
        let mut request = CaseRequest {
            principal,
            action: own_action,
            resource,
            context: position,
            validate: all_validated || rng.one_in(2),
        };
        if spoiled {
            match rng.below(4) {
                0 => request.action = world.any_uid(rng),
                1 => request.context = fitting + rng.below(2),
                _ => {}
            }
        } else if witnesses.len() < 16 && !action.principals.is_empty() {
            witnesses.push(Witness {
                principal,
                action: own_action,
                resource,
                context: context.fields.clone(),
                context_type: action.context,
            });
        }
        requests.push(request);
    }
    (requests, contexts, witnesses)
}

/// The position of a context; rarely that of a mere group of actions, which no valid request names.
fn requestable(rng: &mut Rng, world: &Population, fitting: usize) -> usize {
    let applies = |position: &usize| {
        let context = world.contexts.get(*position);
        let action = context.and_then(|context| world.model.actions.get(context.action));
        action.is_some_and(|action| !action.principals.is_empty()) || !world.declared
    };
    let first = rng.below(fitting);
    if rng.one_in(16) {
        return first;
    }
    let mut in_turn = (first..fitting).chain(0..first);
    in_turn.find(applies).unwrap_or(first)
}
