//! The scope index: which policies can apply to a request.
//!
//! A scope constraint cannot fail, so a policy whose scope is false is unobservable, and skipping
//! it changes nothing. The index yields every policy whose action constraint holds and whose
//! principal and resource constraints *may* hold; the policy's body checks the latter again.
//!
//! A policy that names an entity in its principal or resource scope is posted under that entity,
//! on the side where fewer policies share it, once for each action that it applies to. A request
//! looks up its principal and the principal's ancestors, its resource and the resource's
//! ancestors. Policies that name neither are posted under their actions alone.

use crate::store::Store;
use cedarjit_frontend::hir::{ActionConstraint, BoundPolicy, EntityRef};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

/// With at most this many policies, all are posted under their actions alone: checking a scope
/// inline is cheaper than looking up every ancestor.
const FEW_POLICIES: usize = 12;

/// Stands for "any action" where an action's id is expected; no entity has this id.
const ANY_ACTION: EntityId = EntityId(u32::MAX);

/// The action, and the entity on the posted side.
type Key = (EntityId, EntityId);

type Map<K, V> = HashMap<K, V, RandomState>;

/// A contiguous part of the index's postings.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    start: u32,
    len: u32,
}

/// What a request asks the index for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) principal: EntityId,
    pub(crate) action: EntityId,
    pub(crate) resource: EntityId,
    pub(crate) store: &'a Store,
}

/// Where a policy is posted, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The actions it applies to; `None` for any.
    pub actions: Option<Vec<EntityId>>,
    /// The side and entity that it is posted under; `None` if under its actions alone.
    pub under: Option<(Side, EntityId)>,
}

/// A side of the scope that policies can be posted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The principal.
    Principal,
    /// The resource.
    Resource,
}

/// The scope index of one snapshot.
#[derive(Debug, Default)]
pub(crate) struct ScopeIndex {
    postings: Vec<PolicyIndex>,
    /// By the action's id.
    by_action: Vec<Range>,
    any_action: Range,
    by_principal: Map<Key, Range>,
    by_resource: Map<Key, Range>,
    /// The entities that some policy is posted under, by side.
    principals: BitSet,
    resources: BitSet,
}

impl ScopeIndex {
    /// Posts every policy. O(policies × actions each applies to + ancestors in the store).
    pub(crate) fn build(policies: &[BoundPolicy], store: &Store) -> Self {
        let mut groups = Groups::default();
        for (i, posting) in postings(policies, store).into_iter().enumerate() {
            groups.add(PolicyIndex::from_index(i), &posting);
        }
        groups.finish()
    }

    /// Whether any policy is posted under an entity.
    #[inline]
    pub(crate) fn has_scoped(&self) -> bool {
        !self.by_principal.is_empty() || !self.by_resource.is_empty()
    }

    /// The policies that are posted under an action alone, or under nothing, each once.
    #[inline]
    pub(crate) fn unscoped(&self, action: EntityId) -> impl Iterator<Item = PolicyIndex> {
        let range = self.by_action.get(action.index()).copied();
        let own = self.posted(range.unwrap_or_default());
        self.posted(self.any_action).iter().chain(own).copied()
    }

    /// Calls `visit` with each policy that may apply, each once.
    #[inline]
    pub(crate) fn candidates(&self, query: Query<'_>, mut visit: impl FnMut(PolicyIndex)) {
        self.unscoped(query.action).for_each(&mut visit);
        self.scoped(query, visit);
    }

    /// Calls `visit` with each policy that may apply and is posted under an entity, each once.
    #[inline]
    pub(crate) fn scoped(&self, query: Query<'_>, mut visit: impl FnMut(PolicyIndex)) {
        let sides = [
            (&self.by_principal, &self.principals, query.principal),
            (&self.by_resource, &self.resources, query.resource),
        ];
        for (map, keys, entity) in sides {
            if map.is_empty() {
                continue;
            }
            let mut ancestors = query.store.ancestors_of(entity);
            if planted(Fault::LastAncestorSkipped) {
                ancestors = ancestors.split_last().map_or(ancestors, |(_, rest)| rest);
            }
            for id in std::iter::once(&entity.0).chain(ancestors) {
                if !keys.contains(*id) {
                    continue;
                }
                for action in [ANY_ACTION, query.action] {
                    if let Some(range) = map.get(&(action, EntityId(*id))) {
                        for policy in self.posted(*range) {
                            visit(*policy);
                        }
                    }
                }
            }
        }
    }

    #[inline]
    fn posted(&self, range: Range) -> &[PolicyIndex] {
        let start = range.start as usize;
        self.postings
            .get(start..start + range.len as usize)
            .unwrap_or(&[])
    }
}

/// Decides for each policy where it is posted.
pub(crate) fn postings(policies: &[BoundPolicy], store: &Store) -> Vec<Posting> {
    let groups = ActionGroups::new(policies, store);
    let few = policies.len() <= FEW_POLICIES;
    let mut counts: Map<(Side, EntityId), u32> = Map::default();
    for policy in policies {
        for side in [Side::Principal, Side::Resource] {
            if let Some(entity) = scope_entity(policy, side) {
                *counts.entry((side, entity)).or_default() += 1;
            }
        }
    }
    policies
        .iter()
        .map(|policy| Posting {
            actions: groups.actions(&policy.policy.action),
            under: if few { None } else { choose(policy, &counts) },
        })
        .collect()
}

/// The side on which fewer policies name the same entity.
fn choose(policy: &BoundPolicy, counts: &Map<(Side, EntityId), u32>) -> Option<(Side, EntityId)> {
    [Side::Principal, Side::Resource]
        .into_iter()
        .filter_map(|side| scope_entity(policy, side).map(|entity| (side, entity)))
        .min_by_key(|key| counts.get(key).copied().unwrap_or(0))
}

/// The entity that a policy's scope names on one side.
fn scope_entity(policy: &BoundPolicy, side: Side) -> Option<EntityId> {
    let constraint = match side {
        Side::Principal => &policy.policy.principal,
        Side::Resource => &policy.policy.resource,
    };
    match constraint.entity()? {
        EntityRef::Entity(entity) => Some(entity),
        // A link binds every slot of its template; loading checks it.
        EntityRef::Slot(slot) => policy.slots.get(slot),
    }
}

/// Whether a policy's action constraint holds for an action.
pub(crate) fn action_matches(
    constraint: &ActionConstraint,
    action: EntityId,
    store: &Store,
) -> bool {
    let is = |group: EntityId| action == group && !planted(Fault::ActionNotInItself);
    let in_group = |group: EntityId| is(group) || store.is_descendant(action, group);
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(other) => action == *other,
        ActionConstraint::In(groups) => groups.iter().any(|group| in_group(*group)),
    }
}

/// The descendants of every entity that an action constraint names.
struct ActionGroups {
    members: Map<EntityId, Vec<EntityId>>,
}

impl ActionGroups {
    fn new(policies: &[BoundPolicy], store: &Store) -> Self {
        let mut members: Map<EntityId, Vec<EntityId>> = Map::default();
        let mut seen: HashSet<*const ActionConstraint, RandomState> = HashSet::default();
        for policy in policies {
            // All links of a template share the constraint.
            if !seen.insert(&raw const policy.policy.action) {
                continue;
            }
            if let ActionConstraint::In(groups) = &policy.policy.action {
                for group in groups {
                    members.entry(*group).or_insert_with(|| vec![*group]);
                }
            }
        }
        if !members.is_empty() {
            for i in 0..store.headers().len() {
                let entity = EntityId::from_index(i);
                let mut ancestors = store.ancestors_of(entity);
                if planted(Fault::OneActionGroup) {
                    ancestors = ancestors.get(..1).unwrap_or(ancestors);
                }
                for ancestor in ancestors {
                    if let Some(list) = members.get_mut(&EntityId(*ancestor)) {
                        list.push(entity);
                    }
                }
            }
        }
        Self { members }
    }

    /// The actions for which a constraint holds, each once; `None` for any action.
    fn actions(&self, constraint: &ActionConstraint) -> Option<Vec<EntityId>> {
        match constraint {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(action) => Some(vec![*action]),
            ActionConstraint::In(groups) => {
                let mut actions: Vec<EntityId> = groups
                    .iter()
                    .filter_map(|group| self.members.get(group))
                    .flatten()
                    .copied()
                    .collect();
                actions.sort_unstable();
                actions.dedup();
                Some(actions)
            }
        }
    }
}

/// Postings while they are collected.
#[derive(Default)]
struct Groups {
    any_action: Vec<PolicyIndex>,
    by_action: Map<EntityId, Vec<PolicyIndex>>,
    by_side: [Map<Key, Vec<PolicyIndex>>; 2],
}

impl Groups {
    fn add(&mut self, policy: PolicyIndex, posting: &Posting) {
        let any = [ANY_ACTION];
        let actions = posting.actions.as_deref().unwrap_or(&any);
        for action in actions {
            let group = match posting.under {
                Some((side, entity)) => self.by_side[side as usize]
                    .entry((*action, entity))
                    .or_default(),
                None if *action == ANY_ACTION => &mut self.any_action,
                None => self.by_action.entry(*action).or_default(),
            };
            group.push(policy);
        }
    }

    fn finish(self) -> ScopeIndex {
        let mut index = ScopeIndex::default();
        index.any_action = index.store(self.any_action);
        let last = self.by_action.keys().map(|action| action.index()).max();
        index.by_action = vec![Range::default(); last.map_or(0, |last| last + 1)];
        for (action, group) in self.by_action {
            let range = index.store(group);
            if let Some(place) = index.by_action.get_mut(action.index()) {
                *place = range;
            }
        }
        let [principals, resources] = self.by_side;
        for (key, group) in principals {
            let range = index.store(group);
            index.principals.insert(key.1.0);
            index.by_principal.insert(key, range);
        }
        for (key, group) in resources {
            let range = index.store(group);
            index.resources.insert(key.1.0);
            index.by_resource.insert(key, range);
        }
        index
    }
}

impl ScopeIndex {
    fn store(&mut self, group: Vec<PolicyIndex>) -> Range {
        let range = Range {
            start: self.postings.len() as u32,
            len: group.len() as u32,
        };
        self.postings.extend(group);
        range
    }
}

/// A set of entity ids.
#[derive(Debug, Default)]
struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    fn insert(&mut self, id: u32) {
        let word = (id / 64) as usize;
        let len = self.words.len();
        if len < word || (len == word && !planted(Fault::BitSetBoundary)) {
            self.words.resize(word + 1, 0);
        }
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << (id % 64);
        }
    }

    fn contains(&self, id: u32) -> bool {
        self.words
            .get((id / 64) as usize)
            .is_some_and(|word| word >> (id % 64) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_set_holds_what_was_inserted() {
        let mut set = BitSet::default();
        for id in [0, 63, 64, 1000] {
            set.insert(id);
        }
        for id in 0..1100 {
            assert_eq!(set.contains(id), [0, 63, 64, 1000].contains(&id), "{id}");
        }
        assert!(!set.contains(u32::MAX));
    }
}
