//! Retention: which of its oldest events a log may forget, by their age and by how much there is.
//!
//! A log forgets by stretches, the files that it is kept in: a stretch goes as a whole, oldest first, and the one that is
//! being written never does.

use crate::id::Position;
use crate::time::Timestamp;
use std::time::Duration;

/// How much is kept. By default everything.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Retention {
    /// Events are kept at least so long after they were appended.
    pub age: Option<Duration>,
    /// As many stretches are kept as do not have more bytes than this together; beside what is being written.
    pub bytes: Option<u64>,
}

/// A part of a log that is written no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stretch {
    /// The last position in it.
    pub last: Position,
    /// When its last event was appended.
    pub time: Timestamp,
    /// How many bytes it has.
    pub bytes: u64,
}

impl Retention {
    /// The first position that is kept, given the stretches of a log from old to new; none if nothing is to be forgotten.
    pub fn mark(&self, stretches: &[Stretch], now: Timestamp) -> Option<Position> {
        let old = |stretch: &&Stretch| self.age.is_some_and(|age| stretch.time.after(age) < now);
        let aged = stretches.iter().take_while(old).count();
        let mut left: u64 = stretches.iter().map(|stretch| stretch.bytes).sum();
        let too_much = |stretch: &&Stretch| {
            let over = self.bytes.is_some_and(|most| left > most);
            left = left.saturating_sub(stretch.bytes);
            over
        };
        let over = stretches.iter().take_while(too_much).count();
        let forgotten = aged.max(over).checked_sub(1)?;
        stretches.get(forgotten).map(|stretch| Position(stretch.last.0 + 1))
    }
}

#[cfg(test)]
mod tests;
