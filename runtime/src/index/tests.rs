//! The index against asking every policy.

use super::{FEW, Query, ScopeIndex, action_matches};
use crate::store::Store;
use cedar_policy::Entities;
use cedarjit_frontend::hir::{BoundPolicy, EntityRef, ScopeConstraint};
use cedarjit_frontend::load::{load_policy_set, parse_policies};
use cedarjit_ir::ids::{EntityId, PolicyIndex, TypeId};
use cedarjit_ir::interner::Interner;
use cedarjit_jit::About;
use std::collections::BTreeSet;
use std::fmt::Write;

struct World {
    store: Store,
    policies: Vec<BoundPolicy>,
    index: ScopeIndex,
}

/// A chain of ten groups on each side, and two types.
fn world(policies: &str) -> World {
    let mut entities = Vec::new();
    for side in ["P", "R"] {
        for i in 0..10 {
            let parents = match i {
                0 => String::new(),
                _ => format!(r#"{{"type": "{side}", "id": "{}"}}"#, i - 1),
            };
            entities.push(format!(
                r#"{{"uid": {{"type": "{side}", "id": "{i}"}}, "attrs": {{}}, "parents": [{parents}]}}"#
            ));
        }
    }
    entities.push(r#"{"uid": {"type": "Action", "id": "all"}, "attrs": {}, "parents": []}"#.into());
    for i in 0..4 {
        entities.push(format!(
            r#"{{"uid": {{"type": "Action", "id": "{i}"}}, "attrs": {{}},
                 "parents": [{{"type": "Action", "id": "all"}}]}}"#
        ));
    }
    let entities = format!("[{}]", entities.join(","));
    let entities = Entities::from_json_str(&entities, None).unwrap();
    let mut interner = Interner::new();
    let mut store = Store::build(&entities, &mut interner).unwrap();
    let set = parse_policies(policies, "test").unwrap();
    let policies = load_policy_set(&set, &mut interner).unwrap();
    store.extend_to(&interner);
    let index = ScopeIndex::build(&policies, &mut store).unwrap();
    World {
        store,
        policies,
        index,
    }
}

impl World {
    /// Whether a constraint holds for an entity.
    fn holds(&self, constraint: &ScopeConstraint, entity: EntityId) -> bool {
        let of = |ty: TypeId| self.store.header(entity).ty == ty.0;
        let within = |other: EntityRef| {
            let EntityRef::Entity(other) = other else {
                return false;
            };
            entity == other || self.store.is_descendant(entity, other)
        };
        match *constraint {
            ScopeConstraint::Any => true,
            ScopeConstraint::Eq(other) => other == EntityRef::Entity(entity),
            ScopeConstraint::In(other) => within(other),
            ScopeConstraint::Is(ty) => of(ty),
            ScopeConstraint::IsIn(ty, other) => of(ty) && within(other),
        }
    }

    /// Checks every request, and gives the most candidates too many.
    fn check(&self) -> usize {
        let mut most = 0;
        let entities = || (0..self.store.headers().len()).map(EntityId::from_index);
        for principal in entities() {
            for resource in entities() {
                // The five actions have the first ids.
                for action in entities().take(6).chain([EntityId::local(0)]) {
                    let about = About {
                        principal: self.store.header(principal),
                        action,
                        resource: self.store.header(resource),
                    };
                    let query = Query {
                        about,
                        store: &self.store,
                    };
                    let mut given = Vec::new();
                    given.extend(self.index.unscoped(action).map(PolicyIndex::index));
                    self.index.scoped(query, |p| given.push(p.index()));
                    let seen: BTreeSet<usize> = given.iter().copied().collect();
                    assert_eq!(seen.len(), given.len(), "one is given twice");
                    let mut expected = 0;
                    for (i, BoundPolicy { policy, .. }) in self.policies.iter().enumerate() {
                        let acts = action_matches(&policy.action, action, &self.store);
                        let holds = acts
                            && self.holds(&policy.principal, principal)
                            && self.holds(&policy.resource, resource);
                        assert!(!holds || seen.contains(&i), "{} is lost", policy.id);
                        assert!(
                            acts || !seen.contains(&i),
                            "{} has another action",
                            policy.id
                        );
                        expected += usize::from(holds);
                    }
                    most = most.max(given.len() - expected);
                }
            }
        }
        most
    }
}

#[test]
fn every_policy_that_may_apply_is_given_once() {
    let sides = [
        "",
        " == {T}::\"3\"",
        " in {T}::\"5\"",
        " is {T}",
        " is {T} in {T}::\"2\"",
    ];
    let actions = [
        "",
        " == Action::\"1\"",
        " in [Action::\"2\", Action::\"3\"]",
        " in Action::\"all\"",
        " in []",
    ];
    for copies in [1, FEW + 3] {
        let mut text = String::new();
        for principal in sides {
            for resource in sides {
                for (i, action) in actions.iter().enumerate() {
                    for _ in 0..if i % 2 == 0 { copies } else { 1 } {
                        let principal = principal.replace("{T}", "P");
                        let resource = resource.replace("{T}", "R");
                        let _ = writeln!(
                            text,
                            "permit (principal{principal}, action{action}, resource{resource});"
                        );
                    }
                }
            }
        }
        world(&text).check();
    }
    // A rare action beside many policies of one group.
    let hub = "permit (principal in P::\"5\", action, resource);\n".repeat(100);
    let rare = "permit (principal in P::\"5\", action == Action::\"2\", resource);";
    world(&format!("{hub}{rare}")).check();
    // So few that none is posted under an entity.
    world("permit (principal == P::\"3\", action, resource in R::\"1\");").check();
    world("").check();
}

#[test]
fn many_policies_of_one_entity_are_told_apart_by_the_other_side() {
    let mut text = String::new();
    for principal in 0..10 {
        for resource in 0..10 {
            let _ = writeln!(
                text,
                "permit (principal == P::\"{principal}\", action, resource == R::\"{resource}\");
                 permit (principal == P::\"{principal}\", action == Action::\"{}\",
                         resource == R::\"{resource}\");",
                resource % 4
            );
        }
    }
    // What is left is that `==` is not told from `in`.
    assert!(world(&text).check() <= 2 * 100 - 2);
    // Few enough names and many enough groups to search.
    let mut text = String::new();
    for principal in 0..10 {
        for resource in 0..10 {
            let _ = writeln!(
                text,
                "permit (principal == P::\"{principal}\", action, resource in R::\"{resource}\");"
            );
        }
        let open = "permit (principal == P::\"{p}\", action, resource);\n";
        text += &open.replace("{p}", &principal.to_string());
    }
    world(&text).check();
    let hub = "permit (principal in P::\"0\", action, resource in R::\"9\");\n".repeat(50);
    let other = "permit (principal == P::\"5\", action, resource == R::\"2\");";
    assert_eq!(world(&format!("{hub}{other}")).check(), 1);
}
