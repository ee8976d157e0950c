//! Strings and entity uids as dense ids.
//!
//! One [`Interner`] serves a whole engine: policies, entities and compiled code speak its ids.
//! It only ever grows, and only while policies or entities are loaded. What a request mentions and
//! the interner lacks goes into a [`LocalInterner`] instead.
//!
//! Keys come from untrusted input, so hashing is keyed with a random seed.

use crate::fault::{Fault, planted};
use crate::ids::{EntityId, StrId, TypeId};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A growing table of distinct strings over one byte buffer.
#[derive(Clone, Debug, Default)]
struct StringTable {
    bytes: String,
    /// End offset of each string; string `i` starts where `i - 1` ends.
    ends: Vec<usize>,
    index: HashTable<u32>,
    seed: RandomState,
}

impl StringTable {
    fn get(&self, index: usize) -> &str {
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start = match index {
            0 => 0,
            _ => self.ends.get(index - 1).copied().unwrap_or(end),
        };
        self.bytes.get(start..end).unwrap_or("")
    }

    fn find(&self, s: &str) -> Option<usize> {
        let hash = self.seed.hash_one(s);
        self.index
            .find(hash, |&i| self.get(i as usize) == s)
            .map(|&i| i as usize)
    }

    fn intern(&mut self, s: &str) -> Result<usize, CapacityError> {
        if let Some(found) = self.find(s) {
            return Ok(found);
        }
        let new = self.ends.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "strings",
                limit: MAX_IDS as u64,
            });
        }
        self.bytes.push_str(s);
        self.ends.push(self.bytes.len());
        let hash = self.seed.hash_one(s);
        // Borrow the parts that rehashing needs apart from the table that it mutates.
        let (bytes, ends, seed) = (&self.bytes, &self.ends, &self.seed);
        self.index.insert_unique(hash, new as u32, |&i| {
            let i = i as usize;
            let start = if i == 0 { 0 } else { ends[i - 1] };
            seed.hash_one(&bytes[start..ends[i]])
        });
        Ok(new)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.index.clear();
    }
}

/// A growing table of distinct entity uids, each a type and an id string.
#[derive(Clone, Debug, Default)]
struct EntityTable {
    uids: Vec<(TypeId, StrId)>,
    index: HashTable<u32>,
    seed: RandomState,
}

impl EntityTable {
    fn find(&self, uid: (TypeId, StrId)) -> Option<usize> {
        if planted(Fault::EntityTypeIgnored) {
            return self.uids.iter().position(|known| known.1 == uid.1);
        }
        let hash = self.seed.hash_one(uid);
        self.index
            .find(hash, |&i| self.uids[i as usize] == uid)
            .map(|&i| i as usize)
    }

    fn intern(&mut self, uid: (TypeId, StrId)) -> Result<usize, CapacityError> {
        if let Some(found) = self.find(uid) {
            return Ok(found);
        }
        let new = self.uids.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "entities",
                limit: MAX_IDS as u64,
            });
        }
        self.uids.push(uid);
        let (uids, seed) = (&self.uids, &self.seed);
        self.index
            .insert_unique(seed.hash_one(uid), new as u32, |&i| {
                seed.hash_one(uids[i as usize])
            });
        Ok(new)
    }

    fn clear(&mut self) {
        self.uids.clear();
        self.index.clear();
    }
}

/// Which interner an id belongs to.
///
/// A clone that goes on growing keeps the identity: ids given out before the clone mean the same
/// in both, and whoever holds both is the engine that made one from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InternerIdentity(u64);

/// The engine-wide table of strings and entity uids.
#[derive(Clone, Debug)]
pub struct Interner {
    identity: InternerIdentity,
    strings: StringTable,
    entities: EntityTable,
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
            strings: StringTable::default(),
            entities: EntityTable::default(),
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
        self.strings.intern(s).map(StrId::from_index)
    }

    /// The id of `s` if the interner knows it.
    pub fn find_str(&self, s: &str) -> Option<StrId> {
        self.strings.find(s).map(StrId::from_index)
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
        let ty = TypeId::of_name(self.intern_str(ty)?);
        let eid = self.intern_str(eid)?;
        self.entities.intern((ty, eid)).map(EntityId::from_index)
    }

    /// The id of the entity with this type and id if the interner knows it.
    pub fn find_entity(&self, ty: &str, eid: &str) -> Option<EntityId> {
        let ty = TypeId::of_name(self.find_str(ty)?);
        let eid = self.find_str(eid)?;
        self.entities.find((ty, eid)).map(EntityId::from_index)
    }

    /// The type and id of an interned entity, or `None` for an id not given out here.
    pub fn entity(&self, id: EntityId) -> Option<(TypeId, StrId)> {
        self.entities.uids.get(id.index()).copied()
    }

    /// How many strings there are.
    pub fn str_count(&self) -> usize {
        self.strings.ends.len()
    }

    /// How many entity uids there are, existing in the store or only mentioned.
    pub fn entity_count(&self) -> usize {
        self.entities.uids.len()
    }
}

/// What one request mentions and the interner lacks.
///
/// Ids given out here carry [`LOCAL_BIT`](crate::ids::LOCAL_BIT). The same text always gets the
/// same id within one request, so comparing ids stays comparing texts.
#[derive(Clone, Debug, Default)]
pub struct LocalInterner {
    strings: StringTable,
    entities: EntityTable,
}

impl LocalInterner {
    /// Forgets the previous request and keeps the memory.
    pub fn clear(&mut self) {
        self.strings.clear();
        self.entities.clear();
    }

    /// The global id of `s` if `interner` knows it, else its local id.
    ///
    /// # Errors
    /// When the local table is full ([`MAX_IDS`]).
    pub fn intern_str(&mut self, interner: &Interner, s: &str) -> Result<StrId, CapacityError> {
        match interner.find_str(s) {
            Some(id) => Ok(id),
            None => self.strings.intern(s).map(StrId::local),
        }
    }

    /// The global id of the entity if `interner` knows it, else its local id.
    ///
    /// # Errors
    /// When a local table is full ([`MAX_IDS`]).
    pub fn intern_entity(
        &mut self,
        interner: &Interner,
        ty: &str,
        eid: &str,
    ) -> Result<EntityId, CapacityError> {
        let ty = TypeId::of_name(self.intern_str(interner, ty)?);
        let eid = self.intern_str(interner, eid)?;
        if !ty.is_local()
            && !eid.is_local()
            && let Some(found) = interner.entities.find((ty, eid))
        {
            return Ok(EntityId::from_index(found));
        }
        self.entities.intern((ty, eid)).map(EntityId::local)
    }

    /// The text of a global or local string id.
    pub fn str<'a>(&'a self, interner: &'a Interner, id: StrId) -> &'a str {
        if id.is_local() {
            self.strings.get(id.local_index())
        } else {
            interner.str(id)
        }
    }

    /// The type and id of a global or local entity id.
    pub fn entity(&self, interner: &Interner, id: EntityId) -> Option<(TypeId, StrId)> {
        if id.is_local() {
            self.entities.uids.get(id.local_index()).copied()
        } else {
            interner.entity(id)
        }
    }

    /// The local entities, in the order of their ids.
    pub fn entities(&self) -> &[(TypeId, StrId)] {
        &self.entities.uids
    }
}
