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
use std::hash::{BuildHasher, Hasher};
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

    /// As [`get`](Self::get), in bytes.
    #[inline]
    fn bytes(&self, index: usize) -> &[u8] {
        let end = self.ends.get(index).copied().unwrap_or(0);
        let start = match index {
            0 => 0,
            _ => self.ends.get(index - 1).copied().unwrap_or(end),
        };
        self.bytes.as_bytes().get(start..end).unwrap_or_default()
    }

    #[inline]
    fn find(&self, hash: u64, s: &str) -> Option<usize> {
        self.index
            .find(hash, |&i| self.get(i as usize) == s)
            .map(|&i| i as usize)
    }

    fn intern(&mut self, seed: &RandomState, hash: u64, s: &str) -> Result<usize, CapacityError> {
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

/// The distinct entity uids of an interner, each a type and an id string.
///
/// Hashed by their texts, so that a uid given as text is one look-up.
#[derive(Clone, Debug, Default)]
struct EntityTable {
    uids: Vec<(TypeId, StrId)>,
    index: HashTable<u32>,
    /// The uids that are written as they are, by their whole texts.
    by_text: HashTable<u32>,
}

/// The uid's text, if type and id stand in it as they are.
fn plain_text(ty: &str, eid: &str) -> Option<String> {
    let plain = |b: u8| (b' '..=b'~').contains(&b) && !matches!(b, b'"' | b'\'' | b'\\');
    let text = || format!("{ty}::\"{eid}\"");
    (ty.bytes().all(plain) && eid.bytes().all(plain)).then(text)
}

/// The hash of a uid's whole text.
#[inline]
fn hash_text(seed: &RandomState, text: &str) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl EntityTable {
    #[inline]
    fn find_text(&self, strings: &StringTable, hash: u64, text: &str) -> Option<usize> {
        let found = self.by_text.find(hash, |&i| {
            let (ty, eid) = self.uids[i as usize];
            let rest = text.as_bytes().strip_prefix(strings.bytes(ty.index()));
            let rest = rest.and_then(|rest| rest.strip_prefix(b"::\""));
            let rest = rest.and_then(|rest| rest.strip_suffix(b"\""));
            rest == Some(strings.bytes(eid.index()))
        });
        found.map(|&i| i as usize)
    }

    #[inline]
    fn find(&self, strings: &StringTable, hash: UidHash, ty: &str, eid: &str) -> Option<usize> {
        if planted(Fault::EntityTypeIgnored) {
            let same = |uid: &(TypeId, StrId)| strings.get(uid.1.index()) == eid;
            return self.uids.iter().position(same);
        }
        self.index
            .find(hash.both(), |&i| {
                let (other, id) = self.uids[i as usize];
                strings.get(id.index()) == eid && strings.get(other.index()) == ty
            })
            .map(|&i| i as usize)
    }

    /// Adds a uid that is not there yet.
    fn add(
        &mut self,
        seed: &RandomState,
        strings: &StringTable,
        hash: UidHash,
        uid: (TypeId, StrId),
    ) -> Result<usize, CapacityError> {
        let new = next_entity(self.uids.len())?;
        self.uids.push(uid);
        let uids = &self.uids;
        self.index.insert_unique(hash.both(), new as u32, |&i| {
            let (ty, eid) = uids[i as usize];
            let (ty, eid) = (strings.get(ty.index()), strings.get(eid.index()));
            UidHash::new(seed, ty, eid).both()
        });
        let text = |uid: (TypeId, StrId)| {
            plain_text(strings.get(uid.0.index()), strings.get(uid.1.index()))
        };
        if let Some(text_of_new) = text(uid) {
            let hash = hash_text(seed, &text_of_new);
            self.by_text.insert_unique(hash, new as u32, |&i| {
                // Only those are here that have such a text.
                let text = text(uids[i as usize]).unwrap_or_default();
                hash_text(seed, &text)
            });
        }
        Ok(new)
    }
}

/// The hash of a string that an interner does not know.
#[derive(Clone, Copy, Debug)]
pub struct StrHash(u64);

/// The hashes of a type and an id, which together are no entity that an interner knows.
#[derive(Clone, Copy, Debug)]
pub struct UidHash {
    ty: u64,
    eid: u64,
}

impl UidHash {
    #[inline]
    fn new(seed: &RandomState, ty: &str, eid: &str) -> Self {
        Self {
            ty: seed.hash_one(ty),
            eid: seed.hash_one(eid),
        }
    }

    /// Rotated, so that exchanging type and id makes a difference.
    #[inline]
    fn both(self) -> u64 {
        self.ty.rotate_left(29) ^ self.eid
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
    fn intern(&mut self, seed: &RandomState, uid: (TypeId, StrId)) -> Result<usize, CapacityError> {
        if planted(Fault::EntityTypeIgnored)
            && let Some(same) = self.uids.iter().position(|known| known.1 == uid.1)
        {
            return Ok(same);
        }
        let hash = seed.hash_one(uid);
        let uids = &self.uids;
        if let Some(found) = self.index.find(hash, |&i| uids[i as usize] == uid) {
            return Ok(*found as usize);
        }
        let new = next_entity(self.uids.len())?;
        self.uids.push(uid);
        let uids = &self.uids;
        self.index
            .insert_unique(hash, new as u32, |&i| seed.hash_one(uids[i as usize]));
        Ok(new)
    }

    fn clear(&mut self) {
        self.uids.clear();
        self.index.clear();
    }
}

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
#[derive(Clone, Debug)]
pub struct Interner {
    identity: InternerIdentity,
    /// For all tables, those of the requests included.
    seed: RandomState,
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
            seed: RandomState::default(),
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
        let hash = self.seed.hash_one(s);
        let interned = self.strings.intern(&self.seed, hash, s);
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
        self.find_hashed(hash, s).ok_or(StrHash(hash))
    }

    #[inline]
    fn find_hashed(&self, hash: u64, s: &str) -> Option<StrId> {
        self.strings.find(hash, s).map(StrId::from_index)
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
        let hash = match self.find_uid(ty, eid) {
            Ok((known, _)) => return Ok(known),
            Err(hash) => hash,
        };
        let ty = TypeId::of_name(self.intern_str(ty)?);
        let uid = (ty, self.intern_str(eid)?);
        let added = self.entities.add(&self.seed, &self.strings, hash, uid);
        added.map(EntityId::from_index)
    }

    /// The id of the entity with this type and id if the interner knows it.
    pub fn find_entity(&self, ty: &str, eid: &str) -> Option<EntityId> {
        self.find_uid(ty, eid).ok().map(|(known, _)| known)
    }

    /// The ids of an entity and of its type, in one look-up.
    ///
    /// # Errors
    /// When the interner does not know the entity; what it was looked up by serves
    /// [`LocalInterner::add_entity`].
    #[inline]
    pub fn find_uid(&self, ty: &str, eid: &str) -> Result<(EntityId, TypeId), UidHash> {
        let hash = UidHash::new(&self.seed, ty, eid);
        let known = self.entities.find(&self.strings, hash, ty, eid);
        match known.and_then(|i| Some((i, self.entities.uids.get(i)?))) {
            Some((i, (ty, _))) => Ok((EntityId::from_index(i), *ty)),
            None => Err(hash),
        }
    }

    /// The ids of the entity whose uid is written like this, and of its type.
    ///
    /// Only of such uids whose type and id stand in the text as they are; `None` says nothing. Types
    /// are taken to be names as cedar-policy writes them.
    #[inline]
    pub fn find_uid_text(&self, text: &str) -> Option<(EntityId, TypeId)> {
        let hash = hash_text(&self.seed, text);
        let found = self.entities.find_text(&self.strings, hash, text)?;
        let (ty, _) = self.entities.uids.get(found)?;
        Some((EntityId::from_index(found), *ty))
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
/// same id within one request, so comparing ids stays comparing texts. Between two calls of
/// [`clear`](Self::clear) it must be used with one interner only.
#[derive(Clone, Debug, Default)]
pub struct LocalInterner {
    strings: StringTable,
    entities: LocalEntities,
}

impl LocalInterner {
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
        hash: UidHash,
        ty: &str,
        eid: &str,
    ) -> Result<(EntityId, TypeId), CapacityError> {
        let ty = TypeId::of_name(self.intern_str(interner, hash.ty, ty)?);
        let uid = (ty, self.intern_str(interner, hash.eid, eid)?);
        let interned = self.entities.intern(&interner.seed, uid);
        Ok((interned.map(EntityId::local)?, ty))
    }

    fn intern_str(
        &mut self,
        interner: &Interner,
        hash: u64,
        s: &str,
    ) -> Result<StrId, CapacityError> {
        match interner.find_hashed(hash, s) {
            Some(id) => Ok(id),
            None => self.add_str(interner, StrHash(hash), s),
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
