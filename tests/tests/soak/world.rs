//! What the engine under load holds, and how it changes.

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityUid, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression, SlotId, Template,
};
use cedarjit::{Engine, Transaction, UpdateError};
use cedarjit_tests::generator::Rng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

const USERS: usize = 200;
const GROUPS: usize = 40;
const DOCS: usize = 200;

/// How many entities there are in the beginning.
pub(crate) const ENTITIES: usize = USERS + GROUPS + DOCS;

/// How many links there are at most.
const LINKS: usize = 50;

/// Variants of the policies that are replaced.
const VARIANTS: usize = 8;

const TEMPLATE: &str = "permit (principal == ?principal, action, resource in ?resource);";

/// A policy's text follows from its number and its variant.
fn rule(number: usize, variant: usize) -> String {
    match number {
        0 => format!(
            "permit (principal in Group::\"{variant}\", action == Action::\"view\", resource);"
        ),
        1 => format!(
            "permit (principal, action, resource) when {{ resource.owner == principal || \
             principal.level > {variant} }};"
        ),
        2 => format!(
            "forbid (principal, action == Action::\"edit\", resource in Group::\"{variant}\") \
             unless {{ principal.level > 2 }};"
        ),
        3 => format!(
            "permit (principal, action, resource) when {{ resource.owner in Group::\"{variant}\" \
             && resource.owner.level < 3 }};"
        ),
        4 => format!(
            "forbid (principal, action, resource) when {{ principal.hasTag(\"t\") && \
             principal.getTag(\"t\") == {variant} }};"
        ),
        5 => format!("permit (principal == User::\"{variant}\", action, resource);"),
        _ => format!(
            "forbid (principal, action, resource) when {{ principal.name == resource.name && \
             User::\"{variant}\".level == 1 }};"
        ),
    }
}

const RULES: usize = 7;

fn uid(ty: &str, number: usize) -> EntityUid {
    let ty = ty.parse().unwrap();
    EntityUid::from_type_name_and_id(ty, EntityId::new(number.to_string()))
}

fn slots(principal: usize, resource: usize) -> HashMap<SlotId, EntityUid> {
    HashMap::from([
        (SlotId::principal(), uid("User", principal)),
        (SlotId::resource(), uid("Group", resource)),
    ])
}

/// The two numbers that an id such as `rule 1 2` names.
fn numbers(id: &str, kind: &str) -> Option<(usize, usize)> {
    let (first, second) = id.strip_prefix(kind)?.trim().split_once(' ')?;
    Some((first.parse().unwrap(), second.parse().unwrap()))
}

fn policy(id: &str) -> Option<Policy> {
    let (number, variant) = numbers(id, "rule")?;
    Some(Policy::parse(Some(PolicyId::new(id)), rule(number, variant)).unwrap())
}

/// The policies with these ids, which say what they are.
pub(crate) fn policy_set<'a>(ids: impl Iterator<Item = &'a str>) -> PolicySet {
    let mut set = PolicySet::new();
    let template = Template::parse(Some(PolicyId::new("template")), TEMPLATE);
    set.add_template(template.unwrap()).unwrap();
    for id in ids {
        if let Some((principal, resource)) = numbers(id, "link") {
            let slots = slots(principal, resource);
            set.link(PolicyId::new("template"), PolicyId::new(id), slots)
                .unwrap();
        } else if let Some(policy) = policy(id) {
            set.add(policy).unwrap();
        }
    }
    set
}

pub(crate) fn request(rng: &mut Rng) -> Request {
    let action = ["view", "edit"][rng.below(2)];
    let action = format!("Action::\"{action}\"").parse().unwrap();
    // Few of them, so that much is asked about what changes.
    let (principal, resource) = (uid("User", rng.below(USERS / 4)), doc(rng.below(DOCS / 4)));
    Request::new(principal, action, resource, Context::empty(), None).unwrap()
}

fn doc(number: usize) -> EntityUid {
    uid("Doc", number)
}

/// The state that the engine should have.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    entities: BTreeMap<EntityUid, Arc<Row>>,
    pub(crate) policies: BTreeSet<String>,
    /// How many values were made that did not exist before.
    fresh: usize,
}

/// An entity.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    attrs: BTreeMap<&'static str, RestrictedExpression>,
    tag: Option<i64>,
    parents: BTreeSet<EntityUid>,
}

impl Row {
    fn entity(&self, uid: &EntityUid) -> Entity {
        let attrs = self.attrs.iter();
        let attrs = attrs.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let tags = self.tag.map(RestrictedExpression::new_long);
        let tags = tags.map(|value| ("t".to_owned(), value));
        Entity::new_with_tags(uid.clone(), attrs, self.parents.clone(), tags).unwrap()
    }
}

impl Model {
    pub(crate) fn entities(&self) -> Entities {
        let entities = self.entities.iter().map(|(uid, row)| row.entity(uid));
        Entities::from_entities(entities, None).unwrap()
    }

    pub(crate) fn has_cycle(&self) -> bool {
        let entities = self.entities.iter().map(|(uid, row)| row.entity(uid));
        Entities::from_entities(entities, None).is_err()
    }
}

/// A random entity; one in four of those with names has one that is new.
fn row(rng: &mut Rng, entity: &EntityUid, fresh: usize) -> Row {
    let groups = (0..rng.below(3)).map(|_| uid("Group", rng.below(GROUPS)));
    let mut parents: BTreeSet<EntityUid> = groups.collect();
    let mut attrs = BTreeMap::new();
    let name = match rng.one_in(4) {
        true => format!("a name that nobody has had before, number {fresh}"),
        false => format!("name {}", rng.below(5)),
    };
    attrs.insert("name", RestrictedExpression::new_string(name));
    match entity.type_name().basename() {
        "User" => {
            let level = rng.below(5) as i64;
            attrs.insert("level", RestrictedExpression::new_long(level));
            if rng.one_in(20) {
                attrs.remove("level");
            }
        }
        "Doc" => {
            let owner = uid("User", rng.below(USERS));
            attrs.insert("owner", RestrictedExpression::new_entity_uid(owner));
        }
        _ => {
            parents = group_parents(rng, entity);
            attrs.clear();
        }
    }
    let tag = rng.one_in(8).then(|| rng.below(VARIANTS) as i64);
    Row {
        attrs,
        tag,
        parents,
    }
}

/// A group is in groups with lower numbers, and once in a while in any.
fn group_parents(rng: &mut Rng, group: &EntityUid) -> BTreeSet<EntityUid> {
    let number: usize = group.id().unescaped().parse().unwrap();
    let limit = if rng.one_in(40) { GROUPS } else { number };
    let parents = (0..rng.below(3).min(limit)).map(|_| uid("Group", rng.below(limit)));
    parents.collect()
}

/// The engine, and what it holds.
pub(crate) fn start() -> (Engine, Model) {
    let mut rng = Rng::new(0);
    let mut model = Model {
        entities: BTreeMap::new(),
        policies: (0..RULES)
            .map(|number| format!("rule {number} 0"))
            .collect(),
        fresh: 0,
    };
    for (ty, count) in [("Group", GROUPS), ("User", USERS), ("Doc", DOCS)] {
        for uid in (0..count).map(|number| uid(ty, number)) {
            let mut row = row(&mut rng, &uid, 0);
            // Without cycles.
            let own: usize = uid.id().unescaped().parse().unwrap();
            let lower = |parent: &EntityUid| {
                parent
                    .id()
                    .unescaped()
                    .parse()
                    .is_ok_and(|n: usize| n < own)
            };
            row.parents.retain(|parent| ty != "Group" || lower(parent));
            model.entities.insert(uid, Arc::new(row));
        }
    }
    let policies = policy_set(model.policies.iter().map(String::as_str));
    let engine = Engine::builder().policies(&policies).build().unwrap();
    let entities = &model.entities;
    let all = |tx: &mut Transaction<'_>| {
        let mut entities = entities.iter();
        entities.try_for_each(|(uid, row)| tx.upsert_entity(row.entity(uid)))
    };
    engine.update(all).unwrap();
    (engine, model)
}

/// A change.
pub(crate) enum Update {
    Upsert(EntityUid, Arc<Row>),
    Remove(EntityUid),
    Parents(EntityUid, BTreeSet<EntityUid>),
    Link(usize, usize),
    RemovePolicy(String),
    /// A rule in place of another variant of it.
    Replace(String, String),
}

impl Update {
    pub(crate) fn random(rng: &mut Rng, model: &Model) -> Self {
        let any = match rng.below(9) {
            0 => uid("Group", rng.below(GROUPS)),
            1..=5 => uid("User", rng.below(USERS)),
            _ => doc(rng.below(DOCS)),
        };
        match rng.below(500) {
            0 => {
                let number = rng.below(RULES);
                let kind = format!("rule {number} ");
                let old = model.policies.iter().find(|id| id.starts_with(&kind));
                let variant = rng.below(VARIANTS);
                match old {
                    Some(old) => Self::Replace(old.clone(), format!("{kind}{variant}")),
                    None => Self::Remove(any),
                }
            }
            1..=30 => link(rng, model),
            31..=80 => Self::Remove(any),
            81..=130 => {
                let group = uid("Group", rng.below(GROUPS));
                let parents = group_parents(rng, &group);
                Self::Parents(group, parents)
            }
            _ => {
                let row = row(rng, &any, model.fresh);
                Self::Upsert(any, Arc::new(row))
            }
        }
    }

    pub(crate) fn on_model(&self, model: &mut Model) {
        match self {
            Self::Upsert(uid, row) => {
                model.fresh += 1;
                model.entities.insert(uid.clone(), Arc::clone(row));
            }
            Self::Remove(uid) => {
                if model.entities.remove(uid).is_some() {
                    let rows = model.entities.values_mut();
                    for row in rows.filter(|row| row.parents.contains(uid)) {
                        Arc::make_mut(row).parents.remove(uid);
                    }
                }
            }
            Self::Parents(uid, parents) => {
                if let Some(row) = model.entities.get_mut(uid) {
                    Arc::make_mut(row).parents.clone_from(parents);
                }
            }
            Self::Link(principal, resource) => {
                model
                    .policies
                    .insert(format!("link {principal} {resource}"));
            }
            Self::RemovePolicy(id) => {
                model.policies.remove(id);
            }
            Self::Replace(old, new) => {
                model.policies.remove(old);
                model.policies.insert(new.clone());
            }
        }
    }

    pub(crate) fn on_engine(&self, tx: &mut Transaction<'_>) -> Result<(), UpdateError> {
        match self {
            Self::Upsert(uid, row) => tx.upsert_entity(row.entity(uid)),
            Self::Remove(uid) => tx.remove_entity(uid).map(drop),
            Self::Parents(uid, parents) => tx.set_parents(uid, parents.iter().cloned()).map(drop),
            Self::Link(principal, resource) => {
                let id = PolicyId::new(format!("link {principal} {resource}"));
                tx.link(PolicyId::new("template"), id, slots(*principal, *resource))
            }
            Self::RemovePolicy(id) => tx.remove_policy(PolicyId::new(id)),
            Self::Replace(old, new) => {
                tx.remove_policy(PolicyId::new(old))?;
                policy(new).map_or(Ok(()), |policy| tx.add_policy(policy))
            }
        }
    }
}

/// Adds a link, or removes one if there are many.
fn link(rng: &mut Rng, model: &Model) -> Update {
    let links = model.policies.iter().filter(|id| id.starts_with("link"));
    let links: Vec<&String> = links.collect();
    if rng.below(LINKS) < links.len()
        && let Some(id) = rng.pick(&links)
    {
        return Update::RemovePolicy((*id).clone());
    }
    let (principal, resource) = (rng.below(USERS / 4), rng.below(GROUPS));
    match model
        .policies
        .contains(&format!("link {principal} {resource}"))
    {
        true => Update::RemovePolicy(format!("link {principal} {resource}")),
        false => Update::Link(principal, resource),
    }
}
