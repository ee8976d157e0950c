//! Lists that batches look into: the descendants of each entity, and who has whom in an attribute.
//!
//! They are made once much has been asked, in the background, and live on when entities change:
//! descendants as long as nobody gets other ancestors, and who has whom in an attribute with a note of
//! the entities that have been written since, which are to be looked at themselves.

use crate::snapshot::Snapshot;
use crate::store::{Reversed, Store, StoreUpdate};
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_jit::{AttrOf, Lookup};
use std::iter::successors;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// About as many entities of a small store are asked about before anything is listed.
const HOT: usize = 1_000;

/// How many entities may be written before who has whom is listed anew.
pub(super) const MAX_CHANGED: usize = 1_000;

/// How many attributes are listed; with others nothing is looked up.
const MAX_ATTRS: usize = 256;

/// The lists of a snapshot, made or not. Snapshots share what is the same for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    /// How many entities have been asked about in batches that lists would help.
    asked: Arc<AtomicUsize>,
    descendants: Arc<OnceLock<Option<Reversed>>>,
    holders: Arc<OnceLock<Box<Holders>>>,
    changed: Arc<Changed>,
}

/// The entities written since the first who has whom may have been listed.
#[derive(Clone, Debug, Default)]
struct Changed {
    /// Ascending, each once.
    ids: Vec<EntityId>,
    /// How often one was written.
    writes: usize,
}

/// The entities of a type by what they have in an attribute, and other such lists.
#[derive(Debug)]
struct Holders {
    of: AttrOf,
    /// How often an entity had been written when this was listed.
    writes: usize,
    /// `None` if there is too much to list.
    list: Option<Reversed>,
    next: OnceLock<Box<Holders>>,
}

impl Lists {
    /// The descendants of each entity, if they are listed by now.
    pub(super) fn descendants(&self) -> Option<&Reversed> {
        self.descendants.get()?.as_ref()
    }

    /// For each entity those of a type that have it in an attribute, as its value or an element, if
    /// they are listed by now. What has been [written](Self::changed) since may be there wrongly.
    pub(super) fn holders(&self, of: AttrOf) -> Option<&Reversed> {
        let listed = self.all_holders().find(|holders| holders.of == of);
        // What has been listed for a later snapshot says too much.
        let listed = listed.filter(|holders| holders.writes <= self.changed.writes);
        listed?.list.as_ref()
    }

    /// Whether there is by now what it takes to answer questions.
    pub(super) fn answer(&self, lookups: &[Lookup]) -> bool {
        let mut attrs = lookups.iter().flat_map(Lookup::attrs);
        self.descendants().is_some() && attrs.all(|attr| self.holders(*attr).is_some())
    }

    /// The entities that have been written since, ascending; each once.
    pub(super) fn changed(&self) -> &[EntityId] {
        &self.changed.ids
    }

    /// Whether an entity has been written since. O(log n).
    pub(super) fn is_changed(&self, id: EntityId) -> bool {
        self.changed.ids.binary_search(&id).is_ok()
    }

    fn all_holders(&self) -> impl Iterator<Item = &Holders> {
        let first = self.holders.get().map(Box::as_ref);
        successors(first, |holders| holders.next.get().map(Box::as_ref))
    }

    /// Lists who has whom in an attribute of the store's entities, if that has not been done.
    fn list_holders(&self, store: &Store, of: AttrOf) {
        let listed = || self.all_holders();
        if listed().any(|holders| holders.of == of) || listed().count() >= MAX_ATTRS {
            return;
        }
        let mut made = Box::new(Holders {
            of,
            writes: self.changed.writes,
            list: Reversed::attribute(store, of),
            next: OnceLock::new(),
        });
        let mut place = &*self.holders;
        // Others may add theirs at the same time.
        while let Err(again) = place.set(made) {
            made = again;
            match place.get() {
                Some(before) => place = &before.next,
                None => return,
            }
        }
    }

    /// Notes that entities were asked about. True each time that they have become as many again as
    /// there are: listing takes about as long as asking about all entities does.
    pub(super) fn count(&self, asked: usize, entities: usize) -> bool {
        let entities = entities.max(HOT);
        let before = self.asked.fetch_add(asked, Ordering::Relaxed);
        before / entities != before.saturating_add(asked) / entities
    }

    /// The lists of the next snapshot. `affected` are the entities whose ancestors may differ.
    /// O(entities written since something was listed, at most a thousand).
    pub(crate) fn after(&self, update: &StoreUpdate, affected: &[EntityId]) -> Self {
        let mut next = self.clone();
        if !affected.is_empty() {
            next.descendants = Arc::default();
        }
        let written = || update.written().map(|(id, _)| id);
        let writes = written().count();
        let unused = self.holders.get().is_none() && self.asked.load(Ordering::Relaxed) == 0;
        if unused || self.changed.writes + writes > MAX_CHANGED {
            next.holders = Arc::default();
            next.changed = Arc::default();
        } else if writes != 0 && !planted(Fault::HoldersOutliveWrites) {
            let changed = Arc::make_mut(&mut next.changed);
            changed.writes += writes;
            for id in written() {
                if let Err(place) = changed.ids.binary_search(&id) {
                    changed.ids.insert(place, id);
                }
            }
        }
        next
    }

    /// What the lists take of memory.
    pub(super) fn memory(&self) -> TableMemory {
        let holders = self
            .all_holders()
            .filter_map(|holders| holders.list.as_ref());
        holders
            .chain(self.descendants())
            .map(Reversed::memory)
            .sum()
    }
}

impl Snapshot {
    /// Lists the descendants of each entity now, if that has not been done; otherwise it happens in
    /// the background, when batches on this snapshot have asked about as many entities as there are.
    ///
    /// With these lists a batch finds out at once who is in what stays the same in it, such as a
    /// folder that the principal owns. O(entities + their ancestors).
    pub fn list_descendants(&self) {
        let lists = &self.lists.descendants;
        lists.get_or_init(|| Reversed::ancestors(&self.store));
    }

    /// Lists who has whom in the attributes that these questions are about.
    /// O(entities + elements of their attributes) for each attribute not yet listed.
    pub(super) fn list_holders(&self, lookups: &[Lookup]) {
        for attr in lookups.iter().flat_map(Lookup::attrs) {
            self.lists.list_holders(&self.store, *attr);
        }
    }
}
