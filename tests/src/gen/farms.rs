//! Worlds whose policies are much alike: links of one template, or one shape of condition with
//! different constants.

use super::knobs::Knobs;
use super::model::{STR, Ty};
use super::names::ODD_STRINGS;
use super::paths::{Paths, Witness};
use super::policies::{Link, action_scope};
use super::population::Population;
use super::rng::Rng;
use super::text::{Pieces, escape};

/// Writes a template or two and many links of them; one link in four has an unusual id.
pub(super) fn links(rng: &mut Rng, world: &Population, witness: &Witness) -> (Pieces, Vec<Link>) {
    let mut policies = Pieces::default();
    let templates = rng.between(1, 2);
    for _ in 0..templates {
        policies.add(|out| {
            let effect = if rng.chance(70u32) {
                "permit"
            } else {
                "forbid"
            };
            let operator = if rng.one_in(2) { "==" } else { "in" };
            escape(
                out,
                format_args!("{effect}(principal {operator} ?principal, "),
            );
            action_scope(rng, world, witness, out);
            out.push_str(", resource in ?resource);");
        });
    }
    let mut links = Vec::new();
    for number in 0..rng.between(60, 200) {
        let odd = rng.pick(ODD_STRINGS).copied().filter(|_| rng.one_in(4));
        let near = rng.one_in(3);
        let mut bound = |own: usize| {
            let uid = if near { own } else { world.any_uid(rng) };
            world.uids.get(uid).cloned()
        };
        let (principal, resource) = (bound(witness.principal), bound(witness.resource));
        links.push(Link {
            template: number % templates,
            id: format!("{}{number}", odd.unwrap_or("link")),
            principal,
            resource,
        });
    }
    (policies, links)
}

/// Writes many policies that differ in the constant that one path is compared with.
pub(super) fn constants(
    rng: &mut Rng,
    knobs: &Knobs,
    world: &Population,
    witness: &Witness,
) -> Pieces {
    let paths = Paths::new(rng, world, witness);
    let simple = |ty: &Ty| !matches!(ty, Ty::Set(_) | Ty::Record(_));
    let path = paths.pick(rng, |path| {
        path.val.is_some() && simple(world.model.types.get(path.ty))
    });
    let path = path.and_then(|position| Some((paths.source(position), paths.get(position)?)));
    let (source, ty) = path.map_or(("\"ab\"", STR), |(source, path)| (source, path.ty));
    let operator = match world.model.types.get(ty) {
        Ty::Long if rng.one_in(2) => "<",
        _ => "==",
    };
    let mut policies = Pieces::default();
    for number in 0..rng.between(30, 150) {
        let value = world.value(rng, knobs, ty);
        let effect = if number % 5 == 4 { "forbid" } else { "permit" };
        policies.add(|out| {
            escape(
                out,
                format_args!("{effect}(principal, action, resource) when {{ {source} {operator} "),
            );
            world.printer().cedar(out, &value, false);
            out.push_str(" };");
        });
    }
    policies
}
