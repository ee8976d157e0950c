//! Worlds whose policies ask who has what to do with whom: attributes that all entities of a type have
//! lead from the principal to the resource, or the other way.

use super::model::{Field, Kind, Model, Ty, TyId};
use super::paths::{Path, Paths, Witness};
use super::policies::action_scope;
use super::population::Population;
use super::rng::Rng;
use super::text::{Pieces, escape};
use super::value::Val;
use std::sync::Arc;

const NAMES: [&str; 6] = ["owner", "home", "team", "readers", "editors", "pinned"];

/// How often other operands are chosen if the answer is not the wanted one.
const TRIES: usize = 6;

/// Attributes that are entities or sets of entities, all required.
pub(super) fn fields(rng: &mut Rng, model: &mut Model) -> Arc<[Field]> {
    let standard = model.entity_types.iter().enumerate();
    let standard = standard.filter(|(_, ty)| ty.kind == Kind::Standard);
    let standard: Vec<usize> = standard.map(|(position, _)| position).collect();
    let mut fields: Vec<Field> = Vec::new();
    for (place, name) in NAMES.iter().enumerate() {
        let Some(ty) = rng.pick(&standard).copied().filter(|_| !rng.one_in(3)) else {
            continue;
        };
        let entity = model.types.intern(Ty::Entity(ty));
        let ty = match place < NAMES.len() / 2 {
            true => entity,
            false => model.types.intern(Ty::Set(entity)),
        };
        fields.push(Field {
            name: Arc::from(*name),
            ty,
            required: true,
        });
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Arc::from(fields)
}

/// Writes policies that ask such questions.
pub(super) fn policies(rng: &mut Rng, world: &Population, witnesses: &[Witness]) -> Pieces {
    let mut policies = Pieces::default();
    let forbids = rng.below(50) as u32;
    for _ in 0..rng.between(2, 10) {
        let Some(witness) = rng.pick(witnesses) else {
            break;
        };
        policies.add(|out| {
            let is_forbid = rng.chance(forbids);
            out.push_str(if is_forbid { "forbid" } else { "permit" });
            out.push_str("(principal, ");
            action_scope(rng, world, witness, out);
            out.push_str(", resource) when { ");
            let paths = Paths::new(rng, world, witness);
            question(rng, world, &paths, out);
            out.push_str(" };");
        });
    }
    policies
}

/// Writes a question, more often than not one of which the answer is yes.
fn question(rng: &mut Rng, world: &Population, paths: &Paths, out: &mut String) {
    let want = rng.chance(70u32);
    let types = &world.model.types;
    let is_entity = |ty: TyId| matches!(types.get(ty), Ty::Entity(_));
    let is_set = |ty: TyId| matches!(types.get(ty), Ty::Set(element) if is_entity(*element));
    let mut text = String::from("principal == resource");
    for _ in 0..TRIES {
        // Mostly between principal and resource.
        let sides = ["principal", "resource"];
        let any = rng.one_in(6);
        let turned = usize::from(rng.one_in(2));
        let fits = |position: usize, side: usize| {
            let own = sides.get(side ^ turned).copied().unwrap_or_default();
            any || paths.source(position).starts_with(own)
        };
        let one = paths.pick_at(rng, |place, path| is_entity(path.ty) && fits(place, 0));
        let to = |path: &Path| is_entity(path.ty) || is_set(path.ty);
        let other = paths.pick_at(rng, |place, path| to(path) && fits(place, 1));
        let Some((a, b)) = one.zip(other) else {
            continue;
        };
        let Some((left, right)) = paths.get(a).zip(paths.get(b)) else {
            continue;
        };
        let element = match types.get(right.ty) {
            Ty::Set(element) => *element,
            _ => right.ty,
        };
        let exact = left.ty == element && rng.one_in(2);
        text.clear();
        let (one, other) = (paths.source(a), paths.source(b));
        match (exact, is_set(right.ty)) {
            (true, true) => escape(&mut text, format_args!("{other}.contains({one})")),
            (true, false) => escape(&mut text, format_args!("{one} == {other}")),
            (false, _) => escape(&mut text, format_args!("{one} in {other}")),
        }
        if holds(world, left, right, exact) == Some(want) {
            break;
        }
    }
    out.push_str(&text);
}

/// Whether an entity is, or is in, one of those at the end of another path.
fn holds(world: &Population, one: &Path, other: &Path, exact: bool) -> Option<bool> {
    let Val::Entity(one) = one.val.as_ref()? else {
        return None;
    };
    let related = |val: &Val| match val {
        Val::Entity(other) if exact => one == other,
        Val::Entity(other) => world.is_in(*one, *other),
        _ => false,
    };
    Some(match other.val.as_ref()? {
        Val::Set(elements) => elements.iter().any(related),
        val => related(val),
    })
}
