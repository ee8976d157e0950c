//! Where each policy is posted.

use crate::store::Store;
use cedarjit_frontend::hir::{ActionConstraint, BoundPolicy, EntityRef, Policy, ScopeConstraint};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, TypeId};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Where at most this many policies name an entity, all are posted under their actions alone: to
/// check a scope inline is cheaper than to look up.
const FEW_SCOPED: usize = 4;

/// Where there are at most this many policies, none is posted under a type.
const FEW_TYPED: usize = 64;

/// An action that at most this many policies name is more selective than a large group.
const RARE_ACTION: usize = 4;

/// How many times fewer policies a type must have than an entity to be as selective: most requests
/// are of the type, few are in the entity.
const TYPE_WEIGHT: usize = 16;

/// Where a policy is posted, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The actions it applies to; `None` for any.
    pub actions: Option<Vec<EntityId>>,
    /// The side and entity that it is posted under.
    pub under: Option<(Side, EntityId)>,
    /// The side and type that it is posted under, if under no entity.
    pub of_type: Option<(Side, TypeId)>,
}

/// A side of the scope that policies can be posted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The principal.
    Principal,
    /// The resource.
    Resource,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Principal, Self::Resource];

    pub(super) fn other(self) -> Self {
        match self {
            Self::Principal => Self::Resource,
            Self::Resource => Self::Principal,
        }
    }

    fn constraint(self, policy: &Policy) -> &ScopeConstraint {
        match self {
            Self::Principal => &policy.principal,
            Self::Resource => &policy.resource,
        }
    }
}

/// What a policy is posted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    /// Its actions alone.
    Actions,
    /// An entity, and what is in it.
    Entity(Side, EntityId),
    /// What has a type.
    Type(Side, TypeId),
}

/// The number of a distinct action constraint.
pub(super) type Class = u32;

/// The distinct action constraints, and the number of each policy's.
pub(super) fn classes(policies: &[BoundPolicy]) -> (Vec<Class>, Vec<&ActionConstraint>) {
    let mut constraints = Vec::new();
    let mut known: HashMap<&ActionConstraint, Class, RandomState> = HashMap::default();
    // All links of a template share the constraint.
    let mut shared: HashMap<*const ActionConstraint, Class, RandomState> = HashMap::default();
    let mut class = |constraint| {
        *known.entry(constraint).or_insert_with(|| {
            constraints.push(constraint);
            (constraints.len() - 1) as Class
        })
    };
    let mut classes = Vec::with_capacity(policies.len());
    for BoundPolicy { policy, .. } in policies {
        let number = shared.entry(&raw const policy.action);
        classes.push(*number.or_insert_with(|| class(&policy.action)));
    }
    (classes, constraints)
}

/// The most selective key of each policy: the one that fewest share.
pub(super) fn keys(policies: &[BoundPolicy], classes: &[Class]) -> Vec<Key> {
    let scoped = |p: &&BoundPolicy| {
        Side::ALL
            .iter()
            .any(|side| scope_entity(p, *side).is_some())
    };
    let few_scoped = policies.iter().filter(scoped).count() <= FEW_SCOPED;
    let few_typed = policies.len() <= FEW_TYPED;
    let possible = |policy: &BoundPolicy| {
        possible(policy).filter(move |key| match key {
            Key::Actions => true,
            Key::Entity(..) => !few_scoped,
            Key::Type(..) => !few_typed,
        })
    };
    let mut counts: HashMap<Key, usize, RandomState> = HashMap::default();
    for key in policies.iter().flat_map(possible) {
        *counts.entry(key).or_default() += 1;
    }
    let mut of_class: HashMap<Class, usize, RandomState> = HashMap::default();
    for class in classes {
        *of_class.entry(*class).or_default() += 1;
    }
    let cost = |key: &Key| {
        let count = counts.get(key).copied().unwrap_or(0);
        match key {
            Key::Type(..) => count.saturating_mul(TYPE_WEIGHT),
            _ => count,
        }
    };
    let best = |(policy, class): (&BoundPolicy, &Class)| {
        let best = possible(policy).min_by_key(cost)?;
        let rare = of_class.get(class).is_some_and(|n| *n <= RARE_ACTION);
        let named = matches!(policy.policy.action, ActionConstraint::Eq(_));
        let large = cost(&best) > RARE_ACTION * TYPE_WEIGHT;
        (!(rare && named && large)).then_some(best)
    };
    let policies = policies.iter().zip(classes);
    policies.map(|p| best(p).unwrap_or(Key::Actions)).collect()
}

/// The entities and types that a policy's scope names.
fn possible(policy: &BoundPolicy) -> impl Iterator<Item = Key> + use<> {
    let keys = Side::ALL.map(|side| match side.constraint(&policy.policy) {
        ScopeConstraint::Any => None,
        ScopeConstraint::Is(ty) => Some(Key::Type(side, *ty)),
        _ => scope_entity(policy, side).map(|entity| Key::Entity(side, entity)),
    });
    keys.into_iter().flatten()
}

/// The entity that a policy's scope names on one side.
pub(crate) fn scope_entity(policy: &BoundPolicy, side: Side) -> Option<EntityId> {
    match side.constraint(&policy.policy).entity()? {
        EntityRef::Entity(entity) => Some(entity),
        // A link binds every slot of its template; loading checks it.
        EntityRef::Slot(slot) => policy.slots.get(slot),
    }
}

/// Tells for each policy where it is posted.
pub(crate) fn postings(policies: &[BoundPolicy], store: &Store) -> Vec<Posting> {
    let groups = ActionGroups::new(policies.iter().map(|p| &p.policy.action), store);
    let (classes, _) = classes(policies);
    let keys = keys(policies, &classes).into_iter();
    keys.zip(policies)
        .map(|(key, policy)| Posting {
            actions: groups.actions(&policy.policy.action),
            under: match key {
                Key::Entity(side, entity) => Some((side, entity)),
                _ => None,
            },
            of_type: match key {
                Key::Type(side, ty) => Some((side, ty)),
                _ => None,
            },
        })
        .collect()
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
pub(super) struct ActionGroups {
    members: HashMap<EntityId, Vec<EntityId>, RandomState>,
}

impl ActionGroups {
    pub(super) fn new<'a>(
        constraints: impl Iterator<Item = &'a ActionConstraint>,
        store: &Store,
    ) -> Self {
        let mut members: HashMap<EntityId, Vec<EntityId>, RandomState> = HashMap::default();
        for constraint in constraints {
            if let ActionConstraint::In(groups) = constraint {
                for group in groups {
                    members.entry(*group).or_insert_with(|| vec![*group]);
                }
            }
        }
        if !members.is_empty() {
            for i in 0..store.headers().len() {
                let entity = EntityId::from_index(i);
                let ancestors = store.ancestors_of(entity);
                let most = match planted(Fault::OneActionGroup) {
                    true => 1,
                    false => ancestors.len(),
                };
                for ancestor in ancestors.iter().take(most) {
                    if let Some(list) = members.get_mut(&ancestor) {
                        list.push(entity);
                    }
                }
            }
        }
        Self { members }
    }

    /// The entities that action constraints name with `in`.
    pub(super) fn groups(&self) -> impl Iterator<Item = EntityId> {
        self.members.keys().copied()
    }

    /// The actions for which a constraint holds, each once; `None` for any action.
    pub(super) fn actions(&self, constraint: &ActionConstraint) -> Option<Vec<EntityId>> {
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
