//! An immutable state of the engine: entities, policies, their index and code.

use crate::check::Checker;
use crate::compile::Compilation;
use crate::conform::{conforms, conforms_one};
use crate::engine::{BuildError, InterpretedBecause, JitMode, Stats, Tier};
use crate::facts::SharedFacts;
use crate::fused::BucketTable;
use crate::index::{Posting, Query, ScopeIndex, postings};
use crate::policies::{Evaluable, PolicyTable};
use crate::query::{Lists, TypeLists};
use crate::recent::Recent;
use crate::request::RequestRules;
use crate::store::{Store, StoreUpdate};
use crate::symbols::{Columns, SymbolTable, fill_attr_table};
use cedar_policy::Schema;
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::load::{LoadedPolicies, SchemaFormat};
use cedarjit_frontend::schema::SchemaFacts;
use cedarjit_ir::expr::Body;
use cedarjit_ir::ids::{BodyId, EntityId, PolicyIndex};
use cedarjit_ir::interner::Interner;
use cedarjit_jit::Listing;
use smol_str::SmolStr;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ptr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// One state of an engine.
///
/// Everything in it is made of the ids of one interner. A decision sees exactly one snapshot; a
/// snapshot lives as long as an engine, a bound request or a response holds it.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) interner: Interner,
    pub(crate) store: Store,
    pub(crate) table: Arc<PolicyTable>,
    pub(crate) columns: Arc<Columns>,
    pub(crate) index: Option<Arc<ScopeIndex>>,
    /// What differs from `table` and `index`.
    pub(crate) recent: Option<Arc<Recent>>,
    pub(crate) buckets: Arc<BucketTable>,
    /// Whether fused code finds all that there is to find: no policy is posted under an entity or a
    /// type, and nothing is checked.
    pub(crate) alone: bool,
    /// What decisions are checked with, if they are.
    pub(crate) check: Option<Arc<Checker>>,
    /// The entities by type, listed for the first query.
    pub(crate) types: OnceLock<TypeLists>,
    /// What is listed for batches.
    pub(crate) lists: Lists,
    pub(crate) schema: Option<Arc<EngineSchema>>,
    /// What the schema says about requests, if that is known.
    pub(crate) rules: Option<Arc<RequestRules>>,
    pub(crate) compilation: Arc<Compilation>,
    /// Whether code relies on the schema's types.
    typed: bool,
    load_time: Duration,
}

/// A schema, and what is known of its types.
#[derive(Debug)]
pub(crate) struct EngineSchema {
    pub(crate) schema: Schema,
    /// `None` if the schema came as a value, which does not tell.
    pub(crate) facts: Option<SchemaFacts>,
    /// What it was read from, if that was a text.
    pub(crate) source: Option<(String, SchemaFormat)>,
}

/// What a snapshot is made from.
pub(crate) struct Parts<'a> {
    /// What `store` and `policies` are made of.
    pub(crate) interner: Interner,
    pub(crate) store: Store,
    pub(crate) policies: LoadedPolicies,
    pub(crate) schema: Option<Arc<EngineSchema>>,
    pub(crate) jit: JitMode,
    pub(crate) index: bool,
    pub(crate) check: Option<Arc<Checker>>,
    /// The ids of policies that are to be interpreted.
    pub(crate) interpreted: &'a HashSet<SmolStr>,
    /// The snapshot whose store `store` was made from, whose code can be used again.
    pub(crate) earlier: Option<&'a Snapshot>,
    /// What the entities of `store` have in common: the earlier snapshot's if they are the same
    /// entities, else none yet.
    pub(crate) observed: SharedFacts,
    pub(crate) started: Instant,
}

impl Snapshot {
    pub(crate) fn build(parts: Parts<'_>) -> Result<Self, BuildError> {
        let Parts {
            mut interner,
            mut store,
            policies,
            schema,
            jit,
            index,
            check,
            interpreted,
            earlier,
            observed,
            started,
        } = parts;
        debug_assert_eq!(store.identity(), interner.identity());
        let rules = match earlier {
            // The same schema, and ids that go on meaning the same.
            Some(earlier) if earlier.interner.identity() == interner.identity() => {
                earlier.rules.clone()
            }
            _ => request_rules(schema.as_deref(), &mut interner, &mut store)?,
        };
        store.extend_to(&interner);
        let mut columns = earlier.map_or_else(Columns::default, |e| (*e.columns).clone());
        let facts = schema
            .as_ref()
            .and_then(|schema| schema.facts.as_ref())
            .filter(|facts| conforms(&store, &interner, facts));
        let (heap, shapes) = store.constants_mut();
        let mut table = PolicyTable::build(policies, &interner, facts, heap, shapes, &mut columns)?;
        if let Some(earlier) = earlier {
            table.reuse_code(&earlier.table);
        }
        table.demote(interpreted);
        if let Some(check) = &check {
            table.demote(&check.interpreted());
        }
        fill_attr_table(&columns, &mut store);
        let index = index.then(|| ScopeIndex::build(table.policies(), &mut store));
        let index = index.transpose()?;
        Ok(Self {
            compilation: Arc::new(Compilation::new(&table, jit)),
            typed: facts.is_some(),
            interner,
            store,
            table: Arc::new(table),
            columns: Arc::new(columns),
            alone: false,
            index: index.map(Arc::new),
            recent: None,
            buckets: Arc::new(BucketTable::new(observed)),
            check,
            types: OnceLock::new(),
            lists: Lists::default(),
            schema,
            rules,
            load_time: started.elapsed(),
        }
        .finished())
    }

    fn finished(mut self) -> Self {
        self.alone = !self.has_scoped() && self.check.is_none();
        self
    }

    /// The state after entities were changed in it and links came and went.
    ///
    /// `None` if what was made for the policies does not fit the changed entities: then the state is
    /// to be [built](Self::build). `interner` and `store` come from this snapshot's; `affected` are
    /// the entities whose ancestors may differ.
    pub(crate) fn with_changes(
        &self,
        recent: Option<Arc<Recent>>,
        interner: &Interner,
        store: &Store,
        update: &StoreUpdate,
        affected: &[EntityId],
        started: Instant,
    ) -> Option<Self> {
        let schema = self.schema.as_ref();
        let types = schema.and_then(|schema| schema.facts.as_ref());
        let mut written = update.written();
        let fits = |(id, _)| types.is_none_or(|facts| conforms_one(store, interner, facts, id));
        if self.typed && !written.all(fits) {
            return None;
        }
        if let Some(index) = &self.index
            && !index.same_actions(affected, &self.store, store)
        {
            return None;
        }
        let mut store = store.clone();
        if store.shapes().len() != self.store.shapes().len() {
            fill_attr_table(&self.columns, &mut store);
        }
        Some(
            Self {
                buckets: self.buckets.after(self, &store, update),
                alone: false,
                check: self.check.clone(),
                interner: interner.clone(),
                store,
                table: Arc::clone(&self.table),
                columns: Arc::clone(&self.columns),
                index: self.index.clone(),
                recent,
                types: OnceLock::new(),
                lists: self.lists.after(update, affected),
                schema: self.schema.clone(),
                rules: self.rules.clone(),
                compilation: Arc::clone(&self.compilation),
                typed: self.typed,
                load_time: started.elapsed(),
            }
            .finished(),
        )
    }

    /// How this snapshot evaluates policies now.
    pub fn tier(&self) -> Tier {
        self.compilation.tier()
    }

    /// What this snapshot came to, and how far code generation has got. O(shapes).
    pub fn stats(&self) -> Stats {
        let bodies = &self.table.bodies;
        let (fused_buckets, fused_bytes) = self.buckets.stats();
        let native = || bodies.iter().filter_map(|b| b.code.get());
        let pending = bodies.iter().filter(|b| b.code.is_pending()).count();
        Stats {
            policies: self.policy_count(),
            shapes: bodies.len(),
            native_shapes: native().count(),
            pending_shapes: if self.compilation.is_pending() {
                pending
            } else {
                0
            },
            fused_buckets,
            code_bytes: fused_bytes
                + native()
                    .map(cedarjit_jit::Function::code_size)
                    .sum::<usize>(),
            entities: self.store.len(),
            load_time: self.load_time,
            compile_time: self.compilation.time(),
            self_check: self.check.as_ref().map(|check| check.stats()),
        }
    }

    /// The numbers that are baked into code.
    pub(crate) fn symbols(&self) -> SymbolTable<'_> {
        SymbolTable {
            columns: &self.columns,
            interner: &self.interner,
            shapes: self.store.shapes(),
        }
    }

    /// The schema that entities and requests are validated against.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref().map(|schema| &schema.schema)
    }

    /// The policies, static ones and links, in the order of their ids. O(n).
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &BoundPolicy> {
        let mut all: Vec<_> = self.all_policies().map(|(_, policy)| policy).collect();
        if self.recent.is_some() {
            all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        }
        all.into_iter()
    }

    /// The policies as they were loaded.
    pub(crate) fn loaded(&self) -> Cow<'_, LoadedPolicies> {
        match &self.recent {
            Some(recent) => Cow::Owned(recent.loaded(&self.table)),
            None => Cow::Borrowed(&self.table.loaded),
        }
    }

    fn policy_count(&self) -> usize {
        let surplus = self.recent.as_ref().map_or(0, |recent| recent.surplus());
        self.table.policies().len().saturating_add_signed(surplus)
    }

    /// All policies with their indices, in no order.
    pub(crate) fn all_policies(&self) -> impl Iterator<Item = (PolicyIndex, &BoundPolicy)> {
        let recent = self.recent.as_deref();
        let policies = self.table.policies().iter().enumerate();
        let policies = policies.map(|(i, policy)| (PolicyIndex::from_index(i), policy));
        let removed = move |index| recent.is_some_and(|recent| recent.is_removed(index));
        let links = recent.map(|recent| recent.links(&self.table));
        policies
            .filter(move |(index, _)| !removed(*index))
            .chain(links.into_iter().flatten())
    }

    /// A policy.
    pub(crate) fn policy(&self, index: PolicyIndex) -> Option<&BoundPolicy> {
        let policy = self.table.policies().get(index.index());
        policy.or_else(|| self.recent.as_ref()?.policy(&self.table, index))
    }

    /// What evaluation needs of a policy.
    #[inline]
    pub(crate) fn evaluable(&self, index: PolicyIndex) -> Option<Evaluable<'_>> {
        let policy = self.table.evaluable(index);
        policy.or_else(|| self.recent.as_ref()?.evaluable(&self.table, index))
    }

    /// Has the interpreter evaluate those of the recent links that have these ids.
    pub(crate) fn demote_recent(&self, ids: &HashSet<SmolStr>) {
        let Some(recent) = self.recent.as_ref().filter(|_| !ids.is_empty()) else {
            return;
        };
        for (index, link) in recent.links(&self.table) {
            if ids.contains(&link.id)
                && let Some(found) = self.evaluable(index)
            {
                found.body.code.demote();
            }
        }
    }

    /// Whether any policy is posted under an entity or a type.
    #[inline]
    pub(crate) fn has_scoped(&self) -> bool {
        let index = self.index.as_ref();
        self.recent.is_some() || index.is_some_and(|index| index.has_scoped())
    }

    /// Calls `visit` with each policy that may apply and is posted under an entity or a type, each
    /// once.
    #[inline]
    pub(crate) fn scoped(
        &self,
        index: &ScopeIndex,
        query: Query<'_>,
        mut visit: impl FnMut(PolicyIndex),
    ) {
        let Some(recent) = &self.recent else {
            return index.scoped(query, visit);
        };
        index.scoped(query, |policy| {
            if !recent.is_removed(policy) {
                visit(policy);
            }
        });
        recent.candidates(&self.table, query, visit);
    }

    /// What the engine made of a policy, for people.
    ///
    /// `None` if there is no policy with this id.
    ///
    /// # Errors
    /// When code cannot be generated for it.
    pub fn explain(&self, id: &str) -> Option<Explanation<'_>> {
        let mut all = self.all_policies();
        let (index, policy) = all.find(|(_, policy)| policy.id == id)?;
        let Evaluable { body, consts, .. } = self.evaluable(index)?;
        let of_body = |index: &PolicyIndex| {
            let other = self.evaluable(*index);
            other.is_some_and(|other| Arc::ptr_eq(&other.body.body, &body.body))
        };
        let indices = self.all_policies().map(|(index, _)| index);
        let sharers = indices.filter(of_body).count();
        let shape = (self.table.bodies.iter()).position(|other| ptr::eq(other, body))?;
        let policies: Vec<BoundPolicy> = self.policies().cloned().collect();
        let position = policies.iter().position(|other| other.id == id)?;
        let posting = postings(&policies, &self.store).into_iter().nth(position)?;
        let listing = self.compilation.lister().and_then(|c| {
            c.listing(&body.body, &self.symbols())
                .map_err(|e| InterpretedBecause::Failed(Arc::new(e)))
        });
        Some(Explanation {
            policy,
            body: &body.body,
            shape: BodyId::from_index(shape),
            sharers,
            consts: consts.get(..body.body.consts.len()).unwrap_or(consts),
            posting,
            listing,
        })
    }

    /// The interner that names this snapshot's ids.
    pub fn interner(&self) -> &Interner {
        &self.interner
    }
}

/// What a schema says about requests; `None` if that is not known.
fn request_rules(
    schema: Option<&EngineSchema>,
    interner: &mut Interner,
    store: &mut Store,
) -> Result<Option<Arc<RequestRules>>, BuildError> {
    let Some(EngineSchema {
        schema,
        facts: Some(facts),
        ..
    }) = schema
    else {
        return Ok(None);
    };
    let (_, shapes) = store.constants_mut();
    let rules = RequestRules::new(schema, facts, interner, shapes)?;
    Ok(Some(Arc::new(rules)))
}

/// What the engine made of one policy.
#[derive(Debug)]
pub struct Explanation<'a> {
    /// The policy.
    pub policy: &'a BoundPolicy,
    /// Its condition in the typed IR.
    pub body: &'a Body,
    /// The number of its shape.
    pub shape: BodyId,
    /// How many policies share the shape, itself included.
    pub sharers: usize,
    /// The words in its constants table.
    pub consts: &'a [u64],
    /// Where the scope index has it.
    pub posting: Posting,
    /// The code, or why there is none.
    pub listing: Result<Listing, InterpretedBecause>,
}
