//! An engine on its way through transactions.

use super::Strayed;
use super::goal::{Goal, template};
use super::state::{Row, State};
use crate::engines::{EngineError, TestRequest};
use crate::generator::Rng;
use ::cedarjit::{
    Binder, BoundRequest, Engine, EngineBuilder, RequestError, Transaction, UpdateError,
};
use cedar_policy::{Context, EntityUid, Policy, Request};
use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

/// At most about this many changes in a transaction.
const CHANGES: usize = 5;

/// At most this many detours, each of which builds some snapshots.
const DETOURS: usize = 8;

/// An engine, the state that it must be in, and where it is to go.
pub(in crate::engines) struct Wanderer {
    pub(in crate::engines) engine: Engine,
    /// Goes along with the engine, and remembers what it should.
    binder: Binder,
    now: State,
    goal: Goal,
    rng: Rng,
    /// How many more detours it may make.
    detours: usize,
}

/// A part of a transaction.
enum Change {
    Upsert(EntityUid, Row),
    Remove(EntityUid),
    Parents(EntityUid, BTreeSet<EntityUid>),
    AddPolicy(usize),
    RemovePolicy(usize),
    /// All policies are replaced by these.
    ReplacePolicies(BTreeSet<cedar_policy::PolicyId>),
    /// All entities are replaced by themselves, in one value.
    ReplaceEntities,
    /// The schema is replaced by itself, after it was taken away or not.
    ReplaceSchema(bool),
    /// The closure returns an error.
    Fail,
    /// A policy is removed that is not there; the closure says nothing of it.
    FailSilently,
}

impl Wanderer {
    /// An engine with a part of the goal, and some things besides.
    pub(super) fn start(
        goal: Goal,
        mut rng: Rng,
        builder: EngineBuilder,
    ) -> Result<Self, EngineError> {
        let mut now = State::default();
        for policy in &goal.policies {
            if rng.one_in(2) {
                now.policies.insert(policy.id().clone());
                let link = template(policy).map(|(id, _)| id.clone());
                now.templates.extend(link);
            }
        }
        if rng.one_in(2) {
            let kept = 1 + rng.below(4);
            for uid in &goal.uids {
                let row = match goal.entities.get(uid) {
                    Some(own) if !rng.one_in(4) => Some(own.clone()),
                    _ => goal.row(uid, &mut rng),
                };
                if let Some(row) = row.filter(|_| rng.below(4) < kept) {
                    now.entities.insert(uid.clone(), row);
                    if now.has_cycle() {
                        now.entities.remove(uid);
                    }
                }
            }
        }
        let entities = now.entities(&goal)?;
        now.close(&entities);
        let builder = builder.policies(&goal.policy_set(&now.policies)?);
        let engine = builder.entities(entities).build();
        let engine = engine.map_err(EngineError::load)?;
        Ok(Self {
            binder: Binder::new(engine.snapshot()),
            engine,
            now,
            goal,
            rng,
            detours: DETOURS,
        })
    }

    /// Goes through a transaction, and most often has code fused for some request first.
    pub(in crate::engines) fn wander(&mut self) -> Result<(), EngineError> {
        if !self.rng.one_in(4) {
            self.warm_up();
        }
        let count = 1 + self.rng.below(CHANGES);
        let changes: Vec<Change> = (0..count).filter_map(|_| self.change()).collect();
        self.apply(&changes).map(drop)
    }

    /// Goes through the transactions that are missing to the goal's state.
    pub(in crate::engines) fn go_home(&mut self) -> Result<(), EngineError> {
        let mut missing = self.missing();
        // In an order of its own.
        for place in (1..missing.len()).rev() {
            missing.swap(place, self.rng.below(place + 1));
        }
        while !missing.is_empty() && self.rng.one_in(2) {
            let part = missing.split_off(self.rng.below(missing.len()));
            // A parent may have to leave first.
            if !self.apply(&part)? {
                missing.extend(part);
            }
        }
        if self.apply(&missing)? && self.goal.is_reached(&self.now) {
            return Ok(());
        }
        // A part that was put off may have been overtaken.
        let missing = self.missing();
        match self.apply(&missing)? && self.goal.is_reached(&self.now) {
            true => Ok(()),
            false => Err(EngineError::load(Strayed::Refused(UpdateError::Failed))),
        }
    }

    fn missing(&self) -> Vec<Change> {
        let mut missing = Vec::new();
        for (uid, own) in &self.goal.entities {
            match self.now.entities.get(uid) {
                Some(row) if !row.own => missing.push(Change::Upsert(uid.clone(), own.clone())),
                Some(row) if row.parents != own.parents => {
                    missing.push(Change::Parents(uid.clone(), own.parents.clone()));
                }
                Some(_) => {}
                None => missing.push(Change::Upsert(uid.clone(), own.clone())),
            }
        }
        let strangers = self.now.entities.keys();
        let strangers = strangers.filter(|uid| !self.goal.entities.contains_key(*uid));
        missing.extend(strangers.cloned().map(Change::Remove));
        for (place, policy) in self.goal.policies.iter().enumerate() {
            if !self.now.policies.contains(policy.id()) {
                missing.push(Change::AddPolicy(place));
            }
        }
        missing
    }

    fn change(&mut self) -> Option<Change> {
        let rng = &mut self.rng;
        Some(match rng.weighted(&[8, 5, 5, 2, 2, 1, 1, 2, 2, 1]) {
            0 => {
                let uid = rng.pick(&self.goal.uids)?.clone();
                let row = self.goal.row(&uid, rng)?;
                Change::Upsert(uid, row)
            }
            1 => Change::Remove(rng.pick(&self.goal.uids)?.clone()),
            2 => {
                let uid = rng.pick(&self.goal.uids)?.clone();
                let parents = self.goal.parents(&uid, rng);
                let mut row = self.now.entities.get(&uid)?.clone();
                row.parents.clone_from(&parents);
                self.goal.admits(&uid, &row).then_some(())?;
                Change::Parents(uid, parents)
            }
            kind @ (3 | 4) => {
                let place = rng.below(self.goal.policies.len());
                let policy = self.goal.policies.get(place)?;
                match self.now.policies.contains(policy.id()) {
                    false if kind == 3 || rng.one_in(8) => Change::AddPolicy(place),
                    true if kind == 4 || rng.one_in(8) => Change::RemovePolicy(place),
                    _ => return None,
                }
            }
            5 => {
                let ids = self.goal.policies.iter().map(|policy| policy.id().clone());
                Change::ReplacePolicies(ids.filter(|_| !rng.one_in(4)).collect())
            }
            6 => Change::ReplaceEntities,
            7 => Change::Fail,
            8 => Change::FailSilently,
            _ => Change::ReplaceSchema(rng.one_in(2)),
        })
    }

    /// Applies changes to the engine and to the model. Whether they took effect: if they should
    /// have and did not, or the other way round, that is an error.
    fn apply(&mut self, changes: &[Change]) -> Result<bool, EngineError> {
        let mut next = self.now.clone();
        let mut valid = true;
        for change in changes {
            valid &= change.on_model(&mut next, &self.goal)?;
        }
        valid &= !next.has_cycle();
        let before = self.engine.snapshot();
        let (goal, state) = (&self.goal, self.now.clone());
        let mut strayed = None;
        let result = self.engine.update(|tx| {
            let mut steps = Steps {
                tx,
                goal,
                state,
                strayed: &mut strayed,
            };
            changes.iter().try_for_each(|change| steps.take(change))
        });
        if let Some(strayed) = strayed {
            return Err(strayed);
        }
        match result {
            Ok(()) if valid => self.now = next,
            Ok(()) => return Err(EngineError::load(Strayed::Admitted)),
            Err(error) if valid => return Err(EngineError::load(Strayed::Refused(error))),
            Err(_) if !Arc::ptr_eq(&before, &self.engine.snapshot()) => {
                return Err(EngineError::load(Strayed::NotAsBefore));
            }
            Err(_) => {}
        }
        Ok(valid)
    }

    /// Has code fused for a request about known entities.
    fn warm_up(&mut self) {
        let rng = &mut self.rng;
        let scopes = self.goal.policies.iter().map(Policy::action_constraint);
        let actions: Vec<EntityUid> = scopes.flat_map(named_actions).collect();
        let uids = [&self.goal.uids, &actions, &self.goal.uids];
        let [Some(principal), Some(action), Some(resource)] =
            uids.map(|uids| rng.pick(uids).cloned())
        else {
            return;
        };
        let request = Request::new(principal, action, resource, Context::empty(), None);
        let bound = request.map(|request| self.engine.snapshot().bind(&request));
        if let Ok(Ok(bound)) = bound {
            bound.warm_up();
        }
    }

    /// Binds a request to the state that the engine is in.
    pub(in crate::engines) fn bind(
        &mut self,
        request: &TestRequest,
    ) -> Result<BoundRequest, RequestError> {
        self.binder.set_snapshot(self.engine.snapshot());
        let uids = [&request.principal, &request.action, &request.resource];
        let [principal, action, resource] = uids.map(|uid| &**uid);
        let context = &request.context.text;
        let bound = self
            .binder
            .bind(principal, action, resource, context, request.validate)?;
        Ok(bound.clone())
    }

    /// At times, leaves the goal's state and comes back, with code fused and entities listed for the
    /// request on either side, which the next state must not go on with where it no longer fits.
    pub(in crate::engines) fn detour(&mut self, request: &Request) -> Result<(), EngineError> {
        if self.detours == 0 || !self.rng.one_in(4) {
            return Ok(());
        }
        self.detours -= 1;
        let listed = self.detours.is_multiple_of(2);
        let warm_up = |engine: &Engine| {
            let bound = engine.snapshot().bind(request)?;
            bound.warm_up();
            if listed {
                list(&bound, request);
            }
            Ok::<_, RequestError>(())
        };
        // A state may refuse what another takes.
        drop(warm_up(&self.engine));
        self.wander()?;
        drop(warm_up(&self.engine));
        self.go_home()
    }
}

/// Has a batch list what it looks up.
fn list(bound: &BoundRequest, request: &Request) {
    let snapshot = bound.snapshot();
    let resource = request.resource().map(ToString::to_string);
    let resource = resource.and_then(|uid| snapshot.resolve(&uid).ok().flatten());
    if let Some(resource) = resource {
        snapshot.list_descendants();
        let mut batch = bound.for_resources();
        batch.warm_up(resource);
    }
}

fn named_actions(constraint: cedar_policy::ActionConstraint) -> Vec<EntityUid> {
    match constraint {
        cedar_policy::ActionConstraint::Any => Vec::new(),
        cedar_policy::ActionConstraint::In(actions) => actions,
        cedar_policy::ActionConstraint::Eq(action) => vec![action],
    }
}

impl Change {
    /// Changes the model. False if the transaction must fail.
    fn on_model(&self, state: &mut State, goal: &Goal) -> Result<bool, EngineError> {
        match self {
            Self::Upsert(uid, row) => drop(state.entities.insert(uid.clone(), row.clone())),
            Self::Remove(uid) => drop(state.remove(uid)),
            Self::Parents(uid, parents) => {
                if let Some(row) = state.entities.get_mut(uid) {
                    row.parents.clone_from(parents);
                }
            }
            Self::AddPolicy(place) => {
                let Some(policy) = goal.policies.get(*place) else {
                    return Ok(true);
                };
                state
                    .templates
                    .extend(template(policy).map(|(id, _)| id.clone()));
                return Ok(state.policies.insert(policy.id().clone()));
            }
            Self::RemovePolicy(place) => {
                let id = goal.policies.get(*place).map(Policy::id);
                return Ok(id.is_none_or(|id| state.policies.remove(id)));
            }
            Self::ReplacePolicies(ids) => {
                state.policies.clone_from(ids);
                let kept = goal.policies.iter().filter(|p| ids.contains(p.id()));
                let templates = kept.filter_map(|policy| Some(template(policy)?.0.clone()));
                state.templates = templates.collect();
            }
            Self::ReplaceEntities if state.has_cycle() => return Ok(false),
            Self::ReplaceEntities => {
                let entities = state.entities(goal)?;
                state.close(&entities);
            }
            Self::ReplaceSchema(_) => return Ok(goal.schema().is_none() || !state.has_cycle()),
            Self::Fail | Self::FailSilently => return Ok(false),
        }
        Ok(true)
    }
}

/// A transaction in the making.
struct Steps<'a, 't, 'e> {
    tx: &'a mut Transaction<'e>,
    goal: &'t Goal,
    /// What the transaction must have become so far.
    state: State,
    strayed: &'t mut Option<EngineError>,
}

impl Steps<'_, '_, '_> {
    fn take(&mut self, change: &Change) -> Result<(), UpdateError> {
        let known = mem::take(&mut self.state);
        let mut next = known.clone();
        let taken = self.change(change, &known);
        match change.on_model(&mut next, self.goal) {
            Ok(_) => {}
            Err(error) => self.stray(error),
        }
        self.state = next;
        taken
    }

    fn stray(&mut self, error: EngineError) {
        self.strayed.get_or_insert(error);
    }

    fn change(&mut self, change: &Change, known: &State) -> Result<(), UpdateError> {
        match change {
            Change::Upsert(uid, row) => match self.goal.entity(uid, row) {
                Ok(entity) => self.tx.upsert_entity(entity)?,
                Err(error) => self.stray(error),
            },
            Change::Remove(uid) => {
                let removed = self.tx.remove_entity(uid)?;
                self.existence(uid, removed, known);
            }
            Change::Parents(uid, parents) => {
                let set = self.tx.set_parents(uid, parents.iter().cloned())?;
                self.existence(uid, set, known);
            }
            Change::AddPolicy(place) => self.add_policy(*place, known)?,
            Change::RemovePolicy(place) => {
                if let Some(policy) = self.goal.policies.get(*place) {
                    self.tx.remove_policy(policy.id().clone())?;
                }
            }
            Change::ReplacePolicies(ids) => match self.goal.policy_set(ids) {
                Ok(set) => self.tx.replace_policies(&set)?,
                Err(error) => self.stray(error),
            },
            Change::ReplaceEntities => match known.entities(self.goal) {
                Ok(entities) => self.tx.replace_entities(entities)?,
                Err(_) => return Err(UpdateError::Failed),
            },
            Change::ReplaceSchema(removed) => {
                if *removed && self.tx.remove_schema()? != self.goal.schema().is_some() {
                    self.stray(EngineError::load(Strayed::Schema));
                }
                self.goal.give_schema(self.tx)?;
            }
            Change::Fail => return Err(UpdateError::Failed),
            Change::FailSilently => {
                let id = cedar_policy::PolicyId::new("no policy has this id");
                drop(self.tx.remove_policy(id));
            }
        }
        Ok(())
    }

    fn add_policy(&mut self, place: usize, known: &State) -> Result<(), UpdateError> {
        let Some(policy) = self.goal.policies.get(place) else {
            return Ok(());
        };
        let Some((id, slots)) = template(policy) else {
            return self.tx.add_policy(policy.clone());
        };
        if let Some(template) = self.goal.template(id)
            && !known.templates.contains(id)
        {
            self.tx.add_template(template.clone())?;
        }
        self.tx.link(id.clone(), policy.id().clone(), slots)
    }

    fn existence(&mut self, uid: &EntityUid, said: bool, known: &State) {
        if said != known.entities.contains_key(uid) {
            self.stray(EngineError::load(Strayed::Existence(uid.clone())));
        }
    }
}
