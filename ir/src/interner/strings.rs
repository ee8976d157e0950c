//! The strings of an interner.

use super::{CapacityError, MAX_IDS};
use crate::arena::{Index, SavedIndex, TableMemory, Words};
use crate::saved::{Input, Invalid, NOT_UTF8, Output};
use crate::seed::Seed;
use std::sync::Arc;

/// A chunk begins when the one before would grow beyond this.
const CHUNK: usize = 1 << 20;

/// The most bytes of a chunk that clones share which adding a string may copy.
const COPIED: usize = 16 << 10;

/// The most chunks.
const MAX_CHUNKS: usize = 1 << (64 - 2 * FIELD);

/// How many bits of a place each say where a string starts and how long it is.
const FIELD: u32 = 22;

/// A length that says that a string is the whole chunk, as what is longer always is.
const WHOLE: usize = (1 << FIELD) - 1;

/// A growing table of distinct strings that is cheap to clone.
///
/// The text is in chunks. All but the last never change; that one is extended where it is while no
/// clone shares it, and otherwise in a copy if it is small. So loading much ends in few chunks, and
/// so do many small changes.
///
/// Hashes come from the caller, always from one seed, so that one hash serves several tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Strings {
    /// Where each string is: number of the chunk, start, length.
    places: Words,
    index: Index,
    pub(super) chunks: Arc<Vec<Arc<String>>>,
    /// The chunk after those.
    pub(super) last: Arc<String>,
}

/// Whether two texts are the same.
///
/// Names and ids are short, and those are compared here, by their first and their last bytes:
/// calling a function for it takes longer.
#[inline]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if a.len() > 32 {
        return a == b;
    }
    if let (Some(a0), Some(b0)) = (a.first_chunk::<16>(), b.first_chunk::<16>()) {
        return a0 == b0 && a.last_chunk::<16>() == b.last_chunk::<16>();
    }
    if let (Some(a0), Some(b0)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        return a0 == b0 && a.last_chunk::<8>() == b.last_chunk::<8>();
    }
    if let (Some(a0), Some(b0)) = (a.first_chunk::<4>(), b.first_chunk::<4>()) {
        return a0 == b0 && a.last_chunk::<4>() == b.last_chunk::<4>();
    }
    a.iter().eq(b)
}

impl Strings {
    /// How many strings there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The chunk that the `index`-th string is in, and its start and end there.
    #[inline]
    fn place(&self, index: usize) -> Option<(&String, usize, usize)> {
        let place = self.places.get(index)?;
        let chunk = self.chunks.get((place >> (2 * FIELD)) as usize);
        let chunk = chunk.unwrap_or(&self.last);
        let start = (place >> FIELD) as usize & WHOLE;
        let length = place as usize & WHOLE;
        let end = match length {
            WHOLE => chunk.len(),
            _ => start + length,
        };
        Some((chunk, start, end))
    }

    /// The `index`-th string; the empty one if there are not so many.
    #[inline]
    pub(super) fn get(&self, index: usize) -> &str {
        self.place(index)
            .and_then(|(chunk, start, end)| chunk.get(start..end))
            .unwrap_or_default()
    }

    /// As [`get`](Self::get), in bytes.
    #[inline]
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        self.place(index)
            .and_then(|(chunk, start, end)| chunk.as_bytes().get(start..end))
            .unwrap_or_default()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, s: &str) -> Option<usize> {
        let same = |i: u32| {
            let known = self.place(i as usize);
            let known = known.and_then(|(chunk, start, end)| chunk.as_bytes().get(start..end));
            known.is_some_and(|known| same_bytes(known, s.as_bytes()))
        };
        self.index.find(hash, same).map(|i| i as usize)
    }

    pub(super) fn intern(&mut self, hash: u64, s: &str) -> Result<usize, CapacityError> {
        if let Some(found) = self.find(hash, s) {
            return Ok(found);
        }
        let new = self.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "strings",
                limit: MAX_IDS as u64,
            });
        }
        let place = self.append(s)?;
        self.places.push(place);
        self.index.insert(hash, new as u32);
        Ok(new)
    }

    /// Appends a text to the chunks, and says where it is.
    fn append(&mut self, s: &str) -> Result<u64, CapacityError> {
        let most = match Arc::get_mut(&mut self.last) {
            Some(_) => CHUNK,
            None => COPIED,
        };
        if !self.last.is_empty() && self.last.len() + s.len() > most {
            if self.chunks.len() + 1 >= MAX_CHUNKS {
                return Err(CapacityError {
                    what: "chunks of strings",
                    limit: MAX_CHUNKS as u64,
                });
            }
            let full = std::mem::take(&mut self.last);
            Arc::make_mut(&mut self.chunks).push(full);
        }
        let (chunk, start) = (self.chunks.len() as u64, self.last.len() as u64);
        Arc::make_mut(&mut self.last).push_str(s);
        let length = s.len().min(WHOLE) as u64;
        Ok(chunk << (2 * FIELD) | start << FIELD | length)
    }

    /// What the table takes. O(number of chunks).
    pub(super) fn memory(&self) -> TableMemory {
        let chunks = self.chunks.iter().chain([&self.last]);
        let text: TableMemory = chunks
            .map(|chunk| TableMemory::of::<u8>(chunk.len(), chunk.capacity()))
            .sum();
        let list = TableMemory::of::<Arc<String>>(self.chunks.len(), self.chunks.capacity());
        self.places.memory() + self.index.memory() + list + text
    }

    /// Writes all strings: how many there are, how long each is, and their text.
    pub(super) fn save(&self, out: &mut Output) {
        out.count(self.len());
        for index in 0..self.len() {
            // What is as long as that does not fit into any text that is loaded.
            out.number(u32::try_from(self.bytes(index).len()).unwrap_or(u32::MAX));
        }
        for index in 0..self.len() {
            out.bytes(self.bytes(index));
        }
    }

    /// Reads what [`save`](Self::save) wrote, and does not [index](Self::index) it.
    pub(super) fn load(input: &mut Input<'_>) -> Result<Self, Invalid> {
        let count = input.count(4)?;
        if count > MAX_IDS {
            return Err(Invalid("there are too many strings"));
        }
        let lengths = input.numbers(count)?;
        let lengths = || lengths.iter().map(|len| u32::from_le_bytes(*len) as usize);
        let text = input.bytes(lengths().sum())?;
        let text = std::str::from_utf8(text).map_err(|_| NOT_UTF8)?;
        let mut chunks: Vec<Arc<String>> = Vec::new();
        let mut places = Vec::with_capacity(count);
        // Where the chunk begins and where its last string ends.
        let (mut begin, mut end) = (0, 0);
        let chunk = |begin: usize, end: usize| {
            let chunk = text.get(begin..end).map(str::to_owned);
            chunk.map(Arc::new).ok_or(NOT_UTF8)
        };
        for len in lengths() {
            if !text.is_char_boundary(end + len) {
                return Err(NOT_UTF8);
            }
            if end > begin && end + len - begin > CHUNK {
                chunks.push(chunk(begin, end)?);
                begin = end;
            }
            let (number, start) = (chunks.len() as u64, (end - begin) as u64);
            places.push(number << (2 * FIELD) | start << FIELD | len.min(WHOLE) as u64);
            end += len;
        }
        if chunks.len() >= MAX_CHUNKS {
            return Err(Invalid("there are too many strings"));
        }
        Ok(Self {
            places: Words::of(places.len(), places.iter().copied()),
            index: Index::default(),
            last: chunk(begin, end)?,
            chunks: Arc::new(chunks),
        })
    }

    /// Writes where strings are found.
    pub(super) fn save_index(&self, out: &mut Output) {
        self.index.save(self.len() as u32, out);
    }

    /// Strings that were read are found in this table.
    pub(super) fn take_index(&mut self, index: SavedIndex<'_>) -> Result<(), Invalid> {
        self.index = index.load(self.len(), self.len())?;
        Ok(())
    }

    /// Indexes strings that were read.
    pub(super) fn index(&mut self, seed: &Seed) -> Result<(), Invalid> {
        let ids = (0..self.len()).map(|id| (seed.hash_one(self.get(id)), id as u32));
        let same = |a: u32, b: u32| self.bytes(a as usize) == self.bytes(b as usize);
        let index = Index::of(self.len(), ids, same);
        self.index = index.ok_or(Invalid("a string is there twice"))?;
        Ok(())
    }
}
