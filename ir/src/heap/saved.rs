//! The heap as bytes, and what holds for every object of one that was read.
//!
//! An object refers to objects before it only, so that nothing is its own part, and each is checked
//! once. Compiled code reads what is here without looking twice.

use super::{Heap, HeapRef, Kind, Space, header, header_len, load, object_len};
use super::{MAX_WORDS, Object, tag_words, tags_start, word_bloom};
use crate::arena::{Index, SavedIndex, Words};
use crate::fault::{Fault, planted};
use crate::ids::ShapeId;
use crate::saved::{Input, Invalid, Output};
use crate::seed::Seed;
use crate::shape::ShapeTable;
use crate::value::{Tag, Value};
use std::hash::Hasher;
use std::sync::atomic::AtomicU64;

/// How deep sets and records may be in one another; what text can say is half as deep. Whoever
/// walks through a value recurses.
const MAX_DEPTH: u16 = 512;

/// The objects of a heap that were found valid.
#[derive(Debug)]
pub struct Objects<'a> {
    words: &'a [AtomicU64],
    /// By word: how deep the object is that begins there, counted from 1; else 0.
    depths: Vec<u16>,
    starts: Vec<u32>,
    shapes: &'a ShapeTable,
    /// How many strings there are.
    strings: usize,
    /// How many entity uids there are.
    entities: usize,
}

impl Heap {
    /// Writes all objects: how many words they take, and these.
    pub fn save(&self, out: &mut Output) {
        out.count(self.word_count());
        out.words(self.words().iter().map(load));
    }

    /// Reads what [`save`](Self::save) wrote, for the engine's heap. It has to be
    /// [checked](Self::check) and [indexed](Self::index) before anything else is done.
    ///
    /// # Errors
    /// When the bytes end too soon or there are too many.
    pub fn load(input: &mut Input<'_>) -> Result<Self, Invalid> {
        let count = input.count(8)?;
        if count > MAX_WORDS {
            return Err(Invalid("there are too many values"));
        }
        let words = input.words(count)?;
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        Ok(Self {
            words: Words::of(count, words),
            ..Self::new(Space::Global)
        })
    }

    /// Checks that the heap is one that can come about with these shapes and so many strings and
    /// entity uids. O(words).
    ///
    /// # Errors
    /// When it is not, or values are in one another too deep.
    pub fn check<'a>(
        &'a self,
        shapes: &'a ShapeTable,
        strings: usize,
        entities: usize,
    ) -> Result<Objects<'a>, Invalid> {
        let words = self.words();
        if words.first().map(load) != Some(0) {
            return Err(Invalid("the values do not begin as they should"));
        }
        let mut objects = Objects {
            words,
            depths: vec![0; words.len()],
            starts: Vec::new(),
            shapes,
            strings,
            entities,
        };
        let mut at = 1;
        while at < words.len() {
            at = objects.add(at)?;
        }
        Ok(objects)
    }

    /// Writes where objects are found, and the seed that this depends on.
    pub fn save_index(&self, out: &mut Output) {
        self.seed.save(out);
        self.index.save(self.word_count() as u32, out);
    }

    /// Objects, of which there are so many, are found where [`save_index`](Self::save_index) wrote.
    ///
    /// # Errors
    /// When it wrote nothing like that.
    pub fn take_index(&mut self, objects: usize, input: &mut Input<'_>) -> Result<(), Invalid> {
        self.seed = Seed::load(input)?;
        self.index = SavedIndex::read(input)?.load(objects, self.word_count())?;
        Ok(())
    }

    /// Makes the objects that begin at these words findable.
    ///
    /// # Errors
    /// When one is there twice.
    pub fn index(&mut self, starts: &[u32]) -> Result<(), Invalid> {
        let words = self.words();
        let object = |start: u32| words.get(start as usize..).unwrap_or(&[]);
        let object = |start: u32| {
            let words = object(start);
            let len = words.first().map_or(0, |word| object_len(load(word)));
            words.get(..len).unwrap_or(&[])
        };
        let hashes = starts.iter().map(|s| (hash(&self.seed, object(*s)), *s));
        let same = |a, b| object(a).iter().map(load).eq(object(b).iter().map(load));
        let index = Index::of(starts.len(), hashes, same);
        self.index = index.ok_or(Invalid("a value is there twice"))?;
        Ok(())
    }
}

/// As [`hash_words`](super::hash_words).
fn hash(seed: &Seed, mut words: &[AtomicU64]) -> u64 {
    if planted(Fault::LongObjectsCollide) {
        words = words.get(..8).unwrap_or(words);
    }
    let mut hasher = seed.hasher();
    for word in words {
        hasher.write_u64(load(word));
    }
    hasher.finish()
}

impl Objects<'_> {
    /// Where the objects begin, to index them.
    pub fn into_starts(self) -> Vec<u32> {
        self.starts
    }

    /// Whether a record begins here.
    pub fn is_record(&self, reference: HeapRef) -> bool {
        self.depth(reference, Kind::Record).is_some()
    }

    /// The shape of the record that begins here; the empty shape if none does.
    pub fn shape(&self, reference: HeapRef) -> ShapeId {
        let first = self.words.get(reference.offset()).map_or(0, load);
        ShapeId(first as u32)
    }

    /// Whether this can be the value of an attribute, a tag or an element.
    pub fn is_value(&self, value: Value) -> bool {
        self.depth_of(value).is_some()
    }

    /// How deep the object is that a reference leads to, if that is of this kind.
    fn depth(&self, reference: HeapRef, kind: Kind) -> Option<u16> {
        let at = usize::try_from(reference.0).ok()?;
        let depth = *self.depths.get(at)?;
        let first = load(self.words.get(at)?);
        (depth != 0 && first >> 56 == kind as u64).then_some(depth)
    }

    /// How deep a value is, 0 if it is no object; `None` if it cannot be.
    fn depth_of(&self, value: Value) -> Option<u16> {
        let below = |limit: usize| (value.word < limit as u64).then_some(0);
        let object = |kind| self.depth(HeapRef(u32::try_from(value.word).ok()?), kind);
        match value.tag {
            Tag::Absent => None,
            Tag::Bool => below(2),
            Tag::Long | Tag::Decimal | Tag::Datetime | Tag::Duration => Some(0),
            Tag::String => below(self.strings),
            Tag::Entity => below(self.entities),
            Tag::Set => object(Kind::Set),
            Tag::Record => object(Kind::Record),
            Tag::Ip => object(Kind::Ip),
        }
    }

    /// Checks the object that begins here; gives where the next one does.
    fn add(&mut self, start: usize) -> Result<usize, Invalid> {
        let invalid = Invalid("a set, a record or an IP address is not valid");
        let first = self.words.get(start).map_or(0, load);
        let end = start + object_len(first);
        let words = self.words.get(start..end).ok_or(invalid)?;
        let object = Object { words };
        let kinds = [Kind::Set, Kind::Record, Kind::Ip];
        let kind = kinds.into_iter().find(|kind| first >> 56 == *kind as u64);
        let depth = match kind {
            Some(Kind::Set) => self.set(object),
            Some(Kind::Record) => self.record(object),
            Some(Kind::Ip) => ip(object).then_some(0),
            None => None,
        };
        let depth = depth.ok_or(invalid)? + 1;
        if depth > MAX_DEPTH {
            return Err(Invalid("values are in one another too deep"));
        }
        if let Some(place) = self.depths.get_mut(start) {
            *place = depth;
        }
        self.starts.push(start as u32);
        Ok(end)
    }

    fn set(&self, set: Object<'_>) -> Option<u16> {
        let bloom = set.values().fold(0, |all, v| all | word_bloom(v.word));
        let ascending = set.values().is_sorted_by(|a, b| a < b);
        let as_made = set.word(0) == header(Kind::Set, set.len(), 0) && set.word(1) == bloom;
        self.values(set).filter(|_| as_made && ascending)
    }

    fn record(&self, record: Object<'_>) -> Option<u16> {
        let shape = record.shape();
        let known = shape.index() < self.shapes.len();
        let fits = known && self.shapes.attrs(shape).len() == record.len();
        self.values(record).filter(|_| fits)
    }

    /// How deep the deepest value in a set or record is, if all are valid and the bytes between tags
    /// and words are 0.
    fn values(&self, object: Object<'_>) -> Option<u16> {
        let len = header_len(object.word(0));
        let tags = tags_start(object.word(0));
        let used = len % 8;
        if used != 0 {
            let last = object.word(tags + tag_words(len) - 1).to_ne_bytes();
            if last.get(used..)?.iter().any(|byte| *byte != 0) {
                return None;
            }
        }
        let mut deepest = 0;
        for value in object.values() {
            deepest = deepest.max(self.depth_of(value)?);
        }
        Some(deepest)
    }
}

/// Whether an IP address is one that text can say.
fn ip(object: Object<'_>) -> bool {
    const V6: u64 = 1 << 8;
    let ip = object.ip();
    let range = match ip.meta & V6 {
        0 => ip.high == 0 && ip.low <= u64::from(u32::MAX) && ip.meta <= 32,
        _ => ip.meta <= V6 + 128,
    };
    range && object.word(0) == header(Kind::Ip, 0, 0)
}
