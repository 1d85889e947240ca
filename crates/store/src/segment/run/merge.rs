//! Making one run of several in a row, reading each from its beginning to its end, a few pages at a time.

use super::write::{RunWriter, inlined};
use super::{KeyPage, LIST, Reading, RunFile, SLOTS_A_PAGE};
use crate::segment::SegmentError;
use crate::segment::disk::Disk;
use crate::segment::keys::Key;
use crate::segment::pages::{CONTENT, Subject};
use crate::segment::reads::Reads;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many pages are read at a time.
const AHEAD: u64 = 32;

/// Writes the run of all keys of some runs, which come in the order of their segments, and makes it durable. Nothing if it
/// was told to stop.
pub(crate) fn merge(
    disk: &dyn Disk,
    runs: &[&RunFile],
    subject: Subject,
    stop: &AtomicBool,
) -> Result<bool, SegmentError> {
    let base = runs.first().map_or(0, |run| run.base);
    let entries = runs.iter().map(|run| run.entries).sum();
    let mut writer = RunWriter::create(disk, subject, base, entries)?;
    let mut cursors: Vec<Cursor<'_>> = runs.iter().map(|run| Cursor::new(run)).collect();
    for cursor in &mut cursors {
        cursor.advance()?;
    }
    while let Some(key) = cursors.iter().filter_map(Cursor::key).min() {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let mut parts = Vec::new();
        for cursor in &mut cursors {
            if cursor.key() == Some(key) {
                parts.push(cursor.take()?);
            }
        }
        copy_key(&mut writer, key, base, &parts)?;
    }
    writer.finish()?;
    writer.sync()?;
    Ok(true)
}

fn copy_key(writer: &mut RunWriter, key: Key, base: u64, parts: &[Part<'_>]) -> Result<(), SegmentError> {
    let total = parts.iter().map(Part::len).sum();
    debug_assert!(inlined(total) <= total.max(1), "an entry stands for one place at least");
    writer.key(key, total)?;
    for part in parts {
        part.for_each(|place| Ok(writer.place(key, total, place - base)?))?;
    }
    Ok(())
}

/// The places of a key in one run.
struct Part<'a> {
    run: &'a RunFile,
    places: Places,
}

enum Places {
    Inline(Vec<u64>),
    List(u64, u64),
}

impl Part<'_> {
    fn len(&self) -> u64 {
        match &self.places {
            Places::Inline(places) => places.len() as u64,
            Places::List(_, count) => *count,
        }
    }

    /// Visits the places, counted from the beginning of the log.
    fn for_each(&self, mut visit: impl FnMut(u64) -> Result<(), SegmentError>) -> Result<(), SegmentError> {
        let base = self.run.base;
        match &self.places {
            Places::Inline(places) => places.iter().try_for_each(|place| visit(base + place)),
            Places::List(at, count) => {
                let reading = Reading { run: self.run, reads: &Reads::blocking() };
                let mut at = *at;
                let end = at + count;
                while at < end {
                    let some = (end - at).min(SLOTS_A_PAGE);
                    reading.slots(at, some)?.into_iter().try_for_each(|place| visit(base + place))?;
                    at += some;
                }
                Ok(())
            }
        }
    }
}

/// Reads the entries of a run in order.
struct Cursor<'a> {
    run: &'a RunFile,
    /// The pages that have been read, one behind the other, and which is the first of them.
    contents: Vec<u8>,
    first: u64,
    /// The page that comes next, and the entry in it.
    page: u64,
    entry: usize,
    current: Option<(Key, u64)>,
}

impl<'a> Cursor<'a> {
    fn new(run: &'a RunFile) -> Self {
        Self { run, contents: Vec::new(), first: 0, page: 0, entry: 0, current: None }
    }

    fn key(&self) -> Option<Key> {
        self.current.map(|(key, _)| key)
    }

    /// All that stands under the present key; goes on to the next.
    fn take(&mut self) -> Result<Part<'a>, SegmentError> {
        let mut places = Vec::new();
        let key = self.key();
        while let Some((found, value)) = self.current.filter(|(found, _)| Some(*found) == key) {
            let _same = found;
            self.advance()?;
            if value & LIST != 0 {
                let reading = Reading { run: self.run, reads: &Reads::blocking() };
                let at = value & !LIST;
                return Ok(Part { run: self.run, places: Places::List(at + 1, reading.slot(at)?) });
            }
            places.push(value);
        }
        Ok(Part { run: self.run, places: Places::Inline(places) })
    }

    fn advance(&mut self) -> Result<(), SegmentError> {
        loop {
            if self.page >= u64::from(self.run.keyed) {
                self.current = None;
                return Ok(());
            }
            let read = (self.contents.len() / CONTENT) as u64;
            if self.page >= self.first + read {
                let some = AHEAD.min(u64::from(self.run.keyed) - self.page);
                self.contents = self.run.pages.contents(&Reads::blocking(), 1 + self.page, some)?;
                self.first = self.page;
            }
            let start = (self.page - self.first) as usize * CONTENT;
            let page = KeyPage::new(self.contents.get(start..start + CONTENT).unwrap_or_default())?;
            if self.entry < page.count {
                self.current = Some(page.entry(self.entry));
                self.entry += 1;
                return Ok(());
            }
            self.page += 1;
            self.entry = 0;
        }
    }
}
