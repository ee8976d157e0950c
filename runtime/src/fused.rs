//! Buckets of requests that the same policies may apply to, and their fused code.
//!
//! Requests of one action, one type of principal and one type of resource form a bucket, apart by
//! whether principal and resource exist. The policies that the index posts under the action alone
//! are the same for all of them; when a bucket has been asked for often, they are compiled into one
//! function. Until then, and for the policies posted under entities, each policy runs by itself.

use crate::bind::BoundRequest;
use crate::facts::{RequestFacts, SharedFacts, StoreFacts, headed, subject};
use crate::jobs;
use crate::policies::Evaluable;
use crate::query::BatchCell;
use crate::request::RequestValues;
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreUpdate};
use cedarjit_frontend::hir::Effect;
use cedarjit_ir::abi::EntityHeader;
use cedarjit_ir::expr::{ConstKind, Type};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use cedarjit_jit::{FrameFunction, FusedFunction, FusedOutcomes, FusedPolicy, MAX_FUSED, Subject};
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How many buckets a snapshot has room for, a power of two; requests beyond do without fused code.
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
const HOT: u32 = 128;

/// An id that no action has.
pub(crate) const UNKNOWN_ACTION: EntityId = EntityId(u32::MAX);

/// What requests of one bucket have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) principal: Subject,
    /// `None` for all actions that the interner does not know: the same policies apply to them.
    pub(crate) action: Option<Action>,
    pub(crate) resource: Subject,
}

/// An action that the interner knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) id: EntityId,
    /// As an entity.
    subject: Subject,
}

impl Key {
    /// The key in two words. Different keys have different words: no id has its top bit set but
    /// those of one request, which no key has.
    #[inline]
    fn words(self) -> [u64; 2] {
        let subject = |s: Subject| u64::from(s.ty.0 << 1 | u32::from(s.exists));
        let action = self.action.map_or(u64::MAX, |action| {
            u64::from(action.id.0) << 32 | subject(action.subject)
        });
        [
            subject(self.principal) << 32 | subject(self.resource),
            action,
        ]
    }
}

/// A place to begin at, below [`BUCKETS`].
///
/// The engine numbers types and actions itself, so nobody chooses keys that collide.
#[inline]
fn first_place([subjects, action]: [u64; 2]) -> usize {
    let mixed = subjects.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = mixed.wrapping_add(action.wrapping_mul(0xd6e8_feb8_6659_fd93));
    // A product's high bits depend on all bits of its factors.
    (mixed >> (u64::BITS - BUCKETS.trailing_zeros())) as usize
}

/// The policies that a bucket's requests share, and their code.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) key: Key,
    /// Those of the key: every request that is bound compares them.
    words: [u64; 2],
    asked: AtomicU32,
    code: OnceLock<Option<Fused>>,
    /// The code for many principals and for many resources.
    pub(crate) batches: [BatchCell; 2],
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

/// As much of [`Fused`] as evaluation takes where nothing else is evaluated.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) function: FrameFunction,
    /// The bits of the policies that permit.
    pub(crate) permits: u64,
}

/// A place of the table of buckets.
#[derive(Debug, Default)]
struct Place {
    bucket: OnceLock<Bucket>,
    /// The bucket's code, if it has some of which this much is enough.
    alone: OnceLock<Alone>,
}

/// The functions for all actions, by what they rely on of principal and resource; `None` where that
/// is not worth it.
type WideFunctions = Vec<((Subject, Subject), Option<FusedFunction>)>;

/// The buckets of a snapshot: a hash table that requests fill without a lock.
#[derive(Debug, Default)]
pub(crate) struct BucketTable {
    /// [`BUCKETS`] places, made for the first request: many a snapshot is replaced before it is
    /// asked anything.
    places: OnceLock<Box<[Place]>>,
    facts: SharedFacts,
    wide: Mutex<WideFunctions>,
    /// The entities that are constants of policies posted under actions alone: code relies on
    /// whether they exist.
    named: OnceLock<HashSet<EntityId, RandomState>>,
}

impl BucketTable {
    /// A table without buckets, whose code is to rely on these facts.
    pub(crate) fn new(facts: SharedFacts) -> Self {
        Self {
            facts,
            ..Self::default()
        }
    }

    /// The table for a store in which entities have changed: this one if all that its code relies on
    /// still holds, else one without code that knows which buckets are busy.
    pub(crate) fn after(
        self: &Arc<Self>,
        earlier: &Snapshot,
        store: &Store,
        update: &StoreUpdate,
    ) -> Arc<Self> {
        let facts = match self.facts.get() {
            // Nothing relies on them yet.
            None => Arc::default(),
            Some(facts) => match facts.after(store, update) {
                Some(weaker) => Arc::new(OnceLock::from(weaker)),
                None if self.names(earlier, store, update) => Arc::clone(&self.facts),
                None => return Arc::clone(self),
            },
        };
        if planted(Fault::StaleFusedCode) {
            return Arc::clone(self);
        }
        let table = Self::new(facts);
        for bucket in self
            .places
            .get()
            .into_iter()
            .flatten()
            .filter_map(|place| place.bucket.get())
        {
            let place = table.place(bucket.key);
            if let Some(heir) = place.and_then(|place| table.get(place)) {
                let asked = bucket.asked.load(Ordering::Relaxed);
                heir.asked.store(asked.min(HOT - 1), Ordering::Relaxed);
            }
        }
        Arc::new(table)
    }

    /// Whether code relies on the existence of an entity that has come or gone.
    fn names(&self, earlier: &Snapshot, store: &Store, update: &StoreUpdate) -> bool {
        let mut moved = update
            .written()
            .filter(|(id, existed)| store.exists(*id) != *existed);
        if planted(Fault::NamedEntityMoved) {
            return false;
        }
        moved.any(|(id, _)| (self.named.get_or_init(|| earlier.fused_constants())).contains(&id))
    }

    /// The facts that fused code relies on.
    pub(crate) fn facts(&self) -> &SharedFacts {
        &self.facts
    }

    /// The place of the bucket with this key, which is put there if it is new.
    #[inline]
    pub(crate) fn place(&self, key: Key) -> Option<u32> {
        let words = key.words();
        let first = first_place(words) as u32;
        match self.get(first) {
            Some(bucket) if bucket.words == words => Some(first),
            _ => self.find_place(key, words),
        }
    }

    /// As [`place`](Self::place), where the first place to look at is another bucket's or free.
    #[inline(never)]
    fn find_place(&self, key: Key, words: [u64; 2]) -> Option<u32> {
        let empty = || (0..BUCKETS).map(|_| Place::default()).collect();
        let places = self.places.get_or_init(empty);
        let first = first_place(words);
        (0..PROBES).find_map(|probe| {
            let place = first.wrapping_add(probe) % BUCKETS;
            let bucket = places.get(place)?.bucket.get_or_init(|| Bucket {
                key,
                words,
                asked: AtomicU32::new(0),
                code: OnceLock::new(),
                batches: Default::default(),
            });
            (bucket.words == words).then_some(place as u32)
        })
    }

    #[inline]
    pub(crate) fn get(&self, place: u32) -> Option<&Bucket> {
        self.places.get()?.get(place as usize)?.bucket.get()
    }

    #[inline]
    fn alone(&self, place: u32) -> Option<&Alone> {
        self.places.get()?.get(place as usize)?.alone.get()
    }

    /// How many buckets have fused code, and how large it is in bytes.
    pub(crate) fn stats(&self) -> (usize, usize) {
        let mut functions: Vec<_> = self
            .places
            .get()
            .into_iter()
            .flatten()
            .filter_map(|place| place.bucket.get()?.code.get()?.as_ref())
            .map(|fused| (fused.function.address(), fused.function.code_size()))
            .collect();
        let buckets = functions.len();
        // Several buckets may share a function.
        functions.sort_unstable();
        functions.dedup();
        (buckets, functions.iter().map(|(_, size)| size).sum())
    }
}

/// What requests can have in common: a type that only one of them knows is another number in each.
#[inline]
fn shared(subject: Subject) -> Option<Subject> {
    (!subject.ty.name().is_local()).then_some(subject)
}

impl Snapshot {
    /// The place of the bucket for requests with an action, and entities with these headers as
    /// principal, action and resource; `None` if they have none.
    #[inline]
    pub(crate) fn bucket(
        &self,
        id: EntityId,
        [principal, action, resource]: [&EntityHeader; 3],
    ) -> Option<u32> {
        self.buckets.place(Key {
            principal: shared(headed(principal))?,
            action: (!id.is_local()).then(|| Action {
                id,
                subject: headed(action),
            }),
            resource: shared(headed(resource))?,
        })
    }

    /// What is known of an action; `None` if only the request knows it.
    pub(crate) fn action(&self, id: EntityId) -> Option<Action> {
        (!id.is_local()).then(|| Action {
            id,
            subject: subject(id, &self.store),
        })
    }

    /// The entities that are constants of policies posted under actions alone.
    fn fused_constants(&self) -> HashSet<EntityId, RandomState> {
        let policies = self
            .index
            .iter()
            .filter_map(|index| index.all_unscoped(usize::MAX));
        let policies = policies.flatten();
        let policies = policies.filter_map(|policy| self.table.evaluable(policy));
        let constants = policies.flat_map(|policy| {
            let kinds = policy.body.body.consts.iter();
            kinds.zip(policy.consts)
        });
        let entities = constants.filter(|(kind, _)| **kind == ConstKind::Value(Type::Entity));
        entities.map(|(_, word)| EntityId(*word as u32)).collect()
    }

    /// What is known of an entity that a request is about; `None` if only the request knows its type.
    pub(crate) fn subject(&self, id: EntityId, values: &RequestValues) -> Option<Subject> {
        shared(match id.is_local() {
            true => headed(values.local_headers().get(id.local_index())?),
            false => subject(id, &self.store),
        })
    }

    fn fuse_bucket(&self, place: u32) -> Option<&Fused> {
        let place = self.buckets.places.get()?.get(place as usize)?;
        let bucket = place.bucket.get()?;
        let code = || self.fuse(bucket.key);
        let fused = bucket.code.get_or_init(code).as_ref()?;
        let applicable = match planted(Fault::AloneForAllActions) {
            true => u64::MAX,
            false => fused.applicable,
        };
        if let Some(function) = fused.function.on_frame(applicable) {
            let permits = fused.permits;
            place.alone.get_or_init(|| Alone { function, permits });
        }
        Some(fused)
    }

    /// Whether the code of all these policies is used.
    pub(crate) fn is_relied_on(&self, policies: &[PolicyIndex]) -> bool {
        policies.iter().all(|policy| {
            let policy = self.table.evaluable(*policy);
            policy.is_some_and(|policy| !policy.body.code.is_demoted())
        })
    }

    fn fuse(&self, key: Key) -> Option<Fused> {
        let index = self.index.as_ref()?;
        let own: Vec<PolicyIndex> = index
            .unscoped(key.action.map_or(UNKNOWN_ACTION, |action| action.id))
            .collect();
        if own.is_empty() || own.len() > MAX_FUSED || !self.is_relied_on(&own) {
            return None;
        }
        let wide = index.all_unscoped(WIDE);
        let wide = wide.filter(|all| self.is_relied_on(all));
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
        let fused = self.to_fuse(policies)?;
        let facts = self.request_facts(key);
        let compiler = self.compilation.compiler()?;
        let compile = || compiler.fuse(&fused, &self.symbols(), &facts).ok();
        // A panic of the code generator is no reason to fail: the policies have code of their own.
        catch_unwind(AssertUnwindSafe(compile)).ok().flatten()
    }

    /// The conditions of policies with their constants.
    pub(crate) fn to_fuse(&self, policies: &[PolicyIndex]) -> Option<Vec<FusedPolicy<'_>>> {
        let policies = policies.iter().map(|policy| {
            let Evaluable { body, consts, .. } = self.table.evaluable(*policy)?;
            Some(FusedPolicy {
                body: &body.body,
                consts,
            })
        });
        policies.collect()
    }

    /// What code for requests of one kind may rely on.
    pub(crate) fn request_facts(&self, key: Key) -> RequestFacts<'_> {
        RequestFacts {
            store: &self.store,
            interner: &self.interner,
            facts: (self.buckets.facts).get_or_init(|| StoreFacts::of(&self.store)),
            principal: key.principal,
            action: key.action.map(|action| action.subject),
            resource: key.resource,
        }
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

    /// The fused code for requests like this one, if there is some by now, it needs no session, and
    /// what it finds is all that there is to find.
    #[inline]
    pub(crate) fn alone(&self) -> Option<&Alone> {
        match self.snapshot.alone {
            true => self.snapshot.buckets.alone(self.bucket?),
            false => None,
        }
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
        let asked = bucket.asked.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // More than once, since nothing depends on a job's being done.
        if asked < HOT || !asked.is_power_of_two() {
            return;
        }
        // Busy engines replace a snapshot before its turn comes.
        let snapshot = Arc::clone(&self.snapshot);
        jobs::submit(move || {
            snapshot.fuse_bucket(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use cedar_policy::{Entities, Policy};
    use cedarjit_ir::ids::TypeId;

    fn keys() -> impl Iterator<Item = Key> {
        (0..30_u32).flat_map(|action| {
            (0..4_u32).map(move |subject| Key {
                principal: Subject {
                    ty: TypeId(7),
                    exists: subject & 1 != 0,
                },
                action: (action != 0).then_some(Action {
                    id: EntityId(action),
                    subject: Subject {
                        ty: TypeId(3),
                        exists: true,
                    },
                }),
                resource: Subject {
                    ty: TypeId(8 + (subject >> 1)),
                    exists: true,
                },
            })
        })
    }

    #[test]
    fn every_key_has_a_place_of_its_own_and_keeps_it() {
        let table = BucketTable::default();
        let places: Vec<u32> = keys().filter_map(|key| table.place(key)).collect();
        assert_eq!(places.len(), keys().count(), "some key found no place");
        let mut distinct = places.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), places.len());
        let again: Vec<u32> = keys().filter_map(|key| table.place(key)).collect();
        assert_eq!(again, places);
    }

    #[test]
    fn a_table_takes_no_memory_until_a_request_comes() {
        let table = BucketTable::default();
        assert!(table.get(0).is_none());
        assert_eq!(table.stats(), (0, 0));
        assert!(table.places.get().is_none());
        assert!(keys().next().and_then(|key| table.place(key)).is_some());
        assert!(table.places.get().is_some());
    }

    #[test]
    fn facts_are_shared_while_the_entities_are_the_same() {
        let engine = Engine::builder()
            .policies_str("permit (principal, action, resource);")
            .build()
            .unwrap();
        let facts = || Arc::clone(engine.snapshot().buckets.facts());
        let before = facts();
        let more = "forbid (principal, action, resource) when { resource.closed };";
        engine
            .add_policy(
                Policy::parse(None, more)
                    .unwrap()
                    .new_id("more".parse().unwrap()),
            )
            .unwrap();
        assert!(Arc::ptr_eq(&before, &facts()));
        engine.replace_entities(Entities::empty()).unwrap();
        assert!(!Arc::ptr_eq(&before, &facts()));
    }
}
