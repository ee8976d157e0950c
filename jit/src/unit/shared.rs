//! Code that engines of one process share.
//!
//! Policies that many engines have, those of an engine that takes the place of another, or those of
//! several buckets of requests often come to the very same instructions. What was generated for the
//! first of them serves all, as long as one of them is there.

use super::{Code, CodeUnit, Entrance};
use cranelift_codegen::ir::Function as ClifFunction;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// How many functions may be known before it is looked at whether they are still there.
const FEW: usize = 1024;

/// What a function's code follows from, apart from the target.
///
/// A digest that nobody knows how to make the same of two inputs: whoever writes policies must not
/// be able to have those of others evaluated as theirs.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CodeKey([u8; 32]);

impl CodeKey {
    /// The key of a function that is to be compiled; `None` if its code depends on more than what
    /// the function says. `bytes` is memory to be used, whatever is in it.
    ///
    /// The code generator hashes the same for its own cache, `cranelift_codegen::incremental_cache`.
    pub(super) fn of(function: &ClifFunction, bytes: &mut Vec<u8>) -> Option<Self> {
        bytes.clear();
        let mut words = Words(bytes);
        function.stencil.hash(&mut words);
        let alone = function.params.user_named_funcs().is_empty();
        alone.then(|| Self(Sha256::digest(bytes).into()))
    }
}

/// Keeps what is hashed.
struct Words<'a>(&'a mut Vec<u8>);

impl Hasher for Words<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        // What was kept is digested as a whole.
        0
    }
}

/// The functions that were compiled for a target and that somebody may still hold.
#[derive(Default)]
pub(super) struct SharedCode(Mutex<Known>);

#[derive(Default)]
struct Known {
    functions: HashMap<CodeKey, KnownFunction>,
    /// How many functions there may be before those that are gone are forgotten.
    limit: usize,
}

struct KnownFunction {
    entrance: Entrance,
    size: usize,
    unit: Weak<CodeUnit>,
}

impl SharedCode {
    /// The function of that key, if somebody holds it.
    pub(super) fn find(&self, key: &CodeKey) -> Option<Code> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let function = known.functions.get(key)?;
        Some(Code {
            unit: function.unit.upgrade()?,
            entrance: function.entrance,
            size: function.size,
        })
    }

    /// Has others find a function. Of two with the same key, compiled at the same time, either is
    /// found.
    ///
    /// Constant time on average: what is gone is forgotten when as many have come as were there.
    pub(super) fn add(&self, key: CodeKey, code: &Code) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.functions.len() >= known.limit {
            known.functions.retain(|_, f| f.unit.strong_count() > 0);
            known.limit = FEW.max(2 * known.functions.len());
        }
        let function = KnownFunction {
            entrance: code.entrance,
            size: code.size,
            unit: Arc::downgrade(&code.unit),
        };
        known.functions.insert(key, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn nothing() {}

    fn key(n: u64) -> CodeKey {
        CodeKey(Sha256::digest(n.to_le_bytes()).into())
    }

    fn code() -> Code {
        Code {
            entrance: nothing,
            size: 1,
            unit: Arc::new(CodeUnit {
                module: Mutex::new(None),
            }),
        }
    }

    /// So many functions that are held, by their numbers.
    fn hold(shared: &SharedCode, count: u64) -> Vec<Code> {
        let add = |n| {
            let code = code();
            shared.add(key(n), &code);
            code
        };
        (0..count).map(add).collect()
    }

    fn known(shared: &SharedCode) -> usize {
        shared.0.lock().unwrap().functions.len()
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let shared = SharedCode::default();
        let kept = hold(&shared, 100);
        for n in 100..100_000 {
            let gone = code();
            shared.add(key(n), &gone);
            drop(gone);
            assert!(shared.find(&key(n)).is_none());
            assert!(known(&shared) <= FEW);
        }
        for (n, code) in (0..).zip(&kept) {
            let found = shared.find(&key(n)).unwrap();
            assert!(Arc::ptr_eq(&found.unit, &code.unit));
        }
    }

    #[test]
    fn all_that_is_held_is_found() {
        let shared = SharedCode::default();
        let held = hold(&shared, 5_000);
        assert!((0..held.len() as u64).all(|n| shared.find(&key(n)).is_some()));
    }
}
