//! Boolean expressions that are made to hold, or not, for the witness.

use super::expr::{Guard, Writer};
use super::model::{BOOL, Ty, TyId};
use super::text::{cedar_string, is_plain};
use super::value::{Val, contains};

impl Writer<'_> {
    /// Writes a Boolean expression that for the witness should be `want`, and returns what it is
    /// there, as far as that is known.
    pub(super) fn boolean(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        let start = self.out.len();
        let outer = std::mem::take(&mut self.guards);
        let plain = self.is_leaf(depth);
        let known = self.boolean_form(plain, depth.saturating_sub(1), want);
        let known = self.ask_first(start, known);
        self.guards = outer;
        let wrong = known.is_some() && want.is_some() && known != want;
        if (wrong && self.rng.chance(90u32)) || self.rng.chance(self.knobs.negation / 4) {
            self.out.insert_str(start, "(!");
            self.push(")");
            return known.map(|known| !known);
        }
        known
    }

    fn boolean_form(&mut self, plain: bool, depth: usize, want: Option<bool>) -> Option<bool> {
        let k = self.knobs;
        let nested = |weight: u8| if plain { 0 } else { u32::from(weight) };
        let weights = [
            u32::from(k.reads) / 3,
            u32::from(k.equality),
            u32::from(k.ordering),
            u32::from(k.membership),
            u32::from(k.type_tests),
            u32::from(k.has),
            u32::from(k.set_operators),
            u32::from(k.like),
            u32::from(k.tags) / 4,
            u32::from(k.extensions) / 2,
            nested(k.logic),
            nested(k.negation),
            nested(k.conditional),
            nested(k.short_circuit),
            nested(k.long_chains),
            u32::from(k.computed_calls),
            u32::from(k.twins),
            1,
        ];
        match self.rng.weighted(&weights) {
            0 => self.boolean_read(),
            1 => self.equality(depth, want),
            2 => self.ordering(depth, want),
            3 => self.membership(depth, want),
            4 => self.type_test(want),
            5 => self.has(want),
            6 => self.set_operator(depth, want),
            7 => self.like(depth, want),
            8 => self.has_tag(want),
            9 => self.extension_predicate(depth),
            10 => self.logic(depth, want),
            11 => {
                self.push("(!");
                let known = self.boolean_operand(depth, want.map(|want| !want));
                self.push(")");
                known.map(|known| !known)
            }
            12 => self.conditional(depth, want),
            13 => self.short_circuit(depth),
            14 => self.long_chain(want),
            15 => self.computed_call(),
            16 => self.twins(),
            _ => {
                let known = want.unwrap_or_else(|| self.rng.one_in(2));
                self.push(if known { "true" } else { "false" });
                Some(known)
            }
        }
    }

    fn boolean_read(&mut self) -> Option<bool> {
        let tag = match self.rng.chance(self.knobs.tags) {
            true => self.tag_value(BOOL),
            false => None,
        };
        match tag.or_else(|| self.read(BOOL)) {
            Some(known) => known.and_then(|val| match val {
                Val::Bool(known) => Some(known),
                _ => None,
            }),
            None => self.has(None),
        }
    }

    /// Writes an operand where a Boolean belongs.
    pub(super) fn boolean_operand(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        if self.rng.chance(self.knobs.ill_typed) {
            self.operand(BOOL, depth.min(1));
            return None;
        }
        self.boolean(depth, want)
    }

    /// Puts the questions of the guards before what was written since `start`.
    fn ask_first(&mut self, start: usize, known: Option<bool>) -> Option<bool> {
        let mut guards: Vec<Guard> = Vec::new();
        for guard in std::mem::take(&mut self.guards) {
            if !guards.contains(&guard) {
                guards.push(guard);
            }
        }
        if guards.is_empty() {
            return known;
        }
        let as_path = self.rng.chance(self.knobs.has);
        let mut prefix = String::new();
        let mut answer = Some(true);
        for guard in &guards {
            let yes = self.write_guard(&mut prefix, guard, as_path);
            prefix.push_str(" && ");
            answer = if yes { answer } else { Some(false) };
        }
        if self.rng.one_in(8) {
            // The same question asked with `if`.
            let end = prefix.trim_end_matches(" && ").len();
            prefix.truncate(end);
            self.out.insert_str(start, &format!("(if {prefix} then "));
            self.push(" else false)");
        } else {
            self.out.insert_str(start, &format!("({prefix}"));
            self.push(")");
        }
        if answer == Some(false) { answer } else { known }
    }

    /// Writes one guard and says whether the witness passes it.
    fn write_guard(&self, out: &mut String, guard: &Guard, as_path: bool) -> bool {
        match guard {
            Guard::Has(position) => {
                let path = self.paths.get(*position);
                let present = path.is_some_and(|path| path.val.is_some());
                if !(as_path && self.write_has_path(out, *position)) {
                    let step = path.and_then(|path| path.step.as_ref());
                    out.push_str(self.paths.source(step.map_or(0, |step| step.parent)));
                    out.push_str(" has ");
                    let name = step.map(|step| &*step.name).unwrap_or_default();
                    if is_plain(name) {
                        out.push_str(name);
                    } else {
                        cedar_string(out, name, false);
                    }
                }
                present
            }
            Guard::Tag(position, key) => {
                out.push_str(self.paths.source(*position));
                out.push_str(".hasTag(");
                cedar_string(out, key, false);
                out.push(')');
                match self.paths.get(*position).and_then(|path| path.val.clone()) {
                    Some(Val::Entity(uid)) => self
                        .world
                        .present(uid)
                        .is_some_and(|entity| entity.tags.iter().any(|(name, _)| name == key)),
                    _ => false,
                }
            }
        }
    }

    /// Writes `variable has a.b.c` for a path that can be written so.
    fn write_has_path(&self, out: &mut String, position: usize) -> bool {
        let mut names = Vec::new();
        let mut at = position;
        while let Some(step) = self.paths.get(at).and_then(|path| path.step.as_ref()) {
            if !is_plain(&step.name) {
                return false;
            }
            names.push(&*step.name);
            at = step.parent;
        }
        names.reverse();
        out.push_str(self.paths.source(at));
        out.push_str(" has ");
        out.push_str(&names.join("."));
        true
    }

    fn logic(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        let is_and = self.rng.one_in(2);
        let count = self.rng.between(2, 4);
        // The one operand that decides, if the result is not the operator's neutral element.
        let decisive = self.rng.below(count);
        let mut known = Some(is_and);
        self.push("(");
        for position in 0..count {
            if position > 0 {
                self.push(if is_and { " && " } else { " || " });
            }
            let want = match want {
                Some(want) if want == is_and || position == decisive => Some(want),
                Some(_) => None,
                None => None,
            };
            let operand = self.boolean_operand(depth, want);
            known = match (known, operand) {
                (Some(so_far), _) if so_far != is_and => known,
                (Some(_), operand) => operand,
                (None, _) => None,
            };
        }
        self.push(")");
        known
    }

    fn conditional(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        self.push("(if ");
        let condition = self.boolean_operand(depth, None);
        self.push(" then ");
        let yes = self.boolean_operand(depth, want);
        self.push(" else ");
        let no = self.boolean_operand(depth, want);
        self.push(")");
        condition.and_then(|condition| if condition { yes } else { no })
    }

    /// A failure that the left operand, the condition or the other operand may hide, or not.
    fn short_circuit(&mut self, depth: usize) -> Option<bool> {
        match self.rng.below(7) {
            0 => self.wrap("(false && ", ")", Some(false)),
            1 => self.wrap("(true || ", ")", Some(true)),
            2 => self.wrap("(", " && false)", None),
            3 => self.wrap("(", " || true)", None),
            4 => {
                self.push("(");
                let known = self.boolean_operand(depth, Some(false));
                self.wrap(" && ", ")", known.filter(|known| !known))
            }
            5 => {
                self.push("(");
                let known = self.boolean_operand(depth, Some(true));
                self.wrap(" || ", ")", known.filter(|known| *known))
            }
            _ => {
                self.push("(if ");
                let condition = self.boolean_operand(depth, Some(true));
                self.push(" then ");
                let known = self.boolean_operand(depth, None);
                self.wrap(" else ", ")", known.filter(|_| condition == Some(true)))
            }
        }
    }

    fn wrap(&mut self, before: &str, after: &str, known: Option<bool>) -> Option<bool> {
        self.push(before);
        self.failing();
        self.push(after);
        known
    }

    /// Dozens to hundreds of operands, of which the last is the first to decide.
    fn long_chain(&mut self, want: Option<bool>) -> Option<bool> {
        let is_and = want.unwrap_or(true);
        let count = self.rng.between(20, 150);
        self.push("(");
        let mut known = Some(is_and);
        for position in 0..count {
            if position > 0 {
                self.push(if is_and { " && " } else { " || " });
            }
            let want = if position + 1 == count {
                want
            } else {
                Some(is_and)
            };
            let operand = match self.rng.below(6) {
                0 => self.has(want),
                1 => self.type_test(want),
                2 => {
                    let operand = want.unwrap_or(is_and);
                    self.push(if operand { "true" } else { "false" });
                    Some(operand)
                }
                _ => self.small_comparison(want),
            };
            known = match (known, operand) {
                (Some(so_far), Some(operand)) if so_far == is_and => Some(operand),
                (so_far, _) => so_far,
            };
        }
        self.push(")");
        known
    }

    fn small_comparison(&mut self, want: Option<bool>) -> Option<bool> {
        let start = self.out.len();
        let outer = std::mem::take(&mut self.guards);
        let known = self.equality(0, want);
        let known = self.ask_first(start, known);
        self.guards = outer;
        known
    }

    /// Writes `.contains()` and its kin.
    fn set_operator(&mut self, depth: usize, want: Option<bool>) -> Option<bool> {
        let (element, set_ty) = self.set_type();
        let nested = matches!(
            self.world.model.types.get(element),
            Ty::Set(_) | Ty::Record(_)
        );
        if !nested && self.rng.chance(self.knobs.large_sets / 3) {
            self.large_set(element);
            self.push(".contains(");
            self.operand(element, depth);
            self.push(")");
            return None;
        }
        let set = match set_ty {
            Some(ty) if self.rng.chance(75u32) => self.operand(ty, depth),
            _ => self.set_literal(element, depth),
        };
        let members = match &set {
            Some(Val::Set(members)) => Some(&**members),
            _ => None,
        };
        match self.rng.below(6) {
            0 => {
                self.push(".isEmpty()");
                members.map(<[Val]>::is_empty)
            }
            form @ 1..=2 => {
                self.push(if form == 1 {
                    ".containsAll("
                } else {
                    ".containsAny("
                });
                let other = self.set_to_find(members, element, set_ty, depth, want);
                self.push(")");
                match (members, other) {
                    (Some(members), Some(Val::Set(other))) => {
                        contains_some(members, &other, form == 1)
                    }
                    _ => None,
                }
            }
            _ => {
                self.push(".contains(");
                let found = members.and_then(|members| self.rng.pick(members).cloned());
                let member = match found {
                    Some(member) if want == Some(true) || self.rng.one_in(3) => {
                        self.literal(&member);
                        Some(member)
                    }
                    _ => self.operand(element, depth),
                };
                self.push(")");
                contains(members?, &member?)
            }
        }
    }

    fn set_to_find(
        &mut self,
        members: Option<&[Val]>,
        element: TyId,
        set_ty: Option<TyId>,
        depth: usize,
        want: Option<bool>,
    ) -> Option<Val> {
        if let Some(members) = members.filter(|m| !m.is_empty() && m.len() < 20)
            && (want == Some(true) || self.rng.one_in(4))
        {
            let some = (0..self.rng.between(1, 3)).filter_map(|_| self.rng.pick(members));
            let some = Val::Set(some.cloned().collect());
            self.literal(&some);
            return Some(some);
        }
        match set_ty {
            Some(ty) if self.rng.one_in(2) => self.operand(ty, depth),
            _ => self.set_literal(element, depth),
        }
    }

    /// An element type, and the type of its sets if the world has such a type.
    fn set_type(&mut self) -> (TyId, Option<TyId>) {
        let types = &self.world.model.types;
        let paths = self.paths;
        let read = paths.pick(self.rng, |path| matches!(types.get(path.ty), Ty::Set(_)));
        let read = read.and_then(|found| paths.get(found)).map(|path| path.ty);
        if let Some(ty) = read.filter(|_| self.rng.chance(75u32))
            && let Ty::Set(element) = types.get(ty)
        {
            return (*element, Some(ty));
        }
        let element = types.any(self.rng);
        (element, types.find(&Ty::Set(element)))
    }
}

/// Whether `set` contains all, or any, of `other`.
pub(super) fn contains_some(set: &[Val], other: &[Val], all: bool) -> Option<bool> {
    let mut result = all;
    for member in other {
        let found = contains(set, member)?;
        result = if all {
            result && found
        } else {
            result || found
        };
    }
    Some(result)
}
