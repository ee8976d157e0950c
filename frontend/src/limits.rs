//! Bounds on what is loaded, and the means to keep them.
//!
//! cedar-policy's parsers and conversions recurse on nested text, and the trees that they build
//! are dropped recursively. A hostile text could so overflow the stack, which ends the process.
//! Every text is therefore looked at in one linear pass before a parser sees it, and what is left
//! is parsed on a stack that is large enough for the bounds below.
//!
//! # How the bounds were found
//!
//! By halving the depth at which cedar-policy 4.14.1 overflows a stack of 2 MiB, in bytes of stack
//! for each level of depth:
//!
//! | | debug build | release build |
//! |---|---|---|
//! | parsing, for each nested bracket | 68,000 | 17,000 |
//! | parsing, for each `if` in a chain | 5,600 | 1,900 |
//! | `Policy::to_pst`, for each operator in a chain | 36,000 | 3,900 |
//! | dropping a `PolicySet`, for each operator in a chain | 260 (a record: 1,060) | 70 (200) |
//! | resolving a schema, for each nested record | 15,400 | |
//!
//! Parsing and converting run on [`BIG_STACK_BYTES`]. A `PolicySet` or `Schema` is dropped by
//! whoever has it, on a stack of 2 MiB if need be.

mod hierarchy;
mod request;
mod scan;

pub use hierarchy::check_hierarchy;
pub use request::{check_context, check_context_text, check_uid, is_small_context_text};
pub use scan::{Excess, Statement, check_chains, scan_json, scan_policies, scan_schema};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The deepest HIR expression, in nodes from the root to a leaf.
///
/// A chain of `&&` or of `||` is one node however long it is; any other operator, such as each
/// `+` of `a + b + c`, is one of its own, and `!=`, `>` and `>=` are two.
pub const MAX_EXPR_DEPTH: usize = 256;

/// How deep brackets may nest in a policy.
pub const MAX_NESTING: usize = 512;

/// How many operators and brackets may lie on one path through a policy's syntax tree.
///
/// Unlike [`MAX_EXPR_DEPTH`] this counts every `&&` and `||`: cedar-policy's own trees nest them.
/// Each `when` and `unless` clause counts as one operator that joins the clauses.
pub const MAX_CHAIN: usize = 4096;

/// The longest text of one policy, in bytes.
///
/// cedar-policy takes up to 850 bytes of memory for each byte while it parses.
pub const MAX_POLICY_BYTES: usize = 1 << 20;

/// How long a policy may be for how deep it nests: the square of the depth times the tokens.
///
/// That is how long cedar-policy's parser takes to recover from an error. The depth is the most
/// `if` expressions that are open at once, and a quarter of the brackets: 3 ns of a release build
/// for each unit. A policy of 290,000 tokens may nest 30 `if` deep, one of 4,000 tokens 250 deep.
pub const MAX_RECOVERY: u64 = 1 << 28;

/// The longest text of a policy set, in bytes.
pub const MAX_POLICY_SET_BYTES: usize = 64 << 20;

/// The longest text of a schema, in bytes.
pub const MAX_SCHEMA_BYTES: usize = 4 << 20;

/// How deep brackets and `Set<…>` may nest in a schema, and types once common types are replaced
/// by what they stand for.
pub const MAX_SCHEMA_NESTING: usize = 128;

/// How many types an attribute, a tag or a context may consist of once common types are replaced
/// by what they stand for.
///
/// A few lines of common types that each use the one before twice describe a type of
/// astronomical size.
pub const MAX_TYPE_SIZE: u64 = 100_000;

/// The longest chain of `in` between entity types or between actions of a schema.
///
/// cedar-policy stores the transitive closure of these chains, which grows with their square.
pub const MAX_SCHEMA_HIERARCHY: usize = 256;

/// The longest chain of parents in the JSON form of entities, for the same reason.
pub const MAX_ENTITY_HIERARCHY: usize = 1000;

/// The longest text of entities in JSON, in bytes.
pub const MAX_ENTITIES_BYTES: usize = 1 << 30;

/// How many entities an engine may hold, those that a schema adds included.
pub const MAX_ENTITIES: usize = 10_000_000;

/// How deep arrays and objects may nest in JSON. This is what serde_json supports.
pub const MAX_JSON_NESTING: usize = 127;

/// The largest context of a request in JSON, in bytes as [`check_context`] counts them.
pub const MAX_CONTEXT_BYTES: usize = 16 << 20;

/// The longest text of a request's context, in bytes: four times as long as what it may say, to
/// leave room for white space.
pub const MAX_CONTEXT_TEXT_BYTES: usize = 4 * MAX_CONTEXT_BYTES;

/// The longest text of an entity uid in a request, in bytes.
pub const MAX_UID_BYTES: usize = 1 << 20;

/// The stack on which texts are parsed and converted, in bytes. It is reserved, and costs memory
/// only as far as it is used.
pub const BIG_STACK_BYTES: usize = 256 << 20;

/// A bound was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// The text is longer than its kind may be.
    #[error("the text has {bytes} bytes, the limit is {limit}")]
    Text {
        /// The length of the text.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// One policy is longer than [`MAX_POLICY_BYTES`].
    #[error("the policy has {bytes} bytes, the limit is {limit}")]
    Policy {
        /// The length of the policy.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Brackets, arrays or objects nest too deep.
    #[error("nested more than {limit} deep")]
    Nesting {
        /// How deep they may nest.
        limit: usize,
    },
    /// Too many operators depend on one another.
    #[error("more than {limit} operators depend on one another")]
    Chain {
        /// How many may.
        limit: usize,
    },
    /// A policy is too long for how deep it nests.
    #[error("the policy is too long for how deep it nests")]
    Recovery {
        /// What [`MAX_RECOVERY`] bounds.
        work: u64,
        /// Its bound.
        limit: u64,
    },
    /// A schema's type is too large once its common types are replaced.
    #[error("the type consists of more than {limit} types, common types replaced")]
    TypeSize {
        /// Of how many it may consist.
        limit: u64,
    },
    /// A chain of entities, entity types or actions, each a parent of the one before, is too long.
    #[error("a chain of parents has more than {limit} members")]
    Hierarchy {
        /// How many it may have.
        limit: usize,
    },
    /// There are more entities than [`MAX_ENTITIES`].
    #[error("there are {entities} entities, the limit is {limit}")]
    Entities {
        /// How many there are.
        entities: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A request's context is larger than [`MAX_CONTEXT_BYTES`].
    #[error("the context is larger than {limit} bytes")]
    Context {
        /// How large it may be.
        limit: usize,
    },
    /// The text of an entity uid is longer than [`MAX_UID_BYTES`].
    #[error("the entity uid has {bytes} bytes, the limit is {limit}")]
    Uid {
        /// The length of the text.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The code on the large stack panicked, or there is no memory for the stack.
    #[error("cedar-policy panicked, or there is no memory for its stack")]
    Panic,
}

/// Bounds the number of entities.
///
/// # Errors
/// When there are more than [`MAX_ENTITIES`].
pub fn check_entity_count(entities: usize) -> Result<(), LimitError> {
    let limit = MAX_ENTITIES;
    if entities > limit {
        return Err(LimitError::Entities { entities, limit });
    }
    Ok(())
}

/// Runs `f` with a stack of [`BIG_STACK_BYTES`]: this one, if so much of it is left but for a few
/// frames, or another one of the same thread.
///
/// A thread for each text took a quarter of the time of loading all the public tests.
///
/// # Errors
/// When `f` panics, or the system has no memory for the stack.
pub fn with_big_stack<T>(f: impl FnOnce() -> T) -> Result<T, LimitError> {
    const FRAMES: usize = 1 << 20;
    let run = || stacker::maybe_grow(BIG_STACK_BYTES - FRAMES, BIG_STACK_BYTES, f);
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| LimitError::Panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_entities_is_bounded() {
        assert_eq!(check_entity_count(MAX_ENTITIES), Ok(()));
        let excess = check_entity_count(MAX_ENTITIES + 1);
        let text = "there are 10000001 entities, the limit is 10000000";
        assert_eq!(excess.map_err(|e| e.to_string()), Err(text.to_owned()));
    }

    fn recurse(n: usize) -> usize {
        let padding = std::hint::black_box([n; 64]);
        if n == 0 {
            0
        } else {
            recurse(n - 1) + padding[0] - n + 1
        }
    }

    #[test]
    fn the_big_stack_is_big() {
        // At least 64 words a level: more than any default stack.
        assert_eq!(with_big_stack(|| recurse(100_000)), Ok(100_000));
    }

    /// About where the stack is.
    fn place() -> usize {
        std::ptr::from_ref(std::hint::black_box(&0_u8)).addr()
    }

    #[test]
    fn nested_use_stays_on_the_stack() {
        let distance = with_big_stack(|| {
            let outer = place();
            with_big_stack(|| place().abs_diff(outer))
        });
        assert!(matches!(distance, Ok(Ok(0..65_536))), "{distance:?}");
        // Once it has been left, the next use gets one again.
        assert_eq!(with_big_stack(|| recurse(100_000)), Ok(100_000));
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(
            with_big_stack(|| assert_eq!(1, 2, "expected by this test")),
            Err(LimitError::Panic)
        );
        // The stack has been left all the same.
        assert_eq!(with_big_stack(|| recurse(100_000)), Ok(100_000));
    }
}
