//! What code for many entities looks up: who is in something that stays the same, and whose attributes
//! lead to it.
//!
//! One by one, each entity's ancestors are searched, which are all over memory, or attributes of
//! attributes are read. Where there are [lists](super::lists), those for which the answer is yes are
//! marked in a bit set, once for a batch, and code of its own looks into that. The sets are made when so
//! many have been asked about that it pays.

use super::Batch;
use crate::index::Side;
use crate::jobs;
use crate::snapshot::Snapshot;
use crate::store::entities;
use cedarjit_ir::expr::Var;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{AttrOf, BatchFunction, Lookup, Origin, Path, Trail};
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// How many entities are marked in the time that one is evaluated without looking up.
const MARKED: usize = 8;

/// How many words of zeros are written in the time that marking one entity takes.
const CLEARED: usize = 8;

/// How many entities are marked in the time that it takes to read an attribute of one.
const READ: usize = 8;

/// How many times as many must be asked about until what was too much is tried again.
const PATIENCE: usize = 4;

/// What is known of the answers that code for one kind of entities looks up.
#[derive(Clone, Debug)]
pub(super) enum LookupState {
    /// It may pay to make the sets when so many have been asked about.
    After(usize),
    /// For each 64 entities, a word of each question.
    Made(Vec<u64>),
    /// The questions have no answer.
    Unanswered,
}

impl Default for LookupState {
    fn default() -> Self {
        Self::After(0)
    }
}

/// Why there are no sets.
enum Unmade {
    /// It does not pay yet: so much is to be done at least.
    Expensive(usize),
    /// A question has no answer.
    Unanswered,
}

impl Snapshot {
    /// Has lists made, and code compiled that looks things up with them, in the background.
    fn submit_lookups(self: &Arc<Self>, place: u32, side: Side) {
        // Busy engines replace a snapshot before its turn comes, and the lists live on.
        let snapshot = Arc::clone(self);
        jobs::submit(move || snapshot.make_lookups(place, side));
    }

    /// Lists what the code of a bucket needs, and compiles the code that looks things up.
    pub(super) fn make_lookups(&self, place: u32, side: Side) {
        if let Some(function) = self.looking_code(place, side) {
            self.list_descendants();
            self.list_holders(function.lookups());
        }
    }
}

impl Batch {
    /// Makes what the code for a kind looks up, if there is such code and it pays. `asked` of its
    /// entities are to be decided about next.
    pub(super) fn prepare_lookups(&mut self, number: usize, place: u32, asked: usize) {
        match self.kinds.get(number).map(|kind| &kind.lookups) {
            Some(LookupState::After(after)) if *after <= self.asked => {}
            _ => return,
        }
        let snapshot = &self.request.snapshot;
        let bucket = snapshot.buckets.get(place);
        let function = bucket.and_then(|bucket| bucket.batch(self.side).looking());
        let ready = function.filter(|function| snapshot.lists.answer(function.lookups()));
        let Some(lookups) = ready.map(BatchFunction::lookups) else {
            let entities = snapshot.store.headers().len();
            if snapshot.lists.count(asked, entities) {
                snapshot.submit_lookups(place, self.side);
            }
            return;
        };
        let state = match self.make(lookups) {
            Ok(sets) => LookupState::Made(sets),
            Err(Unmade::Expensive(cost)) => {
                LookupState::After((self.asked * PATIENCE).max(cost / MARKED))
            }
            Err(Unmade::Unanswered) => LookupState::Unanswered,
        };
        if let Some(kind) = self.kinds.get_mut(number) {
            kind.lookups = state;
        }
    }

    /// The code for a kind, and the sets that it looks into.
    pub(super) fn looking(&self, number: usize, place: u32) -> Option<(&BatchFunction, &[u64])> {
        let cell = self.request.snapshot.buckets.get(place)?.batch(self.side);
        match (cell.looking(), &self.kinds.get(number)?.lookups) {
            (Some(function), LookupState::Made(sets)) => Some((function, sets)),
            _ => Some((cell.get()?, &[])),
        }
    }

    /// The sets: for each 64 entities, a word of each question.
    ///
    /// # Errors
    /// When that costs more than it saves for as many as have been asked about.
    fn make(&self, lookups: &[Lookup]) -> Result<Vec<u64>, Unmade> {
        let snapshot = &self.request.snapshot;
        let words = snapshot.store.headers().len().div_ceil(u64::BITS as usize);
        let mut budget = Budget {
            spent: 0,
            most: self.asked * MARKED,
        };
        budget.spend(words * lookups.len() / CLEARED)?;
        let mut sets = vec![0_u64; words * lookups.len()];
        for (place, lookup) in lookups.iter().enumerate() {
            let mark = |id: EntityId| {
                let id = id.index();
                // Of an entity that only the request knows nothing is asked.
                if let Some(word) = sets.get_mut(id / 64 * lookups.len() + place) {
                    *word |= 1 << (id % 64);
                }
            };
            match lookup {
                Lookup::In(path) => self.mark_descendants(path, &mut budget, mark)?,
                Lookup::Element(path) => {
                    let elements = self.objects(path, &mut budget)?;
                    elements.into_iter().for_each(mark);
                }
                Lookup::Trail(trail) => self.mark_trail(trail, &mut budget, mark)?,
            }
        }
        Ok(sets)
    }

    /// Calls `mark` with each entity that is in what is there.
    fn mark_descendants(
        &self,
        path: &Path,
        budget: &mut Budget,
        mut mark: impl FnMut(EntityId),
    ) -> Result<(), Unmade> {
        let descendants = self.request.snapshot.lists.descendants();
        let descendants = descendants.ok_or(Unmade::Unanswered)?;
        for id in self.objects(path, budget)? {
            let below = descendants.to(id);
            budget.spend(below.len())?;
            if !planted(Fault::LookupWithoutSelf) {
                mark(id);
            }
            below.iter().for_each(|id| mark(EntityId(*id)));
        }
        Ok(())
    }

    /// Calls `mark` with each entity whose attributes lead to what is there.
    fn mark_trail(
        &self,
        trail: &Trail,
        budget: &mut Budget,
        mark: impl FnMut(EntityId),
    ) -> Result<(), Unmade> {
        let store = &self.request.snapshot.store;
        let mut held = self.objects(&trail.to, budget)?;
        if trail.ancestors && !planted(Fault::TrailWithoutAncestors) {
            for id in held.clone() {
                let above = store.ancestors_of(id).iter();
                held.extend(above);
            }
        }
        let Some((first, others)) = trail.attrs.split_first() else {
            return Err(Unmade::Unanswered);
        };
        for attr in others.iter().rev() {
            let mut holders = Vec::new();
            self.for_each_holder(*attr, &mut held, budget, |id| holders.push(id))?;
            held = holders;
        }
        self.for_each_holder(*first, &mut held, budget, mark)
    }

    /// Calls `mark` with each entity that has one of these in an attribute, some more than once.
    fn for_each_holder(
        &self,
        of: AttrOf,
        held: &mut Vec<EntityId>,
        budget: &mut Budget,
        mut mark: impl FnMut(EntityId),
    ) -> Result<(), Unmade> {
        let (store, lists) = (&self.request.snapshot.store, &self.request.snapshot.lists);
        let holders = lists.holders(of).ok_or(Unmade::Unanswered)?;
        held.sort_unstable();
        held.dedup();
        budget.spend(held.len() + lists.changed().len() * READ)?;
        for id in &*held {
            let holders = holders.to(*id);
            budget.spend(holders.len())?;
            let holders = holders.iter().map(|id| EntityId(*id));
            holders
                .filter(|id| !lists.is_changed(*id))
                .for_each(&mut mark);
        }
        for id in lists.changed() {
            let header = store.header(*id);
            let value = (header.ty == of.ty.0).then(|| store.attr(*id, of.attr));
            let has = |value| entities(store, value).any(|id| held.binary_search(&id).is_ok());
            if value.flatten().is_some_and(has) {
                mark(*id);
            }
        }
        Ok(())
    }

    /// The entity that a path leads to, or those in the set that it leads to.
    fn objects(&self, path: &Path, budget: &mut Budget) -> Result<Vec<EntityId>, Unmade> {
        let value = self.value(path).ok_or(Unmade::Unanswered)?;
        let mut objects = Vec::new();
        for entity in entities(&self.request.snapshot.store, value) {
            budget.spend(1)?;
            objects.push(entity);
        }
        Ok(objects)
    }

    /// The entity or the set that a path leads to; `None` if there is nothing, or something else.
    fn value(&self, path: &Path) -> Option<Value> {
        let (store, values) = (&self.request.snapshot.store, &self.request.details.values);
        let origin = match path.origin {
            Origin::Var(Var::Principal) => values.principal(),
            Origin::Var(Var::Action) => values.action(),
            Origin::Var(Var::Resource) => values.resource(),
            Origin::Var(Var::Context) => return None,
            Origin::Entity(entity) => entity,
        };
        let mut value = Value::entity(origin);
        for attr in &path.attrs {
            let entity = (value.tag == Tag::Entity).then(|| value.as_entity())?;
            value = store.attr(entity, *attr)?;
        }
        Some(value).filter(|value| matches!(value.tag, Tag::Entity | Tag::Set))
    }
}

/// What may be done to make sets, and what has been: in entities marked.
struct Budget {
    spent: usize,
    most: usize,
}

impl Budget {
    /// # Errors
    /// When it is more than may be done.
    fn spend(&mut self, cost: usize) -> Result<(), Unmade> {
        self.spent += cost;
        match self.spent <= self.most {
            true => Ok(()),
            false => Err(Unmade::Expensive(self.spent)),
        }
    }
}
