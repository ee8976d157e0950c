//! The sidecar, asked over its sockets.

mod certification;
mod changes;
mod client;
mod configuration;
mod malformed;
mod native;
mod operation;
mod page;
mod secured;
mod server;
mod traces;
mod vectors;
