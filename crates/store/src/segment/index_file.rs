//! The index of a sealed segment, on disk and read in place, so that memory stays bounded.
//!
//! The file is worthless without its segment and can be made from it again at any time; so it is written
//! without a sync, and believed only where the checksum of the page is right. Its content is a header, the
//! batches, the keys in order, for each key its batches, and the ids of all events, in pages of 4 KiB that
//! end with a CRC32C each.

use super::SegmentError;
use super::disk::{Disk, DiskFile};
use super::files::Files;
use super::format::{Reader, Writer};
use super::keys::Key;
use super::lookup::{BatchEntry, Lookup};
use super::tail::TailIndex;
use crate::log::Direction;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tenon_core::{EventId, LogId, Position};

const MAGIC: [u8; 8] = *b"TENONIDX";
const VERSION: u32 = 1;
const HEADER: u64 = 64;
const PAGE: usize = 4_096;
/// What of a page is content; the rest is its checksum.
const CONTENT: usize = PAGE - 4;

const BATCH_BYTES: u64 = 24;
const KEY_BYTES: u64 = 16;
const POSTING_BYTES: u64 = 4;
const ID_BYTES: u64 = 24;

/// Which segment an index is of, as it must be for the index to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) log: LogId,
    pub(crate) sequence: u64,
    /// Where the batches of the segment end.
    pub(crate) size: u64,
}

/// An index on disk.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pages: Pages,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    batches: u32,
    keys: u32,
    postings: u32,
    ids: u32,
}

#[derive(Debug)]
struct Pages {
    files: Arc<Files>,
    name: String,
    subject: Subject,
}

/// What stands in the list of keys: where the batches of the key are, and how many.
struct KeyEntry {
    key: Key,
    start: u32,
    count: u32,
}

/// Writes the index of a segment.
pub(crate) fn write(disk: &dyn Disk, name: &str, subject: Subject, index: &TailIndex) -> io::Result<()> {
    let content = encode(subject, index);
    let mut paged = Vec::with_capacity(content.len().div_ceil(CONTENT) * PAGE);
    for (number, chunk) in content.chunks(CONTENT).enumerate() {
        paged.extend_from_slice(chunk);
        paged.resize(number * PAGE + CONTENT, 0);
        let checksum = checksum(subject, number as u64, paged.get(number * PAGE..).unwrap_or_default());
        paged.extend_from_slice(&checksum.to_le_bytes());
    }
    disk.create(name)?.write_at(&paged, 0)
}

impl IndexFile {
    /// Opens an index; [`SegmentError::Index`] if there is none that can be believed.
    pub(crate) fn open(files: Arc<Files>, name: &str, subject: Subject) -> Result<Self, SegmentError> {
        let pages = Pages { files, name: name.to_owned(), subject };
        let header = pages.read(0, HEADER)?;
        let counts = decode_header(&header, subject).ok_or(SegmentError::Index)?;
        Ok(Self { pages, counts })
    }

    /// The ids of all events, in order.
    pub(crate) fn ids(&self) -> Result<Vec<(EventId, Position)>, SegmentError> {
        let bytes = self.pages.read(self.counts.ids_at(), u64::from(self.counts.ids) * ID_BYTES)?;
        let mut reader = Reader(&bytes);
        let mut ids = Vec::with_capacity(self.counts.ids as usize);
        while let (Some(id), Some(position)) = (reader.array(), reader.u64()) {
            ids.push((EventId::from_bytes(id), Position(position)));
        }
        Ok(ids)
    }

    fn entry_run(&self, ordinal: u32, count: u32) -> Result<Vec<BatchEntry>, SegmentError> {
        let at = HEADER + u64::from(ordinal) * BATCH_BYTES;
        let bytes = self.pages.read(at, u64::from(count) * BATCH_BYTES)?;
        let mut reader = Reader(&bytes);
        let mut entry = || {
            Some(BatchEntry {
                first: Position(reader.u64()?),
                last: Position(reader.u64()?),
                at: reader.u32()?,
                size: reader.u32()?,
            })
        };
        Ok(std::iter::from_fn(&mut entry).collect())
    }

    fn find(&self, key: Key) -> Result<Option<KeyEntry>, SegmentError> {
        let mut range = 0..self.counts.keys;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            let found = self.key(middle)?;
            match found.key.cmp(&key) {
                std::cmp::Ordering::Equal => return Ok(Some(found)),
                std::cmp::Ordering::Less => range.start = middle + 1,
                std::cmp::Ordering::Greater => range.end = middle,
            }
        }
        Ok(None)
    }

    fn key(&self, number: u32) -> Result<KeyEntry, SegmentError> {
        let bytes = self.pages.read(self.counts.keys_at() + u64::from(number) * KEY_BYTES, KEY_BYTES)?;
        let mut reader = Reader(&bytes);
        let mut entry =
            || Some(KeyEntry { key: Key(reader.u64()?), start: reader.u32()?, count: reader.u32()? });
        entry().ok_or(SegmentError::Index)
    }

    fn posting(&self, number: u32) -> Result<u32, SegmentError> {
        self.posting_run(number, 1)?.pop().ok_or(SegmentError::Index)
    }

    fn posting_run(&self, number: u32, count: u32) -> Result<Vec<u32>, SegmentError> {
        let at = self.counts.postings_at() + u64::from(number) * POSTING_BYTES;
        let bytes = self.pages.read(at, u64::from(count) * POSTING_BYTES)?;
        let mut reader = Reader(&bytes);
        Ok(std::iter::from_fn(|| reader.u32()).collect())
    }

    /// How many of a key's batches are before an ordinal.
    fn rank(&self, entry: &KeyEntry, ordinal: u32) -> Result<u32, SegmentError> {
        let mut range = 0..entry.count;
        while !range.is_empty() {
            let middle = range.start + (range.end - range.start) / 2;
            if self.posting(entry.start + middle)? < ordinal {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start)
    }
}

impl Lookup for IndexFile {
    fn len(&self) -> u32 {
        self.counts.batches
    }

    fn entry(&self, ordinal: u32) -> Result<BatchEntry, SegmentError> {
        self.entry_run(ordinal, 1)?.pop().ok_or(SegmentError::Index)
    }

    fn entries(&self, ordinals: &[u32]) -> Result<Vec<BatchEntry>, SegmentError> {
        let (Some(first), Some(last)) = (ordinals.first(), ordinals.last()) else { return Ok(Vec::new()) };
        let span = last - first + 1;
        // Reading over a few that are not wanted costs less than reading each by itself.
        if span as usize > ordinals.len() * 8 {
            return ordinals.iter().map(|ordinal| self.entry(*ordinal)).collect();
        }
        let run = self.entry_run(*first, span)?;
        let wanted = |ordinal: &u32| run.get((ordinal - first) as usize).copied().ok_or(SegmentError::Index);
        ordinals.iter().map(wanted).collect()
    }

    fn count(&self, key: Key) -> Result<usize, SegmentError> {
        Ok(self.find(key)?.map_or(0, |entry| entry.count as usize))
    }

    fn postings(
        &self,
        key: Key,
        within: &Range<u32>,
        direction: Direction,
        most: usize,
    ) -> Result<Vec<u32>, SegmentError> {
        let Some(entry) = self.find(key)? else { return Ok(Vec::new()) };
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let start = self.rank(&entry, within.start)?;
        let end = self.rank(&entry, within.end)?;
        let (start, end) = match direction {
            Direction::Forward => (start, end.min(start.saturating_add(most))),
            Direction::Backward => (start.max(end.saturating_sub(most)), end),
        };
        self.posting_run(entry.start + start, end.saturating_sub(start))
    }
}

impl Counts {
    fn keys_at(&self) -> u64 {
        HEADER + u64::from(self.batches) * BATCH_BYTES
    }

    fn postings_at(&self) -> u64 {
        self.keys_at() + u64::from(self.keys) * KEY_BYTES
    }

    fn ids_at(&self) -> u64 {
        self.postings_at() + u64::from(self.postings) * POSTING_BYTES
    }
}

impl Pages {
    /// Reads a part of the content, checking each page that it lies on.
    fn read(&self, at: u64, len: u64) -> Result<Vec<u8>, SegmentError> {
        if len == 0 {
            return Ok(Vec::new());
        }
        let first = at / CONTENT as u64;
        let last = (at + len - 1) / CONTENT as u64;
        let file = self.file()?;
        let mut raw = vec![0; (last - first + 1) as usize * PAGE];
        if file.read_at(&mut raw, first * PAGE as u64)? < raw.len() {
            return Err(SegmentError::Index);
        }
        let mut content = Vec::with_capacity(raw.len());
        for (number, page) in (first..).zip(raw.chunks_exact(PAGE)) {
            content.extend_from_slice(self.check(number, page)?);
        }
        let start = (at - first * CONTENT as u64) as usize;
        Ok(content.get(start..start + len as usize).ok_or(SegmentError::Index)?.to_vec())
    }

    fn file(&self) -> Result<Arc<dyn DiskFile>, SegmentError> {
        match self.files.get(&self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SegmentError::Index),
            other => Ok(other?),
        }
    }

    fn check<'a>(&self, number: u64, page: &'a [u8]) -> Result<&'a [u8], SegmentError> {
        let (content, stored) = page.split_last_chunk().ok_or(SegmentError::Index)?;
        let whole = checksum(self.subject, number, content) == u32::from_le_bytes(*stored);
        if whole { Ok(content) } else { Err(SegmentError::Index) }
    }
}

fn encode(subject: Subject, index: &TailIndex) -> Vec<u8> {
    let keys = index.sorted();
    let postings: usize = keys.values().map(|postings| postings.len()).sum();
    let mut writer = Writer(Vec::new());
    writer.bytes(&MAGIC);
    writer.u32(VERSION);
    writer.bytes(subject.log.as_bytes());
    writer.u64(subject.sequence);
    writer.u64(subject.size);
    for count in [index.batches().len(), keys.len(), postings, index.ids().len()] {
        writer.u32(count as u32);
    }
    writer.0.resize(HEADER as usize, 0);
    for batch in index.batches() {
        writer.u64(batch.first.0);
        writer.u64(batch.last.0);
        writer.u32(batch.at);
        writer.u32(batch.size);
    }
    let mut start = 0;
    for (key, postings) in &keys {
        writer.u64(key.0);
        writer.u32(start);
        writer.u32(postings.len() as u32);
        start += postings.len() as u32;
    }
    keys.values().flat_map(|postings| postings.iter()).for_each(|posting| writer.u32(*posting));
    for (id, position) in index.ids() {
        writer.bytes(id.as_bytes());
        writer.u64(position.0);
    }
    writer.0
}

fn decode_header(bytes: &[u8], subject: Subject) -> Option<Counts> {
    let mut reader = Reader(bytes);
    let known = reader.array() == Some(MAGIC) && reader.u32() == Some(VERSION);
    let same = reader.array() == Some(*subject.log.as_bytes())
        && reader.u64() == Some(subject.sequence)
        && reader.u64() == Some(subject.size);
    if !known || !same {
        return None;
    }
    Some(Counts { batches: reader.u32()?, keys: reader.u32()?, postings: reader.u32()?, ids: reader.u32()? })
}

/// Of a page's content, together with whose page it is.
fn checksum(subject: Subject, number: u64, content: &[u8]) -> u32 {
    let mut of = crc32c::crc32c(subject.log.as_bytes());
    for value in [subject.sequence, subject.size, number] {
        of = crc32c::crc32c_append(of, &value.to_le_bytes());
    }
    crc32c::crc32c_append(of, content)
}
