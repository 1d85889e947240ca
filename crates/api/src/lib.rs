//! The only serialised surface of Tenon: whatever leaves a process, or is to be read by a later version, has its
//! form here.
//!
//! - [`snapshot`](proto::snapshot): what a data plane is told, over gRPC and on its disk.
//! - [`supervisor`]: what the server and the supervisor say to each other.
//! - [`http`]: the HTTP API's JSON; [`problem`]: its errors; [`explain`]: the story of a request.
//!
//! Raw input becomes a validated type of `core` here, once; an error names the place. `core` itself knows nothing
//! of serialisation, and no other crate has a format of its own.
//!
//! Features: `client` adds the HTTP client (and reqwest). Everything else is always there.

pub mod explain;
pub mod headers;
pub mod http;
pub mod problem;
pub mod proto;
pub mod supervisor;
pub mod time;

mod text;

pub use problem::Problem;
