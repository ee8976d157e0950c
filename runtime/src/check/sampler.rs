//! Which decisions are checked.

use std::sync::atomic::{AtomicU64, Ordering};

/// Draws one in so many decisions, at random distances: no rhythm in what is asked hides a part of it.
///
/// Not a source of secrets: xorshift64 by G. Marsaglia, "Xorshift RNGs", Journal of Statistical
/// Software 8 (2003).
#[derive(Clone, Debug, Default)]
pub(crate) struct Sampler {
    /// Decisions until the next that is drawn, that one included; 0 before the first.
    left: u32,
    state: u64,
}

impl Sampler {
    /// Whether the next decision is drawn.
    #[inline]
    pub(crate) fn due(&mut self, every: u32) -> bool {
        if self.left > 1 {
            self.left -= 1;
            return false;
        }
        self.draw(&mut 1, every).is_some()
    }

    /// Goes over `decisions`, up to and with the first that is drawn. How many came before that one.
    #[inline]
    pub(crate) fn skip(&mut self, decisions: &mut u32, every: u32) -> Option<u32> {
        if self.left > *decisions {
            self.left -= *decisions;
            *decisions = 0;
            return None;
        }
        self.draw(decisions, every)
    }

    #[cold]
    fn draw(&mut self, decisions: &mut u32, every: u32) -> Option<u32> {
        if self.left == 0 {
            self.state = seed();
            self.left = self.distance(every);
            return match *decisions {
                0 => None,
                _ => self.skip(decisions, every),
            };
        }
        let before = self.left - 1;
        *decisions -= self.left;
        self.left = self.distance(every);
        Some(before)
    }

    /// From 1 to `2 * every - 1`, each as likely: `every` on average.
    fn distance(&mut self, every: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let most = u64::from(every) * 2 - 1;
        // The high bits of a product are evenly spread; none of them is lost.
        let below = (u128::from(self.state) * u128::from(most)) >> 64;
        u32::try_from(below).unwrap_or(u32::MAX - 1) + 1
    }
}

/// Another for each sampler, never 0.
fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);
    NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(every: u32, decisions: u32) -> Vec<u32> {
        let mut sampler = Sampler::default();
        (0..decisions).filter(|_| sampler.due(every)).collect()
    }

    #[test]
    fn one_in_one_is_every_decision() {
        assert_eq!(drawn(1, 100).len(), 100);
    }

    #[test]
    fn as_many_are_drawn_as_was_asked_for() {
        for every in [2, 10, 1_000] {
            let count = drawn(every, 1_000 * every).len();
            // A standard deviation is below 20.
            assert!((900..1_100).contains(&count), "{count} of 1000 at {every}");
        }
    }

    #[test]
    fn samplers_that_make_one_decision_each_draw_as_many() {
        let count = (0..100_000).filter(|_| Sampler::default().due(100)).count();
        // Half as many would be one in 199.
        assert!((350..1_100).contains(&count), "{count}");
    }

    #[test]
    fn the_distances_vary() {
        let drawn = drawn(10, 10_000);
        let mut distances: Vec<u32> = drawn.windows(2).map(|pair| pair[1] - pair[0]).collect();
        distances.sort_unstable();
        distances.dedup();
        assert_eq!(distances, (1..20).collect::<Vec<u32>>());
    }

    #[test]
    fn going_over_many_draws_as_one_by_one() {
        let (mut one, mut many) = (Sampler::default(), Sampler::default());
        one.due(7);
        many.clone_from(&one);
        let expected: Vec<u32> = (0..1_000).filter(|_| one.due(7)).collect();
        let mut found = Vec::new();
        for start in (0..1_000).step_by(100) {
            let (mut left, mut at) = (100, start);
            while let Some(before) = many.skip(&mut left, 7) {
                found.push(at + before);
                at += before + 1;
            }
            assert_eq!(left, 0);
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn the_widest_distance_does_not_overflow() {
        let mut sampler = Sampler::default();
        assert!((0..1_000).all(|_| sampler.distance(u32::MAX) > 0));
    }
}
