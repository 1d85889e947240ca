//! The example shop's Rust services: order, payment and inventory.
//!
//! They are ordinary HTTP services that know nothing of the mesh they run in: they listen on `$PORT`, are called by name, and stop
//! on SIGTERM. Each owns its data: events, in a log that the replicas of that one service share ([`place`]).
//!
//! The modules [`order`], [`payment`] and [`inventory`] never import each other, and do not call each other either: what is done
//! for one order at all of them is a saga of the manifest's, which the platform runs ([`platform`], [`saga`]), and what they tell
//! everybody is an event beside their own.

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
