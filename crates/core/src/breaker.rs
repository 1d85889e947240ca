//! Circuit breaker: stops calling what keeps failing, and finds out carefully when it may be called again.
//!
//! Life cycle: *closed*, calls pass and what becomes of them is counted; when that is too bad it *opens* and refuses calls for
//! the open time-out; the first call after that makes it *half-open*, where a few calls are permitted, and what becomes of
//! those decides whether it closes or opens again.
//!
//! What is too bad, [`Window`] says: so many failures in a row (M. Nygard, "Release It!", chapter 5), or a share of failures or
//! of slow calls among the last calls, by number or by time, as resilience4j has it. After a row, all permitted calls must
//! succeed for it to close; with a window their share of failures must be below the rate that opens it, and it opens as
//! soon as it can't be any more. [`Mode`] switches all of it off, or leaves only the counting, or keeps it open.
//!
//! Every admitted call carries a [`Generation`], and its outcome counts only in the generation that admitted
//! it: an answer that was on its way when the breaker opened says nothing about what came after. A call that
//! is dropped with no outcome, or whose outcome says nothing, gives its permit back ([`Input::Abandoned`]).
//!
//! Should permits never come back all the same, a half-open breaker takes them for lost after [`Config::half_open_max_wait`]
//! and gives them out anew, so it is never stuck; what had ended still counts. resilience4j opens then, which on a quiet
//! service refuses calls although none has failed; here a call that hangs fails by its own time-out.
//!
//! A state packs into one word ([`State::pack`]), and so do the counts of a window. [`Breaker`] is the whole machine, for one
//! thread after the other, and the law; [`Shared`] keeps the same words in atomics: nothing is locked while a call is in
//! flight.
//!
//! Left out on purpose: how long a call took, and who says what became of it.

mod outcome;
mod shared;
mod window;

pub use outcome::{Outcome, Outcomes, Verdict};
pub use shared::{Permit, Shared};
pub use window::{Counts, Recent, Window};

use crate::time::Timestamp;
use std::ops::RangeInclusive;
use std::time::Duration;

/// When a breaker opens, and how it closes. Values outside the stated ranges are taken as the nearest
/// one within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// Whether it does anything.
    pub mode: Mode,
    /// Which calls it looks back at.
    pub window: Window,
    /// Failures in a row that open it, with [`Window::Consecutive`].
    pub failure_threshold: u32,
    /// The fewest calls that say something; with [`Window::Count`] no more than its size. The fields from here to `slow_call`
    /// are for the other windows.
    pub minimum_calls: u32,
    /// Failures among 100 calls that open it.
    pub failure_rate_percent: u32,
    /// Whether slow calls open it too.
    pub slow_call: Option<SlowCall>,
    /// How long an open breaker refuses every call; at least 1 ms.
    pub open_timeout: Duration,
    /// How many calls a half-open breaker admits.
    pub permitted_half_open_calls: u32,
    /// How long a half-open breaker waits for permits that do not come back. Should be longer than a call may
    /// take; while it is, at most `permitted_half_open_calls` calls are in flight. At least 1 ms.
    pub half_open_max_wait: Duration,
    /// Which outcomes are failures.
    pub failures: Outcomes,
    /// Which outcomes say nothing, whatever `failures` says.
    pub ignored: Outcomes,
}

/// When slow calls open a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlowCall {
    /// A call is slow that takes longer.
    pub longer_than: Duration,
    /// Slow calls among 100 that open it.
    pub rate_percent: u32,
}

impl Config {
    /// What `failure_threshold` may be.
    pub const FAILURE_THRESHOLD: RangeInclusive<u32> = 1..=(1 << COUNTS_BITS) - 1;
    /// What `permitted_half_open_calls` may be.
    pub const PERMITTED_HALF_OPEN_CALLS: RangeInclusive<u32> = 1..=(1 << COUNT_BITS) - 1;

    /// What a call was to the breaker.
    pub fn outcome(&self, failed: bool, took: Duration) -> Outcome {
        Outcome { failed, slow: self.slow_call.is_some_and(|slow| took > slow.longer_than) }
    }

    /// What is too bad about these calls.
    fn exceeded(&self, counts: Counts) -> Option<Exceeded> {
        let enough = match self.window {
            Window::Consecutive => return None,
            Window::Count { size } => self.minimum_calls.min(size),
            Window::Time { .. } => self.minimum_calls,
        };
        (counts.calls >= enough.max(1)).then(|| self.exceeds(counts.failed, counts.slow, counts.calls))?
    }

    fn exceeds(&self, failed: u32, slow: u32, calls: u32) -> Option<Exceeded> {
        let reaches = |count: u32, percent: u32| {
            u64::from(count) * 100 >= u64::from(percent.clamp(1, 100)) * u64::from(calls)
        };
        if reaches(failed, self.failure_rate_percent) {
            return Some(Exceeded::FailureRate);
        }
        self.slow_call.filter(|rule| reaches(slow, rule.rate_percent)).map(|_| Exceeded::SlowCallRate)
    }

    /// What is too bad about the permitted calls of which so many have ended badly, whatever becomes of the rest.
    fn probes_exceed(&self, failed: u32, slow: u32) -> Option<Exceeded> {
        match self.window {
            Window::Consecutive => (failed > 0).then_some(Exceeded::FailuresInARow),
            Window::Count { .. } | Window::Time { .. } => self.exceeds(failed, slow, self.permitted()),
        }
    }

    fn threshold(&self) -> u32 {
        self.failure_threshold.clamp(*Self::FAILURE_THRESHOLD.start(), *Self::FAILURE_THRESHOLD.end())
    }

    fn permitted(&self) -> u32 {
        let range = Self::PERMITTED_HALF_OPEN_CALLS;
        self.permitted_half_open_calls.clamp(*range.start(), *range.end())
    }
}

impl Default for Config {
    /// Opens after 5 failures in a row for 60 s; 3 calls must then succeed, and are waited for 60 s. With a window, half of
    /// 100 calls must fail.
    fn default() -> Self {
        Self {
            mode: Mode::Automatic,
            window: Window::Consecutive,
            failure_threshold: 5,
            minimum_calls: 100,
            failure_rate_percent: 50,
            slow_call: None,
            open_timeout: Duration::from_secs(60),
            permitted_half_open_calls: 3,
            half_open_max_wait: Duration::from_secs(60),
            failures: Outcomes::failures(),
            ignored: Outcomes::default(),
        }
    }
}

/// Whether a breaker does anything.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It opens and closes by what becomes of calls.
    #[default]
    Automatic,
    /// Every call passes, and nothing is counted.
    Disabled,
    /// Every call passes. It counts, and says when it would have opened.
    MetricsOnly,
    /// No call passes.
    ForcedOpen,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Automatic, Self::Disabled, Self::MetricsOnly, Self::ForcedOpen];

    /// Its name in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "automatic",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics-only",
            Self::ForcedOpen => "forced-open",
        }
    }

    /// The mode of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Which stretch of a breaker's life a call was admitted in, named by the millisecond at which the stretch
/// began. Generations of one breaker strictly increase (until the year 2109, if times are Unix times).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(u64);

impl Generation {
    const MAX: u64 = (1 << GENERATION_BITS) - 1;
    /// Of calls that no breaker counts.
    const NONE: Self = Self(Self::MAX);

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
        Self(now.as_micros().div_ceil(1_000).max(self.0).min(Self::MAX - 1))
    }
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass.
    Closed {
        /// Since when, and which outcomes count.
        generation: Generation,
        /// Failures in a row; below the threshold, and 0 with another window.
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
        /// Permits that have not come back. With `ended`, never more than are permitted.
        in_flight: u32,
        /// Calls whose outcome is known; fewer than are permitted.
        ended: u32,
        /// Those of them that failed.
        failed: u32,
        /// Those of them that were slow.
        slow: u32,
    },
}

/// What happens to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A call asks to pass.
    Admit,
    /// A call that was admitted in this generation ended. With what the window shows, this call included; it counts while the
    /// breaker is closed.
    Ended(Generation, Outcome, Counts),
    /// A call that was admitted in this generation was dropped before its outcome was known, or that says nothing.
    Abandoned(Generation),
}

/// What a breaker answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Output {
    /// The answer to the input.
    pub answer: Answer,
    /// The change of state, if there was one, to be logged and counted.
    pub transition: Option<Transition>,
    /// What was too bad, if that was found now; the breaker has opened then, unless it only counts.
    pub exceeded: Option<Exceeded>,
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

/// What was too bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exceeded {
    /// So many failures in a row, or one while half-open.
    FailuresInARow,
    /// The share of failures.
    FailureRate,
    /// The share of slow calls.
    SlowCallRate,
}

impl Exceeded {
    /// Its name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailuresInARow => "failures-in-a-row",
            Self::FailureRate => "failure-rate",
            Self::SlowCallRate => "slow-call-rate",
        }
    }
}

/// A change from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// What became of calls was too bad: calls are refused from now on.
    Opened,
    /// The open time-out has passed: a few calls are tried.
    HalfOpened,
    /// What became of the permitted calls was good enough: calls pass again.
    Closed,
}

/// The one transition function. Total: an outcome of another generation changes nothing.
pub fn step(state: State, config: &Config, input: Input, now: Timestamp) -> (State, Output) {
    match (input, config.mode) {
        (Input::Admit, Mode::Automatic) => admit(state, config, now),
        (Input::Admit, Mode::MetricsOnly) => admit_closed(state, now),
        (Input::Admit, Mode::Disabled) => (state, Output::of(Answer::Admitted(Generation::NONE))),
        (Input::Admit, Mode::ForcedOpen) => {
            (state, refused(now.after(config.open_timeout.max(SHORTEST)), now))
        }
        (Input::Ended(generation, ..) | Input::Abandoned(generation), _)
            if generation != state.generation() =>
        {
            (state, Output::of(Answer::Stale))
        }
        (Input::Ended(_, outcome, recent), Mode::Automatic | Mode::MetricsOnly) => {
            end(state, config, outcome, recent, now)
        }
        (Input::Ended(..), Mode::Disabled | Mode::ForcedOpen) | (Input::Abandoned(_), _) => abandon(state),
    }
}

/// The whole machine, for one thread after the other: a state and the calls that its window looks back at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Breaker {
    /// Where it stands.
    pub state: State,
    /// What it looks back at.
    pub recent: Recent,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(window: Window) -> Self {
        Self { state: State::default(), recent: Recent::new(window) }
    }

    /// A call asks to pass.
    pub fn admit(&mut self, config: &Config, now: Timestamp) -> Output {
        self.step(config, Input::Admit, now)
    }

    /// A call ended that was admitted in this generation.
    pub fn end(
        &mut self,
        generation: Generation,
        outcome: Outcome,
        config: &Config,
        now: Timestamp,
    ) -> Output {
        let recent = if self.state.counts(generation, config) {
            self.recent.record(generation, outcome, now)
        } else {
            Counts::default()
        };
        self.step(config, Input::Ended(generation, outcome, recent), now)
    }

    /// A call that was admitted in this generation is taken back.
    pub fn abandon(&mut self, generation: Generation, config: &Config, now: Timestamp) -> Output {
        self.step(config, Input::Abandoned(generation), now)
    }

    fn step(&mut self, config: &Config, input: Input, now: Timestamp) -> Output {
        let (next, output) = step(self.state, config, input, now);
        self.state = next;
        output
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

    /// Whether the window looks at calls of this generation now.
    fn counts(&self, generation: Generation, config: &Config) -> bool {
        matches!(self, Self::Closed { generation: own, .. } if *own == generation)
            && matches!(config.mode, Mode::Automatic | Mode::MetricsOnly)
    }

    /// The state as one word: two bits for which state it is, then the generation, then the counts. The
    /// inverse of [`State::unpack`] for every state that [`step`] reaches from the default.
    pub const fn pack(self) -> u64 {
        match self {
            Self::Closed { generation, failures } => word(CLOSED, generation, failures as u64),
            Self::Open { generation } => word(OPEN, generation, 0),
            Self::HalfOpen { generation, in_flight, ended, failed, slow } => {
                let counts = ((in_flight as u64) << COUNT_BITS | ended as u64) << (2 * COUNT_BITS);
                word(HALF_OPEN, generation, counts | (failed as u64) << COUNT_BITS | slow as u64)
            }
        }
    }

    /// The state of a word that [`State::pack`] made; any other word is taken for a closed breaker's.
    pub const fn unpack(word: u64) -> Self {
        let generation = Generation(word >> COUNTS_BITS & Generation::MAX);
        let counts = word & ((1 << COUNTS_BITS) - 1);
        match word >> TAG_SHIFT {
            OPEN => Self::Open { generation },
            HALF_OPEN => Self::HalfOpen {
                generation,
                in_flight: (counts >> (3 * COUNT_BITS)) as u32,
                ended: (counts >> (2 * COUNT_BITS)) as u32 & COUNT_MASK,
                failed: (counts >> COUNT_BITS) as u32 & COUNT_MASK,
                slow: counts as u32 & COUNT_MASK,
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
        Self { answer, transition: None, exceeded: None }
    }

    const fn with(answer: Answer, transition: Transition) -> Self {
        Self { answer, transition: Some(transition), exceeded: None }
    }
}

/// What a generation is counted in: no two begin within less, but for the few that a trip goes through.
const SHORTEST: Duration = Duration::from_millis(1);
const COUNT_BITS: u32 = 5;
const COUNT_MASK: u32 = (1 << COUNT_BITS) - 1;
/// For the four counts of a half-open breaker.
const COUNTS_BITS: u32 = 4 * COUNT_BITS;
const GENERATION_BITS: u32 = 42;
const TAG_SHIFT: u32 = GENERATION_BITS + COUNTS_BITS;
const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;

const fn word(tag: u64, generation: Generation, counts: u64) -> u64 {
    tag << TAG_SHIFT | generation.0 << COUNTS_BITS | counts
}

fn admit(state: State, config: &Config, now: Timestamp) -> (State, Output) {
    match state {
        State::Closed { generation, .. } => (state, Output::of(Answer::Admitted(generation))),
        State::Open { generation } => {
            let ends = generation.began().after(config.open_timeout.max(SHORTEST));
            if now < ends {
                return (state, refused(ends, now));
            }
            let probes = Probes { generation: generation.next(now), ..Probes::default() };
            let (state, answer) = probes.admit();
            (state, Output::with(answer, Transition::HalfOpened))
        }
        State::HalfOpen { generation, in_flight, ended, failed, slow } => {
            admit_probe(Probes { generation, in_flight, ended, failed, slow }, config, now)
        }
    }
}

/// Lets every call pass; a breaker that only counts is closed.
fn admit_closed(state: State, now: Timestamp) -> (State, Output) {
    if let State::Closed { generation, .. } = state {
        return (state, Output::of(Answer::Admitted(generation)));
    }
    let generation = state.generation().next(now);
    let answer = Answer::Admitted(generation);
    (State::Closed { generation, failures: 0 }, Output::with(answer, Transition::Closed))
}

/// What a half-open breaker counts.
#[derive(Default)]
struct Probes {
    generation: Generation,
    in_flight: u32,
    ended: u32,
    failed: u32,
    slow: u32,
}

impl Probes {
    fn admit(self) -> (State, Answer) {
        let answer = Answer::Admitted(self.generation);
        (Self { in_flight: self.in_flight + 1, ..self }.into_state(), answer)
    }

    const fn into_state(self) -> State {
        let Self { generation, in_flight, ended, failed, slow } = self;
        State::HalfOpen { generation, in_flight, ended, failed, slow }
    }
}

fn admit_probe(probes: Probes, config: &Config, now: Timestamp) -> (State, Output) {
    if probes.in_flight + probes.ended < config.permitted() {
        // With nothing in flight nobody holds a permit, and the wait for the new one begins afresh.
        let idle = probes.in_flight == 0;
        let generation = if idle { probes.generation.at_least(now) } else { probes.generation };
        let (state, answer) = Probes { generation, ..probes }.admit();
        return (state, Output::of(answer));
    }
    let lost = probes.generation.began().after(config.half_open_max_wait.max(SHORTEST));
    if now < lost {
        return (probes.into_state(), refused(lost, now));
    }
    let ended = probes.ended.min(config.permitted() - 1);
    let probes = Probes { generation: probes.generation.next(now), in_flight: 0, ended, ..probes };
    let (state, answer) = probes.admit();
    (state, Output::of(answer))
}

fn refused(until: Timestamp, now: Timestamp) -> Output {
    Output::of(Answer::Refused(Refused { retry_after: until.since(now) }))
}

fn end(state: State, config: &Config, outcome: Outcome, recent: Counts, now: Timestamp) -> (State, Output) {
    match state {
        State::Closed { generation, failures } => {
            let failures = if outcome.failed { failures + 1 } else { 0 };
            let (failures, exceeded) = match config.window {
                Window::Consecutive if failures < config.threshold() => (failures, None),
                Window::Consecutive => (config.threshold() - 1, Some(Exceeded::FailuresInARow)),
                Window::Count { .. } | Window::Time { .. } => (0, config.exceeded(recent)),
            };
            match exceeded {
                Some(exceeded) if config.mode == Mode::Automatic => open(generation, exceeded, now),
                exceeded => {
                    let output = Output { exceeded, ..Output::of(Answer::Counted) };
                    (State::Closed { generation, failures }, output)
                }
            }
        }
        State::Open { .. } => (state, Output::of(Answer::Stale)),
        State::HalfOpen { generation, in_flight, ended, failed, slow } => {
            let ended = ended + 1;
            let failed = (failed + u32::from(outcome.failed)).min(ended);
            let slow = (slow + u32::from(outcome.slow)).min(ended);
            if let Some(exceeded) = config.probes_exceed(failed, slow) {
                return open(generation, exceeded, now);
            }
            if ended >= config.permitted() {
                let state = State::Closed { generation: generation.next(now), failures: 0 };
                return (state, Output::with(Answer::Counted, Transition::Closed));
            }
            let in_flight = in_flight.saturating_sub(1);
            let probes = Probes { generation, in_flight, ended, failed, slow };
            (probes.into_state(), Output::of(Answer::Counted))
        }
    }
}

fn open(generation: Generation, exceeded: Exceeded, now: Timestamp) -> (State, Output) {
    let output = Output::with(Answer::Counted, Transition::Opened);
    (State::Open { generation: generation.next(now) }, Output { exceeded: Some(exceeded), ..output })
}

fn abandon(state: State) -> (State, Output) {
    match state {
        State::HalfOpen { generation, in_flight, ended, failed, slow } => {
            let in_flight = in_flight.saturating_sub(1);
            (State::HalfOpen { generation, in_flight, ended, failed, slow }, Output::of(Answer::Counted))
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
