//! Every interleaving of a few threads, and every value that their loads may see, with loom.
//!
//! Who has the tail of a block is decided by the code of `ir/src/arena/tail.rs` itself; the block and
//! what handles do with it are as in `words.rs` beside it, in small. A word is written by `Relaxed` stores and read by `Relaxed` loads, as
//! there, so a handle that read words which nothing orders before it would be seen to.

#![cfg(test)]

#[path = "../../../ir/src/arena/tail.rs"]
mod tail;

use loom::sync::atomic::{AtomicU64, AtomicUsize};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::sync::atomic::Ordering;
use tail::{Claim, Number, Tail};

impl Number for AtomicUsize {
    fn new(value: usize) -> Self {
        AtomicUsize::new(value)
    }

    fn load(&self, order: Ordering) -> usize {
        self.load(order)
    }

    fn store(&self, value: usize, order: Ordering) {
        self.store(value, order);
    }

    fn swap(&self, value: usize, order: Ordering) -> usize {
        self.swap(value, order)
    }

    fn exchange(&self, current: usize, new: usize) -> bool {
        self.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn own(&mut self) -> usize {
        self.with_mut(|value| *value)
    }

    fn set_own(&mut self, value: usize) {
        self.with_mut(|place| *place = value);
    }
}

/// Room for all that the models add.
const ROOM: usize = 4;

struct Block {
    claim: Claim<AtomicUsize>,
    words: [AtomicU64; ROOM],
    /// One more while a handle has the tail.
    owners: AtomicUsize,
}

/// A handle, with the words that it should see.
struct Handle {
    block: Arc<Block>,
    tail: Tail<AtomicUsize>,
    model: Vec<u64>,
}

fn block() -> Arc<Block> {
    Arc::new(Block {
        claim: Claim::taken(),
        words: std::array::from_fn(|_| AtomicU64::new(0)),
        owners: AtomicUsize::new(0),
    })
}

impl Handle {
    fn new() -> Self {
        Self {
            block: block(),
            tail: Tail::whole(),
            model: Vec::new(),
        }
    }

    /// Adds a word, as `Words::extend` does. Whether it went into the same block.
    fn add(&mut self, word: u64) -> bool {
        let len = self.model.len();
        let own = self.tail.shared().is_some() || self.tail.take(&self.block.claim, len);
        if !own {
            let new = block();
            for (to, from) in new.words.iter().zip(&self.model) {
                to.store(*from, Ordering::Relaxed);
            }
            let Self { block, tail, .. } = self;
            tail.give_back(&block.claim);
            (*block, *tail) = (new, Tail::whole());
        }
        let block = &self.block;
        // Two handles that write at once would meet here.
        assert_eq!(
            block.owners.fetch_add(1, Ordering::Relaxed),
            0,
            "two owners"
        );
        block.words[len].store(word, Ordering::Relaxed);
        block.owners.fetch_sub(1, Ordering::Relaxed);
        self.model.push(word);
        own
    }

    /// Forgets all words, as `Words::truncate` does: keeps the block if nobody else has it.
    fn clear(&mut self) {
        match Arc::get_mut(&mut self.block) {
            Some(block) => self.tail.take_whole(&mut block.claim),
            None => *self = Self::new(),
        }
        self.model.clear();
    }

    fn check(&self) {
        for (word, expected) in self.block.words.iter().zip(&self.model) {
            assert_eq!(word.load(Ordering::Relaxed), *expected);
        }
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.tail.give_up(&self.block.claim, self.model.len());
        Self {
            block: Arc::clone(&self.block),
            tail: Tail::none(),
            model: self.model.clone(),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.tail.give_back(&self.block.claim);
    }
}

fn filled(words: u64) -> Handle {
    let mut handle = Handle::new();
    for word in 1..=words {
        handle.add(word);
    }
    handle
}

/// All interleavings with at most this many switches of a thread that could go on.
fn model(switches: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(body);
}

#[test]
fn of_clones_that_add_at_once_one_has_the_tail() {
    model(4, || {
        let mut first = filled(1);
        let mut second = first.clone();
        let other = thread::spawn(move || {
            let same = second.add(20);
            second.check();
            (second, same)
        });
        let same = first.add(10);
        first.check();
        let (second, other_same) = other.join().unwrap();
        assert!(!(same && other_same), "both went on in one block");
        first.check();
        second.check();
    });
}

#[test]
fn threads_clone_one_handle_at_once() {
    model(3, || {
        let shared = Arc::new(filled(1));
        let threads: Vec<_> = (0..2_u64)
            .map(|n| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut own = Handle::clone(&shared);
                    own.add(10 + n);
                    own.check();
                    let next = own.clone();
                    drop(own);
                    next
                })
            })
            .collect();
        let made: Vec<Handle> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        shared.check();
        made.iter().for_each(Handle::check);
    });
}

#[test]
fn what_a_dropped_handle_added_is_written_over_by_one_alone() {
    model(4, || {
        let first = filled(1);
        let mut failed = first.clone();
        let mut next = first.clone();
        let dropping = thread::spawn(move || {
            failed.add(10);
            failed.check();
        });
        next.add(20);
        next.check();
        dropping.join().unwrap();
        next.check();
        let mut last = next.clone();
        last.add(21);
        last.check();
        first.check();
    });
}

#[test]
fn what_is_cleared_is_filled_again_by_whoever_is_alone() {
    model(4, || {
        let mut first = filled(2);
        let second = first.clone();
        let other = thread::spawn(move || {
            second.check();
            let mut next = second.clone();
            drop(second);
            next.add(20);
            next.check();
        });
        first.clear();
        first.add(10);
        first.check();
        other.join().unwrap();
        first.add(11);
        first.check();
    });
}

/// Snapshots that replace one another, as an engine has them. The exchange itself, which is
/// arc-swap's, is stood in for by a lock that is held for a copy of the reference.
#[test]
fn readers_hold_what_a_writer_replaces() {
    model(3, || {
        let current = Arc::new(Mutex::new(Arc::new(filled(1))));
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let current = Arc::clone(&current);
                thread::spawn(move || {
                    let snapshot = Arc::clone(&current.lock().unwrap());
                    snapshot.check();
                })
            })
            .collect();
        for word in [10, 20] {
            let snapshot = Arc::clone(&current.lock().unwrap());
            let mut next = snapshot.as_ref().clone();
            drop(snapshot);
            assert!(
                next.add(word),
                "the writer is alone and goes on in the block"
            );
            let next = Arc::new(next);
            let before = std::mem::replace(&mut *current.lock().unwrap(), next);
            before.check();
        }
        for reader in readers {
            reader.join().unwrap();
        }
        current.lock().unwrap().check();
        // Loom fails if what an `Arc` held was not dropped.
    });
}
