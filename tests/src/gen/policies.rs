//! Policies, templates and links.

use super::expr::Writer;
use super::farms;
use super::knobs::Knobs;
use super::names::{IDS, ODD_STRINGS, name};
use super::paths::{Paths, Witness};
use super::population::Population;
use super::relations;
use super::rng::Rng;
use super::text::{Pieces, cedar_string, comma_separated};
use super::value::{Uid, UidText};

/// What a template's slots stand for under one id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The template's position among the policies.
    pub template: usize,
    /// The linked policy's id.
    pub id: String,
    /// The entity for `?principal`, if the template has that slot.
    pub principal: Option<UidText>,
    /// The entity for `?resource`, if the template has that slot.
    pub resource: Option<UidText>,
}

/// How policies are written in one world.
#[derive(Debug, Clone, Copy)]
struct Style {
    forbids: u32,
    /// Whether scopes and conditions are wide, so that many policies apply to a request.
    together: bool,
    small: bool,
}

/// Writes all policies of a world.
pub(super) fn write(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
    witnesses: &[Witness],
) -> (Pieces, Vec<Link>) {
    if world.model.relations {
        return (relations::policies(rng, world, witnesses), Vec::new());
    }
    if let Some(witness) = rng.pick(witnesses) {
        if rng.chance(knobs.link_farms) {
            return farms::links(rng, world, witness);
        }
        if rng.chance(knobs.constant_farms) {
            let policies = farms::constants(rng, knobs, world, witness);
            return (policies, Vec::new());
        }
    }
    let many = rng.chance(knobs.many_policies);
    let count = match many {
        true => skewed(rng, 15, knobs.sizes.many_policies),
        false => skewed(rng, 1, knobs.sizes.policies),
    };
    let style = Style {
        forbids: rng.below(60) as u32,
        together: rng.chance(knobs.together),
        small: many,
    };
    let mut policies = Pieces::default();
    let mut links = Vec::new();
    for position in 0..count {
        let Some(witness) = rng.pick(witnesses) else {
            break;
        };
        let mut slots = Slots::default();
        policies.add(|out| policy(rng, knobs, world, witness, style, out, &mut slots));
        if slots.principal || slots.resource {
            link(rng, knobs, world, witnesses, position, slots, &mut links);
        }
    }
    (policies, links)
}

/// A number in the range; small ones are the most frequent.
fn skewed(rng: &mut Rng, low: usize, high: usize) -> usize {
    let high = rng.between(low, high);
    rng.between(low.min(high), high)
}

#[derive(Debug, Clone, Copy, Default)]
struct Slots {
    principal: bool,
    resource: bool,
}

fn policy(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
    witness: &Witness,
    style: Style,
    out: &mut String,
    slots: &mut Slots,
) {
    annotations(rng, knobs, out);
    let is_forbid = rng.chance(style.forbids);
    out.push_str(if is_forbid { "forbid(" } else { "permit(" });
    let template = rng.chance(knobs.templates);
    let wide = style.together && rng.chance(70u32);
    let side = if template { rng.below(3) } else { 3 };
    let mut scope = Scope { rng, world, out };
    slots.principal = scope.entity("principal", witness.principal, matches!(side, 0 | 2), wide);
    scope.out.push_str(", ");
    scope.action(witness, wide);
    scope.out.push_str(", ");
    slots.resource = scope.entity("resource", witness.resource, matches!(side, 1 | 2), wide);
    out.push(')');
    let paths = Paths::new(rng, world, witness);
    let clauses = match style.small {
        true => rng.below(2),
        false => rng.weighted(&[1, 8, 3, 1]),
    };
    for _ in 0..clauses {
        clause(rng, knobs, world, &paths, style, is_forbid, out);
    }
    out.push(';');
}

fn annotations(rng: &mut Rng, knobs: &Knobs, out: &mut String) {
    let mut names = vec!["note", "if", "in", "permit", "_1", "advice"];
    while rng.chance(knobs.annotations) && !names.is_empty() {
        let annotation = names.swap_remove(rng.below(names.len()));
        out.push('@');
        out.push_str(annotation);
        if rng.chance(80u32) {
            out.push('(');
            let text = rng.pick(ODD_STRINGS).copied().unwrap_or_default();
            cedar_string(out, text, false);
            out.push(')');
        }
        out.push('\n');
    }
}

fn clause(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
    paths: &Paths,
    style: Style,
    is_forbid: bool,
    out: &mut String,
) {
    let unless = rng.chance(knobs.unless);
    out.push_str(if unless {
        "\n  unless { "
    } else {
        "\n  when { "
    });
    let likely = match (is_forbid, style.together) {
        (_, true) => 95u32,
        (true, false) => 55,
        (false, false) => 85,
    };
    let want = rng.chance(likely) != unless;
    let shrink = if style.small { 3 } else { 1 };
    let depth = rng.between(1, knobs.sizes.depth / shrink.min(2));
    let nodes = rng.between(2, knobs.sizes.nodes / shrink);
    let is_dynamic = rng.chance(knobs.dynamic);
    let mut writer = Writer {
        rng,
        knobs,
        world,
        paths,
        out,
        guards: Vec::new(),
        nodes,
    };
    if is_dynamic {
        writer.any(depth);
    } else {
        writer.boolean(depth, Some(want));
    }
    out.push_str(" }");
}

struct Scope<'a> {
    rng: &'a mut Rng,
    world: &'a Population,
    out: &'a mut String,
}

impl Scope<'_> {
    /// Writes the scope of a variable and says whether it has a slot.
    fn entity(&mut self, variable: &str, witness: Uid, with_slot: bool, wide: bool) -> bool {
        self.out.push_str(variable);
        let form = match (with_slot, wide) {
            (true, _) => self.rng.between(2, 4),
            (false, true) => 0,
            (false, false) => self.rng.weighted(&[6, 4, 1, 3, 3]),
        };
        let fits = self.rng.chance(85u32);
        if matches!(form, 1 | 4) {
            let ty = match fits {
                true => self.world.type_of(witness),
                false => self.rng.below(self.world.model.entity_types.len()),
            };
            let name = self.world.model.entity_types.get(ty).map(|ty| &*ty.name);
            self.out.push_str(" is ");
            self.out.push_str(name.unwrap_or("Nothing"));
        }
        match form {
            2 => self.out.push_str(" == "),
            3 | 4 => self.out.push_str(" in "),
            _ => return false,
        }
        if with_slot {
            self.out.push('?');
            self.out.push_str(variable);
            return true;
        }
        let ancestors = self.world.entities.get(witness).map(|e| &*e.ancestors);
        let uid = match fits {
            true if form == 2 => witness,
            true => self
                .rng
                .pick(ancestors.unwrap_or_default())
                .copied()
                .unwrap_or(witness),
            false => self.world.any_uid(self.rng),
        };
        let ascii = self.rng.one_in(4);
        self.world.printer().cedar_uid(self.out, uid, ascii);
        false
    }

    fn action(&mut self, witness: &Witness, wide: bool) {
        self.out.push_str("action");
        let form = if wide && self.rng.one_in(2) {
            0
        } else {
            self.rng.below(5)
        };
        let mut actions = Vec::new();
        let count = if form >= 3 { self.rng.between(0, 3) } else { 1 };
        for position in 0..count {
            let ancestors = self.world.entities.get(witness.action);
            let ancestors = ancestors.map(|e| &*e.ancestors).unwrap_or_default();
            let own = position == 0 && self.rng.chance(85u32);
            let up = self.rng.pick(ancestors).filter(|_| form != 1).copied();
            let any = self.rng.pick(&self.world.actions).copied();
            actions.push(match (own, up) {
                (true, Some(up)) if self.rng.one_in(2) => up,
                (true, _) => witness.action,
                (false, _) => any.unwrap_or(witness.action),
            });
        }
        let printer = self.world.printer();
        match form {
            0 => {}
            1 | 2 => {
                self.out.push_str(if form == 1 { " == " } else { " in " });
                for uid in actions {
                    printer.cedar_uid(self.out, uid, false);
                }
            }
            _ => {
                self.out.push_str(" in [");
                comma_separated(self.out, actions, |out, uid| {
                    printer.cedar_uid(out, uid, false)
                });
                self.out.push(']');
            }
        }
    }
}

/// Writes the scope of the action.
pub(super) fn action_scope(rng: &mut Rng, world: &Population, witness: &Witness, out: &mut String) {
    Scope { rng, world, out }.action(witness, false);
}

/// Links a template a few times, or not at all.
fn link(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
    witnesses: &[Witness],
    template: usize,
    slots: Slots,
    links: &mut Vec<Link>,
) {
    let count = match rng.below(10) {
        0 => 0,
        9 => rng.between(5, 30),
        _ => rng.between(1, 4),
    };
    for _ in 0..count {
        let Some(witness) = rng.pick(witnesses) else {
            return;
        };
        let mut bound = |has_slot: bool, uid: Uid| {
            let above = world.entities.get(uid).map(|e| &*e.ancestors);
            let uid = match rng.below(4) {
                0 => world.any_uid(rng),
                1 => rng.pick(above.unwrap_or_default()).copied().unwrap_or(uid),
                _ => uid,
            };
            has_slot.then(|| world.uids.get(uid).cloned()).flatten()
        };
        let principal = bound(slots.principal, witness.principal);
        let resource = bound(slots.resource, witness.resource);
        // Numbered, so that no two are the same; `policyN` is what static policies are called.
        let base = name(rng, knobs, IDS, ODD_STRINGS);
        links.push(Link {
            template,
            id: format!("{base}-{}", links.len()),
            principal,
            resource,
        });
    }
}
