//! Entities, requests and policies, written as Cedar's own input and as terms of the model.

use crate::expr::{Expr, IDS, KINDS, Kind, LONGS, NAMES, Name, TYPES, Uid, expr, list};
use cedarjit_tests::generator::Rng;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A value of an attribute or tag.
#[derive(Clone, Debug)]
enum Value {
    Bool(bool),
    Long(i64),
    Text(Name),
    Uid(Uid),
    Set(Vec<Value>),
    Record(Fields),
}

type Fields = BTreeMap<Name, Value>;

impl Value {
    fn any(rng: &mut Rng, kind: Kind, depth: usize) -> Self {
        match kind {
            Kind::Bool => Self::Bool(rng.one_in(2)),
            Kind::Long => Self::Long(LONGS[rng.below(LONGS.len())]),
            Kind::Text => Self::Text(rng.below(NAMES)),
            Kind::Entity => Self::Uid(Uid::any(rng)),
            Kind::Set if depth > 0 => {
                let of = KINDS[rng.below(NAMES)];
                let count = rng.below(4);
                Self::Set((0..count).map(|_| Self::any(rng, of, depth - 1)).collect())
            }
            Kind::Record if depth > 0 => Self::Record(fields(rng, depth - 1)),
            Kind::Set => Self::Set(Vec::new()),
            Kind::Record => Self::Record(Fields::new()),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Bool(b) => json!(b),
            Self::Long(i) => json!(i),
            Self::Text(s) => json!(format!("k{s}")),
            Self::Uid(uid) => json!({"__entity": uid_json(*uid)}),
            Self::Set(items) => items.iter().map(Self::json).collect(),
            Self::Record(fields) => fields_json(fields),
        }
    }

    fn coq(&self) -> String {
        match self {
            Self::Bool(b) => format!("(VBool {b})"),
            Self::Long(i) => format!("(VLong ({i}))"),
            Self::Text(s) => format!("(VString {s}%N)"),
            Self::Uid(uid) => format!("(VEntity {})", uid.coq()),
            Self::Set(items) => format!("(set {})", list(items, Self::coq)),
            Self::Record(fields) => format!("(record {})", fields_coq(fields)),
        }
    }
}

/// Some attributes; under each name mostly a value of the name's kind.
fn fields(rng: &mut Rng, depth: usize) -> Fields {
    let mut fields = Fields::new();
    for (name, kind) in KINDS.into_iter().enumerate() {
        if rng.chance(65_u32) {
            let kind = match rng.one_in(15) {
                true => KINDS[rng.below(NAMES)],
                false => kind,
            };
            fields.insert(name, Value::any(rng, kind, depth));
        }
    }
    fields
}

fn fields_json(fields: &Fields) -> Json {
    let fields = fields.iter().map(|(k, v)| (format!("k{k}"), v.json()));
    Json::Object(fields.collect::<Map<_, _>>())
}

fn fields_coq(fields: &Fields) -> String {
    let fields: Vec<_> = fields.iter().collect();
    list(&fields, |(k, v)| format!("({k}%N, {})", v.coq()))
}

pub(crate) fn uid_json(uid: Uid) -> Json {
    json!({"type": TYPES[uid.0], "id": uid.id()})
}

#[derive(Debug, Default)]
struct Entity {
    parents: BTreeSet<Uid>,
    attrs: Fields,
    tags: Fields,
}

/// Entities and a request.
#[derive(Debug)]
pub(crate) struct World {
    entities: BTreeMap<Uid, Entity>,
    /// Each entity's ancestors.
    ancestors: BTreeMap<Uid, BTreeSet<Uid>>,
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    context: Fields,
}

impl World {
    pub(crate) fn generate(rng: &mut Rng) -> Self {
        let mut world = Self {
            entities: BTreeMap::new(),
            ancestors: BTreeMap::new(),
            principal: Uid(rng.below(2), rng.below(IDS)),
            action: Uid(2, rng.below(IDS)),
            resource: Uid(rng.below(2), rng.below(IDS)),
            context: fields(rng, 2),
        };
        let uids = (0..TYPES.len()).flat_map(|ty| (0..IDS).map(move |id| Uid(ty, id)));
        for uid in uids.collect::<Vec<_>>() {
            if rng.one_in(5) {
                continue;
            }
            let mut entity = Entity {
                attrs: fields(rng, 2),
                tags: fields(rng, 1),
                ..Entity::default()
            };
            // Parents come before children, so there are no cycles; some do not exist.
            while rng.one_in(2) {
                let parent = Uid::any(rng);
                if parent < uid && (uid.0 == 2) == (parent.0 == 2) {
                    entity.parents.insert(parent);
                }
            }
            let mut ancestors = entity.parents.clone();
            for parent in &entity.parents {
                ancestors.extend(world.ancestors.get(parent).into_iter().flatten());
            }
            world.ancestors.insert(uid, ancestors);
            world.entities.insert(uid, entity);
        }
        world
    }

    pub(crate) fn entities(&self) -> Json {
        let entity = |(uid, entity): (&Uid, &Entity)| {
            json!({
                "uid": uid_json(*uid),
                "parents": entity.parents.iter().map(|p| uid_json(*p)).collect::<Vec<_>>(),
                "attrs": fields_json(&entity.attrs),
                "tags": fields_json(&entity.tags),
            })
        };
        self.entities.iter().map(entity).collect()
    }

    pub(crate) fn context(&self) -> Json {
        fields_json(&self.context)
    }

    /// The world as a term of the model.
    pub(crate) fn coq(&self) -> String {
        let entities: Vec<_> = self.entities.iter().collect();
        let entities = list(&entities, |(uid, entity)| {
            let ancestors: Vec<_> = self.ancestors.get(uid).into_iter().flatten().collect();
            let ancestors = list(&ancestors, |a| a.coq());
            let (attrs, tags) = (fields_coq(&entity.attrs), fields_coq(&entity.tags));
            format!("({}, Stored {attrs} {tags} {ancestors})", uid.coq())
        });
        let [principal, action, resource] =
            [self.principal, self.action, self.resource].map(Uid::coq);
        let context = fields_coq(&self.context);
        format!("(World {principal} {action} {resource} (record {context})\n    (find {entities}))")
    }
}

/// An entity in a scope, and whether it is given through a template's slot.
#[derive(Clone, Copy, Debug)]
struct Reference(Uid, bool);

#[derive(Clone, Copy, Debug)]
struct Scope {
    ty: Option<usize>,
    relation: Option<(&'static str, Reference)>,
}

impl Scope {
    fn generate(rng: &mut Rng, world: &World, subject: Uid) -> Self {
        let near: Vec<_> = world
            .ancestors
            .get(&subject)
            .into_iter()
            .flatten()
            .collect();
        let mut reference = || {
            let uid = match rng.below(4) {
                0 => Uid::any(rng),
                1 => subject,
                _ if near.is_empty() => subject,
                _ => *near[rng.below(near.len())],
            };
            Reference(uid, rng.one_in(4))
        };
        let (equal, within) = (Some(("==", reference())), Some(("in", reference())));
        let ty = Some(if rng.one_in(4) { 0 } else { subject.0 });
        let (ty, relation) = match rng.below(8) {
            0 => (None, equal),
            1 | 2 => (None, within),
            3 => (ty, None),
            4 => (ty, within),
            _ => (None, None),
        };
        Self { ty, relation }
    }

    fn cedar(&self, name: &str) -> String {
        let mut text = name.to_owned();
        if let Some(ty) = self.ty {
            let _ = write!(text, " is {}", TYPES[ty]);
        }
        if let Some((op, Reference(uid, slot))) = self.relation {
            let entity = match slot {
                true => format!("?{name}"),
                false => uid.cedar(),
            };
            let _ = write!(text, " {op} {entity}");
        }
        text
    }

    fn coq(&self, slot: &str) -> String {
        let reference = |Reference(uid, linked): Reference| match linked {
            true => format!("(Linked {slot})"),
            false => format!("(Named {})", uid.coq()),
        };
        match (self.ty, self.relation) {
            (None, None) => "ScopeAny".to_owned(),
            (None, Some(("==", r))) => format!("(ScopeEq {})", reference(r)),
            (None, Some((_, r))) => format!("(ScopeIn {})", reference(r)),
            (Some(ty), None) => format!("(ScopeIs {ty}%N)"),
            (Some(ty), Some((_, r))) => format!("(ScopeIsIn {ty}%N {})", reference(r)),
        }
    }

    /// What the slot is linked with.
    fn binding(&self) -> Option<Uid> {
        let (_, Reference(uid, slot)) = self.relation?;
        slot.then_some(uid)
    }
}

/// A static policy, or a template with its only link.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) forbid: bool,
    principal: Scope,
    /// `None` for any; otherwise whether `==`, and the actions.
    action: Option<(bool, Vec<Uid>)>,
    resource: Scope,
    conditions: Vec<(bool, Expr)>,
}

impl Policy {
    pub(crate) fn generate(rng: &mut Rng, world: &World) -> Self {
        let mut action = || match rng.one_in(2) {
            true => world.action,
            false => Uid(2, rng.below(IDS)),
        };
        let actions = [action(), action()];
        let action = match rng.below(5) {
            0 => Some((true, actions[..1].to_vec())),
            1 => Some((false, actions[..1].to_vec())),
            2 => Some((false, actions.to_vec())),
            _ => None,
        };
        let conditions = rng.below(3).max(rng.below(2));
        Self {
            forbid: rng.one_in(3),
            principal: Scope::generate(rng, world, world.principal),
            action,
            resource: Scope::generate(rng, world, world.resource),
            conditions: (0..conditions)
                .map(|_| (rng.one_in(4), expr(rng, Kind::Bool, 4)))
                .collect(),
        }
    }

    fn bindings(&self) -> [Option<Uid>; 2] {
        [self.principal.binding(), self.resource.binding()]
    }

    fn is_template(&self) -> bool {
        self.bindings().iter().any(Option::is_some)
    }

    /// The text of the policy or template.
    pub(crate) fn cedar(&self, number: usize, effect: &str) -> String {
        let kind = if self.is_template() { "t" } else { "p" };
        let action = match &self.action {
            None => "action".to_owned(),
            Some((true, actions)) => format!("action == {}", actions[0].cedar()),
            Some((false, actions)) => {
                let actions: Vec<_> = actions.iter().map(|a| a.cedar()).collect();
                format!("action in [{}]", actions.join(", "))
            }
        };
        let (principal, resource) = (
            self.principal.cedar("principal"),
            self.resource.cedar("resource"),
        );
        let mut text =
            format!("@id(\"{kind}{number}\") {effect} ({principal}, {action}, {resource})");
        for (unless, body) in &self.conditions {
            let clause = if *unless { "unless" } else { "when" };
            let _ = write!(text, "\n  {clause} {{ {} }}", body.cedar());
        }
        text + ";\n"
    }

    /// The template's link; `None` for a static policy.
    pub(crate) fn link(&self, number: usize) -> Option<Json> {
        let names = ["?principal", "?resource"].into_iter();
        let bound = names.zip(self.bindings());
        let args = bound.filter_map(|(name, uid)| Some((name.to_owned(), json!(uid?.cedar()))));
        let args: Map<_, _> = args.collect();
        (!args.is_empty()).then(|| {
            json!({
                "template_id": format!("t{number}"),
                "link_id": format!("p{number}"),
                "args": args,
            })
        })
    }

    /// The policy and its bindings as a term of the model.
    pub(crate) fn coq(&self) -> String {
        let effect = if self.forbid { "Forbid" } else { "Permit" };
        let action = match &self.action {
            None => "ActionAny".to_owned(),
            Some((true, actions)) => format!("(ActionEq {})", actions[0].coq()),
            Some((false, actions)) => format!("(ActionIn {})", list(actions, |a| a.coq())),
        };
        let principal = self.principal.coq("PrincipalSlot");
        let resource = self.resource.coq("ResourceSlot");
        let conditions = list(&self.conditions, |(unless, body)| {
            format!("({unless}, {})", body.coq())
        });
        let bound =
            |uid: Option<Uid>| uid.map_or("None".to_owned(), |uid| format!("(Some {})", uid.coq()));
        let [p, r] = self.bindings().map(bound);
        format!(
            "(Policy {effect} {principal} {action} {resource}\n      {conditions}, bind_slots {p} {r})"
        )
    }
}
