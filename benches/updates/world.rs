//! Users in teams, and documents of theirs.

use cedar_policy::{Entity, EntityId, EntityUid, PolicyId, RestrictedExpression, SlotId, Template};
use cedarjit::Engine;
use cedarjit_bench::Error;
use std::collections::{HashMap, HashSet};

const POLICIES: &str = r#"
    permit (principal in Team::"1", action == Action::"view", resource) when { principal.level > 2 };
    permit (principal, action == Action::"view", resource) when { resource.owner == principal };
"#;

const TEMPLATE: &str = r#"
    permit (principal == ?principal, action == Action::"view", resource == ?resource);
"#;

/// The numbers of entities; which attributes they have follows from their own.
pub(crate) struct World {
    users: usize,
    teams: usize,
    docs: usize,
}

fn uid(ty: &str, number: usize) -> EntityUid {
    let Ok(ty) = ty.parse() else {
        unreachable!("the types are written above");
    };
    EntityUid::from_type_name_and_id(ty, EntityId::new(number.to_string()))
}

impl World {
    pub(crate) fn new(entities: usize) -> Self {
        let teams = (entities / 100).max(1);
        let users = (entities * 6 / 10).max(1);
        Self {
            users,
            teams,
            docs: entities.saturating_sub(users + teams).max(1),
        }
    }

    pub(crate) fn user_uid(&self, number: usize) -> EntityUid {
        uid("User", number % self.users)
    }

    pub(crate) fn team_uid(&self, number: usize) -> EntityUid {
        uid("Team", number % self.teams)
    }

    pub(crate) fn region_uid(&self, number: usize) -> EntityUid {
        uid("Region", number % 100)
    }

    pub(crate) fn doc_uid(&self, number: usize) -> EntityUid {
        uid("Doc", number % self.docs)
    }

    /// A user, whose attributes depend on `version`; a new one if the number is beyond those there
    /// are.
    pub(crate) fn user(&self, number: usize, version: usize) -> Entity {
        let long = RestrictedExpression::new_long((version % 5) as i64);
        let name = RestrictedExpression::new_string(format!("user {}", version % 1000));
        let attrs = HashMap::from([("level".to_owned(), long), ("name".to_owned(), name)]);
        let parents = (0..2).map(|i| self.team_uid(number * 7 + i * 131));
        let own = match number < self.users * 2 {
            true => number,
            false => number % self.users,
        };
        entity(uid("User", own), attrs, parents.collect())
    }

    fn doc(&self, number: usize) -> Entity {
        let owner = RestrictedExpression::new_entity_uid(self.user_uid(number));
        let attrs = HashMap::from([("owner".to_owned(), owner)]);
        entity(self.doc_uid(number), attrs, [self.team_uid(number)].into())
    }

    pub(crate) fn link_id(number: usize) -> PolicyId {
        PolicyId::new(format!("link {number}"))
    }

    /// Adds a link to an engine.
    pub(crate) fn link(&self, engine: &Engine, number: usize) -> Result<(), Error> {
        let slots = self.slots(number);
        Ok(engine.link(PolicyId::new("share"), Self::link_id(number), slots)?)
    }

    fn slots(&self, number: usize) -> HashMap<SlotId, EntityUid> {
        let user = self.user_uid(number * 37);
        HashMap::from([
            (SlotId::principal(), user),
            (SlotId::resource(), self.doc_uid(number * 91)),
        ])
    }

    /// An engine with all of it, and so many links.
    pub(crate) fn engine(&self, links: usize) -> Result<Engine, Error> {
        let engine = Engine::builder().policies_str(POLICIES).build()?;
        engine.add_template(Template::parse(Some(PolicyId::new("share")), TEMPLATE)?)?;
        engine.update(|tx| {
            for i in 0..self.teams {
                let region = HashSet::from([self.region_uid(i)]);
                tx.upsert_entity(Entity::new_no_attrs(self.team_uid(i), region))?;
            }
            for i in 0..self.users {
                tx.upsert_entity(self.user(i, i))?;
            }
            for i in 0..self.docs {
                tx.upsert_entity(self.doc(i))?;
            }
            for i in 0..links {
                tx.link(PolicyId::new("share"), Self::link_id(i), self.slots(i))?;
            }
            Ok(())
        })?;
        Ok(engine)
    }
}

fn entity(
    uid: EntityUid,
    attrs: HashMap<String, RestrictedExpression>,
    parents: HashSet<EntityUid>,
) -> Entity {
    match Entity::new(uid.clone(), attrs, parents.clone()) {
        Ok(entity) => entity,
        // Integers, strings and uids always evaluate.
        Err(_) => Entity::new_no_attrs(uid, parents),
    }
}
