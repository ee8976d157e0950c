//! Work done in the background: one queue for the process, served by a few threads.
//!
//! Engines come and go by the thousand, so threads belong to none of them. A thread starts when
//! there is work and fewer than [`threads`] run, and ends when the queue is empty: a process that
//! compiles nothing has no thread for it. A job that has lost its purpose is not removed from the
//! queue; a long one holds what it works on by a [`Weak`](std::sync::Weak) reference and does nothing
//! when that is gone.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

/// The most threads, however many processors there are.
const MAX_THREADS: usize = 4;

/// A job's stack, in bytes: emitting code recurses as deep as expressions nest. Memory is used only
/// as far as the stack is.
const STACK_BYTES: usize = 16 << 20;

type Job = Box<dyn FnOnce() + Send>;

struct Queue {
    jobs: VecDeque<Job>,
    /// How many threads run.
    threads: usize,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    jobs: VecDeque::new(),
    threads: 0,
});

/// How many threads serve the queue at most: one for each processor, and no more than four.
pub(crate) fn threads() -> usize {
    // Asking the system takes longer than most submissions.
    static THREADS: OnceLock<usize> = OnceLock::new();
    *THREADS.get_or_init(|| {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        processors.min(MAX_THREADS)
    })
}

/// Puts a job at the end of the queue.
///
/// A job should take some tens of milliseconds at most and then submit what is left as another, so
/// that engines take turns. Where the system gives no thread, jobs stay in the queue until a later
/// submission gets one: nothing may depend on a job being done.
pub(crate) fn submit(job: impl FnOnce() + Send + 'static) {
    let mut queue = lock();
    queue.jobs.push_back(Box::new(job));
    if queue.threads >= threads() {
        return;
    }
    queue.threads += 1;
    // To start a thread takes long, and the first thing that it does is to take the lock.
    drop(queue);
    let builder = thread::Builder::new().name("cedarjit-jobs".to_owned());
    if builder.stack_size(STACK_BYTES).spawn(serve).is_err() {
        lock().threads -= 1;
    }
}

fn serve() {
    loop {
        let mut queue = lock();
        let Some(job) = queue.jobs.pop_front() else {
            // Under the same lock, so that a job submitted from now on starts a thread.
            queue.threads -= 1;
            return;
        };
        drop(queue);
        // A job that panics has failed; the others have not.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    // Nothing panics while it holds the lock.
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, mpsc};
    use std::time::{Duration, Instant};

    #[test]
    fn jobs_run_on_few_threads_which_end() {
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, all) = mpsc::channel();
        for i in 0..100 {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let done = done.clone();
            submit(move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                thread::sleep(Duration::from_micros(200));
                running.fetch_sub(1, Ordering::SeqCst);
                done.send(i).unwrap();
            });
        }
        submit(|| panic!("a job that fails"));
        let mut seen: Vec<i32> = all.iter().take(100).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        assert!(most.load(Ordering::SeqCst) <= threads());
        let started = Instant::now();
        while lock().threads > 0 {
            assert!(started.elapsed() < Duration::from_secs(30), "threads stay");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(lock().jobs.is_empty());
    }
}
