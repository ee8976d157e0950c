//! Strings and entity uids as dense ids.
//!
//! One [`Interner`] serves a whole engine: policies, entities and compiled code speak its ids.
//! It only ever grows, and only while policies or entities are loaded. What a request mentions and
//! the interner lacks goes into a [`LocalInterner`] instead.
//!
//! Keys come from untrusted input, so hashing is keyed with a random seed.

mod entities;
mod local;
mod strings;
#[cfg(test)]
mod tests;

pub use local::LocalInterner;
pub use strings::same_bytes;

use crate::arena::{SavedIndex, TableMemory};
use crate::fault::{Fault, planted};
use crate::ids::{EntityId, StrId, TypeId};
use crate::saved::{Input, Invalid, Output};
use crate::seed::Seed;
use entities::Entities;
use std::hash::Hasher;
use std::sync::atomic::{AtomicU64, Ordering};
use strings::Strings;

/// Loading was refused because a table would outgrow its 31-bit ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many distinct {what}: at most {limit} are supported")]
pub struct CapacityError {
    /// What there were too many of.
    pub what: &'static str,
    /// How many there may be.
    pub limit: u64,
}

/// The most entries that one id table may hold.
pub const MAX_IDS: usize = (1 << 30) - 1;

/// The hash of a uid's whole text.
#[inline]
fn hash_text(seed: &Seed, text: &[u8]) -> u64 {
    let mut hasher = seed.hasher();
    hasher.write(text);
    hasher.finish()
}

/// The hash of a string that an interner does not know.
#[derive(Clone, Copy, Debug)]
pub struct StrHash(u64);

/// The index of the next of `count` entities.
fn next_entity(count: usize) -> Result<usize, CapacityError> {
    if count >= MAX_IDS {
        return Err(CapacityError {
            what: "entities",
            limit: MAX_IDS as u64,
        });
    }
    Ok(count)
}

/// Which interner an id belongs to.
///
/// A clone that goes on growing keeps the identity: ids given out before the clone mean the same
/// in both, and whoever holds both is the engine that made one from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InternerIdentity(u64);

/// The engine-wide table of strings and entity uids.
///
/// Cloning it is O(1): clones share what they have in common, as [`arena`](crate::arena) explains.
#[derive(Clone, Debug)]
pub struct Interner {
    identity: InternerIdentity,
    /// For all tables, those of the requests included.
    seed: Seed,
    strings: Strings,
    entities: Entities,
}

impl Default for Interner {
    fn default() -> Self {
        Self::new()
    }
}

impl Interner {
    /// An empty interner with an identity of its own.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            identity: InternerIdentity(NEXT.fetch_add(1, Ordering::Relaxed)),
            seed: Seed::random(),
            strings: Strings::default(),
            entities: Entities::default(),
        }
    }

    /// Which interner this is; debug builds check it where policies, store and requests are put
    /// together.
    pub fn identity(&self) -> InternerIdentity {
        self.identity
    }

    /// The id of `s`, added if it is new.
    ///
    /// # Errors
    /// When the table is full ([`MAX_IDS`]).
    pub fn intern_str(&mut self, s: &str) -> Result<StrId, CapacityError> {
        let hash = self.seed.hash_one(s);
        let interned = self.strings.intern(hash, s);
        interned.map(StrId::from_index)
    }

    /// The id of `s` if the interner knows it.
    pub fn find_str(&self, s: &str) -> Option<StrId> {
        self.look_up(s).ok()
    }

    /// The id of `s`.
    ///
    /// # Errors
    /// When the interner does not know it; what it was looked up by serves
    /// [`LocalInterner::add_str`].
    #[inline]
    pub fn look_up(&self, s: &str) -> Result<StrId, StrHash> {
        let hash = self.seed.hash_one(s);
        let found = self.strings.find(hash, s);
        found.map(StrId::from_index).ok_or(StrHash(hash))
    }

    /// The text of a string id; the empty string for an id that this interner did not give out.
    pub fn str(&self, id: StrId) -> &str {
        if id.is_local() {
            return "";
        }
        self.strings.get(id.index())
    }

    /// The id of the entity with this type and id, added if it is new.
    ///
    /// # Errors
    /// When a table is full ([`MAX_IDS`]).
    pub fn intern_entity(&mut self, ty: &str, eid: &str) -> Result<EntityId, CapacityError> {
        let hash = entities::hash(&self.seed, ty, eid);
        if let Some((known, _)) = self.entities.find(&self.strings, hash, ty, eid) {
            return Ok(EntityId::from_index(known));
        }
        let ty = TypeId::of_name(self.intern_str(ty)?);
        let uid = (ty, self.intern_str(eid)?);
        let added = self.entities.add(&self.strings, hash, uid);
        added.map(EntityId::from_index)
    }

    /// The id of the entity with this type and id if the interner knows it.
    pub fn find_entity(&self, ty: &str, eid: &str) -> Option<EntityId> {
        self.find_uid(ty, eid).map(|(known, _)| known)
    }

    /// The ids of an entity and of its type, in one look-up; `None` if the interner does not know the
    /// entity.
    #[inline]
    pub fn find_uid(&self, ty: &str, eid: &str) -> Option<(EntityId, TypeId)> {
        let hash = entities::hash(&self.seed, ty, eid);
        let (known, ty) = self.entities.find(&self.strings, hash, ty, eid)?;
        Some((EntityId::from_index(known), ty))
    }

    /// The ids of the entity whose uid is written like this, and of its type.
    ///
    /// Only of such uids whose type and id stand in the text as they are; `None` says nothing. Types
    /// are taken to be names as cedar-policy writes them.
    #[inline]
    pub fn find_uid_text(&self, text: &str) -> Option<(EntityId, TypeId)> {
        let hash = hash_text(&self.seed, text.as_bytes());
        let (found, ty) = self.entities.find_text(&self.strings, hash, text)?;
        Some((EntityId::from_index(found), ty))
    }

    /// The type and id of an interned entity, or `None` for an id not given out here.
    pub fn entity(&self, id: EntityId) -> Option<(TypeId, StrId)> {
        self.entities.get(id.index())
    }

    /// How many strings there are.
    pub fn str_count(&self) -> usize {
        self.strings.len()
    }

    /// How many entity uids there are, existing in the store or only mentioned.
    pub fn entity_count(&self) -> usize {
        self.entities.len()
    }

    /// What the strings take. O(bytes of strings / 1 MB) or, after many small changes, / 16 KB.
    pub fn strings_memory(&self) -> TableMemory {
        self.strings.memory()
    }

    /// What the uids take, without their strings.
    pub fn uids_memory(&self) -> TableMemory {
        self.entities.memory()
    }

    /// What the interner takes: its strings and its uids.
    pub fn memory(&self) -> TableMemory {
        self.strings_memory() + self.uids_memory()
    }

    /// Writes the strings, and the uids.
    pub fn save(&self, strings: &mut Output, uids: &mut Output) {
        self.strings.save(strings);
        self.entities.save(uids);
    }

    /// Writes where strings and uids are found, and the seed that this depends on.
    pub fn save_index(&self, out: &mut Output) {
        self.seed.save(out);
        self.strings.save_index(out);
        self.entities.save_index(out);
    }

    /// Reads what [`save`](Self::save) wrote. The interner has an identity of its own, and a seed, if
    /// what [`save_index`](Self::save_index) wrote beside it is not given.
    ///
    /// # Errors
    /// When the bytes are nothing that `save` writes.
    pub fn load<'a>(
        strings: &mut Input<'_>,
        uids: &mut Input<'_>,
        index: Option<&mut Input<'a>>,
    ) -> Result<Unindexed<'a>, Invalid> {
        let strings = Strings::load(strings)?;
        let mut interner = Self {
            entities: Entities::load(uids, &strings)?,
            strings,
            ..Self::new()
        };
        let mut saved = None;
        if let Some(index) = index {
            let seed = Seed::load(index)?;
            if !planted(Fault::SavedSeedForgotten) {
                interner.seed = seed;
            }
            saved = Some((SavedIndex::read(index)?, SavedIndex::read(index)?));
        }
        Ok(Unindexed { interner, saved })
    }
}

/// An interner that was read, in which nothing is found yet.
#[derive(Clone, Debug)]
pub struct Unindexed<'a> {
    interner: Interner,
    /// Where strings and uids are found, if a file says so.
    saved: Option<(SavedIndex<'a>, SavedIndex<'a>)>,
}

impl Unindexed<'_> {
    /// What is found by id.
    pub fn interner(&self) -> &Interner {
        &self.interner
    }

    /// Makes the strings findable. This, and the same for uids, takes most of the time of reading an
    /// interner, and neither needs the other.
    ///
    /// # Errors
    /// When a string is there twice, or the table that was saved is none.
    pub fn strings(&self) -> Result<IndexedStrings, Invalid> {
        let mut strings = self.interner.strings.clone();
        match self.saved {
            Some((saved, _)) => strings.take_index(saved)?,
            None => strings.index(&self.interner.seed)?,
        }
        Ok(IndexedStrings(strings))
    }

    /// Makes the uids findable.
    ///
    /// # Errors
    /// When a uid is there twice, or the table that was saved is none.
    pub fn uids(&self) -> Result<IndexedUids, Invalid> {
        let Interner {
            seed,
            strings,
            entities,
            ..
        } = &self.interner;
        let mut entities = entities.clone();
        match self.saved {
            Some((_, saved)) => entities.take_index(saved)?,
            None => entities.index(seed, strings)?,
        }
        Ok(IndexedUids(entities))
    }

    /// The whole interner, of its own strings and uids.
    pub fn with(self, strings: IndexedStrings, uids: IndexedUids) -> Interner {
        Interner {
            strings: strings.0,
            entities: uids.0,
            ..self.interner
        }
    }
}

/// The strings of an [`Unindexed`] interner.
#[derive(Debug)]
pub struct IndexedStrings(Strings);

/// The uids of an [`Unindexed`] interner.
#[derive(Debug)]
pub struct IndexedUids(Entities);
