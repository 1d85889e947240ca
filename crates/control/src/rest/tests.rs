//! The API over real connections.

mod access;
mod client;
mod config;
mod logs;
mod registry;
mod system;
mod watch;
