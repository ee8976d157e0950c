//! Boolean leaves: comparisons, membership, type and presence tests, patterns, predicates.

use super::expr::{Writer, as_long, entity_type};
use super::extensions::Ext;
use super::model::{LONG, STR, Ty, TyId, ext_ty};
use super::paths::Path;
use super::population::Population;
use super::text::{cedar_string, is_plain};
use super::value::{Uid, Val, field};
use std::sync::Arc;

impl Writer<'_> {
    /// Writes `a == b` or `a != b` over any one type.
    pub(super) fn equality(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        let ty = self.type_to_compare();
        self.push("(");
        let left = self.operand(ty, depth);
        let middle = self.out.len();
        let copy = match &left {
            Some(left) if want == Some(true) && self.rng.chance(70u32) => Some(left.clone()),
            Some(left) if self.rng.one_in(6) => Some(left.clone()),
            _ => None,
        };
        let right = match copy {
            Some(copy) => {
                self.literal(&copy);
                Some(copy)
            }
            None => self.operand(ty, depth),
        };
        self.push(")");
        let same = left.and_then(|left| right.and_then(|right| left.same(&right)));
        let negate = match (same, want) {
            (Some(same), Some(want)) if self.rng.chance(85u32) => same != want,
            _ => self.rng.one_in(4),
        };
        let operator = if negate { " != " } else { " == " };
        self.out.insert_str(middle, operator);
        same.map(|same| same != negate)
    }

    /// A type of which there is something to read, mostly.
    fn type_to_compare(&mut self) -> TyId {
        let world = self.world;
        let whole = self.rng.chance(self.knobs.whole_records);
        let wanted = |path: &Path| {
            let is_record = matches!(world.model.types.get(path.ty), Ty::Record(_));
            path.step.is_some() && !is_record || is_record && whole
        };
        let found = match self.rng.chance(85u32) {
            true => self.paths.pick(self.rng, wanted),
            false => None,
        };
        let found = found.and_then(|found| self.paths.get(found));
        found.map_or_else(|| world.model.types.any(self.rng), |path| path.ty)
    }

    /// Writes a comparison of two Longs, datetimes or durations.
    pub(super) fn ordering(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        let extensions = u32::from(self.knobs.extensions) / 20;
        let ty = match self.rng.weighted(&[7, extensions, extensions]) {
            0 => LONG,
            1 => ext_ty(Ext::Datetime),
            _ => ext_ty(Ext::Duration),
        };
        self.push("(");
        let left = self.operand(ty, depth);
        let middle = self.out.len();
        let near = left.as_ref().and_then(as_long);
        let right = match near {
            Some(near) if self.rng.one_in(2) => {
                let near = near.saturating_add(self.rng.below(3) as i64 - 1);
                self.literal(&Val::Long(near));
                Some(Val::Long(near))
            }
            _ => self.operand(ty, depth),
        };
        self.push(")");
        let order = near.and_then(|left| as_long(&right?).map(|right| left.cmp(&right)));
        let operators = [" < ", " <= ", " > ", " >= "];
        let holds = |operator: usize| {
            order.map(|order| match operator {
                0 => order.is_lt(),
                1 => order.is_le(),
                2 => order.is_gt(),
                _ => order.is_ge(),
            })
        };
        let first = self.rng.below(4);
        let mut chosen = first;
        if want.is_some() && self.rng.chance(85u32) {
            let fits = |operator: &usize| holds(*operator) == want;
            chosen = (first..first + 4)
                .map(|n| n % 4)
                .find(fits)
                .unwrap_or(first);
        }
        let operator = operators.get(chosen).copied().unwrap_or(" < ");
        self.out.insert_str(middle, operator);
        holds(chosen)
    }

    /// Writes an entity to ask something about, and its type.
    fn some_entity(&mut self) -> (Option<Uid>, usize) {
        let world = self.world;
        let is_entity = |path: &Path| entity_type(world, path.ty).is_some();
        match self.paths.pick(self.rng, is_entity) {
            Some(found) if self.rng.chance(95u32) => {
                let ty = self.paths.get(found).map(|path| path.ty);
                let declared = match ty.map(|ty| world.model.types.get(ty)) {
                    Some(Ty::Entity(position)) => *position,
                    _ => 0,
                };
                match self.path(found) {
                    Some(Val::Entity(uid)) => (Some(uid), world.type_of(uid)),
                    _ => (None, declared),
                }
            }
            _ => {
                let uid = world.any_uid(self.rng);
                self.literal(&Val::Entity(uid));
                (Some(uid), world.type_of(uid))
            }
        }
    }

    /// Something that `uid` may be in.
    fn some_group(&mut self, uid: Option<Uid>, want: Option<bool>) -> Uid {
        let entity = uid.and_then(|uid| self.world.entities.get(uid));
        let above = entity.map(|entity| &*entity.ancestors).unwrap_or_default();
        match self.rng.pick(above) {
            Some(&group) if want == Some(true) || self.rng.one_in(3) => group,
            _ => match uid {
                Some(uid) if want == Some(true) && self.rng.one_in(2) => uid,
                Some(uid) => {
                    let parents = entity.and_then(|entity| {
                        let ty = self.world.model.entity_types.get(entity.entity_type)?;
                        self.rng.pick(&ty.parents).copied()
                    });
                    let ty = parents.unwrap_or_else(|| self.world.type_of(uid));
                    self.world.uid_of(self.rng, ty)
                }
                None => self.world.any_uid(self.rng),
            },
        }
    }

    /// Writes `entity in entity` or `entity in [entities]`.
    pub(super) fn membership(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        self.push("(");
        let (uid, ty) = if self.rng.chance(self.knobs.ill_typed) {
            let any = self.world.model.types.any(self.rng);
            self.operand(any, depth);
            (None, 0)
        } else {
            self.some_entity()
        };
        self.push(" in ");
        let known = self.group_operand(uid, ty, want);
        self.push(")");
        known
    }

    fn group_operand(&mut self, uid: Option<Uid>, ty: usize, want: Option<bool>) -> Option<bool> {
        let world = self.world;
        let is_in = |group: Uid| uid.map(|uid| world.is_in(uid, group));
        match self.rng.below(10) {
            0..=4 => {
                let group = self.some_group(uid, want);
                self.literal(&Val::Entity(group));
                is_in(group)
            }
            5 => {
                let (group, _) = self.some_entity();
                group.and_then(is_in)
            }
            6 => {
                // Whatever set of entities there is to read.
                let sets = [Ty::Entity(ty), Ty::Entity(0)];
                let sets = sets.iter().filter_map(|ty| world.model.types.find(ty));
                let sets = sets.filter_map(|ty| world.model.types.find(&Ty::Set(ty)));
                let read = sets.into_iter().next().and_then(|ty| self.read(ty));
                match read {
                    Some(Some(Val::Set(members))) => {
                        let groups = members.iter().map(|member| match member {
                            Val::Entity(group) => is_in(*group),
                            _ => None,
                        });
                        groups
                            .reduce(|any, next| Some(any? || next?))
                            .unwrap_or(Some(false))
                    }
                    Some(_) => None,
                    None => {
                        self.push("[]");
                        uid.map(|_| false)
                    }
                }
            }
            form => self.group_list(uid, want, form == 9),
        }
    }

    fn group_list(&mut self, uid: Option<Uid>, want: Option<bool>, odd: bool) -> Option<bool> {
        let count = self.rng.between(0, 4);
        let mut found = uid.map(|_| false);
        self.push("[");
        for position in 0..count {
            if position > 0 {
                self.push(", ");
            }
            if odd && self.rng.chance(u32::from(self.knobs.ill_typed) * 12) {
                let any = self.world.model.types.any(self.rng);
                self.value(any, 0);
                found = None;
                continue;
            }
            let group = self.some_group(uid, want.filter(|_| position == 0));
            self.literal(&Val::Entity(group));
            let within = uid.map(|uid| self.world.is_in(uid, group));
            found = found.and_then(|found| within.map(|within| found || within));
        }
        self.push("]");
        found
    }

    /// Writes `entity is Type`, perhaps with `in`.
    pub(super) fn type_test(&mut self, want: Option<bool>) -> Option<bool> {
        self.push("(");
        let (uid, mut ty) = self.some_entity();
        if want != Some(true) && self.rng.one_in(2) {
            ty = self.rng.below(self.world.model.entity_types.len());
        }
        self.push(" is ");
        let name = self.world.model.entity_types.get(ty);
        self.push(name.map(|ty| &*ty.name).unwrap_or("Nothing"));
        let is_it = uid.map(|uid| self.world.type_of(uid) == ty);
        let known = if self.rng.chance(40u32) {
            self.push(" in ");
            let within = self.group_operand(uid, ty, want);
            match is_it {
                Some(true) => within,
                other => other,
            }
        } else {
            is_it
        };
        self.push(")");
        known
    }

    /// Writes `x has a` or `x has a.b.c`.
    pub(super) fn has(&mut self, want: Option<bool>) -> Option<bool> {
        let (world, paths) = (self.world, self.paths);
        self.push("(");
        let holder = paths.pick_holder(self.rng, &world.model).unwrap_or(0);
        let mut at = self.path(holder);
        self.push(" has ");
        let mut ty = paths.get(holder).map(|path| path.ty);
        let mut known = Some(true);
        let count = if self.rng.chance(self.knobs.has) {
            self.rng.between(2, 4)
        } else {
            1
        };
        for position in 0..count {
            let declared = ty.and_then(|ty| world.model.attributes(ty));
            let declared = declared.map(|fields| &**fields).unwrap_or_default();
            let present = fields_of(world, &at);
            let step = match self.rng.pick(declared) {
                Some(step) if want == Some(true) || self.rng.chance(80u32) => Some(step),
                _ => None,
            };
            let name = match (step, present.first()) {
                (Some(_), Some((name, _))) if want == Some(true) && self.rng.one_in(2) => {
                    name.clone()
                }
                (Some(step), _) => step.name.clone(),
                (None, _) if self.rng.chance(self.knobs.tags / 2) => {
                    world.model.pools.tag_key(self.rng)
                }
                (None, _) => world.model.pools.attribute(self.rng),
            };
            if !is_plain(&name) {
                if position > 0 {
                    break;
                }
                cedar_string(self.out, &name, false);
                known = Some(field(present, &name).is_some());
                break;
            }
            if position > 0 {
                self.push(".");
            }
            self.push(&name);
            let found = field(present, &name).cloned();
            known = match (known, &found) {
                (Some(true), None) => Some(false),
                _ => known,
            };
            ty = declared.iter().find(|f| f.name == name).map(|f| f.ty);
            at = found;
            let goes_on = ty.is_some_and(|ty| world.model.attributes(ty).is_some());
            if position + 1 < count && !goes_on && !self.rng.chance(self.knobs.ill_typed) {
                break;
            }
        }
        self.push(")");
        known
    }

    /// Writes `entity.hasTag(key)`.
    pub(super) fn has_tag(&mut self, want: Option<bool>) -> Option<bool> {
        let world = self.world;
        let (uid, _) = self.some_entity();
        let entity = uid.and_then(|uid| world.present(uid));
        let tags = entity.map(|entity| &*entity.tags).unwrap_or_default();
        let attrs = entity.map(|entity| &*entity.attrs).unwrap_or_default();
        self.push(".hasTag(");
        let attribute = self.rng.pick(attrs).filter(|_| self.rng.one_in(4));
        let key = match attribute.or_else(|| self.rng.pick(tags)) {
            Some((key, _)) if attribute.is_some() || want != Some(false) => Some(key.clone()),
            _ if self.rng.chance(80u32) => Some(world.model.pools.tag_key(self.rng)),
            _ => match self.operand(STR, 0) {
                Some(Val::Str(key)) => {
                    self.push(")");
                    return Some(field(tags, &key).is_some());
                }
                _ => {
                    self.push(")");
                    return None;
                }
            },
        };
        let key = key.unwrap_or_default();
        cedar_string(self.out, &key, false);
        self.push(")");
        uid.map(|_| field(tags, &key).is_some())
    }

    /// Writes a Boolean method of an extension type.
    pub(super) fn extension_predicate(&mut self, depth: usize) -> Option<bool> {
        let unary = [".isIpv4()", ".isIpv6()", ".isLoopback()", ".isMulticast()"];
        let order = [
            ".lessThan(",
            ".lessThanOrEqual(",
            ".greaterThan(",
            ".greaterThanOrEqual(",
        ];
        let (ext, method) = match self.rng.below(10) {
            0..4 => (Ext::Decimal, self.rng.pick(&order)),
            4..7 => (Ext::Ip, self.rng.pick(&unary)),
            _ => (Ext::Ip, None),
        };
        self.operand(ext_ty(ext), depth);
        let method = method.copied().unwrap_or(".isInRange(");
        self.push(method);
        if method.ends_with('(') {
            self.operand(ext_ty(ext), depth);
            self.push(")");
        }
        None
    }
}

/// The attributes of what `val` is, for the witness.
fn fields_of<'v>(world: &'v Population, val: &'v Option<Val>) -> &'v [(Arc<str>, Val)] {
    match val {
        Some(Val::Entity(uid)) => world.present(*uid).map(|e| &*e.attrs).unwrap_or_default(),
        Some(Val::Record(fields)) => fields,
        _ => &[],
    }
}
