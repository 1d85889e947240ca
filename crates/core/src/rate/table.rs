//! Counts of many things apart, in as much memory as was given at first.

use super::{Admitted, Exceeded, Limit, Shared};
use crate::time::Timestamp;

/// Counts by a number that stands for what is counted apart (a hash of it, with a seed that callers do not know).
///
/// Each number has one place. Those that share a place are counted together, so a collision may refuse a request too
/// many and never admits one too many; what has not come for a while takes nothing from whom it shares with. Nothing is
/// ever thrown out, since a place at rest is as good as a new one.
#[derive(Debug)]
pub struct Table {
    places: Box<[Shared]>,
}

impl Table {
    /// How many places there are where each caller is counted apart: with 100 callers at their limit, another one
    /// shares a place with one of them in 6 of 1,000 cases.
    pub const PLACES: usize = 16_384;

    /// A table with this many places; at least one.
    pub fn new(places: usize) -> Self {
        Self { places: (0..places.max(1)).map(|_| Shared::default()).collect() }
    }

    /// Counts a request of what `key` stands for.
    ///
    /// # Errors
    /// [`Exceeded`] if it comes too early.
    pub fn admit(&self, key: u64, limit: &Limit, now: Timestamp) -> Result<Admitted, Exceeded> {
        // `key * length / 2^64` is below the length.
        let place = ((u128::from(key) * self.places.len() as u128) >> 64) as usize;
        // There always is one; were there none, nothing would be admitted.
        let missing = Exceeded { retry_after: limit.per };
        self.places.get(place).ok_or(missing)?.admit(limit, now)
    }
}
