//! Files of pages with a checksum each, for indexes. Such a file is worthless without the segments that it is of and can be
//! made from them at any time; so it is believed only where the checksum of the page is right.
//!
//! A checksum begins with what the file is of and the number of the page, so that a page of another file, or of an earlier
//! one of the same name, is not taken for one of this.

use super::SegmentError;
use super::disk::{Disk, DiskFile};
use super::files::Files;
use super::reads::Reads;
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use tenon_core::LogId;

/// How many bytes a page has: few, as a look-up reads one of each run, and what is read must be checked and is kept.
pub(crate) const PAGE: usize = 1_024;
/// What of a page is content; the rest is its checksum.
pub(crate) const CONTENT: usize = PAGE - 4;
/// How many pages are put together for one write.
const BUFFERED: usize = 64;

/// What an index is of, as it must be for the index to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) log: LogId,
    /// The first segment and the last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// A hash of the sizes of these segments, and of whether they have been scavenged.
    pub(crate) form: u64,
}

/// A file of pages that is read in place.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) files: Arc<Files>,
    pub(crate) name: String,
    pub(crate) subject: Subject,
    /// Under which its pages are cached.
    tag: u64,
}

/// A file of pages that is being written, at several places at once.
pub(crate) struct PageWriter {
    file: Arc<dyn DiskFile>,
    subject: Subject,
}

/// A run of pages of which one after the other is written.
pub(crate) struct PageRun {
    next: u64,
    buffer: Vec<u8>,
}

impl Pages {
    pub(crate) fn new(files: Arc<Files>, name: String, subject: Subject) -> Self {
        let tag = files.cache().tag();
        Self { files, name, subject, tag }
    }

    /// The content of a page.
    pub(crate) fn page(&self, reads: &Reads, number: u64) -> Result<Bytes, SegmentError> {
        let key = (self.tag, number);
        if let Some(page) = self.files.cache().get(key) {
            return Ok(page);
        }
        let mut page = vec![0; PAGE];
        self.read(reads, number, &mut page)?;
        self.check(number, &page)?;
        page.truncate(CONTENT);
        let page = Bytes::from(page);
        self.files.cache().put(key, page.clone());
        Ok(page)
    }

    /// The contents of several pages, one behind the other. They are not cached.
    pub(crate) fn contents(&self, reads: &Reads, first: u64, count: u64) -> Result<Vec<u8>, SegmentError> {
        let mut raw = vec![0; count as usize * PAGE];
        self.read(reads, first, &mut raw)?;
        let mut contents = Vec::with_capacity(count as usize * CONTENT);
        for (number, page) in (first..).zip(raw.chunks_exact(PAGE)) {
            contents.extend_from_slice(self.check(number, page)?);
        }
        Ok(contents)
    }

    fn read(&self, reads: &Reads, number: u64, buffer: &mut [u8]) -> Result<(), SegmentError> {
        let file = match self.files.get(&self.name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(SegmentError::Index),
            other => other?,
        };
        if reads.read_at(&*file, buffer, number * PAGE as u64)? < buffer.len() {
            return Err(SegmentError::Index);
        }
        Ok(())
    }

    fn check<'a>(&self, number: u64, page: &'a [u8]) -> Result<&'a [u8], SegmentError> {
        let (content, stored) = page.split_last_chunk().ok_or(SegmentError::Index)?;
        let whole = checksum(self.subject, number, content) == u32::from_le_bytes(*stored);
        if whole { Ok(content) } else { Err(SegmentError::Index) }
    }
}

impl PageWriter {
    pub(crate) fn create(disk: &dyn Disk, name: &str, subject: Subject) -> io::Result<Self> {
        Ok(Self { file: disk.create(name)?, subject })
    }

    /// Writes the next page of a run; a shorter content is filled up with zeros.
    pub(crate) fn put(&self, run: &mut PageRun, content: &[u8]) -> io::Result<()> {
        let start = run.buffer.len();
        run.buffer.extend_from_slice(content);
        run.buffer.resize(start + CONTENT, 0);
        let number = run.next + (start / PAGE) as u64;
        let checksum = checksum(self.subject, number, run.buffer.get(start..).unwrap_or_default());
        run.buffer.extend_from_slice(&checksum.to_le_bytes());
        if run.buffer.len() >= BUFFERED * PAGE { self.flush(run) } else { Ok(()) }
    }

    /// Writes what of a run is still in memory.
    pub(crate) fn flush(&self, run: &mut PageRun) -> io::Result<()> {
        self.file.write_at(&run.buffer, run.next * PAGE as u64)?;
        run.next += (run.buffer.len() / PAGE) as u64;
        run.buffer.clear();
        Ok(())
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl PageRun {
    /// Pages from a number on.
    pub(crate) fn from(next: u64) -> Self {
        Self { next, buffer: Vec::new() }
    }

    /// The number of the page that comes next.
    pub(crate) fn position(&self) -> u64 {
        self.next + (self.buffer.len() / PAGE) as u64
    }
}

fn checksum(subject: Subject, number: u64, content: &[u8]) -> u32 {
    let mut of = crc32c::crc32c(subject.log.as_bytes());
    for value in [subject.first, subject.last, subject.form, number] {
        of = crc32c::crc32c_append(of, &value.to_le_bytes());
    }
    crc32c::crc32c_append(of, content)
}
