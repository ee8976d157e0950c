//! What one request mentions and the interner lacks.

use super::{CapacityError, Interner, MAX_IDS, StrHash, next_entity};
use crate::fault::{Fault, planted};
use crate::ids::{EntityId, StrId, TypeId};
use crate::seed::Seed;
use hashbrown::HashTable;

/// A growing table of distinct strings over one byte buffer.
///
/// Hashes come from the caller, always from one seed, so that one hash serves several tables.
#[derive(Clone, Debug, Default)]
struct StringTable {
    bytes: String,
    /// End offset of each string; string `i` starts where `i - 1` ends.
    ends: Vec<usize>,
    index: HashTable<u32>,
}

impl StringTable {
    #[inline]
    fn get(&self, index: usize) -> &str {
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start = match index {
            0 => 0,
            _ => self.ends.get(index - 1).copied().unwrap_or(end),
        };
        self.bytes.get(start..end).unwrap_or("")
    }

    #[inline]
    fn find(&self, hash: u64, s: &str) -> Option<usize> {
        self.index
            .find(hash, |&i| self.get(i as usize) == s)
            .map(|&i| i as usize)
    }

    fn intern(&mut self, seed: &Seed, hash: u64, s: &str) -> Result<usize, CapacityError> {
        if let Some(found) = self.find(hash, s) {
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
        // Borrow the parts that rehashing needs apart from the table that it mutates.
        let (bytes, ends) = (&self.bytes, &self.ends);
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

/// The distinct entity uids that one request brings along. Type and id may be local or not, so
/// they are told apart by their ids.
#[derive(Clone, Debug, Default)]
struct LocalEntities {
    uids: Vec<(TypeId, StrId)>,
    index: HashTable<u32>,
}

impl LocalEntities {
    fn intern(&mut self, seed: &Seed, uid: (TypeId, StrId)) -> Result<usize, CapacityError> {
        if planted(Fault::EntityTypeIgnored)
            && let Some(same) = self.uids.iter().position(|known| known.1 == uid.1)
        {
            return Ok(same);
        }
        let hash = seed.hash_one(&uid);
        let uids = &self.uids;
        if let Some(found) = self.index.find(hash, |&i| uids[i as usize] == uid) {
            return Ok(*found as usize);
        }
        let new = next_entity(self.uids.len())?;
        self.uids.push(uid);
        let uids = &self.uids;
        self.index
            .insert_unique(hash, new as u32, |&i| seed.hash_one(&uids[i as usize]));
        Ok(new)
    }

    fn clear(&mut self) {
        self.uids.clear();
        self.index.clear();
    }
}

/// What one request mentions and the interner lacks.
///
/// Ids given out here carry [`LOCAL_BIT`](crate::ids::LOCAL_BIT). The same text always gets the
/// same id within one request, so comparing ids stays comparing texts. Between two calls of
/// [`clear`](Self::clear) it must be used with one interner only.
#[derive(Clone, Debug, Default)]
pub struct LocalInterner {
    strings: StringTable,
    entities: LocalEntities,
}

impl LocalInterner {
    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.strings.ends.is_empty() && self.entities.uids.is_empty()
    }

    /// Forgets the previous request and keeps the memory.
    pub fn clear(&mut self) {
        self.strings.clear();
        self.entities.clear();
    }

    /// The local id of `s`, which `interner` does not know.
    ///
    /// # Errors
    /// When the local table is full ([`MAX_IDS`]).
    pub fn add_str(
        &mut self,
        interner: &Interner,
        hash: StrHash,
        s: &str,
    ) -> Result<StrId, CapacityError> {
        let interned = self.strings.intern(&interner.seed, hash.0, s);
        interned.map(StrId::local)
    }

    /// The local id of the entity with this type and id, which `interner` does not know, and the
    /// type, local if `interner` does not know its name.
    ///
    /// # Errors
    /// When a local table is full ([`MAX_IDS`]).
    pub fn add_entity(
        &mut self,
        interner: &Interner,
        ty: &str,
        eid: &str,
    ) -> Result<(EntityId, TypeId), CapacityError> {
        let ty = TypeId::of_name(self.intern_str(interner, ty)?);
        let uid = (ty, self.intern_str(interner, eid)?);
        let interned = self.entities.intern(&interner.seed, uid);
        Ok((interned.map(EntityId::local)?, ty))
    }

    fn intern_str(&mut self, interner: &Interner, s: &str) -> Result<StrId, CapacityError> {
        match interner.look_up(s) {
            Ok(id) => Ok(id),
            Err(hash) => self.add_str(interner, hash, s),
        }
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
