//! Who is in whom: rows that are read, and the check that they are closed.

use super::{ALL, Entities};
use crate::store::Store;
use cedarjit_ir::abi::{BucketSearch, EntityHeader, missing_entity};
use cedarjit_ir::ahead::{ABREAST, touch};
use cedarjit_ir::interner::CapacityError;
use cedarjit_ir::saved::{Input, Invalid};
use std::ops::Range;

/// Parents and ancestors that entities have, as places among all numbers.
struct Row {
    /// How the ancestors were spread over buckets.
    search: BucketSearch,
    ancestors: Range<u32>,
    parents: Range<u32>,
}

/// The rows of a file.
pub(super) struct Hierarchy {
    /// After one for entities that are in nothing.
    rows: Vec<Row>,
    /// The ancestors and parents of all rows, each in ascending order.
    numbers: Vec<u32>,
}

impl Hierarchy {
    /// Reads the rows, for so many entities.
    pub(super) fn read(mut input: Input<'_>, known: usize) -> Result<Self, Invalid> {
        let count = input.count(16)?;
        let mut rows = Vec::with_capacity(count + 1);
        rows.push(Row {
            search: BucketSearch::ONE,
            ancestors: 0..0,
            parents: 0..0,
        });
        let mut numbers: Vec<u32> = Vec::with_capacity(input.remaining() / 4);
        for _ in 0..count {
            let search = BucketSearch(input.number()?);
            let (above, parents) = (input.number()?, input.number()?);
            let mut list = |len: u32| -> Result<Range<u32>, Invalid> {
                let read = input.numbers(len as usize)?.iter();
                let start = numbers.len();
                numbers.extend(read.map(|id| u32::from_le_bytes(*id)));
                let list = numbers.get(start..).unwrap_or(&[]);
                let ascend = list.is_sorted_by(|a, b| a < b);
                if !ascend || list.last().is_some_and(|id| *id as usize >= known) {
                    return Err(Invalid("parents or ancestors are not ascending entities"));
                }
                Ok(index(start)?..index(numbers.len())?)
            };
            let ancestors = list(above)?;
            let parents = match parents {
                ALL => ancestors.clone(),
                parents => list(parents)?,
            };
            if ancestors.is_empty() {
                return Err(Invalid("a row has no ancestors"));
            }
            rows.push(Row {
                search,
                ancestors,
                parents,
            });
        }
        input.end()?;
        Ok(Self { rows, numbers })
    }

    /// Puts the ancestors and parents into a store; gives what headers say about those of each row.
    pub(super) fn add_to(&self, store: &mut Store) -> Result<Vec<EntityHeader>, Invalid> {
        let mut direct = Vec::new();
        let headers = self.rows.iter().map(|row| {
            direct.clear();
            direct.extend_from_slice(part(&self.numbers, &row.parents));
            let likely = EntityHeader {
                search: row.search,
                ..missing_entity(0)
            };
            store.hierarchy(likely, part(&self.numbers, &row.ancestors), &mut direct)
        });
        let headers: Result<_, CapacityError> = headers.collect();
        headers.map_err(|_| Invalid("there are too many ancestors"))
    }

    fn ancestors(&self, row: usize) -> &[u32] {
        let row = self.rows.get(row);
        row.map_or(&[], |row| part(&self.numbers, &row.ancestors))
    }

    fn parents(&self, row: usize) -> &[u32] {
        let row = self.rows.get(row);
        row.map_or(&[], |row| part(&self.numbers, &row.parents))
    }

    /// Checks that ancestors are the parents and their ancestors, and that nothing is in itself.
    pub(super) fn check(&self, entities: &Entities<'_>) -> Result<(), Invalid> {
        let invalid = Invalid("ancestors are not the parents and what these are in");
        // For each row the last one of whose parents one is in it, so that no list is gone through
        // once for each of many parents.
        let mut seen = vec![0_u32; self.rows.len()];
        // Which of a row's ancestors were found to be a parent, or an ancestor of one.
        let mut found: Vec<u64> = Vec::new();
        for row in 1..self.rows.len() {
            if row % ABREAST == 1 {
                self.read_ahead(row, entities);
            }
            let own = self.ancestors(row);
            found.clear();
            found.resize(own.len().div_ceil(64), 0);
            let mut find = |id: &u32| {
                let place = own.binary_search(id).ok()?;
                *found.get_mut(place / 64)? |= 1_u64 << (place % 64);
                Some(())
            };
            for parent in self.parents(row) {
                let above = entities.row(*parent);
                let known = seen.get_mut(above).ok_or(invalid)?;
                let again = std::mem::replace(known, row as u32) == row as u32;
                let above = if again { &[] } else { self.ancestors(above) };
                let all = std::iter::once(parent).chain(above).try_for_each(&mut find);
                all.ok_or(invalid)?;
            }
            if found.iter().map(|word| word.count_ones()).sum::<u32>() as usize != own.len() {
                return Err(invalid);
            }
        }
        for id in 0..entities.0.len() as u32 {
            let row = entities.row(id);
            if row >= self.rows.len() {
                return Err(invalid);
            }
            if self.ancestors(row).binary_search(&id).is_ok() {
                return Err(Invalid("an entity is in itself"));
            }
        }
        Ok(())
    }

    /// Reads what checking the next rows will read of their parents.
    fn read_ahead(&self, row: usize, entities: &Entities<'_>) {
        let parents = (row..row + ABREAST).flat_map(|row| self.parents(row));
        let rows = parents.map(|parent| entities.row(*parent));
        let starts = rows
            .clone()
            .filter_map(|row| Some(self.rows.get(row)?.ancestors.start));
        let first = starts
            .clone()
            .filter_map(|start| self.numbers.get(start as usize));
        touch(rows.map(|row| row as u64));
        touch(starts);
        touch(first.copied());
    }
}

fn part<'a>(numbers: &'a [u32], range: &Range<u32>) -> &'a [u32] {
    let range = range.start as usize..range.end as usize;
    numbers.get(range).unwrap_or(&[])
}

/// A position among all numbers.
fn index(position: usize) -> Result<u32, Invalid> {
    u32::try_from(position).map_err(|_| Invalid("there are too many ancestors"))
}
