//! What a condition can read: every attribute path from the request's variables, with the value it
//! has for the request that the policy is written for.

use super::model::Ty;
use super::model::{Kind, Model, TyId};
use super::population::Population;
use super::rng::Rng;
use super::text::{cedar_string, is_plain};
use super::value::{Fields, Uid, Val, field};
use std::sync::Arc;

/// The request that a policy is written for: conditions are made to hold for it, more or less.
#[derive(Debug, Clone)]
pub(super) struct Witness {
    pub(super) principal: Uid,
    pub(super) action: Uid,
    pub(super) resource: Uid,
    pub(super) context: Fields,
    /// The context's declared type.
    pub(super) context_type: TyId,
}

/// An expression that reads something.
#[derive(Debug, Clone)]
pub(super) struct Path {
    start: usize,
    end: usize,
    pub(super) ty: TyId,
    /// The witness's value; none if reading fails.
    pub(super) val: Option<Val>,
    /// How the path goes on from a shorter one; none for a variable.
    pub(super) step: Option<Step>,
    depth: usize,
}

/// One attribute access.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// The position of the path before it.
    pub(super) parent: usize,
    pub(super) name: Arc<str>,
    /// Whether the attribute may be missing from a well-formed value.
    pub(super) optional: bool,
}

/// All paths, shorter ones first.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    text: String,
    pub(super) all: Vec<Path>,
}

/// So that a world of records in records does not drown the rest.
const MAX_PATHS: usize = 72;
const MAX_DEPTH: usize = 4;

impl Paths {
    pub(super) fn new(rng: &mut Rng, world: &Population, witness: &Witness) -> Self {
        let mut paths = Self::default();
        let uids = [
            ("principal", witness.principal),
            ("resource", witness.resource),
            ("action", witness.action),
        ];
        for (name, uid) in uids {
            paths.add_entity(world, uid, |text| text.push_str(name));
        }
        let context = Some(Val::Record(witness.context.clone()));
        paths.add(witness.context_type, context, None, 0, |text| {
            text.push_str("context");
        });
        let other = world.any_uid(rng);
        paths.add_entity(world, other, |text| {
            world.printer().cedar_uid(text, other, false);
        });
        let mut next = 0;
        while next < paths.all.len() && paths.all.len() < MAX_PATHS {
            paths.expand(rng, world, next);
            next += 1;
        }
        paths
    }

    fn add_entity(&mut self, world: &Population, uid: Uid, write: impl FnOnce(&mut String)) {
        let entity_type = world.type_of(uid);
        if let Some(ty) = world.model.types.find(&Ty::Entity(entity_type)) {
            self.add(ty, Some(Val::Entity(uid)), None, 0, write);
        }
    }

    fn add(
        &mut self,
        ty: TyId,
        val: Option<Val>,
        step: Option<Step>,
        depth: usize,
        write: impl FnOnce(&mut String),
    ) {
        let start = self.text.len();
        write(&mut self.text);
        self.all.push(Path {
            start,
            end: self.text.len(),
            ty,
            val,
            step,
            depth,
        });
    }

    fn expand(&mut self, rng: &mut Rng, world: &Population, parent: usize) {
        let Some(path) = self.all.get(parent).cloned() else {
            return;
        };
        let Some(fields) = world.model.attributes(path.ty) else {
            return;
        };
        if path.depth >= MAX_DEPTH {
            return;
        }
        let values = match &path.val {
            Some(Val::Entity(uid)) => world.present(*uid).map(|entity| &entity.attrs),
            Some(Val::Record(fields)) => Some(fields),
            _ => None,
        };
        for declared in fields.iter() {
            let step = Step {
                parent,
                name: declared.name.clone(),
                optional: !declared.required,
            };
            let val = values.and_then(|values| field(values, &declared.name).cloned());
            let prefix = self.text.get(path.start..path.end).unwrap_or_default();
            let prefix = prefix.to_owned();
            let quoted = rng.one_in(12);
            self.add(declared.ty, val, Some(step), path.depth + 1, |text| {
                text.push_str(&prefix);
                access(text, &declared.name, quoted);
            });
        }
    }

    pub(super) fn get(&self, position: usize) -> Option<&Path> {
        self.all.get(position)
    }

    /// The path's source; empty if there is no such path.
    pub(super) fn source(&self, position: usize) -> &str {
        let range = self.all.get(position).map(|path| path.start..path.end);
        range.and_then(|r| self.text.get(r)).unwrap_or_default()
    }

    /// One of the paths that `keep` wants.
    pub(super) fn pick(&self, rng: &mut Rng, keep: impl Fn(&Path) -> bool) -> Option<usize> {
        self.pick_at(rng, |_, path| keep(path))
    }

    /// One of the paths that `keep` wants, which is told their positions.
    pub(super) fn pick_at(
        &self,
        rng: &mut Rng,
        keep: impl Fn(usize, &Path) -> bool,
    ) -> Option<usize> {
        let positions = || {
            let all = self.all.iter().enumerate();
            all.filter(|(n, path)| keep(*n, path)).map(|(n, _)| n)
        };
        let count = positions().count();
        positions().nth(rng.below(count))
    }

    /// One of the paths to an entity or a record that may have attributes, the variables included.
    pub(super) fn pick_holder(&self, rng: &mut Rng, model: &Model) -> Option<usize> {
        self.pick(rng, |path| match model.types.get(path.ty) {
            Ty::Entity(ty) => {
                let kind = model.entity_types.get(*ty).map(|ty| ty.kind);
                kind == Some(Kind::Standard)
            }
            Ty::Record(_) => true,
            _ => false,
        })
    }
}

/// Writes `.name` or `["name"]`.
pub(super) fn access(out: &mut String, name: &str, quoted: bool) {
    if is_plain(name) && !quoted {
        out.push('.');
        out.push_str(name);
    } else {
        out.push('[');
        cedar_string(out, name, false);
        out.push(']');
    }
}
