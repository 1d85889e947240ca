//! Limits over time: so many requests in so long, with some leeway for bursts.
//!
//! The machine is the generic cell rate algorithm (ITU-T I.371, annex A, "virtual scheduling"): the only state is the
//! time at which the next request would arrive if all came evenly. A request that comes before then by more than the
//! leeway is refused, and changes nothing. Over any time `t` at most `burst + rate · t` requests are admitted.
//!
//! Life cycle: one [`Shared`] for each thing that is counted apart, or a [`Table`] of them where that is one of the
//! request's properties; [`Shared::admit`] for each request.
//!
//! Where several data planes share a limit, each has its [`Limit::part`], so that nothing is asked of anybody on a
//! request's path.
//!
//! Left out on purpose: waiting. Who is refused is told when to come again.

mod table;

pub use table::Table;

use crate::atomic::{self, AtomicU64};
use crate::route::HeaderName;
use crate::time::Timestamp;
use std::time::Duration;

/// How many requests are admitted over time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How many in each [`Limit::per`]; at least 1.
    pub requests: u32,
    /// In how long; more than nothing.
    pub per: Duration,
    /// How many may come at once after a pause; at least 1.
    pub burst: u32,
    /// What is counted apart.
    pub by: By,
    /// Whether all data planes of the mesh share it, each with a part of its own; or each has all of it.
    pub shared: bool,
}

/// What is counted apart from what.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// All requests together.
    #[default]
    All,
    /// Those of each service that calls.
    Source,
    /// Those from each address.
    Client,
    /// Those with each value of this header; those without it together.
    Header(HeaderName),
}

/// When the next request would arrive if all came evenly, in nanoseconds since the clock's origin.
pub type Due = u64;

/// A request that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Admitted {
    /// How many more would be admitted now.
    pub left: u32,
}

/// A request that came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("there were too many requests; the next is admitted in {retry_after:?}")]
pub struct Exceeded {
    /// After how long one would be admitted.
    pub retry_after: Duration,
}

impl Limit {
    /// What one of `planes` data planes may admit. All together admit at most `max(burst, planes) + rate · t` over any
    /// time `t`, if each knows how many they are.
    #[must_use]
    pub fn part(&self, planes: u32) -> Self {
        let planes = if self.shared { planes.max(1) } else { 1 };
        Self { per: self.per.saturating_mul(planes), burst: (self.burst / planes).max(1), ..self.clone() }
    }

    /// How far apart requests are that come evenly, in nanoseconds; at least 1. Rounded up, so that never more are
    /// admitted than is said.
    fn interval(&self) -> u64 {
        let interval = self.per.as_nanos().div_ceil(u128::from(self.requests.max(1)));
        u64::try_from(interval).unwrap_or(u64::MAX).max(1)
    }

    /// By how much a request may come too early, in nanoseconds.
    fn leeway(&self) -> u64 {
        self.interval().saturating_mul(u64::from(self.burst.max(1) - 1))
    }
}

/// The one transition function: a request arrives at `now`.
pub fn step(due: Due, limit: &Limit, now: Timestamp) -> (Due, Result<Admitted, Exceeded>) {
    let now = now.as_micros().saturating_mul(1_000);
    let (interval, leeway) = (limit.interval(), limit.leeway());
    let early = due.saturating_sub(now);
    if early > leeway {
        let retry_after = Duration::from_nanos(early - leeway);
        return (due, Err(Exceeded { retry_after }));
    }
    let left = u32::try_from((leeway - early) / interval).unwrap_or(u32::MAX);
    (due.max(now).saturating_add(interval), Ok(Admitted { left }))
}

/// What is counted together, by any number of threads.
#[derive(Debug, Default)]
pub struct Shared {
    due: AtomicU64,
}

impl Shared {
    /// Counts a request.
    ///
    /// # Errors
    /// [`Exceeded`] if it comes too early.
    pub fn admit(&self, limit: &Limit, now: Timestamp) -> Result<Admitted, Exceeded> {
        atomic::update(&self.due, |due| step(due, limit, now))
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
