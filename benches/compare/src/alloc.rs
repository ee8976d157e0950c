//! An allocator that counts live bytes while it is told to.
//!
//! All engines in this process use it. While it does not count it adds one load and one branch to
//! an allocation.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counted.
pub(crate) struct Counted;

#[cold]
fn add(bytes: isize) {
    LIVE.fetch_add(bytes, Ordering::Relaxed);
}

fn count(bytes: isize) {
    if COUNTING.load(Ordering::Relaxed) {
        add(bytes);
    }
}

/// A layout's size; an allocation never exceeds `isize::MAX`.
fn size(layout: Layout) -> isize {
    layout.size().cast_signed()
}

#[expect(unsafe_code, reason = "a global allocator cannot be had without")]
// SAFETY: every call is passed on to the system's allocator with the caller's arguments, which
// meet its contract because they meet ours; counting touches two atomics and allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-size(layout));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(size(layout));
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size.cast_signed() - size(layout));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

/// What `make` gives, and by how many bytes the process's live memory grew while it ran.
///
/// What was allocated before and is freed inside counts as shrinking, so `make` should allocate
/// what it consumes.
pub(crate) fn live_growth<T>(make: impl FnOnce() -> T) -> (T, isize) {
    LIVE.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::SeqCst);
    let made = make();
    COUNTING.store(false, Ordering::SeqCst);
    (made, LIVE.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_what_stays() {
        let (kept, growth) = live_growth(|| {
            drop(vec![0_u8; 1 << 20]);
            vec![0_u8; 1 << 21]
        });
        // Other tests allocate at the same time, but not megabytes.
        assert!(
            (growth - kept.len().cast_signed()).abs() < 1 << 19,
            "{growth}"
        );
    }
}
