//! Loading anew while decisions go on: all or nothing.
//!
//! What cannot be loaded changes nothing: the last good state stays, the metric
//! `cedarjit_reloads_total{result="failed"}` says that, and the log and the admin API say why.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::config::Sources;
use crate::load;
use crate::log::say;
use crate::metrics::What;
use crate::state::State;

/// How long files are left alone before they are read: who writes several should be done.
const SETTLE: Duration = Duration::from_millis(200);

/// Loads policies, schema and entities, and the credentials, each if it can be.
///
/// Whether all could be loaded; else the state says why not.
pub async fn reload(state: &Arc<State>) -> bool {
    // One after the other, so that the newest files are what stays.
    let _turn = state.reload_turn().await;
    let credentials = state.reload_credentials();
    let loading = Arc::clone(state);
    let load = move || {
        let check = loading.self_check();
        load::changed_engine(&loading.config().sources, check, loading.journal())
    };
    let loaded = tokio::task::spawn_blocking(load).await;
    let why = match loaded {
        Ok(Ok(engine)) => {
            state.replace(engine);
            say("loaded policies, schema and entities anew");
            None
        }
        Ok(Err(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    state.metrics().reload(What::Policies, why.is_none());
    if let Some(why) = &why {
        say(format_args!("not loaded, the last good state stays: {why}"));
    }
    let ok = why.is_none() && credentials;
    state.set_reload_error(why);
    ok
}

/// What tells one version of a file from the next: device, inode, length, and when it was written.
type Version = (u64, u64, u64, i64, i64);

/// The versions of all files, to see whether one has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(Vec<Option<Version>>);

impl Fingerprint {
    /// The versions that there are now. Taken before the files are read, it tells from what was read
    /// whatever is written later.
    pub(crate) fn of(sources: &Sources) -> Self {
        let of = |m: Metadata| (m.dev(), m.ino(), m.len(), m.mtime(), m.mtime_nsec());
        let files = files(sources).into_iter();
        Self(
            files
                .map(|file| std::fs::metadata(file).ok().map(of))
                .collect(),
        )
    }
}

/// The files that there are, and the folders of policies.
fn files(sources: &Sources) -> Vec<PathBuf> {
    let sources = match sources {
        Sources::Files(files) => files,
        Sources::Saved(saved) => return vec![saved.path.clone()],
    };
    let mut all: Vec<PathBuf> = sources.named().map(|(_, path)| path.clone()).collect();
    for folder in &sources.policies {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        entries.sort();
        all.extend(entries);
    }
    all
}

/// Watches the files until the returned watcher is dropped, and loads them when they change, or have
/// changed since the sidecar was started.
///
/// # Errors
/// When the system does not let folders be watched.
pub fn watch(state: &Arc<State>) -> notify::Result<impl Watcher + use<>> {
    let sources = &state.config().sources;
    let (changed, changes) = mpsc::channel(1);
    // They may have changed since the sidecar read them.
    let _ = changed.try_send(());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = |event: &notify::Event| matches!(event.kind, EventKind::Access(_));
        if event.is_ok_and(|event| !read_only(&event)) {
            // If it is full, somebody is told already.
            let _ = changed.try_send(());
        }
    })?;
    let files = files(sources);
    let mut folders: Vec<PathBuf> = files.iter().filter(|p| p.is_dir()).cloned().collect();
    let parent = |file: &PathBuf| match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    // A file may be exchanged for another of its name, so it is its folder that is watched.
    folders.extend(files.iter().map(parent));
    folders.sort();
    folders.dedup();
    for folder in &folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    tokio::spawn(follow(Arc::clone(state), changes));
    Ok(watcher)
}

async fn follow(state: Arc<State>, mut changes: mpsc::Receiver<()>) {
    let mut seen = state.first_files().clone();
    while changes.recv().await.is_some() {
        loop {
            tokio::time::sleep(SETTLE).await;
            if changes.try_recv().is_err() {
                break;
            }
        }
        let now = Fingerprint::of(&state.config().sources);
        if now != seen {
            seen = now;
            reload(&state).await;
        }
    }
}
