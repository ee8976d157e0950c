//! A hash table from hashes to ids.

use super::{Part, TableMemory};
use crate::saved::{Input, Invalid, Output};
use std::sync::atomic::{AtomicU64, Ordering};

/// The words of a group, as many as a cache line has: one of marks, then the slots.
const GROUP: usize = 8;

/// The slots of a group.
const SLOTS: usize = GROUP - 1;

/// The groups of the smallest table.
const LEAST: usize = 2;

/// How many entries are put into a large table at once.
const AT_ONCE: usize = 1 << 16;

/// Entries that are put at once are sorted by so many bits.
const PART_BITS: u32 = 11;

/// Each byte's lowest bit, and its highest.
const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

type Group = [AtomicU64; GROUP];

/// How many ids a block of so many words may have: more make looking up slow.
const fn most(words: usize) -> usize {
    words / GROUP * (SLOTS - 1)
}

/// The words of a block with so many slots at least.
const fn room(slots: usize) -> usize {
    let groups = slots.div_ceil(SLOTS);
    GROUP * if groups < LEAST { LEAST } else { groups }
}

/// The words of a block for so many ids that are known before: as much room as there is on average in a
/// table that has grown.
const fn room_of(ids: usize) -> usize {
    room(4 * ids / 3)
}

/// A hash table of ids that only grows and that is cheap to clone.
///
/// Open addressing, by groups: an id is in the first group from its own on that had room. A slot
/// holds the upper half of a hash and, below, an id. The half hash says where to look, and so the
/// table grows without hashing anything anew. A group begins with a word of marks: its first byte is
/// not used, and each other is 0 where the slot at its place is free, and else a part of the half
/// hash. So a group is searched at once, as in Abseil's Swiss tables, and what is found is most often
/// found without a branch that depends on where. Slots are filled in their order.
///
/// Ids must be added in ascending order. A look-up may meet ids that another clone added, beyond
/// those of this clone: whoever looks up compares keys, and takes what it does not have as
/// different.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Its length counts ids.
    pub(super) part: Part,
    /// The slots that were filled since the tail was taken, to be freed if it is given back.
    filled: Filled,
}

/// Slots of one handle, which its clones do not get: the words that they are.
#[derive(Debug, Default)]
struct Filled(Vec<u32>);

impl Clone for Filled {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Default for Index {
    fn default() -> Self {
        Self {
            part: Part::new(0),
            filled: Filled::default(),
        }
    }
}

/// The part of a hash that the table keeps; a slot has it in the same place.
#[inline]
fn kept(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// An id under a hash, as a slot holds it.
#[inline]
fn entry(hash: u64, id: u32) -> u64 {
    u64::from(kept(hash)) << 32 | u64::from(id)
}

/// The mark of a slot for what has this hash, of which half is kept.
#[inline]
fn mark(kept: u32) -> u64 {
    u64::from(kept | 0x80) & 0xff
}

/// The group to look at first for what has this hash, of which half is kept.
#[inline]
fn first(kept: u32, groups: usize) -> usize {
    ((u64::from(kept) * groups as u64) >> 32) as usize
}

/// The lowest byte that is zero, by its highest bit, and perhaps some above it.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(LOW) & !word & HIGH
}

/// Whether all slots are filled.
#[inline]
fn is_full(marks: u64) -> bool {
    marks >> (8 * SLOTS) != 0
}

/// Where in a group with these marks the first free slot is.
#[inline]
fn free_slot(marks: u64) -> usize {
    (GROUP - marks.leading_zeros() as usize / 8).max(1)
}

/// What the slots of a group hold.
fn entries(group: &Group) -> impl Iterator<Item = u64> {
    let slots = group.get(1..free_slot(group[0].load(Ordering::Relaxed)));
    let slots = slots.unwrap_or_default().iter();
    slots.map(|slot| slot.load(Ordering::Relaxed))
}

/// Puts an entry into the first free slot for it, and says which.
#[inline]
fn put(part: &mut Part, entry: u64) -> usize {
    let kept = kept(entry);
    let (groups, _) = part.all().as_chunks::<GROUP>();
    let mut at = first(kept, groups.len());
    loop {
        let Some(group) = groups.get(at) else {
            at = 0;
            continue;
        };
        let marks = group[0].load(Ordering::Relaxed);
        if !is_full(marks) {
            let slot = free_slot(marks) % GROUP;
            group[slot].store(entry, Ordering::Relaxed);
            group[0].store(marks | mark(kept) << (8 * slot), Ordering::Relaxed);
            part.len += 1;
            return GROUP * at + slot;
        }
        at += 1;
    }
}

/// Sorts entries by where they go, roughly, so that they are put there from one end of the table to the
/// other.
fn sort_by_group(entries: &[u64], sorted: &mut Vec<u64>) {
    const PARTS: usize = 1 << PART_BITS;
    let part = |entry: &u64| (entry >> (u64::BITS - PART_BITS)) as usize;
    // Where the entries of each part begin, and while they are moved, where the next one goes.
    let mut next = [0_usize; PARTS + 1];
    for entry in entries {
        next[part(entry) + 1] += 1;
    }
    let mut sum = 0;
    for start in &mut next {
        sum += *start;
        *start = sum;
    }
    sorted.clear();
    sorted.resize(entries.len(), 0);
    for entry in entries {
        let next = &mut next[part(entry)];
        if let Some(place) = sorted.get_mut(*next) {
            *place = *entry;
        }
        *next += 1;
    }
}

impl Index {
    #[inline]
    fn groups(&self) -> &[Group] {
        self.part.all().as_chunks().0
    }

    /// The entries of ids below `end`. The others are of handles that added to the block after this one
    /// had lost the tail.
    ///
    /// Put into an empty block of the same size they come to where they are: from behind a group that
    /// has room on, which nothing was put beyond for want of room before.
    fn entries_below(&self, end: u32) -> impl Iterator<Item = u64> {
        let has_room = |group: &Group| !is_full(group[0].load(Ordering::Relaxed));
        let start = self.groups().iter().position(has_room);
        let (last, first) = self.groups().split_at(start.map_or(0, |group| group + 1));
        let all = first.iter().chain(last).flat_map(entries);
        all.filter(move |entry| (*entry as u32) < end)
    }

    /// The id with this hash that `same` says is the one. O(1).
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let groups = self.groups();
        let kept_hash = kept(hash);
        let everywhere = mark(kept_hash) * LOW;
        let mut at = first(kept_hash, groups.len());
        loop {
            let Some(group) = groups.get(at) else {
                if groups.is_empty() {
                    return None;
                }
                at = 0;
                continue;
            };
            let marks = group[0].load(Ordering::Relaxed);
            let mut hits = zero_bytes(marks ^ everywhere);
            while hits != 0 {
                let slot = hits.trailing_zeros() as usize / 8;
                let entry = group[slot % GROUP].load(Ordering::Relaxed);
                let id = entry as u32;
                if kept(entry) == kept_hash && same(id) {
                    return Some(id);
                }
                hits &= hits - 1;
            }
            if !is_full(marks) {
                return None;
            }
            at += 1;
        }
    }

    /// Adds an id, larger than all before, under a hash. Amortized O(1).
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        let full = self.part.len >= most(self.part.all().len());
        if full {
            self.move_to_own(id);
        } else if self.part.shared().is_none() {
            self.filled.0.clear();
            if !self.part.take_tail() {
                self.move_to_own(id);
            }
        }
        let slot = put(&mut self.part, entry(hash, id));
        // In a block that nobody else sees, nothing has to be undone.
        if self.part.shared() != Some(0) {
            self.filled.0.push(slot as u32);
        }
    }

    /// The table of these ids, each under its hash. O(n) for the `count` ids that there are at most.
    /// `same` says whether two ids have equal keys; it is asked where hashes agree.
    ///
    /// `None` if some have.
    pub(crate) fn of(
        count: usize,
        ids: impl Iterator<Item = (u64, u32)>,
        mut same: impl FnMut(u32, u32) -> bool,
    ) -> Option<Self> {
        let mut table = Self {
            part: Part::new(room_of(count)),
            filled: Filled::default(),
        };
        let mut ids = ids.take(count).map(|(hash, id)| entry(hash, id));
        let mut sorted = Vec::new();
        loop {
            let entries: Vec<u64> = ids.by_ref().take(AT_ONCE).collect();
            if entries.is_empty() {
                break;
            }
            sort_by_group(&entries, &mut sorted);
            for entry in &sorted {
                let id = *entry as u32;
                if table.find(*entry, |other| same(other, id)).is_some() {
                    return None;
                }
                put(&mut table.part, *entry);
            }
        }
        Some(table)
    }

    /// Writes the table of the ids below `end`, with as much room as a table [of](Self::of) so many has.
    pub(crate) fn save(&self, end: u32, out: &mut Output) {
        let mut table = Part::new(room_of(self.part.len));
        for entry in self.entries_below(end) {
            put(&mut table, entry);
        }
        let words = table.all().iter();
        out.count(table.all().len() / GROUP);
        out.words(words.map(|word| word.load(Ordering::Relaxed)));
    }

    /// Goes on in a larger block of its own, with the ids below `end`.
    #[cold]
    fn move_to_own(&mut self, end: u32) {
        // Of seven slots six are filled before, and four after it.
        let mut own = Part::new(room(3 * (self.part.len + 1) / 2));
        for entry in self.entries_below(end) {
            put(&mut own, entry);
        }
        self.give_back();
        self.part = own;
    }

    /// Frees the slots that this handle filled and that no other sees.
    ///
    /// What was added before was put where these were not in the way, so it is found without them.
    fn give_back(&mut self) {
        if self.part.shared().is_some_and(|shared| shared != 0) {
            for word in self.filled.0.iter().map(|word| *word as usize) {
                if let Some([marks, ..]) = self.groups().get(word / GROUP) {
                    let others = !(0xff << (8 * (word % GROUP)));
                    marks.store(marks.load(Ordering::Relaxed) & others, Ordering::Relaxed);
                }
            }
        }
        self.filled.0.clear();
    }

    /// Forgets all ids. O(number of ids): keeps the memory if nobody else sees it and it is not far
    /// too large.
    pub(crate) fn clear(&mut self) {
        let used = self.part.len;
        if used == 0 && self.part.shared() == Some(0) {
            return;
        }
        match self.part.make_sole() {
            Some(words) if words.len() <= 8 * used.max(room(0)) => {
                for [marks, ..] in words.as_chunks_mut::<GROUP>().0 {
                    *marks.get_mut() = 0;
                }
                self.part.len = 0;
                self.filled.0.clear();
            }
            _ => *self = Self::default(),
        }
    }

    /// How many slots of the block are filled, by whatever handle.
    #[cfg(test)]
    pub(super) fn filled(&self) -> usize {
        self.groups().iter().flat_map(entries).count()
    }

    /// What the table takes.
    pub(crate) fn memory(&self) -> TableMemory {
        let filled = &self.filled.0;
        TableMemory::of::<u64>(self.part.len, self.part.all().len())
            + TableMemory::of::<u32>(filled.len(), filled.capacity())
    }
}

/// A table of a file, not yet looked into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SavedIndex<'a>(&'a [[[u8; 8]; GROUP]]);

impl<'a> SavedIndex<'a> {
    /// Reads what [`Index::save`] wrote.
    pub(crate) fn read(input: &mut Input<'a>) -> Result<Self, Invalid> {
        let groups = input.count(8 * GROUP)?;
        let words = input.words(groups * GROUP)?;
        Ok(Self(words.as_chunks().0))
    }

    /// The table, which has `count` ids, all below `end`. Whether each is where it will be looked for is
    /// not checked: it may not be found.
    pub(crate) fn load(self, count: usize, end: usize) -> Result<Index, Invalid> {
        let mut part = Part::new(self.0.len() * GROUP);
        let all = part.all().len();
        if all != room_of(count) {
            return Err(WRONG);
        }
        let places = part.make_sole().ok_or(WRONG)?.as_chunks_mut::<GROUP>().0;
        let (mut filled, mut right) = (0, true);
        for (group, saved) in places.iter_mut().zip(self.0) {
            let [marks, ..] = saved.map(u64::from_le_bytes);
            let free = free_slot(marks);
            right &= marks
                .to_le_bytes()
                .iter()
                .filter(|mark| **mark != 0)
                .count()
                == free - 1;
            filled += free - 1;
            for (at, (place, word)) in group.iter_mut().zip(saved).enumerate() {
                let word = u64::from_le_bytes(*word);
                *place.get_mut() = word;
                let known = (word as u32 as usize) < end;
                right &= known | (at == 0) | (at >= free);
            }
        }
        part.len = count;
        match right && filled == count && count <= most(all) {
            true => Ok(Index {
                part,
                filled: Filled::default(),
            }),
            false => Err(WRONG),
        }
    }
}

/// No table that could have come about.
const WRONG: Invalid = Invalid("a hash table is not valid");

impl Drop for Index {
    fn drop(&mut self) {
        self.give_back();
    }
}
