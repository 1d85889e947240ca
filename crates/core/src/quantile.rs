//! An estimate of a percentile of many values in one word: how long all but the slowest calls take.
//!
//! Each value above the estimate raises it and each one below lowers it, in proportion to the percentile, so
//! that it rests where that share of the values lies below (Q. Ma, S. Muthukrishnan, M. Sandler, "Frugal
//! Streaming for Estimating Quantiles", 2013; here the steps are a share of the estimate, so that it follows values
//! of any size). It forgets: the last few hundred values decide.

use crate::atomic::{self, AtomicU64, Ordering};
use std::time::Duration;

/// How many values there must have been before the estimate is told.
pub const ENOUGH: u64 = 100;

/// An estimate.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// In 256ths of a microsecond.
    estimate: u64,
    /// Values so far; no more than [`ENOUGH`] are counted.
    values: u64,
}

/// The one transition function: the estimate of this percentile (1 to 99) after another value.
pub fn step(state: State, percent: u32, value: Duration) -> State {
    let percent = u64::from(percent.clamp(1, 99));
    let value = u64::try_from(value.as_micros()).unwrap_or(MOST).min(MOST) * UNIT;
    let values = (state.values + 1).min(ENOUGH);
    if state.values == 0 {
        return State { estimate: value, values };
    }
    // Large steps at first, to get near.
    let share = if values < ENOUGH / 2 { 4 } else { 16 };
    let step = state.estimate / share + UNIT;
    let estimate = match value.cmp(&state.estimate) {
        std::cmp::Ordering::Greater => state.estimate + step * percent / 100,
        std::cmp::Ordering::Less => state.estimate.saturating_sub(step * (100 - percent) / 100),
        std::cmp::Ordering::Equal => state.estimate,
    };
    State { estimate: estimate.min(MOST * UNIT), values }
}

impl State {
    /// The percentile, once there have been enough values.
    pub const fn estimate(self) -> Option<Duration> {
        if self.values < ENOUGH { None } else { Some(Duration::from_micros(self.estimate / UNIT)) }
    }

    const fn pack(self) -> u64 {
        self.estimate << COUNT_BITS | self.values
    }

    const fn unpack(word: u64) -> Self {
        Self { estimate: word >> COUNT_BITS, values: word & ((1 << COUNT_BITS) - 1) }
    }
}

/// An estimate that many threads feed.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
}

impl Shared {
    /// The percentile, once there have been enough values.
    pub fn estimate(&self) -> Option<Duration> {
        State::unpack(self.word.load(Ordering::Relaxed)).estimate()
    }

    /// Another value.
    pub fn record(&self, percent: u32, value: Duration) {
        atomic::update(&self.word, |word| (step(State::unpack(word), percent, value).pack(), ()));
    }
}

/// A microsecond, in the unit of [`State`].
const UNIT: u64 = 256;
/// The largest value, in microseconds: 76 hours.
const MOST: u64 = (1 << 38) - 1;
const COUNT_BITS: u32 = 8;

#[cfg(test)]
mod tests;
