//! The log: everything that Tenon knows, as one durable and totally ordered sequence of events.
//!
//! Purpose: the [`Log`] port with its contract in prose ([`log`]), the contract again as code that every
//! engine runs unchanged ([`contract`]), and the engines that need no server: [`memory`], with fault
//! injection, and [`segment`], the embedded default.
//!
//! Left out on purpose: engines that need a server (crate `backends`), what the events mean (crate `core`
//! folds them), and the meaning of a user's streams (crate `flow`).

pub mod admission;
pub mod clock;
pub mod contract;
mod deleted;
pub mod lease;
pub mod log;
pub mod memory;
#[cfg(test)]
mod model;
pub mod queue;
pub mod segment;

pub use clock::{Clock, system_clock};
pub use lease::{Held, LeaseError, Leases};
pub use log::{
    AppendError, Appended, BoxFuture, Condition, Direction, Event, InvalidInput, ListedStream, Log, Metadata,
    NewEvent, OpenError, Page, Query, QueryItem, ReadError, STREAM_DELETED, SchemaHash, Scope, Snapshot,
    SnapshotError, SnapshotKey, StreamPage, StreamRef, StreamsQuery, Subscription, TruncateError,
    new_event_id, new_log_id,
};
pub use memory::{MemoryLog, MemoryOptions};
pub use segment::{DirectoryDisk, OpenReport, SegmentLog, SegmentOptions};
