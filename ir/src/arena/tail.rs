//! Who may add to a block: what the handles of one agree on.
//!
//! Apart from what the blocks hold, and for any kind of atomic number, so that a model checker runs
//! this very code: see `tests/models`.

use std::sync::atomic::{AtomicUsize, Ordering};

/// In place of a length: some handle has the tail.
const TAKEN: usize = usize::MAX;

/// In place of a length: this handle has no tail.
const NO_TAIL: usize = usize::MAX;

/// An atomic number.
pub(super) trait Number {
    fn new(value: usize) -> Self;
    fn load(&self, order: Ordering) -> usize;
    fn store(&self, value: usize, order: Ordering);
    fn swap(&self, value: usize, order: Ordering) -> usize;
    /// Whether the number was `current`, and now is `new`. Acquires if so.
    fn exchange(&self, current: usize, new: usize) -> bool;
    /// The number, where no other thread can have it.
    fn own(&mut self) -> usize;
    fn set_own(&mut self, value: usize);
}

impl Number for AtomicUsize {
    #[inline]
    fn new(value: usize) -> Self {
        AtomicUsize::new(value)
    }

    #[inline]
    fn load(&self, order: Ordering) -> usize {
        self.load(order)
    }

    #[inline]
    fn store(&self, value: usize, order: Ordering) {
        self.store(value, order);
    }

    #[inline]
    fn swap(&self, value: usize, order: Ordering) -> usize {
        self.swap(value, order)
    }

    #[inline]
    fn exchange(&self, current: usize, new: usize) -> bool {
        self.compare_exchange(current, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline]
    fn own(&mut self) -> usize {
        *self.get_mut()
    }

    #[inline]
    fn set_own(&mut self, value: usize) {
        *self.get_mut() = value;
    }
}

/// In a block: which length a handle must have to take the tail, or [`TAKEN`].
#[derive(Debug)]
pub(super) struct Claim<N>(N);

impl<N: Number> Claim<N> {
    /// Of a new block, whose only handle has the tail.
    pub(super) fn taken() -> Self {
        Self(N::new(TAKEN))
    }
}

/// In a handle: how much of the block others see too, if this handle has the tail, else
/// [`NO_TAIL`].
#[derive(Debug)]
pub(super) struct Tail<N>(N);

impl<N: Number> Tail<N> {
    /// Of the only handle of a new block.
    pub(super) fn whole() -> Self {
        Self(N::new(0))
    }

    /// Of a handle that is a clone.
    pub(super) fn none() -> Self {
        Self(N::new(NO_TAIL))
    }

    /// How much others see of this handle's part, if it has the tail.
    #[inline]
    pub(super) fn shared(&mut self) -> Option<usize> {
        let shared = self.0.own();
        (shared != NO_TAIL).then_some(shared)
    }

    /// Takes the tail for a handle of this length, which does not have it. False if it cannot be
    /// had: another handle has it or has added something.
    #[inline]
    pub(super) fn take(&mut self, claim: &Claim<N>, len: usize) -> bool {
        let taken = claim.0.exchange(len, TAKEN);
        if taken {
            self.0.set_own(len);
        }
        taken
    }

    /// Takes the whole block, which no other handle shares.
    pub(super) fn take_whole(&mut self, claim: &mut Claim<N>) {
        claim.0.set_own(TAKEN);
        self.0.set_own(0);
    }

    /// Gives the tail up, if this handle has it, because the handle, of this length, is cloned.
    #[inline]
    pub(super) fn give_up(&self, claim: &Claim<N>, len: usize) {
        // Of several threads that clone a handle at once, one gives the tail up, and only once: a
        // clone may have it already.
        if self.0.load(Ordering::Relaxed) != NO_TAIL
            && self.0.swap(NO_TAIL, Ordering::Relaxed) != NO_TAIL
        {
            claim.0.store(len, Ordering::Release);
        }
    }

    /// Gives back what was added since the tail was taken, because the handle goes.
    #[inline]
    pub(super) fn give_back(&mut self, claim: &Claim<N>) {
        if let Some(shared) = self.shared() {
            claim.0.store(shared, Ordering::Release);
        }
    }
}
