//! Adaptive concurrency: how many requests a service can work on at once before they only wait in it, found from how
//! long it takes to answer, so that what is too much is refused here and at once.
//!
//! Purpose: a gradient limit, after Netflix's `concurrency-limits` (`Gradient2Limit`). What is seen within a
//! [`Window`] is compared with the *baseline*, how long an answer takes where nothing waits. While answers take no
//! longer than the tolerance, the limit grows by its square root; the longer they take, the more it shrinks;
//! where many calls fail by time-out or overload, it shrinks too. A limit that is not used is left as it is.
//!
//! The baseline is measured again now and then, since a service may become slower for good. While little is in
//! flight every window shows it. Under load the limit is *halved* for a moment: if requests waited, they wait half
//! as long then, so the baseline cannot creep up with the load; and nobody is starved, as they would be if
//! the limit went down to one or two for that.
//!
//! Life cycle: one [`State`], begun with [`State::new`]; [`step`] at the end of each window that saw something.
//! Left out on purpose: who is refused when the limit is reached ([`limit`](crate::limit), [`priority`](crate::priority)).

mod shared;

pub use shared::Shared;

use crate::time::Timestamp;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How the limit is found. Values outside the stated ranges are taken as the nearest one within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// The limit is never below; at least 1.
    pub min: u32,
    /// The limit is never above.
    pub max: u32,
    /// How much longer than the baseline answers may take, in percent of it.
    pub tolerance: u32,
    /// How long is watched before the limit changes.
    pub window: Duration,
    /// How often the baseline is measured again, at the latest.
    pub measure_every: Duration,
}

impl Config {
    /// What `min` and `max` may be.
    pub const LIMIT: RangeInclusive<u32> = 1..=1_000_000;
    /// What `tolerance` may be. From 200 % on, halving the limit would not tell waiting from work.
    pub const TOLERANCE: RangeInclusive<u32> = 110..=180;

    fn most(&self) -> u32 {
        self.max.clamp(*Self::LIMIT.start(), *Self::LIMIT.end())
    }

    fn least(&self) -> u32 {
        self.min.clamp(*Self::LIMIT.start(), self.most())
    }

    fn tolerated(&self, baseline: u64) -> u64 {
        let tolerance = self.tolerance.clamp(*Self::TOLERANCE.start(), *Self::TOLERANCE.end());
        baseline.saturating_mul(u64::from(tolerance)) / 100
    }
}

impl Default for Config {
    /// From 4 to 1,000, half as long again as the baseline, every 100 ms, measured every 30 s.
    fn default() -> Self {
        Self {
            min: 4,
            max: 1_000,
            tolerance: 150,
            window: Duration::from_millis(100),
            measure_every: Duration::from_secs(30),
        }
    }
}

/// What is known of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The limit in 256ths.
    scaled: u32,
    /// How long an answer takes where nothing waits, in microseconds; 0 if nothing is known.
    baseline: u64,
    phase: Phase,
    /// When the baseline is to be measured again.
    measure_at: Timestamp,
}

/// What the present window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// Finding the limit.
    Steady,
    /// The limit has been halved; what was sent before comes back.
    Draining,
    /// The limit is halved and what comes back shows the baseline.
    Measuring,
}

/// What was seen of a service for some time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Tries that ended.
    pub ended: u32,
    /// How long they took together, in microseconds.
    pub micros: u64,
    /// Of them, those that failed by time-out or because the service had too much to do.
    pub overloaded: u32,
    /// The most requests that were in flight.
    pub peak: u32,
}

impl State {
    /// Nothing is known: a limit to begin with, 20 or what the config allows.
    pub fn new(config: &Config) -> Self {
        let limit = 20.clamp(config.least(), config.most());
        Self {
            scaled: limit * UNIT,
            baseline: 0,
            phase: Phase::Steady,
            measure_at: Timestamp::ZERO.after(config.measure_every),
        }
    }

    /// How many requests may be in flight.
    pub fn limit(&self, config: &Config) -> u32 {
        let found = (self.scaled / UNIT).clamp(config.least(), config.most());
        match self.phase {
            Phase::Steady => found,
            Phase::Draining | Phase::Measuring => (found / 2).max(config.least()),
        }
    }

    /// How long an answer takes where nothing waits, if that is known.
    pub fn baseline(&self) -> Option<Duration> {
        (self.baseline > 0).then(|| Duration::from_micros(self.baseline))
    }
}

impl Window {
    fn mean(&self) -> u64 {
        (self.micros / u64::from(self.ended.max(1))).max(1)
    }

    /// Whether more than a tenth failed.
    fn is_overloaded(&self) -> bool {
        u64::from(self.overloaded) * 10 > u64::from(self.ended)
    }

    /// Whether the limit was nowhere near.
    fn is_idle(&self, limit: u32) -> bool {
        u64::from(self.peak) * 2 <= u64::from(limit)
    }
}

/// The one transition function: a window has ended. A window that saw nothing changes nothing. `random` spreads the
/// measurements, so that those who began together don't measure together.
pub fn step(state: State, config: &Config, window: &Window, now: Timestamp, random: u64) -> State {
    if window.ended == 0 {
        return state;
    }
    let limit = state.limit(config);
    match state.phase {
        Phase::Draining => State { phase: Phase::Measuring, ..state },
        Phase::Measuring => State {
            // Twice as long at most, so that one odd window does no harm that lasts.
            baseline: window.mean().min(state.baseline.saturating_mul(2).max(1)),
            phase: Phase::Steady,
            measure_at: next_measurement(config, now, random),
            ..state
        },
        Phase::Steady if window.is_overloaded() => {
            let scaled = (state.scaled - state.scaled / 10).max(config.least() * UNIT);
            State { scaled, ..state }
        }
        Phase::Steady if state.baseline == 0 => State { baseline: window.mean(), ..state },
        Phase::Steady if window.is_idle(limit) => State {
            baseline: (state.baseline.saturating_mul(3) / 4 + window.mean() / 4).max(1),
            measure_at: next_measurement(config, now, random),
            ..state
        },
        Phase::Steady if now >= state.measure_at => State { phase: Phase::Draining, ..state },
        Phase::Steady => State {
            scaled: next_limit(state.scaled, config, state.baseline, window.mean()),
            baseline: state.baseline.min(window.mean()),
            ..state
        },
    }
}

/// A quarter of the way from `scaled` to what the window calls for.
fn next_limit(scaled: u32, config: &Config, baseline: u64, mean: u64) -> u32 {
    // Between a half and one, in 1024ths.
    let gradient = (config.tolerated(baseline).saturating_mul(1_024) / mean.max(1)).clamp(512, 1_024);
    let limit = u64::from(scaled / UNIT);
    let room = limit.isqrt().max(1) * u64::from(UNIT);
    let wanted = u64::from(scaled) * gradient / 1_024 + room;
    let next = (u64::from(scaled) * 3 + wanted) / 4;
    next.clamp(u64::from(config.least() * UNIT), u64::from(config.most() * UNIT)) as u32
}

/// Within a quarter before and after the time that the config says.
fn next_measurement(config: &Config, now: Timestamp, random: u64) -> Timestamp {
    let every = config.measure_every;
    let spread = u64::try_from(every.as_micros() / 2).unwrap_or(u64::MAX >> 1);
    let part = ((u128::from(random) * u128::from(spread)) >> 64) as u64;
    now.after(every - every / 4).after(Duration::from_micros(part))
}

/// One request, in the unit of [`State::scaled`].
const UNIT: u32 = 256;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
