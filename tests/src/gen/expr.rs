//! Well-typed expressions: values of a wanted type that usually read something.

use super::extensions::Ext;
use super::knobs::Knobs;
use super::model::{EntityType, LONG, STR, Ty, TyId, ext_ty};
use super::names::EDGE_LONGS;
use super::paths::{Path, Paths};
use super::population::Population;
use super::rng::Rng;
use super::text::{cedar_string, comma_separated};
use super::value::{Val, record_key};
use std::sync::Arc;

/// What an expression evaluates to for the witness; none if that is not known, or it fails.
pub(super) type Known = Option<Val>;

/// A question that must be answered with yes before something is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Guard {
    /// Does the path's last step lead anywhere?
    Has(usize),
    /// Has the entity at the path this tag?
    Tag(usize, Arc<str>),
}

/// Writes the expressions of one policy.
pub(super) struct Writer<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) knobs: &'a Knobs,
    pub(super) world: &'a Population,
    pub(super) paths: &'a Paths,
    pub(super) out: &'a mut String,
    /// Questions that the Boolean expression being written has to ask first.
    pub(super) guards: Vec<Guard>,
    /// How many nodes may still be written before everything becomes a leaf.
    pub(super) nodes: usize,
}

impl Writer<'_> {
    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Whether to stop nesting; counts a node.
    pub(super) fn is_leaf(&mut self, depth: usize) -> bool {
        self.nodes = self.nodes.saturating_sub(1);
        depth == 0 || self.nodes == 0
    }

    /// Writes an operand that should be of type `ty`, in a form that needs no parentheses.
    pub(super) fn operand(&mut self, ty: TyId, depth: usize) -> Known {
        if self.rng.chance(self.knobs.ill_typed) {
            let other = self.world.model.types.any(self.rng);
            self.value(other, depth.min(1));
            return None;
        }
        self.value(ty, depth)
    }

    /// Writes an expression of type `ty`.
    pub(super) fn value(&mut self, ty: TyId, depth: usize) -> Known {
        if self.is_leaf(depth) {
            return self.leaf(ty);
        }
        if self.rng.chance(self.knobs.conditional / 4) {
            return self.conditional_value(ty, depth - 1);
        }
        let world = self.world;
        match world.model.types.get(ty) {
            Ty::Bool => self.boolean(depth - 1, None).map(Val::Bool),
            Ty::Long => self.long(depth - 1),
            Ty::Ext(ext) => self.extension(*ext, depth - 1),
            Ty::Set(element) if self.rng.chance(self.knobs.literals) => {
                self.set_literal(*element, depth - 1)
            }
            Ty::Record(_) if self.rng.chance(self.knobs.literals) => {
                self.record_literal(ty, depth - 1)
            }
            _ => self.leaf(ty),
        }
    }

    fn conditional_value(&mut self, ty: TyId, depth: usize) -> Known {
        self.push("(if ");
        let condition = self.boolean(depth, None);
        self.push(" then ");
        let yes = self.operand(ty, depth);
        self.push(" else ");
        let no = self.operand(ty, depth);
        self.push(")");
        condition.and_then(|condition| if condition { yes } else { no })
    }

    /// Writes a path, a tag or a constant of type `ty`.
    pub(super) fn leaf(&mut self, ty: TyId) -> Known {
        if self.rng.chance(80u32)
            && let Some(known) = self.read(ty)
        {
            return known;
        }
        self.constant(ty)
    }

    /// Writes a path or a tag of type `ty`; none, and nothing written, if there is none.
    pub(super) fn read(&mut self, ty: TyId) -> Option<Known> {
        if self.rng.chance(self.knobs.tags / 3)
            && let Some(known) = self.tag_value(ty)
        {
            return Some(known);
        }
        // Most often one that the witness has, so that something comes of it.
        let present = self.rng.chance(85u32);
        let paths = self.paths;
        let found = paths.pick(self.rng, |p| p.ty == ty && (p.val.is_some() || !present));
        let found = found.or_else(|| paths.pick(self.rng, |path| path.ty == ty))?;
        Some(self.path(found))
    }

    /// Writes the path at that position and notes what to ask before it is read.
    pub(super) fn path(&mut self, position: usize) -> Known {
        let paths = self.paths;
        self.push(paths.source(position));
        if !self.rng.chance(self.knobs.missing_attributes) {
            self.guard_path(position);
        }
        paths.get(position).and_then(|path| path.val.clone())
    }

    /// Notes the guards of all optional steps of a path, the first step's first.
    fn guard_path(&mut self, position: usize) {
        let paths = self.paths;
        let Some(step) = paths.get(position).and_then(|path| path.step.as_ref()) else {
            return;
        };
        self.guard_path(step.parent);
        if step.optional {
            self.guard(Guard::Has(position));
        }
    }

    fn guard(&mut self, guard: Guard) {
        self.guards.push(guard);
    }

    pub(super) fn tag_value(&mut self, ty: TyId) -> Option<Known> {
        let (world, paths) = (self.world, self.paths);
        let has_it =
            |path: &Path| entity_type(world, path.ty).is_some_and(|entity| entity.tags == Some(ty));
        let holder = paths.pick(self.rng, has_it)?;
        let entity = match paths.get(holder).and_then(|path| path.val.clone()) {
            Some(Val::Entity(uid)) => world.present(uid),
            _ => None,
        };
        let tags = entity.map(|entity| &*entity.tags).unwrap_or_default();
        let (key, val) = match self.rng.pick(tags).cloned() {
            Some((key, val)) if self.rng.chance(80u32) => (key, Some(val)),
            _ => (world.model.pools.tag_key(self.rng), None),
        };
        self.path(holder);
        self.push(".getTag(");
        cedar_string(self.out, &key, false);
        self.push(")");
        if !self.rng.chance(self.knobs.missing_attributes) {
            self.guard(Guard::Tag(holder, key));
        }
        Some(val)
    }

    /// Writes a constant of type `ty`.
    pub(super) fn constant(&mut self, ty: TyId) -> Known {
        let val = match self.world.model.types.get(ty) {
            Ty::Long if self.rng.chance(self.knobs.overflow) => {
                Val::Long(self.rng.pick(EDGE_LONGS).copied().unwrap_or(0))
            }
            Ty::Ext(ext) if self.rng.chance(self.knobs.bad_extensions / 3) => {
                return self.bad_extension(*ext);
            }
            Ty::Entity(_) if self.rng.one_in(12) => Val::Entity(self.world.any_uid(self.rng)),
            _ => self.world.value(self.rng, self.knobs, ty),
        };
        self.literal(&val);
        Some(val)
    }

    fn bad_extension(&mut self, ext: Ext) -> Known {
        let text = self.rng.pick(ext.invalid()).copied().unwrap_or_default();
        self.literal(&Val::Ext(ext, Arc::from(text)));
        None
    }

    /// Writes a known value.
    pub(super) fn literal(&mut self, val: &Val) {
        let ascii = self.rng.one_in(4);
        self.world.printer().cedar(self.out, val, ascii);
    }

    fn long(&mut self, depth: usize) -> Known {
        if !self.rng.chance(self.knobs.arithmetic) {
            return self.leaf(LONG);
        }
        let form = self
            .rng
            .below(if self.knobs.extensions > 0 { 11 } else { 9 });
        match form {
            0 => {
                self.push("(-");
                let operand = match self.rng.chance(self.knobs.overflow) {
                    true => {
                        let least = Val::Long(i64::MIN);
                        self.literal(&least);
                        Some(least)
                    }
                    false => self.operand(LONG, depth),
                };
                self.push(")");
                as_long(&operand?)?.checked_neg().map(Val::Long)
            }
            1..=8 => self.arithmetic(depth),
            _ => {
                self.operand(ext_ty(Ext::Duration), depth);
                let units = [
                    ".toMilliseconds()",
                    ".toSeconds()",
                    ".toMinutes()",
                    ".toHours()",
                    ".toDays()",
                ];
                let unit = self.rng.pick(&units).copied();
                self.push(unit.unwrap_or_default());
                None
            }
        }
    }

    fn arithmetic(&mut self, depth: usize) -> Known {
        self.push("(");
        let left = self.operand(LONG, depth);
        let operator = self.rng.below(3);
        self.push(
            [" + ", " - ", " * "]
                .get(operator)
                .copied()
                .unwrap_or(" + "),
        );
        let near = left.as_ref().and_then(as_long);
        let right = match near.filter(|_| self.rng.chance(self.knobs.overflow)) {
            Some(left) => {
                let edge = Val::Long(self.edge_operand(left, operator));
                self.literal(&edge);
                Some(edge)
            }
            None => self.operand(LONG, depth),
        };
        self.push(")");
        let (left, right) = (near?, as_long(&right?)?);
        let result = match operator {
            0 => left.checked_add(right),
            1 => left.checked_sub(right),
            _ => left.checked_mul(right),
        };
        result.map(Val::Long)
    }

    /// A right operand with which the result is the last Long, or just beyond.
    fn edge_operand(&mut self, left: i64, operator: usize) -> i64 {
        let edge = if left < 0 { i64::MIN } else { i64::MAX };
        let (last, onwards) = match operator {
            0 => (edge.wrapping_sub(left), edge.signum()),
            1 => (left.wrapping_sub(edge), -edge.signum()),
            _ => (edge.checked_div(left).unwrap_or(edge), 1),
        };
        last.saturating_add(onwards * self.rng.below(2) as i64)
    }

    fn extension(&mut self, ext: Ext, depth: usize) -> Known {
        let ty = ext_ty(ext);
        match (self.rng.below(8), ext) {
            // From a string that is not a constant, and need not be of the right form.
            (0, _) if self.rng.chance(u32::from(self.knobs.bad_extensions) * 4) => {
                self.push(ext.constructor());
                self.push("(");
                let arg = self.operand(STR, depth);
                self.push(")");
                match arg {
                    Some(Val::Str(arg)) if ext.valid().contains(&&*arg) => Some(Val::Ext(ext, arg)),
                    _ => None,
                }
            }
            (1, Ext::Datetime) => {
                self.operand(ty, depth);
                self.push(".offset(");
                self.operand(ext_ty(Ext::Duration), depth);
                self.push(")");
                None
            }
            (2, Ext::Datetime) => {
                self.operand(ty, depth);
                self.push(".toDate()");
                None
            }
            (1, Ext::Duration) => {
                self.operand(ext_ty(Ext::Datetime), depth);
                self.push(".durationSince(");
                self.operand(ext_ty(Ext::Datetime), depth);
                self.push(")");
                None
            }
            (2, Ext::Duration) => {
                self.operand(ext_ty(Ext::Datetime), depth);
                self.push(".toTime()");
                None
            }
            _ => self.leaf(ty),
        }
    }

    pub(super) fn set_literal(&mut self, element: TyId, depth: usize) -> Known {
        let count = self.rng.below(5);
        let mut members = Some(Vec::new());
        self.push("[");
        for position in 0..count {
            if position > 0 {
                self.push(", ");
            }
            let member = self.operand(element, depth);
            match (&mut members, member) {
                (Some(members), Some(member)) => members.push(member),
                _ => members = None,
            }
        }
        self.push("]");
        members.map(|members| Val::Set(Arc::from(members)))
    }

    fn record_literal(&mut self, ty: TyId, depth: usize) -> Known {
        let world = self.world;
        let declared = world.model.attributes(ty).map(|fields| &**fields);
        // Source order is not evaluation order; shuffle it.
        let mut fields = declared.unwrap_or_default().to_vec();
        if fields.len() > 1 && self.rng.one_in(2) {
            fields.rotate_left(1);
        }
        fields.retain(|field| field.required || self.rng.one_in(2));
        let mut values = Some(Vec::new());
        self.push("{");
        for (position, field) in fields.iter().enumerate() {
            if position > 0 {
                self.push(", ");
            }
            record_key(self.out, &field.name, false);
            self.push(": ");
            let value = self.operand(field.ty, depth);
            match (&mut values, value) {
                (Some(values), Some(value)) => values.push((field.name.clone(), value)),
                _ => values = None,
            }
        }
        self.push("}");
        values.map(|values| Val::Record(Arc::from(values)))
    }

    /// Writes a set of dozens to hundreds of constants, most of type `element`.
    pub(super) fn large_set(&mut self, element: TyId) {
        let count = self.rng.between(20, 120);
        // Different elements, lest the set be small after all.
        let distinct = self.rng.one_in(2);
        self.out.push('[');
        let (rng, knobs, world) = (&mut *self.rng, self.knobs, self.world);
        comma_separated(self.out, 0..count, |out, n| {
            let val = match world.model.types.get(element) {
                Ty::Long if distinct => Val::Long(n as i64 * 2),
                Ty::Str if distinct => Val::Str(Arc::from(format!("s{n}"))),
                _ => world.value(rng, knobs, element),
            };
            world.printer().cedar(out, &val, false);
        });
        self.out.push(']');
    }
}

/// The entity type that `ty` is, if it is one.
pub(super) fn entity_type(world: &Population, ty: TyId) -> Option<&EntityType> {
    match world.model.types.get(ty) {
        Ty::Entity(position) => world.model.entity_types.get(*position),
        _ => None,
    }
}

pub(super) fn as_long(val: &Val) -> Option<i64> {
    match val {
        Val::Long(n) => Some(*n),
        _ => None,
    }
}
