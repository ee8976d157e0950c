//! The generator's source of choices.

/// A small deterministic source of choices: a list of bytes first, if there is one, then a
/// splitmix64 sequence.
///
/// The same seed makes the same world on every machine and in every release of the compiler, which
/// is why no crate is used here. Drawing from bytes lets a fuzzer steer the generator: a choice
/// among at most 256 things consumes one byte.
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
    bytes: Vec<u8>,
    next_byte: usize,
}

impl Rng {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed,
            bytes: Vec::new(),
            next_byte: 0,
        }
    }

    /// Choices from `bytes`, then from a sequence that depends on their number only.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self {
            state: bytes.len() as u64,
            bytes: bytes.to_vec(),
            next_byte: 0,
        }
    }

    /// Another sequence, which depends on how far this one is and takes nothing from it.
    ///
    /// What is added to the generator draws from it whether to appear at all: then the worlds in
    /// which it does not are those that the same seeds made before.
    pub fn aside(&self) -> Self {
        Self::new(!self.state)
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.next_byte).copied()?;
        self.next_byte += 1;
        Some(byte)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if self.next_byte < self.bytes.len() {
            return (0..8).fold(0, |word, _| word << 8 | u64::from(self.byte().unwrap_or(0)));
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let bits = match n {
            0 | 1 => return 0,
            2..=256 => self.byte().map(|byte| u64::from(byte) << 56),
            _ => None,
        };
        let bits = bits.unwrap_or_else(|| self.bits());
        ((u128::from(bits) * n as u128) >> 64) as usize
    }

    /// A number from `low` to `high`, both included; `low` if the range is empty.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: impl Into<u32>) -> bool {
        (self.below(100) as u32) < percent.into()
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `items`; none if there are none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A position in `weights`, each as likely as its weight; 0 if all are 0.
    pub fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u32 = weights.iter().sum();
        let mut left = self.below(total as usize) as u32;
        for (position, &weight) in weights.iter().enumerate() {
            if left < weight {
                return position;
            }
            left -= weight;
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_fixed() {
        // splitmix64's published first outputs for seed 0.
        let mut rng = Rng::new(0);
        assert_eq!(rng.bits(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(rng.bits(), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn choices_stay_in_range() {
        let mut rng = Rng::new(7);
        for n in [1, 2, 3, 255, 256, 257, 100_000] {
            assert!((0..200).all(|_| rng.below(n) < n));
        }
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.between(5, 3), 5);
        assert!((0..200).all(|_| !rng.chance(0u32) && rng.chance(100u32)));
        assert!((0..200).all(|_| rng.weighted(&[0, 3, 0, 1]) % 2 == 1));
    }

    #[test]
    fn bytes_come_before_the_sequence() {
        let mut rng = Rng::from_bytes(&[0, 255]);
        assert_eq!(rng.below(10), 0);
        assert_eq!(rng.below(10), 9);
        assert_eq!(rng.clone().bits(), Rng::new(2).bits());
    }
}
