//! How far a projection has come: which event is next, which wait and why, and when a rebuilt read model takes
//! the place of the one that is read.
//!
//! A projection takes events in the order of the log and changes a read model. Events with the same key depend
//! on each other, others do not. So an event that cannot be applied is *parked* with its key: later events of
//! that key wait behind it, all others go on. A parked key is tried again after growing waits, then it waits
//! for somebody to [`Input::Unpark`] it or to [`Input::Drop`] the event.
//!
//! Life cycle: the shell asks [`Progress::offer`] what to do with an event, does it, and reports by
//! [`Progress::step`]; what the step changes is written in one transaction with the change of the read model, so
//! a state that is restored is always one that was reached, and each event has its effect exactly once.
//!
//! [`plan`] and [`may_switch`] are the rules of rebuilding beside the model that is read.
//!
//! Left out on purpose: the events themselves (they are in the log, by position) and why one failed (the shell
//! keeps the text).

use crate::{LogId, Position, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How failures are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// How often an event is tried before it waits for somebody; at least 1.
    pub attempts: u32,
    /// How long the first wait before another try is; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How many events may be parked. When there are as many, the projection stands still at the next one that
    /// would have to be.
    pub most_parked: usize,
}

impl Default for Config {
    /// Eight tries over about a minute; 10,000 events.
    fn default() -> Self {
        Self {
            attempts: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(30),
            most_parked: 10_000,
        }
    }
}

/// How far a read model is. Everything up to its position is applied or parked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Progress<K: Ord> {
    position: Position,
    parked: BTreeMap<K, Parked>,
}

/// The events of a key that wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parked {
    /// Where they are in the log, oldest first; at least one.
    pub events: VecDeque<Position>,
    /// How often the first was tried.
    pub attempts: u32,
    /// When it is tried again; none while it waits for somebody.
    pub due: Option<Timestamp>,
}

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Nothing: it has been dealt with.
    Past,
    /// Apply it.
    Apply,
    /// Park it without trying: its key is parked.
    Park,
    /// Stand still: it would have to be parked and there is no room.
    Full,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input<K> {
    /// An event that was offered was applied.
    Applied {
        /// Where it is.
        at: Position,
        /// Its key.
        key: K,
    },
    /// An event that was offered could not be applied.
    Failed {
        /// Where it is.
        at: Position,
        /// Its key.
        key: K,
    },
    /// An event that was offered was put behind others of its key.
    Queued {
        /// Where it is.
        at: Position,
        /// Its key.
        key: K,
    },
    /// There is nothing for this projection up to a position.
    Passed {
        /// The position.
        to: Position,
    },
    /// The first parked event of a key was applied.
    Retried {
        /// The key.
        key: K,
        /// Where the event is.
        at: Position,
    },
    /// The first parked event of a key failed again.
    RetryFailed {
        /// The key.
        key: K,
        /// Where the event is.
        at: Position,
    },
    /// Somebody wants a key to be tried again, now and as often as at first.
    Unpark {
        /// The key.
        key: K,
    },
    /// Somebody wants the first parked event of a key to be left out.
    Drop {
        /// The key.
        key: K,
        /// Where the event is.
        at: Position,
    },
}

/// An input that does not fit the state; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Illegal {
    /// The position was dealt with.
    #[error("position {0} has been dealt with")]
    Past(Position),
    /// The event is not what its key waits for.
    #[error("no event at position {0} is the first that its key waits for")]
    NotFirst(Position),
    /// The key is parked, or is not.
    #[error("an event of a parked key is queued, and of no other")]
    WrongKey,
    /// No further event may be parked.
    #[error("{0} events are parked; no more may be")]
    Full(usize),
}

impl<K: Ord + Clone> Progress<K> {
    /// Before any event.
    pub fn new() -> Self {
        Self::restore(Position::START, BTreeMap::new())
    }

    /// As it was written.
    pub fn restore(position: Position, parked: BTreeMap<K, Parked>) -> Self {
        Self { position, parked }
    }

    /// Up to where every event is applied or parked.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The keys that wait.
    pub fn parked(&self) -> &BTreeMap<K, Parked> {
        &self.parked
    }

    /// How many events wait.
    pub fn waiting(&self) -> usize {
        self.parked.values().map(|parked| parked.events.len()).sum()
    }

    /// What to do with the event at a position. Events must be offered in the order of the log.
    pub fn offer(&self, config: &Config, at: Position, key: &K) -> Offer {
        match self.parked.contains_key(key) {
            _ if at <= self.position => Offer::Past,
            false => Offer::Apply,
            true if self.waiting() < config.most_parked => Offer::Park,
            true => Offer::Full,
        }
    }

    /// Whether an event that could not be applied can be parked.
    pub fn has_room(&self, config: &Config) -> bool {
        self.waiting() < config.most_parked
    }

    /// A parked event whose time has come, the one that has waited longest for it.
    pub fn due(&self, now: Timestamp) -> Option<(&K, Position)> {
        let due = self.parked.iter().filter(|(_, parked)| parked.due.is_some_and(|due| due <= now));
        let (key, parked) = due.min_by_key(|(_, parked)| parked.due)?;
        Some((key, *parked.events.front()?))
    }

    /// When the next parked event is due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.parked.values().filter_map(|parked| parked.due).min()
    }

    /// Takes in what happened.
    ///
    /// # Errors
    /// [`Illegal`] if it cannot have happened in this state; nothing changed.
    pub fn step(&mut self, config: &Config, input: Input<K>, now: Timestamp) -> Result<(), Illegal> {
        match input {
            Input::Passed { to } if to < self.position => return Err(Illegal::Past(to)),
            Input::Passed { to } => self.position = to,
            Input::Applied { at, key } => {
                self.check_next(at, &key, false)?;
                self.position = at;
            }
            Input::Queued { at, key } => {
                self.check_next(at, &key, true)?;
                self.check_room(config)?;
                self.position = at;
                self.parked.entry(key).and_modify(|parked| parked.events.push_back(at));
            }
            Input::Failed { at, key } => {
                self.check_next(at, &key, false)?;
                self.check_room(config)?;
                self.position = at;
                self.parked.insert(key, config.first_failure(at, now));
            }
            Input::Retried { key, at } | Input::Drop { key, at } => self.settle(&key, at, now)?,
            Input::RetryFailed { key, at } => {
                let parked = self.waits_for(&key, at)?;
                parked.attempts = parked.attempts.saturating_add(1);
                parked.due = config.next_try(parked.attempts, now);
            }
            Input::Unpark { key } => {
                let parked = self.parked.get_mut(&key).ok_or(Illegal::WrongKey)?;
                (parked.attempts, parked.due) = (0, Some(now));
            }
        }
        Ok(())
    }

    fn check_next(&self, at: Position, key: &K, parked: bool) -> Result<(), Illegal> {
        match () {
            () if at <= self.position => Err(Illegal::Past(at)),
            () if self.parked.contains_key(key) != parked => Err(Illegal::WrongKey),
            () => Ok(()),
        }
    }

    fn check_room(&self, config: &Config) -> Result<(), Illegal> {
        if self.has_room(config) { Ok(()) } else { Err(Illegal::Full(self.waiting())) }
    }

    fn waits_for(&mut self, key: &K, at: Position) -> Result<&mut Parked, Illegal> {
        let parked = self.parked.get_mut(key).ok_or(Illegal::WrongKey)?;
        if parked.events.front() == Some(&at) { Ok(parked) } else { Err(Illegal::NotFirst(at)) }
    }

    /// Takes the first event of a key away; the next one is due at once.
    fn settle(&mut self, key: &K, at: Position, now: Timestamp) -> Result<(), Illegal> {
        let parked = self.waits_for(key, at)?;
        parked.events.pop_front();
        (parked.attempts, parked.due) = (0, Some(now));
        if parked.events.is_empty() {
            self.parked.remove(key);
        }
        Ok(())
    }
}

impl<K: Ord + Clone> Default for Progress<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    fn first_failure(&self, at: Position, now: Timestamp) -> Parked {
        Parked { events: [at].into(), attempts: 1, due: self.next_try(1, now) }
    }

    /// When an event that failed so often is tried again.
    fn next_try(&self, attempts: u32, now: Timestamp) -> Option<Timestamp> {
        let doublings = attempts.saturating_sub(1).min(20);
        let wait = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        (attempts < self.attempts).then(|| now.after(wait))
    }
}

/// What a read model was made from: which log, and which version of its projection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The log.
    pub log: LogId,
    /// The version that the projection states; another one makes other models of the same events.
    pub version: u32,
}

/// What to do with the read models that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plan {
    /// Make the first one. It is read from the beginning, while it is still behind.
    Begin,
    /// Go on with the one that is read.
    Continue,
    /// Make a new one beside the one that is read, or go on doing so.
    Rebuild {
        /// Whether one was begun that can go on; otherwise what was begun is of no use.
        resume: bool,
    },
}

/// What to do, given the model that is read, one that is being made beside it, and what is wanted.
pub fn plan(live: Option<Origin>, next: Option<Origin>, wanted: Origin) -> Plan {
    match (live, next) {
        (None, _) => Plan::Begin,
        (Some(_), Some(next)) if next == wanted => Plan::Rebuild { resume: true },
        (Some(live), None) if live == wanted => Plan::Continue,
        // A rebuild that somebody asked for was begun with another version: the wanted one is read already.
        (Some(live), Some(_)) if live == wanted => Plan::Continue,
        (Some(_), _) => Plan::Rebuild { resume: false },
    }
}

/// Whether a model that was made beside the one that is read may take its place: nobody who reads it goes back
/// in time, and it is as far as the log was when it was last looked at.
pub fn may_switch(live: (Origin, Position), next: (Origin, Position), head: Position) -> bool {
    let same_log = live.0.log == next.0.log;
    next.1 >= head && (!same_log || next.1 >= live.1)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
