//! Loading: texts to cedar-policy's types, and those to HIR.
//!
//! Texts are untrusted. Each goes through the bounds of [`crate::limits`] before a parser sees it,
//! and what goes wrong is a [`ParseError`] that names the origin and the place. A policy that
//! cannot be loaded is a [`LoadError`] that names the policy; none is ever skipped.

mod arity;
mod convert;
mod error;
mod links;
mod parallel;
mod schema;
mod text;

pub use error::{LoadError, LoadErrorKind, ParseError, ParseErrorKind, Place};
pub use links::{PlainLink, PlainUid, plain_links};
pub use schema::{LoadedSchema, SchemaFormat, load_schema, parse_entities, parse_schema};
pub use text::{
    guard_json_depth, guard_policy_text, guard_schema_text, link, link_by_position, parse_policies,
    parse_policies_json,
};

use self::arity::Tree;
use crate::hir::{BoundPolicy, EntityRef, Policy, Slot, SlotBindings};
use crate::limits::{check_chains, with_big_stack};
use cedar_policy::{PolicySet, Template};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::interner::Interner;
use std::sync::Arc;

/// How many policies are read before they are converted: their trees take memory.
const READ_AT_ONCE: usize = 1024;

/// The policies of an engine.
#[derive(Clone, Debug, Default)]
pub struct LoadedPolicies {
    /// All templates, in the order of their ids.
    pub templates: Vec<Arc<Policy>>,
    /// Static policies and links, in the order of their ids.
    pub policies: Vec<BoundPolicy>,
}

impl LoadedPolicies {
    /// The template with this id. O(log n).
    pub fn template(&self, id: &str) -> Option<&Arc<Policy>> {
        let found = self.templates.binary_search_by(|t| t.id.as_str().cmp(id));
        self.templates.get(found.ok()?)
    }

    /// The position of the static policy or link with this id, or where it would be. O(log n).
    ///
    /// # Errors
    /// When there is none; the error is where it would be.
    pub fn find(&self, id: &str) -> Result<usize, usize> {
        self.policies.binary_search_by(|p| p.id.as_str().cmp(id))
    }

    /// Adds links to the policies. O(n log n), without looking at any text of a policy.
    ///
    /// The ids of the links must be new.
    ///
    /// # Errors
    /// When a template is missing, a link does not bind its slots, or there are too many distinct
    /// names.
    pub fn add_links<'a>(
        &mut self,
        links: impl IntoIterator<Item = NewLink<'a>>,
        interner: &mut Interner,
    ) -> Result<(), LoadError> {
        for link in links {
            let policy = self.new_link(&link, interner);
            let policy = policy.map_err(|kind| LoadError::new(link.id, kind, None))?;
            self.policies.push(policy);
        }
        self.policies.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.policies.shrink_to_fit();
        Ok(())
    }

    fn new_link(
        &self,
        link: &NewLink<'_>,
        interner: &mut Interner,
    ) -> Result<BoundPolicy, LoadErrorKind> {
        let NewLink { id, template, .. } = *link;
        let Some(body) = self.template(template) else {
            let template = template.into();
            return Err(LoadErrorKind::NoTemplate { template });
        };
        let mut entity = |uid: Option<(&str, &str)>| {
            uid.map(|(ty, eid)| interner.intern_entity(ty, eid))
                .transpose()
        };
        let mut slots = SlotBindings {
            principal: entity(link.principal)?,
            resource: entity(link.resource)?,
        };
        if planted(Fault::PlainSlotsExchanged)
            && link.principal.is_some()
            && link.resource.is_some()
        {
            std::mem::swap(&mut slots.principal, &mut slots.resource);
        }
        linked(id, body, slots)
    }
}

/// A link to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    /// The link's id.
    pub id: &'a str,
    /// The template's id.
    pub template: &'a str,
    /// Type and id of the entity for `?principal`.
    pub principal: Option<(&'a str, &'a str)>,
    /// Type and id of the entity for `?resource`.
    pub resource: Option<(&'a str, &'a str)>,
}

impl<'a> From<&'a PlainLink<'_>> for NewLink<'a> {
    fn from(link: &'a PlainLink<'_>) -> Self {
        let uid = |uid: &'a PlainUid<'_>| (uid.ty(), uid.eid());
        Self {
            id: &link.id,
            template: &link.template,
            principal: link.principal.as_ref().map(uid),
            resource: link.resource.as_ref().map(uid),
        }
    }
}

/// Loads every template, static policy and link of a policy set.
///
/// All links of a template share one [`Policy`]. Templates without links are loaded too, so that
/// what is wrong with them is known before the first link.
///
/// # Errors
/// When a policy or template uses something unknown, is too deep, or mentions too many distinct
/// names; the error names it.
pub fn load_policies(
    policies: &PolicySet,
    interner: &mut Interner,
) -> Result<LoadedPolicies, LoadError> {
    with_big_stack(|| {
        let mut templates: Vec<_> = policies.templates().collect();
        templates.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        let mut loaded = LoadedPolicies {
            templates: Vec::with_capacity(templates.len()),
            policies: Vec::with_capacity(policies.num_of_policies()),
        };
        for template in templates {
            loaded.templates.push(template_body(template, interner)?);
        }
        let mut all: Vec<_> = policies.policies().collect();
        all.sort_unstable_by(|a, b| a.id().cmp(b.id()));
        for block in all.chunks(READ_AT_ONCE) {
            let statics: Vec<_> = block.iter().copied().filter(|p| p.is_static()).collect();
            let mut trees = parallel::map(&statics, |policy| read_static(policy)).into_iter();
            for policy in block {
                let policy = match policy.template_id().map(AsRef::<str>::as_ref) {
                    None => match trees.next() {
                        Some(read) => convert_static(policy, read?, interner)?,
                        None => static_policy(policy, interner)?,
                    },
                    Some(template) => match loaded.template(template) {
                        Some(body) => bind(policy, body, interner)?,
                        None => {
                            let template = template.into();
                            return Err(failure(policy, LoadErrorKind::NoTemplate { template }));
                        }
                    },
                };
                loaded.policies.push(policy);
            }
        }
        Ok(loaded)
    })?
}

/// As [`load_policies`], without the templates.
///
/// # Errors
/// As [`load_policies`].
pub fn load_policy_set(
    policies: &PolicySet,
    interner: &mut Interner,
) -> Result<Vec<BoundPolicy>, LoadError> {
    Ok(load_policies(policies, interner)?.policies)
}

/// Loads one static policy.
///
/// # Errors
/// As [`load_policy_set`], and when the policy is a link.
pub fn load_policy(
    policy: &cedar_policy::Policy,
    interner: &mut Interner,
) -> Result<BoundPolicy, LoadError> {
    with_big_stack(|| static_policy(policy, interner))?
}

/// Loads one template.
///
/// # Errors
/// As [`load_policy_set`].
pub fn load_template(
    template: &Template,
    interner: &mut Interner,
) -> Result<Arc<Policy>, LoadError> {
    with_big_stack(|| template_body(template, interner))?
}

/// Loads one link of a template that is loaded already. Does not look at the template's text:
/// O(1).
///
/// # Errors
/// When `policy` is no link, is a link of another template, binds other slots than the template
/// has, or mentions too many distinct names.
pub fn load_link(
    policy: &cedar_policy::Policy,
    template: &Arc<Policy>,
    interner: &mut Interner,
) -> Result<BoundPolicy, LoadError> {
    match policy.template_id() {
        None => {
            let expected = "a link of a template, found a static policy";
            Err(failure(policy, LoadErrorKind::WrongKind { expected }))
        }
        Some(id) => {
            let id: &str = id.as_ref();
            if id == template.id {
                return bind(policy, template, interner);
            }
            let template = id.into();
            Err(failure(policy, LoadErrorKind::NoTemplate { template }))
        }
    }
}

fn failure(policy: &cedar_policy::Policy, kind: LoadErrorKind) -> LoadError {
    LoadError::new(policy.id().as_ref(), kind, policy.to_cedar())
}

fn static_policy(
    policy: &cedar_policy::Policy,
    interner: &mut Interner,
) -> Result<BoundPolicy, LoadError> {
    convert_static(policy, read_static(policy)?, interner)
}

/// The text and tree of a static policy. cedar-policy parses the text again for that, which takes
/// most of the time of loading.
fn read_static(policy: &cedar_policy::Policy) -> Result<(String, Tree), LoadError> {
    if !policy.is_static() {
        let expected = "a static policy, found a link of a template";
        return Err(failure(policy, LoadErrorKind::WrongKind { expected }));
    }
    let text = policy.to_cedar().unwrap_or_default();
    let tree = check_chains(&text)
        .map_err(|excess| LoadErrorKind::Limit(excess.error))
        .and_then(|()| {
            arity::of_policy(policy).map_err(|error| LoadErrorKind::Syntax(Box::new(error)))
        });
    match tree {
        Ok(tree) => Ok((text, tree)),
        Err(kind) => Err(LoadError::new(policy.id().as_ref(), kind, Some(text))),
    }
}

fn convert_static(
    policy: &cedar_policy::Policy,
    (text, tree): (String, Tree),
    interner: &mut Interner,
) -> Result<BoundPolicy, LoadError> {
    let id: &str = policy.id().as_ref();
    match convert::policy(&tree, id.into(), interner) {
        Ok(loaded) => Ok(BoundPolicy {
            id: loaded.id.clone(),
            policy: Arc::new(loaded),
            slots: SlotBindings::default(),
        }),
        Err(kind) => Err(LoadError::new(id, kind, Some(text))),
    }
}

fn template_body(template: &Template, interner: &mut Interner) -> Result<Arc<Policy>, LoadError> {
    let id: &str = template.id().as_ref();
    let text = template.to_cedar();
    check_chains(&text)
        .map_err(|excess| LoadErrorKind::Limit(excess.error))
        .and_then(|()| {
            let tree = arity::of_template(template)
                .map_err(|error| LoadErrorKind::Syntax(Box::new(error)))?;
            convert::policy(&tree, id.into(), interner)
        })
        .map(Arc::new)
        .map_err(|kind| LoadError::new(id, kind, Some(text)))
}

/// The link `link` of a template with this body.
fn bind(
    link: &cedar_policy::Policy,
    body: &Arc<Policy>,
    interner: &mut Interner,
) -> Result<BoundPolicy, LoadError> {
    let values = link.template_links().unwrap_or_default();
    let slots = convert::bindings(&values, interner).map_err(|kind| failure(link, kind))?;
    let id: &str = link.id().as_ref();
    linked(id, body, slots).map_err(|kind| failure(link, kind))
}

/// The link with this id of a template, if it binds exactly the template's slots.
fn linked(id: &str, body: &Arc<Policy>, slots: SlotBindings) -> Result<BoundPolicy, LoadErrorKind> {
    let needs = |slot| {
        let scopes = [&body.principal, &body.resource];
        let mut mentioned = scopes.into_iter().filter_map(|scope| scope.entity());
        mentioned.any(|entity| entity == EntityRef::Slot(slot))
    };
    let fits = |slot| slots.get(slot).is_some() == needs(slot);
    if !fits(Slot::Principal) || !fits(Slot::Resource) {
        let template = body.id.clone();
        return Err(LoadErrorKind::Slots { template });
    }
    Ok(BoundPolicy {
        id: id.into(),
        policy: Arc::clone(body),
        slots,
    })
}

#[cfg(test)]
mod tests;
