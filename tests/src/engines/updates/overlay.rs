//! Engines that lack some of a world's entities, which each request brings.

use super::goal::Goal;
use super::state::Row;
use crate::engines::{EngineError, World};
use crate::generator::Rng;
use ::cedarjit::{BoundRequest, EngineBuilder, OverlaidRequest, Snapshot};
use cedar_policy::{Entity, EntityUid, Request};
use std::sync::Arc;

/// At most this many entities are brought.
const BROUGHT: usize = 6;

/// An engine with a state that a few entities are not in, or not as they should be, and these
/// entities.
pub(in crate::engines) struct Overlaying {
    snapshot: Arc<Snapshot>,
    brought: Vec<Entity>,
}

impl Overlaying {
    /// `builder` has the schema, and neither policies nor entities.
    pub(in crate::engines) fn of(
        world: &World,
        builder: EngineBuilder,
    ) -> Result<Self, EngineError> {
        let mut rng = Rng::new(super::seed(world));
        let goal = Goal::of(world)?;
        let engine = builder.policies(&world.policies).build();
        let engine = engine.map_err(EngineError::load)?;
        let uids: Vec<EntityUid> = goal.entities.keys().cloned().collect();
        let mut stored: Vec<(EntityUid, Row)> = Vec::new();
        let mut brought: Vec<(EntityUid, Option<Row>)> = Vec::new();
        let count = 1 + rng.below(BROUGHT);
        let first = rng.below(uids.len());
        for (position, (uid, row)) in goal.entities.iter().enumerate() {
            // Neighbours, most of which are of one type and in one another.
            let distance = (position + uids.len() - first) % uids.len();
            let is_brought = distance < count || rng.one_in(32);
            if is_brought && brought.len() < BROUGHT {
                let other = goal.row(uid, &mut rng).filter(|_| rng.one_in(2));
                brought.push((uid.clone(), other));
            } else {
                stored.push((uid.clone(), row.clone()));
            }
        }
        let entities = |rows: &[(EntityUid, Row)]| -> Result<Vec<Entity>, EngineError> {
            rows.iter()
                .map(|(uid, row)| goal.entity(uid, row))
                .collect()
        };
        let stored = entities(&stored)?;
        let altered = brought.iter();
        let altered = altered.filter_map(|(uid, row)| Some((uid.clone(), row.clone()?)));
        let altered = entities(&altered.collect::<Vec<_>>())?;
        let upsert = |altered: &[Entity]| {
            engine.update(|tx| {
                let mut entities = stored.iter().chain(altered);
                entities.try_for_each(|entity| tx.upsert_entity(entity.clone()))
            })
        };
        // What is altered may be in itself; then it is left out.
        upsert(&altered)
            .or_else(|_| upsert(&[]))
            .map_err(EngineError::load)?;
        let own = |(uid, _): &(EntityUid, Option<Row>)| {
            let row = goal.entities.get(uid)?;
            Some(goal.entity(uid, row))
        };
        let mut brought: Vec<Entity> = brought.iter().filter_map(own).collect::<Result<_, _>>()?;
        if rng.one_in(2) {
            brought.reverse();
        }
        Ok(Self {
            snapshot: engine.snapshot(),
            brought,
        })
    }

    /// The request with the entities that the engine lacks.
    pub(in crate::engines) fn bind(
        &self,
        request: &Request,
    ) -> Result<OverlaidRequest, EngineError> {
        let bound: BoundRequest = self.snapshot.bind(request).map_err(EngineError::request)?;
        let brought = self.brought.iter().cloned();
        bound.with_entities(brought).map_err(EngineError::request)
    }
}
