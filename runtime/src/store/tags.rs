//! The tags of entities.

use cedarjit_ir::arena::{TableMemory, Words};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::StrId;
use cedarjit_ir::value::{Tag, Value};
use std::sync::atomic::{AtomicU64, Ordering};

/// The tags of all entities, each entity's in one block: how many there are, and for each a word
/// with the key and the value's type, and the value's word.
#[derive(Clone, Debug)]
pub(super) struct TagTable(pub(super) Words);

impl Default for TagTable {
    fn default() -> Self {
        let mut words = Words::default();
        // Of entities without tags.
        words.push(0);
        Self(words)
    }
}

impl TagTable {
    /// Stores the tags of one entity, which are sorted in place; gives the header's field for them.
    pub(super) fn add(&mut self, tags: &mut [(StrId, Value)]) -> Option<u32> {
        if tags.is_empty() {
            return Some(0);
        }
        tags.sort_unstable_by_key(|(key, _)| *key);
        let start = u32::try_from(self.0.len()).ok()?;
        self.0.push(tags.len() as u64);
        for (key, value) in tags {
            let first = u64::from(key.0) | u64::from(value.tag as u8) << 32;
            self.0.extend(&[first, value.word]);
        }
        Some(start)
    }

    /// The tags of the entity with this block.
    #[inline]
    pub(super) fn get(&self, start: u32) -> TagList<'_> {
        let words = self.0.as_slice().get(start as usize..).unwrap_or(&[]);
        let Some((count, rest)) = words.split_first() else {
            return TagList(&[]);
        };
        let mut count = count.load(Ordering::Relaxed) as usize;
        if planted(Fault::LastTagForgotten) && count > 1 {
            count -= 1;
        }
        TagList(rest.get(..2 * count).unwrap_or(&[]))
    }

    /// What the tags take.
    pub(super) fn memory(&self) -> TableMemory {
        self.0.memory()
    }
}

/// The tags of an entity, in ascending order of the keys' ids.
#[derive(Clone, Copy, Debug)]
pub struct TagList<'a>(&'a [AtomicU64]);

impl<'a> TagList<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.0.len() / 2
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn word(self, index: usize) -> u64 {
        self.0
            .get(index)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn key(self, index: usize) -> StrId {
        StrId(self.word(2 * index) as u32)
    }

    fn value(self, index: usize) -> Value {
        let tag = Tag::from_u8((self.word(2 * index) >> 32) as u8);
        Value {
            tag: tag.unwrap_or(Tag::Absent),
            word: self.word(2 * index + 1),
        }
    }

    /// The keys and values.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (StrId, Value)> + 'a {
        (0..self.len()).map(move |i| (self.key(i), self.value(i)))
    }

    /// The value under a key. O(log n).
    pub fn find(self, key: StrId) -> Option<Value> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low + (high - low) / 2;
            if self.key(mid) < key {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        (low < self.len() && self.key(low) == key).then(|| self.value(low))
    }
}
