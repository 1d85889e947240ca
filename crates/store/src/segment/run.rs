//! Runs: the keys of one sealed segment or of several in a row, on disk and in order, so that a look-up reads a page or
//! two of each run, and there are few runs.
//!
//! The file. A header; pages of keys; pages of lists. What page a key is on follows from the key, as keys are hashes and
//! spread evenly; a page that is full runs over into the next one. An entry is a key with one place. A key with more than
//! a few places has one entry instead, which says where in the lists its places are: first their number, then they, all
//! in five bytes each, counted from where the run begins.

use super::SegmentError;
use super::files::{Files, KEYS};
use super::format::Reader;
use super::keys::{KEY_BITS, Key};
use super::lookup::{Found, Lookup};
use super::pages::{CONTENT, Pages, Subject};
use super::reads::Reads;
use super::tail::TailIndex;
use crate::log::Direction;
use std::ops::Range;
use std::sync::Arc;

pub(crate) mod merge;
pub(crate) mod write;

const MAGIC: [u8; 8] = *b"TENONKEY";
const VERSION: u32 = 2;
/// A number and a flag.
const PAGE_HEADER: usize = 4;
/// A key and a place, or where a list is.
const ENTRY: usize = 10;
const ENTRIES_A_PAGE: usize = (CONTENT - PAGE_HEADER) / ENTRY;
/// A place in a list.
const SLOT: usize = 5;
const SLOTS_A_PAGE: u64 = (CONTENT / SLOT) as u64;
/// In an entry: there is a list.
const LIST: u64 = 1 << 39;
/// How many places a key has at most without having a list.
const INLINE: u64 = 8;

/// The keys of some sealed segments.
#[derive(Debug)]
pub(crate) struct Run {
    /// The numbers of the first segment and of the last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The places of their batches.
    pub(crate) places: Range<u64>,
    pub(crate) source: Source,
}

/// Where the keys are.
#[derive(Debug)]
pub(crate) enum Source {
    File(RunFile),
    /// Not written yet, or not to be written for want of room. Of one segment.
    Memory(Arc<TailIndex>),
    /// Nowhere; they must be read from the segment. Of one segment.
    Lost,
}

/// A run on disk.
#[derive(Debug)]
pub(crate) struct RunFile {
    pages: Pages,
    /// Where places are counted from.
    base: u64,
    /// Over how many pages the keys are spread.
    spread: u32,
    /// How many pages of keys there are, with those that were run over into.
    keyed: u32,
    /// The number of the first page of lists.
    lists: u32,
    /// How many entries there are.
    entries: u64,
}

/// A run on disk as one read looks at it.
pub(crate) struct Reading<'a> {
    pub(crate) run: &'a RunFile,
    pub(crate) reads: &'a Reads,
}

/// What stands under a key.
enum Under {
    /// These places, counted from the run's base.
    Places(Vec<u64>),
    /// A list: where its places begin, and how many there are.
    List(u64, u64),
}

impl Run {
    /// How many segments it covers.
    pub(crate) fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// The name of a run's file.
pub(crate) fn name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}{KEYS}")
}

/// The segments of the run in a file of this name.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(KEYS)?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

impl RunFile {
    /// Opens a run; [`SegmentError::Index`] if there is none that can be believed.
    pub(crate) fn open(files: &Arc<Files>, subject: Subject) -> Result<Self, SegmentError> {
        let pages = Pages::new(Arc::clone(files), name(subject.first, subject.last), subject);
        let header = pages.page(&Reads::blocking(), 0)?;
        let mut reader = Reader(&header);
        if reader.array() != Some(MAGIC) || reader.u32() != Some(VERSION) {
            return Err(SegmentError::Index);
        }
        let mut fields = || Some((reader.u64()?, reader.u32()?, reader.u32()?, reader.u32()?, reader.u64()?));
        let (base, spread, keyed, lists, entries) = fields().ok_or(SegmentError::Index)?;
        Ok(Self { pages, base, spread, keyed, lists, entries })
    }

    /// Its file.
    pub(crate) fn name(&self) -> &str {
        &self.pages.name
    }
}

/// On which page the search for a key begins.
fn page_of(key: Key, spread: u32) -> u32 {
    ((key.0 * u64::from(spread)) >> KEY_BITS) as u32
}

impl Reading<'_> {
    fn under(&self, key: Key) -> Found<Under> {
        let values = self.values(key)?;
        match values.first() {
            Some(list) if list & LIST != 0 => {
                let at = list & !LIST;
                Ok(Under::List(at + 1, self.slot(at)?))
            }
            _ => Ok(Under::Places(values)),
        }
    }

    fn values(&self, key: Key) -> Found<Vec<u64>> {
        let mut values = Vec::new();
        let mut number = page_of(key, self.run.spread);
        loop {
            let page = self.run.pages.page(self.reads, 1 + u64::from(number))?;
            let page = KeyPage::new(&page)?;
            let from = page.lower_bound(key);
            let same = (from..page.count).map(|at| page.entry(at)).take_while(|(found, _)| *found == key);
            values.extend(same.map(|(_, value)| value));
            number += 1;
            let ends = page.entry(page.count.saturating_sub(1)).0 > key;
            if !page.runs_over || ends || number >= self.run.keyed {
                return Ok(values);
            }
        }
    }

    /// A number in the lists.
    fn slot(&self, at: u64) -> Found<u64> {
        let page = self.run.pages.page(self.reads, u64::from(self.run.lists) + at / SLOTS_A_PAGE)?;
        let start = (at % SLOTS_A_PAGE) as usize * SLOT;
        page.get(start..start + SLOT).map(five_bytes).ok_or(SegmentError::Index)
    }

    fn slots(&self, at: u64, count: u64) -> Found<Vec<u64>> {
        (at..at + count).map(|at| self.slot(at)).collect()
    }

    /// How many of a list's places are below one.
    fn rank(&self, at: u64, count: u64, place: u64) -> Found<u64> {
        let mut range = 0..count;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            if self.slot(at + middle)? < place {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start)
    }
}

impl Lookup for Reading<'_> {
    fn count(&self, key: Key) -> Found<u64> {
        Ok(match self.under(key)? {
            Under::Places(places) => places.len() as u64,
            Under::List(_, count) => count,
        })
    }

    fn places(&self, key: Key, within: &Range<u64>, direction: Direction, most: usize) -> Found<Vec<u64>> {
        let base = self.run.base;
        let (from, to) = (within.start.saturating_sub(base), within.end.saturating_sub(base));
        let most = most as u64;
        let taken = |start: u64, end: u64| match direction {
            Direction::Forward => (start, end.min(start + most)),
            Direction::Backward => (start.max(end.saturating_sub(most)), end),
        };
        let found = match self.under(key)? {
            Under::Places(places) => {
                let start = places.partition_point(|place| *place < from) as u64;
                let end = places.partition_point(|place| *place < to) as u64;
                let (start, end) = taken(start, end.max(start));
                places.get(start as usize..end as usize).unwrap_or_default().to_vec()
            }
            Under::List(at, count) => {
                let start = if from == 0 { 0 } else { self.rank(at, count, from)? };
                let end = self.rank(at, count, to)?.max(start);
                let (start, end) = taken(start, end);
                self.slots(at + start, end - start)?
            }
        };
        Ok(found.into_iter().map(|place| place + base).collect())
    }
}

/// A page of keys.
struct KeyPage<'a> {
    entries: &'a [u8],
    count: usize,
    runs_over: bool,
}

impl<'a> KeyPage<'a> {
    fn new(content: &'a [u8]) -> Found<Self> {
        let (header, entries) = content.split_at_checked(PAGE_HEADER).ok_or(SegmentError::Index)?;
        let mut reader = Reader(header);
        let mut fields = || Some((reader.u16()?, reader.u16()?));
        let (count, runs_over) = fields().ok_or(SegmentError::Index)?;
        Ok(Self { entries, count: usize::from(count), runs_over: runs_over != 0 })
    }

    fn entry(&self, at: usize) -> (Key, u64) {
        let entry = self.entries.get(at * ENTRY..(at + 1) * ENTRY).unwrap_or_default();
        let (key, value) = entry.split_at_checked(5).unwrap_or_default();
        (Key(five_bytes(key)), five_bytes(value))
    }

    fn lower_bound(&self, key: Key) -> usize {
        let mut range = 0..self.count;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            if self.entry(middle).0 < key {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        range.start
    }
}

fn five_bytes(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests;
