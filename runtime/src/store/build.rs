//! Building a store: entities one by one, then the closure of their hierarchy.

use super::{Reader, Store, StoreError, capacity};
use crate::values::{GlobalSink, ValueSink};
use cedar_policy::{Entities, Entity, EntityUid};
use cedarjit_frontend::limits::MAX_ENTITY_HIERARCHY;
use cedarjit_ir::ahead::{ABREAST, touch};
use cedarjit_ir::heap::Heaps;
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::EMPTY_SHAPE;
use cedarjit_ir::value::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The parents of the entities do not make a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAHierarchy {
    /// An entity is among its own ancestors.
    Cycle,
    /// A chain of parents has more than [`MAX_ENTITY_HIERARCHY`] members.
    TooLong,
    /// There are too many ancestors.
    Capacity,
}

impl From<CapacityError> for NotAHierarchy {
    fn from(_: CapacityError) -> Self {
        NotAHierarchy::Capacity
    }
}

/// A store while entities are put into it.
///
/// Entities come by [`add`](Self::add) with their direct parents, in any order, and
/// [`close`](Self::close) finds the ancestors of all of them.
#[derive(Debug)]
pub(crate) struct StoreBuilder {
    store: Store,
    /// Entities whose ancestors are not known yet, and where their parents end; they start where
    /// those of the entity before end.
    open: Vec<(EntityId, usize)>,
    /// The direct parents of these entities, in ascending order.
    parents: Vec<EntityId>,
}

impl StoreBuilder {
    /// A builder without entities.
    pub(crate) fn new(interner: &Interner) -> Self {
        Self {
            store: Store::empty(interner),
            open: Vec::new(),
            parents: Vec::new(),
        }
    }

    /// Where the values of attributes and tags go.
    pub(crate) fn sink<'a>(&'a mut self, interner: &'a mut Interner) -> GlobalSink<'a> {
        GlobalSink {
            interner,
            heap: &mut Arc::make_mut(&mut self.store.memory).heap,
            shapes: &mut self.store.shapes,
        }
    }

    /// The store as it is so far.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Adds an entity that is not there yet: its attributes, a record; its tags, which are sorted in
    /// place; and its direct parents, which are sorted and lose their duplicates.
    ///
    /// # Errors
    /// When a table is full.
    pub(crate) fn add(
        &mut self,
        interner: &Interner,
        id: EntityId,
        attrs: Value,
        tags: &mut [(StrId, Value)],
        parents: &mut Vec<EntityId>,
    ) -> Result<(), CapacityError> {
        self.add_values(interner, id, attrs, tags)?;
        parents.sort_unstable();
        parents.dedup();
        if !parents.is_empty() {
            self.parents.extend_from_slice(parents);
            self.open.push((id, self.parents.len()));
        }
        Ok(())
    }

    fn add_values(
        &mut self,
        interner: &Interner,
        id: EntityId,
        attrs: Value,
        tags: &mut [(StrId, Value)],
    ) -> Result<(), CapacityError> {
        self.store.extend_to(interner);
        let heap = self.store.heap();
        let heaps = Heaps {
            global: heap,
            request: heap,
            scratch: heap,
        };
        let shape = heaps
            .object(attrs.as_heap_ref())
            .map_or(EMPTY_SHAPE, |record| record.shape());
        let header = (self.store).valued(id, shape, attrs.as_heap_ref(), tags)?;
        self.store.put(id, header);
        Ok(())
    }

    /// Finds the ancestors of all entities that came without. A parent that does not exist is an
    /// ancestor, and has none.
    ///
    /// O(n log n) for n ancestors, with those of an entity's parents counted once for each of them;
    /// no recursion.
    ///
    /// # Errors
    /// When an entity is its own ancestor, a chain of parents is too long, or a table is full.
    pub(crate) fn close(&mut self) -> Result<(), NotAHierarchy> {
        let open = std::mem::take(&mut self.open);
        let parents = std::mem::take(&mut self.parents);
        let mut closing = Closing {
            nodes: vec![Node::default(); self.store.headers().len()],
            own: Vec::new(),
            builder: self,
            open: &open,
            parents: &parents,
        };
        for (position, (id, _)) in open.iter().enumerate() {
            let number = table_index(position + 1, "entities with parents")?;
            if let Some(node) = closing.nodes.get_mut(id.index()) {
                node.number = number;
                node.height = UNSEEN;
            }
        }
        for (position, (id, _)) in open.iter().enumerate() {
            if position.is_multiple_of(ABREAST) {
                closing.read_ahead(position);
            }
            closing.climb(position, *id)?;
        }
        Ok(())
    }

    /// Adds an entity of cedar-policy's with all its ancestors.
    ///
    /// # Errors
    /// When a value cannot be represented or a table is full.
    pub(crate) fn add_entity(
        &mut self,
        interner: &mut Interner,
        uid: &EntityUid,
        id: EntityId,
        entity: &Entity,
        entities: &Entities,
    ) -> Result<(), StoreError> {
        let mut reader = Reader {
            store: &mut self.store,
            interner,
        };
        reader.add(uid, id, entity, entities, None)
    }

    /// The store. Everything that was interned meanwhile has a header.
    pub(crate) fn finish(mut self, interner: &Interner) -> Store {
        self.store.extend_to(interner);
        self.store
    }
}

/// The height of an entity that was not looked at yet.
const UNSEEN: u32 = 0;

/// The height of an entity whose parents are being looked at.
const UNDERWAY: u32 = u32::MAX;

/// What is known of an entity while the hierarchy is closed.
#[derive(Clone, Copy)]
struct Node {
    /// One more than its position among those with parents; 0 if it has none.
    number: u32,
    /// How many members the longest chain of parents from here has.
    height: u32,
}

impl Default for Node {
    /// An entity without parents, whether it exists or not.
    fn default() -> Self {
        Self {
            number: 0,
            height: 1,
        }
    }
}

/// The hierarchy while it is closed.
struct Closing<'a> {
    builder: &'a mut StoreBuilder,
    open: &'a [(EntityId, usize)],
    parents: &'a [EntityId],
    /// By entity id.
    nodes: Vec<Node>,
    /// The ancestors of one entity.
    own: Vec<u32>,
}

impl Closing<'_> {
    /// Closes an entity, after the parents that are not closed.
    fn climb(&mut self, position: usize, id: EntityId) -> Result<(), NotAHierarchy> {
        if self.node(id).height != UNSEEN {
            return Ok(());
        }
        let mut path = vec![(position, self.start(position))];
        self.set_height(id, UNDERWAY);
        while let Some((position, next)) = path.last_mut() {
            let Some(parent) = self
                .parents
                .get(*next)
                .filter(|_| *next < self.end(*position))
            else {
                self.finish(*position)?;
                path.pop();
                continue;
            };
            *next += 1;
            let node = self.node(*parent);
            match node.height {
                UNDERWAY => return Err(NotAHierarchy::Cycle),
                UNSEEN if path.len() >= MAX_ENTITY_HIERARCHY => {
                    return Err(NotAHierarchy::TooLong);
                }
                UNSEEN => {
                    self.set_height(*parent, UNDERWAY);
                    let position = (node.number as usize).saturating_sub(1);
                    path.push((position, self.start(position)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads what closing the next entities will read of their parents.
    fn read_ahead(&self, position: usize) {
        let last = (position + ABREAST).min(self.open.len()) - 1;
        let parents = self.parents.get(self.start(position)..self.end(last));
        let parents = parents.unwrap_or(&[]).iter();
        let store = &self.builder.store;
        touch(parents.clone().map(|id| self.node(*id).height));
        touch(parents.clone().map(|id| store.header(*id).bloom));
        touch(parents.filter_map(|id| store.ancestors_of(*id).first_word()));
    }

    /// Stores the ancestors of an entity whose parents are closed.
    fn finish(&mut self, position: usize) -> Result<(), NotAHierarchy> {
        let Some((id, end)) = self.open.get(position) else {
            return Ok(());
        };
        let parents = self.parents.get(self.start(position)..*end).unwrap_or(&[]);
        let mut tallest = 0;
        self.own.clear();
        for parent in parents {
            self.own.push(parent.0);
            let node = self.node(*parent);
            tallest = tallest.max(node.height);
            if node.number > 0 {
                let further = self.builder.store.ancestors_of(*parent).iter();
                self.own.extend(further.map(|id| id.0));
            }
        }
        if tallest as usize >= MAX_ENTITY_HIERARCHY {
            return Err(NotAHierarchy::TooLong);
        }
        self.own.sort_unstable();
        self.own.dedup();
        let mut parents: Vec<u32> = parents.iter().map(|id| id.0).collect();
        self.set_height(*id, tallest + 1);
        let store = &mut self.builder.store;
        let header = store.hierarchy(*store.header(*id), &self.own, &mut parents)?;
        store.put(*id, header);
        Ok(())
    }

    fn node(&self, id: EntityId) -> Node {
        self.nodes.get(id.index()).copied().unwrap_or_default()
    }

    fn set_height(&mut self, id: EntityId, height: u32) {
        if let Some(node) = self.nodes.get_mut(id.index()) {
            node.height = height;
        }
    }

    fn start(&self, position: usize) -> usize {
        position.checked_sub(1).map_or(0, |before| self.end(before))
    }

    fn end(&self, position: usize) -> usize {
        self.open.get(position).map_or(0, |(_, end)| *end)
    }
}

impl Store {
    /// The store of these entities.
    ///
    /// What they mention is interned. Ids are given out in the order of the uids, so that the same
    /// entities and the same interner give the same ids. O(n log n).
    ///
    /// # Errors
    /// When a value cannot be represented or a table is full.
    pub fn build(entities: &Entities, interner: &mut Interner) -> Result<Self, StoreError> {
        Self::build_with(entities, &HashMap::new(), interner)
    }

    /// As [`build`](Self::build), where the parents of some entities are known, which cedar-policy
    /// does not tell from other ancestors.
    pub(crate) fn build_with(
        entities: &Entities,
        parents: &HashMap<EntityUid, Vec<EntityUid>>,
        interner: &mut Interner,
    ) -> Result<Self, StoreError> {
        let mut sorted: Vec<(EntityUid, &Entity)> = entities.iter().map(|e| (e.uid(), e)).collect();
        sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));

        let mut store = Store::empty(interner);
        let mut reader = Reader {
            store: &mut store,
            interner,
        };
        // All uids first: entities then have a dense range of ids.
        let mut ids = Vec::with_capacity(sorted.len());
        for (uid, _) in &sorted {
            let id = reader.sink().uid(uid).map_err(|e| capacity(uid, e))?;
            ids.push(id);
        }
        reader.store.extend_to(reader.interner);
        for ((uid, entity), id) in sorted.iter().zip(ids) {
            let parents = parents.get(uid).map(Vec::as_slice);
            reader.add(uid, id, entity, entities, parents)?;
        }
        store.extend_to(interner);
        Ok(store)
    }
}

/// A table's length or position as the 32 bits that headers have for it.
fn table_index(index: usize, what: &'static str) -> Result<u32, CapacityError> {
    u32::try_from(index).map_err(|_| CapacityError {
        what,
        limit: u64::from(u32::MAX),
    })
}
