//! Whether an instance can be relied upon, from what checks say.
//!
//! Life cycle: a [`State`] for each registered instance, made when it is registered (or when a server starts or
//! takes over, with the status that the log knows) and fed with answers, heartbeats and ticks by [`step`]. It is
//! volatile: only what it decides, a [`Transition`] with its [`Evidence`], is recorded.
//!
//! - Until it was healthy for the first time, an instance is checked every [`STARTING_INTERVAL`] and one
//!   success makes it healthy; failures say nothing for [`STARTING_GRACE`], because it may still be starting.
//! - From then on it is checked at the configured interval, give or take a tenth, and as many answers in a row
//!   count as the thresholds say.
//! - One that turns unhealthy again and again is held back for a while, whatever its checks say ([`Config::damping`]).
//! - The end of its process is immediate and final evidence.
//! - A heartbeat makes it healthy at once; with a [`Check::Ttl`], silence for the whole time is failure.
//! - A new state grants every time-out in full, so that nobody is judged by what a server that was down missed.
//!
//! Left out on purpose: asking the questions (crate `control`), and what is done with an unhealthy instance.

mod damping;
mod machine;

pub use machine::{Input, Output, State, next_check_at, next_tick_at, step};

use std::fmt;
use std::time::Duration;

/// How often an instance is checked that has not been healthy yet.
pub const STARTING_INTERVAL: Duration = Duration::from_millis(50);

/// How long failures of an instance that has not been healthy yet say nothing. Past this it is taken for
/// unhealthy and checked every [`STALLED_INTERVAL`], or at its own interval if that is shorter.
pub const STARTING_GRACE: Duration = Duration::from_secs(30);

/// How often an instance is checked that has never been healthy for longer than [`STARTING_GRACE`].
pub const STALLED_INTERVAL: Duration = Duration::from_secs(1);

/// How an instance is checked, and what follows from the answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// What is asked.
    pub check: Check,
    /// How long from one check to the next, once the instance has been healthy.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Consecutive failures that make a healthy instance unhealthy.
    pub unhealthy_threshold: u32,
    /// Consecutive successes that make an unhealthy instance healthy again.
    pub healthy_threshold: u32,
    /// How long an instance may stay unhealthy before it is deregistered; never if not stated.
    pub deregister_after: Option<Duration>,
    /// How long until a turn for the worse counts half. One that turned about four times in as long is held back, for twice
    /// as long at most. Never if zero.
    pub damping: Duration,
}

impl Default for Config {
    /// `GET /health` every 30 s with 5 s to answer; 3 failures and 2 successes count.
    fn default() -> Self {
        Self {
            check: Check::Http { path: "/health".into() },
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            deregister_after: None,
            damping: Duration::from_secs(60),
        }
    }
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Check {
    /// `GET path`; any 2xx status is healthy.
    Http {
        /// The path with its query.
        path: String,
    },
    /// `grpc.health.v1.Health/Check`; `SERVING` is healthy.
    Grpc {
        /// The service asked about; empty for the whole server.
        service: String,
    },
    /// A TCP connection; being accepted is healthy.
    Tcp,
    /// No question: the instance sends heartbeats, and silence for this long is a failure.
    Ttl {
        /// How long a heartbeat holds.
        ttl: Duration,
    },
}

/// What is believed of an instance.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// Not yet checked.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It does not.
    Unhealthy,
}

/// A change of belief, to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transition {
    /// What was believed.
    pub from: Status,
    /// What is believed from now on.
    pub to: Status,
}

/// Why a check failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// There was no connection, or it broke.
    Network,
    /// No answer came in time.
    Timeout,
    /// The answer says that it is not healthy: an HTTP status outside 2xx, or a gRPC status but `SERVING`.
    Unhealthy,
}

/// What a transition rests on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// What was asked, for example `GET /health`, `heartbeat` or `process`.
    pub check: String,
    /// What the answer was, for example `status 503` or `exited with code 1`.
    pub answer: String,
    /// How long the answer took.
    pub took: Duration,
}

impl Evidence {
    /// The most bytes of each text; longer ones are cut.
    pub const MAX_TEXT: usize = 256;

    /// Evidence with its texts cut to [`Evidence::MAX_TEXT`].
    pub fn new(check: &str, answer: &str, took: Duration) -> Self {
        Self { check: cut(check, Self::MAX_TEXT), answer: cut(answer, Self::MAX_TEXT), took }
    }
}

/// The evidence in a sentence, for example `GET /health: status 503 after 12 ms`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} after {} ms", self.check, self.answer, self.took.as_millis())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// What a check asks, as [`Evidence::check`] has it.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { path } => write!(f, "GET {path}"),
            Self::Grpc { service } if service.is_empty() => f.write_str("gRPC health"),
            Self::Grpc { service } => write!(f, "gRPC health of {service}"),
            Self::Tcp => f.write_str("TCP connection"),
            Self::Ttl { .. } => f.write_str("heartbeat"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Network => "no connection",
            Self::Timeout => "no answer in time",
            Self::Unhealthy => "unhealthy",
        })
    }
}

/// The text, cut to `most` bytes at the border of a character.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
