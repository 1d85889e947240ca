//! Subscriptions over gRPC (`proto/tenon/bus/v1/bus.proto`), and what is kept of them in the log (`record.proto`).
//!
//! What is kept must be readable for ever: it only ever gains optional fields, and bytes of each message are committed
//! beside the tests.

mod definition;
mod progress;

pub use crate::proto::bus::v1;
pub(crate) use definition::pushed_form;
pub use progress::{Progress, Record, RecordError};
pub use v1::bus_service_client::BusServiceClient;
pub use v1::bus_service_server::{BusService, BusServiceServer};

/// What a service offers that is given events over gRPC (`proto/tenon/bus/v1/consumer.proto`).
pub mod consumer {
    pub use crate::proto::cloudevents::v1::CloudEvent;
    pub use crate::proto::consumer::v1::DeliverResponse;
    pub use crate::proto::consumer::v1::consumer_service_server::{ConsumerService, ConsumerServiceServer};
}

/// How the paths of the service begin.
pub const PATHS: &str = "/tenon.bus.v1.BusService/";

/// The most bytes of one message.
pub const MAX_MESSAGE_BYTES: usize = crate::eventstore::MAX_MESSAGE_BYTES;

#[cfg(test)]
mod tests;
