//! An engine under load for as long as one likes: readers, a writer, and a judge.
//!
//! A writer makes about 1,000 updates a second while readers decide. Now and then a reader hands over
//! a request, the snapshot that it was decided on and the answer; the judge takes entities and
//! policies out of that snapshot, and cedar-policy must answer the same. The writer hands over what
//! it holds the state to be, and the snapshot must have exactly that. Memory is looked at in
//! `/proc/self/status`.
//!
//! `CEDARJIT_SOAK_SECONDS` says how long it takes; 20 if it does not.

mod judge;
mod world;

use cedarjit::{Engine, Scratch, Snapshot, UpdateError};
use cedarjit_tests::generator::Rng;
use judge::{Given, Judge, Sample};
use std::env;
use std::fs::read_to_string;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use world::{Model, Update, request, start};

const READERS: usize = 2;

/// How many updates a second the writer makes, if it can.
const RATE: u32 = 1000;

/// One in this many decisions of a reader is offered to the judge, and one in this many states of
/// the writer.
const OFFERED: usize = 64;

/// By how much memory may grow after the first third, however many updates there are: garbage that it
/// does not yet pay to leave behind, and what allocator and code take by chance.
const GROWTH: usize = 24 << 20;

/// How many lines the table of memory has, at least.
const LINES: u32 = 12;

#[derive(Default)]
struct Counts {
    done: AtomicBool,
    decisions: AtomicUsize,
    updates: AtomicUsize,
    refused: AtomicUsize,
}

fn length() -> Duration {
    let set = env::var("CEDARJIT_SOAK_SECONDS").ok();
    Duration::from_secs(set.and_then(|text| text.parse().ok()).unwrap_or(20))
}

fn resident() -> Option<usize> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib << 10)
}

fn read(engine: &Engine, seed: u64, counts: &Counts, samples: &SyncSender<Sample>) {
    let mut rng = Rng::new(seed);
    let mut scratch = Scratch::default();
    while !counts.done.load(Ordering::Relaxed) {
        let snapshot = engine.snapshot();
        for _ in 0..16 {
            let request = request(&mut rng);
            let bound = snapshot.bind(&request).unwrap();
            let given = Given::of(&bound.evaluate(&mut scratch));
            counts.decisions.fetch_add(1, Ordering::Relaxed);
            if rng.one_in(OFFERED) {
                // A judge that is busy has enough to do.
                let sample = Sample::Answer(Arc::clone(&snapshot), Box::new(request), given);
                let _ = samples.try_send(sample);
            } else if rng.one_in(OFFERED) {
                bound.warm_up();
            }
        }
    }
}

fn write(engine: &Engine, mut model: Model, counts: &Counts, samples: &SyncSender<Sample>) {
    let mut rng = Rng::new(1);
    let mut next = Instant::now();
    while !counts.done.load(Ordering::Relaxed) {
        let count = if rng.one_in(20) { 5 } else { 1 };
        let mut changed = model.clone();
        let mut random = || {
            let update = Update::random(&mut rng, &changed);
            update.on_model(&mut changed);
            update
        };
        let updates: Vec<Update> = (0..count).map(|_| random()).collect();
        let result = engine.update(|tx| updates.iter().try_for_each(|update| update.on_engine(tx)));
        match result {
            Ok(()) => model = changed,
            Err(UpdateError::Hierarchy(_)) => {
                assert!(changed.has_cycle(), "a hierarchy was refused");
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("refused: {error}"),
        }
        counts.updates.fetch_add(1, Ordering::Relaxed);
        if rng.one_in(OFFERED) {
            let _ = samples.try_send(Sample::State(engine.snapshot(), model.clone()));
        }
        next += Duration::from_secs(1) / RATE;
        if let Some(early) = next.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
    }
}

/// Memory over time: after how many updates, and how many bytes.
fn watch(length: Duration, engine: &Engine, counts: &Counts) -> Vec<(usize, usize)> {
    let started = Instant::now();
    let every = (length / LINES).min(Duration::from_secs(10));
    let mut seen = Vec::new();
    println!(
        "| seconds | updates | refused | decisions | resident, MiB | entities | policies | code, KiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    while started.elapsed() < length && !counts.done.load(Ordering::Relaxed) {
        thread::sleep(every);
        let stats = engine.stats();
        let updates = counts.updates.load(Ordering::Relaxed);
        let resident = resident().unwrap_or(0);
        println!(
            "| {} | {updates} | {} | {} | {:.1} | {} | {} | {} |",
            started.elapsed().as_secs(),
            counts.refused.load(Ordering::Relaxed),
            counts.decisions.load(Ordering::Relaxed),
            resident as f64 / f64::from(1 << 20),
            stats.entities,
            stats.policies,
            stats.code_bytes >> 10,
        );
        seen.push((updates, resident));
    }
    seen
}

/// Ends the others when a thread ends, also by a panic.
struct Done<'a>(&'a Counts);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_and_a_writer_for_a_while() {
    let counts = Counts::default();
    let (engine, model) = start();
    let first: Arc<Snapshot> = engine.snapshot();
    let (samples, judged) = sync_channel(4);
    let (memory, judge) = thread::scope(|scope| {
        let judge = scope.spawn(|| {
            let _done = Done(&counts);
            let mut judge = Judge::default();
            judged.into_iter().for_each(|sample| judge.check(sample));
            judge
        });
        for seed in 0..READERS {
            let (samples, engine, counts) = (samples.clone(), &engine, &counts);
            scope.spawn(move || {
                let _done = Done(counts);
                read(engine, seed as u64, counts, &samples);
            });
        }
        let (engine, counts) = (&engine, &counts);
        scope.spawn(move || {
            let _done = Done(counts);
            write(engine, model, counts, &samples);
        });
        let memory = watch(length(), engine, counts);
        drop(Done(counts));
        (memory, judge.join().unwrap())
    });
    println!(
        "{} answers and {} states compared with cedar-policy: none is wrong",
        judge.answers, judge.states
    );
    assert!(
        judge.answers > 10 && judge.states > 10,
        "the judge had little to do"
    );
    assert!(judge.allowed > 0 && judge.allowed < judge.answers);
    // A snapshot never changes, however long it is held.
    assert_eq!(first.stats().entities, world::ENTITIES);
    check_memory(&memory);
}

fn check_memory(memory: &[(usize, usize)]) {
    let (Some(warm), Some(last)) = (memory.get(memory.len() / 3), memory.last()) else {
        panic!("the time is too short");
    };
    if last.1 == 0 {
        println!("SKIPPED: there is no /proc/self here");
        return;
    }
    let (updates, grown) = (last.0 - warm.0, last.1.saturating_sub(warm.1));
    println!(
        "{grown} bytes in {updates} updates: {} each",
        grown / updates.max(1)
    );
    assert!(grown < GROWTH, "memory grows");
}
