//! What a Rust service links: deciders, projections, a client of the event store, and a service's side of sagas. Usable with
//! no platform running.
//!
//! A service writes its rules as a [`Decider`], pure and synchronous, and its events as an enum ([`Events`]). On
//! any log (in memory, segment files, PostgreSQL, a server) [`Aggregates`] then load, command and look back.
//!
//! Left out on purpose: anything that only the platform itself needs.

pub mod aggregates;
pub mod bus;
pub mod command;
pub mod decider;
pub mod decision;
pub mod events;
#[cfg(feature = "kit")]
pub mod kit;
pub mod projection;
pub mod remote;
pub mod saga;
pub mod subscriber;

#[cfg(test)]
mod testing;

pub use sqlx;

/// The log: the port, the engines that need no server, and the names and ids of events.
pub mod store {
    pub use tenon_core::{
        Actor, EventId, EventType, InvalidName, LogId, Namespace, Position, Revision, StreamName, Tag,
        Timestamp,
    };
    pub use tenon_store::*;
}

pub use aggregates::{Aggregates, At, Snapshots};
pub use bus::{Bus, Message};
pub use command::{Call, CommandError, Key, Outcome};
pub use decider::{Decider, Fold};
pub use decision::{Decision, Decisions, Part};
pub use events::{Events, Fact, Json, Notice};
pub use projection::{Projection, Projector, SqliteModels};
pub use subscriber::{Subscriber, SubscriberOptions};
