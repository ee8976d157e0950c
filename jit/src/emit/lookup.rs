//! Questions that bit sets answer.
//!
//! In code for many entities, whether the one that varies is in something that stays the same can be
//! found out for all there are before the code runs: by going from there to all descendants. So can
//! whether a set contains it, and whether its attributes lead to something that stays the same, or to
//! what that is in: by going back from there to whoever has it in the last of these attributes, and so
//! on. The code then looks up a bit.

use super::known::{Analysed, Known, Values};
use super::{Emitter, Operand, Symbols, checked_memory};
use cedarjit_ir::expr::{BinaryOp, Body, Op, Var};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, NodeId, StrId, TypeId};
use cedarjit_ir::value::Tag;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, Value};

/// About how many instructions looking up a bit takes.
const COST: u32 = 7;

/// The most different questions that one function looks up; others are evaluated.
const MAX_LOOKUPS: usize = 16;

/// A question that can be answered for many entities before code runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Of any entity: whether it is in the entity, or in an element of the set, that is there.
    In(Path),
    /// Of any entity: whether it is an element of the set that is there.
    Element(Path),
    /// Of any entity that has these attributes: whether they lead to what is there.
    Trail(Trail),
}

impl Lookup {
    /// The attributes of which it is to be known who has whom in them.
    pub fn attrs(&self) -> &[AttrOf] {
        match self {
            Self::Trail(trail) => &trail.attrs,
            Self::In(_) | Self::Element(_) => &[],
        }
    }
}

/// Attributes of attributes of the entity that is asked about, and what they may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// In the order in which they are read; at least one. All but the last are entities, the last is
    /// an entity or a set.
    pub attrs: Vec<AttrOf>,
    /// The entity that they lead to if it is in the last attribute.
    pub to: Path,
    /// Whether they also lead to it if an ancestor of it is there.
    pub ancestors: bool,
}

/// An attribute of the entities of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttrOf {
    /// The type.
    pub ty: TypeId,
    /// The attribute's name.
    pub attr: StrId,
}

/// Attributes of attributes of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it begins.
    pub origin: Origin,
    /// The names of the attributes, in the order in which they are read.
    pub attrs: Vec<StrId>,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// At the principal, the action or the resource of the request.
    Var(Var),
    /// At this entity.
    Entity(EntityId),
}

/// Finds the questions of policies.
pub(super) struct Lookups<'a> {
    varied: Var,
    symbols: &'a dyn Symbols,
    /// Whether code is to look them up.
    used: bool,
    found: Vec<Lookup>,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(varied: Var, symbols: &'a dyn Symbols, used: bool) -> Self {
        Self {
            varied,
            symbols,
            used,
            found: Vec::new(),
        }
    }

    /// The questions found so far, each once.
    pub(super) fn into_found(self) -> Vec<Lookup> {
        self.found
    }

    /// Notes in what is known of the next node, with this operation, that its value is looked up, if
    /// it can be. `before` is what is known of the nodes before it.
    pub(super) fn note(&mut self, body: &Body, op: &Op, before: &Analysed<'_>, known: &mut Known) {
        let lookup = match op {
            _ if known.word.is_some() => None,
            Op::Binary(BinaryOp::In, of, object) if self.is_varied(body, *of) => {
                self.path_to(body, *object, before).map(Lookup::In)
            }
            Op::Binary(BinaryOp::Contains, set, of) if self.is_varied(body, *of) => {
                self.path_to_set(body, *set, before).map(Lookup::Element)
            }
            Op::Binary(op @ BinaryOp::In, of, object) => {
                self.trail(body, *op, (*object, *of), before)
            }
            Op::Binary(op @ BinaryOp::Contains, set, of) => {
                self.trail(body, *op, (*set, *of), before)
            }
            Op::Binary(op @ BinaryOp::Eq, a, b) => self
                .trail(body, *op, (*a, *b), before)
                .or_else(|| self.trail(body, *op, (*b, *a), before)),
            _ => None,
        };
        let place = lookup.and_then(|lookup| self.place(lookup));
        if let Some(place) = place.filter(|_| self.used) {
            known.lookup = Some(place);
            known.cost = Some(COST);
        }
    }

    fn is_varied(&self, body: &Body, node: NodeId) -> bool {
        matches!(body.node(node).op, Op::Var(var) if var == self.varied)
    }

    /// The place of a question, found before or not; `None` if there are too many.
    fn place(&mut self, lookup: Lookup) -> Option<usize> {
        let same = |other: &Lookup| match (other, &lookup) {
            (Lookup::In(other), Lookup::In(path)) if planted(Fault::LookupByAttribute) => {
                other.attrs.last() == path.attrs.last()
            }
            (other, lookup) => other == lookup,
        };
        let known = self.found.iter().position(same);
        if known.is_none() && self.found.len() < MAX_LOOKUPS {
            self.found.push(lookup);
            return Some(self.found.len() - 1);
        }
        known
    }

    /// The path to what something may be in.
    fn path_to(&self, body: &Body, node: NodeId, before: &Analysed<'_>) -> Option<Path> {
        let fits = are_entities(before.of(node).values);
        self.path(body, node, before).filter(|_| fits)
    }

    fn path_to_set(&self, body: &Body, node: NodeId, before: &Analysed<'_>) -> Option<Path> {
        let is_set = before.of(node).values.tag == Some(Tag::Set);
        self.path(body, node, before).filter(|_| is_set)
    }

    /// Whether attributes of the entity that varies, which end at `from`, lead to what stays.
    fn trail(
        &self,
        body: &Body,
        op: BinaryOp,
        (from, to): (NodeId, NodeId),
        before: &Analysed<'_>,
    ) -> Option<Lookup> {
        let (last, object) = (before.of(from).values, before.of(to).values);
        let fits = match op {
            BinaryOp::In => are_entities(last),
            BinaryOp::Contains => last.tag == Some(Tag::Set),
            _ => last.tag == Some(Tag::Entity),
        };
        if !fits || object.tag != Some(Tag::Entity) {
            return None;
        }
        Some(Lookup::Trail(Trail {
            attrs: self.attrs(body, from, before)?,
            to: self.path(body, to, before)?,
            ancestors: op == BinaryOp::In,
        }))
    }

    /// The attributes through which a node gets its value from the entity that varies, if that is
    /// certain to have them.
    fn attrs(&self, body: &Body, node: NodeId, before: &Analysed<'_>) -> Option<Vec<AttrOf>> {
        let (mut node, mut attrs) = (node, Vec::new());
        while let Op::GetAttr(base, attr) = &body.node(node).op {
            before.of(node).place?;
            attrs.push(AttrOf {
                ty: before.of(*base).values.entity?,
                attr: self.symbols.attr_name(attr),
            });
            node = *base;
        }
        attrs.reverse();
        (self.is_varied(body, node) && !attrs.is_empty()).then_some(attrs)
    }

    /// The path to the value of a node that is certain to have one, and the same for all entities.
    fn path(&self, body: &Body, node: NodeId, before: &Analysed<'_>) -> Option<Path> {
        let (mut node, mut attrs) = (node, Vec::new());
        let origin = loop {
            let known = before.of(node);
            match &body.node(node).op {
                Op::GetAttr(base, attr) if known.place.is_some() => {
                    attrs.push(self.symbols.attr_name(attr));
                    node = *base;
                }
                Op::Var(Var::Context) => return None,
                Op::Var(var) if *var != self.varied => break Origin::Var(*var),
                Op::Const(_) if known.values.tag == Some(Tag::Entity) => {
                    break Origin::Entity(EntityId(u32::try_from(known.word?).ok()?));
                }
                _ => return None,
            }
        };
        attrs.reverse();
        Some(Path { origin, attrs })
    }
}

/// Whether values are entities, or sets of nothing but entities: with something else in it `in` fails.
fn are_entities(values: Values) -> bool {
    match values.tag {
        Some(Tag::Entity) => true,
        Some(Tag::Set) => values.elements.is_some(),
        _ => false,
    }
}

/// Where code finds the bit sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookupTable {
    /// The address of the words: for each 64 entities by id, one of each question.
    pub(super) words: Value,
    /// How many questions there are.
    pub(super) count: usize,
    /// The id of the entity that varies.
    pub(super) varied: Value,
}

impl Emitter<'_, '_> {
    /// The answer to the question at a place, of the entity that varies.
    pub(super) fn look_up(&mut self, table: LookupTable, place: usize) -> Operand {
        let id = table.varied;
        let group = self.shift_right(id, 6);
        let words = self.iconst(table.count as i64);
        let first = self.b.ins().imul(group, words);
        let address = self.word_address(table.words, first);
        let offset = place * size_of::<u64>();
        let word = (self.b.ins()).load(I64, checked_memory(), address, offset as i32);
        // The machine looks at the low six bits.
        let bit = self.b.ins().ushr(word, id);
        let bit = self.and_const(bit, 1);
        Operand::known(Tag::Bool, bit)
    }
}
