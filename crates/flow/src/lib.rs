//! Drivers that serve the log to users: the event store, subscriptions, consumer groups.
//!
//! Left out on purpose: the rules (pure machines in crate `core`) and the storage (crates `store` and `backends`).
