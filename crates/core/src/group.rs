//! A consumer group: which event of a log is given to which consumer, when it is given again, and when no more.
//!
//! Events are offered in the order of the log. Those with the same [`Key`] are given one at a time, in that order;
//! others run on. Whoever is given one *settles* it, by an acknowledgement or a refusal, within the deadline; else it is
//! given again after a wait. After so many deliveries it is *parked*: it waits for somebody, and by the group's policy
//! the events of its key wait behind it or run on.
//!
//! At least once: an event is done with when it was acknowledged, when it is parked, or when a policy left it out, and
//! these are counted. A [`Checkpoint`] is what is to be kept of all this; a group that is made of one gives every event
//! again that was not done with when it was taken, so a crash repeats deliveries and loses none.
//!
//! Life cycle, in the manner of `poll`: [`Group::step`] takes what happened; then [`Group::poll_delivery`] is asked until
//! it has nothing, [`Group::wants_more`] says whether to read on in the log, and [`Group::wake_at`] when to step with
//! [`Input::Time`]. Back-pressure is that: what a group does not want yet stays in the log.
//!
//! Bounded: a group holds at most [`Config::capacity`] events, and [`Config::most_parked`] besides. No step walks over
//! what is held, but for a member that leaves, and a seek.
//!
//! Left out on purpose: the events themselves (they are in the log, by position), who the members are, and where a
//! checkpoint is kept.

mod checkpoint;
mod config;
mod definition;
mod held;
mod input;
mod members;
mod seen;

pub use checkpoint::{Checkpoint, Open};
pub use config::{
    Config, MAX_CAPACITY, MAX_DEDUP, MAX_DELAY, MAX_IN_FLIGHT, MAX_PARKED, ParkedKey, WhenFull,
};
pub use definition::{DELIVER, Definition, Delivered, Filter, Form, GroupName, Ordering, Start, is_method};
pub use held::Ticket;
pub use input::{Illegal, Input, LONGEST_UNREACHED, Offered, Taken};

use crate::balance::hash::mix;
use crate::{Position, Timestamp};
use held::{Held, Item, Place, Slot};
use input::SHORTEST_UNREACHED;
use members::Members;
use seen::Seen;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What orders events: those with the same one are given one at a time. The hash of a text; two texts that share one are
/// ordered among each other too, which does no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u64);

/// One of those who are given events, for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub u64);

/// The state of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    config: Config,
    seed: u64,
    held: Held,
    /// The keys of which something is held, or parked so that others wait.
    keys: BTreeMap<Key, Line>,
    /// What may be given now, in the order of giving.
    ready: VecDeque<Slot>,
    /// What may be given later.
    later: BTreeSet<(Timestamp, Slot)>,
    members: Members,
    /// When what was given is overdue, in that order. What has been settled meanwhile is left in.
    deadlines: VecDeque<(Timestamp, Ticket)>,
    flying: u32,
    parked: BTreeMap<Position, Parked>,
    seen: Seen,
    /// Everything up to here was offered, or is none of this group's.
    read_to: Position,
    /// The last event that was ever given or left out.
    touched_to: Position,
    /// How many deliveries there were, and how many of these were not the first of their event.
    serial: u64,
    redelivered: u64,
    counts: Counts,
    changes: u64,
    urgent: u64,
}

/// The events of a key.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
struct Line {
    /// Whether one of them has its turn.
    busy: bool,
    /// How many are parked, if the others wait for these.
    parked: u32,
    behind: VecDeque<Slot>,
}

/// An event that waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parked {
    /// Its key.
    pub key: Option<Key>,
    /// How often it was given.
    pub attempts: u32,
    /// Since when.
    pub since: Timestamp,
    /// How the last delivery failed.
    pub cause: Cause,
}

/// How a delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Whoever was given the event refused it.
    Refused,
    /// The deadline passed.
    Overdue,
    /// Whoever was given the event left.
    Left,
}

/// What became of events, since the group was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Counts {
    /// Acknowledged.
    pub acked: u64,
    /// Deliveries that failed.
    pub failed: u64,
    /// Left out to make room, as [`WhenFull::DropOldest`] has it.
    pub dropped: u64,
    /// Left out because an event with the same id came before.
    pub duplicates: u64,
    /// Parked and then left out by somebody.
    pub discarded: u64,
    /// No longer in the log when they were to be given.
    pub gone: u64,
}

/// An event is to be given to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// To whom.
    pub member: MemberId,
    /// The event.
    pub at: Position,
    /// What it is settled with.
    pub ticket: Ticket,
    /// How often it was given, this time included.
    pub attempt: u32,
}

/// How a group is, for whoever looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status {
    /// Everything up to here is done with.
    pub low: Position,
    /// Everything up to here was offered.
    pub read_to: Position,
    /// Events that are held.
    pub held: u32,
    /// Of these, given and not settled.
    pub in_flight: u32,
    /// Of these, waiting for a time: a retry, or one of their own.
    pub waiting: u32,
    /// Of these, waiting for a member.
    pub ready: u32,
    /// Parked events.
    pub parked: u32,
    /// Members.
    pub members: u32,
    /// Deliveries since the group was made or restored.
    pub delivered: u64,
    /// How many of these were not the first of their event.
    pub redelivered: u64,
    /// What became of the others.
    pub counts: Counts,
}

impl Group {
    /// A group that begins after a position. The seed varies the waits of groups among each other.
    pub fn new(config: Config, after: Position, seed: u64) -> Self {
        Self::restore(config, Checkpoint::at(after), seed, Timestamp::ZERO)
    }

    /// How it behaves.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Up to where the log was offered: where to read on.
    pub fn read_to(&self) -> Position {
        self.read_to
    }

    /// Whether to read on in the log.
    pub fn wants_more(&self) -> bool {
        let drops = self.config.when_full == WhenFull::DropOldest && !self.ready.is_empty();
        !self.is_full() || drops
    }

    /// Whether the group holds as much as it may.
    pub fn is_full(&self) -> bool {
        self.held.len() >= self.config.capacity
    }

    /// How many times the checkpoint changed in a way that is worth keeping.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many of these changes are worth keeping at once: something was parked, or somebody changed something.
    pub fn urgent(&self) -> u64 {
        self.urgent
    }

    /// The parked events, oldest first.
    pub fn parked(&self) -> &BTreeMap<Position, Parked> {
        &self.parked
    }

    /// When to step with [`Input::Time`]. It may be too early, never too late.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let later = self.later.first().map(|(at, _)| *at);
        let overdue = self.deadlines.front().map(|(at, _)| *at);
        later.into_iter().chain(overdue).min()
    }

    /// How the group is. Looks at all that is held.
    pub fn status(&self) -> Status {
        let low = self.held.first().map_or(self.read_to, |first| Position(first.0.saturating_sub(1)));
        Status {
            low,
            read_to: self.read_to,
            held: self.held.len(),
            in_flight: self.flying,
            waiting: self.later.len() as u32,
            ready: self.ready.len() as u32,
            parked: self.parked.len() as u32,
            members: self.members.len(),
            delivered: self.serial,
            redelivered: self.redelivered,
            counts: self.counts,
        }
    }

    /// The next event to give, if there is one and somebody has room for it.
    pub fn poll_delivery(&mut self, now: Timestamp) -> Option<Delivery> {
        if self.flying >= self.config.in_flight || self.ready.is_empty() {
            return None;
        }
        let member = self.members.next()?;
        let slot = self.ready.pop_front()?;
        self.serial += 1;
        let ticket = Ticket::new(self.serial, slot);
        let item = self.held.get_mut(slot)?;
        item.attempts = item.attempts.saturating_add(1);
        item.place = Place::Flying { ticket, member };
        let (at, attempt) = (item.at, item.attempts);
        self.redelivered += u64::from(attempt > 1);
        self.touched_to = self.touched_to.max(at);
        self.flying += 1;
        self.deadlines.push_back((now.after(self.config.ack_deadline), ticket));
        self.forget_settled();
        Some(Delivery { member, at, ticket, attempt })
    }

    /// Takes in the next event of the log, if the group wants more.
    ///
    /// # Errors
    /// [`Illegal`] if it does not fit the state; nothing changed.
    pub fn offer(&mut self, offered: Offered, now: Timestamp) -> Result<Taken, Illegal> {
        let Offered { at, id, key, not_before } = offered;
        if at <= self.read_to {
            return Err(Illegal::Past(at));
        }
        if !self.wants_more() {
            return Err(Illegal::Full);
        }
        self.read_to = at;
        if !self.seen.insert(id, self.config.dedup) {
            self.touched_to = at;
            self.counts.duplicates += 1;
            self.changes += 1;
            return Ok(Taken::default());
        }
        let dropped = if self.is_full() { self.drop_oldest(now) } else { None };
        let slot = self.hold(Item::new(at, key, 0, not_before.unwrap_or_default()), now);
        let ready = self.held.get(slot).is_some_and(|item| item.place == Place::Ready);
        Ok(Taken { held: true, ready, dropped })
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// [`Illegal`] if it does not fit the state; nothing changed.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Result<(), Illegal> {
        match input {
            Input::Passed { to } => self.read_to = self.read_to.max(to),
            Input::Seen { id } => _ = self.seen.insert(id, self.config.dedup),
            Input::Joined { member, most } => self.members.join(member, most),
            Input::Left { member } => return self.left(member, now),
            Input::Acked { ticket } => {
                let item = self.land(ticket)?;
                self.counts.acked += 1;
                self.settled(&item, now);
            }
            Input::Gone { ticket } => {
                let item = self.land(ticket)?;
                self.counts.gone += 1;
                self.settled(&item, now);
            }
            Input::Refused { ticket, delay } => {
                self.take_back(ticket)?;
                self.failed(ticket.slot(), Cause::Refused, delay, now);
            }
            Input::Unreached { ticket, delay } => {
                self.take_back(ticket)?;
                self.unreached(ticket.slot(), delay, now);
            }
            Input::Time => self.time(now),
            Input::Retry { at } => return self.retry(at, now),
            Input::Drop { at } => return self.discard(at, now),
            Input::Seek { after } => self.seek(after),
        }
        Ok(())
    }

    /// Leaves out what has waited longest for a member.
    fn drop_oldest(&mut self, now: Timestamp) -> Option<Position> {
        let item = self.ready.pop_front().and_then(|slot| self.held.take(slot))?;
        self.counts.dropped += 1;
        self.settled(&item, now);
        Some(item.at)
    }

    /// Takes an event in: it waits for its turn, if its key is taken.
    fn hold(&mut self, item: Item, now: Timestamp) -> Slot {
        let key = item.key;
        let slot = self.held.put(item);
        let Some(key) = key else {
            self.take_turn(slot, now);
            return slot;
        };
        let line = self.keys.entry(key).or_default();
        if line.busy || line.parked > 0 {
            line.behind.push_back(slot);
        } else {
            line.busy = true;
            self.take_turn(slot, now);
        }
        slot
    }

    fn take_turn(&mut self, slot: Slot, now: Timestamp) {
        let Some(item) = self.held.get_mut(slot) else { return };
        if item.due > now {
            item.place = Place::Later;
            self.later.insert((item.due, slot));
        } else {
            item.place = Place::Ready;
            self.ready.push_back(slot);
        }
    }

    /// Ends a delivery, if it counts; the event is held no more.
    fn land(&mut self, ticket: Ticket) -> Result<Item, Illegal> {
        self.take_back(ticket)?;
        self.held.take(ticket.slot()).ok_or(Illegal::Stale)
    }

    /// Ends a delivery, if it counts.
    fn take_back(&mut self, ticket: Ticket) -> Result<(), Illegal> {
        let item = self.held.get_mut(ticket.slot()).ok_or(Illegal::Stale)?;
        match item.place {
            Place::Flying { ticket: own, member } if own == ticket => {
                item.place = Place::Behind;
                self.flying -= 1;
                self.members.landed(member);
                Ok(())
            }
            _ => Err(Illegal::Stale),
        }
    }

    /// An event is done with: the next of its key has its turn.
    fn settled(&mut self, item: &Item, now: Timestamp) {
        self.touched_to = self.touched_to.max(item.at);
        self.changes += 1;
        if let Some(key) = item.key {
            self.next_of(key, now);
        }
    }

    fn next_of(&mut self, key: Key, now: Timestamp) {
        let Some(line) = self.keys.get_mut(&key) else { return };
        line.busy = false;
        if line.parked > 0 {
            return;
        }
        match line.behind.pop_front() {
            Some(next) => {
                line.busy = true;
                self.take_turn(next, now);
            }
            None => _ = self.keys.remove(&key),
        }
    }

    /// A delivery failed: the event is given again later, or parked if it was given often enough and there is room.
    fn failed(&mut self, slot: Slot, cause: Cause, delay: Option<Duration>, now: Timestamp) {
        self.counts.failed += 1;
        let Some(item) = self.held.get_mut(slot) else { return };
        if item.attempts >= self.config.deliveries && self.parked.len() < self.config.most_parked as usize {
            return self.park(slot, cause, now);
        }
        let random = mix(self.seed ^ self.serial.rotate_left(32) ^ item.at.0);
        let wait = match (cause, delay) {
            (Cause::Left, _) if item.attempts < self.config.deliveries => Duration::ZERO,
            (_, Some(delay)) => delay.min(MAX_DELAY),
            (_, None) => self.config.backoff.before(item.attempts, item.waited, random),
        };
        item.waited = wait;
        item.due = now.after(wait);
        self.take_turn(slot, now);
    }

    /// A delivery came to nobody: the event is given again later, as often as before.
    fn unreached(&mut self, slot: Slot, delay: Option<Duration>, now: Timestamp) {
        let Some(item) = self.held.get_mut(slot) else { return };
        let random = mix(self.seed ^ self.serial.rotate_left(32) ^ item.at.0);
        let backoff = self.config.backoff.before(item.attempts, item.waited, random);
        let grown = backoff.max(2 * item.waited).clamp(SHORTEST_UNREACHED, LONGEST_UNREACHED);
        item.attempts = item.attempts.saturating_sub(1);
        item.waited = grown;
        item.due = now.after(delay.map_or(grown, |delay| delay.min(MAX_DELAY)));
        self.take_turn(slot, now);
    }

    fn park(&mut self, slot: Slot, cause: Cause, now: Timestamp) {
        let Some(item) = self.held.take(slot) else { return };
        let Item { at, key, attempts, .. } = item;
        self.parked.insert(at, Parked { key, attempts, since: now, cause });
        self.urgent += 1;
        if let Some(key) = key
            && self.config.parked_key == ParkedKey::Block
        {
            self.keys.entry(key).or_default().parked += 1;
        }
        self.settled(&item, now);
    }

    fn retry(&mut self, at: Position, now: Timestamp) -> Result<(), Illegal> {
        let parked = self.unpark(at)?;
        let Some(key) = parked.key else {
            self.hold(Item::new(at, None, 0, now), now);
            return Ok(());
        };
        let slot = self.held.put(Item::new(at, Some(key), 0, now));
        let line = self.keys.entry(key).or_default();
        // It is older than all that wait.
        if line.busy {
            line.behind.push_front(slot);
        } else {
            line.busy = true;
            self.take_turn(slot, now);
        }
        Ok(())
    }

    fn discard(&mut self, at: Position, now: Timestamp) -> Result<(), Illegal> {
        let parked = self.unpark(at)?;
        self.counts.discarded += 1;
        if let Some(key) = parked.key
            && self.keys.get(&key).is_some_and(|line| !line.busy)
        {
            self.next_of(key, now);
        }
        Ok(())
    }

    fn unpark(&mut self, at: Position) -> Result<Parked, Illegal> {
        let parked = self.parked.remove(&at).ok_or(Illegal::NotParked(at))?;
        self.changes += 1;
        self.urgent += 1;
        if let Some(line) = parked.key.and_then(|key| self.keys.get_mut(&key)) {
            line.parked = line.parked.saturating_sub(1);
        }
        Ok(parked)
    }

    fn left(&mut self, member: MemberId, now: Timestamp) -> Result<(), Illegal> {
        if !self.members.leave(member) {
            return Err(Illegal::NoMember);
        }
        let mut given = self.held.given_to(member);
        given.sort_unstable_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (_, ticket) in given {
            if self.take_back(ticket).is_ok() {
                let before = self.ready.len();
                self.failed(ticket.slot(), Cause::Left, None, now);
                // It goes first, so that the order stays as it would have been.
                if self.ready.len() > before && self.ready.back() == Some(&ticket.slot()) {
                    self.ready.rotate_right(1);
                }
            }
        }
        Ok(())
    }

    fn time(&mut self, now: Timestamp) {
        while let Some((due, ticket)) = self.deadlines.front().copied()
            && due <= now
        {
            self.deadlines.pop_front();
            if self.take_back(ticket).is_ok() {
                self.failed(ticket.slot(), Cause::Overdue, None, now);
            }
        }
        while let Some((due, slot)) = self.later.first().copied()
            && due <= now
        {
            self.later.pop_first();
            self.take_turn(slot, now);
        }
    }

    /// Gives up all that is held, and begins again after a position. What is parked up to there stays parked.
    fn seek(&mut self, after: Position) {
        self.held = Held::default();
        self.keys.clear();
        self.ready.clear();
        self.later.clear();
        self.deadlines.clear();
        self.flying = 0;
        self.members.all_landed();
        self.seen = Seen::default();
        self.parked.retain(|at, _| *at <= after);
        (self.read_to, self.touched_to) = (after, after);
        self.changes += 1;
        self.urgent += 1;
        self.block_parked_keys();
    }

    fn block_parked_keys(&mut self) {
        if self.config.parked_key == ParkedKey::Block {
            for key in self.parked.values().filter_map(|parked| parked.key) {
                self.keys.entry(key).or_default().parked += 1;
            }
        }
    }

    /// Keeps the list of deadlines in proportion to what it is about.
    fn forget_settled(&mut self) {
        if self.deadlines.len() > 64 + 2 * self.flying as usize {
            let held = &self.held;
            self.deadlines.retain(|(_, ticket)| held.is_flying(*ticket));
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
