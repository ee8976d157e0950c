//! Policies, templates and links as bytes.
//!
//! Policies and templates are texts, which cedar-policy parses again; links, which may be many, are
//! rows.

use super::{SaveError, SavedError, invalid};
use crate::engine::BuildError;
use cedar_policy::{Policy, PolicyId, PolicySet, Template};
use cedarjit_frontend::hir::BoundPolicy;
use cedarjit_frontend::limits::with_big_stack;
use cedarjit_frontend::load::{
    LoadedPolicies, NewLink, load_policies, parse_policies, parse_policies_json,
};
use cedarjit_ir::fault::{Fault, planted};
use cedarjit_ir::ids::EntityId;
use cedarjit_ir::interner::Interner;
use cedarjit_ir::saved::{Input, Invalid, Output};
use serde_json::json;
use smol_str::SmolStr;
use std::collections::HashSet;
use std::sync::Arc;

const PART: &str = "policies";

/// In place of an entity that a link does not bind.
const UNBOUND: u32 = u32::MAX;

/// How a policy is written.
#[derive(Clone, Copy)]
enum Form {
    Cedar = 0,
    Json = 1,
}

/// A static policy or a template.
enum Statement<'a> {
    Policy(&'a Policy),
    Template(&'a Template),
}

impl Statement<'_> {
    fn id(&self) -> &PolicyId {
        match self {
            Self::Policy(policy) => policy.id(),
            Self::Template(template) => template.id(),
        }
    }

    fn text(&self, form: Form) -> Option<String> {
        let id: &str = self.id().as_ref();
        match (form, self) {
            (Form::Cedar, Self::Policy(policy)) => policy.to_cedar(),
            (Form::Cedar, Self::Template(template)) => Some(template.to_cedar()),
            (Form::Json, Self::Policy(policy)) => {
                let policies = json!({ id: policy.to_json().ok()? });
                let set = json!({"staticPolicies": policies, "templates": {}, "templateLinks": []});
                Some(set.to_string())
            }
            (Form::Json, Self::Template(template)) => {
                let templates = json!({ id: template.to_json().ok()? });
                let set =
                    json!({"staticPolicies": {}, "templates": templates, "templateLinks": []});
                Some(set.to_string())
            }
        }
    }

    /// Whether a text says the same as the original.
    fn is_said_by(&self, form: Form, text: &str) -> bool {
        let mut read = PolicySet::new();
        let id = self.id();
        read_statement(form, id.as_ref(), text, &mut read).is_ok()
            && match self {
                Self::Policy(policy) => read.policy(id) == Some(policy),
                Self::Template(template) => read.template(id) == Some(template),
            }
    }

    fn save(&self, out: &mut Output) -> Result<(), SaveError> {
        let forms = [Form::Cedar, Form::Json].into_iter();
        let mut texts = forms.filter_map(|form| Some((form, self.text(form)?)));
        let faithful = texts.find(|(form, text)| self.is_said_by(*form, text));
        let id: &str = self.id().as_ref();
        let (form, text) = faithful.ok_or_else(|| SaveError::Policy { id: id.to_owned() })?;
        out.text(id);
        out.number(form as u32);
        out.text(&text);
        Ok(())
    }
}

/// Writes templates and static policies, and the links of the templates.
pub(super) fn save(set: &PolicySet, loaded: &LoadedPolicies) -> Result<Output, SaveError> {
    let templates = set.templates().map(Statement::Template);
    let mut statements: Vec<_> = templates
        .chain(set.policies().map(Statement::Policy))
        .collect();
    statements.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    let saved = with_big_stack(|| {
        let mut out = Output::default();
        out.count(statements.len());
        let mut all = statements.iter();
        all.try_for_each(|statement| statement.save(&mut out))?;
        Ok(out)
    });
    let mut out =
        saved.unwrap_or_else(|error| Err(SaveError::Write(std::io::Error::other(error))))?;
    let position = |link: &BoundPolicy| {
        let found =
            (loaded.templates).binary_search_by(|template| template.id.cmp(&link.policy.id));
        let found = found.ok()?;
        let template = loaded.templates.get(found)?;
        Arc::ptr_eq(template, &link.policy).then_some(found as u32)
    };
    let links = || {
        loaded
            .policies
            .iter()
            .filter_map(|p| Some((p, position(p)?)))
    };
    out.count(links().count());
    for (link, template) in links() {
        let bound = |entity: Option<EntityId>| entity.map_or(UNBOUND, |entity| entity.0);
        out.number(template);
        out.number(bound(link.slots.principal));
        out.number(bound(link.slots.resource));
        out.text(&link.id);
    }
    Ok(out)
}

/// Reads a policy or template, and adds it under its id.
fn read_statement(form: Form, id: &str, text: &str, to: &mut PolicySet) -> Result<(), SavedError> {
    let read = match form {
        Form::Cedar => parse_policies(text, id),
        Form::Json => parse_policies_json(text, id),
    };
    let read = read.map_err(Box::new)?;
    let wrong = |_| invalid(PART)(Invalid("the id of a policy is there twice"));
    let mut templates = read.templates();
    let mut policies = read.policies();
    match (
        templates.next(),
        policies.next(),
        templates.next(),
        policies.next(),
    ) {
        (Some(template), None, None, None) => to
            .add_template(template.new_id(PolicyId::new(id)))
            .map_err(wrong),
        (None, Some(policy), None, None) if policy.is_static() => {
            to.add(policy.new_id(PolicyId::new(id))).map_err(wrong)
        }
        _ => Err(invalid(PART)(Invalid("a policy is not one policy"))),
    }
}

/// Reads what [`save`] wrote: the templates and static policies, and all that is loaded of them and
/// of the links.
pub(super) fn load(
    input: Input<'_>,
    interner: &mut Interner,
) -> Result<(PolicySet, LoadedPolicies), SavedError> {
    let read = with_big_stack(|| read_statements(input));
    let (set, input) = read.map_err(BuildError::from)??;
    let mut loaded = load_policies(&set, interner).map_err(BuildError::from)?;
    let templates: Vec<_> = loaded.templates.iter().map(|t| t.id.clone()).collect();
    let names = interner.clone();
    let links = read_links(input, &set, &templates, &names).map_err(invalid(PART))?;
    let added = loaded.add_links(links, interner);
    added.map_err(BuildError::from)?;
    Ok((set, loaded))
}

/// The templates and static policies, and what follows them.
fn read_statements(mut input: Input<'_>) -> Result<(PolicySet, Input<'_>), SavedError> {
    let mut set = PolicySet::new();
    // Two texts and a number.
    for _ in 0..input.count(20).map_err(invalid(PART))? {
        let id = input.text().map_err(invalid(PART))?;
        let form = match input.number().map_err(invalid(PART))? {
            0 => Form::Cedar,
            1 => Form::Json,
            _ => return Err(invalid(PART)(Invalid("a policy is in no known form"))),
        };
        let text = input.text().map_err(invalid(PART))?;
        read_statement(form, id, text, &mut set)?;
    }
    Ok((set, input))
}

fn read_links<'a>(
    mut input: Input<'a>,
    set: &PolicySet,
    templates: &'a [SmolStr],
    names: &'a Interner,
) -> Result<Vec<NewLink<'a>>, Invalid> {
    let count = input.count(20)?;
    let mut links = Vec::with_capacity(count);
    let mut ids: HashSet<&str> = HashSet::with_capacity(count);
    for _ in 0..count {
        let template = templates.get(input.number()? as usize);
        let mut entity = || match input.number()? {
            UNBOUND => Ok(None),
            entity => match names.entity(EntityId(entity)) {
                Some((ty, eid)) => Ok(Some((names.str(ty.name()), names.str(eid)))),
                None => Err(Invalid("a link binds what is no entity")),
            },
        };
        let (mut principal, mut resource) = (entity()?, entity()?);
        if planted(Fault::SavedSlotsExchanged) && principal.is_some() && resource.is_some() {
            std::mem::swap(&mut principal, &mut resource);
        }
        let id = input.text()?;
        let policy_id = PolicyId::new(id);
        let taken = set.policy(&policy_id).is_some() || set.template(&policy_id).is_some();
        if taken || !ids.insert(id) {
            return Err(Invalid("the id of a policy is there twice"));
        }
        links.push(NewLink {
            id,
            template: template.ok_or(Invalid("a link has no template"))?,
            principal,
            resource,
        });
    }
    input.end()?;
    Ok(links)
}
