//! The control plane: what drives the registry, health checks, configuration and processes, and tells data planes
//! what they need to know.
//!
//! Purpose: a shell around `core::platform`. One task owns the state and appends every change to the log
//! (`writer`); everything else reads the state and asks for changes: the HTTP API (`rest`), health checks
//! (`checks`), the runtime of services (`runtime`), and the snapshots that data planes watch (`snapshots`), with
//! the certificates that they ask for (`identities`).
//!
//! Life cycle: [`Server::start`] folds the log and serves; a server that was killed comes back with the same
//! state, because it is folded from the same log, and adopts the processes that the supervisor kept running.
//!
//! Left out on purpose: rules (crate `core`), forms (crate `api`), reading manifests (crate `analysis`, handed in
//! as a function), and owning processes (the supervisor, crate `app`).

mod access;
mod ca;
mod checks;
mod clock;
mod duties;
mod error;
mod identities;
mod keys;
mod logs;
mod own;
mod past;
mod ports;
mod probe;
mod rest;
mod runtime;
mod schema;
mod server;
mod snapshots;
#[cfg(test)]
mod testing;
mod writer;

pub use keys::{API_TOKEN_FILE, KeyError, Keys, MESH_KEY_FILE};
pub use own::OwnSidecar;
pub use runtime::STOP_GRACE;
pub use server::{
    Concerned, Manifest, ReadManifest, SagaChange, Server, ServerConfig, StartError, Subscriptions,
};
pub use writer::ReplayError;
