//! An immutable state of the engine: entities, policies, their index and code.

use crate::compile::{Compilation, compiler};
use crate::conform::conforms;
use crate::engine::{BuildError, InterpretedBecause, JitMode, Stats, Tier};
use crate::fused::BucketTable;
use crate::index::{Posting, ScopeIndex, postings};
use crate::policies::PolicyTable;
use crate::request::RequestRules;
use crate::store::Store;
use crate::symbols::{Columns, SymbolTable, fill_attr_table};
use cedar_policy::Schema;
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::load::LoadedPolicies;
use cedarjit_frontend::schema::SchemaFacts;
use cedarjit_ir::expr::Body;
use cedarjit_ir::ids::{BodyId, PolicyIndex};
use cedarjit_ir::interner::Interner;
use cedarjit_jit::Listing;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One state of an engine.
///
/// Everything in it is made of the ids of one interner. A decision sees exactly one snapshot; a
/// snapshot lives as long as an engine, a bound request or a response holds it.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) interner: Interner,
    pub(crate) store: Store,
    pub(crate) table: PolicyTable,
    pub(crate) columns: Columns,
    pub(crate) index: Option<ScopeIndex>,
    pub(crate) buckets: BucketTable,
    pub(crate) schema: Option<Arc<EngineSchema>>,
    /// What the schema says about requests, if that is known.
    pub(crate) rules: Option<Arc<RequestRules>>,
    pub(crate) compilation: Compilation,
    load_time: Duration,
}

/// A schema, and what is known of its types.
#[derive(Debug)]
pub(crate) struct EngineSchema {
    pub(crate) schema: Schema,
    /// `None` if the schema came as a value, which does not tell.
    pub(crate) facts: Option<SchemaFacts>,
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
    /// The snapshot whose store `store` was made from, whose code can be used again.
    pub(crate) earlier: Option<&'a Snapshot>,
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
            earlier,
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
        let mut columns = earlier.map_or_else(Columns::default, |e| e.columns.clone());
        let facts = schema
            .as_ref()
            .and_then(|schema| schema.facts.as_ref())
            .filter(|facts| conforms(&store, &interner, facts));
        let (heap, shapes) = store.constants_mut();
        let mut table = PolicyTable::build(policies, &interner, facts, heap, shapes, &mut columns)?;
        if let Some(earlier) = earlier {
            table.reuse_code(&earlier.table);
        }
        fill_attr_table(&columns, &mut store);
        let index = index.then(|| ScopeIndex::build(table.policies(), &store));
        Ok(Self {
            compilation: Compilation::new(&table, jit),
            interner,
            store,
            table,
            columns,
            index,
            buckets: BucketTable::default(),
            schema,
            rules,
            load_time: started.elapsed(),
        })
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
            policies: self.table.policies().len(),
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

    /// The policies, static ones and links.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &BoundPolicy> {
        self.table.policies().iter()
    }

    /// What the engine made of a policy, for people.
    ///
    /// `None` if there is no policy with this id.
    ///
    /// # Errors
    /// When code cannot be generated for it.
    pub fn explain(&self, id: &str) -> Option<Explanation<'_>> {
        let position = self.table.loaded.find(id).ok()?;
        let policy = self.table.policies().get(position)?;
        let (entry, body) = self.table.entry(PolicyIndex::from_index(position))?;
        let sharers = self
            .table
            .entries
            .iter()
            .filter(|e| e.body == entry.body)
            .count();
        let posting = postings(self.table.policies(), &self.store)
            .into_iter()
            .nth(position)?;
        let listing = compiler()
            .map_err(InterpretedBecause::Unavailable)
            .and_then(|c| {
                c.listing(&body.body, &self.symbols())
                    .map_err(|e| InterpretedBecause::Failed(Arc::new(e)))
            });
        let consts = self.table.consts(entry);
        Some(Explanation {
            policy,
            body: &body.body,
            shape: entry.body,
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
