//! Drivers that serve the log to users: the event store and its subscriptions.
//!
//! - [`EventStore`]: users' streams, with expected versions, time travel and access, served over gRPC and HTTP.
//!   Its topics: events by type, published and told as CloudEvents.
//! - [`bus`]: subscriptions, which are groups of consumers over it, served over gRPC.
//! - [`saga`]: work over several services that is done wholly or undone wholly.
//! - [`vault`]: payloads that can be forgotten.
//!
//! Left out on purpose: the rules (pure machines in crate `core`), the storage (crates `store` and `backends`), and
//! finding out who calls (crate `control`, which hands it on with the request).

pub mod bus;
mod events;
mod folded;
mod grpc;
mod rest;
mod router;
pub mod saga;
#[cfg(test)]
mod testing;
mod topics;
mod unary;
pub mod vault;

pub use bus::{Bus, BusOptions};
pub use events::{EventStore, EventStoreOptions};
pub use router::metrics;
pub use saga::{SagaOptions, Sagas};
