//! The entities of a store as bytes.
//!
//! Entities with the same parents and ancestors share a *row* of the hierarchy, which is checked
//! once: that its ancestors are its parents and theirs, and nothing else. Bloom words, buckets and
//! what the scope index needs are made anew.

use super::Store;
use super::tags::TagTable;
use cedarjit_ir::abi::{BucketSearch, EntityHeader, missing_entity};
use cedarjit_ir::arena::Words;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::headers::HeaderTable;
use cedarjit_ir::heap::{Heap, HeapRef, Objects};
use cedarjit_ir::ids::{EntityId, StrId};
use cedarjit_ir::interner::Interner;
use cedarjit_ir::saved::{Input, Invalid, Output};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_ir::value::{Tag, Value};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::ops::Range;

/// In place of how many parents there are: all ancestors are.
const ALL: u32 = u32::MAX;

/// The parts of a store.
#[derive(Debug, Default)]
pub(crate) struct StoreTables<T> {
    pub(crate) shapes: T,
    pub(crate) values: T,
    pub(crate) hierarchy: T,
    pub(crate) entities: T,
    pub(crate) tags: T,
}

/// Parents and ancestors that entities have.
struct Row {
    /// What its entities' headers say about them.
    header: EntityHeader,
    /// Where the ancestors and the parents are among all numbers.
    ancestors: Range<usize>,
    parents: Range<usize>,
}

impl Store {
    /// Writes everything but what follows from it.
    pub(crate) fn save(&self, out: &mut StoreTables<Output>) {
        self.shapes.save(&mut out.shapes);
        self.heap().save(&mut out.values);
        let mut rows: HashMap<Vec<u32>, u32, RandomState> = HashMap::default();
        let mut numbers = Output::default();
        let mut count = 0;
        out.entities.count(self.headers().len());
        for (id, header) in (0..).map(EntityId).zip(self.headers().iter()) {
            if header.attrs == 0 {
                (0..3).for_each(|_| out.entities.number(0));
                continue;
            }
            let (ancestors, parents) = (self.ancestors_of(id).sorted(), self.parents_of(id));
            let all = parents.len() == ancestors.len();
            let mut row = vec![header.search.0, ancestors.len() as u32];
            row.push(if all { ALL } else { parents.len() as u32 });
            row.extend(ancestors.iter().map(|id| id.0));
            if !all {
                row.extend(parents.iter().map(|id| id.0));
            }
            let number = match ancestors.is_empty() {
                true => 0,
                false => *rows.entry(row).or_insert_with_key(|row| {
                    row.iter().for_each(|number| numbers.number(*number));
                    count += 1;
                    count
                }),
            };
            let tags = self.tags(id);
            out.entities.number(header.attrs);
            out.entities.number(number);
            out.entities.number(tags.len() as u32);
            for (key, value) in tags.iter() {
                out.tags
                    .word(u64::from(key.0) | u64::from(value.tag as u8) << 32);
                out.tags.word(value.word);
            }
        }
        out.hierarchy.count(count as usize);
        out.hierarchy.bytes(numbers.as_bytes());
    }

    /// Reads what [`save`](Self::save) wrote, for the entities of `interner`.
    pub(crate) fn load(
        input: StoreTables<Input<'_>>,
        interner: &Interner,
    ) -> Result<Self, Invalid> {
        let StoreTables {
            mut shapes,
            mut values,
            hierarchy,
            mut entities,
            tags,
        } = input;
        let count = entities.count(12)?;
        if count != interner.entity_count() {
            return Err(Invalid("there are not as many entities as uids"));
        }
        let table = ShapeTable::load(&mut shapes, interner.str_count())?;
        shapes.end()?;
        let mut heap = Heap::load(&mut values)?;
        values.end()?;
        let objects = heap.check(&table, interner.str_count(), count)?;
        let mut store = Self::empty(&Interner::new());
        store.identity = interner.identity();
        let rows = entities.bytes(count.saturating_mul(12))?;
        entities.end()?;
        let entities = Entities(rows.as_chunks().0);
        let mut reader = Reader {
            store: &mut store,
            interner,
            objects: &objects,
            entities: &entities,
        };
        let rows = reader.rows(hierarchy)?;
        reader.headers(&rows, tags)?;
        let starts = objects.into_starts();
        heap.index(&starts)?;
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
fn fields(entity: &[u8; 12]) -> [u32; 3] {
    let mut fields = [0; 3];
    for (field, bytes) in fields.iter_mut().zip(entity.as_chunks().0) {
        *field = u32::from_le_bytes(*bytes);
    }
    fields
}

impl Entities<'_> {
    fn row(&self, entity: u32) -> usize {
        let entity = self.0.get(entity as usize);
        entity.map_or(0, |entity| fields(entity)[1] as usize)
    }
}

struct Reader<'a> {
    store: &'a mut Store,
    interner: &'a Interner,
    objects: &'a Objects<'a>,
    entities: &'a Entities<'a>,
}

impl Reader<'_> {
    /// The rows of the hierarchy, after one for entities that are in nothing.
    fn rows(&mut self, mut input: Input<'_>) -> Result<Vec<Row>, Invalid> {
        let invalid = Invalid("parents or ancestors are not ascending entities");
        let count = input.count(16)?;
        let mut rows = Vec::with_capacity(count + 1);
        rows.push(Row {
            header: missing_entity(0),
            ancestors: 0..0,
            parents: 0..0,
        });
        let mut numbers: Vec<u32> = Vec::new();
        let known = self.interner.entity_count();
        let valid = |list: &[u32]| {
            list.is_sorted_by(|a, b| a < b) && list.last().is_none_or(|id| (*id as usize) < known)
        };
        for _ in 0..count {
            let search = BucketSearch(input.number()?);
            let (ancestors, parents) = (input.number()?, input.number()?);
            let mut list = |len: u32| -> Result<Range<usize>, Invalid> {
                let read = input.numbers(len as usize)?.iter();
                let start = numbers.len();
                numbers.extend(read.map(|id| u32::from_le_bytes(*id)));
                Ok(start..numbers.len())
            };
            let ancestors = list(ancestors)?;
            let parents = match parents {
                ALL => ancestors.clone(),
                parents => list(parents)?,
            };
            let own = numbers.get(ancestors.clone()).unwrap_or(&[]).to_vec();
            let mut direct = numbers.get(parents.clone()).unwrap_or(&[]).to_vec();
            if own.is_empty() || !valid(&own) || !valid(&direct) {
                return Err(invalid);
            }
            let likely = EntityHeader {
                search,
                ..missing_entity(0)
            };
            let header = (self.store)
                .hierarchy(likely, &own, &mut direct)
                .map_err(|_| Invalid("there are too many ancestors"))?;
            rows.push(Row {
                header,
                ancestors,
                parents,
            });
        }
        input.end()?;
        self.check_closed(&rows, &numbers)?;
        Ok(rows)
    }

    /// Checks that ancestors are the parents and their ancestors, and that nothing is in itself.
    fn check_closed(&self, rows: &[Row], numbers: &[u32]) -> Result<(), Invalid> {
        let invalid = Invalid("ancestors are not the parents and what these are in");
        let list = |range: &Range<usize>| numbers.get(range.clone()).unwrap_or(&[]);
        // For each entity the last row that it is an ancestor of, twice, and one more once it was
        // found as that; for each row the last one of whose parents one is in it.
        let mut marks = vec![0_u32; self.entities.0.len()];
        let mut seen = vec![0_u32; rows.len()];
        for (number, row) in (0_u32..).zip(rows).skip(1) {
            let ancestors = list(&row.ancestors);
            for id in ancestors {
                if let Some(mark) = marks.get_mut(*id as usize) {
                    *mark = 2 * number;
                }
            }
            let mut found = 0;
            let mut find = |id: &u32| match marks.get_mut(*id as usize) {
                Some(mark) if *mark | 1 == 2 * number + 1 => {
                    found += usize::from(*mark == 2 * number);
                    *mark = 2 * number + 1;
                    true
                }
                _ => false,
            };
            for parent in list(&row.parents) {
                let above = self.entities.row(*parent);
                let known = seen.get_mut(above).ok_or(invalid)?;
                let again = std::mem::replace(known, number) == number;
                let above = rows.get(above).map_or(&[][..], |row| list(&row.ancestors));
                if !find(parent) || !(again || above.iter().all(&mut find)) {
                    return Err(invalid);
                }
            }
            if found != ancestors.len() {
                return Err(invalid);
            }
        }
        for (id, entity) in (0_u32..).zip(self.entities.0) {
            let row = rows.get(fields(entity)[1] as usize).ok_or(invalid)?;
            if list(&row.ancestors).binary_search(&id).is_ok() {
                return Err(Invalid("an entity is in itself"));
            }
        }
        Ok(())
    }

    /// The headers of all entities, and their tags.
    fn headers(&mut self, rows: &[Row], mut tags: Input<'_>) -> Result<(), Invalid> {
        let mut headers = HeaderTable::new();
        // Of entities without tags.
        let mut words = vec![0];
        let mut existing = 0;
        for (id, entity) in (0_u32..).map(EntityId).zip(self.entities.0) {
            let ty = self.interner.entity(id).map_or(0, |(ty, _)| ty.0);
            let [attrs, row, count] = fields(entity);
            if attrs == 0 {
                if row != 0 || count != 0 {
                    return Err(Invalid("an entity that does not exist has parents or tags"));
                }
                headers.push(missing_entity(ty));
                continue;
            }
            let row = rows.get(row as usize);
            let row = row.ok_or(Invalid("an entity has no row of the hierarchy"))?;
            let record = HeapRef(attrs);
            if !self.objects.is_record(record) {
                return Err(Invalid("the attributes of an entity are no record"));
            }
            let shape = self.objects.shape(record);
            if planted(Fault::SavedEmptyMissing) && shape == EMPTY_SHAPE {
                headers.push(missing_entity(ty));
                continue;
            }
            existing += 1;
            headers.push(EntityHeader {
                attrs,
                shape: shape.0,
                ty,
                tags: self.tags(count, &mut tags, &mut words)?,
                ..row.header
            });
        }
        tags.end()?;
        self.store.existing = existing;
        self.store.memory_mut().headers = headers;
        self.store.tags = TagTable(Words::of(words.len(), words));
        Ok(())
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
