//! An array of words.

use super::{Part, TableMemory};
use crate::saved::Output;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The room that the first word makes.
const LEAST: usize = 16;

/// An array of words that only grows and that is cheap to clone.
#[derive(Debug)]
pub struct Words {
    part: Part,
    /// Where the block's words are, so that asking for it is one load. Only ever read and written
    /// as if it were not atomic; as a plain pointer it could not go from thread to thread.
    base: AtomicPtr<AtomicU64>,
}

impl From<Part> for Words {
    fn from(part: Part) -> Self {
        let base = AtomicPtr::new(part.all().as_ptr().cast_mut());
        Self { part, base }
    }
}

impl Default for Words {
    fn default() -> Self {
        Part::new(0).into()
    }
}

impl Clone for Words {
    fn clone(&self) -> Self {
        self.part.clone().into()
    }
}

impl Words {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many words there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.part.len
    }

    /// Where the first word is.
    #[inline]
    pub fn base(&self) -> *const AtomicU64 {
        self.base.load(Ordering::Relaxed)
    }

    /// All words, and after them what other handles may have: whoever reads them must not go
    /// beyond [`len`](Self::len), and saves having that checked.
    #[inline]
    pub(crate) fn block(&self) -> &[AtomicU64] {
        self.part.all()
    }

    /// All words. Reading them needs no ordering.
    #[inline]
    pub fn as_slice(&self) -> &[AtomicU64] {
        self.part.all().get(..self.part.len).unwrap_or_default()
    }

    /// The word at this index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<u64> {
        let word = self.part.all().get(index)?;
        (index < self.len()).then(|| word.load(Ordering::Relaxed))
    }

    /// Adds a word. Amortized O(1).
    #[inline]
    pub fn push(&mut self, word: u64) {
        self.extend(&[word]);
    }

    /// Adds words. Amortized O(1) for each.
    #[inline]
    pub fn extend(&mut self, words: &[u64]) {
        let part = &mut self.part;
        let end = part.len + words.len();
        if end > part.all().len() || (part.shared().is_none() && !part.take_tail()) {
            self.move_to_own(end);
        }
        let part = &mut self.part;
        for (place, word) in part.all().iter().skip(part.len).zip(words) {
            place.store(*word, Ordering::Relaxed);
        }
        part.len = end;
    }

    /// Goes on in a block of its own with room for at least `least` words.
    #[cold]
    fn move_to_own(&mut self, least: usize) {
        let mut own = Part::new(least.max(2 * self.part.len).max(LEAST));
        for (to, from) in own.all().iter().zip(self.as_slice()) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        own.len = self.part.len;
        *self = own.into();
    }

    /// Forgets all words from `len` on. Keeps the memory if nobody else sees them, else all is
    /// forgotten: the array is empty.
    #[inline]
    pub(crate) fn truncate(&mut self, len: usize) {
        let part = &mut self.part;
        let mine = part.shared().is_some_and(|shared| shared <= len);
        if mine || part.make_sole().is_some() {
            part.len = part.len.min(len);
        } else {
            *self = Self::default();
        }
    }

    /// An array of so many words at most, which are these.
    ///
    /// Has room to grow by an eighth; what is not used of that takes no memory if it is much.
    pub fn of(most: usize, words: impl IntoIterator<Item = u64>) -> Self {
        let mut part = Part::new(most + most / 8);
        let mut len = 0;
        if let Some(places) = part.make_sole() {
            for (place, word) in places.iter_mut().zip(words) {
                *place.get_mut() = word;
                len += 1;
            }
        }
        part.len = len;
        part.into()
    }

    /// Writes all words.
    pub(crate) fn save(&self, out: &mut Output) {
        let words = self.as_slice().iter();
        out.words(words.map(|word| word.load(Ordering::Relaxed)));
    }

    /// What the array takes.
    pub fn memory(&self) -> TableMemory {
        TableMemory::of::<u64>(self.part.len, self.part.all().len())
    }
}
