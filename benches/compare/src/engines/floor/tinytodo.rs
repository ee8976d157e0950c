//! tinytodo by hand.

use super::store::Store;
use super::{Bound, Code, Outcome};

pub(super) const CODE: Code = Code {
    named: &[
        "Action::\"CreateList\"",
        "Action::\"GetLists\"",
        "Action::\"GetList\"",
        "Action::\"UpdateList\"",
        "Action::\"CreateTask\"",
        "Action::\"UpdateTask\"",
        "Action::\"DeleteTask\"",
        "Application::\"TinyTodo\"",
    ],
    shapes: &[&["editors", "name", "owner", "readers", "tasks"]],
    evaluate,
};

const CREATE_LIST: u32 = 0;
const GET_LISTS: u32 = 1;
const GET_LIST: u32 = 2;
const UPDATE_LIST: u32 = 3;
const DELETE_TASK: u32 = 6;
const TINY_TODO: u32 = 7;

const LIST: u32 = 1;
const EDITORS: usize = 0;
const OWNER: usize = 2;
const READERS: usize = 3;

fn evaluate(store: &Store, bound: Bound) -> Outcome {
    let mut outcome = Outcome::default();
    let resource = store.header(bound.resource);
    let is_list = resource.shape == LIST;
    if is_list {
        outcome.policy(1, store.entity(resource, OWNER) == bound.principal);
    }
    match bound.action {
        CREATE_LIST | GET_LISTS => outcome.policy(0, bound.resource == TINY_TODO),
        GET_LIST if is_list => {
            let principal = store.header(bound.principal);
            let is_in = |slot| {
                let group = store.entity(resource, slot);
                store.is_in(bound.principal, principal, group)
            };
            outcome.policy(2, is_in(READERS) || is_in(EDITORS));
        }
        GET_LIST => outcome.failed(2),
        UPDATE_LIST..=DELETE_TASK if is_list => {
            let principal = store.header(bound.principal);
            let editors = store.entity(resource, EDITORS);
            outcome.policy(3, store.is_in(bound.principal, principal, editors));
        }
        UPDATE_LIST..=DELETE_TASK => outcome.failed(3),
        _ => {}
    }
    outcome
}
