//! Many decisions on one state: batches, and questions about everything there is.
//!
//! A [`Batch`] asks one request about many resources, or about many principals, in place of its own.
//! What depends on the part that stays is then computed once. Where requests of a kind are many they
//! have code of their own that decides about one entity after the other (see `code`); the rest, and
//! whatever that code leaves open, is decided one by one, at less cost than binding a request again.
//!
//! On batches rest the queries, which list what is allowed: which resources, which principals
//! ([`Allowed`]), which actions ([`AllowedActions`]).

mod actions;
mod allowed;
mod authorize;
mod candidates;
mod code;
mod decide;
mod kind;
mod lists;
mod lookup;

pub use actions::AllowedActions;
pub use allowed::Allowed;
pub(crate) use candidates::TypeLists;
pub(crate) use code::BatchCell;
#[cfg(feature = "other-targets")]
pub(crate) use code::varied;
pub use decide::Decisions;
pub(crate) use lists::Lists;

use crate::bind::BoundRequest;
use crate::evaluate::{Evaluation, Scratch};
use crate::index::Side;
use crate::request::{EntityHandle, RequestError};
use crate::snapshot::Snapshot;
use cedarjit_ir::ids::EntityId;
use decide::Work;
use kind::{Kind, Kinds};
use std::sync::Arc;

/// One request, asked about many resources or many principals in place of its own.
///
/// The decisions are those of [`BoundRequest::decide`], always. Who wants to know why asks about
/// that one entity with [`evaluate`](Self::evaluate).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use cedarjit::{Decision, Engine, Scratch};
///
/// let engine = Engine::builder()
///     .policies_str("permit (principal, action, resource) when { resource.public };")
///     .entities_json(r#"[
///         {"uid": {"type": "Doc", "id": "a"}, "attrs": {"public": true}, "parents": []},
///         {"uid": {"type": "Doc", "id": "b"}, "attrs": {"public": false}, "parents": []}
///     ]"#)
///     .build()?;
/// let snapshot = engine.snapshot();
/// let empty = serde_json::json!({});
/// let request =
///     snapshot.bind_json(r#"User::"ann""#, r#"Action::"view""#, r#"Doc::"a""#, &empty, true)?;
/// let documents = [r#"Doc::"a""#, r#"Doc::"b""#].map(|uid| snapshot.resolve(uid));
/// let documents = documents.into_iter().filter_map(|found| found.ok().flatten());
///
/// let mut batch = request.for_resources();
/// let decisions: Vec<_> = batch.decide(documents).iter().collect();
/// assert_eq!(decisions, [Some(Decision::Allow), Some(Decision::Deny)]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Batch {
    /// Whose principal or resource is exchanged for others.
    request: BoundRequest,
    side: Side,
    kinds: Kinds,
    /// A bit set by entity id: the one that stays and its ancestors.
    members: Vec<u64>,
    /// How many entities have been asked about.
    asked: usize,
    scratch: Scratch,
    work: Work,
}

impl BoundRequest {
    /// Asks this request about many resources in place of its own.
    ///
    /// O(entities / 64), to note the principal's ancestors.
    pub fn for_resources(&self) -> Batch {
        Batch::new(self.clone(), Side::Resource)
    }

    /// Asks this request about many principals in place of its own.
    ///
    /// O(entities / 64), to note the resource's ancestors.
    pub fn for_principals(&self) -> Batch {
        Batch::new(self.clone(), Side::Principal)
    }
}

impl Batch {
    fn new(request: BoundRequest, side: Side) -> Self {
        let (store, values) = (&request.snapshot.store, &request.details.values);
        let fixed = match side {
            Side::Principal => values.resource(),
            Side::Resource => values.principal(),
        };
        let mut members = vec![0_u64; store.headers().len().div_ceil(64)];
        for id in store.ancestors_of(fixed).iter().chain([fixed]) {
            // Nothing that is stored names an entity that only the request knows.
            if let Some(word) = members.get_mut(id.index() / 64) {
                *word |= 1 << (id.index() % 64);
            }
        }
        Self {
            kinds: Kinds::default(),
            request,
            side,
            members,
            asked: 0,
            scratch: Scratch::default(),
            work: Work::default(),
        }
    }

    /// The state that is asked.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        self.request.snapshot()
    }

    /// Decides about each of these entities.
    ///
    /// Where the request with one of them would be refused, because it does not fit the schema or
    /// the handle belongs elsewhere, there is no decision; [`evaluate`](Self::evaluate) says why.
    /// O(n) at a constant price for what policies without loops read; allocates nothing once it has
    /// grown to size, unless a policy is interpreted.
    pub fn decide(&mut self, entities: impl IntoIterator<Item = EntityHandle>) -> Decisions<'_> {
        let interner = &self.request.snapshot.interner;
        self.work
            .start(entities.into_iter().map(|e| e.id(interner)));
        self.decide_started()
    }

    /// Decides about entities of the snapshot.
    fn decide_ids(&mut self, ids: &[EntityId]) -> Decisions<'_> {
        self.work.start(ids.iter().map(|id| Some(*id)));
        self.decide_started()
    }

    /// Asks about one entity, with full diagnostics.
    ///
    /// # Errors
    /// When the request does not fit the schema with this entity, or the handle belongs elsewhere.
    pub fn evaluate<'a>(
        &'a mut self,
        entity: EntityHandle,
        scratch: &'a mut Scratch,
    ) -> Result<Evaluation<'a>, RequestError> {
        match self.side {
            Side::Principal => self.request.set_principal(entity)?,
            Side::Resource => self.request.set_resource(entity)?,
        }
        Ok(self.request.evaluate(scratch))
    }

    /// Compiles code for entities like this one now, if that has not been done; otherwise it happens
    /// in the background when many have been asked about. Where descendants are
    /// [listed](Snapshot::list_descendants), so is code that looks up what can be known before it runs,
    /// and who has whom in the attributes that it looks up is listed, too: O(entities) for each of
    /// these.
    ///
    /// Whether there is such code afterwards: there is none where the engine interprets, or where
    /// too many policies apply to the action.
    pub fn warm_up(&mut self, entity: EntityHandle) -> bool {
        let Some(id) = entity.id(&self.request.snapshot.interner) else {
            return false;
        };
        let kind = self.kind_of(id);
        let snapshot = &self.request.snapshot;
        let Some(place) = self.kinds.get(kind).and_then(|kind: &Kind| kind.place) else {
            return false;
        };
        if snapshot.lists.descendants().is_some() {
            snapshot.make_lookups(place, self.side);
        }
        snapshot.batch_code(place, self.side).is_some()
    }
}
