//! What a snapshot takes of memory, part by part.

use crate::index::ScopeIndex;
use crate::policies::PolicyTable;
use crate::snapshot::Snapshot;
use cedarjit_frontend::hir::{BoundPolicy, Policy};
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::pattern::Pattern;
use smol_str::SmolStr;
use std::fmt;
use std::sync::Arc;

/// The parts of a snapshot.
const PARTS: usize = 12;

/// How much memory a snapshot takes, in bytes.
///
/// What snapshots share counts for each of them. Not counted is what grows with the texts of
/// policies and the schema and not with their number: syntax trees, IR, and what cedar-policy keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// The strings: ids of entities, names, texts.
    pub strings: TableMemory,
    /// The uids of entities, and where they are found.
    pub uids: TableMemory,
    /// Attribute records, sets, IP addresses, with the constants of policies.
    pub values: TableMemory,
    /// The shapes of records, and the table of where they have what policies read.
    pub shapes: TableMemory,
    /// What is known of each entity.
    pub headers: TableMemory,
    /// The ancestors of entities.
    pub ancestors: TableMemory,
    /// The parents of entities.
    pub parents: TableMemory,
    /// The tags of entities.
    pub tags: TableMemory,
    /// The policies: ids, bindings of links, constants.
    pub policies: TableMemory,
    /// The scope index, with what policies name among the ancestors of entities.
    pub index: TableMemory,
    /// What was listed for batches and queries: entities by type, the descendants of each, and who has
    /// whom in an attribute.
    pub lists: TableMemory,
    /// Native code.
    pub code: TableMemory,
}

impl Memory {
    /// Every part, with its name.
    pub fn parts(&self) -> [(&'static str, TableMemory); PARTS] {
        [
            ("strings", self.strings),
            ("uids", self.uids),
            ("values", self.values),
            ("shapes", self.shapes),
            ("headers", self.headers),
            ("ancestors", self.ancestors),
            ("parents", self.parents),
            ("tags", self.tags),
            ("policies", self.policies),
            ("index", self.index),
            ("lists", self.lists),
            ("code", self.code),
        ]
    }

    /// All parts together.
    pub fn total(&self) -> TableMemory {
        self.parts().into_iter().map(|(_, part)| part).sum()
    }
}

impl fmt::Display for Memory {
    /// A line for each part: its name, and how many bytes are used and reserved.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, part) in self.parts().into_iter().chain([("total", self.total())]) {
            writeln!(f, "{name:<10} {:>12} {:>12}", part.used, part.reserved)?;
        }
        Ok(())
    }
}

impl Snapshot {
    /// What this snapshot takes of memory. O(policies + bytes of strings / 1 MB).
    pub fn memory(&self) -> Memory {
        let (interner, store) = (&self.interner, &self.store);
        let tables = store.memory();
        let code = self.stats().code_bytes;
        Memory {
            strings: interner.strings_memory(),
            uids: interner.uids_memory(),
            values: tables.heap.memory(),
            shapes: store.shapes().memory() + of_slice(&tables.attr_table),
            headers: tables.headers.memory(),
            ancestors: tables.ancestors.memory(),
            parents: store.parents_memory(),
            tags: store.tags_memory(),
            policies: policies(&self.table),
            index: store.names_memory()
                + (self.index.as_deref()).map_or_else(TableMemory::default, ScopeIndex::memory),
            lists: self.lists_memory(),
            code: TableMemory {
                used: code,
                reserved: code,
            },
        }
    }
}

fn of_slice<T>(slice: &[T]) -> TableMemory {
    TableMemory::of::<T>(slice.len(), slice.len())
}

/// What a table of policies takes, their trees aside.
fn policies(table: &PolicyTable) -> TableMemory {
    let loaded = &table.loaded;
    let ids = loaded.policies.iter().map(|policy| &policy.id);
    let long: usize = ids
        .filter(|id| id.is_heap_allocated())
        .map(SmolStr::len)
        .sum();
    TableMemory::of::<BoundPolicy>(loaded.policies.len(), loaded.policies.capacity())
        + TableMemory::of::<Arc<Policy>>(loaded.templates.len(), loaded.templates.capacity())
        + table.rows_memory()
        + TableMemory::of::<Arc<Pattern>>(table.patterns.len(), table.patterns.capacity())
        + TableMemory::of::<u8>(long, long)
}
