//! Lists of 32-bit numbers.

use super::{TableMemory, Words};
use std::sync::atomic::{AtomicU64, Ordering};

/// Lists of numbers, found by where they begin; cheap to clone, and only ever added to.
///
/// A list is a word with its length, and its numbers, two a word.
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

fn word([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Lists {
    /// Adds a list. Gives where it begins; `None` if that is beyond what 32 bits can say. The empty
    /// list is there already, at 0.
    pub fn add(&mut self, numbers: &[u32]) -> Option<u32> {
        if numbers.is_empty() {
            return Some(0);
        }
        let start = u32::try_from(self.0.len()).ok()?;
        let len = u32::try_from(numbers.len()).ok()?;
        self.0.push(len.into());
        for pair in numbers.chunks(2) {
            let high = pair.get(1).copied().unwrap_or(0);
            self.0
                .push(word([pair.first().copied().unwrap_or(0), high]));
        }
        Some(start)
    }

    /// The list that begins here; the empty one if none does.
    #[inline]
    pub fn get(&self, start: u32) -> List<'_> {
        let words = self.0.as_slice().get(start as usize..).unwrap_or(&[]);
        let Some((first, rest)) = words.split_first() else {
            return List::default();
        };
        let len = first.load(Ordering::Relaxed) as u32;
        let words = rest.get(..(len as usize).div_ceil(2)).unwrap_or(&[]);
        List { words, len }
    }

    /// What the lists take.
    pub fn memory(&self) -> TableMemory {
        self.0.memory()
    }
}

/// A list of numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct List<'a> {
    words: &'a [AtomicU64],
    len: u32,
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
        let word = self.words.get(index / 2);
        let word = word.map_or(0, |word| word.load(Ordering::Relaxed));
        (word >> (32 * (index % 2))) as u32
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
    fn lists_are_found_where_they_begin() {
        let mut lists = Lists::default();
        let all: Vec<Vec<u32>> = (0..20)
            .map(|n| (0..n).map(|i| 3 * i + n).collect())
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
            for number in 0..100 {
                assert_eq!(list.contains(number), numbers.contains(&number));
            }
        }
        assert_eq!(lists.add(&[]), Some(0));
        assert!(lists.get(0).is_empty() && clone.get(9999).is_empty());
    }
}
