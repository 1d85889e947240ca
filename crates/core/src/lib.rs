//! Every protocol of Tenon as a pure, synchronous state machine.
//!
//! Purpose: the rules, and nothing but the rules. A machine takes an input and the present time and answers
//! with a new state and what is to be done; it owns no socket, no clock, no randomness and no task. The
//! shells in the other crates carry out what a machine decides and hold no rules of their own, so what is
//! property-tested and model-checked here is what runs in production.
//!
//! Conventions: state is `Clone + Eq + Hash`, made of integers and ordered collections, and bounded. An
//! input that is illegal in the present state is an error value, never a panic. Time is a [`Timestamp`]
//! argument; randomness is an argument too.
//!
//! Left out on purpose: serialisation (crate `api`), storage (crate `store`), I/O of any kind.

pub mod address;
mod atomic;
pub mod availability;
pub mod balance;
pub mod breaker;
pub mod catalog;
pub mod concurrency;
pub mod config;
pub mod deadline;
pub mod detect;
pub mod duty;
pub mod error;
#[cfg(test)]
mod fixtures;
mod fnv;
pub mod group;
pub mod handover;
pub mod health;
pub mod hedge;
pub mod http1;
pub mod id;
pub mod identity;
pub mod limit;
pub mod manifest;
pub mod outlier;
pub mod path;
pub mod platform;
pub mod policy;
pub mod priority;
pub mod projection;
pub mod proxy_protocol;
pub mod push;
pub mod quantile;
pub mod rate;
pub mod registry;
pub mod retention;
pub mod retry;
pub mod route;
pub mod runtime;
pub mod saga;
pub mod sampling;
pub mod snapshot;
mod stamp;
pub mod subject;
mod text;
pub mod time;
pub mod trace;

pub use address::Address;
pub use error::{Code, Refusal};
pub use id::{
    Actor, EventId, EventType, InstanceId, InvalidName, LogId, Namespace, PolicyName, Position,
    RESERVED_STREAMS, RequestId, Revision, RouteName, SagaId, ServerId, ServiceName, ServiceRef, StreamName,
    Subject, SubscriptionName, Tag, Tags,
};
pub use stamp::Stamp;
pub use text::Text;
pub use time::Timestamp;
