//! What is kept of a group.

use super::{Config, Counts, Group, Held, Item, Key, Members, Parked, Seen};
use crate::{Position, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is to be kept of a group: everything up to `to` is done with, except for what is open and what is parked.
/// Everything after it is as if it had never been offered.
#[derive(Debug, Default, Clone, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    /// How far it goes.
    pub to: Position,
    /// What is not done with up to there, oldest first.
    pub open: Vec<Open>,
    /// What is parked up to there.
    pub parked: BTreeMap<Position, Parked>,
    /// What became of the others.
    pub counts: Counts,
}

/// An event that is not done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Open {
    /// Where it is.
    pub at: Position,
    /// Its key.
    pub key: Option<Key>,
    /// How often it was given.
    pub attempts: u32,
    /// Not to be given before.
    pub due: Timestamp,
}

impl Checkpoint {
    /// Before anything after a position.
    pub fn at(after: Position) -> Self {
        Self { to: after, ..Self::default() }
    }

    /// Whether a group that is made of this gives an event again, or has it parked.
    pub fn has(&self, at: Position) -> bool {
        let is_open = || self.open.iter().any(|open| open.at == at);
        at > self.to || self.parked.contains_key(&at) || is_open()
    }
}

impl Group {
    /// What to keep of the group now. Looks at all that is held.
    pub fn checkpoint(&self) -> Checkpoint {
        let to = match self.held.first() {
            None => self.read_to,
            Some(first) => self.touched_to.max(Position(first.0.saturating_sub(1))),
        };
        // What was held and never given is read again.
        let items = self.held.iter().filter(|item| item.at <= to);
        let mut open: Vec<Open> =
            items.map(|&Item { at, key, attempts, due, .. }| Open { at, key, attempts, due }).collect();
        open.sort_unstable_by_key(|open| open.at);
        Checkpoint { to, open, parked: self.parked.clone(), counts: self.counts }
    }

    /// A group that goes on from a checkpoint. Nobody is a member yet.
    pub fn restore(config: Config, checkpoint: Checkpoint, seed: u64, now: Timestamp) -> Self {
        let Checkpoint { to, open, parked, counts } = checkpoint;
        let mut group = Self {
            config,
            seed,
            held: Held::default(),
            keys: BTreeMap::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            members: Members::default(),
            deadlines: VecDeque::new(),
            flying: 0,
            parked,
            seen: Seen::default(),
            read_to: to,
            touched_to: to,
            serial: 0,
            redelivered: 0,
            counts,
            changes: 0,
            urgent: 0,
        };
        group.block_parked_keys();
        for Open { at, key, attempts, due } in open {
            group.hold(Item::new(at, key, attempts, due), now);
        }
        group
    }
}
