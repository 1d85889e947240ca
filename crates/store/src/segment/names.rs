//! Which streams there are: for some sealed segments in a row a file of the names of all streams that they have events of,
//! in order, each with its last position, and whether that is its deletion.
//!
//! The file. A header, then pages of names. A name is a namespace, a zero and a stream; of each but the first of a page
//! only what differs from the one before is kept. Such files are written beside appends when nothing else is due, one for
//! each segment, and merged like the runs of keys. What has no file yet is looked through when streams are listed. Taking
//! events out of a segment leaves its names as they are: what is listed follows from the last position.

use super::SegmentError;
use super::envelope::wire::Fields;
use super::envelope::{self, Raw};
use super::files::{Files, NAMES};
use super::format::{Reader, SEGMENT_HEADER};
use super::pages::{CONTENT, Pages, Subject};
use super::reads::Reads;
use super::scan::{CHUNK, Scan};
use super::segments::{Part, Segments, View};
use crate::log::{FNV_OFFSET, STREAM_DELETED, fnv1a};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tenon_core::Position;

mod list;
pub(crate) mod write;

const MAGIC: [u8; 8] = *b"TENONNAM";
const VERSION: u32 = 1;
/// How many names a page has.
const PAGE_HEADER: usize = 2;
/// How many pages are read at a time when a file is read from its beginning to its end.
const AHEAD: u64 = 32;

/// The names of the streams of some sealed segments.
#[derive(Debug)]
pub(crate) struct NamesFile {
    pages: Pages,
    /// Where positions are counted from.
    base: u64,
    /// How many pages of names there are.
    count: u64,
    /// Whether a part of it was found that cannot be believed.
    damaged: AtomicBool,
}

/// A stream: its last position, and whether it was deleted there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) key: Vec<u8>,
    pub(crate) last: Position,
    pub(crate) deleted: bool,
}

/// Reads names in order.
pub(crate) struct Cursor<'a> {
    file: Option<&'a NamesFile>,
    reads: &'a Reads,
    /// How many pages are read at a time; of one alone the cache is asked.
    ahead: u64,
    /// The page that comes next.
    page: u64,
    /// What is next, and all behind it that was read, in the opposite order.
    read: Vec<Named>,
}

/// Reads the names of several lists in order; of a name that is in more than one, what is newest.
pub(crate) struct Merged<'a>(pub(crate) Vec<Cursor<'a>>);

impl Named {
    /// What an event says of its stream.
    pub(crate) fn of(raw: &Raw<'_>) -> Self {
        let deleted = raw.event_type() == STREAM_DELETED.as_bytes();
        Self { key: [raw.namespace(), &[0], raw.stream()].concat(), last: raw.position, deleted }
    }
}

impl NamesFile {
    /// Opens a file; [`SegmentError::Index`] if there is none that can be believed.
    pub(crate) fn open(files: &Arc<Files>, subject: Subject) -> Result<Self, SegmentError> {
        let pages = Pages::new(Arc::clone(files), name(subject.first, subject.last), subject);
        let header = pages.page(&Reads::blocking(), 0)?;
        let mut reader = Reader(&header);
        if reader.array() != Some(MAGIC) || reader.u32() != Some(VERSION) {
            return Err(SegmentError::Index);
        }
        let mut fields = || Some((reader.u64()?, reader.u64()?));
        let (base, count) = fields().ok_or(SegmentError::Index)?;
        Ok(Self { pages, base, count, damaged: AtomicBool::new(false) })
    }

    /// Its file.
    pub(crate) fn name(&self) -> &str {
        &self.pages.name
    }

    pub(crate) fn first(&self) -> u64 {
        self.pages.subject.first
    }

    pub(crate) fn last(&self) -> u64 {
        self.pages.subject.last
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The first name of a page.
    fn first_of(&self, reads: &Reads, page: u64) -> Result<Vec<u8>, SegmentError> {
        let content = self.pages.page(reads, 1 + page)?;
        let mut names = PageNames::new(&content, self.base)?;
        Ok(names.next().ok_or(SegmentError::Index)?.key)
    }

    /// The page on which the search for a name begins.
    fn page_of(&self, reads: &Reads, key: &[u8]) -> Result<u64, SegmentError> {
        let mut range = 0..self.count;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            if self.first_of(reads, middle)?.as_slice() <= key {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start.saturating_sub(1))
    }

    /// Remembers that it is damaged, if that is what is wrong.
    fn noted(&self, error: SegmentError) -> SegmentError {
        if matches!(error, SegmentError::Index) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        error
    }
}

impl<'a> Cursor<'a> {
    /// At the first name of a file that is not before one.
    pub(crate) fn at(file: &'a NamesFile, reads: &'a Reads, key: &[u8]) -> Result<Self, SegmentError> {
        let page = file.page_of(reads, key).map_err(|error| file.noted(error))?;
        let mut cursor = Self { file: Some(file), reads, ahead: 1, page, read: Vec::new() };
        cursor.fill()?;
        while cursor.peek().is_some_and(|named| named.key.as_slice() < key) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    /// At the beginning of a file that will be read to its end.
    pub(crate) fn all(file: &'a NamesFile, reads: &'a Reads) -> Result<Self, SegmentError> {
        let mut cursor = Self { file: Some(file), reads, ahead: AHEAD, page: 0, read: Vec::new() };
        cursor.fill()?;
        Ok(cursor)
    }

    /// At the beginning of a list, which is in order.
    pub(crate) fn of(mut names: Vec<Named>, reads: &'a Reads) -> Self {
        names.reverse();
        Self { file: None, reads, ahead: 1, page: 0, read: names }
    }

    fn peek(&self) -> Option<&Named> {
        self.read.last()
    }

    fn advance(&mut self) -> Result<Option<Named>, SegmentError> {
        let next = self.read.pop();
        if self.read.is_empty() {
            self.fill()?;
        }
        Ok(next)
    }

    fn fill(&mut self) -> Result<(), SegmentError> {
        let Some(file) = self.file.filter(|file| self.page < file.count) else { return Ok(()) };
        let count = self.ahead.min(file.count - self.page);
        let read = self.names(file, count).map_err(|error| file.noted(error))?;
        self.page += count;
        self.read = read;
        self.read.reverse();
        Ok(())
    }

    fn names(&self, file: &NamesFile, count: u64) -> Result<Vec<Named>, SegmentError> {
        let contents = match count {
            1 => file.pages.page(self.reads, 1 + self.page)?,
            _ => file.pages.contents(self.reads, 1 + self.page, count)?.into(),
        };
        let mut names = Vec::new();
        for content in contents.chunks(CONTENT) {
            let page = PageNames::new(content, file.base)?;
            let wanted = names.len() + page.left;
            names.extend(page);
            if names.len() < wanted {
                return Err(SegmentError::Index);
            }
        }
        Ok(names)
    }
}

impl Merged<'_> {
    /// The next name.
    pub(crate) fn next(&mut self) -> Result<Option<Named>, SegmentError> {
        let heads = self.0.iter().filter_map(Cursor::peek);
        let Some(key) = heads.map(|named| &named.key).min().cloned() else { return Ok(None) };
        let mut newest: Option<Named> = None;
        for cursor in &mut self.0 {
            if cursor.peek().is_some_and(|named| named.key == key) {
                let named = cursor.advance()?;
                newest = newest.into_iter().chain(named).max_by_key(|named| named.last);
            }
        }
        Ok(newest)
    }
}

/// The names of a page.
struct PageNames<'a> {
    fields: Fields<'a>,
    left: usize,
    base: u64,
    key: Vec<u8>,
}

impl<'a> PageNames<'a> {
    fn new(content: &'a [u8], base: u64) -> Result<Self, SegmentError> {
        let (header, entries) = content.split_at_checked(PAGE_HEADER).ok_or(SegmentError::Index)?;
        let left = Reader(header).u16().ok_or(SegmentError::Index)?.into();
        Ok(Self { fields: Fields(entries), left, base, key: Vec::new() })
    }
}

impl Iterator for PageNames<'_> {
    type Item = Named;

    fn next(&mut self) -> Option<Named> {
        self.left = self.left.checked_sub(1)?;
        let shared = self.fields.varint()? as usize;
        let rest = self.fields.varint()? as usize;
        self.key.truncate(shared);
        self.key.extend_from_slice(Fields::take(&mut self.fields, rest)?);
        let value = self.fields.varint()?;
        let last = Position(self.base.checked_add(value >> 1)?);
        Some(Named { key: self.key.clone(), last, deleted: value & 1 == 1 })
    }
}

/// Visits the events of a segment.
fn look_through(
    segments: &Segments,
    reads: &Reads,
    part: Part,
    mut visit: impl FnMut(&Raw<'_>),
) -> Result<(), SegmentError> {
    let mut scan = Scan::new(segments, reads, part)?;
    let mut at = SEGMENT_HEADER as u64;
    let before = Position(scan.part().header().first.0.saturating_sub(1));
    while at < scan.part().end() {
        let batch = scan.batch(at, before, CHUNK)?;
        let payload = scan.chunk().get(batch.payload.clone()).unwrap_or_default();
        envelope::raw(payload)
            .try_for_each(|raw| raw.map(|raw| visit(&raw)))
            .map_err(|problem| scan.damage(at, before, problem))?;
        at += batch.size();
    }
    Ok(())
}

/// The name of a file with the names of streams of some segments.
fn name(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}{NAMES}")
}

fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(NAMES)?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// What some segments are, for the file of their names: which events they had, whatever was taken out since.
fn subject(view: &View, first: u64, last: u64) -> Subject {
    let covered = view.sealed.get(first as usize - 1..last as usize).unwrap_or_default();
    let form = covered.iter().fold(FNV_OFFSET, |hash, sealed| {
        let header = &sealed.header;
        let form =
            [header.base, header.first.0, header.time.as_micros(), sealed.original_end(), sealed.last.0];
        fnv1a(hash, form.map(u64::to_le_bytes).as_flattened())
    });
    Subject { log: view.active.header.log, first, last, form }
}

/// The files of names as they are found on disk, in order; and which are of no use.
pub(crate) fn discover(
    files: &Arc<Files>,
    view: &View,
    names: &BTreeSet<String>,
) -> Result<(Vec<Arc<NamesFile>>, Vec<String>), SegmentError> {
    let mut found: Vec<(u64, u64)> = names.iter().filter_map(|name| parse_name(name)).collect();
    // The longest first of those that begin with the same segment.
    found.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
    let (mut opened, mut useless, mut next) = (Vec::new(), Vec::new(), 1);
    for (first, last) in found {
        let fits = first >= next && last >= first && last <= view.sealed.len() as u64;
        match fits.then(|| NamesFile::open(files, subject(view, first, last))) {
            Some(Ok(file)) => {
                opened.push(Arc::new(file));
                next = last + 1;
            }
            None | Some(Err(SegmentError::Index)) => useless.push(name(first, last)),
            Some(Err(error)) => return Err(error),
        }
    }
    Ok((opened, useless))
}

#[cfg(test)]
mod tests;
