//! What is known of a body's values before the code runs.
//!
//! Code for one shape of policy knows what the IR says. Fused code knows much more: its constants,
//! and through [`Facts`] the types of principal and resource and how the stored entities look.
//! With that most type checks go, attributes are at fixed places, and what is left can often be
//! computed without a branch.

use super::lookup::Lookups;
use cedarjit_ir::abi::AttrEntry;
use cedarjit_ir::expr::{BinaryOp, Body, Op, UnaryOp, Var};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, NodeId, TypeId};
use cedarjit_ir::value::{Tag, Value};

/// What fused code may rely on. Whoever runs the code vouches for it.
pub trait Facts {
    /// What is known of the principal, the action or the resource.
    fn subject(&self, var: Var) -> Option<Subject>;
    /// What is known of an entity that a policy names.
    fn named(&self, entity: EntityId) -> Option<Subject>;
    /// What all existing entities of a type have in common in one attribute.
    fn attribute(&self, ty: TypeId, attr: &str) -> Option<Attribute>;
    /// The elements of a set that policies have as a constant, ascending; `None` if that is not known.
    fn constant_set(&self, reference: u64) -> Option<Vec<Value>>;
    /// Whether an entity of a type can have an ancestor of the type `ancestor`.
    fn may_be_in(&self, ty: TypeId, ancestor: TypeId) -> bool;
}

/// An entity's type, and whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The type.
    pub ty: TypeId,
    /// Whether the store has the entity.
    pub exists: bool,
}

/// An attribute of all existing entities of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// None of them has it.
    Missing,
    /// All of them have it, in the same place.
    Present {
        /// Where it is in the attribute record.
        place: AttrEntry,
        /// What the values have in common.
        values: Values,
    },
}

/// What a number of values have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Their tag.
    pub tag: Option<Tag>,
    /// The type of the entities that they are.
    pub entity: Option<TypeId>,
    /// Whether these exist, if either all do or none.
    pub exists: Option<bool>,
    /// What they hold, if they are sets of nothing but entities.
    pub elements: Option<Elements>,
}

/// The elements of sets of entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// There are none.
    Nothing,
    /// All are entities of this type.
    OfType(TypeId),
    /// They are entities.
    Entities,
}

/// What is known of one node's value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    pub(super) values: Values,
    /// The word, where the value is a constant. Then the node cannot fail.
    pub(super) word: Option<u64>,
    /// Where the attribute that the node reads is, if it is certainly there.
    pub(super) place: Option<AttrEntry>,
    /// About how many instructions the node takes without branches; `None` if it has branches or
    /// may fail, and always in code that is not fused.
    pub(super) cost: Option<u32>,
    /// The place of the question whose answer is the value, if that is looked up.
    pub(super) lookup: Option<usize>,
    /// Of an `in`: nothing on the right can be an ancestor of what is on the left, so that it is
    /// `==` or `contains`.
    pub(super) flat: bool,
    /// How many elements a constant set has.
    pub(super) members: Option<usize>,
}

/// The most elements of a constant set that are compared one by one, without a branch.
const FEW_MEMBERS: usize = 8;

impl Known {
    fn of(tag: Option<Tag>) -> Self {
        let values = Values {
            tag,
            ..Values::default()
        };
        Self {
            values,
            ..Self::default()
        }
    }

    fn is(self, tag: Tag) -> bool {
        self.values.tag == Some(tag)
    }

    /// What is on the right of an `in`, if that is nothing but entities.
    fn elements(self) -> Option<Elements> {
        match self.values.tag? {
            Tag::Entity => Some(
                self.values
                    .entity
                    .map_or(Elements::Entities, Elements::OfType),
            ),
            Tag::Set => self.values.elements,
            _ => None,
        }
    }

    /// How many elements a constant set has, if they are compared one by one.
    pub(super) fn few_members(self) -> Option<usize> {
        self.members.filter(|members| *members <= FEW_MEMBERS)
    }

    fn truth(self) -> Option<bool> {
        let word = self.word.filter(|_| self.is(Tag::Bool))?;
        Some(word != 0)
    }

    fn set_truth(&mut self, truth: bool) {
        self.word = Some(u64::from(truth));
        self.cost = Some(0);
    }
}

/// What is known of each node of a body, by the node's number.
///
/// `fused` are the words of the constants table and the facts, for fused code; `lookups` finds what
/// code for many entities can look up.
pub(super) fn analyse(
    body: &Body,
    fused: Option<(&[u64], &dyn Facts)>,
    mut lookups: Option<&mut Lookups<'_>>,
) -> Vec<Known> {
    let mut analysis = Analysed {
        fused,
        known: Vec::with_capacity(body.nodes.len()),
    };
    for node in &body.nodes {
        let mut known = Known::of(node.ty.tag());
        if let Some((consts, facts)) = fused {
            analysis.refine(&node.op, consts, facts, &mut known);
        }
        if let Some(lookups) = lookups.as_deref_mut() {
            lookups.note(body, &node.op, &analysis, &mut known);
        }
        analysis.known.push(known);
    }
    analysis.known
}

/// What is known of the nodes so far.
pub(super) struct Analysed<'a> {
    fused: Option<(&'a [u64], &'a dyn Facts)>,
    known: Vec<Known>,
}

impl Analysed<'_> {
    /// Operands precede their users, so they are known already.
    pub(super) fn of(&self, id: NodeId) -> Known {
        self.known.get(id.index()).copied().unwrap_or_default()
    }

    fn refine(&self, op: &Op, consts: &[u64], facts: &dyn Facts, known: &mut Known) {
        match op {
            Op::Const(c) => {
                known.word = consts.get(c.index()).copied();
                known.cost = Some(0);
                if let (Some(word), true) = (known.word, known.is(Tag::Entity)) {
                    set_subject(known, facts.named(EntityId(word as u32)));
                }
                if let (Some(word), true) = (known.word, known.is(Tag::Set))
                    && let Some(set) = facts.constant_set(word)
                {
                    known.values.elements = elements(&set, facts);
                    known.members = Some(set.len());
                }
            }
            Op::Bool(b) => known.set_truth(*b),
            Op::Var(var) => {
                known.cost = Some(0);
                set_subject(known, facts.subject(*var));
            }
            Op::Unary(UnaryOp::Not, a) => {
                let a = self.of(*a);
                match a.truth() {
                    Some(truth) => known.set_truth(!truth),
                    None if a.is(Tag::Bool) => known.cost = a.cost.map(|c| c + 1),
                    None => {}
                }
            }
            Op::Binary(op, a, b) => self.binary(*op, self.of(*a), self.of(*b), known),
            Op::And(items) => self.chain(items, false, known),
            Op::Or(items) => self.chain(items, true, known),
            Op::GetAttr(base, attr) => self.read(*base, attr, known),
            Op::HasAttr(base, attr) => {
                if let Some(has) = self.has(*base, attr) {
                    known.set_truth(has);
                }
            }
            Op::Is(a, c) => {
                let a = self.of(*a);
                if let (Some(ty), Some(_), Some(expected)) =
                    (a.values.entity, a.cost, consts.get(c.index()))
                {
                    known.set_truth(u64::from(ty.0) == *expected);
                }
            }
            _ => {}
        }
    }

    fn binary(&self, op: BinaryOp, a: Known, b: Known, known: &mut Known) {
        let cost = a.cost.zip(b.cost).map(|(a, b)| a + b);
        match op {
            BinaryOp::Eq => {
                if let Some(cost) = cost {
                    known.cost = Some(cost + 3);
                    if differ(a, b) {
                        known.set_truth(false);
                    } else if let (Some(x), Some(y), true) = (
                        a.word,
                        b.word,
                        a.values.tag.is_some() && a.values.tag == b.values.tag,
                    ) {
                        known.set_truth(x == y);
                    }
                }
            }
            BinaryOp::Less | BinaryOp::LessEq => {
                let ordered = [Tag::Long, Tag::Datetime, Tag::Duration];
                if ordered.iter().any(|tag| a.is(*tag) && b.is(*tag)) {
                    known.cost = cost.map(|c| c + 2);
                }
            }
            BinaryOp::Contains if a.is(Tag::Set) => {
                let other_tag = |tag| tag != Tag::Entity;
                let never = a.values.elements.is_some() && b.values.tag.is_some_and(other_tag);
                if let Some(members) = a.few_members() {
                    let each = if b.values.tag.is_some() { 3 } else { 5 };
                    known.cost = cost.map(|c| c + each * members as u32);
                }
                if cost.is_some() && (never || apart(b, a)) {
                    known.set_truth(false);
                }
            }
            BinaryOp::In if a.is(Tag::Entity) => {
                known.flat = self.is_flat(a, b);
                if b.is(Tag::Entity) {
                    known.cost = cost.map(|c| c + if known.flat { 3 } else { 14 });
                } else if let Some(members) = b.few_members().filter(|_| known.flat) {
                    known.cost = cost.map(|c| c + 3 * members as u32);
                }
                if known.flat && cost.is_some() && apart(a, b) {
                    known.set_truth(false);
                }
            }
            _ => {}
        }
    }

    /// Whether nothing on the right of an `in` can be an ancestor of the entity on the left.
    fn is_flat(&self, a: Known, b: Known) -> bool {
        let Some((_, facts)) = self.fused else {
            return false;
        };
        match b.elements() {
            Some(Elements::Nothing) => true,
            Some(Elements::OfType(ty)) => {
                (a.values.entity).is_some_and(|of| !facts.may_be_in(of, ty))
            }
            _ => false,
        }
    }

    /// An `and`, or an `or` if `stop` is true: ends at the first operand that is `stop`.
    fn chain(&self, items: &[NodeId], stop: bool, known: &mut Known) {
        let mut cost = Some(0);
        let mut constant = true;
        for item in items {
            let item = self.of(*item);
            if let Some(truth) = item.truth() {
                if truth == stop && (cost.is_some() || planted(Fault::FusedConstantChain)) {
                    known.set_truth(stop);
                    return;
                }
                continue;
            }
            constant = false;
            cost = match (cost, item.cost) {
                (Some(sum), Some(cost)) if item.is(Tag::Bool) => Some(sum + cost + 1),
                _ => None,
            };
        }
        if constant {
            known.set_truth(!stop);
        } else {
            known.cost = cost;
        }
    }

    fn read(&self, base: NodeId, attr: &str, known: &mut Known) {
        let base = self.of(base);
        let Some(Attribute::Present { place, values }) = self.attribute(base, attr) else {
            return;
        };
        if base.values.exists != Some(true) {
            return;
        }
        let typed = known.values.tag;
        known.values = values;
        known.values.tag = values.tag.or(typed);
        known.place = Some(place);
        known.cost = base.cost.map(|c| c + 2);
    }

    /// Whether an entity has an attribute, if that is certain and finding out cannot fail.
    fn has(&self, base: NodeId, attr: &str) -> Option<bool> {
        let base = self.of(base);
        base.cost?;
        match (base.values.exists?, self.attribute(base, attr)) {
            (false, _) if base.is(Tag::Entity) => Some(false),
            (true, Some(Attribute::Missing)) => Some(false),
            (true, Some(Attribute::Present { .. })) => Some(true),
            _ => None,
        }
    }

    fn attribute(&self, base: Known, attr: &str) -> Option<Attribute> {
        let (_, facts) = self.fused?;
        if !base.is(Tag::Entity) {
            return None;
        }
        facts.attribute(base.values.entity?, attr)
    }
}

fn set_subject(known: &mut Known, subject: Option<Subject>) {
    if let Some(subject) = subject {
        known.values.entity = Some(subject.ty);
        known.values.exists = Some(subject.exists);
    }
}

/// What the elements of a set are, if they are nothing but entities.
fn elements(set: &[Value], facts: &dyn Facts) -> Option<Elements> {
    let Some(first) = set.first() else {
        return Some(Elements::Nothing);
    };
    let ty = |value: &Value| facts.named(value.as_entity()).map(|subject| subject.ty);
    let alike = || set.iter().all(|value| ty(value) == ty(first));
    if set.iter().any(|value| value.tag != Tag::Entity) {
        return None;
    }
    Some(match ty(first).filter(|_| alike()) {
        Some(ty) => Elements::OfType(ty),
        None => Elements::Entities,
    })
}

/// Whether an entity cannot be on the right of an `in` itself.
pub(super) fn apart(entity: Known, right: Known) -> bool {
    match (entity.values.entity, right.elements()) {
        (_, Some(Elements::Nothing)) => true,
        (Some(ty), Some(Elements::OfType(other))) => ty != other,
        _ => false,
    }
}

/// Whether two values cannot be equal.
pub(super) fn differ(a: Known, b: Known) -> bool {
    match (a.values.tag, b.values.tag) {
        (Some(a), Some(b)) if a != b => true,
        (Some(Tag::Entity), Some(Tag::Entity)) => match (a.values.entity, b.values.entity) {
            (Some(a), Some(b)) => a != b,
            _ => false,
        },
        _ => false,
    }
}
