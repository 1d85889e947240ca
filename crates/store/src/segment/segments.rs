//! The segments of a log as readers see them: the sealed ones, the runs of their keys, the one being written, and up to
//! where it is published. Readers take the view as it is and never wait for the writer.

use super::SegmentError;
use super::disk::{Disk, DiskFile};
use super::files::{self, Files, INDEX, KEPT, PACKED};
use super::format::{SEGMENT_HEADER, SegmentHeader};
use super::index_file::{self, IndexFile};
use super::keys::Plan;
use super::lookup::{self, Selection};
use super::names::NamesFile;
use super::pages::Subject;
use super::reads::Reads;
use super::recovery;
use super::run::{Reading, Run, Source};
use super::scan::Spare;
use super::tail::{Block, TailIndex};
use crate::deleted::Deleted;
use crate::log::{Damage, Direction, FNV_OFFSET, fnv1a};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tenon_core::{LogId, Position};

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Segments {
    pub(crate) log: LogId,
    pub(crate) files: Arc<Files>,
    /// Held while sealed segments and runs are changed.
    pub(crate) upkeep: Mutex<()>,
    /// What reading has to spare for the next one.
    pub(crate) spare: Spare,
    /// Whether sealed segments are to be compressed.
    pub(crate) packs: bool,
    /// The place where the log ended when deletions were carried out last.
    pub(crate) compacted: AtomicU64,
    view: RwLock<View>,
    /// By the names of files.
    damaged: Mutex<BTreeMap<String, Damage>>,
}

/// The log at one moment.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) sealed: Arc<Vec<Arc<Sealed>>>,
    /// The keys of the sealed segments, in order and without a gap.
    pub(crate) runs: Arc<Vec<Arc<Run>>>,
    /// The names of the streams of sealed segments, in order; some may be missing.
    pub(crate) names: Arc<Vec<Arc<NamesFile>>>,
    pub(crate) active: Arc<Active>,
    /// The byte in the active segment's file where what is published ends.
    pub(crate) tail: u64,
    /// The last position that is published.
    pub(crate) head: Position,
    /// The scavenge mark.
    pub(crate) first: Position,
    /// The streams that were deleted and of which something may be left on disk.
    pub(crate) deleted: Arc<Deleted>,
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
    /// Under which its batches are cached.
    pub(crate) tag: u64,
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
    /// Shared with nobody as long as it changes.
    pub(crate) index: RwLock<Arc<TailIndex>>,
}

/// A segment of either kind, as a reader sees it.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Sealed(Arc<Sealed>),
    /// With where what is published ends.
    Active(Arc<Active>, u64),
}

/// The index of a sealed segment: in memory until it is written, and when it cannot be.
#[derive(Debug)]
pub(crate) enum Index {
    File(IndexFile),
    Memory(Arc<TailIndex>),
}

impl Segments {
    pub(crate) fn new(log: LogId, files: Arc<Files>, view: View, packs: bool) -> Self {
        let view = RwLock::new(view);
        Self {
            log,
            files,
            upkeep: Mutex::new(()),
            spare: Spare::default(),
            packs,
            compacted: AtomicU64::new(0),
            view,
            damaged: Mutex::default(),
        }
    }

    /// Damage that was found while nobody asked for what is there.
    pub(crate) fn known_damage(&self) -> Vec<Damage> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Reads a sealed segment, chosen by turns, to see whether it is whole. `turn` counts on.
    pub(crate) fn scrub(&self, turn: &mut usize) -> Result<(), SegmentError> {
        let view = self.view();
        let Some(sealed) = turn.checked_rem(view.sealed.len()).and_then(|at| view.sealed.get(at)) else {
            return Ok(());
        };
        *turn = turn.wrapping_add(1);
        match recovery::for_each_batch(self, sealed, |_, _| Ok(())) {
            Err(SegmentError::Damage(damage)) => {
                self.note_damage(damage);
                Ok(())
            }
            // It was scavenged meanwhile.
            Err(_) if !Arc::ptr_eq(&view.sealed, &self.view().sealed) => Ok(()),
            other => other,
        }
    }

    /// Tells of damage that was found while nobody asked for what is there.
    pub(crate) fn note_damage(&self, damage: Damage) {
        tracing::error!(%damage, "a segment of the log is damaged; restore it from a copy");
        let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        damaged.insert(damage.file.clone(), damage);
    }

    /// Whether a segment's file was found damaged.
    pub(crate) fn is_damaged(&self, name: &str) -> bool {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
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
    /// How many segments there are.
    pub(crate) fn len(&self) -> usize {
        self.sealed.len() + 1
    }

    /// A segment, by its place in the order.
    pub(crate) fn part(&self, at: usize) -> Option<Part> {
        if at == self.sealed.len() {
            return Some(Part::Active(Arc::clone(&self.active), self.tail));
        }
        self.sealed.get(at).cloned().map(Part::Sealed)
    }

    /// Which segment holds a position, or would: the last one that begins at or before it.
    pub(crate) fn segment_of(&self, position: Position) -> usize {
        if self.active.header.first <= position {
            return self.sealed.len();
        }
        self.sealed.partition_point(|sealed| sealed.header.first <= position).saturating_sub(1)
    }

    /// Which segment a place is in.
    pub(crate) fn segment_at(&self, place: u64) -> usize {
        let begins = |header: &SegmentHeader| header.place(SEGMENT_HEADER as u64) <= place;
        if begins(&self.active.header) {
            return self.sealed.len();
        }
        self.sealed.partition_point(|sealed| begins(&sealed.header)).saturating_sub(1)
    }

    /// The place where what is published ends.
    pub(crate) fn end(&self) -> u64 {
        self.active.header.place(self.tail)
    }

    /// What some sealed segments in a row are, for the file with their keys. They are numbered from 1.
    pub(crate) fn subject(&self, first: u64, last: u64) -> Subject {
        let covered = self.sealed.get(first as usize - 1..last as usize).unwrap_or_default();
        let form = covered.iter().fold(FNV_OFFSET, |hash, sealed| {
            let form = [sealed.size, sealed.header.end].map(u64::to_le_bytes);
            fnv1a(hash, form.as_flattened())
        });
        Subject { log: self.active.header.log, first, last, form }
    }
}

impl Part {
    pub(crate) fn header(&self) -> &SegmentHeader {
        match self {
            Self::Sealed(sealed) => &sealed.header,
            Self::Active(active, _) => &active.header,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sealed(sealed) => &sealed.name,
            Self::Active(active, _) => &active.name,
        }
    }

    /// Where its published batches end in the file.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Sealed(sealed) => sealed.size,
            Self::Active(_, tail) => *tail,
        }
    }

    pub(crate) fn file(&self, files: &Files) -> Result<Arc<dyn DiskFile>, SegmentError> {
        match self {
            Self::Sealed(sealed) => Ok(files.get(&sealed.name)?),
            Self::Active(active, _) => Ok(Arc::clone(&active.file)),
        }
    }

    /// The bytes in the file where the block begins that a position is in, and the one after it.
    pub(crate) fn block_of(
        &self,
        segments: &Segments,
        reads: &Reads,
        position: Position,
    ) -> Result<Range<u64>, SegmentError> {
        let around = match self {
            Self::Sealed(sealed) => sealed.with_index(segments, reads, |index| match index {
                Index::File(index) => around(index.blocks(), |number| index.block(reads, number), position),
                Index::Memory(index) => around_slice(index.blocks(), position),
            })?,
            Self::Active(active, _) => {
                around_slice(active.index.read().unwrap_or_else(PoisonError::into_inner).blocks(), position)?
            }
        };
        let start = around.0.map_or(SEGMENT_HEADER as u64, |block| u64::from(block.at));
        let end = around.1.map_or(self.end(), |block| u64::from(block.at));
        Ok(start..end.min(self.end()))
    }
}

type Around = (Option<Block>, Option<Block>);

/// The last block that begins at or before a position, and the next one.
fn around(
    count: u32,
    block: impl Fn(u32) -> Result<Block, SegmentError>,
    position: Position,
) -> Result<Around, SegmentError> {
    let mut range = 0..count;
    while !range.is_empty() {
        let middle = range.start + (range.end - range.start) / 2;
        if block(middle)?.first <= position {
            range.start = middle + 1;
        } else {
            range.end = middle;
        }
    }
    let at = |number: Option<u32>| number.filter(|number| *number < count).map(&block).transpose();
    Ok((at(range.start.checked_sub(1))?, at(Some(range.start))?))
}

fn around_slice(blocks: &[Block], position: Position) -> Result<Around, SegmentError> {
    let block = |number: u32| blocks.get(number as usize).copied().ok_or(SegmentError::Index);
    around(blocks.len() as u32, block, position)
}

impl Active {
    pub(crate) fn new(
        header: SegmentHeader,
        name: String,
        file: Arc<dyn DiskFile>,
        capacity: u64,
        index: TailIndex,
    ) -> Self {
        Self { header, name, file, capacity, index: RwLock::new(Arc::new(index)) }
    }

    /// Its index as it is now.
    pub(crate) fn index(&self) -> Arc<TailIndex> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes its index. The writer alone does so.
    pub(crate) fn change_index<T>(&self, change: impl FnOnce(&mut TailIndex) -> T) -> T {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut index))
    }

    /// The next candidates within a range of places.
    pub(crate) fn select(
        &self,
        plan: &Plan,
        range: Range<u64>,
        direction: Direction,
    ) -> Result<Selection, SegmentError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        lookup::select(&**index, plan, range, direction)
    }
}

impl Run {
    /// The next candidates within a range of places.
    pub(crate) fn select(
        &self,
        reads: &Reads,
        plan: &Plan,
        range: Range<u64>,
        direction: Direction,
    ) -> Result<Selection, SegmentError> {
        match &self.source {
            Source::File(run) => lookup::select(&Reading { run, reads }, plan, range, direction),
            Source::Memory(index) => lookup::select(&**index, plan, range, direction),
            Source::Lost => Err(SegmentError::Index),
        }
    }
}

impl Sealed {
    pub(crate) fn new(files: &Files, header: SegmentHeader, name: String, last: Position, size: u64) -> Self {
        Self { header, name, last, size, tag: files.cache().tag(), index: Mutex::new(None) }
    }

    /// The same, with its index in memory until it is written.
    pub(crate) fn with_memory(self, index: Arc<TailIndex>) -> Self {
        Self { index: Mutex::new(Some(Arc::new(Index::Memory(index)))), ..self }
    }

    /// The index, if it is in memory.
    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> Option<Arc<TailIndex>> {
        match self.index.lock().unwrap_or_else(PoisonError::into_inner).as_deref() {
            Some(Index::Memory(index)) => Some(Arc::clone(index)),
            _ => None,
        }
    }

    pub(crate) fn index_name(&self) -> String {
        format!("{}{INDEX}", files::unpacked(&self.name))
    }

    fn subject(&self) -> Subject {
        let (log, sequence) = (self.header.log, self.header.sequence);
        Subject { log, first: sequence, last: sequence, form: self.size }
    }

    /// Whether something was taken out of it, so that positions have gaps.
    pub(crate) fn is_scavenged(&self) -> bool {
        self.header.end != 0
    }

    /// Whether it is compressed.
    pub(crate) fn is_packed(&self) -> bool {
        self.name.ends_with(PACKED)
    }

    /// Whether only reserved streams are left of it.
    pub(crate) fn is_kept(&self) -> bool {
        self.name.ends_with(KEPT)
    }

    /// Where in the log it ended before anything was taken out.
    pub(crate) fn original_end(&self) -> u64 {
        if self.is_scavenged() { self.header.end } else { self.header.offset_of(self.size) }
    }

    /// The places of its batches.
    pub(crate) fn places(&self) -> Range<u64> {
        self.header.place(SEGMENT_HEADER as u64)..self.header.place(self.size)
    }

    /// The fingerprints of the ids of its events, in order.
    pub(crate) fn ids(&self, segments: &Segments) -> Result<Vec<u32>, SegmentError> {
        self.with_index(segments, &Reads::blocking(), |index| match index {
            Index::File(index) => index.ids(),
            Index::Memory(index) => Ok(index.ids().to_vec()),
        })
    }

    /// Writes the index; if that fails it stays in memory.
    pub(crate) fn write_index(&self, segments: &Segments, index: &Arc<TailIndex>) {
        let kept = self.written(segments, index).unwrap_or_else(|error| {
            let name = &self.name;
            tracing::warn!(?error, name, "the index of a segment cannot be written; keeping it in memory");
            Index::Memory(Arc::clone(index))
        });
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(kept));
    }

    fn written(&self, segments: &Segments, index: &TailIndex) -> Result<Index, SegmentError> {
        let name = self.index_name();
        segments.files.forget(&name);
        index_file::write(segments.disk(), &name, self.subject(), index)?;
        Ok(Index::File(IndexFile::open(&Reads::blocking(), &segments.files, name, self.subject())?))
    }

    /// Uses the index; if a part of it cannot be believed, makes it anew and tries once more.
    fn with_index<T>(
        &self,
        segments: &Segments,
        reads: &Reads,
        used: impl Fn(&Index) -> Result<T, SegmentError>,
    ) -> Result<T, SegmentError> {
        match self.opened_index(segments, reads).and_then(|index| used(&index)) {
            Err(SegmentError::Index) => {
                reads.may_block()?;
                let name = &self.name;
                tracing::warn!(name, "the index of a segment is missing or damaged; making it anew");
                let index = Arc::new(recovery::index_of(segments, self)?);
                self.write_index(segments, &index);
                used(&Index::Memory(index))
            }
            other => other,
        }
    }

    fn opened_index(&self, segments: &Segments, reads: &Reads) -> Result<Arc<Index>, SegmentError> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = &*index {
            return Ok(Arc::clone(index));
        }
        let file = IndexFile::open(reads, &segments.files, self.index_name(), self.subject())?;
        Ok(Arc::clone(index.insert(Arc::new(Index::File(file)))))
    }
}
