//! A retry budget: how many retries all requests to a service may cause together, so that a service in
//! trouble is not buried under repeated requests.
//!
//! A token bucket. Each request adds a part of a retry to it, time adds some too (so that rare requests can
//! be retried), each retry takes one away, and it holds no more than a burst. What was paid for and not sent is
//! given back. A second try beside a slow first one is paid for like a retry. So over any time
//! `retries <= percent/100 * requests + per_second * seconds + burst`.
//!
//! A state packs into one word, which [`Shared`] keeps in an atomic.

use crate::atomic::{self, AtomicU64, Ordering};
use crate::time::Timestamp;
use std::ops::RangeInclusive;

/// How many retries there may be. Values outside the stated ranges are taken as the nearest one within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// Retries for every 100 requests.
    pub percent: u32,
    /// Retries for every second besides, so that a service with few requests can have some too.
    pub per_second: u32,
    /// The most retries that can be saved up; there are as many at the start.
    pub burst: u32,
}

impl Config {
    /// What `percent` may be.
    pub const PERCENT: RangeInclusive<u32> = 0..=1_000;
    /// What `burst` may be.
    pub const BURST: RangeInclusive<u32> = 0..=4_000;

    fn capacity(&self) -> u64 {
        u64::from(self.burst.min(*Self::BURST.end())) * RETRY
    }

    fn for_request(&self) -> u64 {
        u64::from(self.percent.min(*Self::PERCENT.end())) * (RETRY / 100)
    }

    fn for_millis(&self, millis: u64) -> u64 {
        // A thousandth of a retry for each millisecond is a retry for each second.
        millis.saturating_mul(u64::from(self.per_second))
    }
}

impl Default for Config {
    /// 20 for every 100 requests, 10 for every second, 500 at once.
    fn default() -> Self {
        Self { percent: 20, per_second: 10, burst: 500 }
    }
}

/// What is left of a budget.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// How much has been used of the burst and not been earned back, in thousandths of a retry.
    used: u64,
    /// Until when time has been counted, in milliseconds.
    counted_until: u64,
}

/// What happens to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A request begins.
    Request,
    /// A retry asks to be paid for.
    Retry,
    /// A retry that was paid for has not been sent after all.
    Refund,
}

/// The one transition function: the new state, and whether the input is granted. A request always is. While
/// the bucket is full a request changes nothing.
pub fn step(state: State, config: &Config, input: Input, now: Timestamp) -> (State, bool) {
    let counted_until = (now.as_micros() / 1_000).clamp(state.counted_until, MAX_MILLIS);
    let used = state.used.saturating_sub(config.for_millis(counted_until - state.counted_until));
    match input {
        Input::Request if state.used == 0 => (state, true),
        Input::Request => (State { used: used.saturating_sub(config.for_request()), counted_until }, true),
        Input::Retry if used + RETRY > config.capacity() => (State { used, counted_until }, false),
        Input::Retry => (State { used: used + RETRY, counted_until }, true),
        Input::Refund => (State { used: used.saturating_sub(RETRY), counted_until }, true),
    }
}

impl State {
    /// How many whole retries could be paid for at this moment, were nothing more earned.
    pub fn left(&self, config: &Config) -> u64 {
        config.capacity().saturating_sub(self.used) / RETRY
    }

    /// The state as one word; the inverse of [`State::unpack`] for every state that [`step`] reaches.
    pub const fn pack(self) -> u64 {
        self.used << MILLIS_BITS | self.counted_until
    }

    /// The state of a word that [`State::pack`] made.
    pub const fn unpack(word: u64) -> Self {
        Self { used: word >> MILLIS_BITS, counted_until: word & MAX_MILLIS }
    }
}

/// A budget that many threads use at once.
#[derive(Debug, Default)]
pub struct Shared {
    word: AtomicU64,
}

impl Shared {
    /// A full budget.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left of it.
    pub fn state(&self) -> State {
        State::unpack(self.word.load(Ordering::Acquire))
    }

    /// A request begins and adds to the budget. Retries of it don't count as requests.
    pub fn deposit(&self, config: &Config, now: Timestamp) {
        self.step(config, Input::Request, now);
    }

    /// Pays for one retry; `false` if the budget is spent.
    #[must_use]
    pub fn withdraw(&self, config: &Config, now: Timestamp) -> bool {
        self.step(config, Input::Retry, now)
    }

    /// Gives back what one retry was paid with: it was not sent.
    pub fn refund(&self, config: &Config, now: Timestamp) {
        self.step(config, Input::Refund, now);
    }

    fn step(&self, config: &Config, input: Input, now: Timestamp) -> bool {
        atomic::update(&self.word, |word| {
            let (next, granted) = step(State::unpack(word), config, input, now);
            (next.pack(), granted)
        })
    }
}

/// One retry, in the unit of [`State`].
const RETRY: u64 = 1_000;
/// Milliseconds up to the year 2109, if times are Unix times; 22 bits remain for 4,194 retries.
const MILLIS_BITS: u32 = 42;
const MAX_MILLIS: u64 = (1 << MILLIS_BITS) - 1;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
