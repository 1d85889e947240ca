//! How a group behaves.

use crate::error::{Code, Refusal};
use crate::retry::{Backoff, Delay, Jitter};
use std::time::Duration;

/// The most events that a group may hold.
pub const MAX_CAPACITY: u32 = 500_000;
/// The most events that may be given and not settled.
pub const MAX_IN_FLIGHT: u32 = 65_536;
/// The most events that may be parked.
pub const MAX_PARKED: u32 = 100_000;
/// The most ids that are remembered.
pub const MAX_DEDUP: u32 = 1_000_000;
/// The longest wait, and the longest deadline.
pub const MAX_DELAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a group behaves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Config {
    /// How long a delivery may take to be settled.
    pub ack_deadline: Duration,
    /// How many events may be given and not settled, to all members together.
    pub in_flight: u32,
    /// How often an event is given before it is parked.
    pub deliveries: u32,
    /// How long an event waits after it failed.
    pub backoff: Backoff,
    /// For how many of the last events a second one with the same id is left out; 0 for none.
    pub dedup: u32,
    /// How many events are held: given, waiting for a member, a time or their turn.
    pub capacity: u32,
    /// What happens when as many are held, and there are more.
    pub when_full: WhenFull,
    /// Whether the events of a key wait behind one that is parked.
    pub parked_key: ParkedKey,
    /// How many events may be parked. When there are as many, one that would be is given again and again instead.
    pub most_parked: u32,
}

/// What happens when a group holds as many events as it may.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhenFull {
    /// The others wait in the log.
    #[default]
    Block,
    /// The same, and publishers are refused until there is room.
    Reject,
    /// What has waited longest for a member is left out, and counted.
    DropOldest,
}

/// What the events of a key do when one of them is parked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkedKey {
    /// They wait, so that the order holds.
    #[default]
    Block,
    /// They run on.
    Continue,
}

impl Default for Config {
    /// 30 s to settle, 1,024 in flight, eight deliveries over about two minutes, 10,000 held, 1,000 parked.
    fn default() -> Self {
        Self {
            ack_deadline: Duration::from_secs(30),
            in_flight: 1_024,
            deliveries: 8,
            backoff: Backoff {
                delay: Delay::Exponential { base: Duration::from_secs(1), factor: 2 },
                jitter: Jitter::Full,
                max_delay: Duration::from_secs(60),
            },
            dedup: 0,
            capacity: 10_000,
            when_full: WhenFull::default(),
            parked_key: ParkedKey::default(),
            most_parked: 1_000,
        }
    }
}

impl Config {
    /// Checks the bounds.
    ///
    /// # Errors
    /// `subscription.invalid` names the setting, and what it may be.
    pub fn check(&self) -> Result<(), Refusal> {
        let count = |what: &str, value: u32, least: u32, most: u32| match (least..=most).contains(&value) {
            true => Ok(()),
            false => Err(format!("{what} is {value}; it may be from {least} to {most}")),
        };
        let span = |what: &str, value: Duration, least: Duration| match (least..=MAX_DELAY).contains(&value) {
            true => Ok(()),
            false => Err(format!("{what} is {value:?}; it may be from {least:?} to 24 hours")),
        };
        let all = || {
            span("the deadline", self.ack_deadline, Duration::from_millis(1))?;
            span("the longest wait", self.backoff.max_delay, Duration::ZERO)?;
            count("the number in flight", self.in_flight, 1, MAX_IN_FLIGHT)?;
            count("the number of deliveries", self.deliveries, 1, 1_000)?;
            count("the window of duplicates", self.dedup, 0, MAX_DEDUP)?;
            count("the capacity", self.capacity, 1, MAX_CAPACITY)?;
            count("the number of parked events", self.most_parked, 1, MAX_PARKED)
        };
        all().map_err(|detail| Refusal::new(Code::SubscriptionInvalid, detail))
    }
}
