//! Copies of a log, taken while it is in use, and logs made of copies.
//!
//! A copy is a folder of segments like any other. Sealed segments never change, so one that is there is not copied again;
//! of the last segment the whole batches are copied. Each is checked on its way, given its name when it is durable, and the
//! segments before it are there by then: what an interrupted run leaves is an older copy. Indexes and snapshots are left
//! out, they can be had from the segments; a copy is not compressed.
//!
//! A log that is made of a copy gets an id of its own, unless told otherwise: its end may be missing, and who had read that
//! must begin anew rather than take other events at the same positions for those it knows.

use super::SegmentError;
use super::disk::{Disk, is_full};
use super::files::{self, RESTORING, TEMPORARY};
use super::format::{SEGMENT_HEADER, SegmentHeader, encode_batch};
use super::offline::Archive;
use crate::log::OpenError;
use std::collections::BTreeSet;
use std::io;
use tenon_core::{LogId, Position};

/// What was copied.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Copied {
    /// How many segments were copied.
    pub segments: usize,
    /// How many were there before.
    pub present: usize,
    /// How many bytes were written.
    pub bytes: u64,
    /// The last position that the copy holds.
    pub head: Position,
}

/// Brings a copy up to date, or makes one.
///
/// # Errors
/// [`OpenError::Corrupt`] when a segment is damaged, or the copy is one of another log; [`OpenError::Io`].
pub fn back_up(log: &Archive, target: &dyn Disk) -> Result<Copied, OpenError> {
    copy(log, target, log.log())
}

/// Makes a log of a copy, with this id. The target must be without segments, or hold what an interrupted run left. It is a
/// log when all is there: until then it is refused by whoever opens it.
///
/// # Errors
/// [`OpenError::Corrupt`] when the copy is damaged; [`OpenError::Io`], also when there is a log already.
pub fn restore(copy_of: &Archive, target: &dyn Disk, id: LogId) -> Result<Copied, OpenError> {
    begin_restoring(target).map_err(|source| failed(target, source))?;
    let copied = copy(copy_of, target, id)?;
    end_restoring(target).map_err(|source| failed(target, source))?;
    Ok(copied)
}

/// Notes that what is there is no log yet, after what an interrupted run left was removed.
pub(super) fn begin_restoring(target: &dyn Disk) -> io::Result<()> {
    let names = target.list()?;
    let segments = names.iter().filter(|name| files::form(name).is_some());
    if names.iter().any(|name| name == RESTORING) {
        return segments.into_iter().try_for_each(|name| target.remove(name));
    }
    if segments.count() > 0 {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a log already"));
    }
    target.create(RESTORING)?.sync_data()?;
    target.sync_directory()
}

/// From now on it is one.
pub(super) fn end_restoring(target: &dyn Disk) -> io::Result<()> {
    target.remove(RESTORING)?;
    target.sync_directory()
}

fn copy(from: &Archive, target: &dyn Disk, id: LogId) -> Result<Copied, OpenError> {
    check_copy(from, target, id).map_err(|source| failed(target, source))?;
    let mut copied = Copied::default();
    let mut names = BTreeSet::new();
    for (at, (name, _)) in from.segments.iter().enumerate() {
        let last = at + 1 == from.segments.len();
        if !last && is_there(from, at, target, id).map_err(|source| failed(target, source))? {
            copied.present += 1;
            names.insert(files::unpacked(name).to_owned());
            continue;
        }
        let (name, bytes, head) = copy_of(from, at, id).map_err(|error| from.failed(error))?;
        put(target, &name, &bytes).map_err(|source| failed(target, source))?;
        names.insert(name);
        copied.segments += 1;
        copied.bytes += bytes.len() as u64;
        copied.head = head;
    }
    target.sync_directory().map_err(|source| failed(target, source))?;
    remove_scavenged(&names, target);
    Ok(copied)
}

/// The name and the bytes of a segment up to its last whole batch, for a log with this id.
fn copy_of(from: &Archive, at: usize, id: LogId) -> Result<(String, Vec<u8>, Position), SegmentError> {
    let segment = from.segment(at)?;
    let mut bytes = SegmentHeader { log: id, ..segment.header.clone() }.encode().to_vec();
    let (last, _) = segment.visit(|batch, _| {
        encode_batch(id, &batch.header, |out| out.extend_from_slice(batch.payload), &mut bytes);
        Ok(())
    })?;
    Ok((files::unpacked(&segment.name).to_owned(), bytes, last))
}

/// What is there must be a copy of the same log.
fn check_copy(from: &Archive, target: &dyn Disk, id: LogId) -> io::Result<()> {
    let Some((_, header)) = from.segments.first() else { return Ok(()) };
    for name in target.list()?.iter().filter(|name| number(name) == Some(header.sequence)) {
        let file = target.open(name)?;
        let mut found = [0; SEGMENT_HEADER];
        file.read_at(&mut found, 0)?;
        if !SegmentHeader::decode(&found).is_ok_and(|found| found.log == id) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a copy of another log"));
        }
    }
    Ok(())
}

/// The number of the segment that a file is of, if it is of one.
fn number(name: &str) -> Option<u64> {
    files::form(name).map(|(number, _)| number)
}

/// Whether a sealed segment was copied as a whole before: then it has the same header and as many bytes.
fn is_there(from: &Archive, at: usize, target: &dyn Disk, id: LogId) -> io::Result<bool> {
    let Some((name, header)) = from.segments.get(at) else { return Ok(false) };
    let Some((_, next)) = from.segments.get(at + 1) else { return Ok(false) };
    let file = match target.open(files::unpacked(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mut found = [0; SEGMENT_HEADER];
    let read = file.read_at(&mut found, 0)?;
    let same = read == found.len() && found == SegmentHeader { log: id, ..header.clone() }.encode();
    let whole = if header.end == 0 {
        next.base.saturating_sub(header.base) + SEGMENT_HEADER as u64
    } else {
        match from.files.get(name).and_then(|file| file.size()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            size => size?,
        }
    };
    Ok(same && file.size()? == whole)
}

/// Writes a file as a whole, durably.
pub(super) fn put(target: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    let file = target.create(&temporary)?;
    file.write_at(bytes, 0)?;
    file.sync_data()?;
    target.rename(&temporary, name)?;
    // The segments before are durable when the next one is.
    target.sync_directory()
}

/// Where something was taken out of a segment, copies of its former forms are of no more use.
fn remove_scavenged(current: &BTreeSet<String>, target: &dyn Disk) {
    let names = target.list().unwrap_or_default();
    for name in names.iter().filter(|name| files::form(name).is_some() && !current.contains(*name)) {
        // If it cannot be removed now, opening the copy does so.
        let _ = target.remove(name);
    }
}

pub(super) fn failed(target: &dyn Disk, source: io::Error) -> OpenError {
    if is_full(&source) {
        return OpenError::Full;
    }
    OpenError::Io { doing: "copy the log to", path: target.path(), source }
}
