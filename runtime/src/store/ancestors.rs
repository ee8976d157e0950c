//! The ancestors of all entities as ascending lists, to walk, and as buckets, to ask.

use cedarjit_ir::abi::{AncestorBucket, BucketSearch, EntityHeader, HASH_FACTOR, NO_ANCESTOR};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;

/// How many multipliers are tried before an entity gets twice as many buckets.
const MULTIPLIERS: u32 = 16;

/// How many times that happens before the ancestors are refused.
const DOUBLINGS: u32 = 8;

/// The ancestors of the entities of a store, to walk.
#[derive(Clone, Debug, Default)]
pub(super) struct AncestorLists {
    /// Ascending within each entity's range.
    lists: Vec<u32>,
    /// By entity id; entities beyond the end have no ancestors.
    ranges: Vec<(u32, u32)>,
}

impl AncestorLists {
    /// Stores one entity's ancestors, which are sorted in place.
    pub(super) fn add(&mut self, id: EntityId, own: &mut [u32]) -> Result<(), CapacityError> {
        if own.is_empty() {
            return Ok(());
        }
        own.sort_unstable();
        let start = table_index(self.lists.len())?;
        self.lists.extend_from_slice(own);
        let end = table_index(self.lists.len())?;
        if self.ranges.len() <= id.index() {
            self.ranges.resize(id.index() + 1, (0, 0));
        }
        if let Some(range) = self.ranges.get_mut(id.index()) {
            *range = (start, end);
        }
        Ok(())
    }

    /// The ancestors of an entity, ascending and without itself.
    #[inline]
    pub(super) fn of(&self, id: EntityId) -> &[u32] {
        let (start, end) = self.ranges.get(id.index()).copied().unwrap_or((0, 0));
        self.lists.get(start as usize..end as usize).unwrap_or(&[])
    }
}

/// Puts an entity's ancestors into buckets, and gives the header's fields for them.
///
/// As few buckets, a power of two, as eight places in each suffice for. The first of all buckets is
/// that of entities without ancestors.
pub(super) fn add_buckets(
    buckets: &mut Vec<AncestorBucket>,
    own: &[u32],
) -> Result<(u32, BucketSearch), CapacityError> {
    if own.is_empty() {
        return Ok((0, BucketSearch::ONE));
    }
    let start = buckets.len();
    let first = table_index(start)?;
    let fewest = own.len().div_ceil(8).next_power_of_two().trailing_zeros();
    for bits in fewest..=fewest + DOUBLINGS {
        for i in 1..=MULTIPLIERS {
            let search = BucketSearch::new(bits, i.wrapping_mul(HASH_FACTOR));
            buckets.resize(start + (1 << bits), AncestorBucket::EMPTY);
            let fits = own.iter().all(|id| {
                let bucket = start + search.bucket(EntityId(*id));
                buckets.get_mut(bucket).is_some_and(|b| put(b, *id))
            });
            if fits {
                return Ok((first, search));
            }
            buckets.truncate(start);
        }
    }
    Err(CapacityError {
        what: "ancestors with colliding ids",
        limit: 8 << DOUBLINGS,
    })
}

/// Whether the entity with this header has an ancestor. O(1).
#[inline]
pub(super) fn contains(
    buckets: &[AncestorBucket],
    header: &EntityHeader,
    ancestor: EntityId,
) -> bool {
    let bucket = header.ancestors as usize + header.search.bucket(ancestor);
    buckets
        .get(bucket)
        .is_some_and(|b| b.0.contains(&ancestor.0))
}

/// Puts an id in a free place; `false` if there is none.
fn put(bucket: &mut AncestorBucket, id: u32) -> bool {
    let free = bucket.0.iter_mut().find(|place| **place == NO_ANCESTOR);
    free.map(|place| *place = id).is_some()
}

/// A table's length or position as the 32 bits that headers have for it.
fn table_index(index: usize) -> Result<u32, CapacityError> {
    u32::try_from(index).map_err(|_| CapacityError {
        what: "ancestors of entities",
        limit: u64::from(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::missing;

    fn header(buckets: &mut Vec<AncestorBucket>, own: &[u32]) -> EntityHeader {
        let (ancestors, search) = add_buckets(buckets, own).unwrap();
        EntityHeader {
            ancestors,
            search,
            ..missing(0)
        }
    }

    #[test]
    fn every_ancestor_is_found_and_nothing_else() {
        let mut buckets = vec![AncestorBucket::EMPTY];
        let mut lists = AncestorLists::default();
        for n in [0_u32, 1, 7, 8, 9, 40, 300, 5000] {
            let mut own: Vec<u32> = (0..n).map(|i| 3 * i + n).rev().collect();
            lists.add(EntityId(n), &mut own).unwrap();
            let header = header(&mut buckets, &own);
            assert_eq!(lists.of(EntityId(n)), own);
            for id in 0..16_000 {
                let found = contains(&buckets, &header, EntityId(id));
                assert_eq!(found, own.binary_search(&id).is_ok(), "{id} of {n}");
            }
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
        let mut buckets = vec![AncestorBucket::EMPTY];
        let header = header(&mut buckets, &own);
        assert!(buckets.len() <= 1 + 512, "{}", buckets.len());
        let has = |header, id| contains(&buckets, header, EntityId(id));
        assert!(own.iter().all(|id| has(&header, *id)));
        assert!(!has(&header, own[499] + 1));
        assert!(!has(&missing(0), own[0]));
    }
}
