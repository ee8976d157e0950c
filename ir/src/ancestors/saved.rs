//! Buckets of ancestors as bytes.

use super::Ancestors;
use crate::abi::{BUCKET_BYTES, BUCKET_IDS, BucketSearch, NO_ANCESTOR, bloom_bit};
use crate::arena::Words;
use crate::ids::EntityId;
use crate::saved::{Input, Invalid, Output};

impl Ancestors {
    /// Writes all buckets.
    pub fn save(&self, out: &mut Output) {
        self.0.save(out);
    }
}

/// The buckets of a file.
#[derive(Clone, Copy, Debug)]
pub struct SavedBuckets<'a>(&'a [[u8; BUCKET_BYTES]]);

impl<'a> SavedBuckets<'a> {
    /// Reads what [`Ancestors::save`] wrote.
    ///
    /// # Errors
    /// When these are no buckets, or too many.
    pub fn read(mut input: Input<'a>) -> Result<Self, Invalid> {
        let (buckets, rest) = input.bytes(input.remaining())?.as_chunks();
        // That of entities without ancestors.
        let begins = buckets.first() == Some(&[u8::MAX; BUCKET_BYTES]);
        match begins && rest.is_empty() && u32::try_from(buckets.len()).is_ok() {
            true => Ok(Self(buckets)),
            false => Err(Invalid("the buckets of ancestors are not whole")),
        }
    }

    /// How many there are: at least one, and no more than 32 bits can say.
    pub fn count(self) -> usize {
        self.0.len()
    }

    /// The table of these buckets.
    pub fn table(self) -> Ancestors {
        let (words, _) = self.0.as_flattened().as_chunks();
        let read = words.iter().map(|word| u64::from_le_bytes(*word));
        Ancestors(Words::of(words.len(), read))
    }

    /// The ancestors in some of the buckets; `None` if there are no such buckets.
    #[inline]
    pub fn of(self, first: u32, search: BucketSearch) -> Option<SavedAncestors<'a>> {
        let first = first as usize;
        let buckets = self.0.get(first..first.checked_add(search.buckets())?)?;
        Some(SavedAncestors { buckets, search })
    }
}

/// The ancestors of one entity in a file.
#[derive(Clone, Copy, Debug)]
pub struct SavedAncestors<'a> {
    buckets: &'a [[u8; BUCKET_BYTES]],
    search: BucketSearch,
}

/// The ids in a bucket, [`NO_ANCESTOR`] where none is.
#[inline]
fn ids(bucket: &[u8; BUCKET_BYTES]) -> [u32; BUCKET_IDS] {
    let mut ids = [NO_ANCESTOR; BUCKET_IDS];
    for (id, bytes) in ids.iter_mut().zip(bucket.as_chunks().0) {
        *id = u32::from_le_bytes(*bytes);
    }
    ids
}

impl<'a> SavedAncestors<'a> {
    /// A number of each bucket, to [read them ahead](crate::ahead).
    #[inline]
    pub fn touched(self) -> impl Iterator<Item = u32> + 'a {
        self.buckets.iter().map(|bucket| ids(bucket)[0])
    }

    /// Whether all are among so many `known` entities.
    #[inline]
    pub fn are_among(self, known: usize) -> bool {
        // For free places 0, and else one more than the id.
        let next = |id: u32| id.wrapping_add(1);
        let all = self.buckets.iter().flat_map(ids);
        all.map(next).fold(0, u32::max) as usize <= known
    }

    /// Whether one of them is in the bucket where it is looked for.
    #[inline]
    pub fn contains(self, id: EntityId) -> bool {
        let bucket = self.buckets.get(self.search.bucket(id));
        bucket.is_some_and(|bucket| ids(bucket).contains(&id.0))
    }
}

/// Finds out whether the ancestors of one entity after the other are what they should be.
///
/// What an entity has is marked, and then what it should have is looked for among the marks: no branch
/// depends on which places of a bucket are free, since nobody could predict it.
#[derive(Debug)]
pub struct AncestorCheck {
    /// Two bits for each entity: [`OWN`] and [`EXPECTED`]. After them, words for free places.
    marks: Vec<u64>,
    known: usize,
    /// How many ancestors nobody has expected so far.
    left: usize,
    /// Whether every other condition holds.
    valid: bool,
}

/// The mark of what is an ancestor of the entity.
const OWN: u64 = 1;

/// The mark of what should be.
const EXPECTED: u64 = 2;

/// For how many entities a word has marks.
const MARKS: usize = u64::BITS as usize / 2;

impl AncestorCheck {
    /// Of ancestors among so many `known` entities.
    pub fn new(known: usize) -> Self {
        let mut marks = vec![0; known.div_ceil(MARKS)];
        marks.extend([OWN | EXPECTED; BUCKET_IDS]);
        Self {
            marks,
            known,
            left: 0,
            valid: true,
        }
    }

    /// The word with the marks of what is at this place of a bucket, and how far they are shifted. Free
    /// places have words of their own, one for each place, so that none waits for the one before.
    #[inline]
    fn marks(&mut self, place: usize, id: u32) -> Option<(&mut u64, u32)> {
        let known = (id as usize) < self.known;
        let free = self.marks.len() - BUCKET_IDS + place;
        let word = if known { id as usize / MARKS } else { free };
        let shift = if known { 2 * (id % MARKS as u32) } else { 0 };
        Some((self.marks.get_mut(word)?, shift))
    }

    /// Begins with an entity. The Bloom word of its ancestors.
    #[inline]
    pub fn start(&mut self, own: SavedAncestors<'_>) -> u64 {
        let (mut left, mut valid, mut bloom) = (0, true, 0);
        for (number, bucket) in own.buckets.iter().enumerate() {
            for (place, id) in ids(bucket).into_iter().enumerate() {
                let used = id != NO_ANCESTOR;
                let fits = own.search.bucket(EntityId(id)) == number;
                left += usize::from(used);
                bloom |= if used { bloom_bit(EntityId(id)) } else { 0 };
                let Some((marks, shift)) = self.marks(place, id) else {
                    continue;
                };
                // What is no known entity has the marks of a free place.
                valid &= !used | (fits & (*marks >> shift & (OWN | EXPECTED) == 0));
                *marks |= OWN << shift;
            }
        }
        (self.left, self.valid) = (left, valid && left != 0);
        bloom
    }

    /// This should be among its ancestors.
    #[inline]
    pub fn expect(&mut self, ancestor: EntityId) {
        self.note(0, ancestor.0);
    }

    /// All of these should be. What is no entity is found out when it is its turn to be checked.
    #[inline]
    pub fn expect_all(&mut self, ancestors: SavedAncestors<'_>) {
        for bucket in ancestors.buckets {
            for (place, id) in ids(bucket).into_iter().enumerate() {
                self.note(place, id);
            }
        }
    }

    #[inline]
    fn note(&mut self, place: usize, id: u32) {
        if let Some((marks, shift)) = self.marks(place, id) {
            let before = *marks >> shift & (OWN | EXPECTED);
            *marks |= EXPECTED << shift;
            self.valid &= before & OWN != 0;
            self.left -= usize::from(before == OWN);
        }
    }

    /// Whether the ancestors of the entity that was begun with are known entities, each once and in its
    /// bucket, and just what was expected.
    #[inline]
    pub fn end(&mut self, own: SavedAncestors<'_>) -> bool {
        for id in own.buckets.iter().flat_map(ids) {
            let word = id as usize / MARKS;
            // Free places keep their marks.
            let word = word.min(self.marks.len() - 1);
            let known = if (id as usize) < self.known {
                OWN | EXPECTED
            } else {
                0
            };
            if let Some(marks) = self.marks.get_mut(word) {
                *marks &= !(known << (2 * (id % MARKS as u32)));
            }
        }
        self.valid && self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::missing_entity;

    /// What is said of these ancestors where others are expected.
    fn said(own: &[u32], expected: &[u32], known: usize) -> Option<u64> {
        let mut table = Ancestors::default();
        let (above, above_search) = table.add(expected).unwrap();
        let (first, search) = table.add(own).unwrap();
        let mut out = Output::default();
        table.save(&mut out);
        let saved = SavedBuckets::read(Input::new(out.as_bytes())).unwrap();
        assert_eq!(saved.table().0.len(), table.0.len());
        let own = saved.of(first, search).unwrap();
        let mut check = AncestorCheck::new(known);
        // Nothing stays of what was checked before.
        let other = saved.of(above, above_search).unwrap();
        check.start(other);
        check.end(other);
        let bloom = check.start(own);
        match expected {
            [alone] => check.expect(EntityId(*alone)),
            _ => check.expect_all(saved.of(above, above_search).unwrap()),
        }
        check.end(own).then_some(bloom)
    }

    #[test]
    fn ancestors_are_just_those_that_are_expected() {
        for count in [1, 2, 8, 9, 40, 1000] {
            let own: Vec<u32> = (0..count).map(|i| 7 * i).collect();
            let bloom = own.iter().fold(0, |all, id| all | bloom_bit(EntityId(*id)));
            assert_eq!(said(&own, &own, 7000), Some(bloom));
            assert_eq!(said(&own, &own, 7 * count as usize - 7), None, "unknown");
            let (_, fewer) = own.split_last().unwrap();
            assert_eq!(said(&own, fewer, 7000), None, "one that was not expected");
            assert_eq!(said(fewer, &own, 7000), None, "one is missing");
            let mut others = own.clone();
            others[0] = 3;
            assert_eq!(said(&own, &others, 7000), None, "another one");
        }
    }

    #[test]
    fn what_is_twice_or_in_another_bucket_is_no_ancestor() {
        let mut table = Ancestors::default();
        let all: Vec<u32> = (0..9).collect();
        let (first, search) = table.add(&all).unwrap();
        let mut out = Output::default();
        table.save(&mut out);
        let header = crate::abi::EntityHeader {
            ancestors: first,
            search,
            ..missing_entity(0)
        };
        assert_eq!(table.of(&header).len(), all.len());
        let said = |bytes: &[u8]| {
            let saved = SavedBuckets::read(Input::new(bytes)).unwrap();
            let own = saved.of(first, search).unwrap();
            let mut check = AncestorCheck::new(9);
            check.start(own);
            all.iter().for_each(|id| check.expect(EntityId(*id)));
            check.end(own)
        };
        assert!(said(out.as_bytes()));
        let start = first as usize * BUCKET_BYTES;
        let (one, other) = (start..start + BUCKET_BYTES, start + BUCKET_BYTES);
        let mut exchanged = out.as_bytes().to_vec();
        exchanged.copy_within(one, other);
        exchanged.splice(
            start..other,
            out.as_bytes()[other..other + BUCKET_BYTES].to_vec(),
        );
        assert!(!said(&exchanged));
        let mut twice = out.as_bytes().to_vec();
        let free = twice[start..].chunks(4).position(|id| id == [u8::MAX; 4]);
        let free = start + 4 * free.unwrap();
        twice.copy_within(free - 4..free, free);
        assert!(!said(&twice));
    }

    #[test]
    fn buckets_are_read_whole_or_not_at_all() {
        let mut out = Output::default();
        Ancestors::default().save(&mut out);
        let bytes = out.as_bytes();
        let saved = SavedBuckets::read(Input::new(bytes)).unwrap();
        assert_eq!(saved.count(), 1);
        assert!(saved.of(0, BucketSearch::ONE).is_some());
        assert!(saved.of(1, BucketSearch::ONE).is_none());
        assert!(saved.of(0, BucketSearch::new(1, 3)).is_none());
        for bad in [&[], &bytes[1..], &[0; BUCKET_BYTES]] {
            assert!(SavedBuckets::read(Input::new(bad)).is_err());
        }
    }
}
