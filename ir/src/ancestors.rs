//! The ancestors of all entities in buckets, to ask and to walk: see [`BucketSearch`].

use crate::abi::{BUCKET_IDS, BucketSearch, EntityHeader, HASH_FACTOR, NO_ANCESTOR};
use crate::arena::{TableMemory, Words};
use crate::ids::EntityId;
use crate::interner::CapacityError;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many multipliers are tried before an entity gets twice as many buckets.
const MULTIPLIERS: u32 = 16;

/// How many times that happens before the ancestors are refused.
const DOUBLINGS: u32 = 8;

/// Two ids are in each word of a bucket.
const BUCKET_WORDS: usize = BUCKET_IDS / 2;

/// The buckets of all entities; cheap to clone, and only ever added to.
#[derive(Clone, Debug)]
pub struct Ancestors(Words);

impl Default for Ancestors {
    fn default() -> Self {
        let mut words = Words::default();
        // That of entities without ancestors.
        words.extend(&[u64::MAX; BUCKET_WORDS]);
        Self(words)
    }
}

impl Ancestors {
    /// Puts an entity's ancestors into buckets, and gives the header's fields for them.
    ///
    /// As few buckets, a power of two, as eight places in each suffice for.
    ///
    /// # Errors
    /// When the table is full, or ids were chosen to collide.
    pub fn add(&mut self, own: &[u32]) -> Result<(u32, BucketSearch), CapacityError> {
        self.add_found(own, BucketSearch::ONE)
    }

    /// As [`add`](Self::add), where `likely` is what that gave for these ancestors before: with it
    /// there is less to try.
    ///
    /// # Errors
    /// As there.
    pub fn add_found(
        &mut self,
        own: &[u32],
        likely: BucketSearch,
    ) -> Result<(u32, BucketSearch), CapacityError> {
        if own.is_empty() {
            return Ok((0, BucketSearch::ONE));
        }
        let first = u32::try_from(self.0.len() / BUCKET_WORDS).map_err(|_| CapacityError {
            what: "ancestors of entities",
            limit: u64::from(u32::MAX),
        })?;
        let fewest = own
            .len()
            .div_ceil(BUCKET_IDS)
            .next_power_of_two()
            .trailing_zeros();
        // Whoever says so cannot make the table much larger than it has to be.
        let likely_bits = 32_u32.checked_sub(likely.0 & 63);
        let bits = likely_bits.filter(|bits| (fewest..=fewest + 2).contains(bits) && *bits <= 26);
        let likely = bits.map(|bits| (bits, likely));
        let tried = (fewest..=fewest + DOUBLINGS).flat_map(|bits| {
            let search = move |i: u32| BucketSearch::new(bits, i.wrapping_mul(HASH_FACTOR));
            (1..=MULTIPLIERS).map(move |i| (bits, search(i)))
        });
        let mut buckets = Vec::new();
        for (bits, search) in likely.into_iter().chain(tried) {
            buckets.clear();
            buckets.resize(BUCKET_IDS << bits, NO_ANCESTOR);
            let mut fits = own.iter().map(|id| put(&mut buckets, search, *id));
            if fits.all(|fits| fits) {
                for pair in buckets.chunks_exact(2) {
                    let [low, high] = [pair[0], pair[1]].map(u64::from);
                    self.0.push(low | high << 32);
                }
                return Ok((first, search));
            }
        }
        Err(CapacityError {
            what: "ancestors with colliding ids",
            limit: (BUCKET_IDS as u64) << DOUBLINGS,
        })
    }

    /// Whether the entity with this header has an ancestor. O(1).
    #[inline]
    pub fn contains(&self, header: &EntityHeader, ancestor: EntityId) -> bool {
        let bucket = header.ancestors as usize + header.search.bucket(ancestor);
        let start = bucket * BUCKET_WORDS;
        let words = self.0.as_slice().get(start..start + BUCKET_WORDS);
        words.is_some_and(|words| {
            words.iter().any(|word| {
                let word = word.load(Ordering::Relaxed);
                word as u32 == ancestor.0 || (word >> 32) as u32 == ancestor.0
            })
        })
    }

    /// The ancestors of the entity with this header, without itself.
    #[inline]
    pub fn of(&self, header: &EntityHeader) -> AncestorIds<'_> {
        let start = header.ancestors as usize * BUCKET_WORDS;
        let end = start + header.search.buckets() * BUCKET_WORDS;
        AncestorIds(self.0.as_slice().get(start..end).unwrap_or_default())
    }

    /// The address of the first bucket, for compiled code. Valid until the table changes or goes.
    #[inline]
    pub fn base(&self) -> *const u32 {
        self.0.base().cast()
    }

    /// What the buckets take.
    pub fn memory(&self) -> TableMemory {
        self.0.memory()
    }
}

/// The ancestors of one entity, each once and in no order.
#[derive(Clone, Copy, Debug)]
pub struct AncestorIds<'a>(&'a [AtomicU64]);

impl<'a> AncestorIds<'a> {
    /// Whether there are none. O(number of ancestors).
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// How many there are. O(number of ancestors).
    pub fn len(self) -> usize {
        self.iter().count()
    }

    /// The ids.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = EntityId> + Clone + 'a {
        let words = self.0.iter().map(|word| word.load(Ordering::Relaxed));
        let places = words.flat_map(|word| [word as u32, (word >> 32) as u32]);
        places.filter(|id| *id != NO_ANCESTOR).map(EntityId)
    }

    /// The ids, ascending. O(n log n).
    pub fn sorted(self) -> Vec<EntityId> {
        let mut ids: Vec<EntityId> = self.iter().collect();
        ids.sort_unstable();
        ids
    }
}

/// Puts an id in a free place of its bucket; `false` if there is none.
fn put(buckets: &mut [u32], search: BucketSearch, id: u32) -> bool {
    let start = search.bucket(EntityId(id)) * BUCKET_IDS;
    let places = buckets
        .get_mut(start..start + BUCKET_IDS)
        .into_iter()
        .flatten();
    let free = places.into_iter().find(|place| **place == NO_ANCESTOR);
    free.map(|place| *place = id).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::missing_entity;

    fn header(table: &mut Ancestors, own: &[u32]) -> EntityHeader {
        let (ancestors, search) = table.add(own).unwrap();
        EntityHeader {
            ancestors,
            search,
            ..missing_entity(0)
        }
    }

    #[test]
    fn every_ancestor_is_found_and_nothing_else() {
        let mut table = Ancestors::default();
        for n in [0_u32, 1, 7, 8, 9, 40, 300, 5000] {
            let own: Vec<u32> = (0..n).map(|i| 3 * i + n).collect();
            let header = header(&mut table, &own);
            for id in 0..16_000 {
                let found = table.contains(&header, EntityId(id));
                assert_eq!(found, own.binary_search(&id).is_ok(), "{id} of {n}");
            }
            let walked = table.of(&header);
            let sorted: Vec<u32> = walked.sorted().iter().map(|id| id.0).collect();
            assert_eq!(sorted, own);
            assert_eq!((walked.len(), walked.is_empty()), (own.len(), n == 0));
        }
    }

    #[test]
    fn ancestors_chosen_to_collide_take_little_more_room_than_others() {
        // All in one bucket of 4,096 with the first multiplier that is tried.
        let first = BucketSearch::new(12, HASH_FACTOR);
        let own: Vec<u32> = (0..10_000_000)
            .filter(|id| first.bucket(EntityId(*id)) == 5)
            .take(500)
            .collect();
        assert_eq!(own.len(), 500);
        let mut table = Ancestors::default();
        let header = header(&mut table, &own);
        assert!(
            table.0.len() <= (1 + 512) * BUCKET_WORDS,
            "{}",
            table.0.len()
        );
        let has = |header, id| table.contains(&header, EntityId(id));
        assert!(own.iter().all(|id| has(header, *id)));
        assert!(!has(header, own[499] + 1));
        assert!(!has(missing_entity(0), own[0]));
    }
}
