//! Reading memory before it is needed.
//!
//! A table of millions of entries is asked for one of them at random, and the processor waits for
//! memory, again and again where one entry says where the next is. If what a few questions will read
//! is read for all of them first, step by step, it waits for all at the same time.

use std::hint::black_box;

/// How many questions are prepared at the same time where a large table is built.
pub const ABREAST: usize = 16;

/// Reads words that will be needed soon. None may depend on another of them.
#[inline]
pub fn touch<T: Into<u64>>(words: impl Iterator<Item = T>) {
    black_box(words.fold(0, |all, word| all ^ word.into()));
}
