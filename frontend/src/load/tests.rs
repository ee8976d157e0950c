//! What loading gives, and what it refuses.

mod conversion;
mod hostile;
mod texts;

use super::*;

/// A policy with this condition.
fn policy(condition: &str) -> String {
    format!("permit (principal, action, resource) when {{ {condition} }};")
}

fn load(text: &str, interner: &mut Interner) -> Result<Vec<BoundPolicy>, LoadError> {
    load_policy_set(&parse_policies(text, "test.cedar").unwrap(), interner)
}
