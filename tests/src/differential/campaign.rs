//! Long runs: block by block, with a state that a later run goes on from.

use super::{Mismatch, Report, run};
use crate::documents::{DocumentsOutcome, run_documents};
use crate::engines::{CedarEngine, CedarjitEngine, Mode, TestEngine};
use crate::generator::Knobs;
use crate::stack::STACK_SIZE;
use serde::{Deserialize, Serialize};
use std::io;
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Most worlds in a block: a run that is ended loses less than one block.
const BLOCK: usize = 500;

/// About how many requests a world has, to end near the number that was asked for.
const WORLD: usize = 850;

/// The documents of one world in this many are spoiled and read.
const DOCUMENTS: usize = 16;

/// Mismatches after which a campaign gives up: each is kept with its world.
const TOO_MANY: usize = 100;

/// What a campaign runs.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// How worlds are made.
    pub knobs: Knobs,
    /// Threads to use.
    pub threads: usize,
    /// Ends with the block in which this many requests are reached, those of earlier runs included.
    pub requests: usize,
    /// The modes that read texts get every so manyth request and world.
    pub sample: NonZero<usize>,
    /// The modes to compare.
    pub modes: Vec<Mode>,
    /// Where the state is kept, if it is.
    pub state: Option<PathBuf>,
}

/// Where a campaign has got to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// The first seed that was not run.
    pub next_seed: u64,
    /// Seconds that it took so far.
    pub seconds: f64,
    /// What came of the seeds before.
    pub report: Report,
    /// What came of sound and spoiled documents.
    pub documents: DocumentsOutcome,
    /// Mismatches of earlier runs, as seed and mode.
    pub earlier: Vec<(u64, String)>,
}

/// Why a campaign could not go on from, or keep, its state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file could not be read or written.
    #[error("cannot use the campaign's state {}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The file does not hold a state.
    #[error("{} is not a campaign's state: {cause}; remove it to start anew", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

/// The engines of a campaign: all of them, the ones that mostly test parsers on a sample.
pub fn engines(sample: NonZero<usize>) -> Vec<Box<dyn TestEngine>> {
    vec![Box::new(CedarjitEngine::default().sampled(sample))]
}

impl Campaign {
    /// Runs until enough requests were compared, and tells `progress` the state after each block.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn run(&self, progress: &mut dyn FnMut(&State)) -> Result<State, StateError> {
        let mut state = match &self.state {
            Some(path) => State::read(path)?,
            None => State::default(),
        };
        let engine = CedarjitEngine::of(&self.modes).sampled(self.sample);
        let engines: Vec<Box<dyn TestEngine>> = vec![Box::new(engine)];
        progress(&state);
        while state.report.requests < self.requests && state.report.mismatches.len() < TOO_MANY {
            let started = std::time::Instant::now();
            let left = self.requests - state.report.requests;
            let worlds = left.div_ceil(WORLD).min(BLOCK) as u64;
            let seeds = state.next_seed..state.next_seed + worlds;
            state.next_seed = seeds.end;
            let block = run(
                seeds.clone(),
                self.threads,
                &CedarEngine,
                &engines,
                &self.knobs,
            );
            state.report.merge(block);
            state.documents.merge(self.documents(seeds));
            state.seconds += started.elapsed().as_secs_f64();
            if let Some(path) = &self.state {
                state.write(path)?;
            }
            progress(&state);
        }
        Ok(state)
    }

    /// Spoils and reads the documents of some of the worlds, on all threads.
    fn documents(&self, seeds: Range<u64>) -> DocumentsOutcome {
        let some: Vec<u64> = seeds.step_by(DOCUMENTS).collect();
        let next = AtomicUsize::new(0);
        let outcome = Mutex::new(DocumentsOutcome::default());
        let work = || {
            while let Some(seed) = some.get(next.fetch_add(1, Ordering::Relaxed)) {
                let one = run_documents(*seed, &self.knobs);
                if let Ok(mut outcome) = outcome.lock() {
                    outcome.merge(one);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                let builder = thread::Builder::new().stack_size(STACK_SIZE);
                if builder.spawn_scoped(scope, work).is_err() {
                    // No thread to be had: what is left is done by the others, or by this one.
                    work();
                }
            }
        });
        outcome.into_inner().unwrap_or_default()
    }
}

impl State {
    /// The state in a file; a new one if there is no such file.
    fn read(path: &Path) -> Result<Self, StateError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(cause) => return Err(StateError::io(path, cause)),
        };
        serde_json::from_str(&text).map_err(|cause| StateError::Format {
            path: path.to_owned(),
            cause,
        })
    }

    /// Replaces the file, so that it holds a whole state at any time.
    fn write(&self, path: &Path) -> Result<(), StateError> {
        let found = self.report.mismatches.iter();
        let found = found.map(|m| (m.seed.unwrap_or_default(), m.engine.clone()));
        let kept = Self {
            next_seed: self.next_seed,
            seconds: self.seconds,
            report: self.report.counts(),
            documents: self.documents.clone(),
            earlier: self.earlier.iter().cloned().chain(found).collect(),
        };
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let write = || {
            let text = serde_json::to_string_pretty(&kept)?;
            std::fs::write(&beside, text)?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|cause| StateError::io(path, cause))
    }

    /// The mismatches found by this run.
    pub fn mismatches(&self) -> &[Mismatch] {
        &self.report.mismatches
    }

    /// Whether no run of the campaign found a mismatch, and cedar-policy took every world.
    pub fn passed(&self) -> bool {
        self.earlier.is_empty()
            && self.report.mismatches.is_empty()
            && self.report.rejected == 0
            && self.documents.mismatches.is_empty()
    }

    /// Requests compared for each second that the campaign took.
    pub fn rate(&self) -> f64 {
        self.report.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl StateError {
    fn io(path: &Path, cause: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            cause,
        }
    }
}
