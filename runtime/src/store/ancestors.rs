//! The ancestors of all entities, twice: as ascending lists to walk, and as buckets to ask.

use cedarjit_ir::abi::{AncestorBucket, BucketSearch, EntityHeader, HASH_FACTOR, NO_ANCESTOR};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;

/// How many multipliers are tried before an entity gets twice as many buckets.
const MULTIPLIERS: u32 = 16;

/// How many times that happens before the ancestors are refused.
const DOUBLINGS: u32 = 8;

/// The ancestors of the entities of a store.
#[derive(Clone, Debug)]
pub(super) struct AncestorTable {
    /// Ascending within each entity's range.
    lists: Vec<u32>,
    /// By entity id; entities beyond the end have no ancestors.
    ranges: Vec<(u32, u32)>,
    buckets: Vec<AncestorBucket>,
}

impl AncestorTable {
    /// A table in which no entity has ancestors.
    pub(super) fn new() -> Self {
        Self {
            lists: Vec::new(),
            ranges: Vec::new(),
            // The first bucket is that of all entities without ancestors.
            buckets: vec![AncestorBucket::EMPTY],
        }
    }

    /// Stores one entity's ancestors and gives the header's fields for them.
    ///
    /// `own` is sorted in place. O(n log n), and O(n) buckets.
    pub(super) fn add(
        &mut self,
        id: EntityId,
        own: &mut [u32],
    ) -> Result<(u32, BucketSearch), CapacityError> {
        if own.is_empty() {
            return Ok((0, BucketSearch::ONE));
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
        let first = table_index(self.buckets.len())?;
        let search = self.add_buckets(own)?;
        Ok((first, search))
    }

    /// As few buckets, a power of two, as eight places in each suffice for.
    fn add_buckets(&mut self, own: &[u32]) -> Result<BucketSearch, CapacityError> {
        let start = self.buckets.len();
        let fewest = own.len().div_ceil(8).next_power_of_two().trailing_zeros();
        for bits in fewest..=fewest + DOUBLINGS {
            for i in 1..=MULTIPLIERS {
                let search = BucketSearch::new(bits, i.wrapping_mul(HASH_FACTOR));
                self.buckets
                    .resize(start + (1 << bits), AncestorBucket::EMPTY);
                let fits = own.iter().all(|id| {
                    let bucket = start + search.bucket(EntityId(*id));
                    self.buckets.get_mut(bucket).is_some_and(|b| put(b, *id))
                });
                if fits {
                    return Ok(search);
                }
                self.buckets.truncate(start);
            }
        }
        Err(CapacityError {
            what: "ancestors with colliding ids",
            limit: 8 << DOUBLINGS,
        })
    }

    /// The ancestors of an entity, ascending and without itself.
    #[inline]
    pub(super) fn of(&self, id: EntityId) -> &[u32] {
        let (start, end) = self.ranges.get(id.index()).copied().unwrap_or((0, 0));
        self.lists.get(start as usize..end as usize).unwrap_or(&[])
    }

    /// Whether the entity with this header has an ancestor. O(1).
    #[inline]
    pub(super) fn contains(&self, header: &EntityHeader, ancestor: EntityId) -> bool {
        let bucket = header.ancestors as usize + header.search.bucket(ancestor);
        self.buckets
            .get(bucket)
            .is_some_and(|b| b.0.contains(&ancestor.0))
    }

    /// All buckets, for compiled code.
    #[inline]
    pub(super) fn buckets(&self) -> &[AncestorBucket] {
        &self.buckets
    }
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

    fn header(table: &mut AncestorTable, id: u32, own: &mut [u32]) -> EntityHeader {
        let (ancestors, search) = table.add(EntityId(id), own).unwrap();
        EntityHeader {
            ancestors,
            search,
            ..missing(0)
        }
    }

    #[test]
    fn every_ancestor_is_found_and_nothing_else() {
        let mut table = AncestorTable::new();
        let mut headers = Vec::new();
        for n in [0_u32, 1, 7, 8, 9, 40, 300, 5000] {
            let mut own: Vec<u32> = (0..n).map(|i| 3 * i + n).rev().collect();
            headers.push((header(&mut table, n, &mut own), own));
        }
        for (header, own) in &headers {
            for id in 0..16_000 {
                let found = table.contains(header, EntityId(id));
                assert_eq!(
                    found,
                    own.binary_search(&id).is_ok(),
                    "{id} of {}",
                    own.len()
                );
            }
        }
        for (n, (_, own)) in [0_u32, 1, 7, 8, 9, 40, 300, 5000].into_iter().zip(&headers) {
            assert_eq!(table.of(EntityId(n)), own);
        }
    }

    #[test]
    fn ancestors_chosen_to_collide_take_little_more_room_than_others() {
        // All in one bucket of 4,096 with the first multiplier that is tried.
        let first = BucketSearch::new(12, HASH_FACTOR);
        let mut own: Vec<u32> = (0..10_000_000)
            .filter(|id| first.bucket(EntityId(*id)) == 5)
            .take(500)
            .collect();
        assert_eq!(own.len(), 500);
        let mut table = AncestorTable::new();
        let header = header(&mut table, 7, &mut own);
        assert!(
            table.buckets().len() <= 1 + 512,
            "{}",
            table.buckets().len()
        );
        assert!(own.iter().all(|id| table.contains(&header, EntityId(*id))));
        assert!(!table.contains(&header, EntityId(own[499] + 1)));
        assert!(!table.contains(&missing(0), EntityId(own[0])));
    }
}
