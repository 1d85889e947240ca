//! A limit on how many requests are in flight at once (a bulkhead), and the count itself, by which the
//! least-loaded endpoint is chosen.
//!
//! Life cycle: [`Shared::admit`] gives a [`Held`] slot or refuses at once; dropping the slot gives it back.
//! There is no queue: what has no place is refused, and whoever asked decides.
//!
//! Left out on purpose: limits over time (requests per second).

use crate::atomic::{self, AtomicU64, Ordering};
use std::sync::Arc;

/// How much may go on at once at a service, from one data plane, besides its requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// Calls at one instance; over HTTP/1.1 as many connections are in use.
    pub connections: u32,
    /// Calls that wait for an instance.
    pub pending: u32,
}

impl Default for Config {
    /// 10,000 of each.
    fn default() -> Self {
        Self { connections: 10_000, pending: 10_000 }
    }
}

/// What happens to a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A request asks for a slot.
    Admit,
    /// A request that was given a slot has ended.
    Released,
}

/// No slot is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("there are {limit} already")]
pub struct Full {
    /// How many there may be.
    pub limit: u32,
}

/// The one transition function: the requests in flight, and whether the input was accepted. The limit may
/// change from step to step; below what is in flight it admits nothing more and takes nothing away.
pub fn step(in_flight: u64, limit: u32, input: Input) -> (u64, Result<(), Full>) {
    match input {
        Input::Admit if in_flight >= u64::from(limit) => (in_flight, Err(Full { limit })),
        Input::Admit => (in_flight + 1, Ok(())),
        Input::Released => (in_flight.saturating_sub(1), Ok(())),
    }
}

/// A count of requests in flight that many threads share.
#[derive(Debug, Default)]
pub struct Shared {
    in_flight: AtomicU64,
}

impl Shared {
    /// A count of nothing.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// How many requests are in flight.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Takes a slot until the answer is dropped.
    ///
    /// # Errors
    /// [`Full`] if `limit` requests are in flight already.
    pub fn admit(self: &Arc<Self>, limit: u32) -> Result<Held, Full> {
        self.step(limit, Input::Admit)?;
        Ok(Held(Arc::clone(self)))
    }

    fn step(&self, limit: u32, input: Input) -> Result<(), Full> {
        atomic::update(&self.in_flight, |in_flight| step(in_flight, limit, input))
    }
}

/// A slot, given back when dropped.
#[derive(Debug)]
#[must_use = "dropping it gives the slot back"]
pub struct Held(Arc<Shared>);

impl Drop for Held {
    fn drop(&mut self) {
        // A release is never refused.
        let _ = self.0.step(0, Input::Released);
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
