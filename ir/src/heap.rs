//! Sets, records and IP addresses: values too large for a word.
//!
//! A [`Heap`] is an append-only array of 8-byte words that stores each distinct value once, so
//! that equal values have equal references. Three heaps chain: the engine's own
//! ([`Space::Global`]), one per request ([`Space::Request`]), and one for values that evaluation
//! builds ([`Space::Scratch`]). A lookup goes through the older heaps first; a reference says in
//! its top bits which heap it means, so references stay valid however the heaps move.
//!
//! # Object layout
//!
//! | words | set | record | IP address |
//! |---|---|---|---|
//! | 0 | kind, length | kind, length, shape | kind |
//! | 1 | the [`word_bloom`] bits of all elements, or-ed | tags, a byte each, padded to a word | high 64 bits |
//! | 2 … | tags, a byte each, padded to a word | the words, in the shape's order | low 64 bits |
//! | … | the words, in ascending (tag, word) order | | `v6 << 8 \| prefix` |
//!
//! A record's shape lists its attribute names in ascending [`StrId`](crate::ids::StrId) order, and a record has
//! exactly the attributes of its shape. That, and sets being sorted and without duplicates, is
//! what makes the stored form canonical.

mod saved;
#[cfg(test)]
mod tests;

pub use saved::Objects;

use crate::abi::bloom_bit;
use crate::arena::{Index, TableMemory, Words};
use crate::fault::{Fault, planted};
use crate::ids::{EntityId, ShapeId};
use crate::interner::CapacityError;
use crate::seed::Seed;
use crate::value::{Tag, Value};
use std::hash::Hasher;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

/// Which heap a reference points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Space {
    /// The engine's heap: entity attributes and policy constants.
    Global = 0,
    /// One request's heap: its context.
    Request = 2,
    /// Values built while evaluating.
    Scratch = 3,
}

/// How many spaces a reference's top bits can name; number 1 is unused.
pub const SPACES: usize = 4;

/// The bits of a reference below the space number.
pub const OFFSET_BITS: u32 = 30;

/// The most words that one heap may hold.
pub const MAX_WORDS: usize = 1 << OFFSET_BITS;

/// The most elements or attributes that one set or record may have.
pub const MAX_ELEMENTS: usize = (1 << 24) - 1;

/// A reference to an object: the space in the top bits, the word offset below.
///
/// Offset 0 of the global space is never an object, so 0 means "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct HeapRef(pub u32);

impl HeapRef {
    /// No object.
    pub const NONE: HeapRef = HeapRef(0);

    fn new(space: Space, offset: usize) -> Self {
        HeapRef(((space as u32) << OFFSET_BITS) | offset as u32)
    }

    /// Whether this is a reference at all.
    #[inline]
    pub fn is_some(self) -> bool {
        self.0 != 0
    }

    /// The number of the space, an index below [`SPACES`].
    #[inline]
    pub fn space(self) -> usize {
        (self.0 >> OFFSET_BITS) as usize
    }

    /// The word offset within the space.
    #[inline]
    pub fn offset(self) -> usize {
        (self.0 & (MAX_WORDS as u32 - 1)) as usize
    }

    /// The value that refers to this object.
    #[inline]
    pub fn value(self, tag: Tag) -> Value {
        debug_assert!(tag.is_heap());
        Value {
            tag,
            word: u64::from(self.0),
        }
    }
}

impl Value {
    /// The word as a heap reference; meaningful for sets, records and IP addresses.
    #[inline]
    pub fn as_heap_ref(self) -> HeapRef {
        HeapRef(self.word as u32)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Set = 1,
    Record = 2,
    Ip = 3,
}

/// The bit that stands for a word in a set's Bloom word: [`bloom_bit`] of its lower half, whatever
/// the word means.
#[inline]
pub fn word_bloom(word: u64) -> u64 {
    bloom_bit(EntityId(word as u32))
}

/// Number of words that `n` tag bytes take.
#[inline]
pub const fn tag_words(n: usize) -> usize {
    n.div_ceil(8)
}

/// An IP address or range, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpWords {
    /// The upper 64 address bits; 0 for IPv4.
    pub high: u64,
    /// The lower 64 address bits; an IPv4 address is in the lowest 32.
    pub low: u64,
    /// Bit 8 is set for IPv6; the lowest byte is the prefix length.
    pub meta: u64,
}

/// An array of words holding each distinct set, record and IP address once.
///
/// Cloning it is O(1): clones share what they have in common, as [`arena`](crate::arena) explains.
#[derive(Clone, Debug)]
pub struct Heap {
    space: Space,
    words: Words,
    index: Index,
    seed: Seed,
    /// Where an object is built, before it is known whether it is new. Empty in between.
    object: Vec<u64>,
}

impl Heap {
    /// The bits of an object's first word that hold its length; all 0 if it is empty.
    pub const LENGTH_MASK: u64 = 0xff_ffff << 32;

    /// An empty heap for `space`.
    pub fn new(space: Space) -> Self {
        let mut heap = Self {
            space,
            words: Words::default(),
            index: Index::default(),
            seed: Seed::random(),
            object: Vec::new(),
        };
        heap.take_first_word();
        heap
    }

    /// Takes word 0, so that offset 0 can mean "none".
    fn take_first_word(&mut self) {
        if self.words.is_empty() {
            self.words.push(0);
        }
    }

    /// Which space this heap is.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Forgets every object and keeps the memory, if no clone shares it.
    pub fn clear(&mut self) {
        self.words.truncate(1);
        self.take_first_word();
        self.index.clear();
    }

    /// Where a set's Bloom word is, in words from the object's start.
    pub const SET_BLOOM: usize = 1;

    /// Where a set's tags start, in words.
    pub const SET_TAGS: usize = 2;

    /// Where [`words`](Self::words) are, for code that reads objects by offset. Valid until the heap
    /// is changed or dropped.
    #[inline]
    pub fn base(&self) -> *const u64 {
        self.words.base().cast()
    }

    /// How many words there are.
    #[inline]
    pub fn word_count(&self) -> usize {
        self.words.len()
    }

    /// All words. While the heap only grows they never change, so that reading them needs no
    /// ordering and need not be atomic; what follows them may change.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        self.words.as_slice()
    }

    /// What the heap takes.
    pub fn memory(&self) -> TableMemory {
        let object = TableMemory::of::<u64>(0, self.object.capacity());
        self.words.memory() + self.index.memory() + object
    }

    /// Whether nothing is stored.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.words.len() == 1
    }

    fn hash_words(&self, words: &[u64]) -> u64 {
        hash_words(&self.seed, words)
    }

    /// Finds the object equal to `object` here.
    fn find(&self, object: &[u64]) -> Option<HeapRef> {
        if self.is_empty() {
            return None;
        }
        let hash = self.hash_words(object);
        self.find_hashed(hash, object)
    }

    fn find_hashed(&self, hash: u64, object: &[u64]) -> Option<HeapRef> {
        let is_at = |start: usize, object: &[u64]| {
            let words = self.words().get(start..start + object.len());
            words.is_some_and(|words| words.iter().map(load).eq(object.iter().copied()))
        };
        let found = self.index.find(hash, |start| {
            let start = start as usize;
            is_at(start, object)
                || (planted(Fault::LongObjectsCollide)
                    && object.len() > 4
                    && is_at(start, &object[..4]))
        });
        found.map(|start| HeapRef::new(self.space, start as usize))
    }

    /// Stores the object that was built, or finds its equal.
    fn commit(&mut self, older: &[&Heap]) -> Result<HeapRef, CapacityError> {
        let mut object = mem::take(&mut self.object);
        let found = older.iter().find_map(|heap| heap.find(&object));
        let stored = match found {
            Some(found) => Ok(found),
            None => self.find_or_store(&object),
        };
        object.clear();
        self.object = object;
        stored
    }

    fn find_or_store(&mut self, object: &[u64]) -> Result<HeapRef, CapacityError> {
        let hash = self.hash_words(object);
        if let Some(found) = self.find_hashed(hash, object) {
            return Ok(found);
        }
        let start = self.words.len();
        if start + object.len() > MAX_WORDS {
            return Err(CapacityError {
                what: "words of sets, records and IP addresses",
                limit: MAX_WORDS as u64,
            });
        }
        self.words.extend(object);
        self.index.insert(hash, start as u32);
        Ok(HeapRef::new(self.space, start))
    }

    /// Builds a set or a record.
    fn build(&mut self, kind: Kind, shape: u32, values: &[Value]) -> Result<(), CapacityError> {
        if values.len() > MAX_ELEMENTS {
            return Err(CapacityError {
                what: "elements of a set or attributes of a record",
                limit: MAX_ELEMENTS as u64,
            });
        }
        self.object.push(header(kind, values.len(), shape));
        if kind == Kind::Set {
            let bloom = values.iter().fold(0, |all, v| all | word_bloom(v.word));
            self.object.push(bloom);
        }
        for chunk in values.chunks(8) {
            let mut bytes = [0_u8; 8];
            for (byte, value) in bytes.iter_mut().zip(chunk) {
                *byte = value.tag as u8;
            }
            self.object.push(u64::from_ne_bytes(bytes));
        }
        self.object.extend(values.iter().map(|v| v.word));
        Ok(())
    }

    /// The set with these elements, in any order and with duplicates allowed.
    ///
    /// `elements` is sorted and deduplicated in place. `older` are the heaps that the elements may
    /// refer to, searched for an equal set first. O(n log n).
    ///
    /// # Errors
    /// When the set or the heap grows beyond its limit.
    pub fn set(
        &mut self,
        older: &[&Heap],
        elements: &mut Vec<Value>,
    ) -> Result<HeapRef, CapacityError> {
        elements.sort_unstable();
        elements.dedup();
        self.build(Kind::Set, 0, elements)?;
        self.commit(older)
    }

    /// The record of this shape whose values, in the shape's order, are `values`.
    ///
    /// # Errors
    /// When the record or the heap grows beyond its limit.
    pub fn record(
        &mut self,
        older: &[&Heap],
        shape: ShapeId,
        values: &[Value],
    ) -> Result<HeapRef, CapacityError> {
        self.build(Kind::Record, shape.0, values)?;
        self.commit(older)
    }

    /// The IP address or range with these words.
    ///
    /// # Errors
    /// When the heap grows beyond its limit.
    #[inline]
    pub fn ip(&mut self, older: &[&Heap], ip: IpWords) -> Result<HeapRef, CapacityError> {
        let words = [header(Kind::Ip, 0, 0), ip.high, ip.low, ip.meta];
        self.object.extend(words);
        self.commit(older)
    }

    /// The object at `offset`.
    #[inline]
    fn object(&self, offset: usize) -> Option<Object<'_>> {
        // An object is as a whole before the end or behind it.
        if offset >= self.words.len() {
            return None;
        }
        let rest = self.words.block().get(offset..)?;
        let words = rest.get(..object_len(load(rest.first()?)))?;
        Some(Object { words })
    }
}

#[inline]
fn load(word: &AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

fn hash_words(seed: &Seed, mut words: &[u64]) -> u64 {
    if planted(Fault::LongObjectsCollide) {
        words = words.get(..4).unwrap_or(words);
    }
    let mut hasher = seed.hasher();
    for &w in words {
        hasher.write_u64(w);
    }
    hasher.finish()
}

fn header(kind: Kind, len: usize, shape: u32) -> u64 {
    ((kind as u64) << 56) | ((len as u64) << 32) | u64::from(shape)
}

#[inline]
fn object_len(header: u64) -> usize {
    let n = header_len(header);
    if header >> 56 == Kind::Ip as u64 {
        4
    } else {
        tags_start(header) + tag_words(n) + n
    }
}

/// Where the tags start in a set or a record.
#[inline]
fn tags_start(header: u64) -> usize {
    1 + usize::from(header >> 56 == Kind::Set as u64)
}

/// The length field of an object's first word.
#[inline]
fn header_len(header: u64) -> usize {
    ((header >> 32) & 0xff_ffff) as usize
}

/// A stored set, record or IP address.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    words: &'a [AtomicU64],
}

impl<'a> Object<'a> {
    #[inline]
    fn word(self, i: usize) -> u64 {
        load(&self.words[i])
    }

    /// How many elements or attributes there are.
    #[inline]
    pub fn len(self) -> usize {
        header_len(self.word(0))
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    fn kind(self) -> u64 {
        self.word(0) >> 56
    }

    /// Whether it is a record.
    pub fn is_record(self) -> bool {
        self.kind() == Kind::Record as u64
    }

    /// Whether it is an IP address.
    pub fn is_ip(self) -> bool {
        self.kind() == Kind::Ip as u64
    }

    /// A record's shape.
    #[inline]
    pub fn shape(self) -> ShapeId {
        ShapeId(self.word(0) as u32)
    }

    /// The `i`-th element, or the value of the `i`-th attribute of the shape; absent if there is
    /// no such position.
    #[inline]
    pub fn get(self, i: usize) -> Value {
        let n = self.len();
        if i >= n {
            return Value::ABSENT;
        }
        let tags = tags_start(self.word(0));
        let tag = self.word(tags + i / 8).to_ne_bytes()[i % 8];
        Value {
            tag: Tag::from_u8(tag).unwrap_or(Tag::Absent),
            word: self.word(tags + tag_words(n) + i),
        }
    }

    /// The elements, or the attribute values in the shape's order.
    #[inline]
    pub fn values(self) -> impl ExactSizeIterator<Item = Value> + Clone + 'a {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// The elements of a set as words, if all of them are entities.
    #[inline]
    pub fn entity_words(self) -> Option<impl ExactSizeIterator<Item = u64> + 'a> {
        let n = self.len();
        // Elements are in the order of their tags, so the ends speak for all.
        let is_entity = |i: usize| self.get(i).tag == Tag::Entity;
        if n != 0 && !(is_entity(0) && is_entity(n - 1)) {
            return None;
        }
        let start = tags_start(self.word(0)) + tag_words(n);
        Some(self.words.get(start..start + n)?.iter().map(load))
    }

    /// Whether a set has this element. O(log n).
    #[inline]
    pub fn contains(self, value: Value) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low + (high - low) / 2;
            match self.get(mid).cmp(&value) {
                std::cmp::Ordering::Less => low = mid + 1,
                std::cmp::Ordering::Greater if planted(Fault::SetSearchStepsOver) => {
                    high = mid.saturating_sub(1);
                }
                std::cmp::Ordering::Greater => high = mid,
                std::cmp::Ordering::Equal => return true,
            }
        }
        false
    }

    /// The words of an IP address.
    #[inline]
    pub fn ip(self) -> IpWords {
        IpWords {
            high: self.word(1),
            low: self.word(2),
            meta: self.word(3),
        }
    }
}

/// The heaps that a reference may point into, looked up by its space.
#[derive(Clone, Copy, Debug)]
pub struct Heaps<'a> {
    /// The engine's heap.
    pub global: &'a Heap,
    /// The request's heap.
    pub request: &'a Heap,
    /// The heap of the evaluation at hand.
    pub scratch: &'a Heap,
}

impl<'a> Heaps<'a> {
    /// The object that a set, record or IP address value refers to.
    ///
    /// `None` for a reference that no heap here gave out.
    #[inline]
    pub fn object(self, r: HeapRef) -> Option<Object<'a>> {
        let heap = match r.space() {
            0 => self.global,
            2 => self.request,
            3 => self.scratch,
            _ => return None,
        };
        heap.object(r.offset())
    }
}
