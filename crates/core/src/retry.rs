//! Retries: when a failed try of a request is worth another, and after how long.
//!
//! Life cycle: one [`Attempts`] for each request, begun before its first try. After each try its outcome is
//! fed to [`step`], which says to retry after a delay or to give up, with the reason; what was given up stays
//! given up. A retry that is granted must besides be paid for from the [`budget`] that all requests to a
//! service share; if that is spent, the machine is told so and gives up.
//!
//! Safety: a request that the other side may have begun to process is sent again only if processing it twice
//! does no harm: its method is idempotent (RFC 9110, 9.2.2), it carries an idempotency key, or the policy
//! says that all requests may be repeated. One that was certainly never processed may always be sent again.
//!
//! Over several hops: a request that is itself another try says so ([`ATTEMPT_HEADER`]), and the hops below leave
//! it at one try; an answer for which retries have been spent says so ([`RETRY_HEADER`], and [`spent`] where it is
//! lost on its way), and the hops above pass it on. So one hop at most tries a failed request again, the one
//! next to the failure, and all hops together send no more than one hop's budget pays for (the tests of `retry/chain.rs`).
//!
//! Left out on purpose: which endpoint the next try goes to (module [`balance`](crate::balance)), and a second try
//! beside a slow first one (module [`hedge`](crate::hedge)).

pub mod after;
pub mod budget;
pub mod spent;

use std::fmt;
use std::time::Duration;

/// The header by which a caller says that a request may be sent more than once
/// (draft-ietf-httpapi-idempotency-key-header).
pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// The header of a request that is not its first try: which try it is, counted from 1. An application that calls
/// others on behalf of such a request passes it on.
pub const ATTEMPT_HEADER: &str = "tenon-attempt";

/// The header of an answer that is not worth another try further up; its value is [`NO_RETRY`].
pub const RETRY_HEADER: &str = "tenon-retry";

/// The value of [`RETRY_HEADER`].
pub const NO_RETRY: &str = "no";

/// Whether processing a request with this method twice is meant to have the effect of once (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// When and how a failed call is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The most retries; a request is tried once more than this.
    pub max_retries: u32,
    /// How long to wait before each retry.
    pub delay: Delay,
    /// How the wait varies.
    pub jitter: Jitter,
    /// The longest wait, whatever `delay` says.
    pub max_delay: Duration,
    /// How long one try may take; as long as the request if not stated.
    pub per_try_timeout: Option<Duration>,
    /// Which outcomes are tried again.
    pub retry_on: RetryOn,
    /// Whether requests that are not idempotent are tried again too. Only for services that notice duplicates.
    pub non_idempotent: bool,
    /// Whether an answer that says when to come back (`Retry-After`, gRPC's pushback) is believed.
    pub retry_after: bool,
}

impl Default for Policy {
    /// 3 retries after 25, 50 and 100 ms at most, spread by full jitter.
    fn default() -> Self {
        Self {
            max_retries: 3,
            delay: Delay::Exponential { base: Duration::from_millis(25), factor: 2 },
            jitter: Jitter::Full,
            max_delay: Duration::from_secs(1),
            per_try_timeout: None,
            retry_on: RetryOn::default(),
            non_idempotent: false,
            retry_after: true,
        }
    }
}

/// How long to wait before a retry, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delay {
    /// Always the same.
    Fixed(Duration),
    /// `base`, then longer by `increment` each time.
    Linear {
        /// Before the first retry.
        base: Duration,
        /// What is added for each further one.
        increment: Duration,
    },
    /// `base`, then `factor` times as long each time.
    Exponential {
        /// Before the first retry.
        base: Duration,
        /// What each further one is multiplied by.
        factor: u32,
    },
}

/// How a delay varies from request to request, so that those that failed together don't return together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Anything from nothing to the whole delay, evenly (M. Brooker, "Exponential Backoff And Jitter", 2015).
    #[default]
    Full,
    /// Anything from the first retry's delay to three times the wait before, evenly (there, "decorrelated").
    Decorrelated,
}

/// How the waits between tries grow and vary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// How long to wait before each retry.
    pub delay: Delay,
    /// How the wait varies.
    pub jitter: Jitter,
    /// The longest wait, whatever `delay` says.
    pub max_delay: Duration,
}

/// Which outcomes are tried again, if the request is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryOn {
    /// No connection, or the request was refused before it was processed.
    pub connect_failure: bool,
    /// The connection broke after the request was sent and before an answer's head came.
    pub reset: bool,
    /// The try took longer than [`Policy::per_try_timeout`].
    pub per_try_timeout: bool,
    /// HTTP statuses.
    pub statuses: Vec<u16>,
    /// gRPC statuses that come with no message before them.
    pub grpc_statuses: Vec<u8>,
}

impl Default for RetryOn {
    /// Everything that another instance may do better: no connection, a broken one, a try that took too long,
    /// 502, 503 and 504, gRPC's UNAVAILABLE (14).
    fn default() -> Self {
        Self {
            connect_failure: true,
            reset: true,
            per_try_timeout: true,
            statuses: vec![502, 503, 504],
            grpc_statuses: vec![14],
        }
    }
}

/// How one try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was certainly not processed: no connection could be made, none of the request was written, or the
    /// other side said so (HTTP/2 `REFUSED_STREAM` or a `GOAWAY` below the stream, RFC 9113, 8.7; a refusal
    /// by the other side's sidecar).
    NeverProcessed,
    /// The connection broke after some of the request was written and before an answer's head came.
    Reset,
    /// No answer came within the time for one try.
    TimedOut,
    /// An answer with this HTTP status.
    Status(u16),
    /// A gRPC answer with this status and no message.
    GrpcStatus(u8),
}

/// What an answer says of another try.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Nothing.
    #[default]
    Nothing,
    /// There should be none before this long.
    After(Duration),
    /// There should be none: retries have been spent for it further down.
    Never,
}

/// What the machine is told of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// Whether the request is idempotent, by its method or by a key.
    pub idempotent: bool,
    /// Whether the whole request can be sent again: its body is empty, unread or still remembered.
    pub replayable: bool,
    /// Whether it is itself another try of a request that failed further up.
    pub repetition: bool,
    /// What the answer says of another try.
    pub advice: Advice,
    /// How long the request may still take; `None` if it has no deadline.
    pub remaining: Option<Duration>,
    /// A random number, for the jitter.
    pub random: u64,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A try ended.
    Tried(Tried),
    /// The retry that was granted cannot be paid for.
    BudgetSpent,
}

/// What is to be done with the last outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// Try again after this long, if the budget pays for it.
    Retry {
        /// How long to wait.
        after: Duration,
    },
    /// Pass the last outcome on, whatever it is.
    GiveUp {
        /// Why there is no further try.
        reason: Reason,
    },
}

/// Why a request is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The outcome is not one that the policy tries again. A success is one of these.
    Final,
    /// The other side may have processed it, and processing it twice might do harm.
    NotIdempotent,
    /// Its body has been passed on and is no longer remembered.
    NotReplayable,
    /// There have been as many retries as the policy allows.
    RetriesExhausted,
    /// The deadline would pass before the next try.
    DeadlineNear,
    /// All requests together have had as many retries as they may.
    BudgetSpent,
    /// Whoever sent it already tries it again.
    Repetition,
    /// Retries have been spent for it further down.
    SpentBelow,
    /// The answer asks for a longer wait than the policy allows.
    AskedToWait,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Final => "the outcome is not one that is retried",
            Self::NotIdempotent => "the request is not idempotent",
            Self::NotReplayable => "the request's body cannot be sent again",
            Self::RetriesExhausted => "all retries have been used",
            Self::DeadlineNear => "the deadline is too near for another try",
            Self::BudgetSpent => "the retry budget is spent",
            Self::Repetition => "its caller is already trying it again",
            Self::SpentBelow => "retries have been spent for it further down",
            Self::AskedToWait => "the answer asks for a longer wait than the policy allows",
        })
    }
}

/// How far one request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attempts {
    /// It is being tried.
    Trying {
        /// Tries that have ended.
        ended: u32,
        /// How long the last wait was.
        waited: Duration,
    },
    /// It is not tried again.
    GivenUp {
        /// Tries that have ended.
        ended: u32,
        /// Why.
        reason: Reason,
    },
}

impl Attempts {
    /// A request before its first try.
    pub const fn new() -> Self {
        Self::Trying { ended: 0, waited: Duration::ZERO }
    }

    /// How many tries have ended.
    pub const fn ended(&self) -> u32 {
        match *self {
            Self::Trying { ended, .. } | Self::GivenUp { ended, .. } => ended,
        }
    }

    /// Whether whoever waits for the answer is to be told not to try again: what may be spent on this request has
    /// been, here or further down. Where nothing was spent, a hop further up may do better.
    pub const fn stops_callers(&self) -> bool {
        match *self {
            Self::Trying { .. } => false,
            Self::GivenUp { ended, reason } => match reason {
                Reason::BudgetSpent | Reason::SpentBelow | Reason::Repetition | Reason::AskedToWait => true,
                Reason::RetriesExhausted | Reason::DeadlineNear => ended > 1,
                Reason::Final | Reason::NotIdempotent | Reason::NotReplayable => false,
            },
        }
    }

    /// Takes a step, and pays for a retry from the budget; what the shells call.
    pub fn after_try(&mut self, policy: &Policy, tried: Tried, spend: impl FnOnce() -> bool) -> Decision {
        let (next, decision) = step(*self, policy, Input::Tried(tried));
        *self = next;
        if matches!(decision, Decision::GiveUp { .. }) || spend() {
            return decision;
        }
        let (next, decision) = step(*self, policy, Input::BudgetSpent);
        *self = next;
        decision
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

/// The one transition function. Total: a request that was given up stays given up for its first reason.
pub fn step(state: Attempts, policy: &Policy, input: Input) -> (Attempts, Decision) {
    let (ended, waited) = match state {
        Attempts::Trying { ended, waited } => (ended, waited),
        Attempts::GivenUp { reason, .. } => return (state, Decision::GiveUp { reason }),
    };
    let (ended, verdict) = match input {
        Input::Tried(tried) => {
            let ended = ended.saturating_add(1);
            (ended, judge(ended, waited, policy, &tried))
        }
        Input::BudgetSpent => (ended, Err(Reason::BudgetSpent)),
    };
    match verdict {
        Ok(after) => (Attempts::Trying { ended, waited: after }, Decision::Retry { after }),
        Err(reason) => (Attempts::GivenUp { ended, reason }, Decision::GiveUp { reason }),
    }
}

impl Policy {
    /// How long to wait before retry `number`, counted from 1, after a wait of `waited` before the one before.
    pub fn delay_before(&self, number: u32, waited: Duration, random: u64) -> Duration {
        let Self { delay, jitter, max_delay, .. } = *self;
        Backoff { delay, jitter, max_delay }.before(number, waited, random)
    }
}

impl Backoff {
    /// How long to wait before retry `number`, counted from 1, after a wait of `waited` before the one before.
    pub fn before(&self, number: u32, waited: Duration, random: u64) -> Duration {
        let longest = self.delay.before(number).min(self.max_delay);
        match self.jitter {
            Jitter::None => longest,
            Jitter::Full => part(longest, random),
            Jitter::Decorrelated => {
                let base = self.delay.before(1).min(self.max_delay);
                let spread = waited.max(base).saturating_mul(3).min(self.max_delay).saturating_sub(base);
                base.saturating_add(part(spread, random))
            }
        }
    }
}

impl Delay {
    fn before(self, number: u32) -> Duration {
        let further = number.saturating_sub(1);
        match self {
            Self::Fixed(delay) => delay,
            Self::Linear { base, increment } => base.saturating_add(increment.saturating_mul(further)),
            Self::Exponential { base, factor } => base.saturating_mul(factor.saturating_pow(further)),
        }
    }
}

impl RetryOn {
    /// Whether this outcome is one to try again.
    pub fn includes(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::NeverProcessed => self.connect_failure,
            Outcome::Reset => self.reset,
            Outcome::TimedOut => self.per_try_timeout,
            Outcome::Status(status) => self.statuses.contains(&status),
            Outcome::GrpcStatus(status) => self.grpc_statuses.contains(&status),
        }
    }
}

/// The delay before the next try, or why there is none; `ended` tries have been made.
fn judge(ended: u32, waited: Duration, policy: &Policy, tried: &Tried) -> Result<Duration, Reason> {
    if !policy.retry_on.includes(tried.outcome) {
        return Err(Reason::Final);
    }
    // What nobody has processed has cost nobody anything.
    if tried.outcome != Outcome::NeverProcessed {
        if !(tried.idempotent || policy.non_idempotent) {
            return Err(Reason::NotIdempotent);
        }
        if tried.repetition {
            return Err(Reason::Repetition);
        }
        if tried.advice == Advice::Never {
            return Err(Reason::SpentBelow);
        }
    }
    if !tried.replayable {
        return Err(Reason::NotReplayable);
    }
    if ended > policy.max_retries {
        return Err(Reason::RetriesExhausted);
    }
    let mut after = policy.delay_before(ended, waited, tried.random);
    if let Advice::After(asked) = tried.advice
        && policy.retry_after
    {
        if asked > policy.max_delay {
            return Err(Reason::AskedToWait);
        }
        after = after.max(asked);
    }
    if tried.remaining.is_some_and(|remaining| remaining <= after) {
        return Err(Reason::DeadlineNear);
    }
    Ok(after)
}

/// Any part of a span, evenly: from zero to all of it in whole microseconds.
fn part(whole: Duration, random: u64) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX - 1).min(u64::MAX - 1);
    // `random * (micros + 1) / 2^64` is at most `micros`, and fits.
    Duration::from_micros(((u128::from(random) * u128::from(micros + 1)) >> 64) as u64)
}

#[cfg(test)]
mod chain;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
