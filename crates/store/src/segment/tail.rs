//! The index of one segment in memory: of the one that is being written, and of one whose index is being made. Bounded by
//! the size of a segment.

use super::keys::{self, Key, KeyHasher};
use super::lookup::{Found, Lookup};
use crate::admission::fingerprint;
use crate::log::{Direction, Event};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::ops::Range;
use tenon_core::Position;

/// A block begins with the first batch this many bytes behind the beginning of the last one.
const BLOCK_BYTES: u32 = 16 << 10;

/// Where a block of batches begins, and the first position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: Position,
    /// The byte in the file.
    pub(crate) at: u32,
}

/// The index of one segment.
#[derive(Debug, Default, Clone)]
pub(crate) struct TailIndex {
    /// What is to be added to a byte in the file to have its place in the log.
    base: u64,
    blocks: Vec<Block>,
    postings: HashMap<Key, Postings, BuildHasherDefault<KeyHasher>>,
    ids: Vec<u32>,
}

/// The batches under a key. Most keys have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Postings {
    One(u32),
    Many(Vec<u32>),
}

impl TailIndex {
    /// An empty index of a segment that begins at this place.
    pub(crate) fn new(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// Where its segment begins.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Adds a batch, which must come after those that are there. One without events leaves no trace.
    pub(crate) fn push(&mut self, events: &[Event], at: u32) {
        let Some(first) = events.first() else { return };
        self.push_block(first.position, at);
        for event in events {
            self.ids.push(fingerprint(&event.id));
            keys::of_event(event).for_each(|key| self.push_key(key, at));
        }
    }

    /// Notes where a batch begins.
    pub(crate) fn push_block(&mut self, first: Position, at: u32) {
        if self.blocks.last().is_none_or(|last| at - last.at >= BLOCK_BYTES) {
            self.blocks.push(Block { first, at });
        }
    }

    /// Notes the fingerprint of an event's id.
    pub(crate) fn push_id(&mut self, id: u32) {
        self.ids.push(id);
    }

    /// Puts a batch under a key.
    pub(crate) fn push_key(&mut self, key: Key, at: u32) {
        let postings = self.postings.entry(key).or_insert(Postings::One(at));
        match postings {
            Postings::One(one) if *one == at => {}
            Postings::One(one) => *postings = Postings::Many(vec![*one, at]),
            Postings::Many(many) => {
                if many.last() != Some(&at) {
                    many.push(at);
                }
            }
        }
    }

    /// Takes the last batch back; `events` are those it was added with.
    pub(crate) fn pop(&mut self, events: &[Event], at: u32) {
        self.blocks.pop_if(|block| block.at == at);
        self.ids.truncate(self.ids.len().saturating_sub(events.len()));
        for key in events.iter().flat_map(keys::of_event) {
            let gone = match self.postings.get_mut(&key) {
                Some(Postings::One(one)) => *one == at,
                Some(Postings::Many(many)) => {
                    many.pop_if(|posting| *posting == at);
                    many.is_empty()
                }
                None => false,
            };
            if gone {
                self.postings.remove(&key);
            }
        }
    }

    /// Where blocks begin, in order.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The fingerprints of the ids of all events, in order.
    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// All keys with their batches, in order of keys.
    pub(crate) fn sorted(&self) -> Vec<(Key, &Postings)> {
        let mut keys: Vec<(Key, &Postings)> = self.postings.iter().map(|(key, all)| (*key, all)).collect();
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys
    }
}

impl Postings {
    /// The bytes in the file where the batches begin, in order.
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Lookup for TailIndex {
    fn count(&self, key: Key) -> Found<u64> {
        Ok(self.postings.get(&key).map_or(0, |postings| postings.as_slice().len() as u64))
    }

    fn places(&self, key: Key, within: &Range<u64>, direction: Direction, most: usize) -> Found<Vec<u64>> {
        let all = self.postings.get(&key).map(Postings::as_slice).unwrap_or_default();
        let place = |at: u32| self.base + u64::from(at);
        let start = all.partition_point(|at| place(*at) < within.start);
        let end = all.partition_point(|at| place(*at) < within.end).max(start);
        let (start, end) = match direction {
            Direction::Forward => (start, end.min(start + most)),
            Direction::Backward => (start.max(end.saturating_sub(most)), end),
        };
        Ok(all.get(start..end).unwrap_or_default().iter().map(|at| place(*at)).collect())
    }
}
