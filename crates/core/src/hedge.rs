//! Hedging: a second try beside a first one that is slow; the first good answer counts, and the others are let go.
//!
//! Life cycle: one [`Race`] for each call that may be hedged, begun with its first try. The shell tells it
//! when the try has been slow for as long as the [`Policy`] says, and how each try ended; [`step`] says whether to
//! send another, to wait on, or to take the answer. What is taken when all have failed is up to
//! [`retry`](crate::retry), as if there had been one try.
//!
//! Safety is the shell's to know: only what may be processed twice, and whose whole body can be sent again while the
//! first try still reads it, is hedged. A hedge is paid for from the retry [`budget`](crate::retry::budget).

use std::ops::RangeInclusive;
use std::time::Duration;

/// When another try goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// How long the tries so far may take before.
    pub after: After,
    /// The most tries beside the first. Values outside [`Policy::MAX`] are taken as the nearest one within.
    pub max: u32,
}

impl Policy {
    /// What `max` may be.
    pub const MAX: RangeInclusive<u32> = 1..=3;
    /// What [`After::Percentile`] may be.
    pub const PERCENTILE: RangeInclusive<u32> = 50..=99;
}

/// How long a try may take before another goes out beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// This long.
    Fixed(Duration),
    /// As long as this share of the service's tries takes at most, in percent, as far as that is known.
    Percentile(u32),
}

/// The tries of one call that run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Race {
    /// No answer counts yet.
    Running {
        /// Tries that have not ended.
        running: u32,
        /// Tries beside the first that have been sent.
        hedges: u32,
        /// Whether there may be more.
        open: bool,
    },
    /// One does.
    Over,
}

/// What happens in a race.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The time that the policy gives has passed since a try was sent, and none has ended well.
    Slow,
    /// The try that was to be sent is not: there is nobody else to ask, or the budget is spent.
    Unsent,
    /// A try ended.
    Ended {
        /// Whether its answer is one that is not tried again.
        good: bool,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Send another try, to somebody who has not been asked.
    Send,
    /// Wait for the tries that run, and for the time to pass again.
    Wait,
    /// Wait for the tries that run.
    WaitOnly,
    /// What ended last counts; the others are let go.
    Take,
}

impl Race {
    /// The first try is on its way.
    pub const fn new() -> Self {
        Self::Running { running: 1, hedges: 0, open: true }
    }
}

impl Default for Race {
    fn default() -> Self {
        Self::new()
    }
}

/// The one transition function. Total: when it is over nothing counts any more.
pub fn step(race: Race, policy: &Policy, input: Input) -> (Race, Command) {
    let Race::Running { running, hedges, open } = race else { return (race, Command::WaitOnly) };
    let most = policy.max.clamp(*Policy::MAX.start(), *Policy::MAX.end());
    match input {
        Input::Slow if open && hedges < most && running > 0 => {
            (Race::Running { running: running + 1, hedges: hedges + 1, open }, Command::Send)
        }
        Input::Slow => (race, Command::WaitOnly),
        Input::Unsent => {
            let (running, hedges) = (running.saturating_sub(1), hedges.saturating_sub(1));
            (Race::Running { running, hedges, open: false }, Command::WaitOnly)
        }
        Input::Ended { good: false } if running > 1 => {
            let more = if open && hedges < most { Command::Wait } else { Command::WaitOnly };
            (Race::Running { running: running - 1, hedges, open }, more)
        }
        Input::Ended { .. } => (Race::Over, Command::Take),
    }
}

#[cfg(test)]
mod model;
