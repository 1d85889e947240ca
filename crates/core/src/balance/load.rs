//! What is remembered of an endpoint's answers: how long they took, and how many failed, both fading with time.
//!
//! Life cycle: one [`Load`] for each endpoint, and one for the service as a whole, fed when attempts end. All of one is in
//! atomics, so threads share it without a lock; a latency below what is known is taken in at most once in a hundredth
//! of a second, so that a busy endpoint's is read far more often than written.

use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;
use std::time::Duration;

/// How long a failed attempt counts as having taken, at least: a fast failure is no fast answer.
pub const FAILURE_LATENCY: Duration = Duration::from_secs(1);

/// How long until a value counts half.
const HALF_LIFE_TICKS: u64 = 5_000_000 >> TICK_BITS;
/// Time is told in ticks of 2^12 microseconds.
const TICK_BITS: u32 = 12;
/// In fewer ticks than this, no lower value is taken in.
const QUANTUM_TICKS: u64 = 2;
/// A value is told in 1,024ths.
const FRACTION_BITS: u32 = 10;
const VALUE_BITS: u32 = 40;
const MOST: u64 = (1 << VALUE_BITS) - 1;
const TICKS: u64 = 1 << (u64::BITS - VALUE_BITS);
/// How far one thread's time may be behind another's.
const LATE_TICKS: u64 = 1 << 10;

/// A value that fades: it halves every 5 s in which nothing is added.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Load {
    /// In 1,024ths; 0 if nothing was ever added.
    value: u64,
    /// In ticks, modulo [`TICKS`], which is 19 hours. What was left alone for as long as that has faded to nothing, and
    /// counts for a few seconds as if it had not.
    at: u64,
}

/// What happens to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measured {
    /// A measure that counts at once if it is above the value, and else as much as time has passed.
    Peak(u64),
    /// A measure that counts as much as time has passed.
    Mean(u64),
    /// Something more.
    More(u64),
}

/// The one transition function.
pub fn step(load: Load, measured: Measured, now: Timestamp) -> Load {
    let ticks = ticks(now);
    let scaled = |value: u64| value.saturating_mul(1 << FRACTION_BITS).clamp(1, MOST);
    let age = load.age(ticks);
    match measured {
        Measured::More(more) => {
            let value = (faded(load.value, age) + scaled(more)).min(MOST);
            // Time that is behind does not turn it back.
            Load { value, at: if age == 0 { load.at_or(ticks) } else { ticks } }
        }
        Measured::Peak(value) | Measured::Mean(value) if load.value == 0 => {
            Load { value: scaled(value), at: ticks }
        }
        Measured::Peak(value) if scaled(value) >= load.value => {
            Load { value: scaled(value), at: if age == 0 { load.at } else { ticks } }
        }
        Measured::Peak(_) | Measured::Mean(_) if age < QUANTUM_TICKS => load,
        Measured::Peak(value) | Measured::Mean(value) => {
            let new = scaled(value);
            // Of both, as much as is left of the old.
            let blended = faded(load.value, age) + (new - faded(new, age).min(new));
            Load { value: blended.clamp(1, MOST), at: ticks }
        }
    }
}

impl Load {
    /// The value as it has faded by now, rounded up; `None` if nothing was ever added.
    pub fn now(self, now: Timestamp) -> Option<u64> {
        let faded = faded(self.value, self.age(ticks(now)));
        (self.value > 0).then(|| faded.div_ceil(1 << FRACTION_BITS))
    }

    fn age(self, ticks: u64) -> u64 {
        let age = ticks.wrapping_sub(self.at) % TICKS;
        if age >= TICKS - LATE_TICKS { 0 } else { age }
    }

    fn at_or(self, ticks: u64) -> u64 {
        if self.value == 0 { ticks } else { self.at }
    }

    fn pack(self) -> u64 {
        self.at << VALUE_BITS | self.value
    }

    fn unpack(word: u64) -> Self {
        Self { value: word & MOST, at: word >> VALUE_BITS }
    }
}

/// What is left of a value after so many ticks: an approximation of `value · 2^(-age / half-life)` that is off by at most
/// half a percent of the value.
fn faded(value: u64, age: u64) -> u64 {
    let halvings = age / HALF_LIFE_TICKS;
    if halvings >= u64::from(VALUE_BITS) {
        return 0;
    }
    let part = ((age % HALF_LIFE_TICKS) << 16) / HALF_LIFE_TICKS;
    // 1 - 0.6565 x + 0.1565 x², in 2^16ths.
    let left = (1 << 16) - ((43_024 * part) >> 16) + ((10_256 * ((part * part) >> 16)) >> 16);
    ((value >> halvings) * left) >> 16
}

fn ticks(now: Timestamp) -> u64 {
    (now.as_micros() >> TICK_BITS) % TICKS
}

/// A [`Load`] that many threads use at once.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
}

impl Shared {
    /// Adds a measure.
    pub fn add(&self, measured: Measured, now: Timestamp) {
        atomic::update(&self.word, |word| (step(Load::unpack(word), measured, now).pack(), ()));
    }

    /// The value now; `None` if nothing was ever added.
    pub fn now(&self, now: Timestamp) -> Option<u64> {
        match self.word.load(Ordering::Relaxed) {
            0 => None,
            word => Load::unpack(word).now(now),
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
