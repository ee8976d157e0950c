//! Scopes and templates.

use super::World;
use cedar_policy::{EntityUid, PolicyId, PolicySet, SlotId};
use std::collections::HashMap;

fn policies() -> PolicySet {
    let scopes = [
        "principal",
        "principal == User::\"alice\"",
        "principal == User::\"bob\"",
        "principal in Group::\"g0\"",
        "principal in Group::\"ghosts\"",
        "principal in User::\"alice\"",
        "principal is User",
        "principal is Doc",
        "principal is User in Group::\"g1\"",
        "principal is Group in Group::\"g1\"",
    ];
    let actions = [
        "action",
        "action == Action::\"view\"",
        "action in Action::\"read\"",
        "action in [Action::\"edit\", Action::\"read\"]",
        "action in []",
    ];
    let resources = [
        "resource",
        "resource == Doc::\"d\"",
        "resource in Doc::\"d\"",
        "resource is User",
    ];
    let mut source = String::new();
    for principal in scopes {
        for action in actions {
            for resource in resources {
                let when = if source.len().is_multiple_of(2) {
                    "when { principal.seven == 7 }"
                } else {
                    ""
                };
                source += &format!("permit({principal}, {action}, {resource}) {when};\n");
            }
        }
    }
    source.parse().unwrap()
}

#[test]
fn scopes_match_as_cedar_does() {
    let policies = policies();
    let requests = [
        ("User::\"alice\"", "Action::\"view\"", "Doc::\"d\""),
        ("User::\"bob\"", "Action::\"read\"", "Doc::\"other\""),
        ("User::\"nobody\"", "Action::\"view\"", "User::\"alice\""),
        ("Group::\"ghosts\"", "Action::\"new\"", "New::Type::\"x\""),
        ("Group::\"g1\"", "Action::\"edit\"", "Doc::\"d\""),
    ];
    for (principal, action, resource) in requests {
        World::standard()
            .with_request(principal, action, resource)
            .check(&policies);
    }
}

#[test]
fn links_use_their_own_bindings() {
    let mut policies: PolicySet = r#"
        permit(principal == ?principal, action, resource in ?resource);
        forbid(principal in ?principal, action, resource) when { principal.seven == 7 };
        permit(principal is User in ?principal, action, resource is Doc in ?resource);
    "#
    .parse()
    .unwrap();
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let (alice, group, doc) = ("User::\"alice\"", "Group::\"g0\"", "Doc::\"d\"");
    for (i, (template, principal, resource)) in [
        ("policy0", alice, Some(doc)),
        ("policy0", group, Some(doc)),
        ("policy0", alice, Some("Folder::\"f\"")),
        ("policy1", group, None),
        ("policy1", "Group::\"unheard of\"", None),
        ("policy2", group, Some(doc)),
        ("policy2", group, Some(alice)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut slots = HashMap::from([(SlotId::principal(), uid(principal))]);
        slots.extend(resource.map(|r| (SlotId::resource(), uid(r))));
        policies
            .link(
                PolicyId::new(template),
                PolicyId::new(format!("link{i}")),
                slots,
            )
            .unwrap();
    }
    let outcomes = World::standard().check(&policies);
    let satisfied: Vec<&String> = outcomes
        .iter()
        .filter(|(_, outcome)| **outcome == Ok(true))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(satisfied, ["link0", "link3", "link5"]);
}
