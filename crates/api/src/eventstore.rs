//! The event store over gRPC: `proto/tenon/eventstore/v1/eventstore.proto`.
//!
//! Everything but events is what was generated from the file. An [`Event`] is written and read by hand: its names are
//! the types of `core` at once, and its payload is a part of the message that it came in, with no copy in between.

mod event;

pub use crate::proto::eventstore::v1;
pub use event::{Event, InvalidEvent};
pub use v1::event_store_service_client::EventStoreServiceClient;
pub use v1::event_store_service_server::{EventStoreService, EventStoreServiceServer};

/// How the paths of the service begin.
pub const PATHS: &str = "/tenon.eventstore.v1.EventStoreService/";

/// The header of a call that names the log that it is about.
pub const LOG_HEADER: &str = "tenon-log";

/// The header of an answer that says which position a refusal is about.
pub const POSITION_HEADER: &str = "tenon-position";

/// The most bytes of one message: an append, or a page, of the largest size.
pub const MAX_MESSAGE_BYTES: usize = 16 << 20;
