//! Engines of the log that need a server of their own, each behind the port of `tenon-store`.
//!
//! Purpose: [`postgres`], the log in a PostgreSQL database, for several servers at once. With the feature `testing`,
//! a private PostgreSQL server for tests (`testing`).
//!
//! Left out on purpose: what the events mean, and engines that need no server (crate `store`).

pub mod postgres;
#[cfg(feature = "testing")]
pub mod testing;

pub use postgres::{ConnectError, PostgresLog, PostgresOptions};
