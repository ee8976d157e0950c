//! gdrive by hand.

use super::store::Store;
use super::{Bound, Code, Outcome};

pub(super) const CODE: Code = Code {
    named: &[
        "Action::\"read\"",
        "Action::\"write\"",
        "Action::\"share\"",
        "Action::\"changeOwner\"",
        "Action::\"createDocument\"",
    ],
    shapes: &[
        &[
            "documentsAndFoldersWithViewAccess",
            "ownedDocuments",
            "ownedFolders",
        ],
        &["isPublic"],
    ],
    evaluate,
};

const READ: u32 = 0;
const WRITE: u32 = 1;
const SHARE: u32 = 2;
const CHANGE_OWNER: u32 = 3;
const CREATE_DOCUMENT: u32 = 4;

const USER: u32 = 1;
const VIEW_ACCESS: usize = 0;
const OWNED_DOCUMENTS: usize = 1;
const OWNED_FOLDERS: usize = 2;

const DOCUMENT: u32 = 2;
const IS_PUBLIC: usize = 0;

fn evaluate(store: &Store, bound: Bound) -> Outcome {
    let mut outcome = Outcome::default();
    let (principal, resource) = (store.header(bound.principal), store.header(bound.resource));
    if bound.action == READ {
        if resource.shape == DOCUMENT {
            outcome.policy(1, store.attr(resource, IS_PUBLIC) != 0);
        } else {
            outcome.failed(1);
        }
    }
    if principal.shape != USER {
        // Every policy below reads an attribute of the principal.
        outcome.failed |= match bound.action {
            READ => 1 << 0 | 1 << 2,
            WRITE | SHARE => 1 << 2,
            CHANGE_OWNER => 1 << 3,
            CREATE_DOCUMENT => 1 << 4,
            _ => 0,
        };
        return outcome;
    }
    match bound.action {
        READ | WRITE | SHARE => {
            if bound.action == READ {
                let view = store.entity(principal, VIEW_ACCESS);
                outcome.policy(0, store.is_in(bound.resource, resource, view));
            }
            let owned = |slot| {
                let groups = store.set(principal, slot);
                store.is_in_any(bound.resource, resource, groups)
            };
            outcome.policy(2, owned(OWNED_DOCUMENTS) || owned(OWNED_FOLDERS));
        }
        CHANGE_OWNER => {
            let owned = store.set(principal, OWNED_DOCUMENTS);
            outcome.policy(3, owned.contains(&bound.resource));
        }
        CREATE_DOCUMENT => {
            let owned = store.set(principal, OWNED_FOLDERS);
            outcome.policy(4, owned.contains(&bound.resource));
        }
        _ => {}
    }
    outcome
}
