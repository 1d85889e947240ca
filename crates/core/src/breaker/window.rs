//! Which calls a breaker looks back at while it is closed, and what became of them.
//!
//! What a window holds belongs to one generation: when the breaker closes anew, it looks back at nothing.

use super::{Generation, Outcome};
use crate::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Which calls a breaker looks back at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// As many as have failed one after the other: nothing but their number is kept.
    #[default]
    Consecutive,
    /// The last so many calls.
    Count {
        /// How many; see [`Window::SIZE`].
        size: u32,
    },
    /// The calls that ended within the last so long, in steps of a tenth of it.
    Time {
        /// How long.
        span: Duration,
    },
}

impl Window {
    /// What the size of a count window may be; another is taken as the nearest.
    pub const SIZE: RangeInclusive<u32> = 1..=100;
    /// How many buckets the span of a time window is divided into.
    pub(super) const BUCKETS: u64 = 10;

    pub(super) fn size(size: u32) -> u32 {
        size.clamp(*Self::SIZE.start(), *Self::SIZE.end())
    }

    /// Which bucket of a time window it is now, counted from the beginning of the generation.
    pub(super) fn bucket(span: Duration, generation: Generation, now: Timestamp) -> u64 {
        let length = (span / Self::BUCKETS as u32).max(Duration::from_millis(1)).as_micros();
        let passed = now.since(generation.began()).as_micros() / length;
        u64::try_from(passed).unwrap_or(u64::MAX)
    }
}

/// What became of some calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counts {
    /// How many there were.
    pub calls: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Those of them that were slow.
    pub slow: u32,
}

impl Counts {
    /// How many calls one bucket of a time window counts. When it has as many it forgets every second one, so that shares
    /// stay what they are and new calls still change them.
    pub(super) const MOST: u32 = (1 << 14) - 1;

    /// These and one more.
    pub(super) fn with(self, outcome: Outcome) -> Self {
        Self {
            calls: self.calls + 1,
            failed: self.failed + u32::from(outcome.failed),
            slow: self.slow + u32::from(outcome.slow),
        }
    }

    /// These and one more, in one bucket.
    pub(super) fn in_bucket(self, outcome: Outcome) -> Self {
        if self.calls < Self::MOST {
            return self.with(outcome);
        }
        Self { calls: self.calls / 2, failed: self.failed / 2, slow: self.slow / 2 }.with(outcome)
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            failed: self.failed + other.failed,
            slow: self.slow + other.slow,
        }
    }
}

/// The calls that a window looks back at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Recent {
    /// None.
    Nothing,
    /// The last so many.
    Count {
        /// How many.
        size: u32,
        /// Whose calls they are.
        generation: Generation,
        /// The calls, oldest first.
        outcomes: VecDeque<Outcome>,
    },
    /// Those of some time.
    Time {
        /// How long.
        span: Duration,
        /// Whose calls they are.
        generation: Generation,
        /// What became of them, by bucket.
        buckets: BTreeMap<u64, Counts>,
    },
}

impl Recent {
    /// No call yet.
    pub fn new(window: Window) -> Self {
        let generation = Generation::default();
        match window {
            Window::Consecutive => Self::Nothing,
            Window::Count { size } => {
                Self::Count { size: Window::size(size), generation, outcomes: VecDeque::new() }
            }
            Window::Time { span } => Self::Time { span, generation, buckets: BTreeMap::new() },
        }
    }

    /// Adds a call of this generation, which is not older than those that it has seen, and says what the window shows.
    pub(super) fn record(&mut self, of: Generation, outcome: Outcome, now: Timestamp) -> Counts {
        match self {
            Self::Nothing => Counts::default(),
            Self::Count { size, generation, outcomes } => {
                if *generation != of {
                    *generation = of;
                    outcomes.clear();
                }
                outcomes.push_back(outcome);
                if outcomes.len() > *size as usize {
                    outcomes.pop_front();
                }
                outcomes.iter().fold(Counts::default(), |counts, outcome| counts.with(*outcome))
            }
            Self::Time { span, generation, buckets } => {
                if *generation != of {
                    *generation = of;
                    buckets.clear();
                }
                let present = Window::bucket(*span, of, now);
                buckets.retain(|bucket, _| *bucket + Window::BUCKETS > present);
                let bucket = buckets.entry(present).or_default();
                *bucket = bucket.in_bucket(outcome);
                buckets.values().fold(Counts::default(), |counts, bucket| counts.plus(*bucket))
            }
        }
    }
}
