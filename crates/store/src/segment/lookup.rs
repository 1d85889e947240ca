//! Finding the batches that may hold what a query asks for, in whichever index there is. A batch is named by its place in
//! the log: the byte in its file, after the bytes of batches in all files before.

use super::SegmentError;
use super::keys::{Choice, Key, Plan};
use crate::log::Direction;
use std::collections::BTreeSet;
use std::ops::Range;
use tenon_core::Position;

/// How many batches are looked up at a time.
const CHUNK: usize = 256;

/// What a look-up answers.
pub(crate) type Found<T> = Result<T, SegmentError>;

/// An index: which places stand under a key.
pub(crate) trait Lookup {
    /// How many batches stand under a key.
    fn count(&self, key: Key) -> Found<u64>;

    /// The places under a key within a range, at most `most`, beginning from the side that the direction begins from;
    /// ascending in any case.
    fn places(&self, key: Key, within: &Range<u64>, direction: Direction, most: usize) -> Found<Vec<u64>>;
}

/// Which positions are wanted: both ends are excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) after: Position,
    pub(crate) before: Position,
}

/// Some candidates in ascending order, and where others may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) places: Vec<u64>,
    pub(crate) rest: Range<u64>,
}

/// The next candidates within a range of places.
pub(crate) fn select(
    index: &impl Lookup,
    plan: &Plan,
    range: Range<u64>,
    direction: Direction,
) -> Found<Selection> {
    // The usual case: one stream.
    if let [Choice::Each(keys)] = plan.choices()
        && let [key] = keys.as_slice()
    {
        let places = index.places(*key, &range, direction, CHUNK)?;
        let rest = rest(&places, range, direction);
        return Ok(Selection { places, rest });
    }
    unite(index, &keys(index, plan.choices())?, range, direction)
}

fn keys(index: &impl Lookup, choices: &[Choice]) -> Found<BTreeSet<Key>> {
    let mut keys = BTreeSet::new();
    for choice in choices {
        match choice {
            Choice::Each(each) => keys.extend(each),
            Choice::Rarest(any) => keys.extend(rarest(index, any)?),
        }
    }
    Ok(keys)
}

fn rarest(index: &impl Lookup, keys: &[Key]) -> Found<Option<Key>> {
    let counted = keys.iter().map(|key| Ok((index.count(*key)?, *key)));
    Ok(counted.collect::<Found<BTreeSet<_>>>()?.first().map(|(_, key)| *key))
}

/// What stands under any of the keys. A key that has more than a chunk limits how far all are looked at, so that nothing
/// is passed over.
fn unite(
    index: &impl Lookup,
    keys: &BTreeSet<Key>,
    range: Range<u64>,
    direction: Direction,
) -> Found<Selection> {
    let mut united = BTreeSet::new();
    let mut rests = match direction {
        Direction::Forward => range.end..range.end,
        Direction::Backward => range.start..range.start,
    };
    for key in keys {
        let found = index.places(*key, &range, direction, CHUNK)?;
        let left = rest(&found, range.clone(), direction);
        if !left.is_empty() {
            rests = rests.start.min(left.start)..rests.end.max(left.end);
        }
        united.extend(found);
    }
    let places = united.into_iter().filter(|place| !rests.contains(place)).collect();
    Ok(Selection { places, rest: rests })
}

/// What of a range has not been looked at when these places were found in it.
fn rest(places: &[u64], range: Range<u64>, direction: Direction) -> Range<u64> {
    let full = places.len() == CHUNK;
    match (direction, places.first(), places.last()) {
        (Direction::Forward, _, Some(last)) if full => last + 1..range.end,
        (Direction::Backward, Some(first), _) if full => range.start..*first,
        (Direction::Forward, ..) => range.end..range.end,
        (Direction::Backward, ..) => range.start..range.start,
    }
}
