//! From the command line to a sidecar that runs.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::config::{Address, Config, ConfigError, ServeArgs};
use crate::credentials::{Credentials, CredentialsError};
use crate::load::{self, LoadError};
use crate::log::say;
use crate::reload;
use crate::router::router;
use crate::server::{ListenError, Listener, Server, Shutdown};
use crate::state::State;

/// Why the sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration has mistakes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Policies, schema or entities have mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Certificate, key or tokens have mistakes.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The decision log cannot be written.
    #[error("the decision log cannot be written: {0}; say another file as `decision_log.to`")]
    DecisionLog(#[source] io::Error),
    /// Traces cannot be sent.
    #[error("traces cannot be sent: {0}; say another collector as `traces.endpoint`")]
    Traces(#[source] io::Error),
    /// The files cannot be watched.
    #[error("the files cannot be watched: {0}; leave out `watch`, and send SIGHUP")]
    Watch(#[from] notify::Error),
    /// An address is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The system does not give what it takes: threads, signals.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Stack of the threads that answer, in bytes; it is only reserved. cedar-policy recurses on nested
/// JSON, and so does whoever drops policies.
const STACK: usize = 64 << 20;

/// Checks everything that the sidecar would start with, and says what it came to.
///
/// # Errors
/// All mistakes of the configuration, or the first of policies, schema and entities.
pub fn check(args: &ServeArgs) -> Result<String, ServeError> {
    let config = Config::load(args)?;
    Credentials::read(&config)?;
    let engine = load::engine(&config.sources, None)?;
    let stats = engine.stats();
    Ok(format!(
        "{} policies, {} entities: no mistakes",
        stats.policies, stats.entities
    ))
}

/// Runs the sidecar until it is told to end, by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start.
pub fn run(args: &ServeArgs) -> Result<(), ServeError> {
    let config = Config::load(args)?;
    let state = State::load(config)?;
    state.read_credentials()?;
    state.open_log().map_err(ServeError::DecisionLog)?;
    runtime()?.block_on(async {
        let mut started = start(Arc::clone(&state)).await?;
        let _watcher = match state.config().watch {
            true => Some(reload::watch(&state)?),
            false => None,
        };
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let mut hangup = signal(SignalKind::hangup())?;
        for address in started.addresses() {
            say(format_args!("listening on {address}"));
        }
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hangup.recv() => {
                    // What went wrong was said.
                    let _ok = reload::reload(&state).await;
                }
            }
        }
        say("ending");
        started.end().await;
        Ok(())
    })
}

/// The threads that answer.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
}

/// A sidecar that runs. Dropped without [`end`](Self::end), it ends at once.
#[derive(Debug)]
pub struct Started {
    state: Arc<State>,
    addresses: Vec<Address>,
    shutdown: Shutdown,
    servers: JoinSet<()>,
}

/// Starts to listen and to answer, in the tokio runtime of the caller.
///
/// # Errors
/// When an address is not to be had, or traces cannot be sent.
pub async fn start(state: Arc<State>) -> Result<Started, ServeError> {
    let config = state.config();
    state.open_traces().map_err(ServeError::Traces)?;
    let mut listeners = Vec::new();
    for address in &config.listen {
        listeners.push(Listener::bind(address).await?);
    }
    let addresses = listeners.iter().map(Listener::address);
    let addresses = addresses.collect::<io::Result<Vec<_>>>()?;
    let router = router(&state);
    let shutdown = Shutdown::default();
    let mut servers = JoinSet::new();
    for listener in listeners {
        let server = Server::new(router.clone(), &state);
        servers.spawn(server.serve(listener, shutdown.clone()));
    }
    Ok(Started {
        state,
        addresses,
        shutdown,
        servers,
    })
}

impl Started {
    /// What all requests share.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Ends: nothing new is accepted, what is in work is done.
    pub async fn end(&mut self) {
        self.state.drain();
        self.shutdown.begin();
        while self.servers.join_next().await.is_some() {}
        let state = Arc::clone(&self.state);
        // If that thread fails, nothing is left to wait for.
        let _ = tokio::task::spawn_blocking(move || state.flush()).await;
    }
}
