//! What a group is told.

use super::{Key, MemberId, Ticket};
use crate::{EventId, Position, Timestamp};
use std::time::Duration;

/// The next event of the log that is a group's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Offered {
    /// Where it is.
    pub at: Position,
    /// Its id.
    pub id: EventId,
    /// What orders it, if anything does.
    pub key: Option<Key>,
    /// Not to be given before.
    pub not_before: Option<Timestamp>,
}

/// What became of an event that was offered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Taken {
    /// Whether it is held; otherwise it is a duplicate.
    pub held: bool,
    /// Whether it is given as soon as a member has room.
    pub ready: bool,
    /// Which event was left out to make room.
    pub dropped: Option<Position>,
}

/// The longest wait of an event whose consumer cannot be reached: how late it may come once the consumer is back.
pub const LONGEST_UNREACHED: Duration = Duration::from_secs(10);

/// The shortest.
pub(super) const SHORTEST_UNREACHED: Duration = Duration::from_millis(50);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// There is nothing else for this group up to a position.
    Passed {
        /// The position.
        to: Position,
    },
    /// This id was offered in an earlier life; for the window of duplicates.
    Seen {
        /// The id.
        id: EventId,
    },
    /// Somebody may be given events: at most `most` that are not settled, at any time. Again for another number.
    Joined {
        /// Who.
        member: MemberId,
        /// How many.
        most: u32,
    },
    /// Somebody is gone. What they have not settled is given again at once.
    Left {
        /// Who.
        member: MemberId,
    },
    /// A delivery was dealt with.
    Acked {
        /// Which.
        ticket: Ticket,
    },
    /// A delivery was not dealt with.
    Refused {
        /// Which.
        ticket: Ticket,
        /// When to give the event again, if whoever refused it says so.
        delay: Option<Duration>,
    },
    /// Nobody saw a delivery: it does not count as one. The event is given again after a wait that grows, up to
    /// [`LONGEST_UNREACHED`], so that a long outage parks nothing.
    Unreached {
        /// Which.
        ticket: Ticket,
        /// When to give the event again, if whoever stands before the consumer says so.
        delay: Option<Duration>,
    },
    /// The event of a delivery is no longer in the log.
    Gone {
        /// Which.
        ticket: Ticket,
    },
    /// Time has passed.
    Time,
    /// Somebody wants a parked event to be given again, as often as at first.
    Retry {
        /// Where it is.
        at: Position,
    },
    /// Somebody wants a parked event to be left out.
    Drop {
        /// Where it is.
        at: Position,
    },
    /// Somebody wants everything after a position to be given again.
    Seek {
        /// The position.
        after: Position,
    },
}

/// An input that does not fit the state; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Illegal {
    /// The log is not offered in its order.
    #[error("position {0} was offered or passed before")]
    Past(Position),
    /// The group is full.
    #[error("the group holds as many events as it may")]
    Full,
    /// The delivery was settled before, failed, or is none of this group's.
    #[error("the delivery does not count any more")]
    Stale,
    /// There is no such member.
    #[error("there is no such member")]
    NoMember,
    /// No such event is parked.
    #[error("no event at position {0} is parked")]
    NotParked(Position),
}
