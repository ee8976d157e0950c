//! Buckets of requests that the same policies may apply to, and their fused code.
//!
//! Requests of one action, one type of principal and one type of resource form a bucket, apart by
//! whether principal and resource exist. The policies that the index posts under the action alone
//! are the same for all of them; when a bucket has been asked for often, they are compiled into one
//! function. Until then, and for the policies posted under entities, each policy runs by itself.

use crate::bind::BoundRequest;
use crate::facts::{RequestFacts, StoreFacts, headed, subject};
use crate::jobs;
use crate::request::RequestValues;
use crate::snapshot::Snapshot;
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use cedarjit_jit::{FusedFunction, FusedOutcomes, FusedPolicy, MAX_FUSED, Subject};
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many buckets a snapshot has room for; requests beyond do without fused code.
const BUCKETS: usize = 256;

/// How many places of the table are looked at for a bucket.
const PROBES: usize = 8;

/// With at most so many policies posted under actions alone, one function evaluates all of them for
/// every action, and those of other actions are masked out, if that takes no branch: calling one
/// function is predicted, which of many a mix of requests calls next is not. Four policies without
/// branches gain 4 ns of 13; five with searches in sets lose 2 of 20.
const WIDE: usize = 6;

/// How often a bucket is asked for before its policies are fused in the background: compiling takes
/// as long as some ten thousand decisions.
const HOT: u32 = 100;

/// An id that no action has.
const UNKNOWN_ACTION: EntityId = EntityId(u32::MAX);

/// What requests of one bucket have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    principal: Subject,
    /// `None` for all actions that the interner does not know: the same policies apply to them.
    action: Option<EntityId>,
    resource: Subject,
}

/// The policies that a bucket's requests share, and their code.
#[derive(Debug)]
pub(crate) struct Bucket {
    key: Key,
    asked: AtomicU32,
    code: OnceLock<Option<Fused>>,
}

/// Policies and the function that evaluates them, a bit each.
#[derive(Debug)]
pub(crate) struct Fused {
    pub(crate) policies: Box<[PolicyIndex]>,
    /// The bits of the policies that apply to the bucket's action.
    applicable: u64,
    /// The bits of the policies that permit.
    pub(crate) permits: u64,
    pub(crate) function: FusedFunction,
}

impl Fused {
    /// What the function found out about the policies of the bucket's action.
    #[inline]
    pub(crate) fn restrict(&self, outcomes: FusedOutcomes) -> FusedOutcomes {
        FusedOutcomes {
            satisfied: outcomes.satisfied & self.applicable,
            failed: outcomes.failed & self.applicable,
        }
    }
}

/// The functions for all actions, by what they rely on of principal and resource; `None` where that
/// is not worth it.
type WideFunctions = Vec<((Subject, Subject), Option<FusedFunction>)>;

/// The buckets of a snapshot: a hash table that requests fill without a lock.
#[derive(Debug)]
pub(crate) struct BucketTable {
    places: Box<[OnceLock<Bucket>]>,
    seed: RandomState,
    facts: OnceLock<StoreFacts>,
    wide: Mutex<WideFunctions>,
}

impl Default for BucketTable {
    fn default() -> Self {
        Self {
            places: (0..BUCKETS).map(|_| OnceLock::new()).collect(),
            seed: RandomState::default(),
            facts: OnceLock::new(),
            wide: Mutex::default(),
        }
    }
}

impl BucketTable {
    fn place(&self, key: Key) -> Option<u32> {
        let packed = |subject: Subject| u64::from(subject.ty.0) << 1 | u64::from(subject.exists);
        let subjects = packed(key.principal) << 32 | packed(key.resource);
        let hash = self
            .seed
            .hash_one((subjects, key.action.map_or(0, |a| a.0)));
        (0..PROBES).find_map(|probe| {
            let place = (hash as usize).wrapping_add(probe) % BUCKETS;
            let bucket = self.places.get(place)?.get_or_init(|| Bucket {
                key,
                asked: AtomicU32::new(0),
                code: OnceLock::new(),
            });
            (bucket.key == key).then_some(place as u32)
        })
    }

    #[inline]
    fn get(&self, place: u32) -> Option<&Bucket> {
        self.places.get(place as usize)?.get()
    }

    /// How many buckets have fused code, and how large it is in bytes.
    pub(crate) fn stats(&self) -> (usize, usize) {
        let mut functions: Vec<_> = self
            .places
            .iter()
            .filter_map(|place| place.get()?.code.get()?.as_ref())
            .map(|fused| (fused.function.address(), fused.function.code_size()))
            .collect();
        let buckets = functions.len();
        // Several buckets may share a function.
        functions.sort_unstable();
        functions.dedup();
        (buckets, functions.iter().map(|(_, size)| size).sum())
    }
}

impl Snapshot {
    /// The place of the bucket for requests with these values; `None` if they have none.
    pub(crate) fn bucket(&self, values: &RequestValues) -> Option<u32> {
        let known = |id: EntityId| {
            let subject = match id.is_local() {
                true => headed(values.local_headers().get(id.local_index())?),
                false => subject(id, &self.store),
            };
            // A type that only the request knows is another number in each.
            (!subject.ty.name().is_local()).then_some(subject)
        };
        let action = values.action();
        self.buckets.place(Key {
            principal: known(values.principal())?,
            action: (!action.is_local()).then_some(action),
            resource: known(values.resource())?,
        })
    }

    fn fuse_bucket(&self, place: u32) -> Option<&Fused> {
        let bucket = self.buckets.get(place)?;
        let code = || self.fuse(bucket.key);
        bucket.code.get_or_init(code).as_ref()
    }

    fn fuse(&self, key: Key) -> Option<Fused> {
        let index = self.index.as_ref()?;
        let own: Vec<PolicyIndex> = index
            .unscoped(key.action.unwrap_or(UNKNOWN_ACTION))
            .collect();
        if own.is_empty() || own.len() > MAX_FUSED {
            return None;
        }
        let wide = index.all_unscoped(WIDE);
        let wide = wide.and_then(|all| Some((self.wide_function(&all, key)?, all)));
        let (function, policies) = match wide {
            Some(wide) => wide,
            None => (self.compile_fused(&own, key)?, own.clone()),
        };
        let policies = policies.into_boxed_slice();
        let bits = |holds: &dyn Fn(PolicyIndex) -> bool| {
            let bits = policies.iter().enumerate();
            let bits = bits.filter(|(_, policy)| holds(**policy));
            bits.fold(0, |all, (bit, _)| all | 1 << bit)
        };
        Some(Fused {
            applicable: bits(&|policy| own.contains(&policy)),
            permits: bits(&|policy| self.table.effect(policy) == Effect::Permit),
            policies,
            function,
        })
    }

    /// The function of all policies for requests about such principals and resources; `None` if it
    /// would have branches.
    fn wide_function(&self, policies: &[PolicyIndex], key: Key) -> Option<FusedFunction> {
        // A list is never half written.
        let mut known = self
            .buckets
            .wide
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let subjects = (key.principal, key.resource);
        if let Some((_, function)) = known.iter().find(|(other, _)| *other == subjects) {
            return function.clone();
        }
        let key = Key {
            action: None,
            ..key
        };
        let function = self.compile_fused(policies, key);
        let function = function.filter(FusedFunction::is_straight);
        known.push((subjects, function.clone()));
        function
    }

    fn compile_fused(&self, policies: &[PolicyIndex], key: Key) -> Option<FusedFunction> {
        let fused = policies.iter().map(|policy| {
            let (entry, shared) = self.table.entry(*policy)?;
            Some(FusedPolicy {
                body: &shared.body,
                consts: self.table.consts(entry),
            })
        });
        let fused: Vec<FusedPolicy<'_>> = fused.collect::<Option<_>>()?;
        let facts = RequestFacts {
            store: &self.store,
            interner: &self.interner,
            facts: (self.buckets.facts).get_or_init(|| StoreFacts::of(&self.store)),
            principal: key.principal,
            action: key.action,
            resource: key.resource,
        };
        let compiler = self.compilation.compiler()?;
        let compile = || compiler.fuse(&fused, &self.symbols(), &facts).ok();
        // A panic of the code generator is no reason to fail: the policies have code of their own.
        catch_unwind(AssertUnwindSafe(compile)).ok().flatten()
    }
}

impl BoundRequest {
    /// Compiles the policies of this request's bucket into one function now, if that has not been
    /// done; otherwise it happens when requests like this one have been evaluated often.
    ///
    /// Whether there is fused code afterwards: there is none where the engine interprets, where no
    /// policy applies to the action, or where too many do.
    pub fn warm_up(&self) -> bool {
        let fused = |place| self.snapshot.fuse_bucket(place);
        self.bucket.and_then(fused).is_some()
    }

    /// The fused code for requests like this one, if there is some by now.
    #[inline]
    pub(crate) fn fused(&self) -> Option<&Fused> {
        let place = self.bucket?;
        let bucket = self.snapshot.buckets.get(place)?;
        let Some(code) = bucket.code.get() else {
            self.count(bucket, place);
            return None;
        };
        code.as_ref()
    }

    /// The policies of the fused code, if there is some; empty otherwise.
    pub(crate) fn fused_policies(&self) -> &[PolicyIndex] {
        let bucket = self
            .bucket
            .and_then(|place| self.snapshot.buckets.get(place));
        let code = bucket.and_then(|bucket| bucket.code.get()?.as_ref());
        code.map_or(&[], |fused| &fused.policies)
    }

    /// Notes that the bucket was asked, and has its policies fused when that makes it hot.
    #[cold]
    fn count(&self, bucket: &Bucket, place: u32) {
        if bucket.asked.fetch_add(1, Ordering::Relaxed) != HOT {
            return;
        }
        let snapshot = Arc::downgrade(&self.snapshot);
        jobs::submit(move || {
            if let Some(snapshot) = snapshot.upgrade() {
                snapshot.fuse_bucket(place);
            }
        });
    }
}
