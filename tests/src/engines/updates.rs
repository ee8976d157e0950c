//! Engines that reach a world's state by updates instead of a fresh build.
//!
//! An engine begins with a part of the world and with what does not belong to it, goes through
//! random transactions, some of which must fail and leave nothing behind, and ends in the world's
//! state. A model says after each transaction what the engine must have become, and whether it had
//! to refuse. Everything follows from the world alone.

mod goal;
mod overlay;
mod state;
mod wanderer;

use super::{EngineError, World};
use crate::generator::Rng;
use ::cedarjit::{EngineBuilder, UpdateError};
use cedar_policy::EntityUid;
use goal::Goal;
pub(super) use overlay::Overlaying;
pub(super) use wanderer::Wanderer;

/// What an engine made of a transaction that it should not have made of it.
#[derive(Debug, thiserror::Error)]
enum Strayed {
    #[error("a transaction was refused: {0}")]
    Refused(#[source] UpdateError),
    #[error("a transaction took effect that had to fail")]
    Admitted,
    #[error("a transaction that failed left another snapshot")]
    NotAsBefore,
    #[error("a transaction was wrong about the existence of `{0}`")]
    Existence(EntityUid),
    #[error("a transaction was wrong about the existence of a schema")]
    Schema,
}

/// At most about this many transactions on the way, each of which builds a snapshot.
const STEPS: usize = 10;

/// An engine with the state of `world`, reached from a part of it by updates that follow from the
/// world. `builder` has the schema, and neither policies nor entities.
pub(super) fn updated(world: &World, builder: EngineBuilder) -> Result<Wanderer, EngineError> {
    let mut rng = Rng::new(seed(world));
    let goal = Goal::of(world)?;
    let steps = rng.below(STEPS + 1);
    let mut wanderer = Wanderer::start(goal, rng, builder)?;
    for _ in 0..steps {
        wanderer.wander()?;
    }
    wanderer.go_home()?;
    Ok(wanderer)
}

/// A number that follows from the size of the world.
fn seed(world: &World) -> u64 {
    let texts = &world.texts;
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len) as u64;
    let policies = world.policies.policies().count() as u64;
    policies << 40 ^ length(&texts.policies) << 20 ^ length(&texts.entities)
}
