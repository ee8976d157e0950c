//! A hash table from hashes to ids.

use super::{Part, TableMemory};
use std::sync::atomic::Ordering;

/// The slots of the smallest table.
const LEAST: usize = 16;

/// How many of `slots` may be taken: more make looking up slow.
const fn most(slots: usize) -> usize {
    slots / 4 * 3
}

/// A hash table of ids that only grows and that is cheap to clone.
///
/// Open addressing. A slot holds the upper half of a hash and, below, an id and one more, so that 0
/// is free. The half hash says where to look, and so the table grows without hashing anything anew.
///
/// Ids must be added in ascending order. A look-up may meet ids that another clone added, beyond
/// those of this clone: whoever looks up compares keys, and takes what it does not have as
/// different.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    /// Its length counts entries.
    pub(super) part: Part,
    /// The slots that were filled since the tail was taken, to be freed if it is given back.
    filled: Filled,
}

/// Slots of one handle, which its clones do not get.
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

/// The part of a hash that the table keeps.
#[inline]
fn kept(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Where to look first for what has this hash, of which half is kept.
#[inline]
fn first(kept: u32, slots: usize) -> usize {
    ((u64::from(kept) * slots as u64) >> 32) as usize
}

/// Puts an entry into the first free slot for it, and says which.
#[inline]
fn put(part: &mut Part, entry: u64) -> usize {
    let slots = part.all();
    let mut at = first(kept(entry), slots.len());
    loop {
        let Some(slot) = slots.get(at) else {
            at = 0;
            continue;
        };
        if slot.load(Ordering::Relaxed) == 0 {
            slot.store(entry, Ordering::Relaxed);
            part.len += 1;
            return at;
        }
        at += 1;
    }
}

impl Index {
    /// The id with this hash that `same` says is the one. O(1).
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        let slots = self.part.all();
        let kept_hash = kept(hash);
        let mut at = first(kept_hash, slots.len());
        loop {
            let Some(slot) = slots.get(at) else {
                if slots.is_empty() {
                    return None;
                }
                at = 0;
                continue;
            };
            let entry = slot.load(Ordering::Relaxed);
            if entry == 0 {
                return None;
            }
            if kept(entry) == kept_hash {
                let id = entry as u32 - 1;
                if same(id) {
                    return Some(id);
                }
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
        let slot = put(
            &mut self.part,
            u64::from(kept(hash)) << 32 | (u64::from(id) + 1),
        );
        // In a block that nobody else sees, nothing has to be undone.
        if self.part.shared() != Some(0) {
            self.filled.0.push(slot as u32);
        }
    }

    /// The table of these ids, in ascending order, each under its hash. O(n) for the `count` ids that
    /// there are at most. `same` says whether two ids have equal keys; it is asked where hashes
    /// agree.
    ///
    /// `None` if some have.
    pub(crate) fn of(
        count: usize,
        ids: impl Iterator<Item = (u64, u32)>,
        mut same: impl FnMut(u32, u32) -> bool,
    ) -> Option<Self> {
        // As much room as there is on average in a table that has grown, and never none.
        let mut part = Part::new((3 * count / 2).max(LEAST));
        let slots = part.make_sole()?;
        let mut len = 0;
        for (hash, id) in ids.take(count) {
            let kept_hash = kept(hash);
            let mut at = first(kept_hash, slots.len());
            loop {
                let Some(slot) = slots.get_mut(at) else {
                    at = 0;
                    continue;
                };
                let slot = slot.get_mut();
                if *slot == 0 {
                    *slot = u64::from(kept_hash) << 32 | (u64::from(id) + 1);
                    break;
                }
                if kept(*slot) == kept_hash && same(*slot as u32 - 1, id) {
                    return None;
                }
                at += 1;
            }
            len += 1;
        }
        part.len = len;
        Some(Self {
            part,
            filled: Filled::default(),
        })
    }

    /// Goes on in a larger block of its own, with the entries below `end`.
    #[cold]
    fn move_to_own(&mut self, end: u32) {
        // Room for a third more than there is.
        let mut own = Part::new((7 * (self.part.len + 1) / 4).max(LEAST));
        for slot in self.part.all() {
            let entry = slot.load(Ordering::Relaxed);
            // The others are of handles that added to the block after this one had lost the tail.
            if entry != 0 && entry as u32 <= end {
                put(&mut own, entry);
            }
        }
        self.give_back();
        self.part = own;
    }

    /// Frees the slots that this handle filled and that no other sees.
    ///
    /// What was added before was put where these were not in the way, so it is found without them.
    fn give_back(&mut self) {
        if self.part.shared().is_some_and(|shared| shared != 0) {
            for slot in &self.filled.0 {
                if let Some(slot) = self.part.all().get(*slot as usize) {
                    slot.store(0, Ordering::Relaxed);
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
            Some(slots) if slots.len() <= 8 * used.max(LEAST) => {
                for slot in slots {
                    *slot.get_mut() = 0;
                }
                self.part.len = 0;
                self.filled.0.clear();
            }
            _ => *self = Self::default(),
        }
    }

    /// What the table takes.
    pub(crate) fn memory(&self) -> TableMemory {
        let filled = &self.filled.0;
        TableMemory::of::<u64>(self.part.len, self.part.all().len())
            + TableMemory::of::<u32>(filled.len(), filled.capacity())
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.give_back();
    }
}
