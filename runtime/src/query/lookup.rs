//! What code for many entities looks up: who is in something that stays the same.
//!
//! One by one, each entity's ancestors are searched, which are all over memory. Where the
//! [descendants](Descendants) of entities are listed, those of what stays are marked in a bit set,
//! once for a batch, and code of its own looks into that. So are the elements of sets. The sets are
//! made when so many have been asked about that it pays.

use super::Batch;
use crate::index::Side;
use crate::jobs;
use crate::snapshot::Snapshot;
use crate::store::Reversed;
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::expr::Var;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Heaps;
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::value::{Tag, Value};
use cedarjit_jit::{BatchFunction, Lookup, Origin, Path};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

#[cfg(test)]
mod tests;

/// How many descendants are marked in the time that searching one entity's ancestors takes.
const MARKED: usize = 8;

/// How many words of zeros are written in the time that marking one descendant takes.
const CLEARED: usize = 8;

/// About as many entities of a small store are asked about before anything is made for them.
const HOT: usize = 1_000;

/// The descendants of each entity, once they are listed. Shared by snapshots between which nobody's
/// ancestors have changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descendants(Arc<Listed>);

#[derive(Debug, Default)]
struct Listed {
    /// How many entities have been asked about in batches that the lists would help.
    asked: AtomicUsize,
    lists: OnceLock<Option<Reversed>>,
}

impl Descendants {
    /// The lists, if they are made by now.
    pub(super) fn get(&self) -> Option<&Reversed> {
        self.0.lists.get()?.as_ref()
    }

    /// Notes that entities were asked about. True each time that they have become as many again as
    /// there are: listing descendants takes about as long as asking about all entities does.
    fn count(&self, asked: usize, entities: usize) -> bool {
        let entities = entities.max(HOT);
        let before = self.0.asked.fetch_add(asked, Ordering::Relaxed);
        before / entities != before.saturating_add(asked) / entities
    }

    /// What the lists take of memory.
    pub(crate) fn memory(&self) -> TableMemory {
        self.get()
            .map_or_else(TableMemory::default, Reversed::memory)
    }
}

/// What is known of the answers that code for one kind of entities looks up.
#[derive(Clone, Debug, Default)]
pub(super) enum LookupState {
    /// Nothing yet.
    #[default]
    Unknown,
    /// It pays to make the sets when so many have been asked about.
    Worth(usize),
    /// For each 64 entities, a word of each question.
    Made(Vec<u64>),
    /// The questions have no answer.
    Unanswered,
}

impl Snapshot {
    /// Lists the descendants of each entity now, if that has not been done; otherwise it happens in
    /// the background, when batches on this snapshot have asked about as many entities as there are.
    ///
    /// With these lists a batch finds out at once who is in what stays the same in it, such as a
    /// folder that the principal owns. O(entities + their ancestors).
    pub fn list_descendants(&self) {
        let lists = &self.descendants.0.lists;
        lists.get_or_init(|| Reversed::ancestors(&self.store));
    }

    /// Has descendants listed, and code compiled that looks things up with them, in the background.
    fn submit_lookups(self: &Arc<Self>, place: u32, side: Side) {
        let snapshot = Arc::downgrade(self);
        jobs::submit(move || {
            if let Some(snapshot) = snapshot.upgrade() {
                snapshot.list_descendants();
                snapshot.looking_code(place, side);
            }
        });
    }
}

impl Batch {
    /// Makes what the code for a kind looks up, if there is such code and it pays. `asked` of its
    /// entities are to be decided about next.
    pub(super) fn prepare_lookups(&mut self, number: usize, place: u32, asked: usize) {
        let snapshot = &self.request.snapshot;
        let bucket = snapshot.buckets.get(place);
        let function = bucket.and_then(|bucket| bucket.batch(self.side).looking());
        let (Some(function), Some(descendants)) = (function, snapshot.descendants.get()) else {
            let entities = snapshot.store.headers().len();
            if snapshot.descendants.count(asked, entities) {
                snapshot.submit_lookups(place, self.side);
            }
            return;
        };
        let lookups = function.lookups();
        let state = match self.kinds.get(number).map(|kind| &kind.lookups) {
            Some(LookupState::Unknown) => self.worth(lookups, descendants),
            Some(LookupState::Worth(asked)) => LookupState::Worth(*asked),
            _ => return,
        };
        let state = match state {
            LookupState::Worth(asked) if asked <= self.asked => self.make(lookups, descendants),
            other => other,
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

    /// When it pays to make the sets.
    fn worth(&self, lookups: &[Lookup], descendants: &Reversed) -> LookupState {
        let mut marked = self.words() * lookups.len() / CLEARED;
        for lookup in lookups {
            let (path, descend) = match lookup {
                Lookup::In(path) => (path, true),
                Lookup::Element(path) => (path, false),
            };
            let Some(objects) = self.objects(path) else {
                return LookupState::Unanswered;
            };
            marked += objects.len();
            if descend {
                let lists = objects.iter().map(|id| descendants.to(*id).len());
                marked += lists.sum::<usize>();
            }
        }
        LookupState::Worth(marked / MARKED)
    }

    fn make(&self, lookups: &[Lookup], descendants: &Reversed) -> LookupState {
        let mut sets = vec![0_u64; self.words() * lookups.len()];
        let mut mark = |place: usize, id: usize| {
            // Of an entity that only the request knows nothing is asked.
            if let Some(word) = sets.get_mut(id / 64 * lookups.len() + place) {
                *word |= 1 << (id % 64);
            }
        };
        for (place, lookup) in lookups.iter().enumerate() {
            let (path, descend) = match lookup {
                Lookup::In(path) => (path, true),
                Lookup::Element(path) => (path, false),
            };
            for id in self.objects(path).unwrap_or_default() {
                if !(descend && planted(Fault::LookupWithoutSelf)) {
                    mark(place, id.index());
                }
                let below = descendants.to(id).iter().filter(|_| descend);
                below.for_each(|id| mark(place, *id as usize));
            }
        }
        LookupState::Made(sets)
    }

    /// How many words a bit for each entity takes.
    fn words(&self) -> usize {
        let entities = self.request.snapshot.store.headers().len();
        entities.div_ceil(u64::BITS as usize)
    }

    /// The entity that a path leads to, or those in the set that it leads to; `None` if there is
    /// nothing, or something else.
    fn objects(&self, path: &Path) -> Option<Vec<EntityId>> {
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
        if value.tag == Tag::Entity {
            return Some(vec![value.as_entity()]);
        }
        // Attributes are on the store's heap.
        let heaps = Heaps {
            global: store.heap(),
            request: store.heap(),
            scratch: store.heap(),
        };
        let set = (value.tag == Tag::Set).then(|| heaps.object(value.as_heap_ref()))??;
        let entities = set.values().filter(|value| value.tag == Tag::Entity);
        Some(entities.map(Value::as_entity).collect())
    }
}
