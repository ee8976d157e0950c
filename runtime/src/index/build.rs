//! Building the scope index.

use super::posting::{ActionGroups, Class, Key, Side, classes, keys, scope_entity};
use super::{ANY_NAME, Action, Group, Groups, Range, ScopeIndex, SideIndex};
use crate::store::{Name, Store};
use cedarjit_frontend::hir::{ActionConstraint, BoundPolicy};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{EntityId, PolicyIndex};
use cedarjit_ir::interner::CapacityError;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::ops::Range as Span;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Where a policy goes; in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Record {
    key: Key,
    class: Class,
    other: Name,
    policy: PolicyIndex,
}

impl ScopeIndex {
    /// Posts every policy. O(n log n) for n policies, and O(m) for m entities with their ancestors.
    ///
    /// # Errors
    /// When a table of the store is full.
    pub(crate) fn build(
        policies: &[BoundPolicy],
        store: &mut Store,
    ) -> Result<Self, CapacityError> {
        let mut index = Self::default();
        let (classes, constraints) = classes(policies);
        let keys = keys(policies, &classes);
        if keys.iter().any(|key| *key != Key::Actions) {
            name_scopes(policies, store)?;
        }
        let store = &*store;
        let name = |side: Side, policy: &BoundPolicy| {
            let entity = scope_entity(policy, side);
            entity.map_or(ANY_NAME, |entity| {
                store.name(entity, side).unwrap_or(ANY_NAME)
            })
        };
        let records = keys.into_iter().zip(policies).zip(classes).enumerate();
        let mut records: Vec<Record> = records
            .map(|(i, ((key, policy), class))| Record {
                key,
                class,
                other: match key {
                    Key::Actions => ANY_NAME,
                    Key::Entity(side, _) | Key::Type(side, _) => name(side.other(), policy),
                },
                policy: PolicyIndex::from_index(i),
            })
            .collect();
        records.sort_unstable();
        index.index_actions(&constraints, &records, store);
        index.principals = SideIndex::new(store.names(Side::Principal));
        index.resources = SideIndex::new(store.names(Side::Resource));
        index.index_keys(&records, store);
        index.postings.shrink_to_fit();
        index.groups.shrink_to_fit();
        Ok(index)
    }

    /// Posts what is posted under actions alone, and finds the constraints of each action.
    fn index_actions(
        &mut self,
        constraints: &[&ActionConstraint],
        records: &[Record],
        store: &Store,
    ) {
        let groups = ActionGroups::new(constraints.iter().copied(), store);
        self.action_groups = groups.groups().collect();
        let alone = records.partition_point(|r| r.key == Key::Actions);
        let alone = records.get(..alone).unwrap_or(records);
        let mut by_action: Map<EntityId, (Vec<PolicyIndex>, Vec<Class>)> = Map::default();
        let mut any_action = Vec::new();
        for (class, constraint) in constraints.iter().enumerate() {
            let class = class as Class;
            let start = alone.partition_point(|r| r.class < class);
            let end = alone.partition_point(|r| r.class <= class);
            let own = alone.get(start..end).unwrap_or(&[]);
            let own = own.iter().map(|r| r.policy);
            match groups.actions(constraint) {
                None => {
                    self.any_class = Some(class);
                    any_action.extend(own);
                }
                Some(actions) => {
                    for action in actions {
                        let (policies, classes) = by_action.entry(action).or_default();
                        policies.extend(own.clone());
                        classes.push(class);
                    }
                }
            }
        }
        self.any_action = self.post(any_action);
        let first = by_action.keys().map(|action| action.index()).min();
        let last = by_action.keys().map(|action| action.index()).max();
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        self.first_action = first;
        self.actions = vec![Action::default(); last - first + 1];
        for (action, (policies, mut classes)) in by_action {
            if !planted(Fault::AnyActionForgotten) {
                classes.extend(self.any_class);
            }
            classes.sort_unstable();
            let alone = self.post(policies);
            let classes = append(&mut self.classes, classes);
            if let Some(place) = self.actions.get_mut(action.index() - first) {
                *place = Action { alone, classes };
            }
        }
    }

    /// Posts what is posted under entities and types.
    fn index_keys(&mut self, records: &[Record], store: &Store) {
        for run in runs(records, |r| r.key) {
            let own = records.get(run).unwrap_or(&[]);
            let Some(key) = own.first().map(|r| r.key) else {
                continue;
            };
            if key == Key::Actions {
                continue;
            }
            self.has_scoped = true;
            let groups = self.group(own);
            match key {
                Key::Actions => {}
                Key::Type(Side::Principal, ty) => {
                    self.principals.types.insert(ty, groups);
                }
                Key::Type(Side::Resource, ty) => {
                    self.resources.types.insert(ty, groups);
                }
                Key::Entity(side, entity) => {
                    let table = match side {
                        Side::Principal => &mut self.principals.groups,
                        Side::Resource => &mut self.resources.groups,
                    };
                    let name = store.name(entity, side).unwrap_or(ANY_NAME);
                    if let Some(place) = table.get_mut(name as usize) {
                        *place = match groups.len {
                            1 => self.groups.pop().map_or(groups.into(), Groups),
                            _ => groups.into(),
                        };
                    }
                }
            }
        }
    }

    /// Posts what is posted under one key.
    fn group(&mut self, records: &[Record]) -> Range {
        let start = self.groups.len() as u32;
        for run in runs(records, |r| r.class) {
            let of_class = records.get(run).unwrap_or(&[]);
            for run in runs(of_class, |r| r.other) {
                let own = of_class.get(run).unwrap_or(&[]);
                let Some(first) = own.first() else {
                    continue;
                };
                let other = first.other;
                if other == ANY_NAME && planted(Fault::OtherSideOpen) {
                    continue;
                }
                let Range { start, len } = match own {
                    [alone] => Range {
                        start: alone.policy.0,
                        len: 1,
                    },
                    _ => self.post(own.iter().map(|r| r.policy)),
                };
                self.groups.push(Group {
                    class: first.class,
                    other,
                    start,
                    len,
                });
            }
        }
        Range {
            start,
            len: self.groups.len() as u32 - start,
        }
    }

    fn post(&mut self, policies: impl IntoIterator<Item = PolicyIndex>) -> Range {
        append(&mut self.postings, policies)
    }
}

fn append<T>(table: &mut Vec<T>, items: impl IntoIterator<Item = T>) -> Range {
    let start = table.len();
    table.extend(items);
    Range {
        start: start as u32,
        len: (table.len() - start) as u32,
    }
}

/// The spans of items that have the same key and lie side by side.
fn runs<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> impl Iterator<Item = Span<usize>> {
    let mut start = 0;
    let chunks = items.chunk_by(move |a, b| key(a) == key(b));
    chunks.map(move |chunk| {
        let span = start..start + chunk.len();
        start = span.end;
        span
    })
}

/// Numbers the entities that scopes name, in the order of their ids, and brings the lists of all
/// entities up to date.
fn name_scopes(policies: &[BoundPolicy], store: &mut Store) -> Result<(), CapacityError> {
    let mut added = false;
    for side in Side::ALL {
        let scopes = policies.iter().filter_map(|p| scope_entity(p, side));
        let mut entities: Vec<EntityId> = scopes.collect();
        entities.sort_unstable();
        entities.dedup();
        for entity in entities {
            added |= store.add_name(entity, side);
        }
    }
    match added {
        true => store.list_all_names(),
        false => Ok(()),
    }
}

impl SideIndex {
    /// For so many names, under which nothing is posted yet.
    fn new(names: usize) -> Self {
        Self {
            groups: vec![Range::default().into(); names],
            ..Self::default()
        }
    }
}
