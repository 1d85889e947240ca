//! Writing a run: keys in order, each with its places in order.

use super::{
    ENTRIES_A_PAGE, INLINE, LIST, MAGIC, PAGE_HEADER, RunFile, SLOT, SLOTS_A_PAGE, VERSION, name, page_of,
};
use crate::segment::SegmentError;
use crate::segment::disk::Disk;
use crate::segment::files::Files;
use crate::segment::format::Writer;
use crate::segment::keys::Key;
use crate::segment::pages::{PageRun, PageWriter, Subject};
use crate::segment::tail::TailIndex;
use std::io;
use std::sync::Arc;

/// How many entries a page is meant to have: so few that it hardly ever runs over.
const MEANT_A_PAGE: u64 = 80;

/// A run that is being written.
pub(crate) struct RunWriter {
    file: PageWriter,
    base: u64,
    spread: u32,
    keys: PageRun,
    /// The page of keys that is being filled.
    page: KeysOfPage,
    entries: u64,
    lists: PageRun,
    first_list: u64,
    /// The page of lists that is being filled.
    slots: Vec<u8>,
    /// How many numbers the lists have.
    listed: u64,
}

#[derive(Default)]
struct KeysOfPage {
    entries: Vec<u8>,
    count: usize,
}

/// Writes the keys of one segment and opens what was written.
pub(crate) fn write(
    files: &Arc<Files>,
    subject: Subject,
    index: &TailIndex,
) -> Result<RunFile, SegmentError> {
    let keys = index.sorted();
    let count = keys.iter().map(|(_, postings)| inlined(postings.as_slice().len() as u64)).sum();
    let mut writer = RunWriter::create(files.disk(), subject, index.base(), count)?;
    for (key, postings) in keys {
        let places = postings.as_slice();
        writer.key(key, places.len() as u64)?;
        places.iter().try_for_each(|at| writer.place(key, places.len() as u64, u64::from(*at)))?;
    }
    writer.finish()?;
    RunFile::open(files, subject)
}

/// How many entries a key with so many places has.
pub(crate) fn inlined(places: u64) -> u64 {
    if places > INLINE { 1 } else { places }
}

impl RunWriter {
    /// A run of at most so many entries, whose places are counted from a base.
    pub(crate) fn create(disk: &dyn Disk, subject: Subject, base: u64, entries: u64) -> io::Result<Self> {
        let spread = u32::try_from(entries.div_ceil(MEANT_A_PAGE).max(1)).map_err(io::Error::other)?;
        // Behind the pages of keys there is room for those that are run over into.
        let first_list = 1 + u64::from(spread) + u64::from(spread / 16) + 4;
        Ok(Self {
            file: PageWriter::create(disk, &name(subject.first, subject.last), subject)?,
            base,
            spread,
            keys: PageRun::from(1),
            page: KeysOfPage::default(),
            entries: 0,
            lists: PageRun::from(first_list),
            first_list,
            slots: Vec::new(),
            listed: 0,
        })
    }

    /// Begins a key that will have so many places; keys come in order.
    pub(crate) fn key(&mut self, key: Key, places: u64) -> io::Result<()> {
        if places > INLINE {
            self.entry(key, LIST | self.listed)?;
            self.slot(places)?;
        }
        Ok(())
    }

    /// Adds a place, counted from the base, to the key that was begun with so many.
    pub(crate) fn place(&mut self, key: Key, places: u64, place: u64) -> io::Result<()> {
        if place >= LIST {
            return Err(io::Error::other("the run is too long"));
        }
        if places > INLINE { self.slot(place) } else { self.entry(key, place) }
    }

    /// Writes what is left, and the header.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        while self.next_page() < u64::from(self.spread) {
            self.end_page(false)?;
        }
        if self.page.count > 0 {
            self.end_page(false)?;
        }
        self.file.flush(&mut self.keys)?;
        if !self.slots.is_empty() {
            self.file.put(&mut self.lists, &self.slots)?;
        }
        self.file.flush(&mut self.lists)?;
        let mut header = Writer(Vec::new());
        header.bytes(&MAGIC);
        header.u32(VERSION);
        header.u64(self.base);
        header.u32(self.spread);
        header.u32(self.next_page() as u32);
        header.u32(self.first_list as u32);
        header.u64(self.entries);
        // Last, so that a file that was not written to its end has none.
        let mut run = PageRun::from(0);
        self.file.put(&mut run, &header.0)?;
        self.file.flush(&mut run)
    }

    /// Makes the run durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn entry(&mut self, key: Key, value: u64) -> io::Result<()> {
        while self.next_page() < u64::from(page_of(key, self.spread)) {
            self.end_page(false)?;
        }
        if self.page.count == ENTRIES_A_PAGE {
            self.end_page(true)?;
        }
        self.page.entries.extend(key.0.to_le_bytes().into_iter().take(5));
        self.page.entries.extend(value.to_le_bytes().into_iter().take(5));
        self.page.count += 1;
        self.entries += 1;
        Ok(())
    }

    /// The number, among pages of keys, of the one that is being filled.
    fn next_page(&self) -> u64 {
        self.keys.position() - 1
    }

    fn end_page(&mut self, runs_over: bool) -> io::Result<()> {
        if self.keys.position() >= self.first_list {
            return Err(io::Error::other("too many keys are alike"));
        }
        let KeysOfPage { entries, count } = std::mem::take(&mut self.page);
        let mut content = Writer(Vec::with_capacity(PAGE_HEADER + entries.len()));
        content.u16(count as u16);
        content.u16(u16::from(runs_over));
        content.bytes(&entries);
        self.file.put(&mut self.keys, &content.0)
    }

    fn slot(&mut self, value: u64) -> io::Result<()> {
        self.slots.extend(value.to_le_bytes().into_iter().take(SLOT));
        self.listed += 1;
        if self.listed.is_multiple_of(SLOTS_A_PAGE) {
            let slots = std::mem::take(&mut self.slots);
            self.file.put(&mut self.lists, &slots)?;
        }
        Ok(())
    }
}
