//! What the hashes of tables depend on.

use crate::saved::{Input, Invalid, Output};
use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

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
    /// One that the system's randomness gives.
    pub(crate) fn random() -> Self {
        let word = || RandomState::new().build_hasher().finish();
        Self::of([word(), word()])
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
