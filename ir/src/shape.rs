//! Record shapes: which attribute names a record or an entity has.

use crate::arena::TableMemory;
use crate::ids::{ShapeId, StrId};
use crate::interner::{CapacityError, MAX_IDS};
use crate::saved::{Input, Invalid, Output};
use foldhash::quality::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The shape without attributes, present in every [`ShapeTable`].
pub const EMPTY_SHAPE: ShapeId = ShapeId(0);

/// Distinct attribute-name sets as dense ids.
///
/// Cloning it is O(1). Adding to a table that a clone shares copies it, which is cheap: there are
/// few shapes.
#[derive(Clone, Debug)]
pub struct ShapeTable {
    shapes: Arc<Shapes>,
    /// How many there are, here because every evaluation asks.
    len: usize,
    seed: RandomState,
}

#[derive(Clone, Debug)]
struct Shapes {
    /// The names of all shapes, one shape after the other.
    names: Vec<StrId>,
    /// End offset of each shape; shape `i` starts where `i - 1` ends.
    ends: Vec<usize>,
    /// Without the empty shape.
    index: HashTable<u32>,
}

impl Default for ShapeTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Shapes {
    fn new() -> Self {
        Self {
            names: Vec::new(),
            ends: vec![0],
            index: HashTable::new(),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> &[StrId] {
        slice(&self.names, &self.ends, index)
    }
}

impl ShapeTable {
    /// A table that holds [`EMPTY_SHAPE`] alone.
    pub fn new() -> Self {
        Self {
            shapes: Arc::new(Shapes::new()),
            len: 1,
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
        let shapes = &*self.shapes;
        let found = shapes
            .index
            .find(hash, |&i| shapes.get(i as usize) == attrs);
        found.map(|&i| ShapeId(i))
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
        let new = self.len();
        if new >= MAX_IDS {
            return Err(CapacityError {
                what: "record shapes",
                limit: MAX_IDS as u64,
            });
        }
        let Shapes { names, ends, index } = Arc::make_mut(&mut self.shapes);
        names.extend_from_slice(attrs);
        ends.push(names.len());
        index.insert_unique(hash, new as u32, |&i| {
            self.seed.hash_one(slice(names, ends, i as usize))
        });
        self.len = ends.len();
        Ok(ShapeId::from_index(new))
    }

    /// The attribute names of a shape, ascending; empty for a shape not given out here.
    #[inline]
    pub fn attrs(&self, shape: ShapeId) -> &[StrId] {
        self.shapes.get(shape.index())
    }

    /// How many shapes there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no shape; never true, [`EMPTY_SHAPE`] always exists.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Forgets every shape but the empty one, and keeps the memory, if no clone shares it.
    pub fn clear(&mut self) {
        match Arc::get_mut(&mut self.shapes) {
            Some(Shapes { names, ends, index }) => {
                names.clear();
                ends.truncate(1);
                index.clear();
            }
            None => self.shapes = Arc::new(Shapes::new()),
        }
        self.len = 1;
    }

    /// Writes all shapes but the empty one.
    pub fn save(&self, out: &mut Output) {
        out.count(self.len() - 1);
        for shape in (1..self.len()).map(ShapeId::from_index) {
            let names = self.attrs(shape);
            out.count(names.len());
            for name in names {
                out.number(name.0);
            }
        }
    }

    /// Reads what [`save`](Self::save) wrote; `strings` is how many strings there are.
    ///
    /// # Errors
    /// When the bytes are nothing that `save` writes.
    pub fn load(input: &mut Input<'_>, strings: usize) -> Result<Self, Invalid> {
        let count = input.count(12)?;
        let mut table = Self::new();
        let mut names = Vec::new();
        for index in 1..=count {
            let len = input.count(4)?;
            names.clear();
            let read = input.numbers(len)?.iter();
            names.extend(read.map(|name| StrId(u32::from_le_bytes(*name))));
            if !names.is_sorted_by(|a, b| a < b)
                || names.last().is_none_or(|n| n.index() >= strings)
            {
                return Err(Invalid("a shape is not of ascending names"));
            }
            if table.intern(&names) != Ok(ShapeId::from_index(index)) {
                return Err(Invalid("a shape is there twice"));
            }
        }
        Ok(table)
    }

    /// What the table takes.
    pub fn memory(&self) -> TableMemory {
        let Shapes { names, ends, index } = &*self.shapes;
        TableMemory::of::<StrId>(names.len(), names.capacity())
            + TableMemory::of::<usize>(ends.len(), ends.capacity())
            + TableMemory {
                used: index.len() * size_of::<u32>(),
                reserved: index.allocation_size(),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_part_when_one_of_them_grows() {
        let names = |ids: &[u32]| ids.iter().map(|id| StrId(*id)).collect::<Vec<_>>();
        let mut table = ShapeTable::new();
        let a = table.intern(&names(&[1, 2])).unwrap();
        let mut clone = table.clone();
        assert!(Arc::ptr_eq(&table.shapes, &clone.shapes));
        let b = clone.intern(&names(&[3])).unwrap();
        assert_eq!(table.find(&names(&[3])), None);
        assert_eq!(table.intern(&names(&[4])).unwrap(), b);
        assert_eq!(clone.attrs(b), names(&[3]));
        assert_eq!(clone.intern(&names(&[1, 2])).unwrap(), a);
        let kept = table.clone();
        table.clear();
        assert_eq!((table.len(), kept.len()), (1, 3));
        assert_eq!(table.find(&names(&[1, 2])), None);
        assert_eq!(kept.attrs(a), names(&[1, 2]));
    }
}
