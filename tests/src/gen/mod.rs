//! Makes random worlds that are consistent by construction.
//!
//! From a seed come, in this order: a model of entity types and actions, which is written
//! as a schema or kept back; the population of entities that fits it, with values and
//! parents; contexts and requests; and policies that speak of all of these. Each policy is written
//! for one of the requests, its *witness*: scopes and conditions are chosen so that they hold for
//! it more often than not, because conditions that are never true test little. Then some entities
//! are left out.
//!
//! [`Knobs`] says how often each hazard occurs. The same seed and knobs give the same [`Case`],
//! byte for byte.

mod boolean;
mod calls;
mod case;
mod compare;
mod dynamic;
mod expr;
pub mod extensions;
mod farms;
mod knobs;
mod model;
mod names;
mod paths;
mod patterns;
mod policies;
mod population;
mod relations;
mod requests;
mod rng;
mod schema;
mod text;
mod twins;
mod value;

pub use case::{Case, CaseError, CaseRequest, LoadedCase};
pub use knobs::{Knobs, Sizes};
pub use policies::Link;
pub use rng::Rng;
pub use text::Pieces;
pub use value::UidText;

use model::Model;
use population::Population;

/// The world of `seed`.
///
/// With the default [`Sizes`] this takes about a tenth of a millisecond in a release build.
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
    let (mut requests, contexts) = requests::make(rng, knobs, &world);
    let witnesses = requests::witnesses(&world, &requests);
    let (policies, links) = policies::write(rng, knobs, &world, &witnesses);
    // cedar-policy's time for a request grows with the policies: few requests to many policies.
    let most = knobs.sizes.visits / (policies.len() + links.len()).max(1);
    requests.truncate(most.max(knobs.sizes.min_requests / 4));
    Case {
        schema_as_cedar: rng.chance(knobs.cedar_schema),
        policies_as_json: rng.chance(knobs.json_policies),
        schema,
        policies,
        links,
        entities: world.entities_json(rng),
        uids: world.uids,
        contexts,
        requests,
    }
}
