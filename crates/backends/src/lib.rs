//! Engines of the log that need a server of their own, each behind the port of `tenon-store`.
//!
//! Left out on purpose: what the events mean, and engines that need no server (crate `store`).
