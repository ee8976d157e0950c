//! Doing the same to many policies, on several threads.

use crate::limits::BIG_STACK_BYTES;
use std::num::NonZero;
use std::thread;

/// The most threads, however many processors there are.
const MAX_THREADS: usize = 4;

/// Fewer items than this for each thread are not worth a thread.
const WORTH_A_THREAD: usize = 64;

/// What `f` gives for each item, in their order. `f` runs on this thread and others like it, which
/// have [`BIG_STACK_BYTES`] of stack.
pub(super) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = match items.len() / WORTH_A_THREAD {
        0 | 1 => 1,
        worth => {
            let processors = thread::available_parallelism().map_or(1, NonZero::get);
            worth.min(processors).min(MAX_THREADS)
        }
    };
    let (own, others) = items.split_at(items.len().div_ceil(threads));
    let f = &f;
    thread::scope(|scope| {
        let others: Vec<_> = others
            .chunks(own.len().max(1))
            .map(|chunk| {
                let work = move || chunk.iter().map(f).collect::<Vec<R>>();
                let thread = thread::Builder::new().stack_size(BIG_STACK_BYTES);
                (chunk, thread.spawn_scoped(scope, work).ok())
            })
            .collect();
        let mut results: Vec<R> = own.iter().map(f).collect();
        for (chunk, thread) in others {
            match thread.and_then(|thread| thread.join().ok()) {
                Some(given) => results.extend(given),
                // There was no thread, or `f` panicked; if so it does here too.
                None => results.extend(chunk.iter().map(f)),
            }
        }
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn results_come_in_the_order_of_the_items() {
        for count in [0, 1, 2, 63, 64, 65, 127, 128, 129, 1000] {
            let items: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = items.iter().map(|i| i * 2).collect();
            assert_eq!(map(&items, |i| i * 2), doubled);
        }
        let items: Vec<usize> = (0..1000).collect();
        let panics = AssertUnwindSafe(|| map(&items, |i| assert!(*i != 999)));
        assert!(catch_unwind(panics).is_err());
    }
}
