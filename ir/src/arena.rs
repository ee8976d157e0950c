//! Tables that only grow, shared by all their clones.
//!
//! A clone of a table shares its block of memory and knows how much of it is its own. What is
//! beyond that, another clone may fill in meanwhile, so a clone costs the same however large the
//! table is, and adding to it costs what is added.
//!
//! # Who may add
//!
//! At most one handle at a time has the *tail* of a block, the words that no other handle sees,
//! and only it writes. Cloning a handle gives up its tail, so that whichever of the two adds next
//! may have it. A handle that adds and sees everything that the block holds takes the tail;
//! one that does not, because another has added since, goes on in a copy. A handle that is dropped
//! with the tail gives back what it added, so that a change which failed costs the next one
//! nothing.
//!
//! All words are atomic, read and written without ordering: a handle reads only words that were
//! written before it was made or by itself, and whoever passes a handle to another thread
//! synchronizes the two. Who has the tail is handed over with acquire and release (`tail.rs`).

mod index;
mod lists;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
mod words;

pub(crate) use index::{Index, SavedIndex};
pub use lists::{List, Lists, SavedList, SavedLists};
pub use words::Words;

use std::iter::Sum;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use tail::{Claim, Tail};
use zerocopy::FromZeros;

/// How much memory a table takes, in bytes.
///
/// What a table shares with its clones counts for each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableMemory {
    /// What holds entries of this table.
    pub used: usize,
    /// What is allocated, `used` included. Spare room at the end of large blocks is not resident
    /// before it is used.
    pub reserved: usize,
}

impl TableMemory {
    /// Of a vector with this many elements and this capacity.
    pub fn of<T>(len: usize, capacity: usize) -> Self {
        Self {
            used: len * size_of::<T>(),
            reserved: capacity * size_of::<T>(),
        }
    }
}

impl Add for TableMemory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            used: self.used + other.used,
            reserved: self.reserved + other.reserved,
        }
    }
}

impl Sum for TableMemory {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::add)
    }
}

/// Words that several handles share.
#[derive(Debug)]
struct Block {
    claim: Claim<AtomicUsize>,
    words: Box<[AtomicU64]>,
}

/// A handle of a block: how much of it is its own, and whether it has the tail.
#[derive(Debug)]
struct Part {
    block: Arc<Block>,
    /// How much of the block this handle sees: words, or what else its owner counts.
    len: usize,
    tail: Tail<AtomicUsize>,
}

impl Part {
    /// A block of its own, all zero. Words that are never written take no memory if there are many.
    fn new(capacity: usize) -> Self {
        // The other way differs in that every word is written, and in what it does when there is
        // no memory: it ends the process, as the standard library's collections do.
        let words = <[AtomicU64]>::new_box_zeroed_with_elems(capacity)
            .unwrap_or_else(|_| (0..capacity).map(|_| AtomicU64::new(0)).collect());
        Self {
            block: Arc::new(Block {
                claim: Claim::taken(),
                words,
            }),
            len: 0,
            tail: Tail::whole(),
        }
    }

    /// The whole block.
    #[inline]
    fn all(&self) -> &[AtomicU64] {
        &self.block.words
    }

    /// How much others see of this handle's part, if it has the tail.
    #[inline]
    fn shared(&mut self) -> Option<usize> {
        self.tail.shared()
    }

    /// Takes the tail, which this handle does not have. False if it cannot be had: another handle
    /// has it or has added something.
    fn take_tail(&mut self) -> bool {
        self.tail.take(&self.block.claim, self.len)
    }

    /// Whether no other handle shares the block. If so, this one has the tail, which is all of it.
    fn make_sole(&mut self) -> Option<&mut [AtomicU64]> {
        let block = Arc::get_mut(&mut self.block)?;
        self.tail.take_whole(&mut block.claim);
        Some(&mut block.words)
    }
}

impl Clone for Part {
    fn clone(&self) -> Self {
        // So that a tail which begins at 0 is that of a handle which is alone.
        if self.len == 0 {
            return Self::new(0);
        }
        self.tail.give_up(&self.block.claim, self.len);
        Self {
            block: Arc::clone(&self.block),
            len: self.len,
            tail: Tail::none(),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.tail.give_back(&self.block.claim);
    }
}
