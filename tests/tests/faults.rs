//! Mistakes planted one at a time in the engine: the differential test must catch each.
//!
//! For each [`Fault`] the world is generated that showed it when `docs/faults.md` was written; if it
//! does no more, worlds from seed 0 on until an engine differs from cedar-policy, as it is with
//! `UPDATE_FAULTS=1`. `CEDARJIT_FAULT_SEEDS` says how many seeds are tried at most;
//! `CEDARJIT_FAULTS=Name,Name` picks faults and `CEDARJIT_FAULT_KNOBS=knob=100,knob=0` sets knobs of
//! the generator, to see what it takes to catch one. `UPDATE_FAULTS=1` writes the rows of the faults
//! that were tried to `docs/faults.md`.

use cedarjit_ir::fault::{Fault, plant};
use cedarjit_tests::differential::{Difference, Outcome, campaign, run_seed};
use cedarjit_tests::engines::{CedarEngine, CedarjitEngine, Mode, TestEngine};
use cedarjit_tests::generator::Knobs;
use cedarjit_tests::stack::STACK_SIZE;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many seeds are tried for a fault.
const SEEDS: u64 = 20_000;

/// How many seeds must show nothing without a fault.
const CONTROL_SEEDS: u64 = 100;

const THREADS: usize = 2;

/// What a seed came to.
struct Seen {
    /// How many requests were compared, up to and with the first that differs.
    requests: usize,
    /// The first engine that differs, and how.
    difference: Option<(String, String)>,
}

impl From<Outcome> for Seen {
    fn from(outcome: Outcome) -> Self {
        let Some(first) = outcome.mismatches.into_iter().next() else {
            return Self {
                requests: outcome.requests - outcome.skipped,
                difference: None,
            };
        };
        let (requests, how) = match first.difference {
            Difference::Answer { request, .. } => (request + 1, "answer"),
            Difference::Load(_) => (0, "refuses the world"),
            Difference::Panic(_) => (0, "panic"),
        };
        Self {
            requests,
            difference: Some((first.engine, how.to_owned())),
        }
    }
}

/// How a fault was caught.
struct Catch {
    seed: u64,
    /// Requests compared until then.
    requests: usize,
    engine: String,
    how: String,
}

/// Tries these seeds, in order, until one shows a difference.
///
/// The result does not depend on how the threads interleave: every seed before the one that is
/// returned was tried, and showed nothing.
fn first_catch(seeds: Range<u64>, fault: Option<Fault>) -> Option<Catch> {
    let (next, found) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let seen = Mutex::new(BTreeMap::new());
    let work = || {
        let (engines, knobs) = (suspects(fault), knobs());
        loop {
            let seed = next.fetch_add(1, Ordering::SeqCst);
            if seed >= seeds.end || seed > found.load(Ordering::SeqCst) {
                break;
            }
            let outcome = Seen::from(run_seed(seed, &CedarEngine, &engines, &knobs));
            if outcome.difference.is_some() {
                found.fetch_min(seed, Ordering::SeqCst);
            }
            seen.lock().expect("not poisoned").insert(seed, outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let builder = std::thread::Builder::new().stack_size(STACK_SIZE);
            builder.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let mut requests = 0;
    for (seed, outcome) in seen.into_inner().expect("not poisoned") {
        requests += outcome.requests;
        if let Some((engine, how)) = outcome.difference {
            return Some(Catch {
                seed,
                requests,
                engine,
                how,
            });
        }
    }
    None
}

/// The engines of a campaign; for what only updates do, the mode that goes through updates, which
/// in a campaign gets one world in 16.
fn suspects(fault: Option<Fault>) -> Vec<Box<dyn TestEngine>> {
    if fault.is_some_and(is_of_overlays) {
        return vec![Box::new(CedarjitEngine::of(&[Mode::Overlay]))];
    }
    if fault.is_some_and(is_of_updates) {
        return vec![Box::new(CedarjitEngine::of(&[Mode::Updated]))];
    }
    campaign::engines(NonZero::new(16).expect("is not zero"))
}

fn is_of_overlays(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::OverlayNotClosed | Fault::OverlayAsksIndex | Fault::OverlayWithoutTags
    )
}

fn is_of_updates(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::TagsOfReplaced
            | Fault::StaleFusedCode
            | Fault::NamedEntityMoved
            | Fault::DescendantsNotClosed
            | Fault::RemovedStaysParent
            | Fault::ParentsOfReplaced
            | Fault::FailureKeepsChildren
            | Fault::NamesOfOldAncestors
            | Fault::FailedPartForgotten
            | Fault::SchemaForgetsParents
            | Fault::ChildrenOfReplaced
            | Fault::HoldersOutliveWrites
    )
}

fn knobs() -> Knobs {
    let mut knobs = Knobs::default();
    let set = std::env::var("CEDARJIT_FAULT_KNOBS").unwrap_or_default();
    for (name, value) in set.split(',').filter_map(|knob| knob.split_once('=')) {
        let knob = knobs.by_name(name).expect("the name of a knob");
        *knob = value.parse().expect("a percentage");
    }
    knobs
}

fn seeds() -> u64 {
    let set = std::env::var("CEDARJIT_FAULT_SEEDS").ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(SEEDS)
}

/// How a fault is caught: by the world that showed it before, or by the first that does.
fn catch(fault: Fault) -> Option<Catch> {
    let recorded = (!is_updating()).then(|| recorded_seed(fault)).flatten();
    let recorded = recorded.and_then(|seed| first_catch(seed..seed + 1, Some(fault)));
    recorded.or_else(|| first_catch(0..seeds(), Some(fault)))
}

fn is_updating() -> bool {
    std::env::var_os("UPDATE_FAULTS").is_some()
}

/// The seed that showed a fault when the table was written.
fn recorded_seed(fault: Fault) -> Option<u64> {
    let table = std::fs::read_to_string(table_path()).ok()?;
    let head = head(fault);
    let row = table.lines().find_map(|line| line.strip_prefix(&head))?;
    row.split('|').next()?.trim().parse().ok()
}

/// The faults to try: all, or those that the environment names.
fn chosen() -> Vec<Fault> {
    let names = std::env::var("CEDARJIT_FAULTS").ok();
    let wanted = |fault: &Fault| {
        let names = names.as_deref();
        names.is_none_or(|names| names.split(',').any(|name| name == fault.name()))
    };
    Fault::ALL.iter().copied().filter(wanted).collect()
}

/// Faults are planted in the whole process, so everything is one test.
#[test]
fn every_planted_fault_is_caught() {
    assert!(Fault::ALL.len() >= 40);
    plant(None);
    // The process that is started for one fault needs no control of its own.
    let controls = match std::env::var_os(ALONE) {
        None => &[None, Some(Fault::StaleFusedCode)][..],
        Some(_) => &[],
    };
    for &fault in controls {
        let control = first_catch(0..CONTROL_SEEDS, fault);
        assert!(control.is_none(), "a difference without a fault");
    }
    // A fault may make an engine panic, which the differential test takes for a difference.
    std::panic::set_hook(Box::new(|_| {}));
    let mut rows = Vec::new();
    for fault in chosen() {
        let row = match may_crash(fault) && std::env::var_os(ALONE).is_none() {
            true => row_of_process(fault),
            false => {
                plant(Some(fault));
                row(fault, catch(fault).as_ref())
            }
        };
        println!("{row}");
        rows.push((fault, row));
    }
    plant(None);
    let _ = std::panic::take_hook();
    if is_updating() && std::env::var_os(ALONE).is_none() {
        std::fs::write(table_path(), page(&rows)).expect("writes the table");
    }
    let missed = rows.iter().filter(|(_, row)| row.contains(NOT_CAUGHT));
    let missed: Vec<&str> = missed.map(|(fault, _)| fault.name()).collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn the_table_has_every_fault() {
    let table = std::fs::read_to_string(table_path()).expect("UPDATE_FAULTS=1 writes it");
    for fault in Fault::ALL {
        let cell = format!("| `{}` |", fault.name());
        assert!(table.contains(&cell), "UPDATE_FAULTS=1 adds {fault:?}");
    }
}

fn table_path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md")
}

/// Whether code may read what is not there, in the wrong place or of the wrong type.
fn may_crash(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::StaleFusedCode | Fault::NamedEntityMoved | Fault::GuardOfOtherBase
    )
}

/// Set in a process that tries one fault.
const ALONE: &str = "CEDARJIT_FAULT_ALONE";

/// The row of a fault that is tried in a process of its own, whose crash shows it, too.
fn row_of_process(fault: Fault) -> String {
    let program = std::env::current_exe().expect("this test's program");
    let output = std::process::Command::new(program)
        .args(["every_planted_fault_is_caught", "--exact", "--nocapture"])
        .env("CEDARJIT_FAULTS", fault.name())
        .env(ALONE, "1")
        .output()
        .expect("a process");
    let head = head(fault);
    let text = String::from_utf8_lossy(&output.stdout);
    // What the test harness prints may stand before it.
    let row = text
        .lines()
        .find_map(|line| Some(&line[line.find(&head)?..]));
    match (row, output.status.code()) {
        (Some(row), _) => row.to_owned(),
        (None, None) => format!("{head} | | updated (crashes) |"),
        (None, Some(code)) => panic!("{fault:?}: no row, exit code {code}: {text}"),
    }
}

fn head(fault: Fault) -> String {
    format!(
        "| `{}` | `{}` | {} |",
        fault.name(),
        fault.place(),
        fault.what().trim().replace('|', "\\|")
    )
}

fn row(fault: Fault, catch: Option<&Catch>) -> String {
    let head = head(fault);
    match catch {
        Some(catch) => {
            let how = match catch.how.as_str() {
                "answer" => String::new(),
                how => format!(" ({how})"),
            };
            let Catch {
                seed,
                requests,
                engine,
                ..
            } = catch;
            format!("{head} {seed} | {requests} | {engine}{how} |")
        }
        None => format!("{head} {NOT_CAUGHT} in {} seeds | | |", seeds()),
    }
}

const NOT_CAUGHT: &str = "not caught";

const INTRO: &str = "\
# Planted faults

How good is the differential test at finding mistakes? Each of these was planted in the engine, one
at a time, and worlds were generated from seed 0 on until an engine answered differently from
cedar-policy. The requests are those compared until then, over all worlds; the engine is the first
that differed. Those that make code read what is not there run in a process of their own, and may crash
it. Mistakes in updates and in what requests bring are tried with the mode `updated` or `overlay` alone,
on every world.
Regenerate this page with

```text
UPDATE_FAULTS=1 cargo test --release --workspace --features cedarjit-tests/planted-faults --test faults
```

";

/// The page with the rows of the faults that were tried, and the other rows as they are.
fn page(tried: &[(Fault, String)]) -> String {
    let earlier = std::fs::read_to_string(table_path()).unwrap_or_default();
    let rows = Fault::ALL.iter().filter_map(|fault| {
        let now = tried.iter().find(|(other, _)| other == fault);
        let head = format!("| `{}` |", fault.name());
        let before = || earlier.lines().find(|line| line.starts_with(&head));
        now.map(|(_, row)| row.clone())
            .or_else(|| before().map(str::to_owned))
    });
    let rows: Vec<String> = rows.collect();
    let caught = rows.iter().filter(|row| !row.contains(NOT_CAUGHT)).count();
    let mut page = String::from(INTRO);
    let _ = writeln!(page, "{caught} of {} faults are caught.\n", rows.len());
    page.push_str("| fault | where | what is wrong | seed that caught it | requests | engine |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for row in rows {
        let _ = writeln!(page, "{row}");
    }
    page
}
