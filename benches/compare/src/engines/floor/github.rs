//! github by hand.

use super::store::Store;
use super::{Bound, Code, Outcome};

pub(super) const CODE: Code = Code {
    // Each action is in all that follow it.
    named: &[
        "Action::\"read\"",
        "Action::\"triage\"",
        "Action::\"write\"",
        "Action::\"maintain\"",
        "Action::\"admin\"",
    ],
    shapes: &[
        &[
            "admins",
            "maintainers",
            "owner",
            "readers",
            "triagers",
            "writers",
        ],
        &["admins", "readers", "writers"],
    ],
    evaluate,
};

const READ: u32 = 0;
const TRIAGE: u32 = 1;
const WRITE: u32 = 2;
const MAINTAIN: u32 = 3;
const ADMIN: u32 = 4;

const REPOSITORY: u32 = 1;
const ORGANIZATION: u32 = 2;

const OWNER: usize = 2;

/// The policies about a repository: position, last action that it concerns, attribute. `read`
/// alone is concerned by the first, and every action up to the one named by the others.
const OF_REPOSITORY: [(u32, u32, usize); 5] = [
    (0, READ, 3),
    (1, TRIAGE, 4),
    (2, WRITE, 5),
    (3, MAINTAIN, 1),
    (4, ADMIN, 0),
];

/// The policies about a repository's owner, likewise.
const OF_OWNER: [(u32, u32, usize); 3] = [(5, READ, 1), (6, WRITE, 2), (7, ADMIN, 0)];

fn evaluate(store: &Store, bound: Bound) -> Outcome {
    let mut outcome = Outcome::default();
    let (principal, resource) = (store.header(bound.principal), store.header(bound.resource));
    let is_repository = resource.shape == REPOSITORY;
    for (position, last, slot) in OF_REPOSITORY {
        if bound.action > last {
            continue;
        }
        if is_repository {
            let group = store.entity(resource, slot);
            outcome.policy(position, store.is_in(bound.principal, principal, group));
        } else {
            outcome.failed(position);
        }
    }
    let owner = is_repository.then(|| store.header(store.entity(resource, OWNER)));
    let owner = owner.filter(|owner| owner.shape == ORGANIZATION);
    for (position, last, slot) in OF_OWNER {
        if bound.action > last {
            continue;
        }
        if let Some(owner) = owner {
            let group = store.entity(owner, slot);
            outcome.policy(position, store.is_in(bound.principal, principal, group));
        } else {
            outcome.failed(position);
        }
    }
    outcome
}
