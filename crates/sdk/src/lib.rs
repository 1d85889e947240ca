//! What a Rust service links: deciders, projections, and a client of the event store. Usable with no platform running.
//!
//! Left out on purpose: anything that only the platform itself needs.
