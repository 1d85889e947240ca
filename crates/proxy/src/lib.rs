//! The data plane: it carries every call of a system, through sidecars and a gateway.
//!
//! Purpose: [`Plane`] hosts the sidecars of all local instances and the gateway in one process. It is told what to
//! serve by snapshots (`tenon_core::snapshot`) and needs nobody else to serve it: the control plane may die.
//!
//! How it is built: one thread for each core, with its own listeners, connections, cursors and counts; nothing on a
//! request's path takes a lock that threads share. Breakers, retry budgets and requests in flight are per process, in
//! atomics. A request's way reads top-down in `outbound`, `gateway` and `inbound`, and from there in `call`. The rules
//! (when to retry, whom to choose, when a breaker opens) are the machines of `tenon_core`; here they are carried out.
//!
//! Left out for now: transparent interception.

mod admin;
mod admission;
mod affinity;
mod attempt;
mod balance;
mod body;
mod call;
mod cells;
mod clock;
mod config;
mod connection;
mod correlation;
mod course;
mod detect;
mod drain;
mod egress;
mod explain;
mod extended;
mod follow;
mod gateway;
pub mod handover;
mod headers;
mod hold;
mod http1;
mod http2;
mod identity;
mod inbound;
mod listener;
mod metrics;
mod outbound;
mod outgoing;
mod path;
mod plane;
mod policy;
mod pool;
mod prefixed;
mod proxied;
mod refusal;
mod relay;
mod response;
mod single;
mod spans;
mod spare;
mod store;
mod story;
pub mod subscribe;
mod tls;
mod trial;
mod tunnel;
mod view;
mod worker;

pub use config::{Limits, PlaneConfig};
pub use plane::{Plane, StartError};
pub use tls::{Identity, IdentityError};
