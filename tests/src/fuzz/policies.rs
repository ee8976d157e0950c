//! Policies in each of their forms.

use super::compare::{ALL, both, compare};
use super::fixed::{ENTITIES, POLICIES, requests};
use super::{split_mode, with_mode};
use crate::engines::limits::{is_build_limit, is_text_limit};
use crate::engines::{World, WorldTexts};
use cedar_policy::{Entities, EntityUid, Policy, PolicyId, PolicySet, SlotId, Template};
use cedarjit::Engine;
use cedarjit_frontend::load;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;

const ORIGIN: &str = "fuzz";

/// What stands between templates and their links.
const SEPARATOR: &str = "\n---\n";

pub(super) fn run(data: &[u8]) {
    let Some((mode, rest)) = split_mode(data, 3) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    match mode {
        0 => cedar(text),
        1 => json(text),
        _ => links(text),
    }
}

fn cedar(text: &str) {
    let ours = load::parse_policies(text, ORIGIN);
    if let Some((ours, theirs)) = both(text, ours, || parse(text)) {
        check(text, &ours, theirs);
        // The same through the builder, which must not refuse what its parts accept.
        if let Err(error) = Engine::builder().policies_str(text).build() {
            assert!(is_build_limit(&error), "{text:?}: {error}");
        }
    }
}

fn json(text: &str) {
    let ours = load::parse_policies_json(text, ORIGIN);
    if let Some((ours, theirs)) = both(text, ours, || parse_json(text)) {
        check(text, &ours, theirs);
    }
}

fn links(text: &str) {
    let Some((policies, links)) = text.split_once(SEPARATOR) else {
        return;
    };
    let Ok(set) = load::parse_policies(policies, ORIGIN) else {
        return;
    };
    let mut ours = set.clone();
    let linked = load::link(&mut ours, links, ORIGIN);
    if linked.as_ref().is_err_and(is_text_limit) {
        return;
    }
    let linked = linked.map(|()| ours);
    if let Some((ours, theirs)) = both(text, linked, || link(set, links)) {
        check(text, &ours, theirs);
    }
}

/// Both sets must be the same, and be answered from alike.
fn check(text: &str, ours: &PolicySet, theirs: PolicySet) {
    assert_eq!(summary(ours), summary(&theirs), "{text:?}");
    let entities = Entities::from_json_str(ENTITIES, None)
        .unwrap_or_else(|error| panic!("the fixed entities: {error}"));
    let texts = WorldTexts {
        policies: Some(text.to_owned()),
        ..WorldTexts::default()
    };
    let world = World {
        texts,
        ..World::new(theirs, entities, None)
    };
    compare(&world, &requests(None), ALL);
}

/// Every policy and template in text by its id.
fn summary(set: &PolicySet) -> BTreeMap<String, String> {
    let templates = set.templates().map(|t| (t.id(), t.to_string()));
    let policies = set.policies().map(|p| (p.id(), p.to_string()));
    let all = templates.chain(policies);
    all.map(|(id, text)| (AsRef::<str>::as_ref(id).to_owned(), text))
        .collect()
}

fn parse(text: &str) -> Result<PolicySet, String> {
    let set: PolicySet = text.parse().map_err(described)?;
    named(&set)
}

fn described(error: impl Error) -> String {
    error.to_string()
}

/// Names policies by their `@id`, as the `cedar` command line tool does.
fn named(set: &PolicySet) -> Result<PolicySet, String> {
    let mut named = PolicySet::new();
    for template in set.templates() {
        let added = named.add_template(match template.annotation("id") {
            Some(id) => template.new_id(PolicyId::new(id)),
            None => template.clone(),
        });
        added.map_err(described)?;
    }
    for policy in set.policies() {
        let added = named.add(match policy.annotation("id") {
            Some(id) => policy.new_id(PolicyId::new(id)),
            None => policy.clone(),
        });
        added.map_err(described)?;
    }
    Ok(named)
}

fn parse_json(text: &str) -> Result<PolicySet, String> {
    let value: Value = serde_json::from_str(text).map_err(described)?;
    let has = |names: &[&str]| names.iter().any(|name| value.get(name).is_some());
    let is_set = has(&["staticPolicies", "templates", "templateLinks"]);
    let is_policy = has(&["effect", "principal", "action", "resource", "conditions"]);
    match (is_set, is_policy) {
        (true, false) => PolicySet::from_json_str(text).map_err(described),
        (false, true) => {
            let mut set = PolicySet::new();
            match Policy::from_json(None, value.clone()) {
                Ok(policy) => set.add(policy).map_err(described)?,
                Err(_) => {
                    let template = Template::from_json(None, value).map_err(described)?;
                    set.add_template(template).map_err(described)?;
                }
            }
            Ok(set)
        }
        _ => Err("neither a set nor a policy".to_owned()),
    }
}

#[derive(Deserialize)]
struct Link {
    template_id: String,
    link_id: String,
    args: HashMap<String, String>,
}

fn link(mut set: PolicySet, text: &str) -> Result<PolicySet, String> {
    let links: Vec<Link> = match text {
        "" => Vec::new(),
        text => serde_json::from_str(text).map_err(described)?,
    };
    for link in links {
        let mut slots = HashMap::new();
        for (slot, uid) in link.args {
            let slot = match slot.as_str() {
                "?principal" => SlotId::principal(),
                "?resource" => SlotId::resource(),
                _ => return Err(slot),
            };
            slots.insert(slot, uid.parse::<EntityUid>().map_err(described)?);
        }
        let (template, id) = (PolicyId::new(link.template_id), PolicyId::new(link.link_id));
        set.link(template, id, slots).map_err(described)?;
    }
    Ok(set)
}

const TEMPLATES: &str = r#"
@id("shared") permit (principal in ?principal, action, resource == ?resource);
forbid (principal == ?principal, action == Action::"edit", resource) unless { context.b };
permit (principal, action, resource is Doc in ?resource);"#;

const LINKS: &str = r#"[
{"template_id": "shared", "link_id": "l0",
 "args": {"?principal": "Team::\"t\"", "?resource": "Doc::\"d\""}},
{"template_id": "policy1", "link_id": "l1", "args": {"?principal": "User::\"a\""}},
{"template_id": "policy2", "link_id": "l2", "args": {"?resource": "Doc::\"d\""}}]"#;

const CEDAR: &[&str] = &[
    r#"permit (principal, action, resource) when { [1, principal, {a: 1}].contains(context.n) };"#,
    r#"@id("x") @y forbid (principal, action, resource) unless { if context.b then 1 < 2 else false };"#,
    r#"permit (principal == User::"a", action in [Action::"view"], resource in Doc::"d")
       when { principal.n * 2 + -3 == 1 && !(context has r.s) } unless { "\u{e9}*" like "\*a*" };"#,
    r#"permit (principal, action, resource) when { ip("1.2.3.4").isInRange(ip("1.0.0.0/8")) };"#,
    r#"permit (principal, action, resource)
       when { {"a b": [], c: {}}["a b"].isEmpty() || principal is User in Team::"t" };"#,
    r#"permit (principal, action, resource)
       when { datetime("2024-01-01").offset(duration("1d")).toTime() >= duration("0ms") };"#,
    r#"permit (principal, action, resource)
       when { principal.l.containsAll([User::"a"]) && decimal("0.1").lessThan(principal.d) };"#,
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = CEDAR.iter().map(|text| with_mode(0, text)).collect();
    seeds.push(with_mode(0, POLICIES));
    seeds.push(with_mode(2, &format!("{TEMPLATES}{SEPARATOR}{LINKS}")));
    for text in CEDAR {
        let policy: Option<Policy> = text.parse().ok();
        let json = policy.and_then(|policy| policy.to_json().ok());
        seeds.extend(json.map(|json| with_mode(1, &json.to_string())));
    }
    let mut set: PolicySet = TEMPLATES.parse().unwrap_or_default();
    set = named(&set).unwrap_or_default();
    let json = link(set, LINKS).ok().and_then(|set| set.to_json().ok());
    seeds.extend(json.map(|json| with_mode(1, &json.to_string())));
    seeds
}
