//! Who and what exists in a world: uids, entities with their values and parents, contexts.

use super::extensions::Ext;
use super::knobs::Knobs;
use super::model::{Action, Field, Kind, LONG, Model, Ty, TyId};
use super::names::{IDS, ODD_STRINGS, name};
use super::rng::Rng;
use super::text::{Pieces, comma_separated, json_string};
use super::value::{Fields, JsonForm, Printer, Uid, UidText, Val};
use std::sync::Arc;

/// What a uid stands for.
#[derive(Debug, Clone)]
pub(super) struct Entity {
    pub(super) entity_type: usize,
    /// Whether the world's entities hold it.
    pub(super) present: bool,
    pub(super) attrs: Fields,
    pub(super) tags: Fields,
    pub(super) parents: Vec<Uid>,
    /// All uids that it is in, itself excepted, as long as the way up exists.
    pub(super) ancestors: Vec<Uid>,
}

/// A context that fits one action, by the action's position in the model.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) action: usize,
    pub(super) fields: Fields,
}

#[derive(Debug, Clone)]
pub(super) struct Population {
    pub(super) model: Model,
    /// Whether there is a schema: if so, nothing may contradict the model.
    pub(super) declared: bool,
    pub(super) uids: Vec<UidText>,
    /// Parallel to `uids`.
    pub(super) entities: Vec<Entity>,
    /// Per entity type, its uids, present or not; a policy may know others.
    pub(super) by_type: Vec<Vec<Uid>>,
    /// The uid of each of the model's actions.
    pub(super) actions: Vec<Uid>,
    pub(super) contexts: Vec<Context>,
    large_sets: bool,
    /// Whether entities of any type are in sets of entities.
    mixed: bool,
}

impl Population {
    pub(super) fn new(rng: &mut Rng, knobs: &Knobs, model: Model, declared: bool) -> Self {
        let mut world = Self {
            by_type: vec![Vec::new(); model.entity_types.len()],
            mixed: !declared && model.relations && rng.aside().one_in(2),
            model,
            declared,
            uids: Vec::new(),
            entities: Vec::new(),
            actions: Vec::new(),
            contexts: Vec::new(),
            large_sets: rng.chance(knobs.large_sets),
        };
        let deep = rng.chance(knobs.deep);
        let wide = rng.chance(knobs.wide);
        let scale = if deep || wide { 3 } else { 1 };
        world.name_entities(rng, knobs, scale);
        world.make_parents(rng, deep, wide);
        if rng.chance(knobs.hubs) {
            world.make_hub(rng);
        }
        world.make_values(rng, knobs);
        world.make_contexts(rng, knobs);
        world.drop_entities(rng, knobs);
        world.close_ancestors();
        world
    }

    /// How to write this world's values.
    pub(super) fn printer(&self) -> Printer<'_> {
        Printer { uids: &self.uids }
    }

    fn add_uid(&mut self, entity_type: usize, id: Arc<str>, listed: bool) -> Option<Uid> {
        let type_name = self.model.entity_types.get(entity_type)?.name.clone();
        let uid = UidText { type_name, id };
        if let Some(known) = self.uids.iter().position(|other| *other == uid) {
            return Some(known);
        }
        self.uids.push(uid);
        let none: Fields = Arc::from([]);
        self.entities.push(Entity {
            entity_type,
            present: listed,
            attrs: none.clone(),
            tags: none,
            parents: Vec::new(),
            ancestors: Vec::new(),
        });
        if listed {
            self.by_type.get_mut(entity_type)?.push(self.uids.len() - 1);
        }
        Some(self.uids.len() - 1)
    }

    fn name_entities(&mut self, rng: &mut Rng, knobs: &Knobs, scale: usize) {
        let types = self.model.entity_types.len();
        let share = (knobs.sizes.entities / types.max(1)).max(1) * scale;
        for position in 0..types {
            let Some(ty) = self.model.entity_types.get(position) else {
                continue;
            };
            let (kind, choices) = (ty.kind, ty.choices.clone());
            for id in choices.iter().filter(|_| kind == Kind::Standard) {
                self.add_uid(position, id.clone(), true);
            }
            if kind == Kind::Standard && choices.is_empty() {
                for number in 0..rng.between(1, share * 2) {
                    let id = match number {
                        0..8 => name(rng, knobs, IDS, ODD_STRINGS),
                        _ => Arc::from(format!("n{number}")),
                    };
                    self.add_uid(position, id, true);
                }
            }
            // One that nobody lists: a ghost, or an id that an enumeration does not have.
            self.add_uid(position, Arc::from("nobody"), false);
        }
        for position in 0..self.model.actions.len() {
            let Some(action) = self.model.actions.get(position) else {
                continue;
            };
            let (entity_type, id) = (action.entity_type, action.id.clone());
            let uid = self.add_uid(entity_type, id, true);
            self.actions.extend(uid);
        }
    }

    /// Parents always come earlier in a random order, so that there are no cycles.
    fn make_parents(&mut self, rng: &mut Rng, deep: bool, wide: bool) {
        let mut order: Vec<Uid> = (0..self.uids.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.below(last + 1));
        }
        for (rank, &uid) in order.iter().enumerate() {
            let Some(entity) = self.entities.get(uid).filter(|entity| entity.present) else {
                continue;
            };
            let Some(ty) = self.model.entity_types.get(entity.entity_type) else {
                continue;
            };
            let fits = |parent: &Uid| {
                let entity = self.entities.get(*parent);
                entity.is_some_and(|entity| {
                    let ghost_of_enumeration = !entity.present && self.is_enumerated(entity);
                    ty.parents.contains(&entity.entity_type) && !ghost_of_enumeration
                })
            };
            let earlier = order.iter().take(rank).rev().copied();
            let mut parents: Vec<Uid> = earlier.filter(fits).collect();
            if deep {
                parents.truncate(1);
            } else {
                let percent = if wide {
                    70
                } else {
                    150 / (parents.len() as u32 + 2)
                };
                parents.retain(|_| rng.chance(percent));
            }
            if let Some(entity) = self.entities.get_mut(uid) {
                entity.parents = parents;
            }
        }
        for (action, &uid) in self.model.actions.iter().zip(&self.actions) {
            let groups = action.groups.iter().filter_map(|&g| self.actions.get(g));
            if let Some(entity) = self.entities.get_mut(uid) {
                entity.parents = groups.copied().collect();
            }
        }
    }

    /// Puts one entity in hundreds of groups.
    fn make_hub(&mut self, rng: &mut Rng) {
        let members = (0..self.entities.len()).filter_map(|uid| {
            let entity = self.present(uid)?;
            let ty = self.model.entity_types.get(entity.entity_type)?;
            let free = |group: &usize| {
                let group = self.model.entity_types.get(*group);
                group.is_some_and(|ty| ty.kind == Kind::Standard && ty.choices.is_empty())
            };
            Some((uid, ty.parents.iter().copied().find(free)?))
        });
        let members: Vec<(Uid, usize)> = members.collect();
        let Some(&(member, group_type)) = rng.pick(&members) else {
            return;
        };
        for number in 0..rng.between(100, 300) {
            let group = self.add_uid(group_type, Arc::from(format!("hub{number}")), true);
            if let Some(entity) = self.entities.get_mut(member) {
                entity.parents.extend(group);
            }
        }
    }

    fn is_enumerated(&self, entity: &Entity) -> bool {
        let ty = self.model.entity_types.get(entity.entity_type);
        ty.is_some_and(|ty| !ty.choices.is_empty())
    }

    fn make_values(&mut self, rng: &mut Rng, knobs: &Knobs) {
        for uid in 0..self.entities.len() {
            let Some(entity) = self.entities.get(uid).filter(|entity| entity.present) else {
                continue;
            };
            let Some(ty) = self.model.entity_types.get(entity.entity_type) else {
                continue;
            };
            let (fields, tags) = (ty.attrs.clone(), ty.tags);
            let attrs = self.fields(rng, knobs, &fields);
            let mut named: Vec<(Arc<str>, Val)> = Vec::new();
            if let Some(ty) = tags {
                for _ in 0..rng.below(4) {
                    let key = self.model.pools.tag_key(rng);
                    if named.iter().all(|(other, _)| *other != key) {
                        named.push((key, self.value(rng, knobs, ty)));
                    }
                }
            }
            if let Some(entity) = self.entities.get_mut(uid) {
                (entity.attrs, entity.tags) = (attrs, Arc::from(named));
            }
        }
    }

    fn make_contexts(&mut self, rng: &mut Rng, knobs: &Knobs) {
        for action in 0..self.model.actions.len() {
            let Some(ty) = self.model.actions.get(action).map(|action| action.context) else {
                continue;
            };
            let declared = self.model.attributes(ty).cloned();
            let is_group = |action: &Action| action.principals.is_empty();
            if self.declared && self.model.actions.get(action).is_some_and(is_group) {
                // No request for it is valid, so one context, the only one it can have, is enough.
                self.contexts.push(Context {
                    action,
                    fields: Arc::from([]),
                });
                continue;
            }
            for _ in 0..rng.between(2, 12) {
                let fields = declared.as_ref();
                let fields = fields.map(|fields| self.fields(rng, knobs, fields));
                self.contexts.push(Context {
                    action,
                    fields: fields.unwrap_or_else(|| Arc::from([])),
                });
            }
        }
    }

    fn drop_entities(&mut self, rng: &mut Rng, knobs: &Knobs) {
        for entity in &mut self.entities {
            let kind = self.model.entity_types.get(entity.entity_type);
            let kind = kind.map(|ty| ty.kind);
            let fixed = self.declared && kind == Some(Kind::Action);
            if !fixed && rng.chance(knobs.missing_entities) {
                entity.present = false;
            }
        }
    }

    fn close_ancestors(&mut self) {
        for uid in 0..self.entities.len() {
            let mut seen = vec![false; self.entities.len()];
            let mut found = Vec::new();
            let mut open = vec![uid];
            while let Some(next) = open.pop() {
                let entity = self.entities.get(next).filter(|entity| entity.present);
                for &parent in entity.iter().flat_map(|entity| &entity.parents) {
                    if let Some(seen) = seen.get_mut(parent).filter(|seen| !**seen) {
                        *seen = true;
                        found.push(parent);
                        open.push(parent);
                    }
                }
            }
            if let Some(entity) = self.entities.get_mut(uid) {
                entity.ancestors = found;
            }
        }
    }

    /// The entity of `uid`, if the world has it.
    pub(super) fn present(&self, uid: Uid) -> Option<&Entity> {
        self.entities.get(uid).filter(|entity| entity.present)
    }

    /// Whether `uid` is `other` or below it.
    pub(super) fn is_in(&self, uid: Uid, other: Uid) -> bool {
        let above = |entity: &Entity| entity.ancestors.contains(&other);
        uid == other || self.entities.get(uid).is_some_and(above)
    }

    /// Any uid of that type, whether an entity has it or not.
    pub(super) fn uid_of(&self, rng: &mut Rng, entity_type: usize) -> Uid {
        let known = self.by_type.get(entity_type);
        let known = known.and_then(|uids| rng.pick(uids).copied());
        known.unwrap_or_else(|| self.any_uid(rng))
    }

    /// Any uid.
    pub(super) fn any_uid(&self, rng: &mut Rng) -> Uid {
        rng.below(self.uids.len())
    }

    /// The type of a uid's entity.
    pub(super) fn type_of(&self, uid: Uid) -> usize {
        self.entities.get(uid).map_or(0, |e| e.entity_type)
    }

    fn fields(&self, rng: &mut Rng, knobs: &Knobs, declared: &[Field]) -> Fields {
        let loose = !self.declared;
        let mut fields = Vec::with_capacity(declared.len());
        for field in declared {
            let percent = match (field.required, loose) {
                (true, false) => 100u32,
                (true, true) => 100 - u32::from(knobs.missing_attributes) / 2,
                (false, _) => 65,
            };
            if rng.chance(percent) {
                let spoil = loose && rng.chance(knobs.spoiled_values);
                let ty = match spoil {
                    true => self.model.types.any(rng),
                    false => field.ty,
                };
                fields.push((field.name.clone(), self.value(rng, knobs, ty)));
            }
        }
        Arc::from(fields)
    }

    /// A value of type `ty`.
    pub(super) fn value(&self, rng: &mut Rng, knobs: &Knobs, ty: TyId) -> Val {
        let pools = &self.model.pools;
        match self.model.types.get(ty) {
            Ty::Bool => Val::Bool(rng.one_in(2)),
            Ty::Long => Val::Long(pools.long(rng)),
            Ty::Str => Val::Str(pools.string(rng)),
            Ty::Entity(ty) => Val::Entity(self.uid_of(rng, *ty)),
            Ty::Ext(Ext::Datetime) if rng.one_in(8) => {
                let by = rng.pick(&["1d", "-1ms", "2h30m"]).copied();
                let from = rng.pick(&["2024-02-28", "1970-01-01"]).copied();
                Val::Offset(
                    Arc::from(from.unwrap_or_default()),
                    Arc::from(by.unwrap_or_default()),
                )
            }
            Ty::Ext(ext) => Val::Ext(*ext, pools.extension(rng, *ext)),
            Ty::Set(element) => {
                // Of sets in sets only the inner ones are large, or documents become huge.
                let nested = matches!(self.model.types.get(*element), Ty::Set(_) | Ty::Record(_));
                let large = self.large_sets && !nested && rng.one_in(3);
                // Sets that differ in their last element only.
                let alike = !large && rng.one_in(8) && *element == LONG;
                let count = match (large, alike) {
                    (true, _) => rng.between(40, 300),
                    (false, true) => 10,
                    (false, false) => rng.below(5),
                };
                let last = 9 + rng.below(if alike { 3 } else { 1 });
                let mut member = |n| match self.model.types.get(*element) {
                    Ty::Long if large => Val::Long(n as i64 * 3),
                    Ty::Long if alike => Val::Long(if n == 9 { last } else { n } as i64),
                    Ty::Str if large => Val::Str(Arc::from(format!("s{n}"))),
                    Ty::Entity(_) if self.mixed => {
                        let mut aside = rng.aside();
                        let own = self.value(rng, knobs, *element);
                        match aside.one_in(3) {
                            true => Val::Entity(self.any_uid(&mut aside)),
                            false => own,
                        }
                    }
                    _ => self.value(rng, knobs, *element),
                };
                Val::Set((0..count).map(&mut member).collect())
            }
            Ty::Record(fields) => Val::Record(self.fields(rng, knobs, fields)),
        }
    }

    /// The entities as JSON objects, in any order that hides nothing.
    pub(super) fn entities_json(&self, rng: &mut Rng) -> Pieces {
        let mut pieces = Pieces::default();
        for (uid, entity) in self.entities.iter().enumerate() {
            let kind = self.model.entity_types.get(entity.entity_type);
            let is_action = kind.is_some_and(|ty| ty.kind == Kind::Action);
            // With a schema the actions come from there; they may be repeated.
            if entity.present && !(is_action && self.declared && !rng.one_in(16)) {
                let form = self.json_form(rng);
                pieces.add(|out| self.entity_json(rng, out, uid, entity, form));
            }
        }
        pieces
    }

    /// A form in which values can be read back.
    pub(super) fn json_form(&self, rng: &mut Rng) -> JsonForm {
        match rng.below(3) {
            0 if self.declared => JsonForm::Implicit,
            1 if self.declared => JsonForm::Short,
            _ => JsonForm::Explicit,
        }
    }

    fn entity_json(
        &self,
        rng: &mut Rng,
        out: &mut String,
        uid: Uid,
        entity: &Entity,
        form: JsonForm,
    ) {
        let printer = self.printer();
        let entity_is_action = self.actions.contains(&uid);
        let uid_form = match rng.one_in(2) {
            true => JsonForm::Explicit,
            false => JsonForm::Implicit,
        };
        out.push_str("{\"uid\": ");
        printer.json_uid(out, uid, uid_form);
        out.push_str(", \"attrs\": ");
        printer.json_fields(out, &entity.attrs, form);
        out.push_str(", \"parents\": [");
        // An action that repeats the schema must list every group it is in.
        let parents = if self.declared && entity_is_action {
            &entity.ancestors
        } else {
            &entity.parents
        };
        comma_separated(out, parents, |out, &parent| {
            printer.json_uid(out, parent, uid_form);
        });
        out.push(']');
        if !entity.tags.is_empty() {
            out.push_str(", \"tags\": ");
            printer.json_fields(out, &entity.tags, form);
        }
        out.push('}');
    }

    /// A context as a JSON object.
    pub(super) fn context_json(&self, rng: &mut Rng, fields: &Fields) -> String {
        let mut out = String::new();
        let form = self.json_form(rng);
        self.printer().json_fields(&mut out, fields, form);
        out
    }

    /// A context that fits nothing in particular.
    pub(super) fn spoiled_context_json(&self, rng: &mut Rng, knobs: &Knobs) -> String {
        let mut out = String::from("{");
        let count = rng.between(0, 3);
        let names: Vec<Arc<str>> = (0..count)
            .map(|_| self.model.pools.attribute(rng))
            .collect();
        let mut distinct = names;
        distinct.sort();
        distinct.dedup();
        comma_separated(&mut out, distinct, |out, name| {
            json_string(out, &name);
            out.push_str(": ");
            let ty = self.model.types.any(rng);
            let value = self.value(rng, knobs, ty);
            self.printer().json(out, &value, JsonForm::Explicit);
        });
        out.push('}');
        out
    }
}
