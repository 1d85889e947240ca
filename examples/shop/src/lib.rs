//! The example shop's Rust services: order, payment and inventory.
//!
//! They are ordinary HTTP services that know nothing of the mesh they run in: they listen on `$PORT`, call
//! each other by name (`http://payment/...`) through whatever proxy `$HTTP_PROXY` names, and stop on
//! SIGTERM. Each owns its data, a [`ledger`] of its own that the replicas of that one service share.
//!
//! The modules [`order`], [`payment`] and [`inventory`] never import each other; what they say to each other
//! goes over HTTP, and what they tell everybody by the platform ([`news`]).

pub mod call;
pub mod faults;
pub mod id;
pub mod inventory;
pub mod ledger;
pub mod money;
pub mod news;
pub mod order;
pub mod payment;
pub mod problem;
pub mod service;

#[cfg(test)]
mod testing;
