//! What a world is about: types, entity types and actions, declared in a schema or not.

use super::extensions::Ext;
use super::knobs::Knobs;
use super::names::{self, ACTIONS, GROUPS, NAMESPACES, ODD_STRINGS, ODD_TYPES, Pools, TYPES};
use super::relations;
use super::rng::Rng;
use std::sync::Arc;

/// A type's position in [`Types`]; equal types have equal positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TyId(u16);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ty {
    Bool,
    Long,
    Str,
    Ext(Ext),
    /// Entities of the type at this position in [`Model::entity_types`].
    Entity(usize),
    Set(TyId),
    Record(Arc<[Field]>),
}

/// A declared attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: Arc<str>,
    pub(super) ty: TyId,
    pub(super) required: bool,
}

/// Every type of a world, each once.
#[derive(Debug, Clone)]
pub(super) struct Types {
    all: Vec<Ty>,
}

pub(super) const BOOL: TyId = TyId(0);
pub(super) const LONG: TyId = TyId(1);
pub(super) const STR: TyId = TyId(2);

/// The type of an extension's values.
pub(super) fn ext_ty(ext: Ext) -> TyId {
    TyId(3 + ext as u16)
}

impl Types {
    fn new() -> Self {
        let all = [Ty::Bool, Ty::Long, Ty::Str].into_iter();
        Self {
            all: all.chain(Ext::ALL.map(Ty::Ext)).collect(),
        }
    }

    /// The position of `ty`, which is added if it is new.
    pub(super) fn intern(&mut self, ty: Ty) -> TyId {
        let position = self.all.iter().position(|known| *known == ty);
        let position = position.unwrap_or_else(|| {
            self.all.push(ty);
            self.all.len() - 1
        });
        TyId(position as u16)
    }

    pub(super) fn get(&self, id: TyId) -> &Ty {
        self.all.get(usize::from(id.0)).unwrap_or(&Ty::Bool)
    }

    /// The position of `ty` if some attribute, context or action has it.
    pub(super) fn find(&self, ty: &Ty) -> Option<TyId> {
        let position = self.all.iter().position(|known| known == ty)?;
        Some(TyId(position as u16))
    }

    /// Any type that occurs in the world.
    pub(super) fn any(&self, rng: &mut Rng) -> TyId {
        TyId(rng.below(self.all.len()) as u16)
    }
}

/// What kind of entity type it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Declared, with attributes and perhaps parents.
    Standard,
    /// A namespace's action type.
    Action,
    /// Never declared: only policies and requests mention it.
    Stranger,
}

#[derive(Debug, Clone)]
pub(super) struct EntityType {
    /// With namespace.
    pub(super) name: Arc<str>,
    pub(super) namespace: usize,
    pub(super) kind: Kind,
    pub(super) attrs: Arc<[Field]>,
    pub(super) tags: Option<TyId>,
    /// Types whose entities may be parents.
    pub(super) parents: Vec<usize>,
    /// The ids of an enumerated type; empty for others.
    pub(super) choices: Vec<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(super) struct Action {
    pub(super) entity_type: usize,
    pub(super) id: Arc<str>,
    /// Positions of earlier actions that this one is a member of.
    pub(super) groups: Vec<usize>,
    /// Empty for a mere group.
    pub(super) principals: Vec<usize>,
    pub(super) resources: Vec<usize>,
    pub(super) context: TyId,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    /// The empty namespace is always the first.
    pub(super) namespaces: Vec<&'static str>,
    pub(super) types: Types,
    pub(super) entity_types: Vec<EntityType>,
    pub(super) actions: Vec<Action>,
    pub(super) pools: Pools,
    /// Whether entities are made for [`relations`].
    pub(super) relations: bool,
}

impl Model {
    pub(super) fn new(rng: &mut Rng, knobs: &Knobs) -> Self {
        let mut model = Self {
            namespaces: vec![""],
            types: Types::new(),
            entity_types: Vec::new(),
            actions: Vec::new(),
            pools: Pools::new(rng, knobs),
            relations: rng.aside().chance(knobs.relations),
        };
        if rng.chance(knobs.namespaces) {
            let first = rng.below(NAMESPACES.len());
            let rest = NAMESPACES.iter().cycle().skip(first);
            model.namespaces.extend(rest.take(rng.between(1, 2)));
        }
        model.name_types(rng, knobs);
        for position in 0..model.entity_types.len() {
            model.fill_type(rng, knobs, position);
        }
        for position in 0..model.entity_types.len() {
            // So that paths and operands of every entity type can be asked for by type.
            model.types.intern(Ty::Entity(position));
        }
        model.make_actions(rng, knobs);
        model
    }

    /// Names that are taken once anywhere are not used again in the empty namespace, because Cedar
    /// forbids such shadowing.
    fn name_types(&mut self, rng: &mut Rng, knobs: &Knobs) {
        let mut taken: Vec<(Arc<str>, usize)> = Vec::new();
        let count = rng.between(2, 5);
        for _ in 0..count * 2 {
            if taken.len() == count {
                break;
            }
            let base = names::name(rng, knobs, TYPES, ODD_TYPES);
            let namespace = rng.below(self.namespaces.len());
            let clash = |other: &(Arc<str>, usize)| {
                other.0 == base && (other.1 == namespace || other.1 == 0 || namespace == 0)
            };
            if !taken.iter().any(clash) {
                taken.push((base, namespace));
            }
        }
        for (base, namespace) in taken {
            self.add_type(&base, namespace, Kind::Standard);
        }
        for namespace in 0..self.namespaces.len() {
            self.add_type("Action", namespace, Kind::Action);
        }
        self.add_type("Ghost", rng.below(self.namespaces.len()), Kind::Stranger);
    }

    fn add_type(&mut self, base: &str, namespace: usize, kind: Kind) {
        let name = match self.namespaces.get(namespace) {
            Some(&prefix) if !prefix.is_empty() => format!("{prefix}::{base}"),
            _ => base.to_owned(),
        };
        self.entity_types.push(EntityType {
            name: Arc::from(name),
            namespace,
            kind,
            attrs: Arc::from([]),
            tags: None,
            parents: Vec::new(),
            choices: Vec::new(),
        });
    }

    fn fill_type(&mut self, rng: &mut Rng, knobs: &Knobs, position: usize) {
        let is_standard = |ty: &EntityType| ty.kind == Kind::Standard;
        if !self.entity_types.get(position).is_some_and(is_standard) {
            return;
        }
        let first = position == 0;
        let choices = if !first && rng.chance(knobs.enumerated) {
            let count = rng.between(1, 4);
            let ids = (0..count).map(|_| names::name(rng, knobs, names::IDS, ODD_STRINGS));
            let mut ids: Vec<_> = ids.collect();
            ids.sort();
            ids.dedup();
            ids
        } else {
            Vec::new()
        };
        let plain = choices.is_empty();
        let attrs = match (plain, self.relations) {
            (true, true) => relations::fields(rng, self),
            (true, false) => self.fields(rng, knobs, 6, 2),
            (false, _) => Arc::from([]),
        };
        let tags = (plain && rng.chance(knobs.tags)).then(|| match rng.one_in(4) {
            true => BOOL,
            false => self.random_type(rng, knobs, 1),
        });
        let standard = self.entity_types.iter().enumerate();
        let standard = standard.filter(|(_, ty)| is_standard(ty));
        let mut parents: Vec<usize> = standard.map(|(position, _)| position).collect();
        parents.retain(|_| plain && rng.chance(40u32));
        if let Some(ty) = self.entity_types.get_mut(position) {
            (ty.attrs, ty.tags, ty.parents, ty.choices) = (attrs, tags, parents, choices);
        }
    }

    /// Up to `max` attributes with different names, sorted by name.
    fn fields(&mut self, rng: &mut Rng, knobs: &Knobs, max: usize, depth: usize) -> Arc<[Field]> {
        let mut fields: Vec<Field> = Vec::new();
        let many = match rng.chance(knobs.many_attributes) {
            true => rng.between(9, 12),
            false => 0,
        };
        for number in 0..many + rng.between(0, max) {
            let name = match number < many {
                true => Arc::from(format!("field{number}")),
                false => self.pools.attribute(rng),
            };
            // Many attributes are simple, or their values would be huge.
            let depth = if many > 0 { 0 } else { depth };
            if fields.iter().all(|field| field.name != name) {
                fields.push(Field {
                    name,
                    ty: self.random_type(rng, knobs, depth),
                    required: rng.chance(55u32),
                });
            }
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Arc::from(fields)
    }

    fn random_type(&mut self, rng: &mut Rng, knobs: &Knobs, depth: usize) -> TyId {
        let nested = if depth > 0 { 2 } else { 0 };
        let extensions = u32::from(knobs.extensions) / 12;
        let ty = match rng.weighted(&[2, 4, 3, 3, extensions, nested, nested]) {
            0 => Ty::Bool,
            1 => Ty::Long,
            2 => Ty::Str,
            3 => {
                let standard = |ty: &&EntityType| ty.kind == Kind::Standard;
                let count = self.entity_types.iter().filter(standard).count();
                Ty::Entity(rng.below(count))
            }
            4 => Ty::Ext(rng.pick(&Ext::ALL).copied().unwrap_or(Ext::Ip)),
            5 => Ty::Set(self.random_type(rng, knobs, depth - 1)),
            _ => Ty::Record(self.fields(rng, knobs, 3, depth - 1)),
        };
        self.types.intern(ty)
    }

    fn make_actions(&mut self, rng: &mut Rng, knobs: &Knobs) {
        let standard = self.entity_types.iter().enumerate();
        let standard = standard.filter(|(_, ty)| ty.kind == Kind::Standard);
        let standard: Vec<usize> = standard.map(|(position, _)| position).collect();
        let grouped = rng.chance(knobs.action_groups);
        let deep = rng.chance(knobs.deep_actions);
        let groups = match (deep, grouped) {
            (true, _) => rng.between(6, 14),
            (false, true) => rng.between(1, 3),
            (false, false) => 0,
        };
        for position in 0..groups + rng.between(1, 4) {
            let is_group = position < groups;
            let pool = if is_group { GROUPS } else { ACTIONS };
            let id = match deep && is_group {
                true => Arc::from(format!("group{position}")),
                false => names::name(rng, knobs, pool, ODD_STRINGS),
            };
            let namespace = rng.below(self.namespaces.len());
            let entity_type = self.action_type(namespace);
            // As with types, nothing may shadow what is in the empty namespace.
            let in_empty = self.action_type(0);
            let clash = |a: &Action| {
                let other = a.entity_type;
                let shadows = other == in_empty || entity_type == in_empty;
                a.id == id && (other == entity_type || shadows)
            };
            if self.actions.iter().any(clash) {
                continue;
            }
            let subset = |rng: &mut Rng| -> Vec<usize> {
                let mut some = standard.clone();
                some.retain(|_| rng.chance(60u32));
                if some.is_empty() {
                    some.extend(rng.pick(&standard));
                }
                some
            };
            let (principals, resources) = match is_group {
                true => (Vec::new(), Vec::new()),
                false => (subset(rng), subset(rng)),
            };
            let earlier = 0..self.actions.len();
            let last = self.actions.len();
            // In a deep hierarchy each group is in the one before.
            let above = |group: &usize| deep && *group + 1 == last;
            let member = |group: &usize| above(group) || (grouped && rng.chance(40u32));
            let groups = earlier.filter(member).collect();
            let context = Ty::Record(self.fields(rng, knobs, 5, 2));
            let context = self.types.intern(context);
            self.actions.push(Action {
                entity_type,
                id,
                groups,
                principals,
                resources,
                context,
            });
        }
    }

    fn action_type(&self, namespace: usize) -> usize {
        let is_it = |ty: &EntityType| ty.kind == Kind::Action && ty.namespace == namespace;
        self.entity_types.iter().position(is_it).unwrap_or(0)
    }

    /// The attributes that a value of type `ty` may have.
    pub(super) fn attributes(&self, ty: TyId) -> Option<&Arc<[Field]>> {
        match self.types.get(ty) {
            Ty::Entity(position) => self.entity_types.get(*position).map(|ty| &ty.attrs),
            Ty::Record(fields) => Some(fields),
            _ => None,
        }
    }
}
