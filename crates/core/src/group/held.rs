//! The events that a group holds, each in a slot, so that a delivery finds its event without a search.

use super::{Key, MemberId};
use crate::{Position, Timestamp};
use std::fmt;
use std::time::Duration;

/// Where an event lies.
pub(super) type Slot = u32;

/// How many bits of a ticket say where the event lies.
const SLOT_BITS: u32 = 20;

/// What a delivery is settled with: good for one delivery of one event, to one member. It does not count any more once
/// the delivery was settled, is overdue, or its member is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An event that is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Item {
    pub(super) at: Position,
    pub(super) key: Option<Key>,
    pub(super) attempts: u32,
    /// How long it waited the last time.
    pub(super) waited: Duration,
    /// Not to be given before.
    pub(super) due: Timestamp,
    pub(super) place: Place,
}

/// What an event waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// Its turn.
    Behind,
    /// A member.
    Ready,
    /// A time.
    Later,
    /// To be settled.
    Flying { ticket: Ticket, member: MemberId },
}

/// The events that are held.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub(super) struct Held {
    slots: Vec<Option<Item>>,
    free: Vec<Slot>,
}

impl Ticket {
    pub(super) fn new(serial: u64, slot: Slot) -> Self {
        Self(serial << SLOT_BITS | u64::from(slot))
    }

    pub(super) fn slot(self) -> Slot {
        (self.0 & ((1 << SLOT_BITS) - 1)) as Slot
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Item {
    pub(super) fn new(at: Position, key: Option<Key>, attempts: u32, due: Timestamp) -> Self {
        Self { at, key, attempts, waited: Duration::ZERO, due, place: Place::Behind }
    }
}

impl Held {
    pub(super) fn len(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Item> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Item> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn put(&mut self, item: Item) -> Slot {
        if let Some(slot) = self.free.pop()
            && let Some(free) = self.slots.get_mut(slot as usize)
        {
            *free = Some(item);
            return slot;
        }
        self.slots.push(Some(item));
        (self.slots.len() - 1) as Slot
    }

    pub(super) fn take(&mut self, slot: Slot) -> Option<Item> {
        let item = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(item)
    }

    pub(super) fn is_flying(&self, ticket: Ticket) -> bool {
        let place = self.get(ticket.slot()).map(|item| item.place);
        matches!(place, Some(Place::Flying { ticket: own, .. }) if own == ticket)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.slots.iter().flatten()
    }

    /// The place of the oldest.
    pub(super) fn first(&self) -> Option<Position> {
        self.iter().map(|item| item.at).min()
    }

    /// What somebody was given and has not settled.
    pub(super) fn given_to(&self, member: MemberId) -> Vec<(Position, Ticket)> {
        let given = self.iter().filter_map(|item| match item.place {
            Place::Flying { ticket, member: own } if own == member => Some((item.at, ticket)),
            _ => None,
        });
        given.collect()
    }
}
