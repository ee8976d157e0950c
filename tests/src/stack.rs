//! The stack that cedar-policy runs on.
//!
//! cedar-policy recurses on what it parses and evaluates, and stops evaluating when its stack gets
//! short: on the 2 MiB that a test's thread has, some generated policies are too deep for it in a
//! debug build. So whatever asks it about generated worlds does so on a stack of one fixed size. It is
//! as large as the one on which an engine loads, which then has no need to make another.

use cedarjit_frontend::limits::BIG_STACK_BYTES;
use std::panic::resume_unwind;
use std::thread;

/// The size of that stack in bytes.
pub const STACK_SIZE: usize = BIG_STACK_BYTES;

/// Runs `body` on a thread with a stack of [`STACK_SIZE`].
///
/// # Panics
///
/// Panics as `body` does, and if the system grants no thread.
pub fn on_large_stack<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(STACK_SIZE);
        match builder.spawn_scoped(scope, body) {
            Ok(worker) => worker.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => panic!("no thread to run on: {error}"),
        }
    })
}
