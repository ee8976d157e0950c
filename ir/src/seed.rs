//! What the hashes of tables depend on.

use crate::saved::{Input, Invalid, Output};
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::LazyLock;

/// What hashes depend on, not known to whoever chooses the keys.
///
/// Other than foldhash's own states it can be saved with a table, which is then of use without hashing
/// all keys anew.
#[derive(Clone, Debug)]
pub(crate) struct Seed {
    words: [u64; 2],
    shared: SharedSeed,
}

impl Seed {
    /// One of its own for each table, of which the second word is the process's: what follows from that
    /// takes longer to find than a request should wait for its tables.
    pub(crate) fn random() -> Self {
        static PROCESS: LazyLock<Seed> = LazyLock::new(|| {
            let word = || RandomState::new().build_hasher().finish();
            Seed::of([word(), word()])
        });
        let own = foldhash::quality::RandomState::default().hash_one(PROCESS.words[0]);
        Self {
            words: [own, PROCESS.words[1]],
            shared: PROCESS.shared.clone(),
        }
    }

    fn of(words: [u64; 2]) -> Self {
        Self {
            words,
            shared: SharedSeed::from_u64(words[1]),
        }
    }

    pub(crate) fn save(&self, out: &mut Output) {
        self.words.iter().for_each(|word| out.word(*word));
    }

    pub(crate) fn load(input: &mut Input<'_>) -> Result<Self, Invalid> {
        Ok(Self::of([input.word()?, input.word()?]))
    }

    #[inline]
    pub(crate) fn hasher(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.words[0], &self.shared)
    }

    #[inline]
    pub(crate) fn hash_one<T: Hash + ?Sized>(&self, key: &T) -> u64 {
        let mut hasher = self.hasher();
        key.hash(&mut hasher);
        hasher.finish()
    }
}

/// Tells functions that hash from one another: what this one makes of some text. A table that was
/// saved is of no use to a program that hashes otherwise.
pub fn hash_function() -> u64 {
    let text = "long enough to be hashed in all the ways that there are, ".repeat(8);
    let seed = Seed::of([1, 2]);
    let parts = (0..text.len()).step_by(5).filter_map(|end| text.get(..end));
    parts.fold(seed.hash_one(&0_u64), |all, part| {
        seed.hash_one(&(all, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_seed_hashes_as_it_did_and_others_do_not() {
        let (seed, other) = (Seed::random(), Seed::random());
        let mut out = Output::default();
        seed.save(&mut out);
        let again = Seed::load(&mut Input::new(out.as_bytes())).unwrap();
        for key in ["", "a", "a key that is longer than a word, and than two"] {
            assert_eq!(again.hash_one(key), seed.hash_one(key));
            assert_ne!(other.hash_one(key), seed.hash_one(key));
        }
        assert_eq!(hash_function(), hash_function());
    }
}
