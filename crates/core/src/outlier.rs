//! Outlier ejection: an instance that does worse than the others of its service gets no calls for a while.
//!
//! Life cycle: an instance is *in* until a row of failures, or a comparison with the others, makes it suspect; if the
//! service can spare it ([`Config::most`]) it is *ejected*, for longer each time, and is in again when that time has passed.
//! What it did before is remembered then: after a row of failures the next one ejects it again. Quiet intervals let the
//! memory of ejections fade.
//!
//! An ejected instance is not asked, so what is still told of it is of calls from before and changes nothing.
//!
//! An instance's [`State`] packs into one word, which [`Shared`] keeps in an atomic. How many may be out is a rule over all
//! instances of the service ([`eject`]): nobody takes a lock for it, and of two threads that would break it together one
//! takes its ejection back, or both.
//!
//! Left out on purpose: which outcomes are failures, and what becomes of a call if nobody is left.

mod compare;
mod shared;

pub use compare::{Observation, compare};
pub use shared::{Round, Shared, eject};

use crate::time::Timestamp;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// When an instance is ejected and for how long. Values outside the stated ranges are taken as the nearest one within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// Failures in a row that make an instance suspect; 0 for none.
    pub consecutive_failures: u32,
    /// Attempts in a row that found no connection that make it suspect; 0 for none.
    pub consecutive_refusals: u32,
    /// Whether instances are compared by their share of successes.
    pub success_rate: Option<SuccessRate>,
    /// Whether they are compared by how long they take.
    pub latency: Option<Latency>,
    /// How often they are compared; at least 1 ms.
    pub interval: Duration,
    /// How long the first ejection lasts; the second twice as long, and so on.
    pub base_ejection: Duration,
    /// How long one lasts at most.
    pub max_ejection: Duration,
    /// How many of each 100 instances may be out at once. Of two or more one always may, unless this is 0; the last never.
    pub max_ejected_percent: u32,
}

/// An instance is suspect if its share of successes is far below the mean of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SuccessRate {
    /// The fewest calls in an interval that say something about an instance.
    pub minimum_calls: u32,
    /// The fewest instances with so many calls that are worth comparing.
    pub minimum_instances: u32,
    /// How many standard deviations below the mean are too far, in thousandths.
    pub deviations_thousandths: u32,
}

/// An instance is suspect if it takes much longer than the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Latency {
    /// The fewest calls in an interval that say something about an instance.
    pub minimum_calls: u32,
    /// Its mean against the median of the others', in hundredths, above which it takes too long.
    pub factor_percent: u32,
}

impl Config {
    /// What `consecutive_failures` may be.
    pub const CONSECUTIVE_FAILURES: RangeInclusive<u32> = 0..=(1 << FAILURES_BITS) - 1;
    /// What `consecutive_refusals` may be.
    pub const CONSECUTIVE_REFUSALS: RangeInclusive<u32> = 0..=(1 << REFUSALS_BITS) - 1;

    /// How many of `instances` may be out at once.
    pub fn most(&self, instances: usize) -> usize {
        if self.max_ejected_percent == 0 {
            return 0;
        }
        let share = instances.saturating_mul(self.max_ejected_percent.min(100) as usize) / 100;
        share.max(1).min(instances.saturating_sub(1))
    }

    fn failures(&self) -> u32 {
        self.consecutive_failures.min(*Self::CONSECUTIVE_FAILURES.end())
    }

    fn refusals(&self) -> u32 {
        self.consecutive_refusals.min(*Self::CONSECUTIVE_REFUSALS.end())
    }

    /// How long the ejection of this number lasts.
    fn ejection(&self, number: u32) -> Duration {
        self.base_ejection.saturating_mul(number).min(self.max_ejection)
    }
}

impl Default for Config {
    /// 5 failures or 2 refused connections in a row, or far fewer successes than the others; for 30 s, and 5 minutes at
    /// most; half of the instances at once.
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            consecutive_refusals: 2,
            success_rate: Some(SuccessRate::default()),
            latency: None,
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_secs(300),
            max_ejected_percent: 50,
        }
    }
}

impl Default for SuccessRate {
    /// Of five instances with 100 calls each, 1.9 standard deviations.
    fn default() -> Self {
        Self { minimum_calls: 100, minimum_instances: 5, deviations_thousandths: 1_900 }
    }
}

impl Default for Latency {
    /// Three times as long over 100 calls.
    fn default() -> Self {
        Self { minimum_calls: 100, factor_percent: 300 }
    }
}

/// What is known of an instance. The default is one that nothing is known of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// Until when it is out, in milliseconds; 0 if it never was.
    until: u64,
    /// How often it has been ejected and not been forgiven.
    ejections: u32,
    /// Failures in a row.
    failures: u32,
    /// Attempts in a row that found no connection.
    refusals: u32,
}

/// What happens to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// It answered as it should.
    Succeeded,
    /// It failed.
    Failed {
        /// Whether there was a connection.
        connected: bool,
    },
    /// It is to be out from now on.
    Eject,
    /// It is to be in again at once.
    Reinstate,
    /// An interval has passed.
    Interval,
}

/// What a step says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// Nothing is to be done.
    Noted,
    /// It is to be ejected, if the service can spare it.
    Suspect(Reason),
    /// It was in and is out now.
    Ejected,
    /// It was out and is in now.
    Reinstated,
}

/// Why an instance is suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A row of failures.
    Failures,
    /// A row of attempts that found no connection.
    Refusals,
    /// Far fewer successes than the others.
    SuccessRate,
    /// It takes much longer than the others.
    Latency,
}

impl Reason {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failures => "consecutive-failures",
            Self::Refusals => "consecutive-refusals",
            Self::SuccessRate => "success-rate",
            Self::Latency => "latency",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The one transition function of an instance. Total: what is told of an ejected instance changes nothing.
pub fn step(state: State, config: &Config, input: Input, now: Timestamp) -> (State, Output) {
    let out = state.is_ejected(now);
    match input {
        Input::Succeeded if !out => (State { failures: 0, refusals: 0, ..state }, Output::Noted),
        Input::Failed { connected } if !out => fail(state, config, connected),
        Input::Eject if !out => (ejected(state, config, now), Output::Ejected),
        Input::Reinstate if out => {
            (State { until: 0, ejections: state.ejections.saturating_sub(1), ..state }, Output::Reinstated)
        }
        Input::Interval if !out => {
            (State { ejections: state.ejections.saturating_sub(1), ..state }, Output::Noted)
        }
        _ => (state, Output::Noted),
    }
}

impl State {
    /// Whether it is out.
    pub const fn is_ejected(&self, now: Timestamp) -> bool {
        now.as_millis() < self.until
    }

    /// Until when it is out, or was last.
    pub const fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until)
    }

    /// The state as one word; the inverse of [`State::unpack`] for every state that [`step`] reaches.
    pub const fn pack(self) -> u64 {
        (((self.until << EJECTIONS_BITS | self.ejections as u64) << FAILURES_BITS | self.failures as u64)
            << REFUSALS_BITS)
            | self.refusals as u64
    }

    /// The state of a word that [`State::pack`] made.
    pub const fn unpack(word: u64) -> Self {
        Self {
            refusals: (word & mask(REFUSALS_BITS)) as u32,
            failures: (word >> REFUSALS_BITS & mask(FAILURES_BITS)) as u32,
            ejections: (word >> (REFUSALS_BITS + FAILURES_BITS) & mask(EJECTIONS_BITS)) as u32,
            until: word >> (REFUSALS_BITS + FAILURES_BITS + EJECTIONS_BITS),
        }
    }
}

/// Milliseconds up to the year 2109, if times are Unix times.
const UNTIL_BITS: u32 = 42;
const EJECTIONS_BITS: u32 = 7;
const FAILURES_BITS: u32 = 8;
const REFUSALS_BITS: u32 = 64 - UNTIL_BITS - EJECTIONS_BITS - FAILURES_BITS;

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

fn fail(state: State, config: &Config, connected: bool) -> (State, Output) {
    let refusals = if connected { 0 } else { (state.refusals + 1).min(config.refusals().max(1)) };
    let failures = (state.failures + 1).min(config.failures().max(1));
    let reached = |count: u32, threshold: u32| threshold > 0 && count >= threshold;
    let output = if reached(refusals, config.refusals()) {
        Output::Suspect(Reason::Refusals)
    } else if reached(failures, config.failures()) {
        Output::Suspect(Reason::Failures)
    } else {
        Output::Noted
    };
    (State { failures, refusals, ..state }, output)
}

fn ejected(state: State, config: &Config, now: Timestamp) -> State {
    let ejections = (state.ejections + 1).min(mask(EJECTIONS_BITS) as u32);
    let until = now.after(config.ejection(ejections)).as_micros().div_ceil(1_000).min(mask(UNTIL_BITS));
    State {
        until,
        ejections,
        // When it is in again, one more failure of the kind that it is out for is enough.
        failures: state.failures.min(config.failures().saturating_sub(1)),
        refusals: state.refusals.min(config.refusals().saturating_sub(1)),
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
