//! A log in segment files made of another log, whatever that is kept in: the same id, positions, ids and times.
//!
//! Positions may have gaps, where something was scavenged or deleted, so all segments but the last have the form of those
//! from which something was taken out. Until all is there the folder is no log, as with a restore.

use super::SegmentOptions;
use super::backup;
use super::disk::Disk;
use super::envelope;
use super::files::{self, SEGMENT, segment};
use super::format::{BatchHeader, SEGMENT_HEADER, SegmentHeader, encode_batch};
use crate::log::whole::Whole;
use crate::log::{Event, Log, OpenError, ReadError};
use std::io;
use std::sync::Arc;
use tenon_core::{Position, Timestamp};

/// How many events a batch has.
const BATCH: usize = 64;

/// What was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// How many events.
    pub events: u64,
    /// The last position of the log.
    pub head: Position,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The other log cannot be read.
    #[error("the log that is copied cannot be read")]
    Read(#[from] ReadError),
    /// The files cannot be written, or there is a log already.
    #[error(transparent)]
    Write(#[from] OpenError),
}

/// Makes a log of another one, which nobody may append to meanwhile. The target must be without a log, or hold what an
/// interrupted run left.
///
/// # Errors
/// [`ImportError`]; what was written then is no log.
pub async fn import(source: &Arc<dyn Log>, target: &dyn Disk) -> Result<Imported, ImportError> {
    let failed = |source| backup::failed(target, source);
    backup::begin_restoring(target).map_err(failed)?;
    let mut writing = Writing::new(source, target);
    let mut whole = Whole::new(Arc::clone(source));
    while let Some(events) = whole.next().await? {
        writing.add(&events).map_err(failed)?;
    }
    let head = source.head();
    let events = writing.finish(head).map_err(failed)?;
    backup::end_restoring(target).map_err(failed)?;
    Ok(Imported { events, head })
}

/// The segment that is being filled.
struct Writing<'a> {
    target: &'a dyn Disk,
    header: SegmentHeader,
    bytes: Vec<u8>,
    last: Position,
    time: Timestamp,
    events: u64,
    segment_bytes: usize,
}

impl<'a> Writing<'a> {
    fn new(source: &Arc<dyn Log>, target: &'a dyn Disk) -> Self {
        let header = SegmentHeader {
            log: source.id(),
            sequence: 1,
            base: 0,
            first: Position(1),
            time: Timestamp::ZERO,
            mark: source.first(),
            end: 0,
        };
        let segment_bytes = SegmentOptions::default().segment_bytes as usize;
        let bytes = vec![0; SEGMENT_HEADER];
        Self { target, header, bytes, last: Position::START, time: Timestamp::ZERO, events: 0, segment_bytes }
    }

    fn add(&mut self, events: &[Event]) -> io::Result<()> {
        for events in events.chunks(BATCH) {
            let (Some(first), Some(last)) = (events.first(), events.last()) else { continue };
            let header = BatchHeader {
                offset: self.header.offset_of(self.bytes.len() as u64),
                durable: self.header.base,
                first: first.position,
                count: events.len() as u32,
                time: last.time,
                mark: self.header.mark,
            };
            let payload = |out: &mut Vec<u8>| envelope::encode(events, out);
            encode_batch(self.header.log, &header, payload, &mut self.bytes);
            self.events += events.len() as u64;
            (self.last, self.time) = (last.position, last.time);
            if self.bytes.len() >= self.segment_bytes {
                self.seal(Position(self.last.0 + 1))?;
            }
        }
        Ok(())
    }

    /// Writes the segment, and begins the next one.
    fn seal(&mut self, next: Position) -> io::Result<()> {
        self.header.end = self.header.offset_of(self.bytes.len() as u64);
        self.put_header();
        // Below any name that taking out deleted streams gives.
        let name = files::less(self.header.sequence, Position::START);
        backup::put(self.target, &name, &self.bytes)?;
        self.header = SegmentHeader {
            sequence: self.header.sequence + 1,
            base: self.header.end,
            first: next,
            time: self.time,
            end: 0,
            ..self.header.clone()
        };
        self.bytes.truncate(SEGMENT_HEADER);
        Ok(())
    }

    /// Writes what is left, and the segment that appends go on in. Answers how many events there are.
    fn finish(mut self, head: Position) -> io::Result<u64> {
        let next = Position(head.0 + 1);
        if self.bytes.len() > SEGMENT_HEADER {
            self.seal(next)?;
        }
        self.header.first = next;
        self.bytes.resize(self.segment_bytes, 0);
        self.put_header();
        backup::put(self.target, &segment(self.header.sequence, SEGMENT), &self.bytes)?;
        Ok(self.events)
    }

    fn put_header(&mut self) {
        let header = self.header.encode();
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = header;
        }
    }
}

#[cfg(test)]
mod tests;
