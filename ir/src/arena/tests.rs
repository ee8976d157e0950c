//! Random histories of many clones, against plain vectors.

use super::{Index, SavedIndex, Words};
use crate::saved::{Input, Output};
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread;

/// A small generator of random numbers, the same ones for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(foldhash::quality::FixedState::with_seed(seed).hash_one(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = foldhash::quality::FixedState::with_seed(1).hash_one(self.0);
        (mixed % end.max(1) as u64) as usize
    }
}

/// A table of distinct numbers as the tables of this crate are made, and what it should hold.
#[derive(Clone, Default)]
struct Numbers {
    words: Words,
    index: Index,
    model: Vec<u64>,
}

/// Few different kept halves, so that many numbers collide.
fn hash(number: u64) -> u64 {
    let mixed = foldhash::quality::FixedState::with_seed(7).hash_one(number);
    if number.is_multiple_of(3) {
        (mixed % 5) << 33
    } else {
        mixed
    }
}

impl Numbers {
    fn find(&self, number: u64) -> Option<usize> {
        let same = |i: u32| self.words.get(i as usize) == Some(number);
        self.index.find(hash(number), same).map(|i| i as usize)
    }

    fn add(&mut self, number: u64) {
        let known = self.model.iter().position(|n| *n == number);
        assert_eq!(self.find(number), known);
        if known.is_none() {
            self.index.insert(hash(number), self.words.len() as u32);
            self.words.push(number);
            self.model.push(number);
        }
    }

    fn check(&self, numbers: usize) {
        let words: Vec<u64> = self.words.as_slice().iter().map(load).collect();
        assert_eq!(words, self.model);
        assert_eq!(self.words.get(self.model.len()), None);
        let known: HashMap<u64, usize> = self.model.iter().copied().zip(0..).collect();
        for number in 0..numbers as u64 {
            assert_eq!(self.find(number), known.get(&number).copied(), "{number}");
        }
    }

    /// The index as bytes.
    fn saved(&self) -> Vec<u8> {
        let mut out = Output::default();
        self.index.save(self.words.len() as u32, &mut out);
        out.as_bytes().to_vec()
    }

    /// The same with the index that these bytes are, if they are one.
    fn with_index(&self, bytes: &[u8]) -> Option<Self> {
        let mut input = Input::new(bytes);
        let saved = SavedIndex::read(&mut input).ok()?;
        input.end().ok()?;
        let count = self.words.len();
        Some(Self {
            index: saved.load(count, count).ok()?,
            ..self.clone()
        })
    }

    /// The blocks, by their addresses.
    fn blocks(&self) -> [*const (); 2] {
        let index = self.index.part.all().as_ptr();
        [self.words.as_slice().as_ptr().cast(), index.cast()]
    }
}

fn load(word: &std::sync::atomic::AtomicU64) -> u64 {
    word.load(Ordering::Relaxed)
}

#[test]
fn every_clone_sees_its_own_numbers_and_no_others() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let numbers = [20, 300, 3000][random.below(3)];
        let mut clones = vec![Numbers::default()];
        for _ in 0..300 {
            let at = random.below(clones.len());
            match random.below(8) {
                0 | 1 if clones.len() < 12 => clones.push(clones[at].clone()),
                2 if clones.len() > 1 => drop(clones.swap_remove(at)),
                3 => clones[at].check(numbers),
                4 => {
                    clones[at].words.truncate(0);
                    clones[at].index.clear();
                    clones[at].model.clear();
                }
                _ => {
                    for _ in 0..random.below(40) {
                        clones[at].add(random.below(numbers) as u64);
                    }
                }
            }
        }
        for clone in clones {
            clone.check(numbers);
        }
    }
}

#[test]
fn what_follows_a_clone_goes_into_the_same_blocks() {
    let mut table = Numbers::default();
    (0..1300).for_each(|n| table.add(n));
    let blocks = table.blocks();
    let mut older = Vec::new();
    for n in 1300..1500 {
        let mut next = table.clone();
        assert_eq!(next.blocks(), blocks);
        next.add(n);
        assert_eq!(next.blocks(), blocks);
        older.push(std::mem::replace(&mut table, next));
    }
    for (older, len) in older.iter().zip(1300..) {
        assert_eq!(older.model.len(), len);
        older.check(1550);
    }
}

#[test]
fn a_change_that_failed_leaves_nothing_behind() {
    let mut table = Numbers::default();
    (0..1300).for_each(|n| table.add(n));
    let blocks = table.blocks();
    for round in 1..=100 {
        let mut failed = table.clone();
        (0..100).for_each(|n| failed.add(round * 2000 + n));
        assert_eq!(failed.blocks(), blocks);
        assert_eq!(table.index.filled(), 1400);
        drop(failed);
        assert_eq!(table.index.filled(), 1300);
    }
    table.add(1300);
    assert_eq!(table.blocks(), blocks);
    table.check(2100);
}

#[test]
fn of_two_clones_that_add_one_copies() {
    let mut table = Numbers::default();
    (0..100).for_each(|n| table.add(n));
    let (mut a, mut b) = (table.clone(), table.clone());
    a.add(100);
    b.add(200);
    b.add(100);
    assert_eq!(a.blocks(), table.blocks());
    assert!(b.blocks() != table.blocks());
    for numbers in [&a, &b, &table] {
        numbers.check(300);
    }
}

#[test]
fn growing_copies_a_few_times_what_there_is() {
    let mut table = Numbers::default();
    let (mut moves, mut copied) = (0, 0);
    for n in 0..20_000 {
        let mut next = table.clone();
        next.add(n);
        for (new, old) in next.blocks().iter().zip(table.blocks()) {
            if *new != old {
                moves += 1;
                copied += table.model.len();
            }
        }
        table = next;
    }
    assert!(moves < 50, "{moves}");
    assert!(copied < 7 * 20_000, "{copied}");
}

#[test]
fn clearing_keeps_memory_that_nobody_shares() {
    let mut table = Numbers::default();
    (0..100).for_each(|n| table.add(n));
    let blocks = table.blocks();
    let clear = |table: &mut Numbers| {
        table.words.truncate(0);
        table.index.clear();
        table.model.clear();
    };
    drop(table.clone());
    clear(&mut table);
    (50..150).for_each(|n| table.add(n));
    assert_eq!(table.blocks(), blocks);
    let clone = table.clone();
    clear(&mut table);
    table.add(7);
    table.check(200);
    clone.check(200);
    assert!(table.blocks() != clone.blocks());
}

#[test]
fn room_at_the_end_is_reserved_and_not_used() {
    let mut table = Numbers::default();
    assert_eq!(table.words.memory(), super::TableMemory::default());
    (0..17).for_each(|n| table.add(n));
    let words = table.words.memory();
    assert_eq!((words.used, words.reserved), (17 * 8, 32 * 8));
    let index = table.index.memory();
    assert_eq!(index.used, 17 * 8);
    assert_eq!(index.reserved, table.index.part.all().len() * 8);
    assert_eq!(table.words.clone().memory(), words);
}

#[test]
fn readers_of_older_clones_are_not_disturbed() {
    let (send, receive) = sync_channel::<Numbers>(4);
    let receive = Mutex::new(receive);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = receive.lock().unwrap().recv();
                    let Ok(numbers) = next else { return };
                    let again = numbers.clone();
                    numbers.check(4000);
                    drop(numbers);
                    again.check(4000);
                }
            });
        }
        let mut random = Random::new(3);
        let mut table = Numbers::default();
        for _ in 0..400 {
            let mut next = table.clone();
            for _ in 0..random.below(20) {
                next.add(random.below(4000) as u64);
            }
            if random.below(4) != 0 {
                table = next;
                send.send(table.clone()).unwrap();
            }
        }
        drop(send);
    });
}

#[test]
fn a_saved_index_finds_what_its_clone_found() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let numbers = [20, 300, 3000][random.below(3)];
        let mut table = Numbers::default();
        let mut other = table.clone();
        for _ in 0..random.below(numbers) {
            table.add(random.below(numbers) as u64);
            if random.below(50) == 0 {
                other = table.clone();
            }
            // In the same block as long as the first has not added to it since.
            other.add(random.below(numbers) as u64);
        }
        for table in [table, other] {
            let bytes = table.saved();
            let mut again = table.with_index(&bytes).unwrap();
            again.check(numbers);
            assert!(again.saved() == bytes, "what was loaded is saved as it was");
            for _ in 0..20 {
                again.add(random.below(2 * numbers) as u64);
            }
            again.check(2 * numbers);
        }
    }
}

/// What would be searched for ever, or leads to what is not there, is no index.
#[test]
fn an_index_that_cannot_be_is_refused() {
    let mut table = Numbers::default();
    (0..500).for_each(|number| table.add(number));
    let bytes = table.saved();
    let refused = |at: usize, byte: u8| {
        let mut spoiled = bytes.clone();
        assert_ne!(std::mem::replace(&mut spoiled[at], byte), byte);
        table.with_index(&spoiled).is_none()
    };
    let (groups, _) = bytes[8..].as_chunks::<64>();
    let full = groups.iter().position(|group| group[7] != 0).unwrap();
    let some = groups
        .iter()
        .position(|group| group[7] == 0 && group[1] != 0);
    let (full, some) = (8 + 64 * full, 8 + 64 * some.unwrap());
    assert!(refused(some, 1), "a mark of no slot");
    assert!(
        refused(some + 7, 0x80),
        "a slot that is filled before others"
    );
    assert!(refused(full + 7, 0), "an entry less");
    assert!(refused(full + 3, 0), "a hole");
    assert!(refused(some + 8 + 3, 1), "an id that was not given out");
    assert!(
        refused(0, bytes[0] + 1) && refused(0, bytes[0] - 1),
        "another size"
    );
    assert!(table.with_index(&bytes[..bytes.len() - 1]).is_none());
    let mut fewer = Numbers::default();
    (0..499).for_each(|number| fewer.add(number));
    assert!(fewer.with_index(&bytes).is_none());
    // What is free may hold anything.
    let mut other = bytes.clone();
    other[some + 8 * 7] = 9;
    table.with_index(&other).unwrap().check(600);
}
