//! Policy sets of any size, the same for the same size every time.
//!
//! The entities are documents, people, teams that people are in, and groups that people are in. The
//! mixed set has, of every ten policies, seven links of two templates (a document shared with a
//! person, and with a team) and three permits for a group; among them are two policies whose scope
//! names neither principal nor resource. A request asks about a document that was shared and
//! someone it was shared with, so that at any size about three policies match it.

use crate::apps::RequestText;
use crate::random::Random;
use cedarjit::{Engine, EngineBuilder};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;

/// How a generated policy set is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Links, permits for groups, two policies without scope.
    Mixed,
    /// Links that all name one group as the principal, each another resource.
    HubGroup,
    /// Links that all name one resource, each another principal.
    HubResource,
}

/// A generated policy set with entities and requests.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Static policies and templates in Cedar's syntax; named by position.
    pub policies: String,
    /// Template links, in JSON.
    pub links: String,
    /// The entities, in JSON.
    pub entities: String,
    /// What to ask.
    pub requests: Vec<RequestText>,
}

impl Generated {
    /// Starts an engine of it, from its texts.
    pub fn builder(&self) -> EngineBuilder {
        Engine::builder()
            .policies_str(&self.policies)
            .links_json(&self.links)
            .entities_json(&self.entities)
    }
}

/// The templates come first, so that links can name them by position, then what has no scope.
const COMMON: &str = r#"permit (principal == ?principal, action in [Action::"view", Action::"edit"], resource == ?resource);
permit (principal in ?principal, action == Action::"view", resource == ?resource)
  when { resource.level <= context.clearance };
permit (principal, action == Action::"view", resource) when { resource.owner == principal };
forbid (principal, action == Action::"delete", resource) when { resource.archived };
"#;

/// How many of the policies above are counted: templates decide nothing.
const UNSCOPED: usize = 2;

/// A policy set of `count` policies, links included, and `requests` requests.
pub fn scaling(layout: Layout, count: usize, requests: usize) -> Generated {
    let seed = count as u64 ^ 0x00CE_DA00;
    match layout {
        Layout::Mixed => Mixed::new(count, seed).finish(requests),
        Layout::HubGroup => hub(count, requests, "policy1", |i| {
            (uid("Team", "hub"), uid("Doc", i))
        }),
        Layout::HubResource => hub(count, requests, "policy0", |i| {
            (uid("User", i), uid("Doc", "hub"))
        }),
    }
}

/// A mixed set while it is made.
struct Mixed {
    random: Random,
    users: usize,
    docs: usize,
    teams: usize,
    groups: usize,
    /// The teams of each person.
    member_of: Vec<Vec<usize>>,
    /// Who each link is for, and the document.
    links: Vec<(Share, usize)>,
}

#[derive(Clone, Copy)]
enum Share {
    Person(usize),
    Team(usize),
}

impl Mixed {
    fn new(count: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let links = count * 7 / 10;
        let (users, docs) = ((count / 20).max(4), (count / 5).max(4));
        let teams = (users / 10).max(2);
        let member_of = (0..users)
            .map(|_| (0..3).map(|_| random.below(teams)).collect())
            .collect();
        let links = (0..links)
            .map(|i| {
                let share = if i % 2 == 0 {
                    Share::Person(random.below(users))
                } else {
                    Share::Team(random.below(teams))
                };
                (share, random.below(docs))
            })
            .collect::<Vec<_>>();
        Self {
            random,
            users,
            docs,
            teams,
            groups: count.saturating_sub(links.len() + UNSCOPED),
            member_of,
            links,
        }
    }

    fn finish(mut self, requests: usize) -> Generated {
        let mut policies = String::from(COMMON);
        for group in 0..self.groups {
            // Writing to a string cannot fail.
            let _ = writeln!(
                policies,
                "permit (principal in Group::\"g{group}\", \
                 action in [Action::\"view\", Action::\"edit\"], resource) \
                 when {{ resource.level < {} }};",
                group % 10
            );
        }
        let links = self.links.iter().map(|(share, doc)| match share {
            Share::Person(user) => ("policy0", uid("User", user), uid("Doc", doc)),
            Share::Team(team) => ("policy1", uid("Team", team), uid("Doc", doc)),
        });
        Generated {
            policies,
            links: links_json(links),
            entities: self.entities(),
            requests: (0..requests).map(|_| self.request()).collect(),
        }
    }

    fn entities(&mut self) -> String {
        let mut entities = Vec::new();
        for user in 0..self.users {
            let groups: BTreeSet<usize> = (0..2).map(|_| self.random.below(self.groups)).collect();
            let groups = groups.into_iter().filter(|_| self.groups > 0);
            let teams: BTreeSet<usize> = self.member_of[user].iter().copied().collect();
            let parents = teams
                .into_iter()
                .map(|team| entity_ref("Team", team))
                .chain(groups.map(|group| entity_ref("Group", format!("g{group}"))));
            entities.push(entity("User", user, json!({}), parents.collect()));
        }
        for team in 0..self.teams {
            let company = vec![entity_ref("Team", "company")];
            entities.push(entity("Team", team, json!({}), company));
        }
        entities.push(entity("Team", "company", json!({}), Vec::new()));
        for group in 0..self.groups {
            let id = format!("g{group}");
            entities.push(entity("Group", id, json!({}), Vec::new()));
        }
        for doc in 0..self.docs {
            let owner = self.random.below(self.users);
            entities.push(document(doc, owner));
        }
        Value::Array(entities).to_string()
    }

    /// Nine times out of ten somebody with whom the document was shared.
    fn request(&mut self) -> RequestText {
        let (share, doc) = self.links[self.random.below(self.links.len())];
        let user = match share {
            _ if self.random.chance(10) => self.random.below(self.users),
            Share::Person(user) => user,
            // Somebody in the team; whoever it is if it has no members.
            Share::Team(team) => {
                let from = self.random.below(self.users);
                (from..self.users)
                    .chain(0..from)
                    .find(|user| self.member_of[*user].contains(&team))
                    .unwrap_or(from)
            }
        };
        request(&mut self.random, uid("User", user), uid("Doc", doc))
    }
}

/// All links on one entity; the people and documents that are asked about exist.
fn hub(
    count: usize,
    requests: usize,
    template: &str,
    pair: impl Fn(usize) -> (String, String),
) -> Generated {
    let mut random = Random::new(count as u64);
    let links = count.saturating_sub(UNSCOPED).max(1);
    let asked: Vec<usize> = (0..requests).map(|_| random.below(links)).collect();
    let distinct: BTreeSet<usize> = asked.iter().copied().collect();
    let mut entities = vec![
        document("hub", 0),
        entity("Team", "hub", json!({}), Vec::new()),
    ];
    for i in distinct {
        let hub = vec![entity_ref("Team", "hub")];
        entities.push(entity("User", i, json!({}), hub));
        entities.push(document(i, i));
    }
    let requests = asked.iter().map(|i| {
        let (principal, resource) = pair(*i);
        // In the hub group are people; who asks is one of them.
        let asks = if principal.starts_with("User") {
            principal
        } else {
            uid("User", i)
        };
        request(&mut random, asks, resource)
    });
    let requests = requests.collect();
    Generated {
        policies: COMMON.into(),
        links: links_json((0..links).map(|i| {
            let (principal, resource) = pair(i);
            (template, principal, resource)
        })),
        entities: Value::Array(entities).to_string(),
        requests,
    }
}

fn request(random: &mut Random, principal: String, resource: String) -> RequestText {
    let action = match random.below(10) {
        0..5 => "view",
        5..9 => "edit",
        _ => "delete",
    };
    RequestText {
        principal,
        action: format!("Action::\"{action}\""),
        resource,
        context: json!({ "clearance": random.below(10) }).to_string(),
    }
}

/// What the links of [`links`] name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Each another person, every fourth another document; two of them are entities.
    Own,
    /// One of 500 people and one of 500 documents, all of them entities.
    Shared,
}

/// `count` links of one template, and next to nothing else.
pub fn links(count: usize, names: Names) -> Generated {
    let known = match names {
        Names::Own => 1,
        Names::Shared => 500,
    };
    let pair = |i: usize| match names {
        Names::Own => (i, i / 4),
        Names::Shared => (i % known, i / known % known),
    };
    let entities = (0..known).flat_map(|i| {
        let user = entity("User", i, json!({}), Vec::new());
        [user, document(i, i)]
    });
    Generated {
        policies: COMMON.into(),
        entities: Value::Array(entities.collect()).to_string(),
        links: links_json(
            (0..count)
                .map(pair)
                .map(|(user, doc)| ("policy0", uid("User", user), uid("Doc", doc))),
        ),
        requests: vec![RequestText {
            principal: uid("User", 0),
            action: "Action::\"view\"".into(),
            resource: uid("Doc", 0),
            context: "{\"clearance\":1}".into(),
        }],
    }
}

/// What the conditions of [`distinct`] are put together from; `#` is a clause's position.
const CLAUSES: [&str; 22] = [
    "resource.a# < 7",
    "resource.a# <= 7",
    "resource.a# == 3",
    "resource.a# > context.clearance",
    "resource.a# == context.clearance",
    "resource.b# < 7",
    "resource.b# <= 7",
    "resource.b# == 3",
    "resource.b# > context.clearance",
    "resource.b# == context.clearance",
    "principal.a# < 7",
    "principal.a# <= 7",
    "principal.a# == 3",
    "principal.a# > context.clearance",
    "principal.a# == context.clearance",
    "principal.b# < 7",
    "principal.b# <= 7",
    "principal.b# == 3",
    "principal.b# > context.clearance",
    "principal.b# == context.clearance",
    "principal.a# == resource.a#",
    "principal.b# == resource.b#",
];

/// How many clauses a condition has; each reads attributes that no other does, so that none makes
/// another superfluous.
const POSITIONS: usize = 3;

/// `count` static policies no two of which have the same condition, constants aside.
///
/// Up to 10,648 differ; each is about one of a thousand documents.
pub fn distinct(count: usize, requests: usize) -> Generated {
    let mut random = Random::new(count as u64);
    let mut policies = String::new();
    for policy in 0..count {
        let mut digits = policy;
        let clauses = (0..POSITIONS).map(|position| {
            let clause = CLAUSES[digits % CLAUSES.len()];
            digits /= CLAUSES.len();
            clause.replace('#', &position.to_string())
        });
        let condition = clauses.collect::<Vec<_>>().join(" && ");
        let _ = writeln!(
            policies,
            "permit (principal, action == Action::\"view\", resource == Doc::\"{}\") \
             when {{ {condition} }};",
            policy % 1000
        );
    }
    let mut numbers = || {
        let names = (0..POSITIONS).flat_map(|n| [format!("a{n}"), format!("b{n}")]);
        let numbers = names.map(|name| (name, json!(random.below(9))));
        Value::Object(numbers.collect())
    };
    let entities = (0..1000).flat_map(|i| {
        let user = entity("User", i, numbers(), Vec::new());
        [user, entity("Doc", i, numbers(), Vec::new())]
    });
    let entities = Value::Array(entities.collect()).to_string();
    let requests = (0..requests).map(|_| {
        let (user, doc) = (random.below(1000), random.below(1000));
        request(&mut random, uid("User", user), uid("Doc", doc))
    });
    Generated {
        policies,
        links: "[]".into(),
        requests: requests.collect(),
        entities,
    }
}

fn uid(ty: &str, id: impl ToString) -> String {
    format!("{ty}::\"{}\"", id.to_string())
}

fn entity_ref(ty: &str, id: impl ToString) -> Value {
    json!({ "type": ty, "id": id.to_string() })
}

fn entity(ty: &str, id: impl ToString, attrs: Value, parents: Vec<Value>) -> Value {
    json!({ "uid": entity_ref(ty, id), "attrs": attrs, "parents": parents })
}

fn document(id: impl ToString, owner: usize) -> Value {
    let attrs = json!({
        "owner": { "__entity": entity_ref("User", owner) },
        "level": owner % 10,
        "archived": owner.is_multiple_of(8),
    });
    entity("Doc", id, attrs, Vec::new())
}

fn links_json<'a>(links: impl Iterator<Item = (&'a str, String, String)>) -> String {
    let links = links
        .enumerate()
        .map(|(i, (template, principal, resource))| {
            json!({
                "template_id": template,
                "link_id": format!("link{i}"),
                "args": { "?principal": principal, "?resource": resource },
            })
        });
    Value::Array(links.collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    fn engine(generated: &Generated) -> Engine {
        generated.builder().build().unwrap()
    }

    #[test]
    fn sizes_are_as_asked_and_some_policies_match() {
        for layout in [Layout::Mixed, Layout::HubGroup, Layout::HubResource] {
            for count in [10, 500] {
                let generated = scaling(layout, count, 50);
                let engine = engine(&generated);
                assert_eq!(engine.stats().policies, count, "{layout:?}");
                let mut client = Client::new(&engine, false);
                let answers = generated.requests.iter().map(|r| client.answer(r).unwrap());
                let reasons: usize = answers.map(|a| a.reasons.len()).sum();
                assert!(reasons > 25, "{layout:?}: {reasons} for 50 requests");
            }
        }
    }

    #[test]
    fn distinct_policies_have_distinct_shapes() {
        // More than one digit's worth, in every digit.
        let engine = engine(&distinct(700, 1));
        assert_eq!(engine.stats().shapes, 700);
    }

    #[test]
    fn as_many_links_as_asked() {
        for names in [Names::Own, Names::Shared] {
            assert_eq!(engine(&links(40, names)).stats().policies, 40 + UNSCOPED);
        }
    }
}
