//! The ancestors of all entities in buckets, to ask and to walk: see [`BucketSearch`].

use crate::abi::{BUCKET_IDS, BucketSearch, EntityHeader, HASH_FACTOR, NO_ANCESTOR};
use crate::arena::{TableMemory, Words};
use crate::fault::{Fault, planted};
use crate::ids::EntityId;
use crate::interner::CapacityError;
use std::sync::atomic::{AtomicU64, Ordering};

mod saved;

pub use saved::{AncestorCheck, SavedAncestors, SavedBuckets};

/// How many multipliers are tried before an entity gets twice as many buckets.
const MULTIPLIERS: u32 = 16;

/// How many times that happens before the ancestors are refused.
const DOUBLINGS: u32 = 8;

/// Of so many bits are the numbers of eight buckets.
const FEW_BITS: u32 = 3;

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
        let mut counts = Vec::new();
        let spreads = |(bits, search): &(u32, BucketSearch)| match *bits <= FEW_BITS {
            true => spreads_over_few(own, *search),
            false => spreads_over(own, *bits, *search, &mut counts),
        };
        let found = likely.into_iter().chain(tried).find(spreads);
        let (bits, search) = found.ok_or(CapacityError {
            what: "ancestors with colliding ids",
            limit: (BUCKET_IDS as u64) << DOUBLINGS,
        })?;
        self.put(own, bits, search);
        Ok((first, search))
    }

    /// Puts ids into their buckets, all of which have room for them.
    fn put(&mut self, own: &[u32], bits: u32, search: BucketSearch) {
        let mut few = [[NO_ANCESTOR; BUCKET_IDS]; 1 << FEW_BITS];
        let mut few_taken = [0_u8; 1 << FEW_BITS];
        let (mut many, mut many_taken) = (Vec::new(), Vec::new());
        let (buckets, taken) = match few.get_mut(..1 << bits) {
            Some(buckets) => (buckets, few_taken.as_mut_slice()),
            None => {
                many.resize(1 << bits, [NO_ANCESTOR; BUCKET_IDS]);
                many_taken.resize(1 << bits, 0);
                (many.as_mut_slice(), many_taken.as_mut_slice())
            }
        };
        for id in own {
            let bucket = search.bucket(EntityId(*id));
            if let (Some(bucket), Some(taken)) = (buckets.get_mut(bucket), taken.get_mut(bucket)) {
                // How many are there is no branch, since nobody could predict it.
                bucket[usize::from(*taken) % BUCKET_IDS] = *id;
                *taken += 1;
            }
        }
        for bucket in buckets {
            let mut words = [0; BUCKET_WORDS];
            for (word, [low, high]) in words.iter_mut().zip(bucket.as_chunks().0) {
                *word = u64::from(*low) | u64::from(*high) << 32;
            }
            self.0.extend(&words);
        }
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

    /// The word that is walked first, to [read it ahead](crate::ahead).
    #[inline]
    pub fn first_word(self) -> Option<u64> {
        Some(self.0.first()?.load(Ordering::Relaxed))
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

/// Whether no bucket gets more ids than it has places for, of buckets whose numbers have
/// [`FEW_BITS`] at most: their counts are the bytes of a word.
fn spreads_over_few(own: &[u32], search: BucketSearch) -> bool {
    // No more ids than places come here, so that no count runs over into the next.
    let count = |counts: u64, id: &u32| counts + (1 << (8 * search.bucket(EntityId(*id))));
    let counts = own.iter().fold(0, count);
    // Added to a byte, gives the highest bit if that is more than eight.
    let room = 0x7f - (BUCKET_IDS as u8 + u8::from(planted(Fault::BucketOverfull)));
    let room = u64::from_ne_bytes([room; 8]);
    (counts + room) & 0x8080_8080_8080_8080 == 0
}

/// Whether none of the buckets, whose numbers have so many bits, gets more ids than it has places
/// for.
fn spreads_over(own: &[u32], bits: u32, search: BucketSearch, counts: &mut Vec<u8>) -> bool {
    counts.clear();
    counts.resize(1 << bits, 0);
    own.iter().all(|id| {
        let count = counts.get_mut(search.bucket(EntityId(*id)));
        count.is_some_and(|count| {
            *count += 1;
            usize::from(*count) <= BUCKET_IDS
        })
    })
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
