//! Links that were added, and policies that were removed, since a snapshot's table and index were
//! built.
//!
//! To build table and index anew takes time for every policy. A link of a template whose body the
//! table has takes none of that: its constants are those of the template's other links but for the
//! entities that it binds. So links come here first; when there are many, everything is built anew.

use crate::index::{Query, ScopeIndex, Side, action_matches, scope_entity};
use crate::policies::{Evaluable, PolicyTable};
use crate::store::Name;
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::load::LoadedPolicies;
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::{BodyId, EntityId, PolicyIndex};
use cedarjit_ir::interner::Interner;
use std::sync::Arc;

/// How many links and removals there may be: each transaction copies a word or two for each.
const MOST: usize = 512;

/// In a table with fewer policies, none are taken in here: to build it anew is cheap.
const FEWEST: usize = 64;

/// What differs from the table and the index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    links: Vec<Arc<RecentLink>>,
    /// On each side, the positions of links under the name that they are posted under, ascending.
    postings: [Vec<(Name, u32)>; 2],
    /// The policies of the table that are no more, ascending.
    removed: Vec<PolicyIndex>,
}

#[derive(Debug)]
struct RecentLink {
    policy: BoundPolicy,
    body: BodyId,
    consts: Box<[u64]>,
}

/// Where a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// In the table.
    Table(PolicyIndex),
    /// Among the recent links, at this position.
    Recent(usize),
}

impl Recent {
    /// Whether table and index are all there is.
    pub(crate) fn is_empty(&self) -> bool {
        self.links.is_empty() && self.removed.is_empty()
    }

    /// How many policies there are besides those of the table; negative if there are fewer.
    pub(crate) fn surplus(&self) -> isize {
        self.links.len() as isize - self.removed.len() as isize
    }

    /// Whether a policy of the table is no more.
    #[inline]
    pub(crate) fn is_removed(&self, policy: PolicyIndex) -> bool {
        !self.removed.is_empty() && self.removed.binary_search(&policy).is_ok()
    }

    /// The policy with this index, which lies beyond those of the table.
    pub(crate) fn policy(&self, table: &PolicyTable, index: PolicyIndex) -> Option<&BoundPolicy> {
        self.link(table, index).map(|link| &link.policy)
    }

    /// What evaluation needs of a policy beyond those of the table.
    pub(crate) fn evaluable<'a>(
        &'a self,
        table: &'a PolicyTable,
        index: PolicyIndex,
    ) -> Option<Evaluable<'a>> {
        let link = self.link(table, index)?;
        Some(Evaluable {
            body: table.bodies.get(link.body.index())?,
            consts: &link.consts,
            effect: link.policy.policy.effect,
        })
    }

    fn link(&self, table: &PolicyTable, index: PolicyIndex) -> Option<&RecentLink> {
        let position = index.index().checked_sub(table.policies().len())?;
        self.links.get(position).map(|link| &**link)
    }

    /// The recent links, with their indices.
    pub(crate) fn links<'a>(
        &'a self,
        table: &PolicyTable,
    ) -> impl Iterator<Item = (PolicyIndex, &'a BoundPolicy)> + use<'a> {
        let first = table.policies().len();
        let links = self.links.iter().enumerate();
        links.map(move |(i, link)| (PolicyIndex::from_index(first + i), &link.policy))
    }

    /// Calls `visit` with each recent link that may apply, each once.
    pub(crate) fn candidates(
        &self,
        table: &PolicyTable,
        query: Query<'_>,
        mut visit: impl FnMut(PolicyIndex),
    ) {
        if self.links.is_empty() {
            return;
        }
        let first = table.policies().len();
        for side in Side::ALL {
            let postings = &self.postings[side as usize];
            for name in query.named(side).iter() {
                let start = postings.partition_point(|(other, _)| *other < name);
                let own = postings
                    .iter()
                    .skip(start)
                    .take_while(|(other, _)| *other == name);
                for (_, position) in own {
                    let Some(link) = self.links.get(*position as usize) else {
                        continue;
                    };
                    let action = &link.policy.policy.action;
                    if action_matches(action, query.about.action, query.store) {
                        visit(PolicyIndex::from_index(first + *position as usize));
                    }
                }
            }
        }
    }

    /// Where the policy with this id is.
    pub(crate) fn find(&self, table: &PolicyTable, id: &str) -> Option<Found> {
        let recent = || self.links.iter().position(|link| link.policy.id == id);
        match table.loaded.find(id) {
            Ok(place) if !self.is_removed(PolicyIndex::from_index(place)) => {
                Some(Found::Table(PolicyIndex::from_index(place)))
            }
            _ => recent().map(Found::Recent),
        }
    }

    /// Takes in a link; `false` if it takes building table and index anew.
    pub(crate) fn add(
        &mut self,
        table: &PolicyTable,
        index: Option<&ScopeIndex>,
        link: &BoundPolicy,
        naming: &mut dyn Naming,
    ) -> bool {
        let Some(shape) = table.template(&link.policy.id) else {
            return false;
        };
        if index.is_none() || !self.has_room(table) {
            return false;
        }
        let scope = Side::ALL
            .into_iter()
            .find_map(|side| Some((side, scope_entity(link, side)?)));
        let Some((side, entity)) = scope else {
            return false;
        };
        let Some(name) = naming.name(entity, side) else {
            return false;
        };
        let position = self.links.len() as u32;
        self.links.push(Arc::new(RecentLink {
            policy: link.clone(),
            body: shape.body,
            consts: shape.consts(&link.slots),
        }));
        let postings = &mut self.postings[side as usize];
        let place = postings.partition_point(|posting| *posting < (name, position));
        postings.insert(place, (name, position));
        true
    }

    /// Removes a policy; `false` if it takes building table and index anew.
    pub(crate) fn remove(
        &mut self,
        table: &PolicyTable,
        index: Option<&ScopeIndex>,
        found: Found,
    ) -> bool {
        match found {
            Found::Table(policy) => {
                // What is posted under actions alone may be part of fused code.
                let scoped = index.is_some_and(|index| !index.is_unscoped(policy));
                if !scoped || !self.has_room(table) {
                    return false;
                }
                let place = self.removed.partition_point(|other| *other < policy);
                self.removed.insert(place, policy);
            }
            Found::Recent(position) => {
                self.links.remove(position);
                for postings in &mut self.postings {
                    postings.retain(|(_, other)| *other as usize != position);
                    for (_, other) in postings {
                        *other -= u32::from(*other as usize > position);
                    }
                }
            }
        }
        true
    }

    fn has_room(&self, table: &PolicyTable) -> bool {
        table.policies().len() >= FEWEST && self.links.len() + self.removed.len() < MOST
    }

    /// All policies, the table's and these.
    pub(crate) fn loaded(&self, table: &PolicyTable) -> LoadedPolicies {
        let mut loaded = table.loaded.clone();
        let mut place = 0;
        loaded.policies.retain(|_| {
            place += 1;
            planted(Fault::RemovedComeBack) || !self.is_removed(PolicyIndex::from_index(place - 1))
        });
        loaded
            .policies
            .extend(self.links.iter().map(|link| link.policy.clone()));
        loaded.policies.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        loaded
    }
}

/// Numbers entities for the index.
pub(crate) trait Naming {
    /// Makes known what was interned since.
    fn extend_to(&mut self, interner: &Interner);

    /// The number of an entity on a side, which all lists of names have then; `None` if they cannot.
    fn name(&mut self, entity: EntityId, side: Side) -> Option<Name>;
}
