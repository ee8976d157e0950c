//! Record shapes: which attribute names a record or an entity has.

use crate::ids::{ShapeId, StrId};
use crate::interner::{CapacityError, MAX_IDS};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// The shape without attributes, present in every [`ShapeTable`].
pub const EMPTY_SHAPE: ShapeId = ShapeId(0);

/// Distinct attribute-name sets as dense ids.
#[derive(Clone, Debug)]
pub struct ShapeTable {
    /// The names of all shapes, one shape after the other.
    names: Vec<StrId>,
    /// End offset of each shape; shape `i` starts where `i - 1` ends.
    ends: Vec<usize>,
    /// Without the empty shape.
    index: HashTable<u32>,
    seed: RandomState,
}

impl Default for ShapeTable {
    fn default() -> Self {
        Self::new()
    }
}

impl ShapeTable {
    /// A table that holds [`EMPTY_SHAPE`] alone.
    pub fn new() -> Self {
        Self {
            names: Vec::new(),
            ends: vec![0],
            index: HashTable::new(),
            seed: RandomState::default(),
        }
    }

    /// The shape with exactly these attribute names, which must be in ascending order and
    /// distinct, if it is known.
    pub fn find(&self, attrs: &[StrId]) -> Option<ShapeId> {
        if attrs.is_empty() {
            return Some(EMPTY_SHAPE);
        }
        self.find_hashed(self.seed.hash_one(attrs), attrs)
    }

    fn find_hashed(&self, hash: u64, attrs: &[StrId]) -> Option<ShapeId> {
        self.index
            .find(hash, |&i| self.get(i as usize) == attrs)
            .map(|&i| ShapeId(i))
    }

    /// The shape with exactly these attribute names, which must be in ascending order and
    /// distinct, added if it is new.
    ///
    /// # Errors
    /// When the table is full.
    pub fn intern(&mut self, attrs: &[StrId]) -> Result<ShapeId, CapacityError> {
        debug_assert!(attrs.is_sorted_by(|a, b| a < b));
        if attrs.is_empty() {
            return Ok(EMPTY_SHAPE);
        }
        let hash = self.seed.hash_one(attrs);
        if let Some(found) = self.find_hashed(hash, attrs) {
            return Ok(found);
        }
        let new = self.ends.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "record shapes",
                limit: MAX_IDS as u64,
            });
        }
        self.names.extend_from_slice(attrs);
        self.ends.push(self.names.len());
        let (names, ends, seed) = (&self.names, &self.ends, &self.seed);
        self.index.insert_unique(hash, new as u32, |&i| {
            seed.hash_one(slice(names, ends, i as usize))
        });
        Ok(ShapeId::from_index(new))
    }

    /// The attribute names of a shape, ascending; empty for a shape not given out here.
    #[inline]
    pub fn attrs(&self, shape: ShapeId) -> &[StrId] {
        self.get(shape.index())
    }

    #[inline]
    fn get(&self, index: usize) -> &[StrId] {
        slice(&self.names, &self.ends, index)
    }

    /// How many shapes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no shape; never true, [`EMPTY_SHAPE`] always exists.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets every shape but the empty one, and keeps the memory.
    pub fn clear(&mut self) {
        self.names.clear();
        self.ends.truncate(1);
        self.index.clear();
    }
}

/// The names that end at the `index`-th of `ends`; none if there is no such end.
#[inline]
fn slice<'a>(names: &'a [StrId], ends: &[usize], index: usize) -> &'a [StrId] {
    let end = ends.get(index).copied().unwrap_or(0);
    let start = match index {
        0 => 0,
        _ => ends.get(index - 1).copied().unwrap_or(end),
    };
    names.get(start..end).unwrap_or(&[])
}
