//! The entity uids of an interner.

use super::strings::{Strings, same_bytes};
use super::{CapacityError, MAX_IDS, hash_text, next_entity};
use crate::ahead::{ABREAST, touch};
use crate::arena::{Index, SavedIndex, TableMemory, Words};
use crate::fault::{Fault, planted};
use crate::ids::{StrId, TypeId};
use crate::saved::{Input, Invalid, Output};
use crate::seed::Seed;
use foldhash::fast::RandomState as FastState;
use hashbrown::HashMap;
use std::sync::Arc;

/// The distinct entity uids of an interner, each a type and an id string; cheap to clone.
///
/// Hashed by their texts, so that a uid given as text is one look-up.
#[derive(Clone, Debug, Default)]
pub(super) struct Entities {
    /// The number of the type in the upper half, the id in the lower. Both leave the top bit free.
    uids: Words,
    types: Arc<Types>,
    /// By [`hash`].
    index: Index,
}

/// The bit of a uid that is written as it is.
const PLAIN: u64 = 1 << 63;

/// The types of uids, numbered in the order in which they came.
#[derive(Clone, Debug, Default)]
struct Types {
    all: Vec<UidType>,
    numbers: HashMap<TypeId, u32, FastState>,
}

/// A type, and what uids of it begin with where they are written.
#[derive(Clone, Debug)]
struct UidType {
    id: TypeId,
    /// The name and [`OPENING`].
    prefix: Box<str>,
}

/// What stands between type and id.
const OPENING: &str = "::\"";

impl UidType {
    fn name(&self) -> &[u8] {
        let end = self.prefix.len() - OPENING.len();
        self.prefix.as_bytes().get(..end).unwrap_or_default()
    }
}

impl Types {
    /// The number of a type; `None` if it has none yet.
    fn number(&self, ty: TypeId) -> Option<u32> {
        self.numbers.get(&ty).copied()
    }

    fn add(&mut self, ty: TypeId, name: &str) -> u32 {
        let number = self.all.len() as u32;
        self.all.push(UidType {
            id: ty,
            prefix: [name, OPENING].concat().into(),
        });
        self.numbers.insert(ty, number);
        number
    }

    fn memory(&self) -> TableMemory {
        let prefixes = self.all.iter().map(|ty| ty.prefix.len());
        TableMemory::of::<UidType>(self.all.len(), self.all.capacity())
            + TableMemory::of::<(TypeId, u32)>(self.numbers.len(), self.numbers.capacity())
            + prefixes.map(|len| TableMemory::of::<u8>(len, len)).sum()
    }
}

/// A uid as it is stored: the number of its type, its id, and whether it is written as it is.
#[inline]
fn unpack(word: u64) -> (usize, StrId, bool) {
    let ty = ((word & !PLAIN) >> 32) as usize;
    (ty, StrId(word as u32), word & PLAIN != 0)
}

/// Whether a type or an id stands in a uid's text as it is.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| (b' '..=b'~').contains(&b) & !matches!(b, b'"' | b'\'' | b'\\');
    // All bytes, since most texts are plain, and then without a branch for each.
    text.bytes().fold(true, |all, b| all & plain(b))
}

/// The hash of a uid's text, as it is written if nothing in it needs an escape.
#[inline]
pub(super) fn hash(seed: &Seed, ty: &str, eid: &str) -> u64 {
    let parts = [ty, OPENING, eid, "\""];
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut buffer = [0; SHORT];
    let Some(text) = buffer.get_mut(..len) else {
        return hash_text(seed, parts.concat().as_bytes());
    };
    let mut rest = &mut *text;
    for part in parts {
        // They fit: `len` is the sum of their lengths.
        let Some((place, after)) = rest.split_at_mut_checked(part.len()) else {
            break;
        };
        place.copy_from_slice(part.as_bytes());
        rest = after;
    }
    hash_text(seed, text)
}

/// Bytes of the texts of almost all uids.
const SHORT: usize = 128;

impl Entities {
    /// How many uids there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.uids.len()
    }

    /// The `index`-th uid.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(TypeId, StrId)> {
        let (ty, eid) = self.parts(index)?;
        Some((ty.id, eid))
    }

    #[inline]
    fn parts(&self, index: usize) -> Option<(&UidType, StrId)> {
        let (ty, eid, _) = unpack(self.uids.get(index)?);
        Some((self.types.all.get(ty)?, eid))
    }

    #[inline]
    pub(super) fn find_text(
        &self,
        strings: &Strings,
        hash: u64,
        text: &str,
    ) -> Option<(usize, TypeId)> {
        let mut found_type = TypeId(0);
        let found = self.index.find(hash, |i| {
            let Some((ty, eid, true)) = self.uids.get(i as usize).map(unpack) else {
                return false;
            };
            let Some(ty) = self.types.all.get(ty) else {
                return false;
            };
            found_type = ty.id;
            let Some((prefix, [eid_text @ .., b'"'])) =
                text.as_bytes().split_at_checked(ty.prefix.len())
            else {
                return false;
            };
            same_bytes(eid_text, strings.bytes(eid.index()))
                && same_bytes(prefix, ty.prefix.as_bytes())
        });
        found.map(|i| (i as usize, found_type))
    }

    #[inline]
    pub(super) fn find(
        &self,
        strings: &Strings,
        hash: u64,
        ty: &str,
        eid: &str,
    ) -> Option<(usize, TypeId)> {
        if planted(Fault::EntityTypeIgnored) {
            let uids = (0..self.len()).filter_map(|i| Some((i, self.get(i)?)));
            let mut same = uids.filter(|(_, uid)| strings.get(uid.1.index()) == eid);
            return same.next().map(|(i, (ty, _))| (i, ty));
        }
        let mut found_type = TypeId(0);
        let found = self.index.find(hash, |i| {
            let Some((other, id)) = self.parts(i as usize) else {
                return false;
            };
            found_type = other.id;
            same_bytes(strings.bytes(id.index()), eid.as_bytes())
                && same_bytes(other.name(), ty.as_bytes())
        });
        found.map(|i| (i as usize, found_type))
    }

    /// Adds a uid that is not there yet.
    pub(super) fn add(
        &mut self,
        strings: &Strings,
        hash: u64,
        (ty, eid): (TypeId, StrId),
    ) -> Result<usize, CapacityError> {
        let new = next_entity(self.len())?;
        let name = strings.get(ty.index());
        let plain = is_plain(name) && is_plain(strings.get(eid.index()));
        let plain = if plain { PLAIN } else { 0 };
        let number = match self.types.number(ty) {
            Some(number) => number,
            None => Arc::make_mut(&mut self.types).add(ty, name),
        };
        self.uids
            .push(plain | u64::from(number) << 32 | u64::from(eid.0));
        self.index.insert(hash, new as u32);
        Ok(new)
    }

    /// What the table takes.
    pub(super) fn memory(&self) -> TableMemory {
        self.uids.memory() + self.types.memory() + self.index.memory()
    }

    /// Writes all uids: how many there are, and each with the ids of its id and its type.
    pub(super) fn save(&self, out: &mut Output) {
        out.count(self.len());
        for (ty, eid) in (0..self.len()).filter_map(|index| self.get(index)) {
            out.number(eid.0);
            out.number(ty.0);
        }
    }

    /// Reads what [`save`](Self::save) wrote, and does not [index](Self::index) it.
    pub(super) fn load(input: &mut Input<'_>, strings: &Strings) -> Result<Self, Invalid> {
        let count = input.count(8)?;
        if count > MAX_IDS {
            return Err(Invalid("there are too many entity uids"));
        }
        let words = input.words(count)?;
        let known = |id: u64| id < strings.len() as u64;
        // Found out in the order of the texts, which is not that of the uids.
        let plain = (0..strings.len()).map(|i| is_plain(strings.get(i)));
        let plain: Vec<bool> = plain.collect();
        let mut valid = true;
        let mut types = Types::default();
        // The type of the uid before, which is most often that of the next: its id, and what uids of
        // it begin with.
        let mut last = (u64::MAX, 0);
        let uids = words.iter().map(|word| {
            let word = u64::from_le_bytes(*word);
            let (ty, eid) = (word >> 32, word as u32);
            if !known(ty) || !known(u64::from(eid)) {
                valid = false;
                return 0;
            }
            if last.0 != ty {
                let (id, name) = (TypeId(ty as u32), strings.get(ty as usize));
                let number = types.number(id).unwrap_or_else(|| types.add(id, name));
                let plain = if is_plain(name) { PLAIN } else { 0 };
                last = (ty, plain | u64::from(number) << 32);
            }
            let plain = plain.get(eid as usize).copied().unwrap_or_default();
            let begin = if plain { last.1 } else { last.1 & !PLAIN };
            begin | u64::from(eid)
        });
        let uids = Words::of(count, uids);
        match valid {
            true => Ok(Self {
                uids,
                types: Arc::new(types),
                ..Self::default()
            }),
            false => Err(Invalid("an entity uid refers to no string")),
        }
    }

    /// Writes where uids are found.
    pub(super) fn save_index(&self, out: &mut Output) {
        self.index.save(self.len() as u32, out);
    }

    /// Uids that were read are found in this table.
    pub(super) fn take_index(&mut self, index: SavedIndex<'_>) -> Result<(), Invalid> {
        self.index = index.load(self.len(), self.len())?;
        Ok(())
    }

    /// Indexes uids that were read.
    pub(super) fn index(&mut self, seed: &Seed, strings: &Strings) -> Result<(), Invalid> {
        let mut text = String::new();
        // What the text begins with: most uids have the type of the one before.
        let mut prefix = "";
        let hashes = (0..self.len()).filter_map(|i| {
            if i % ABREAST == 0 {
                let next = (i..i + ABREAST).filter_map(|i| self.parts(i));
                let next = next.map(|(_, eid)| strings.bytes(eid.index()));
                touch(next.filter_map(|text| text.first().copied()));
            }
            let (ty, eid) = self.parts(i)?;
            if !std::ptr::eq(prefix, &*ty.prefix) {
                prefix = &ty.prefix;
                text.clear();
                text.push_str(prefix);
            }
            text.truncate(prefix.len());
            text.push_str(strings.get(eid.index()));
            text.push('"');
            Some((hash_text(seed, text.as_bytes()), i as u32))
        });
        let same = |a: u32, b: u32| self.get(a as usize) == self.get(b as usize);
        let index = Index::of(self.len(), hashes, same);
        self.index = index.ok_or(Invalid("an entity uid is there twice"))?;
        Ok(())
    }
}
