//! When a workload asks for a certificate: at once if it has none, and again after half to two thirds of the time that
//! the present one holds, spread so that many do not ask together. A failure is tried again with back-off, which never
//! grows beyond a quarter of the time that is left.

use crate::time::Timestamp;
use std::time::Duration;

/// The first wait after a failure, and the longest.
pub const FIRST_DELAY: Duration = Duration::from_millis(200);
/// See [`FIRST_DELAY`].
pub const LAST_DELAY: Duration = Duration::from_secs(60);

/// What is known of one workload's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Renewal {
    /// Until when the present one holds, if there is one.
    until: Option<Timestamp>,
    ask_at: Timestamp,
    /// In a row.
    failures: u32,
}

/// What came of asking. `random` is any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A certificate that holds until then.
    Issued {
        /// When it ceases to hold.
        until: Timestamp,
        /// Any number.
        random: u64,
    },
    /// None was given.
    Failed {
        /// Any number.
        random: u64,
    },
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// Ask for a certificate.
    Ask,
    /// Look again then.
    Wait(Timestamp),
}

impl Renewal {
    /// Of a workload that has no certificate yet.
    pub const fn new(now: Timestamp) -> Self {
        Self { until: None, ask_at: now, failures: 0 }
    }

    /// What to do now.
    pub fn next(&self, now: Timestamp) -> Next {
        if self.ask_at <= now { Next::Ask } else { Next::Wait(self.ask_at) }
    }

    /// Whether the present certificate may be used. One that has expired never is.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// The state after asking. A certificate that holds no more when it comes is a failure.
    #[must_use]
    pub fn step(&self, input: Input, now: Timestamp) -> Self {
        match input {
            Input::Issued { until, random } if now < until => {
                let life = micros(until.since(now));
                let after = life / 2 + random % (life / 6 + 1);
                Self { until: Some(until), ask_at: now.after(Duration::from_micros(after)), failures: 0 }
            }
            Input::Issued { random, .. } | Input::Failed { random } => {
                let failures = self.failures.saturating_add(1);
                let most = micros(self.longest_delay(failures, now));
                let after = most / 2 + random % (most / 2 + 1);
                Self { failures, ask_at: now.after(Duration::from_micros(after)), ..self.clone() }
            }
        }
    }

    /// Doubling, but so that there are tries enough before the present certificate ends.
    fn longest_delay(&self, failures: u32, now: Timestamp) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LAST_DELAY);
        let left = self.until.map(|until| until.since(now)).filter(|left| !left.is_zero());
        doubled.min(left.map_or(LAST_DELAY, |left| (left / 4).max(FIRST_DELAY)))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
