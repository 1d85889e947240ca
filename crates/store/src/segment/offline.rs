//! Looking at the files of a log without opening it: what there is, whether all of it is whole, and the events themselves.
//!
//! Nothing is changed and nothing locked, so that a log may be looked at while it is in use or when it cannot be opened.
//! What is being written just then may look like a torn tail. A segment that is written anew meanwhile, without what need
//! not be kept, is read as it is then.

use super::SegmentError;
use super::disk::{Disk, read_to_end_at};
use super::envelope::{self, Data, Names};
use super::files::{self, Files, INDEX, KEYS};
use super::format::{RawBatch, SEGMENT_HEADER, SegmentHeader};
use super::recovery::{self, Scan};
use crate::log::{Damage, Event, OpenError};
use bytes::Bytes;
use std::sync::Arc;
use tenon_core::{LogId, Position, Timestamp};

/// The files of a log.
#[derive(Debug)]
pub struct Archive {
    pub(super) files: Files,
    pub(super) segments: Vec<(String, SegmentHeader)>,
}

/// A segment, as it was when it was read.
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) header: SegmentHeader,
    bytes: Bytes,
    /// Where its batches should end; of the last one that is not known.
    whole: Option<usize>,
}

/// How often files are listed anew that others come in the place of.
const MOST_LISTED: usize = 16;

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The log.
    pub log: LogId,
    /// How many segments there are.
    pub segments: usize,
    /// How many of these were scavenged.
    pub scavenged: usize,
    /// The bytes of all segments' files.
    pub segment_bytes: u64,
    /// The bytes of indexes.
    pub index_bytes: u64,
    /// The first position that the log ever had, or would have.
    pub first: Position,
    /// The position that the last segment begins with, and the time of the last event before.
    pub last_segment: (Position, Timestamp),
}

/// What was found when everything was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many segments were read.
    pub segments: usize,
    /// How many batches are whole.
    pub batches: u64,
    /// How many events they hold.
    pub events: u64,
    /// How many bytes they take.
    pub bytes: u64,
    /// The last position.
    pub head: Position,
    /// The scavenge mark.
    pub mark: Position,
    /// The first damaged place of each segment that has one.
    pub damage: Vec<Damage>,
    /// Bytes at the end that were never acknowledged; they are cut when the log is opened.
    pub torn: u64,
}

impl Archive {
    /// Looks at the files on a disk; none if there is no log.
    ///
    /// # Errors
    /// [`OpenError`]: a segment is missing, or its header is damaged or of a newer version.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Option<Self>, OpenError> {
        recovery::check_restored(&*disk)?;
        let list = || {
            let doing = "list the files of the log in";
            disk.list().map_err(|source| OpenError::Io { doing, path: disk.path(), source })
        };
        let mut names = list()?;
        for _ in 1..MOST_LISTED {
            match Self::of(Arc::clone(&disk), &names) {
                Err(error) => {
                    // A list is no look at one moment.
                    let now = list()?;
                    if now == names {
                        return Err(error);
                    }
                    names = now;
                }
                found => return found,
            }
        }
        Self::of(disk, &names)
    }

    fn of(disk: Arc<dyn Disk>, names: &[String]) -> Result<Option<Self>, OpenError> {
        let files = Files::new(disk);
        let names = recovery::current(names.iter().cloned().collect());
        let Some(named) = recovery::segment_names(&names, files.disk())? else { return Ok(None) };
        let mut segments: Vec<(String, SegmentHeader)> = Vec::with_capacity(named.len());
        for (sequence, name) in (1..).zip(named) {
            let header = recovery::read_header(&files, &name, sequence, segments.first())?;
            segments.push((name, header));
        }
        Ok(Some(Self { files, segments }))
    }

    /// What there is, by names, sizes and headers.
    ///
    /// # Errors
    /// [`OpenError::Io`].
    pub fn stat(&self) -> Result<Stat, OpenError> {
        let disk = self.files.disk();
        let failed = |source| OpenError::Io { doing: "look at the files of", path: disk.path(), source };
        // As they are on the disk.
        let size = |name: &str| disk.open(name).and_then(|file| file.size());
        let (mut segment_bytes, mut index_bytes) = (0, 0);
        for (name, header) in &self.segments {
            let size = size(name).or_else(|error| match self.now(name, header, &error)? {
                Some(now) => size(&now),
                None => Err(error),
            });
            segment_bytes += size.map_err(failed)?;
        }
        let names = disk.list().map_err(failed)?;
        for name in names.iter().filter(|name| name.ends_with(INDEX) || name.ends_with(KEYS)) {
            // They come and go while a log is in use.
            index_bytes += match self.files.get(name).and_then(|file| file.size()) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
                other => other.map_err(failed)?,
            };
        }
        let (first, last) = (self.segments.first(), self.segments.last());
        Ok(Stat {
            log: self.log(),
            segments: self.segments.len(),
            scavenged: (0..self.segments.len()).filter(|at| self.is_scavenged(*at)).count(),
            segment_bytes,
            index_bytes,
            first: first.map_or(Position(1), |(_, header)| header.first),
            last_segment: last
                .map_or((Position(1), Timestamp::ZERO), |(_, header)| (header.first, header.time)),
        })
    }

    /// Reads everything and checks every batch.
    ///
    /// # Errors
    /// [`OpenError::Io`]; damage is no error but a finding.
    pub fn verify(&self) -> Result<Verified, OpenError> {
        let mut found = Verified { mark: Position(1), ..Verified::default() };
        for at in 0..self.segments.len() {
            let read = self.visit(at, |batch, header| {
                found.batches += 1;
                found.events += u64::from(batch.header.count);
                found.bytes += batch.size() as u64;
                found.mark = found.mark.max(batch.header.mark);
                recovery::check_batch(batch, header.end != 0)
            });
            found.segments += 1;
            match read {
                Ok((last, torn)) => {
                    found.head = last;
                    found.torn = torn;
                }
                Err(SegmentError::Damage(damage)) => found.damage.push(damage),
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(found)
    }

    /// Visits the events after a position in order, those that have been scavenged but are still there as well, until the
    /// visitor answers no.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] names the place of damage; all before it has been visited.
    pub fn events(&self, after: Position, mut visit: impl FnMut(Event) -> bool) -> Result<(), OpenError> {
        let mut names = Names::default();
        let mut wanted = true;
        for at in 0..self.segments.len() {
            let next = self.segments.get(at + 1).map(|(_, next)| next.first);
            if next.is_some_and(|next| next.0 <= after.0 + 1) {
                continue;
            }
            let read = self.visit(at, |batch, _| {
                for raw in envelope::raw(batch.payload) {
                    let raw = raw?;
                    if wanted && raw.position > after {
                        wanted = visit(raw.event(Data::Copy, &mut names)?);
                    }
                }
                Ok(())
            });
            read.map_err(|error| self.failed(error))?;
            if !wanted {
                break;
            }
        }
        Ok(())
    }

    /// The id of the log.
    pub fn log(&self) -> LogId {
        self.segments.first().map_or(LogId::from_bytes([0; 16]), |(_, header)| header.log)
    }

    pub(super) fn is_scavenged(&self, at: usize) -> bool {
        self.segments.get(at).is_some_and(|(_, header)| header.end != 0)
    }

    /// Reads a segment.
    pub(super) fn segment(&self, at: usize) -> Result<Segment, SegmentError> {
        let (mut name, mut header) = self.segments.get(at).cloned().ok_or(SegmentError::Changed)?;
        let bytes = loop {
            match self.files.get(&name).and_then(|file| read_to_end_at(&*file, 0)) {
                Ok(bytes) => break Bytes::from(bytes),
                Err(error) => match self.now(&name, &header, &error)? {
                    Some(now) => name = now,
                    None => return Err(error.into()),
                },
            }
            let read = recovery::read_header(&self.files, &name, header.sequence, self.segments.first());
            header = read.map_err(|_| SegmentError::Changed)?;
        };
        let next = self.segments.get(at + 1);
        let whole = next.map(|(_, next)| match header.end {
            0 => next.base.saturating_sub(header.base) as usize + SEGMENT_HEADER,
            _ => bytes.len(),
        });
        Ok(Segment { name, header, bytes, whole })
    }

    /// The name of the file that has come in the place of one which is not there any more, if that is why there was an error.
    fn now(
        &self,
        name: &str,
        header: &SegmentHeader,
        error: &std::io::Error,
    ) -> std::io::Result<Option<String>> {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Ok(None);
        }
        let names = recovery::current(self.files.disk().list()?.into_iter().collect());
        let is_it = |now: &&String| files::form(now).is_some_and(|(sequence, _)| sequence == header.sequence);
        Ok(names.iter().find(is_it).filter(|now| *now != name).cloned())
    }

    /// Reads a segment and visits its batches, with its header. Answers with its last position and how many bytes of a torn
    /// tail there are.
    fn visit(
        &self,
        at: usize,
        visit: impl FnMut(&RawBatch<'_>, &SegmentHeader) -> Result<(), &'static str>,
    ) -> Result<(Position, u64), SegmentError> {
        self.segment(at)?.visit(visit)
    }

    pub(super) fn failed(&self, error: SegmentError) -> OpenError {
        match error {
            SegmentError::Damage(damage) => OpenError::Corrupt(damage),
            SegmentError::Io(source) => {
                OpenError::Io { doing: "read a segment of", path: self.files.disk().path(), source }
            }
            SegmentError::Index | SegmentError::Changed | SegmentError::WouldBlock => OpenError::Io {
                doing: "read a segment of",
                path: self.files.disk().path(),
                source: std::io::Error::other("the segments have changed meanwhile; try again"),
            },
        }
    }
}

impl Segment {
    /// Visits its batches. Answers with its last position and how many bytes of a torn tail there are.
    pub(super) fn visit(
        &self,
        mut visit: impl FnMut(&RawBatch<'_>, &SegmentHeader) -> Result<(), &'static str>,
    ) -> Result<(Position, u64), SegmentError> {
        let Self { name, header, bytes, whole } = self;
        let damage = |offset: usize, after, problem| Damage {
            file: name.clone(),
            offset: offset as u64,
            after,
            problem,
        };
        let read = bytes.get(..whole.unwrap_or(bytes.len()));
        let mut scan = Scan::new(header, read.unwrap_or(bytes));
        while let Some((batch, place)) = scan.next_batch() {
            visit(&batch, header).map_err(|problem| damage(place, scan.last, problem))?;
        }
        let rest = bytes.get(scan.at..).unwrap_or_default();
        match *whole {
            Some(whole) if scan.at < whole => Err(damage(scan.at, scan.last, scan.problem).into()),
            Some(_) => Ok((scan.last, 0)),
            None if recovery::was_durable(header, bytes, scan.at) => {
                Err(damage(scan.at, scan.last, scan.problem).into())
            }
            None => {
                Ok((scan.last, rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
