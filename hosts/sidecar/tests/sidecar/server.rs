//! A sidecar that runs for a test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cedarjit_sidecar::config::Address;
use cedarjit_sidecar::state::State;
use cedarjit_sidecar::{Config, ServeArgs, Started, start};
use tokio::runtime::Runtime;

/// A sidecar, until it is dropped.
pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    started: Option<Started>,
    runtime: Runtime,
}

/// A path of the repository.
pub(crate) fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(relative)
}

impl Sidecar {
    /// A sidecar with the configuration of this file of the repository.
    pub(crate) fn start(config: &str) -> Self {
        Self::configured(&path(config), |_| {})
    }

    /// As [`start`](Self::start), with changes to the configuration.
    pub(crate) fn configured(config: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let args = ServeArgs {
            config: Some(config.to_owned()),
            listen: vec!["127.0.0.1:0".to_owned()],
            ..ServeArgs::default()
        };
        let mut config = Config::load(&args).expect("a configuration");
        change(&mut config);
        let state = State::load(config).expect("an engine");
        state.read_credentials().expect("credentials");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let started = runtime
            .block_on(start(Arc::clone(&state)))
            .expect("a sidecar");
        let tcp = started
            .addresses()
            .iter()
            .find_map(|address| match address {
                Address::Tcp(address) => Some(*address),
                Address::Unix(_) => None,
            });
        Self {
            address: tcp.expect("an address"),
            state,
            started: Some(started),
            runtime,
        }
    }
}

impl Sidecar {
    /// Runs something where the sidecar runs.
    pub(crate) fn within<T>(&self, run: impl FnOnce(Arc<State>) -> T) -> T {
        let _context = self.runtime.enter();
        run(Arc::clone(&self.state))
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if let Some(mut started) = self.started.take() {
            self.runtime.block_on(started.end());
        }
    }
}
