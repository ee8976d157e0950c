//! What entities of one kind, of one type and stored or not, have in common in a batch.

use super::Batch;
use super::code::varied;
use super::lookup::LookupState;
use crate::bind::BoundRequest;
use crate::facts::subject;
use crate::fused::Key;
use crate::index::{Query, Side};
use crate::request::RequestPart;
use cedar_policy::EntityUid;
use cedarjit_ir::abi::missing_entity;
use cedarjit_ir::ids::EntityId;
use cedarjit_jit::Subject;

/// Whether the request may be about entities of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// About all of them.
    All,
    /// About none: the action does not apply to their type.
    None,
    /// It depends on the entity.
    Each,
}

/// Whether policies posted under entities or types may apply to entities of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scoped {
    /// To none.
    Never,
    /// To those that policies name, or whose ancestors they name.
    Named,
    /// To all.
    Always,
}

/// What entities of one kind have in common.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    subject: Subject,
    /// The place of their bucket.
    pub(super) place: Option<u32>,
    pub(super) fit: Fit,
    pub(super) scoped: Scoped,
    /// How many the code has been run for.
    pub(super) run: usize,
    /// How many of those it left undecided.
    pub(super) open: usize,
    /// What its code looks up.
    pub(super) lookups: LookupState,
}

impl Kind {
    /// Whether the code leaves so many undecided that it is not worth running.
    pub(super) fn is_mostly_open(&self) -> bool {
        self.run >= 256 && self.open > self.run / 2
    }
}

/// The kinds that a batch has met.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds {
    all: Vec<Kind>,
    /// The one that was met last.
    last: usize,
}

impl Kinds {
    pub(super) fn get(&self, kind: usize) -> Option<&Kind> {
        self.all.get(kind)
    }

    pub(super) fn get_mut(&mut self, kind: usize) -> Option<&mut Kind> {
        self.all.get_mut(kind)
    }

    fn find(&mut self, subject: Subject) -> Option<usize> {
        let is_last = |last: &Kind| last.subject == subject;
        if !self.all.get(self.last).is_some_and(is_last) {
            self.last = self.all.iter().position(|kind| kind.subject == subject)?;
        }
        Some(self.last)
    }
}

impl Batch {
    /// The number of the kind of an entity of the snapshot.
    pub(super) fn kind_of(&mut self, entity: EntityId) -> usize {
        let subject = subject(entity, &self.request.snapshot.store);
        if let Some(known) = self.kinds.find(subject) {
            return known;
        }
        let kind = Kind {
            subject,
            place: self.place(subject),
            fit: self.fit(subject),
            scoped: self.scoped(subject),
            run: 0,
            open: 0,
            lookups: LookupState::default(),
        };
        self.kinds.all.push(kind);
        self.kinds.last = self.kinds.all.len() - 1;
        self.kinds.last
    }

    fn place(&self, kind: Subject) -> Option<u32> {
        let (snapshot, values) = (&self.request.snapshot, &self.request.details.values);
        let action = values.action();
        let (principal, resource) = match self.side {
            Side::Principal => (kind, snapshot.subject(values.resource(), values)?),
            Side::Resource => (snapshot.subject(values.principal(), values)?, kind),
        };
        snapshot.buckets.place(Key {
            principal,
            action: snapshot.action(action),
            resource,
        })
    }

    pub(super) fn request_part(&self) -> RequestPart {
        match self.side {
            Side::Principal => RequestPart::Principal,
            Side::Resource => RequestPart::Resource,
        }
    }

    fn fit(&self, kind: Subject) -> Fit {
        let (snapshot, details) = (&self.request.snapshot, &self.request.details);
        let Some(schema) = snapshot.schema().filter(|_| details.validated) else {
            return Fit::All;
        };
        let action = details.values.action();
        let rules = snapshot.rules.as_ref();
        if let Some(rules) = rules.and_then(|rules| rules.action(action)) {
            let applicable = match self.side {
                Side::Principal => &rules.principals,
                Side::Resource => &rules.resources,
            };
            if applicable.has_type(kind.ty) {
                return Fit::All;
            }
        }
        let Some(action) = self.request.uid(action) else {
            return Fit::Each;
        };
        match applies(
            schema,
            self.side,
            &action,
            snapshot.interner.str(kind.ty.name()),
        ) {
            true => Fit::Each,
            false => Fit::None,
        }
    }

    fn scoped(&self, kind: Subject) -> Scoped {
        let snapshot = &self.request.snapshot;
        let index = snapshot.index.as_deref();
        let Some(index) = index.filter(|_| snapshot.has_scoped()) else {
            return Scoped::Never;
        };
        let values = &self.request.details.values;
        // Is anything visited for an entity of the type that no policy names?
        let unnamed = missing_entity(kind.ty.0);
        let store = &snapshot.store;
        let mut about = values.about(store);
        match self.side {
            Side::Principal => about.principal = &unnamed,
            Side::Resource => about.resource = &unnamed,
        }
        let query = Query { about, store };
        let mut any = false;
        snapshot.scoped(index, query, |_| any = true);
        match any {
            true => Scoped::Always,
            false => Scoped::Named,
        }
    }

    /// The request with this entity as the varied part.
    pub(super) fn request_about(&self, entity: EntityId) -> BoundRequest {
        let mut request = self.request.clone();
        match self.side {
            Side::Principal => request.details.values.set_principal(entity),
            Side::Resource => request.details.values.set_resource(entity),
        }
        request.seal();
        request
    }

    /// Exchanges the varied part of the request for an entity of this kind, which fits.
    pub(super) fn exchange(&mut self, entity: EntityId, place: Option<u32>) {
        let request = &mut self.request;
        match self.side {
            Side::Principal => request.details.values.set_principal(entity),
            Side::Resource => request.details.values.set_resource(entity),
        }
        request.bucket = place;
        if !request.frame.exchange(varied(self.side), entity) {
            request.seal();
        }
    }
}

/// Whether a schema lets an action apply to a type on one side of the scope.
pub(super) fn applies(
    schema: &cedar_policy::Schema,
    side: Side,
    action: &EntityUid,
    ty: &str,
) -> bool {
    let is = |name: &cedar_policy::EntityTypeName| name.to_string() == ty;
    match side {
        Side::Principal => {
            (schema.principals_for_action(action)).is_some_and(|mut types| types.any(is))
        }
        Side::Resource => {
            (schema.resources_for_action(action)).is_some_and(|mut types| types.any(is))
        }
    }
}
