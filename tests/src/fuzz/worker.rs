//! The thread that bodies run on.
//!
//! A fuzzer calls its target on the main thread, whose stack is as small as the system makes it.
//! cedar-policy recurses on what it reads and stops evaluating when its stack gets short, so bodies
//! run on a thread whose stack is that of this project's own loader. One thread serves all inputs:
//! starting one for each would cost more than many inputs do.

use cedarjit_frontend::limits::BIG_STACK_BYTES;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

struct Job {
    body: fn(&[u8]),
    data: Vec<u8>,
}

struct Worker {
    jobs: Sender<Job>,
    results: Receiver<thread::Result<()>>,
}

static WORKER: Mutex<Option<Worker>> = Mutex::new(None);

impl Worker {
    fn start() -> Self {
        let (jobs, todo) = channel::<Job>();
        let (done, results) = channel();
        let work = move || {
            for Job { body, data } in todo {
                let result = catch_unwind(AssertUnwindSafe(|| body(&data)));
                if done.send(result).is_err() {
                    break;
                }
            }
        };
        let builder = thread::Builder::new().stack_size(BIG_STACK_BYTES);
        if let Err(error) = builder.name("fuzz".to_owned()).spawn(work) {
            panic!("no thread to run on: {error}");
        }
        Self { jobs, results }
    }

    fn run(&self, body: fn(&[u8]), data: &[u8]) -> thread::Result<()> {
        let data = data.to_vec();
        let sent = self.jobs.send(Job { body, data });
        match (sent, self.results.recv()) {
            (Ok(()), Ok(result)) => result,
            _ => panic!("the thread that runs the bodies has ended"),
        }
    }
}

/// Runs a body and passes on its panic.
pub(super) fn on_worker(body: fn(&[u8]), data: &[u8]) {
    let mut worker = WORKER.lock().unwrap_or_else(PoisonError::into_inner);
    let result = worker.get_or_insert_with(Worker::start).run(body, data);
    drop(worker);
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}
