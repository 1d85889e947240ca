//! Circuit breaker: stops calling what keeps failing, and finds out carefully when it may be called again.
//!
//! Life cycle: *closed*, calls pass and consecutive failures are counted; at the threshold it *opens* and
//! refuses calls for the open time-out; the first call after that makes it *half-open*, where a few calls
//! are permitted. When as many have succeeded it closes; the first failure opens it again. This is the
//! consecutive-failure form (M. Nygard, "Release It!", chapter 5).
//!
//! Every admitted call carries a [`Generation`], and its outcome counts only in the generation that admitted
//! it: an answer that was on its way when the breaker opened says nothing about what came after. A call that
//! is dropped with no outcome gives its permit back ([`Input::Abandoned`]). Should permits never come back
//! all the same, a half-open breaker takes them for lost after [`Config::half_open_max_wait`] and gives them
//! out anew, so it is never stuck; what had succeeded still counts.
//!
//! A state packs into one word ([`State::pack`]), which [`Shared`] keeps in an atomic: nothing is locked
//! while a call is in flight.
//!
//! Left out on purpose: failure rates over windows, and the decision which outcomes are failures.

mod shared;

pub use shared::{Permit, Shared};

use crate::time::Timestamp;
use std::ops::RangeInclusive;
use std::time::Duration;

/// When a breaker opens, and how it closes. Values outside the stated ranges are taken as the nearest
/// one within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// Consecutive failures that open a closed breaker.
    pub failure_threshold: u32,
    /// How long an open breaker refuses every call; at least 1 ms.
    pub open_timeout: Duration,
    /// How many calls a half-open breaker admits; all must succeed for it to close. 1 gives the textbook form.
    pub permitted_half_open_calls: u32,
    /// How long a half-open breaker waits for permits that do not come back. Should be longer than a call may
    /// take; while it is, at most `permitted_half_open_calls` calls are in flight. At least 1 ms.
    pub half_open_max_wait: Duration,
}

impl Config {
    /// What `failure_threshold` may be.
    pub const FAILURE_THRESHOLD: RangeInclusive<u32> = 1..=(1 << (2 * COUNT_BITS)) - 1;
    /// What `permitted_half_open_calls` may be.
    pub const PERMITTED_HALF_OPEN_CALLS: RangeInclusive<u32> = 1..=(1 << COUNT_BITS) - 1;

    fn threshold(&self) -> u32 {
        self.failure_threshold.clamp(*Self::FAILURE_THRESHOLD.start(), *Self::FAILURE_THRESHOLD.end())
    }

    fn permitted(&self) -> u32 {
        let range = Self::PERMITTED_HALF_OPEN_CALLS;
        self.permitted_half_open_calls.clamp(*range.start(), *range.end())
    }
}

impl Default for Config {
    /// Opens after 5 failures for 60 s; 3 calls must then succeed, and are waited for 60 s.
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            open_timeout: Duration::from_secs(60),
            permitted_half_open_calls: 3,
            half_open_max_wait: Duration::from_secs(60),
        }
    }
}

/// Which stretch of a breaker's life a call was admitted in, named by the millisecond at which the stretch
/// began. Generations of one breaker strictly increase (until the year 2527, if times are Unix times).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    const MAX: u64 = (1 << GENERATION_BITS) - 1;

    /// When the stretch began, rounded up to the millisecond, so that an open time-out is never cut short.
    pub const fn began(self) -> Timestamp {
        Timestamp::from_millis(self.0)
    }

    /// The generation that begins now: of the present millisecond, or one later than `self` if that is more.
    fn next(self, now: Timestamp) -> Self {
        Self(self.0 + 1).at_least(now)
    }

    /// The generation of the present millisecond, or `self` if that is later.
    fn at_least(self, now: Timestamp) -> Self {
        Self(now.as_micros().div_ceil(1_000).max(self.0).min(Self::MAX))
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass.
    Closed {
        /// Since when, and which outcomes count.
        generation: Generation,
        /// Consecutive failures; below the threshold.
        failures: u32,
    },
    /// Calls are refused until the open time-out has passed since the generation began.
    Open {
        /// Since when; no outcome counts.
        generation: Generation,
    },
    /// A few calls are tried.
    HalfOpen {
        /// Since when the calls in flight have been waited for, and which outcomes count.
        generation: Generation,
        /// Permits that have not come back. With `succeeded`, never more than are permitted.
        in_flight: u32,
        /// Calls that have succeeded; fewer than are permitted.
        succeeded: u32,
    },
}

/// What happens to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A call asks to pass.
    Admit,
    /// A call that was admitted in this generation succeeded.
    Succeeded(Generation),
    /// A call that was admitted in this generation failed.
    Failed(Generation),
    /// A call that was admitted in this generation was dropped before its outcome was known.
    Abandoned(Generation),
}

/// What a breaker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Output {
    /// The answer to the input.
    pub answer: Answer,
    /// The change of state, if there was one, to be logged and counted.
    pub transition: Option<Transition>,
}

/// The answer to one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The call may pass; its outcome must be reported with this generation, once.
    Admitted(Generation),
    /// The call may not pass.
    Refused(Refused),
    /// The outcome was taken into account.
    Counted,
    /// The outcome is of an earlier generation and says nothing of this one.
    Stale,
}

/// A call was refused because the circuit is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the circuit breaker is open")]
pub struct Refused {
    /// After this long a call will be admitted, unless more happens before.
    pub retry_after: Duration,
}

/// A change from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Too many failures, or a failure while half-open: calls are refused from now on.
    Opened,
    /// The open time-out has passed: a few calls are tried.
    HalfOpened,
    /// The permitted calls all succeeded: calls pass again.
    Closed,
}

/// The one transition function. Total: an outcome of another generation changes nothing.
pub fn step(state: State, config: &Config, input: Input, now: Timestamp) -> (State, Output) {
    match input {
        Input::Admit => admit(state, config, now),
        Input::Succeeded(generation) | Input::Failed(generation) | Input::Abandoned(generation)
            if generation != state.generation() =>
        {
            (state, Output::of(Answer::Stale))
        }
        Input::Succeeded(_) => succeed(state, config, now),
        Input::Failed(_) => fail(state, config, now),
        Input::Abandoned(_) => abandon(state),
    }
}

impl State {
    /// The present generation.
    pub const fn generation(&self) -> Generation {
        match *self {
            Self::Closed { generation, .. }
            | Self::Open { generation }
            | Self::HalfOpen { generation, .. } => generation,
        }
    }

    /// The state as one word: two bits for which state it is, then the generation, then the counts. The
    /// inverse of [`State::unpack`] for every state that [`step`] reaches from the default.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Closed { generation, failures } => word(CLOSED, generation, failures as u64),
            Self::Open { generation } => word(OPEN, generation, 0),
            Self::HalfOpen { generation, in_flight, succeeded } => {
                word(HALF_OPEN, generation, (in_flight as u64) << COUNT_BITS | succeeded as u64)
            }
        }
    }

    /// The state of a word that [`State::pack`] made; any other word is taken for a closed breaker's.
    pub const fn unpack(word: u64) -> Self {
        let generation = Generation(word >> (2 * COUNT_BITS) & Generation::MAX);
        let counts = word & ((1 << (2 * COUNT_BITS)) - 1);
        match word >> TAG_SHIFT {
            OPEN => Self::Open { generation },
            HALF_OPEN => Self::HalfOpen {
                generation,
                in_flight: (counts >> COUNT_BITS) as u32,
                succeeded: (counts & ((1 << COUNT_BITS) - 1)) as u32,
            },
            _ => Self::Closed { generation, failures: counts as u32 },
        }
    }
}

impl Default for State {
    /// Closed, with no failure.
    fn default() -> Self {
        Self::Closed { generation: Generation(0), failures: 0 }
    }
}

impl Output {
    const fn of(answer: Answer) -> Self {
        Self { answer, transition: None }
    }

    const fn with(answer: Answer, transition: Transition) -> Self {
        Self { answer, transition: Some(transition) }
    }
}

/// What a generation is counted in: no two begin within less, but for the few that a trip goes through.
const SHORTEST: Duration = Duration::from_millis(1);
const COUNT_BITS: u32 = 9;
const GENERATION_BITS: u32 = 44;
const TAG_SHIFT: u32 = GENERATION_BITS + 2 * COUNT_BITS;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;

const fn word(tag: u64, generation: Generation, counts: u64) -> u64 {
    tag << TAG_SHIFT | generation.0 << (2 * COUNT_BITS) | counts
}

fn admit(state: State, config: &Config, now: Timestamp) -> (State, Output) {
    match state {
        State::Closed { generation, .. } => (state, Output::of(Answer::Admitted(generation))),
        State::Open { generation } => {
            let ends = generation.began().after(config.open_timeout.max(SHORTEST));
            if now < ends {
                return (state, refused(ends, now));
            }
            let (state, answer) = probe(generation.next(now), 0, 0);
            (state, Output::with(answer, Transition::HalfOpened))
        }
        State::HalfOpen { generation, in_flight, succeeded } => {
            let (state, output) = admit_probe(generation, in_flight, succeeded, config, now);
            (state, output)
        }
    }
}

fn admit_probe(
    generation: Generation,
    in_flight: u32,
    succeeded: u32,
    config: &Config,
    now: Timestamp,
) -> (State, Output) {
    if in_flight + succeeded < config.permitted() {
        // With nothing in flight nobody holds a permit, and the wait for the new one begins afresh.
        let generation = if in_flight == 0 { generation.at_least(now) } else { generation };
        let (state, answer) = probe(generation, in_flight, succeeded);
        return (state, Output::of(answer));
    }
    let lost = generation.began().after(config.half_open_max_wait.max(SHORTEST));
    if now < lost {
        let state = State::HalfOpen { generation, in_flight, succeeded };
        return (state, refused(lost, now));
    }
    let succeeded = succeeded.min(config.permitted() - 1);
    let (state, answer) = probe(generation.next(now), 0, succeeded);
    (state, Output::of(answer))
}

fn probe(generation: Generation, in_flight: u32, succeeded: u32) -> (State, Answer) {
    (State::HalfOpen { generation, in_flight: in_flight + 1, succeeded }, Answer::Admitted(generation))
}

fn refused(until: Timestamp, now: Timestamp) -> Output {
    Output::of(Answer::Refused(Refused { retry_after: until.since(now) }))
}

fn succeed(state: State, config: &Config, now: Timestamp) -> (State, Output) {
    match state {
        State::Closed { generation, .. } => {
            (State::Closed { generation, failures: 0 }, Output::of(Answer::Counted))
        }
        State::Open { .. } => (state, Output::of(Answer::Stale)),
        State::HalfOpen { generation, in_flight, succeeded } => {
            let succeeded = succeeded + 1;
            if succeeded >= config.permitted() {
                let state = State::Closed { generation: generation.next(now), failures: 0 };
                return (state, Output::with(Answer::Counted, Transition::Closed));
            }
            let in_flight = in_flight.saturating_sub(1);
            (State::HalfOpen { generation, in_flight, succeeded }, Output::of(Answer::Counted))
        }
    }
}

fn fail(state: State, config: &Config, now: Timestamp) -> (State, Output) {
    match state {
        State::Closed { generation, failures } if failures + 1 < config.threshold() => {
            (State::Closed { generation, failures: failures + 1 }, Output::of(Answer::Counted))
        }
        State::Closed { generation, .. } | State::HalfOpen { generation, .. } => {
            let state = State::Open { generation: generation.next(now) };
            (state, Output::with(Answer::Counted, Transition::Opened))
        }
        State::Open { .. } => (state, Output::of(Answer::Stale)),
    }
}

fn abandon(state: State) -> (State, Output) {
    match state {
        State::HalfOpen { generation, in_flight, succeeded } => {
            let in_flight = in_flight.saturating_sub(1);
            (State::HalfOpen { generation, in_flight, succeeded }, Output::of(Answer::Counted))
        }
        State::Closed { .. } => (state, Output::of(Answer::Counted)),
        State::Open { .. } => (state, Output::of(Answer::Stale)),
    }
}

#[cfg(all(test, feature = "loom"))]
mod loom;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
