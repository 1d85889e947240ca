//! The segments of a log as readers see them: the sealed ones, the one being written, and up to where it is
//! published. Readers take the view as it is and never wait for the writer.

use super::SegmentError;
use super::disk::{Disk, DiskFile, read_exact_at};
use super::envelope;
use super::files::{Files, INDEX};
use super::format::{SegmentHeader, decode_batch};
use super::index_file::{self, IndexFile, Subject};
use super::keys::Plan;
use super::lookup::{self, BatchEntry, Bounds, Lookup, Selection};
use super::recovery;
use super::tail::TailIndex;
use crate::log::{Damage, Direction, Event};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tenon_core::{EventId, LogId, Position};

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) log: LogId,
    pub(crate) files: Arc<Files>,
    view: RwLock<View>,
}

/// The log at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) sealed: Arc<Vec<Arc<Sealed>>>,
    pub(crate) active: Arc<Active>,
    /// The last position that is published.
    pub(crate) head: Position,
    /// The scavenge mark.
    pub(crate) first: Position,
}

/// A segment that is written no more.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) header: SegmentHeader,
    pub(crate) name: String,
    /// The last position that it had before it was scavenged.
    pub(crate) last: Position,
    /// Where its batches end in the file.
    pub(crate) size: u64,
    index: Mutex<Option<Arc<Index>>>,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) header: SegmentHeader,
    pub(crate) name: String,
    pub(crate) file: Arc<dyn DiskFile>,
    /// How many bytes the file has.
    pub(crate) capacity: u64,
    pub(crate) index: RwLock<TailIndex>,
}

/// A segment of either kind.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Sealed(Arc<Sealed>),
    Active(Arc<Active>),
}

/// The index of a sealed segment: in memory only when it could not be written.
#[derive(Debug)]
pub(crate) enum Index {
    File(IndexFile),
    Memory(TailIndex),
}

impl Segments {
    pub(crate) fn new(log: LogId, files: Arc<Files>, view: View) -> Self {
        Self { log, files, view: RwLock::new(view) }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.files.disk()
    }

    pub(crate) fn view(&self) -> View {
        // A view is replaced field by field with values that are made before; no panic comes in between.
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl View {
    /// All segments, in order.
    pub(crate) fn parts(&self) -> impl DoubleEndedIterator<Item = Part> {
        let sealed = self.sealed.iter().cloned().map(Part::Sealed);
        sealed.chain([Part::Active(Arc::clone(&self.active))])
    }
}

impl Part {
    /// Whether it may hold a position within the bounds.
    pub(crate) fn overlaps(&self, bounds: Bounds) -> bool {
        match self {
            Self::Sealed(sealed) => sealed.last > bounds.after && sealed.header.first < bounds.before,
            Self::Active(active) => active.header.first < bounds.before,
        }
    }

    /// The next candidates: within `range` of its batches, or to begin with within the bounds.
    pub(crate) fn select(
        &self,
        segments: &Segments,
        plan: &Plan,
        bounds: Bounds,
        range: Option<Range<u32>>,
        direction: Direction,
    ) -> Result<Selection, SegmentError> {
        match self {
            Self::Sealed(sealed) => sealed.with_index(segments, |index| match index {
                Index::File(index) => select(index, plan, bounds, range.clone(), direction),
                Index::Memory(index) => select(index, plan, bounds, range.clone(), direction),
            }),
            Self::Active(active) => {
                // The writer changes the index by whole batches; a reader looks below the head only.
                let index = active.index.read().unwrap_or_else(PoisonError::into_inner);
                select(&*index, plan, bounds, range, direction)
            }
        }
    }

    /// The events of a batch.
    pub(crate) fn load(&self, segments: &Segments, entry: &BatchEntry) -> Result<Vec<Event>, SegmentError> {
        match self {
            Self::Sealed(sealed) => {
                let file = segments.files.get(&sealed.name)?;
                load(&*file, &sealed.name, &sealed.header, entry)
            }
            Self::Active(active) => load(&*active.file, &active.name, &active.header, entry),
        }
    }
}

impl Sealed {
    pub(crate) fn new(header: SegmentHeader, name: String, last: Position, size: u64) -> Self {
        Self { header, name, last, size, index: Mutex::new(None) }
    }

    pub(crate) fn index_name(&self) -> String {
        format!("{}{INDEX}", self.name)
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject { log: self.header.log, sequence: self.header.sequence, size: self.size }
    }

    pub(crate) fn is_scavenged(&self) -> bool {
        self.header.end != 0
    }

    /// The ids of its events, in order.
    pub(crate) fn ids(&self, segments: &Segments) -> Result<Vec<(EventId, Position)>, SegmentError> {
        self.with_index(segments, |index| match index {
            Index::File(index) => index.ids(),
            Index::Memory(index) => Ok(index.ids().to_vec()),
        })
    }

    /// Reads through the whole segment and writes its index anew.
    pub(crate) fn rebuild_index(&self, segments: &Segments) -> Result<(), SegmentError> {
        let rebuilt = Arc::new(self.rebuilt(segments)?);
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(rebuilt);
        Ok(())
    }

    /// Uses the index; if a part of it cannot be believed, makes it anew and tries once more.
    fn with_index<T>(
        &self,
        segments: &Segments,
        used: impl Fn(&Index) -> Result<T, SegmentError>,
    ) -> Result<T, SegmentError> {
        match self.opened_index(segments).and_then(|index| used(&index)) {
            Err(SegmentError::Index) => {
                tracing::warn!(
                    segment = self.name,
                    "the index of a segment is missing or damaged; making it anew"
                );
                self.rebuild_index(segments)?;
                self.opened_index(segments).and_then(|index| used(&index))
            }
            other => other,
        }
    }

    fn opened_index(&self, segments: &Segments) -> Result<Arc<Index>, SegmentError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*index {
            return Ok(Arc::clone(index));
        }
        let file = IndexFile::open(Arc::clone(&segments.files), &self.index_name(), self.subject())?;
        Ok(Arc::clone(index.insert(Arc::new(Index::File(file)))))
    }

    fn rebuilt(&self, segments: &Segments) -> Result<Index, SegmentError> {
        let name = self.index_name();
        let index = recovery::index_of(segments, self)?;
        segments.files.forget(&name);
        if let Err(error) = index_file::write(segments.disk(), &name, self.subject(), &index) {
            tracing::warn!(%error, name, "the index of a segment cannot be written; keeping it in memory");
            return Ok(Index::Memory(index));
        }
        Ok(Index::File(IndexFile::open(Arc::clone(&segments.files), &name, self.subject())?))
    }
}

fn select(
    index: &impl Lookup,
    plan: &Plan,
    bounds: Bounds,
    range: Option<Range<u32>>,
    direction: Direction,
) -> Result<Selection, SegmentError> {
    let range = match range {
        Some(range) => range,
        None => lookup::within(index, bounds)?,
    };
    lookup::select(index, plan, range, direction)
}

fn load(
    file: &dyn DiskFile,
    name: &str,
    header: &SegmentHeader,
    entry: &BatchEntry,
) -> Result<Vec<Event>, SegmentError> {
    let damage = |problem| Damage {
        file: name.to_owned(),
        offset: u64::from(entry.at),
        after: Position(entry.first.0.saturating_sub(1)),
        problem,
    };
    let bytes = match read_exact_at(file, u64::from(entry.at), entry.size as usize) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(damage("the file is too short").into());
        }
        other => other?,
    };
    let batch = decode_batch(header.log, &bytes, header.offset_of(u64::from(entry.at))).map_err(damage)?;
    Ok(envelope::decode(batch.payload).map_err(damage)?)
}
