//! Reading batches from a segment's file, a chunk at a time.

use super::SegmentError;
use super::disk::DiskFile;
use super::format::{BATCH_HEADER, BatchHeader, batch_size, decode_batch};
use super::reads::Reads;
use super::segments::{Part, Segments};
use crate::log::Damage;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tenon_core::Position;

/// How much is read at a time when everything is wanted.
pub(crate) const CHUNK: usize = 256 << 10;
/// How much is read for a batch of which nothing else is known.
pub(crate) const ONE: usize = 2 << 10;
/// Chunks from this size on are used again.
const SPARED: usize = 64 << 10;
/// How many chunks are kept for being used again.
const MOST_SPARE: usize = 4;
/// How many reads are remembered that may be gone on with.
const MOST_RESUMED: usize = 4;
/// The largest batch that is cached.
const MOST_CACHED: usize = 8 << 10;

/// A segment that is read batch by batch.
pub(crate) struct Scan<'a> {
    segments: &'a Segments,
    reads: &'a Reads,
    part: Part,
    file: Arc<dyn DiskFile>,
    chunk: Bytes,
    /// The byte in the file where the chunk begins.
    chunk_at: u64,
}

/// A batch in the present chunk.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) header: BatchHeader,
    /// Where in the chunk its payload is.
    pub(crate) payload: Range<usize>,
}

/// What reading has to spare for the next one.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// Chunks that somebody may still have a slice of.
    chunks: Mutex<VecDeque<Bytes>>,
    resumed: Mutex<VecDeque<Resumed>>,
}

/// Where a page ended that was full.
#[derive(Debug, Clone)]
pub(crate) struct Resumed {
    /// The last position that was read.
    pub(crate) after: Position,
    /// The name of the segment's file, and the byte where the batch begins that the next position is in or before.
    pub(crate) name: String,
    pub(crate) at: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl Batch {
    /// How many bytes it takes in the file.
    pub(crate) fn size(&self) -> u64 {
        (BATCH_HEADER + self.payload.len()) as u64
    }
}

impl<'a> Scan<'a> {
    pub(crate) fn new(segments: &'a Segments, reads: &'a Reads, part: Part) -> Result<Self, SegmentError> {
        let file = part.file(&segments.files)?;
        Ok(Self { segments, reads, part, file, chunk: Bytes::new(), chunk_at: 0 })
    }

    /// Goes on where a page ended.
    pub(crate) fn resume(&mut self, resumed: &Resumed) {
        self.chunk = resumed.chunk.clone();
        self.chunk_at = resumed.chunk_at;
    }

    /// Where a page ended, to be gone on with.
    pub(crate) fn resumed(&self, after: Position, at: u64) -> Resumed {
        let name = self.part.name().to_owned();
        Resumed { after, name, at, chunk: self.chunk.clone(), chunk_at: self.chunk_at }
    }

    pub(crate) fn part(&self) -> &Part {
        &self.part
    }

    /// What was read last.
    pub(crate) fn chunk(&self) -> &Bytes {
        &self.chunk
    }

    /// The batch that begins at a byte of the file; `after` is the last position known to be before. Reads so many bytes
    /// if it must read.
    pub(crate) fn batch(&mut self, at: u64, after: Position, ahead: usize) -> Result<Batch, SegmentError> {
        self.hold(at, BATCH_HEADER, ahead)?;
        let size = batch_size(self.held(at)).unwrap_or(0);
        if at + size as u64 <= self.part.end() {
            self.hold(at, size, ahead)?;
        }
        let header = self.part.header();
        let found = decode_batch(header.log, self.held(at), header.offset_of(at));
        let batch = found.map_err(|problem| self.damage(at, after, problem))?;
        let start = (at - self.chunk_at) as usize + BATCH_HEADER;
        let payload = start..start + batch.payload.len();
        Ok(Batch { header: batch.header, payload })
    }

    /// The payload of the batch that begins at a byte of the file, from the cache if it is there.
    pub(crate) fn payload(&mut self, at: u64, ahead: usize) -> Result<Bytes, SegmentError> {
        let key = match &self.part {
            Part::Sealed(sealed) => Some((sealed.tag, at)),
            Part::Active(..) => None,
        };
        let cache = self.segments.files.cache();
        if let Some(payload) = key.and_then(|key| cache.get(key)) {
            return Ok(payload);
        }
        let before = Position(self.part.header().first.0.saturating_sub(1));
        let batch = self.batch(at, before, ahead)?;
        let payload = self.chunk.slice(batch.payload);
        if let Some(key) = key.filter(|_| payload.len() <= MOST_CACHED) {
            let kept = Bytes::copy_from_slice(&payload);
            cache.put(key, kept.clone());
            return Ok(kept);
        }
        Ok(payload)
    }

    pub(crate) fn damage(&self, at: u64, after: Position, problem: &'static str) -> SegmentError {
        Damage { file: self.part.name().to_owned(), offset: at, after, problem }.into()
    }

    /// What the chunk holds from a byte of the file on.
    fn held(&self, at: u64) -> &[u8] {
        let start = at.checked_sub(self.chunk_at).unwrap_or(u64::MAX);
        usize::try_from(start).ok().and_then(|start| self.chunk.get(start..)).unwrap_or_default()
    }

    /// Sees to it that the chunk holds so many bytes from a byte of the file on, if there are so many.
    fn hold(&mut self, at: u64, len: usize, ahead: usize) -> Result<(), SegmentError> {
        let there = usize::try_from(self.part.end().saturating_sub(at)).unwrap_or(usize::MAX);
        if self.held(at).len() >= len.min(there) {
            return Ok(());
        }
        let wanted = ahead.max(len).min(there);
        let mut chunk = self.segments.spare.buffer(wanted);
        let read = self.reads.read_at(&*self.file, &mut chunk, at)?;
        chunk.truncate(read);
        self.chunk = chunk.freeze();
        self.chunk_at = at;
        self.segments.spare.keep(&self.chunk);
        Ok(())
    }
}

impl Spare {
    /// A buffer of a size, in place of one that nobody has a slice of any more if there is one.
    fn buffer(&self, len: usize) -> BytesMut {
        if len >= SPARED {
            let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            let unused = chunks.iter().position(|chunk| chunk.len() >= len && chunk.is_unique());
            if let Some(Ok(mut buffer)) = unused.and_then(|at| chunks.remove(at)).map(Bytes::try_into_mut) {
                buffer.truncate(len);
                return buffer;
            }
        }
        BytesMut::zeroed(len)
    }

    fn keep(&self, chunk: &Bytes) {
        if chunk.len() < SPARED {
            return;
        }
        let mut chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
        chunks.push_back(chunk.clone());
        if chunks.len() > MOST_SPARE {
            chunks.pop_front();
        }
    }

    /// Where the page ended that read up to a position.
    pub(crate) fn resumed(&self, after: Position) -> Option<Resumed> {
        let mut resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        let at = resumed.iter().position(|resumed| resumed.after == after)?;
        resumed.remove(at)
    }

    /// Remembers where a page ended.
    pub(crate) fn remember(&self, page: Resumed) {
        let mut resumed = self.resumed.lock().unwrap_or_else(PoisonError::into_inner);
        resumed.push_back(page);
        if resumed.len() > MOST_RESUMED {
            resumed.pop_front();
        }
    }
}
