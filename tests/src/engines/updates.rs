//! Engines that reach a world's state by updates instead of a fresh build.

use super::{EngineError, World};
use crate::generator::Rng;
use ::cedarjit::{Engine, EngineBuilder, UpdateError};
use cedar_policy::{Entities, Policy, PolicyId, PolicySet};
use std::collections::HashMap;

/// At most about this many updates, each of which builds a snapshot.
const UPDATES: usize = 10;

/// An engine with the state of `world`, reached from a part of it by updates that follow from the
/// size of the world. `builder` has the schema, and neither policies nor entities.
pub(super) fn updated(world: &World, builder: EngineBuilder) -> Result<Engine, EngineError> {
    let policies: Vec<&Policy> = world.policies.policies().collect();
    let mut rng = Rng::new(policies.len() as u64);
    let late = UPDATES.min(policies.len());
    let mut start = PolicySet::new();
    let (late, early): (Vec<&Policy>, Vec<&Policy>) = policies
        .iter()
        .partition(|_| rng.below(policies.len()) < late);
    for policy in early {
        insert(&mut start, world, policy)?;
    }
    let with_entities = rng.one_in(2);
    let entities = match with_entities {
        true => world.entities.clone(),
        false => Entities::empty(),
    };
    let builder = builder.policies(&start).entities(entities);
    let engine = builder.build().map_err(EngineError::load)?;
    let changes = Changes {
        engine: &engine,
        world,
    };
    let middle = rng.below(late.len() + 1);
    for (position, policy) in late.iter().enumerate() {
        if position == middle && !with_entities {
            changes.replace_entities()?;
        }
        changes.add(policy)?;
        if rng.one_in(4) {
            changes.remove(policy)?;
            changes.add(policy)?;
        }
    }
    if middle == late.len() && !with_entities {
        changes.replace_entities()?;
    }
    Ok(engine)
}

/// Puts a policy of the world into a set, with its template if it is a link.
fn insert(set: &mut PolicySet, world: &World, policy: &Policy) -> Result<(), EngineError> {
    let Some((template, slots)) = template(policy) else {
        return set.add(policy.clone()).map_err(EngineError::load);
    };
    if set.template(template).is_none()
        && let Some(template) = world.policies.template(template)
    {
        set.add_template(template.clone())
            .map_err(EngineError::load)?;
    }
    set.link(template.clone(), policy.id().clone(), slots)
        .map_err(EngineError::load)
}

type Slots = HashMap<cedar_policy::SlotId, cedar_policy::EntityUid>;

/// The template that a link is of, and what its slots are bound to.
fn template(policy: &Policy) -> Option<(&PolicyId, Slots)> {
    Some((policy.template_id()?, policy.template_links()?))
}

struct Changes<'a> {
    engine: &'a Engine,
    world: &'a World,
}

impl Changes<'_> {
    fn add(&self, policy: &Policy) -> Result<(), EngineError> {
        let added = match template(policy) {
            None => self.engine.add_policy(policy.clone()),
            Some((id, slots)) => {
                // Known already if another link of it came before.
                if let Some(template) = self.world.policies.template(id) {
                    match self.engine.add_template(template.clone()) {
                        Ok(()) | Err(UpdateError::Policies(_)) => {}
                        Err(error) => return Err(EngineError::load(error)),
                    }
                }
                self.engine.link(id.clone(), policy.id().clone(), slots)
            }
        };
        added.map_err(EngineError::load)
    }

    fn remove(&self, policy: &Policy) -> Result<(), EngineError> {
        let id = policy.id().clone();
        self.engine.remove_policy(id).map_err(EngineError::load)
    }

    fn replace_entities(&self) -> Result<(), EngineError> {
        let entities = self.world.entities.clone();
        self.engine
            .replace_entities(entities)
            .map_err(EngineError::load)
    }
}
