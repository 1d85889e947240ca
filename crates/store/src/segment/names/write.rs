//! Writing the names of a segment's streams, and merging those of several.

use super::{Cursor, MAGIC, Merged, Named, NamesFile, PAGE_HEADER, VERSION, look_through, name, subject};
use crate::segment::SegmentError;
use crate::segment::disk::Disk;
use crate::segment::envelope::wire;
use crate::segment::format::Writer;
use crate::segment::pages::{CONTENT, PageRun, PageWriter, Subject};
use crate::segment::reads::Reads;
use crate::segment::segments::{Part, Segments, View};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tenon_core::Position;

/// So many files of about the same length in a row become one.
const FANOUT: u64 = 8;
/// The most segments that one file is of.
const LONGEST: u64 = 4_096;

/// Does one thing that is due, if anything is: whether there was. The lock of upkeep must be held.
pub(crate) fn step(segments: &Segments, stop: &AtomicBool) -> Result<bool, SegmentError> {
    let view = segments.view();
    let done = if let Some(files) = mergeable(&view) {
        merge(segments, &view, &files, stop)
    } else if let Some(sequence) = unnamed(&view).next() {
        write_one(segments, &view, sequence).map(|()| true)
    } else {
        return Ok(false);
    };
    match done {
        // What is damaged is written anew.
        Err(SegmentError::Index) => {
            forget_damaged(segments);
            Ok(true)
        }
        other => other,
    }
}

/// The numbers of the sealed segments that no file of names is of.
pub(super) fn unnamed(view: &View) -> impl Iterator<Item = u64> {
    let named = |sequence: &u64| {
        let at = view.names.partition_point(|file| file.last() < *sequence);
        view.names.get(at).is_some_and(|file| file.first() <= *sequence)
    };
    (1..=view.sealed.len() as u64).filter(move |sequence| !named(sequence))
}

/// Lets go of files that turned out to be damaged, so that their segments are without.
pub(super) fn forget_damaged(segments: &Segments) {
    segments.update(|view| Arc::make_mut(&mut view.names).retain(|file| !file.is_damaged()));
}

fn mergeable(view: &View) -> Option<Vec<Arc<NamesFile>>> {
    let length = |file: &NamesFile| file.last() - file.first() + 1;
    let alike = |files: &&[Arc<NamesFile>]| {
        let level = files.first().map(|file| length(file).ilog(FANOUT));
        let in_a_row = files.array_windows().all(|[one, next]| one.last() + 1 == next.first());
        in_a_row
            && files.iter().all(|file| Some(length(file).ilog(FANOUT)) == level)
            && files.iter().map(|file| length(file)).sum::<u64>() <= LONGEST
    };
    view.names.windows(FANOUT as usize).find(alike).map(<[_]>::to_vec)
}

fn write_one(segments: &Segments, view: &View, sequence: u64) -> Result<(), SegmentError> {
    let Some(part) = view.part(sequence as usize - 1) else { return Ok(()) };
    let first = part.header().first;
    let names = names_of(segments, part)?;
    let written = write(segments, subject(view, sequence, sequence), first, |writer| {
        names.iter().try_for_each(|named| writer.put(named))?;
        Ok(true)
    });
    if let Some(file) = written? {
        replace(segments, &file, &[]);
    }
    Ok(())
}

/// The streams of a segment, in order.
fn names_of(segments: &Segments, part: Part) -> Result<Vec<Named>, SegmentError> {
    let mut names: BTreeMap<Vec<u8>, (Position, bool)> = BTreeMap::new();
    look_through(segments, &Reads::blocking(), part, |raw| {
        let Named { key, last, deleted } = Named::of(raw);
        names.insert(key, (last, deleted));
    })?;
    Ok(names.into_iter().map(|(key, (last, deleted))| Named { key, last, deleted }).collect())
}

fn merge(
    segments: &Segments,
    view: &View,
    files: &[Arc<NamesFile>],
    stop: &AtomicBool,
) -> Result<bool, SegmentError> {
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return Ok(false) };
    let subject = subject(view, first.first(), last.last());
    let reads = Reads::blocking();
    let cursors = files.iter().map(|file| Cursor::all(file, &reads)).collect::<Result<_, _>>()?;
    let mut merged = Merged(cursors);
    let written = write(segments, subject, Position(first.base), |writer| {
        while let Some(named) = merged.next()? {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            writer.put(&named)?;
        }
        Ok(true)
    })?;
    if let Some(file) = &written {
        replace(segments, file, files);
    }
    Ok(written.is_some())
}

/// Puts a file in the place of others.
fn replace(segments: &Segments, file: &Arc<NamesFile>, others: &[Arc<NamesFile>]) {
    segments.update(|view| {
        let names = Arc::make_mut(&mut view.names);
        names.retain(|it| !others.iter().any(|other| Arc::ptr_eq(it, other)));
        let at = names.partition_point(|it| it.last() < file.first());
        names.insert(at, Arc::clone(file));
    });
    for name in others.iter().map(|other| other.name()) {
        segments.files.forget(name);
        if let Err(error) = segments.disk().remove(name) {
            tracing::warn!(%error, name, "a list of streams that has been merged cannot be removed");
        }
    }
}

/// Writes a file; none if it was told to stop, and then nothing is left of it.
fn write(
    segments: &Segments,
    subject: Subject,
    base: Position,
    fill: impl FnOnce(&mut NamesWriter) -> Result<bool, SegmentError>,
) -> Result<Option<Arc<NamesFile>>, SegmentError> {
    let name = name(subject.first, subject.last);
    segments.files.forget(&name);
    let written = NamesWriter::create(segments.disk(), &name, subject, base).map_err(SegmentError::from);
    let written = written.and_then(|mut writer| {
        if !fill(&mut writer)? {
            return Ok(None);
        }
        writer.finish()?;
        Ok(Some(Arc::new(NamesFile::open(&segments.files, subject)?)))
    });
    if !matches!(written, Ok(Some(_))) {
        // A part of it would be found out, too.
        let _ = segments.disk().remove(&name);
    }
    written
}

/// A file that is being written.
struct NamesWriter {
    file: PageWriter,
    base: u64,
    run: PageRun,
    page: Vec<u8>,
    count: u16,
    last: Vec<u8>,
    pages: u64,
}

impl NamesWriter {
    fn create(disk: &dyn Disk, name: &str, subject: Subject, base: Position) -> io::Result<Self> {
        Ok(Self {
            file: PageWriter::create(disk, name, subject)?,
            base: base.0,
            run: PageRun::from(1),
            page: Vec::with_capacity(CONTENT),
            count: 0,
            last: Vec::new(),
            pages: 0,
        })
    }

    /// Adds a name; they come in order.
    fn put(&mut self, named: &Named) -> Result<(), SegmentError> {
        let mut entry = self.entry(named);
        if PAGE_HEADER + self.page.len() + entry.len() > CONTENT {
            self.end_page()?;
            entry = self.entry(named);
        }
        self.page.extend_from_slice(&entry);
        self.count += 1;
        self.last.clone_from(&named.key);
        Ok(())
    }

    fn entry(&self, named: &Named) -> Vec<u8> {
        let shared = self.last.iter().zip(&named.key).take_while(|(one, other)| one == other).count();
        let rest = named.key.get(shared..).unwrap_or_default();
        let mut entry = Vec::with_capacity(rest.len() + 16);
        wire::put_varint(shared as u64, &mut entry);
        wire::put_varint(rest.len() as u64, &mut entry);
        entry.extend_from_slice(rest);
        let after = named.last.0.saturating_sub(self.base);
        wire::put_varint((after << 1) | u64::from(named.deleted), &mut entry);
        entry
    }

    fn end_page(&mut self) -> io::Result<()> {
        let mut content = Writer(Vec::with_capacity(CONTENT));
        content.u16(self.count);
        content.bytes(&self.page);
        self.file.put(&mut self.run, &content.0)?;
        self.page.clear();
        self.last.clear();
        self.count = 0;
        self.pages += 1;
        Ok(())
    }

    /// Writes what is left, and the header; makes the file durable, as those that it is made of are removed.
    fn finish(&mut self) -> io::Result<()> {
        if self.count > 0 {
            self.end_page()?;
        }
        self.file.flush(&mut self.run)?;
        let mut header = Writer(Vec::new());
        header.bytes(&MAGIC);
        header.u32(VERSION);
        header.u64(self.base);
        header.u64(self.pages);
        // Last, so that a file that was not written to its end has none.
        let mut run = PageRun::from(0);
        self.file.put(&mut run, &header.0)?;
        self.file.flush(&mut run)
    }
}
