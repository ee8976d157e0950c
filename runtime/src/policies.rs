//! The policies of one snapshot: their shapes, compiled bodies and constants.

use crate::compile::CodeCell;
use crate::symbols::Columns;
use cedarjit_frontend::hir::{BoundPolicy, Effect, Policy, Slot, SlotBindings};
use cedarjit_frontend::load::LoadedPolicies;
use cedarjit_frontend::lower::{ConstValue, Constant, Lowered, lower};
use cedarjit_frontend::schema::SchemaFacts;
use cedarjit_ir::arena::TableMemory;
use cedarjit_ir::expr::Body;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::heap::Heap;
use cedarjit_ir::ids::{BodyId, PatternId, PolicyIndex};
use cedarjit_ir::interner::{CapacityError, Interner};
use cedarjit_ir::pattern::Pattern;
use cedarjit_ir::shape::ShapeTable;
use cedarjit_ir::value::{Tag, Value};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smol_str::SmolStr;
use std::collections::HashSet;
use std::sync::Arc;

type Map<K, V> = HashMap<K, V, RandomState>;

/// A condition that policies of one shape share.
#[derive(Clone, Debug)]
pub(crate) struct SharedBody {
    pub(crate) body: Arc<Body>,
    /// The code, which snapshots share.
    pub(crate) code: Arc<CodeCell>,
}

/// How many constants there is room for in a row.
const OWN_CONSTS: usize = 3;

/// What evaluation needs of a policy, in one half of a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Row {
    body: BodyId,
    effect: Effect,
    /// Whether there are more constants than there is room for: then the first word says where they
    /// begin in the table of those.
    is_long: bool,
    words: [u64; OWN_CONSTS],
}

/// A policy, ready to be evaluated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evaluable<'a> {
    pub(crate) body: &'a SharedBody,
    /// The policy's constants, and maybe others behind them.
    pub(crate) consts: &'a [u64],
    pub(crate) effect: Effect,
}

/// What all links of a template have in common.
#[derive(Clone, Debug)]
pub(crate) struct TemplateShape {
    pub(crate) body: BodyId,
    /// The constants in the row of a link, and where a link's own come in.
    consts: Vec<(u64, Option<Slot>)>,
}

impl TemplateShape {
    /// The constants of a link that binds these.
    pub(crate) fn consts(&self, slots: &SlotBindings) -> Box<[u64]> {
        let words = self.consts.iter();
        words
            .map(|(word, slot)| slot.map_or(*word, |slot| slot_word(slots, slot)))
            .collect()
    }
}

/// The word for the entity that a link binds to a slot.
fn slot_word(slots: &SlotBindings, slot: Slot) -> u64 {
    // A link binds every slot; without a binding the word names no entity.
    let entity = slots.get(slot);
    entity.map_or(u64::from(u32::MAX >> 1), |e| u64::from(e.0))
}

/// All policies of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct PolicyTable {
    /// The text of templates, static policies and links, each in the order of their ids.
    pub(crate) loaded: LoadedPolicies,
    /// By [`PolicyIndex`].
    rows: Vec<Row>,
    /// The constants of policies that have many.
    long_consts: Vec<u64>,
    pub(crate) bodies: Vec<SharedBody>,
    pub(crate) patterns: Vec<Arc<Pattern>>,
    /// Of templates that have links, by id.
    templates: Map<SmolStr, TemplateShape>,
}

impl PolicyTable {
    /// Static policies and links, by [`PolicyIndex`].
    #[inline]
    pub(crate) fn policies(&self) -> &[BoundPolicy] {
        &self.loaded.policies
    }

    /// What all links of a template have in common; `None` if the table has no link of it.
    pub(crate) fn template(&self, id: &str) -> Option<&TemplateShape> {
        self.templates.get(id)
    }

    /// What evaluation needs of a policy.
    #[inline]
    pub(crate) fn evaluable(&self, policy: PolicyIndex) -> Option<Evaluable<'_>> {
        let row = self.rows.get(policy.index())?;
        Some(Evaluable {
            body: self.bodies.get(row.body.index())?,
            consts: match row.is_long {
                false => &row.words,
                true => self.long_consts.get(row.words[0] as usize..)?,
            },
            effect: row.effect,
        })
    }

    /// What a satisfied policy does.
    #[inline]
    pub(crate) fn effect(&self, policy: PolicyIndex) -> Effect {
        let row = self.rows.get(policy.index());
        row.map_or(Effect::Permit, |row| row.effect)
    }

    /// The body of each policy, in their order.
    pub(crate) fn bodies_of_policies(&self) -> impl Iterator<Item = BodyId> {
        self.rows.iter().map(|row| row.body)
    }

    /// What the rows and the constants take.
    pub(crate) fn rows_memory(&self) -> TableMemory {
        TableMemory::of::<Row>(self.rows.len(), self.rows.capacity())
            + TableMemory::of::<u64>(self.long_consts.len(), self.long_consts.capacity())
    }

    /// Lowers policies, finds their shapes and fills the rows.
    ///
    /// `facts` must hold for the entities. Constants that are sets, records or IP addresses go to
    /// `heap`. Lowering happens once for each template, however many links it has.
    pub(crate) fn build(
        policies: LoadedPolicies,
        interner: &Interner,
        facts: Option<&SchemaFacts>,
        heap: &mut Heap,
        shapes: &mut ShapeTable,
        columns: &mut Columns,
    ) -> Result<Self, CapacityError> {
        let mut builder = Builder {
            interner,
            facts,
            table: PolicyTable::default(),
            lowered: Map::default(),
            bodies: Map::default(),
            patterns: Map::default(),
            heap,
            shapes,
        };
        let mut consts = Vec::new();
        for policy in &policies.policies {
            let (body, lowered) = builder.shape(&policy.policy, columns)?;
            consts.clear();
            for constant in &lowered.consts {
                consts.push(builder.word(constant, policy)?);
            }
            if policy.id != policy.policy.id {
                builder.note_template(&policy.policy, body, &lowered, &consts);
            }
            builder.table.add_row(body, policy.policy.effect, &consts);
        }
        let mut table = builder.table;
        table.loaded = policies;
        table.rows.shrink_to_fit();
        table.long_consts.shrink_to_fit();
        Ok(table)
    }

    /// Adds the row of the next policy.
    fn add_row(&mut self, body: BodyId, effect: Effect, consts: &[u64]) {
        let mut row = Row {
            body,
            effect,
            is_long: consts.len() > OWN_CONSTS,
            words: [0; OWN_CONSTS],
        };
        if row.is_long {
            row.words[0] = self.long_consts.len() as u64;
            self.long_consts.extend(consts);
        } else {
            row.words.iter_mut().zip(consts).for_each(|(w, c)| *w = *c);
        }
        if planted(Fault::ConstantsShared) {
            let is_same = |r: &&Row| (r.body, r.words[0]) == (row.body, row.words[0]);
            row = self.rows.iter().find(is_same).copied().unwrap_or(row);
        }
        self.rows.push(row);
    }

    /// Has the interpreter evaluate the policies with these ids, and all of their shapes.
    pub(crate) fn demote(&self, ids: &HashSet<SmolStr>) {
        if ids.is_empty() {
            return;
        }
        for (policy, body) in self.policies().iter().zip(self.bodies_of_policies()) {
            if ids.contains(&policy.id)
                && let Some(body) = self.bodies.get(body.index())
            {
                body.code.demote();
            }
        }
    }

    /// Shares the code, also what is still to come, of equal bodies of an earlier snapshot.
    pub(crate) fn reuse_code(&mut self, earlier: &PolicyTable) {
        let bodies = earlier.bodies.iter();
        let known: Map<&Body, &Arc<CodeCell>> = bodies.map(|b| (&*b.body, &b.code)).collect();
        for body in &mut self.bodies {
            if let Some(code) = known.get(&*body.body) {
                body.code = Arc::clone(code);
            }
        }
    }
}

struct Builder<'a> {
    interner: &'a Interner,
    facts: Option<&'a SchemaFacts>,
    table: PolicyTable,
    /// By the address of the policy that links share; the policies outlive the builder.
    lowered: Map<*const Policy, (BodyId, Arc<Lowered>)>,
    bodies: Map<Arc<Body>, BodyId>,
    patterns: Map<Arc<Pattern>, PatternId>,
    heap: &'a mut Heap,
    shapes: &'a mut ShapeTable,
}

impl Builder<'_> {
    fn shape(
        &mut self,
        policy: &Arc<Policy>,
        columns: &mut Columns,
    ) -> Result<(BodyId, Arc<Lowered>), CapacityError> {
        let address = Arc::as_ptr(policy);
        if let Some((body, lowered)) = self.lowered.get(&address) {
            return Ok((*body, Arc::clone(lowered)));
        }
        let lowered = Arc::new(lower(policy, self.interner, self.facts));
        let body = match self.bodies.get(&lowered.body) {
            Some(known) => *known,
            None => {
                columns.add(&lowered.body, self.interner, self.shapes)?;
                let body = Arc::new(lowered.body.clone());
                let id = BodyId::from_index(self.table.bodies.len());
                self.table.bodies.push(SharedBody {
                    body: Arc::clone(&body),
                    code: Arc::default(),
                });
                self.bodies.insert(body, id);
                id
            }
        };
        self.lowered.insert(address, (body, Arc::clone(&lowered)));
        Ok((body, lowered))
    }

    /// Notes what links of a template have in common, when the first one is there.
    fn note_template(&mut self, policy: &Policy, body: BodyId, lowered: &Lowered, words: &[u64]) {
        if self.table.templates.contains_key(&policy.id) {
            return;
        }
        let slots = lowered.consts.iter().map(|constant| match constant {
            Constant::Slot(slot) => Some(*slot),
            _ => None,
        });
        let consts = words.iter().copied().zip(slots).collect();
        let shape = TemplateShape { body, consts };
        self.table.templates.insert(policy.id.clone(), shape);
    }

    /// The word that stands for a constant in a row.
    fn word(&mut self, constant: &Constant, policy: &BoundPolicy) -> Result<u64, CapacityError> {
        Ok(match constant {
            Constant::Value(value) => intern_const(value, self.heap, self.shapes)?.word,
            Constant::Slot(slot) => slot_word(&policy.slots, *slot),
            Constant::EntityType(ty) => u64::from(ty.0),
            Constant::Pattern(pattern) => {
                if planted(Fault::PatternByText) {
                    let text = |p: &Pattern| p.segments().collect::<String>();
                    let mut known = self.table.patterns.iter();
                    if let Some(i) = known.position(|p| text(p) == text(pattern)) {
                        return Ok(i as u64);
                    }
                }
                let next = PatternId::from_index(self.table.patterns.len());
                let id = *self.patterns.entry(Arc::clone(pattern)).or_insert_with(|| {
                    self.table.patterns.push(Arc::clone(pattern));
                    next
                });
                u64::from(id.0)
            }
        })
    }
}

/// Puts a constant on the engine's heap. Recursion is bounded by the depth that loading admits.
fn intern_const(
    value: &ConstValue,
    heap: &mut Heap,
    shapes: &mut ShapeTable,
) -> Result<Value, CapacityError> {
    Ok(match value {
        ConstValue::Bool(b) => Value::bool(*b),
        ConstValue::Long(i) => Value::long(*i),
        ConstValue::String(s) => Value::string(*s),
        ConstValue::Entity(e) => Value::entity(*e),
        ConstValue::Decimal(n) => Value::scalar(Tag::Decimal, *n),
        ConstValue::Datetime(n) => Value::scalar(Tag::Datetime, *n),
        ConstValue::Duration(n) => Value::scalar(Tag::Duration, *n),
        ConstValue::Ip(ip) => heap.ip(&[], *ip)?.value(Tag::Ip),
        ConstValue::Set(items) => {
            let mut elements = items
                .iter()
                .map(|item| intern_const(item, heap, shapes))
                .collect::<Result<Vec<_>, _>>()?;
            heap.set(&[], &mut elements)?.value(Tag::Set)
        }
        ConstValue::Record(fields) => {
            let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
            let shape = shapes.intern(&names)?;
            let values = fields
                .iter()
                .map(|(_, value)| intern_const(value, heap, shapes))
                .collect::<Result<Vec<_>, _>>()?;
            heap.record(&[], shape, &values)?.value(Tag::Record)
        }
    })
}
