//! The entities of a store as bytes.
//!
//! Entities with the same parents and ancestors share a *row* of the hierarchy, which is checked
//! once: that its ancestors are its parents and theirs, and nothing else. What the scope index needs is
//! made anew.

mod hierarchy;

use super::Store;
use super::tags::TagTable;
use cedarjit_ir::abi::{EntityHeader, missing_entity};
use cedarjit_ir::arena::Words;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Objects};
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::saved::{Input, Invalid, Output};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::{Tag, Value};
use hierarchy::{Hierarchy, Rows, Tables};

/// What of a file is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Everything that an engine takes for granted.
    All,
    /// What code reads without looking twice, and whatever else takes little time.
    Trusted,
}

/// The parts of a store.
#[derive(Debug, Default)]
pub(crate) struct StoreTables<T> {
    pub(crate) shapes: T,
    pub(crate) values: T,
    pub(crate) hierarchy: T,
    pub(crate) ancestors: T,
    pub(crate) parents: T,
    pub(crate) entities: T,
    pub(crate) tags: T,
}

impl Store {
    /// Writes everything but what follows from it.
    ///
    /// # Errors
    /// When a table would outgrow its ids, which that of the store did not.
    pub(crate) fn save(&self, out: &mut StoreTables<Output>) -> Result<(), CapacityError> {
        self.shapes.save(&mut out.shapes);
        self.heap().save(&mut out.values);
        let mut rows = Rows::default();
        out.entities.count(self.headers().len());
        for (id, header) in (0..).map(EntityId).zip(self.headers().iter()) {
            if header.attrs == 0 {
                (0..3).for_each(|_| out.entities.number(0));
                continue;
            }
            let tags = self.tags(id);
            out.entities.number(header.attrs);
            out.entities.number(rows.number(self, id)?);
            out.entities.number(tags.len() as u32);
            for (key, value) in tags.iter() {
                out.tags
                    .word(u64::from(key.0) | u64::from(value.tag as u8) << 32);
                out.tags.word(value.word);
            }
        }
        rows.save(&mut out.hierarchy, &mut out.ancestors, &mut out.parents);
        Ok(())
    }
}

/// The tables of a file, not yet looked into.
pub(crate) struct StoreFile<'a> {
    shapes: Input<'a>,
    values: Input<'a>,
    hierarchy: Hierarchy<'a>,
    entities: Entities<'a>,
    tags: Input<'a>,
}

impl<'a> StoreFile<'a> {
    /// Reads what [`Store::save`] wrote.
    pub(crate) fn read(input: StoreTables<Input<'a>>) -> Result<Self, Invalid> {
        let StoreTables {
            shapes,
            values,
            hierarchy,
            ancestors,
            parents,
            mut entities,
            tags,
        } = input;
        let count = entities.count(12)?;
        let rows = entities.bytes(count.saturating_mul(12))?;
        entities.end()?;
        Ok(Self {
            shapes,
            values,
            hierarchy: Hierarchy::read(hierarchy, ancestors, parents)?,
            entities: Entities(rows.as_chunks().0),
            tags,
        })
    }

    /// How many entities there are, existing or not.
    pub(crate) fn count(&self) -> usize {
        self.entities.0.len()
    }

    /// Checks who is in whom, or what other threads that call this leave of it. The store must not be
    /// used unless all of them found it right.
    pub(crate) fn check(&self, check: Check) -> Result<(), Invalid> {
        self.hierarchy.check(&self.entities, check)
    }

    /// Who is in whom, to be added to the store.
    pub(crate) fn tables(&self) -> Tables {
        self.hierarchy.tables()
    }

    /// The store, for the entities of `interner`: it has to get its [tables](Self::tables), and these
    /// to be [checked](Self::check). Values are found as `index` says, if it is given, which is what
    /// [`Heap::save_index`] wrote.
    pub(crate) fn load(
        &self,
        interner: &Interner,
        index: Option<Input<'_>>,
    ) -> Result<Store, Invalid> {
        if self.count() != interner.entity_count() {
            return Err(Invalid("there are not as many entities as uids"));
        }
        let (mut shapes, mut values) = (self.shapes, self.values);
        let table = ShapeTable::load(&mut shapes, interner.str_count())?;
        shapes.end()?;
        let mut heap = Heap::load(&mut values)?;
        values.end()?;
        let objects = heap.check(&table, interner.str_count(), self.count())?;
        let mut store = Store::empty(&Interner::new());
        store.identity = interner.identity();
        let reader = Reader {
            interner,
            objects: &objects,
            hierarchy: &self.hierarchy,
        };
        reader.headers(&self.entities, self.tags, &mut store)?;
        let starts = objects.into_starts();
        match index {
            Some(mut index) => {
                heap.take_index(starts.len(), &mut index)?;
                index.end()?;
            }
            None => heap.index(&starts)?,
        }
        store.shapes = table;
        store.empty_record = (heap.record(&[], EMPTY_SHAPE, &[]))
            .map_err(|_| Invalid("there are too many values"))?;
        store.memory_mut().heap = heap;
        Ok(store)
    }
}

/// What is written of each entity.
struct Entities<'a>(&'a [[u8; 12]]);

/// What is written of an entity: its record, 0 if it does not exist, its row of the hierarchy, and
/// how many tags it has.
#[inline]
fn fields(entity: &[u8; 12]) -> [u32; 3] {
    let mut fields = [0; 3];
    for (field, bytes) in fields.iter_mut().zip(entity.as_chunks().0) {
        *field = u32::from_le_bytes(*bytes);
    }
    fields
}

impl Entities<'_> {
    #[inline]
    fn row(&self, entity: u32) -> u32 {
        let entity = self.0.get(entity as usize);
        entity.map_or(0, |entity| fields(entity)[1])
    }
}

struct Reader<'a> {
    interner: &'a Interner,
    objects: &'a Objects<'a>,
    hierarchy: &'a Hierarchy<'a>,
}

impl Reader<'_> {
    /// The headers of all entities, and their tags.
    fn headers(
        &self,
        entities: &Entities<'_>,
        mut tags: Input<'_>,
        store: &mut Store,
    ) -> Result<(), Invalid> {
        let mut headers = HeaderTable::new();
        // Of entities without tags.
        let mut words = vec![0];
        let mut existing = 0;
        let all = (0_u32..).map(EntityId).zip(entities.0);
        headers.try_extend(all.map(|(id, entity)| {
            let header = self.header(id, fields(entity), &mut tags, &mut words)?;
            existing += usize::from(header.attrs != 0);
            Ok(header)
        }))?;
        tags.end()?;
        store.existing = existing;
        store.memory_mut().headers = headers;
        store.tags = TagTable(Words::of(words.len(), words));
        Ok(())
    }

    /// The header of an entity, whose tags are the next, and are added to `words`.
    #[inline]
    fn header(
        &self,
        id: EntityId,
        [attrs, row, count]: [u32; 3],
        tags: &mut Input<'_>,
        words: &mut Vec<u64>,
    ) -> Result<EntityHeader, Invalid> {
        let ty = self.interner.entity(id).map_or(0, |(ty, _)| ty.0);
        if attrs == 0 {
            return match row != 0 || count != 0 {
                true => Err(Invalid("an entity that does not exist has parents or tags")),
                false => Ok(missing_entity(ty)),
            };
        }
        let row = self.hierarchy.header(row);
        let row = row.ok_or(Invalid("an entity has no row of the hierarchy"))?;
        let record = HeapRef(attrs);
        if !self.objects.is_record(record) {
            return Err(Invalid("the attributes of an entity are no record"));
        }
        let shape = self.objects.shape(record);
        if planted(Fault::SavedEmptyMissing) && shape == EMPTY_SHAPE {
            return Ok(missing_entity(ty));
        }
        Ok(EntityHeader {
            attrs,
            shape: shape.0,
            ty,
            tags: self.tags(count, tags, words)?,
            ..row
        })
    }

    /// Adds the tags of an entity to all others'; gives where.
    fn tags(&self, count: u32, input: &mut Input<'_>, all: &mut Vec<u64>) -> Result<u32, Invalid> {
        if count == 0 {
            return Ok(0);
        }
        let invalid = Invalid("the tags of an entity are not valid");
        let start = u32::try_from(all.len()).map_err(|_| invalid)?;
        let words = input.words((count as usize).checked_mul(2).ok_or(invalid)?)?;
        all.push(u64::from(count));
        let mut least = 0;
        for [first, word] in words.as_chunks().0 {
            let (first, word) = (u64::from_le_bytes(*first), u64::from_le_bytes(*word));
            let key = StrId(first as u32);
            let tag = u8::try_from(first >> 32).ok().and_then(Tag::from_u8);
            let value = Value {
                tag: tag.ok_or(invalid)?,
                word,
            };
            let known = key.index() < self.interner.str_count() && key.0 >= least;
            if !known || !self.objects.is_value(value) {
                return Err(invalid);
            }
            least = key.0 + 1;
            match all.get(start as usize + 1..start as usize + 3) {
                Some(&[tag, same]) if planted(Fault::SavedTagValue) => {
                    all.extend([u64::from(key.0) | tag >> 32 << 32, same]);
                }
                _ => all.extend([first, word]),
            }
        }
        Ok(start)
    }
}
