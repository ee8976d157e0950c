//! How the engine numbers what policies name: attribute columns, context slots, record shapes.
//!
//! Numbers are baked into compiled code, so a later snapshot of the same store only adds some.

use crate::store::Store;
use cedarjit_ir::abi::AttrEntry;
use cedarjit_ir::expr::{Body, Op, Var};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{AttrId, NodeId, ShapeId, StrId};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::shape::{EMPTY_SHAPE, ShapeTable};
use cedarjit_jit::{RecordSymbol, Symbols};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// The most entries of the attribute table; shapes beyond it are searched.
const MAX_TABLE_ENTRIES: usize = 4 << 20;

/// The most context attributes that get a slot; others are searched.
const MAX_CONTEXT_SLOTS: usize = 256;

/// The columns and slots given out so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    attrs: HashMap<StrId, AttrId, RandomState>,
    context: HashMap<StrId, usize, RandomState>,
}

impl Columns {
    /// Gives a column or slot to each attribute that a body reads, and a shape to each record
    /// literal.
    pub(crate) fn add(
        &mut self,
        body: &Body,
        interner: &Interner,
        shapes: &mut ShapeTable,
    ) -> Result<(), CapacityError> {
        for node in &body.nodes {
            match &node.op {
                Op::GetAttr(base, attr) | Op::HasAttr(base, attr) => {
                    if let Some(name) = interner.find_str(attr) {
                        self.add_attr(name, is_context(body, *base));
                    }
                }
                Op::Record(fields) => {
                    let names = fields.iter().map(|(name, _)| &**name);
                    if let Some((names, _)) = ordered(names, interner) {
                        shapes.intern(&names)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn add_attr(&mut self, name: StrId, of_context: bool) {
        if of_context && self.context.len() < MAX_CONTEXT_SLOTS {
            let next = self.context.len();
            self.context.entry(name).or_insert(next);
        } else {
            let next = AttrId::from_index(self.attrs.len());
            self.attrs.entry(name).or_insert(next);
        }
    }

    /// The slot of a context attribute.
    pub(crate) fn context_slot(&self, name: StrId) -> Option<usize> {
        self.context.get(&name).copied()
    }

    /// How many context slots there are.
    pub(crate) fn context_slots(&self) -> usize {
        self.context.len()
    }
}

fn is_context(body: &Body, node: NodeId) -> bool {
    matches!(body.node(node).op, Op::Var(Var::Context))
}

/// The ids of distinct names in ascending order, and for each name its position in that order.
fn ordered<'a>(
    names: impl Iterator<Item = &'a str>,
    interner: &Interner,
) -> Option<(Vec<StrId>, Vec<usize>)> {
    let ids: Option<Vec<StrId>> = names.map(|name| interner.find_str(name)).collect();
    let ids = ids?;
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    if planted(Fault::RecordLiteralOrder) {
        return Some((sorted, (0..ids.len()).collect()));
    }
    let positions = ids
        .iter()
        .map(|id| sorted.binary_search(id).unwrap_or(0))
        .collect();
    Some((sorted, positions))
}

/// The columns together with what they number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SymbolTable<'a> {
    pub(crate) columns: &'a Columns,
    pub(crate) interner: &'a Interner,
    pub(crate) shapes: &'a ShapeTable,
}

impl Symbols for SymbolTable<'_> {
    fn attr_name(&self, attr: &str) -> StrId {
        // Loading interned every attribute name; an unknown one would be no record's.
        self.interner
            .find_str(attr)
            .unwrap_or(StrId::from_index(cedarjit_ir::interner::MAX_IDS))
    }

    fn attr_column(&self, attr: &str) -> Option<AttrId> {
        let name = self.interner.find_str(attr)?;
        self.columns.attrs.get(&name).copied()
    }

    fn context_slot(&self, attr: &str) -> Option<usize> {
        let name = self.interner.find_str(attr)?;
        self.columns.context_slot(name)
    }

    fn record(&self, attrs: &[&str]) -> RecordSymbol {
        let found = ordered(attrs.iter().copied(), self.interner)
            .and_then(|(names, positions)| Some((self.shapes.find(&names)?, positions)));
        debug_assert!(
            found.is_some(),
            "`Columns::add` interns every literal's shape"
        );
        let (shape, positions) = found.unwrap_or((EMPTY_SHAPE, Vec::new()));
        RecordSymbol { shape, positions }
    }
}

/// Fills the attribute table, where each shape keeps each attribute that policies read. O(attributes
/// of all shapes + entries).
pub(crate) fn fill_attr_table(columns: &Columns, store: &mut Store) {
    let stride = columns.attrs.len();
    let mut entries = Vec::new();
    let mut complete = true;
    if let Some(most) = MAX_TABLE_ENTRIES.checked_div(stride) {
        let shapes = store.shapes();
        let covered = shapes.len().min(most);
        entries = vec![AttrEntry::NONE.0; covered * stride];
        for (i, row) in entries.chunks_exact_mut(stride).enumerate() {
            complete &= fill_row(columns, shapes.attrs(ShapeId::from_index(i)), row);
        }
    }
    let memory = store.memory_mut();
    memory.attr_table = entries.into();
    memory.attr_stride = stride;
    memory.attr_complete = complete;
}

/// Whether every attribute that has a column got its entry.
fn fill_row(columns: &Columns, attrs: &[StrId], row: &mut [u32]) -> bool {
    let mut complete = true;
    for (slot, name) in attrs.iter().enumerate() {
        let Some(column) = columns.attrs.get(name) else {
            continue;
        };
        if slot >= 8 && planted(Fault::NinthAttributeMissing) {
            continue;
        }
        match (
            AttrEntry::new(slot, attrs.len()),
            row.get_mut(column.index()),
        ) {
            (Some(entry), Some(place)) => *place = entry.0,
            _ => complete = false,
        }
    }
    complete
}
