//! Lists of 32-bit numbers.

use super::{TableMemory, Words};
use crate::saved::{Input, Invalid, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// Lists of numbers, each found by a key; cheap to clone, and only ever added to.
///
/// A key says where a list begins, or is the one number of a list of one, which takes no memory. A
/// stored list is a word with its length and its first number, and the others, two a word.
#[derive(Clone, Debug)]
pub struct Lists(Words);

impl Default for Lists {
    fn default() -> Self {
        let mut words = Words::default();
        // The empty list, at 0.
        words.push(0);
        Self(words)
    }
}

fn word(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

/// Set in the key of a list of one, whose number is the rest.
const ALONE: u32 = 1 << 31;

impl Lists {
    /// How many words all lists together may take.
    pub const MOST_WORDS: u32 = ALONE;

    /// Adds a list, and gives its key; `None` if there are too many. The empty list is there already,
    /// and its key is 0.
    pub fn add(&mut self, numbers: &[u32]) -> Option<u32> {
        let (first, others) = match numbers {
            [] => return Some(0),
            [alone] if alone & ALONE == 0 => return Some(alone | ALONE),
            [first, others @ ..] => (*first, others),
        };
        let start = u32::try_from(self.0.len()).ok()?;
        let len = u32::try_from(numbers.len()).ok()?;
        if start >= Self::MOST_WORDS {
            return None;
        }
        self.0.push(word(len, first));
        for pair in others.chunks(2) {
            let get = |i: usize| pair.get(i).copied().unwrap_or(0);
            self.0.push(word(get(0), get(1)));
        }
        Some(start)
    }

    /// The list with this key; the empty one if there is none.
    #[inline]
    pub fn get(&self, key: u32) -> List<'_> {
        if key & ALONE != 0 {
            return List {
                len: 1,
                first: key & !ALONE,
                others: &[],
            };
        }
        let words = self.0.as_slice().get(key as usize..).unwrap_or(&[]);
        let Some((head, others)) = words.split_first() else {
            return List::default();
        };
        let head = head.load(Ordering::Relaxed);
        let len = head as u32;
        List {
            len,
            first: (head >> 32) as u32,
            others: others.get(..len as usize / 2).unwrap_or(&[]),
        }
    }

    /// What the lists take.
    pub fn memory(&self) -> TableMemory {
        self.0.memory()
    }

    /// Writes all lists.
    pub fn save(&self, out: &mut Output) {
        self.0.save(out);
    }
}

/// The lists of a file.
#[derive(Clone, Copy, Debug)]
pub struct SavedLists<'a>(&'a [[u8; 8]]);

impl<'a> SavedLists<'a> {
    /// Reads what [`Lists::save`] wrote.
    ///
    /// # Errors
    /// When these are no lists, or too many.
    pub fn read(mut input: Input<'a>) -> Result<Self, Invalid> {
        let (words, rest) = input.bytes(input.remaining())?.as_chunks();
        let few = words.len() <= Lists::MOST_WORDS as usize;
        match few && rest.is_empty() && words.first() == Some(&[0; 8]) {
            true => Ok(Self(words)),
            false => Err(Invalid("the lists of parents are not whole")),
        }
    }

    /// How many words all lists take, the empty one included.
    pub fn words(self) -> usize {
        self.0.len()
    }

    /// The table of these lists.
    pub fn table(self) -> Lists {
        let words = self.0.iter().map(|word| u64::from_le_bytes(*word));
        Lists(Words::of(self.0.len(), words))
    }

    /// The list with this key; `None` if there is none.
    #[inline]
    pub fn get(self, key: u32) -> Option<SavedList<'a>> {
        if key & ALONE != 0 {
            return Some(SavedList {
                len: 1,
                first: key & !ALONE,
                others: &[],
                words: 0,
            });
        }
        let (head, others) = self.0.get(key as usize..)?.split_first()?;
        let [len, first] = halves(*head);
        let words = len as usize / 2;
        Some(SavedList {
            len,
            first,
            others: others.get(..words)?,
            words: words + 1,
        })
    }
}

fn halves(word: [u8; 8]) -> [u32; 2] {
    let word = u64::from_le_bytes(word);
    [word as u32, (word >> 32) as u32]
}

/// A list of a file.
#[derive(Clone, Copy, Debug)]
pub struct SavedList<'a> {
    len: u32,
    first: u32,
    others: &'a [[u8; 8]],
    words: usize,
}

impl<'a> SavedList<'a> {
    /// How many words the list takes in the file: none if its key says all.
    #[inline]
    pub fn words(self) -> usize {
        self.words
    }

    /// The numbers.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = u32> + Clone + 'a {
        let first = (self.len != 0).then_some(self.first);
        let others = self.others.iter().flat_map(|word| halves(*word));
        let others = others.take((self.len as usize).saturating_sub(1));
        first.into_iter().chain(others)
    }
}

/// A list of numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct List<'a> {
    len: u32,
    first: u32,
    others: &'a [AtomicU64],
}

impl<'a> List<'a> {
    /// How many numbers there are.
    #[inline]
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The number at a position; 0 if there is none.
    #[inline]
    pub fn get(self, index: usize) -> u32 {
        let Some(other) = index.checked_sub(1) else {
            return self.first;
        };
        let word = self.others.get(other / 2);
        let word = word.map_or(0, |word| word.load(Ordering::Relaxed));
        (word >> (32 * (other % 2))) as u32
    }

    /// The numbers.
    #[inline]
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + Clone + 'a {
        (0..self.len()).map(move |i| self.get(i))
    }

    /// Whether a number is in the list, which must be ascending. O(log n).
    #[inline]
    pub fn contains(self, number: u32) -> bool {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let mid = low + (high - low) / 2;
            if self.get(mid) < number {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        low < self.len() && self.get(low) == number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_found_by_their_keys() {
        let mut lists = Lists::default();
        let all: Vec<Vec<u32>> = (0..20)
            .map(|n| (0..n).map(|i| 3 * i + n).collect())
            .chain([
                vec![ALONE - 1],
                vec![ALONE],
                vec![u32::MAX],
                vec![3, ALONE, u32::MAX],
            ])
            .collect();
        let starts: Vec<u32> = (all.iter())
            .map(|numbers| lists.add(numbers).unwrap())
            .collect();
        let clone = lists.clone();
        lists.add(&[1, 2, 3]).unwrap();
        for (numbers, start) in all.iter().zip(&starts) {
            let list = clone.get(*start);
            assert_eq!(list.iter().collect::<Vec<_>>(), *numbers);
            assert_eq!(list.len(), numbers.len());
            for number in (0..100).chain([ALONE - 1, ALONE, u32::MAX]) {
                assert_eq!(list.contains(number), numbers.contains(&number));
            }
        }
        let mut out = Output::default();
        lists.save(&mut out);
        let saved = SavedLists::read(Input::new(out.as_bytes())).unwrap();
        let (table, mut words) = (saved.table(), 1);
        for (numbers, start) in all.iter().zip(&starts) {
            let list = saved.get(*start).unwrap();
            assert_eq!(list.iter().collect::<Vec<_>>(), *numbers);
            assert_eq!(table.get(*start).iter().collect::<Vec<_>>(), *numbers);
            words += if numbers.is_empty() { 0 } else { list.words() };
        }
        // And those of the last.
        assert_eq!(words + 2, saved.words());
        assert_eq!(lists.add(&[]), Some(0));
        assert!(lists.get(0).is_empty() && clone.get(9999).is_empty());
    }
}
