//! What a Rust service links: deciders, projections, and a client of the event store. Usable with no platform running.
//!
//! A service writes its rules as a [`Decider`], pure and synchronous, and its events as an enum ([`Events`]). On
//! any log (in memory, segment files, PostgreSQL, a server) [`Aggregates`] then load, command and look back.
//!
//! Left out on purpose: anything that only the platform itself needs.

pub mod aggregates;
pub mod command;
pub mod decider;
pub mod events;

#[cfg(test)]
mod testing;

pub use aggregates::{Aggregates, At, Snapshots};
pub use command::{Call, CommandError, Key, Outcome};
pub use decider::{Decider, Fold};
pub use events::{Events, Fact, Json};
