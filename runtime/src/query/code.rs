//! Code that decides about many entities of one kind.
//!
//! It belongs to a [bucket](crate::fused) and evaluates the policies that the index posts under the
//! action alone, as the bucket's fused code does, and relies on the same facts.

use crate::fused::{Bucket, UNKNOWN_ACTION};
use crate::index::Side;
use crate::jobs;
use crate::snapshot::Snapshot;
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::expr::Var;
use cedarjit_ir::ids::PolicyIndex;
use cedarjit_jit::{BatchFunction, BatchSource, MAX_FUSED};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// About how many entities are asked about before code is made for them in the background.
const HOT: u32 = 1_000;

/// Where a bucket's code for many principals, or many resources, is once there is some.
#[derive(Debug, Default)]
pub(crate) struct BatchCell {
    /// How many entities have been asked about, until code was asked for.
    asked: AtomicU32,
    function: OnceLock<Option<BatchFunction>>,
    /// The code that looks up what it can.
    looking: OnceLock<Option<BatchFunction>>,
}

impl BatchCell {
    /// The code, if there is some by now.
    pub(super) fn get(&self) -> Option<&BatchFunction> {
        self.function.get()?.as_ref()
    }

    /// The code that looks up what it can, if there is some by now.
    pub(super) fn looking(&self) -> Option<&BatchFunction> {
        self.looking.get()?.as_ref()
    }

    /// Notes that entities were asked about while there was no code. Whether it is time for some.
    pub(super) fn count(&self, entities: usize) -> bool {
        if self.function.get().is_some() || self.asked.load(Ordering::Relaxed) >= HOT {
            return false;
        }
        let entities = u32::try_from(entities).unwrap_or(HOT).min(HOT);
        let before = self.asked.fetch_add(entities, Ordering::Relaxed);
        before < HOT && before.saturating_add(entities) >= HOT
    }
}

/// The variable that differs from one entity to the next.
pub(crate) fn varied(side: Side) -> Var {
    match side {
        Side::Principal => Var::Principal,
        Side::Resource => Var::Resource,
    }
}

impl Bucket {
    /// Where the code is for entities on this side of the scope.
    pub(super) fn batch(&self, side: Side) -> &BatchCell {
        let [principals, resources] = &self.batches;
        match side {
            Side::Principal => principals,
            Side::Resource => resources,
        }
    }
}

impl Snapshot {
    /// The code of a bucket for many entities, compiled now if nobody has.
    pub(super) fn batch_code(&self, place: u32, side: Side) -> Option<&BatchFunction> {
        let bucket = self.buckets.get(place)?;
        let compile = || self.compile_batch(bucket, side, false);
        (bucket.batch(side).function).get_or_init(compile).as_ref()
    }

    /// As [`batch_code`](Self::batch_code), for code that looks up what it can. There is none where
    /// nothing can be looked up.
    pub(super) fn looking_code(&self, place: u32, side: Side) -> Option<&BatchFunction> {
        if self.batch_code(place, side)?.lookups().is_empty() {
            return None;
        }
        let bucket = self.buckets.get(place)?;
        let compile = || self.compile_batch(bucket, side, true);
        (bucket.batch(side).looking).get_or_init(compile).as_ref()
    }

    /// Has the code of a bucket compiled in the background.
    pub(super) fn submit_batch(self: &Arc<Self>, place: u32, side: Side) {
        // Busy engines replace a snapshot before its turn comes.
        let snapshot = Arc::clone(self);
        jobs::submit(move || {
            snapshot.batch_code(place, side);
        });
    }

    fn compile_batch(&self, bucket: &Bucket, side: Side, lookups: bool) -> Option<BatchFunction> {
        let (index, key) = (self.index.as_ref()?, bucket.key);
        let action = key.action.map_or(UNKNOWN_ACTION, |action| action.id);
        let policies: Vec<PolicyIndex> = index.unscoped(action).collect();
        if policies.len() > MAX_FUSED || !self.is_relied_on(&policies) {
            return None;
        }
        let permits = policies.iter().enumerate();
        let permits = permits.filter(|(_, policy)| self.table.effect(**policy) == Effect::Permit);
        let source = BatchSource {
            policies: &self.to_fuse(&policies)?,
            permits: permits.fold(0, |all, (bit, _)| all | 1 << bit),
            varied: varied(side),
            kind: match side {
                Side::Principal => key.principal,
                Side::Resource => key.resource,
            },
            facts: &self.request_facts(key),
            lookups,
        };
        let compiler = self.compilation.compiler()?;
        let compile = || compiler.batch(&source, &self.symbols()).ok();
        // A panic of the code generator is no reason to fail: there are other ways to decide.
        catch_unwind(AssertUnwindSafe(compile)).ok().flatten()
    }
}
