//! Who is in whom: rows with their buckets and lists as they are in memory, and the check that they
//! are closed.

use super::{Check, Entities};
use crate::store::Store;
use crate::store::parents::ParentLists;
use cedarjit_ir::abi::{BucketSearch, EntityHeader, missing_entity};
use cedarjit_ir::ahead::{ABREAST, touch};
use cedarjit_ir::ancestors::{AncestorCheck, Ancestors, SavedAncestors, SavedBuckets};
use cedarjit_ir::arena::{Lists, SavedList, SavedLists};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::CapacityError;
use cedarjit_ir::saved::{Input, Invalid, Output};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes of a row: its first bucket, how ancestors are found from there, the key of the list of
/// parents, the Bloom word.
const ROW: usize = 20;

/// How many rows, or entities, a thread checks before it looks for more.
const TURN: usize = 4096;

/// Not the ancestors that there should be.
const OPEN: Invalid = Invalid("ancestors are not the parents and what these are in");

/// The hierarchy of a store, with one row for all entities in the same, to be written.
#[derive(Debug, Default)]
pub(super) struct Rows {
    numbers: HashMap<Vec<u32>, u32, RandomState>,
    written: Output,
    ancestors: Ancestors,
    parents: Lists,
}

impl Rows {
    /// The number of an entity's row, which is added if there is none.
    pub(super) fn number(&mut self, store: &Store, id: EntityId) -> Result<u32, CapacityError> {
        let header = store.header(id);
        let ancestors: Vec<u32> = (store.ancestors_of(id).sorted().iter())
            .map(|id| id.0)
            .collect();
        if ancestors.is_empty() {
            return Ok(0);
        }
        let mut row = vec![header.search.0, ancestors.len() as u32];
        row.extend(&ancestors);
        let parents: Vec<u32> = store.parents_of(id).iter().map(|id| id.0).collect();
        row.extend(&parents);
        if planted(Fault::SavedRowsShared) {
            row.truncate(2);
        }
        if let Some(known) = self.numbers.get(&row) {
            return Ok(*known);
        }
        let (first, search) = self.ancestors.add_found(&ancestors, header.search)?;
        let parents = (self.parents.add(&parents)).ok_or(CapacityError {
            what: "parents of entities",
            limit: u64::from(Lists::MOST_WORDS),
        })?;
        self.written.number(first);
        self.written.number(search.0);
        self.written.number(parents);
        self.written.word(header.bloom);
        let number = self.numbers.len() as u32 + 1;
        self.numbers.insert(row, number);
        Ok(number)
    }

    /// Writes all rows, buckets and lists.
    pub(super) fn save(&self, rows: &mut Output, ancestors: &mut Output, parents: &mut Output) {
        rows.bytes(self.written.as_bytes());
        self.ancestors.save(ancestors);
        self.parents.save(parents);
    }
}

/// A row of a file.
#[derive(Clone, Copy)]
struct Row {
    first: u32,
    search: BucketSearch,
    parents: u32,
    bloom: u64,
}

#[inline]
fn parse(row: &[u8; ROW]) -> Row {
    let mut fields = [0; ROW / 4];
    for (field, bytes) in fields.iter_mut().zip(row.as_chunks().0) {
        *field = u32::from_le_bytes(*bytes);
    }
    let [first, search, parents, low, high] = fields;
    Row {
        first,
        search: BucketSearch(search),
        parents,
        bloom: u64::from(low) | u64::from(high) << 32,
    }
}

/// The hierarchy of a file. A row's number is one more than its position, since 0 says that an entity
/// is in nothing.
pub(super) struct Hierarchy<'a> {
    rows: &'a [[u8; ROW]],
    buckets: SavedBuckets<'a>,
    parents: SavedLists<'a>,
    /// How many turns of [checking](Self::check) were taken.
    turns: AtomicUsize,
}

impl<'a> Hierarchy<'a> {
    /// Reads what [`Rows::save`] wrote. Before it is [checked](Self::check), ids in it may be anything.
    pub(super) fn read(
        mut rows: Input<'a>,
        ancestors: Input<'a>,
        parents: Input<'a>,
    ) -> Result<Self, Invalid> {
        let invalid = Invalid("the buckets or the lists of parents do not follow one another");
        let (rows, rest) = rows.bytes(rows.remaining())?.as_chunks();
        let (buckets, parents) = (SavedBuckets::read(ancestors)?, SavedLists::read(parents)?);
        // The first bucket and the first list belong to no row.
        let (mut bucket, mut list) = (1, 1);
        for row in rows.iter().map(parse) {
            let search = BucketSearch::from_number(row.search.0).ok_or(invalid)?;
            let words = parents.get(row.parents).ok_or(invalid)?.words();
            let follows = words == 0 || row.parents as usize == list;
            if row.first as usize != bucket || !follows {
                return Err(invalid);
            }
            bucket += search.buckets();
            list += words;
        }
        match (bucket, list) == (buckets.count(), parents.words()) && rest.is_empty() {
            true => Ok(Self {
                rows,
                buckets,
                parents,
                turns: AtomicUsize::new(0),
            }),
            false => Err(invalid),
        }
    }

    /// The tables of a store.
    pub(super) fn tables(&self) -> Tables {
        Tables {
            ancestors: self.buckets.table(),
            parents: self.parents.table(),
        }
    }

    #[inline]
    fn row(&self, number: u32) -> Option<Row> {
        let position = (number as usize).checked_sub(1)?;
        self.rows.get(position).map(parse)
    }

    /// What the header of an entity with this row says about it; `None` if there is no such row.
    #[inline]
    pub(super) fn header(&self, number: u32) -> Option<EntityHeader> {
        if number == 0 {
            return Some(missing_entity(0));
        }
        let row = self.row(number)?;
        Some(EntityHeader {
            ancestors: row.first,
            search: row.search,
            bloom: row.bloom,
            parents: row.parents,
            ..missing_entity(0)
        })
    }

    /// The ancestors of a row; `None` if it has none.
    #[inline]
    fn ancestors(&self, number: u32) -> Option<SavedAncestors<'a>> {
        let row = self.row(number)?;
        self.buckets.of(row.first, row.search)
    }

    /// Checks that ancestors and parents are entities, and, unless that is trusted, that ancestors are
    /// the parents and theirs, and that nothing is in itself.
    ///
    /// Several threads may check at once, each what no other has taken; all is well if it is for each
    /// of them.
    pub(super) fn check(&self, entities: &Entities<'_>, check: Check) -> Result<(), Invalid> {
        let known = entities.0.len();
        let turns = self.rows.len().div_ceil(TURN);
        let part = |turn: usize, count: usize| turn * TURN..count.min((turn + 1) * TURN);
        let mut work = None;
        loop {
            let turn = self.turns.fetch_add(1, Ordering::Relaxed);
            if let Some(turn) = turn.checked_sub(turns) {
                let entities_left = part(turn, known);
                if check == Check::Trusted || entities_left.is_empty() {
                    return Ok(());
                }
                self.check_entities(entities, entities_left)?;
                continue;
            }
            if check == Check::Trusted {
                self.check_ids(part(turn, self.rows.len()), known)?;
                continue;
            }
            let work = work.get_or_insert_with(|| Work {
                check: AncestorCheck::new(known),
                seen: vec![0; self.rows.len() + 1],
                above: Vec::new(),
            });
            let mut rows = part(turn, self.rows.len());
            while !rows.is_empty() {
                let next = rows.end.min(rows.start + ABREAST);
                self.check_rows(entities, rows.start..next, work)?;
                rows.start = next;
            }
        }
    }

    /// Checks that ancestors and parents are among so many entities.
    fn check_ids(&self, rows: Range<usize>, known: usize) -> Result<(), Invalid> {
        for row in self.rows.get(rows).unwrap_or(&[]).iter().map(parse) {
            let own = self.buckets.of(row.first, row.search).ok_or(OPEN)?;
            if !own.are_among(known) {
                return Err(OPEN);
            }
            check_parents(self.parents.get(row.parents).ok_or(OPEN)?, known, |_| ())?;
        }
        Ok(())
    }

    /// Checks a few rows, and reads what is needed for all of them ahead.
    fn check_rows(
        &self,
        entities: &Entities<'_>,
        rows: Range<usize>,
        work: &mut Work,
    ) -> Result<(), Invalid> {
        let first = rows.start as u32 + 1;
        let rows = self.rows.get(rows).unwrap_or(&[]).iter().map(parse);
        let rows = (first..).zip(rows);
        let Work { check, seen, above } = work;
        above.clear();
        for (_, row) in rows.clone() {
            let parents = self.parents.get(row.parents).ok_or(OPEN)?;
            check_parents(parents, entities.0.len(), |parent| {
                above.push(entities.row(parent));
            })?;
        }
        touch(above.iter().filter_map(|row| Some(self.row(*row)?.first)));
        let ancestors = above.iter().filter_map(|row| self.ancestors(*row));
        touch(ancestors.flat_map(SavedAncestors::touched));
        let mut above = above.iter();
        for (number, row) in rows {
            let own = self.buckets.of(row.first, row.search).ok_or(OPEN)?;
            let bloom = check.start(own);
            let parents = self.parents.get(row.parents).ok_or(OPEN)?;
            for (parent, above) in parents.iter().zip(&mut above) {
                check.expect(EntityId(parent));
                let Some(ancestors) = self.ancestors(*above) else {
                    continue;
                };
                let seen = seen.get_mut(*above as usize).ok_or(OPEN)?;
                if std::mem::replace(seen, number) != number {
                    check.expect_all(ancestors);
                }
            }
            if !check.end(own) || bloom != row.bloom {
                return Err(OPEN);
            }
        }
        Ok(())
    }

    /// Checks that some entities have rows and are not in themselves.
    fn check_entities(&self, entities: &Entities<'_>, ids: Range<usize>) -> Result<(), Invalid> {
        for id in ids {
            let row = entities.row(id as u32);
            if row as usize > self.rows.len() {
                return Err(OPEN);
            }
            let own = self.ancestors(row);
            if own.is_some_and(|own| own.contains(EntityId(id as u32))) {
                return Err(Invalid("an entity is in itself"));
            }
        }
        Ok(())
    }
}

/// Goes through parents, which have to be ascending and among so many entities.
#[inline]
fn check_parents(
    parents: SavedList<'_>,
    known: usize,
    mut each: impl FnMut(u32),
) -> Result<(), Invalid> {
    let mut least = 0;
    for parent in parents.iter() {
        if parent < least || parent as usize >= known {
            return Err(Invalid("parents are not ascending entities"));
        }
        least = parent + 1;
        each(parent);
    }
    Ok(())
}

/// The tables of a store that say who is in whom.
pub(crate) struct Tables {
    ancestors: Ancestors,
    parents: Lists,
}

impl Tables {
    /// Puts them into the store that has the headers.
    pub(crate) fn add_to(self, store: &mut Store) {
        store.memory_mut().ancestors = self.ancestors;
        store.parents = ParentLists::from(self.parents);
    }
}

/// Memory of a thread that checks.
struct Work {
    check: AncestorCheck,
    /// For each row the last one of whose parents one is in it, so that no row is gone through once for
    /// each of many parents.
    seen: Vec<u32>,
    /// The rows of the parents of a few rows.
    above: Vec<u32>,
}
