//! Finding the batches of a segment that may hold what a query asks for, in whichever index the segment has.

use super::SegmentError;
use super::keys::{Choice, Key, Plan};
use crate::log::Direction;
use std::collections::BTreeSet;
use std::ops::Range;
use tenon_core::Position;

/// How many batches are looked up at a time.
const CHUNK: usize = 256;

/// Where a batch is, and which positions it covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchEntry {
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// The byte in the file where it begins.
    pub(crate) at: u32,
    /// How many bytes it takes.
    pub(crate) size: u32,
}

/// An index of a segment: its batches, numbered in their order, and which of them stand under a key.
pub(crate) trait Lookup {
    /// How many batches there are.
    fn len(&self) -> u32;
    /// A batch.
    fn entry(&self, ordinal: u32) -> Result<BatchEntry, SegmentError>;
    /// Several batches, given in ascending order.
    fn entries(&self, ordinals: &[u32]) -> Result<Vec<BatchEntry>, SegmentError> {
        ordinals.iter().map(|ordinal| self.entry(*ordinal)).collect()
    }
    /// How many batches stand under a key.
    fn count(&self, key: Key) -> Result<usize, SegmentError>;
    /// The batches under a key within a range, at most `most`, beginning from the side that the direction
    /// begins from; ascending in any case.
    fn postings(
        &self,
        key: Key,
        within: &Range<u32>,
        direction: Direction,
        most: usize,
    ) -> Result<Vec<u32>, SegmentError>;
}

/// Which positions are wanted: both ends are excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) after: Position,
    pub(crate) before: Position,
}

/// Some candidates, in the direction of the read, and where others may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) entries: Vec<BatchEntry>,
    pub(crate) rest: Range<u32>,
}

/// The batches that overlap the bounds.
pub(crate) fn within(index: &impl Lookup, bounds: Bounds) -> Result<Range<u32>, SegmentError> {
    let start = partition_point(index, |entry| entry.last <= bounds.after)?;
    let end = partition_point(index, |entry| entry.first < bounds.before)?;
    Ok(start..end.max(start))
}

/// The next candidates within a range of batches.
pub(crate) fn select(
    index: &impl Lookup,
    plan: &Plan,
    range: Range<u32>,
    direction: Direction,
) -> Result<Selection, SegmentError> {
    let (ordinals, rest) = match plan {
        Plan::Everything => take_chunk(range, direction),
        Plan::Union(choices) => unite(index, &keys(index, choices)?, range, direction)?,
    };
    let mut entries = index.entries(&ordinals)?;
    if direction == Direction::Backward {
        entries.reverse();
    }
    Ok(Selection { entries, rest })
}

fn take_chunk(range: Range<u32>, direction: Direction) -> (Vec<u32>, Range<u32>) {
    let chunk = CHUNK as u32;
    let (taken, rest) = match direction {
        Direction::Forward => {
            let split = range.end.min(range.start.saturating_add(chunk));
            (range.start..split, split..range.end)
        }
        Direction::Backward => {
            let split = range.start.max(range.end.saturating_sub(chunk));
            (split..range.end, range.start..split)
        }
    };
    (taken.collect(), rest)
}

fn keys(index: &impl Lookup, choices: &[Choice]) -> Result<BTreeSet<Key>, SegmentError> {
    let mut keys = BTreeSet::new();
    for choice in choices {
        match choice {
            Choice::Each(each) => keys.extend(each),
            Choice::Rarest(any) => keys.extend(rarest(index, any)?),
        }
    }
    Ok(keys)
}

fn rarest(index: &impl Lookup, keys: &[Key]) -> Result<Option<Key>, SegmentError> {
    let counted = keys.iter().map(|key| Ok((index.count(*key)?, *key)));
    Ok(counted.collect::<Result<BTreeSet<_>, SegmentError>>()?.first().map(|(_, key)| *key))
}

/// What stands under any of the keys. A key that has more than a chunk limits how far all are looked at, so
/// that nothing is passed over.
fn unite(
    index: &impl Lookup,
    keys: &BTreeSet<Key>,
    range: Range<u32>,
    direction: Direction,
) -> Result<(Vec<u32>, Range<u32>), SegmentError> {
    let mut united = BTreeSet::new();
    let mut seen = range.clone();
    for key in keys {
        let found = index.postings(*key, &range, direction, CHUNK)?;
        if found.len() == CHUNK {
            match (direction, found.first(), found.last()) {
                (Direction::Forward, _, Some(last)) => seen.end = seen.end.min(last + 1),
                (Direction::Backward, Some(first), _) => seen.start = seen.start.max(*first),
                _ => {}
            }
        }
        united.extend(found);
    }
    let rest = match direction {
        Direction::Forward => seen.end..range.end,
        Direction::Backward => range.start..seen.start,
    };
    Ok((united.into_iter().filter(|ordinal| seen.contains(ordinal)).collect(), rest))
}

/// The number of batches at the beginning for which something holds, given that it holds for no later one.
fn partition_point(index: &impl Lookup, holds: impl Fn(&BatchEntry) -> bool) -> Result<u32, SegmentError> {
    let mut range = 0..index.len();
    while !range.is_empty() {
        let middle = range.start + (range.end - range.start) / 2;
        if holds(&index.entry(middle)?) {
            range.start = middle + 1;
        } else {
            range.end = middle;
        }
    }
    Ok(range.start)
}
