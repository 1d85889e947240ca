//! The only serialised surface of Tenon: whatever leaves a process, or is to be read by a later version, has its
//! form here.
//!
//! - [`events`]: Tenon's own events as they lie in the log; [`system`]: a resolved system as JSON.
//! - [`snapshot`]: what a data plane is told, over gRPC and on its disk.
//! - [`identity`]: how a data plane gets certificates.
//! - [`eventstore`]: the event store over gRPC; [`bus`]: subscriptions, likewise; [`caller`]: who calls.
//! - [`saga`]: what is kept of sagas in the log, and sagas over gRPC.
//! - [`cloudevents`]: events in the form that other systems send and expect.
//! - [`supervisor`]: what the server and the supervisor say to each other.
//! - [`http`]: the HTTP API's JSON; [`problem`]: its errors; [`explain`]: the story of a request;
//!   [`openapi`]: all of it as one table and one document.
//!
//! Raw input becomes a validated type of `core` here, once; an error names the place. `core` itself knows nothing
//! of serialisation, and no other crate has a format of its own.
//!
//! Features: `client` adds the HTTP client (and reqwest). Everything else is always there.

pub mod bus;
pub mod caller;
#[cfg(feature = "client")]
pub mod client;
pub mod cloudevents;
pub mod events;
pub mod eventstore;
pub mod explain;
pub mod headers;
pub mod http;
pub mod identity;
pub mod openapi;
pub mod otlp;
pub mod problem;
pub mod proto;
pub mod saga;
pub mod snapshot;
pub mod supervisor;
pub mod system;
pub mod time;
pub mod value;

mod invalid;
mod mirror;
#[cfg(test)]
mod testing;
mod text;

pub use invalid::InvalidMessage;
pub use problem::Problem;
