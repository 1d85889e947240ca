//! The example shop's Rust services: order, payment and inventory.
//!
//! They are ordinary HTTP services that know nothing of the mesh they run in: they listen on `$PORT`, call
//! each other by name (`http://payment/...`) through whatever proxy `$HTTP_PROXY` names, and stop on
//! SIGTERM. Each owns its data: events, in a log that the replicas of that one service share ([`place`]).
//!
//! The modules [`order`], [`payment`] and [`inventory`] never import each other; what they say to each other
//! goes over HTTP, and what they tell everybody is an event beside their own.

pub mod commands;
pub mod context;
pub mod faults;
pub mod id;
pub mod inventory;
pub mod line;
pub mod money;
pub mod order;
pub mod payment;
pub mod place;
pub mod platform;
pub mod problem;
pub mod saga;
pub mod service;
pub mod shared;

#[cfg(test)]
mod testing;
