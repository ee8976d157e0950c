//! The entities of a store as bytes.
//!
//! Entities with the same parents and ancestors share a *row* of the hierarchy, which is checked
//! once: that its ancestors are its parents and theirs, and nothing else. Bloom words, buckets and
//! what the scope index needs are made anew.

mod hierarchy;

use super::Store;
use super::tags::TagTable;
use cedarjit_ir::abi::{EntityHeader, missing_entity};
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
use hierarchy::Hierarchy;
use std::thread;

/// In place of how many parents there are: all ancestors are.
const ALL: u32 = u32::MAX;

/// Of a file with fewer entities, all is read by one thread.
pub(crate) const THREADED: usize = 10_000;

/// The parts of a store.
#[derive(Debug, Default)]
pub(crate) struct StoreTables<T> {
    pub(crate) shapes: T,
    pub(crate) values: T,
    pub(crate) hierarchy: T,
    pub(crate) entities: T,
    pub(crate) tags: T,
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
        let hierarchy = Hierarchy::read(hierarchy, count)?;
        let starts = thread::scope(|scope| {
            let check = || hierarchy.check(&entities);
            let other = (count >= THREADED)
                .then(|| thread::Builder::new().spawn_scoped(scope, check).ok())
                .flatten();
            let rows = hierarchy.add_to(&mut store)?;
            let mut reader = Reader {
                store: &mut store,
                interner,
                objects: &objects,
                entities: &entities,
            };
            reader.headers(&rows, tags)?;
            match other.map(thread::ScopedJoinHandle::join) {
                Some(Ok(checked)) => checked?,
                // There was no thread to be had, or none was wanted.
                _ => check()?,
            }
            Ok(objects.into_starts())
        })?;
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
    /// The headers of all entities, and their tags.
    fn headers(&mut self, rows: &[EntityHeader], mut tags: Input<'_>) -> Result<(), Invalid> {
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
                ..*row
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
