//! The binary as its users meet it: real processes, real sockets, real signals.
//!
//! Each test has a system of its own in a temporary folder on free ports. `cargo xtask test` builds the programs that
//! the systems run, and prepares the Python and the Node of the clients.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod access;
mod again;
mod bus;
mod changes;
mod clients;
mod commands;
mod ending;
mod events;
mod failures;
mod gateway;
mod log_files;
mod only_replica;
mod policies;
mod push;
mod recovery;
mod renewing;
mod saga_messages;
mod sagas;
mod servers;
mod shop;
mod sidecar;
mod soak;
mod starting;
mod support;
mod topics;
