//! The sidecar of cedarjit: a policy decision point that answers over HTTP.
//!
//! `cedarjit serve` is [`run`]; `docs/sidecar.md` says what can be configured and asked.

#![forbid(unsafe_code)]

mod admin;
pub mod api;
pub mod authzen;
pub mod changes;
pub mod config;
pub mod credentials;
pub mod decision_log;
mod explain;
pub mod gateway;
pub mod journal;
pub mod load;
mod log;
pub mod mapping;
pub mod metrics;
mod native;
pub mod overlay;
mod page;
pub mod reload;
pub mod router;
pub mod search;
pub mod self_check;
pub mod server;
pub mod state;
pub mod strict;
pub mod tls;
pub mod tokens;
pub mod traces;
pub mod uid;

mod run;

pub use config::{Config, ConfigError, ServeArgs};
pub use run::{ServeError, Started, check, run, start};
