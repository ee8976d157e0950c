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
    shapes: Vec<Box<[StrId]>>,
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
        let mut table = Self {
            shapes: Vec::new(),
            index: HashTable::new(),
            seed: RandomState::default(),
        };
        // The first entry of an empty table cannot exceed its capacity.
        let _ = table.intern(&[]);
        table
    }

    /// The shape with exactly these attribute names, which must be in ascending order and
    /// distinct, if it is known.
    pub fn find(&self, attrs: &[StrId]) -> Option<ShapeId> {
        let hash = self.seed.hash_one(attrs);
        self.index
            .find(hash, |&i| &*self.shapes[i as usize] == attrs)
            .map(|&i| ShapeId(i))
    }

    /// The shape with exactly these attribute names, which must be in ascending order and
    /// distinct, added if it is new.
    ///
    /// # Errors
    /// When the table is full.
    pub fn intern(&mut self, attrs: &[StrId]) -> Result<ShapeId, CapacityError> {
        debug_assert!(attrs.is_sorted_by(|a, b| a < b));
        if let Some(found) = self.find(attrs) {
            return Ok(found);
        }
        let new = self.shapes.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "record shapes",
                limit: MAX_IDS as u64,
            });
        }
        self.shapes.push(attrs.into());
        let (shapes, seed) = (&self.shapes, &self.seed);
        self.index
            .insert_unique(seed.hash_one(attrs), new as u32, |&i| {
                seed.hash_one(&*shapes[i as usize])
            });
        Ok(ShapeId::from_index(new))
    }

    /// The attribute names of a shape, ascending; empty for a shape not given out here.
    #[inline]
    pub fn attrs(&self, shape: ShapeId) -> &[StrId] {
        self.shapes.get(shape.index()).map_or(&[], |s| s)
    }

    /// How many shapes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there is no shape; never true, [`EMPTY_SHAPE`] always exists.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// Forgets every shape but the empty one.
    pub fn clear(&mut self) {
        self.shapes.truncate(1);
        self.index.clear();
        if let Some(first) = self.shapes.first() {
            let hash = self.seed.hash_one(&**first);
            self.index.insert_unique(hash, 0, |_| hash);
        }
    }
}
