//! The index of the segment that is being written, in memory; bounded by the size of a segment.

use super::SegmentError;
use super::keys::{self, Key};
use super::lookup::{BatchEntry, Lookup};
use crate::log::{Direction, Event};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use tenon_core::{EventId, Position};

/// The index of one segment.
#[derive(Debug, Default)]
pub(crate) struct TailIndex {
    batches: Vec<BatchEntry>,
    postings: HashMap<Key, Vec<u32>>,
    ids: Vec<(EventId, Position)>,
}

impl TailIndex {
    /// Adds a batch, which must come after those that are there. One without events leaves no trace.
    pub(crate) fn push(&mut self, events: &[Event], at: u32, size: u32) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return };
        let ordinal = self.batches.len() as u32;
        self.batches.push(BatchEntry { first: first.position, last: last.position, at, size });
        self.ids.extend(events.iter().map(|event| (event.id, event.position)));
        for key in events.iter().flat_map(keys::of_event) {
            let postings = self.postings.entry(key).or_default();
            if postings.last() != Some(&ordinal) {
                postings.push(ordinal);
            }
        }
    }

    /// Takes the last batch back; `events` are those it was added with.
    pub(crate) fn pop(&mut self, events: &[Event]) {
        if events.is_empty() {
            return;
        }
        self.batches.pop();
        self.ids.truncate(self.ids.len().saturating_sub(events.len()));
        let ordinal = self.batches.len() as u32;
        for key in events.iter().flat_map(keys::of_event) {
            if let Some(postings) = self.postings.get_mut(&key) {
                postings.pop_if(|posting| *posting == ordinal);
                if postings.is_empty() {
                    self.postings.remove(&key);
                }
            }
        }
    }

    /// All batches.
    pub(crate) fn batches(&self) -> &[BatchEntry] {
        &self.batches
    }

    /// The ids of all events, in order.
    pub(crate) fn ids(&self) -> &[(EventId, Position)] {
        &self.ids
    }

    /// All keys with their batches, in order of keys.
    pub(crate) fn sorted(&self) -> BTreeMap<Key, &[u32]> {
        self.postings.iter().map(|(key, postings)| (*key, postings.as_slice())).collect()
    }
}

impl Lookup for TailIndex {
    fn len(&self) -> u32 {
        self.batches.len() as u32
    }

    fn entry(&self, ordinal: u32) -> Result<BatchEntry, SegmentError> {
        self.batches.get(ordinal as usize).copied().ok_or(SegmentError::Index)
    }

    fn count(&self, key: Key) -> Result<usize, SegmentError> {
        Ok(self.postings.get(&key).map_or(0, Vec::len))
    }

    fn postings(
        &self,
        key: Key,
        within: &Range<u32>,
        direction: Direction,
        most: usize,
    ) -> Result<Vec<u32>, SegmentError> {
        let all = self.postings.get(&key).map(Vec::as_slice).unwrap_or_default();
        let start = all.partition_point(|posting| *posting < within.start);
        let end = all.partition_point(|posting| *posting < within.end);
        let (start, end) = match direction {
            Direction::Forward => (start, end.min(start + most)),
            Direction::Backward => (start.max(end.saturating_sub(most)), end),
        };
        Ok(all.get(start..end).unwrap_or_default().to_vec())
    }
}
