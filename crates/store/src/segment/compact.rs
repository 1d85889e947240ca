//! Giving back the space of deleted streams.
//!
//! A pass looks up which sealed segments hold events of streams that were deleted, and writes each of them anew without
//! these, under a name of its own that takes the place of the original. Only deletions in sealed segments are regarded:
//! they were durable before the next segment was begun, so nothing is removed for a deletion that a crash could take back.
//! When all is done the deletions are forgotten, and a note says so, so that they are not looked up when the log is
//! opened. The note is disposable: without it, or if the segments are not those it was made for, all deletions of the log
//! are looked up.
//!
//! A pass may read much, so there is one whenever the log has grown by a quarter, or many deletions wait for it.

use super::SegmentError;
use super::files::{self, TEMPORARY};
use super::format::{Reader, SegmentHeader, Writer};
use super::keys::Plan;
use super::lookup::Selection;
use super::reads::Reads;
use super::run::Run;
use super::scavenge;
use super::segments::{Segments, View};
use super::upkeep;
use crate::deleted::{Deleted, MOST_DELETED};
use crate::log::{Direction, Query};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tenon_core::{LogId, Position};

/// The name of the note.
const NOTE: &str = "DELETED";
const MAGIC: [u8; 8] = *b"TENONDEL";
const CHECKSUM: usize = 4;

/// Up to where deletions have been carried out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    /// All deletions up to this position.
    pub(crate) through: Position,
    /// The place where the log ended then.
    pub(crate) end: u64,
}

/// Whether a pass is worth it.
pub(crate) fn is_due(segments: &Segments) -> bool {
    let view = segments.view();
    let Some(sealed) = view.sealed.last() else { return false };
    let waiting = view.deleted.count_through(sealed.last);
    let bytes: u64 = view.sealed.iter().map(|sealed| sealed.size).sum();
    let grown = view.end().saturating_sub(segments.compacted.load(Ordering::Relaxed));
    waiting >= MOST_DELETED / 2 || (waiting > 0 && grown.saturating_mul(4) >= bytes)
}

/// Makes a pass: whether it came to its end. Whatever it leaves undone is hidden all the same.
pub(crate) fn pass(segments: &Segments, stop: &AtomicBool) -> Result<bool, SegmentError> {
    let view = segments.view();
    let Some(through) = view.sealed.last().map(|sealed| sealed.last) else { return Ok(true) };
    segments.compacted.store(view.end(), Ordering::Relaxed);
    let Some(concerned) = concerned(segments, through, stop)? else { return Ok(false) };
    let mut whole = true;
    for at in concerned {
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match compact(segments, at, &view.deleted, through) {
            Err(SegmentError::Damage(damage)) => {
                tracing::error!(%damage, "what was deleted of a damaged segment cannot be taken out");
                whole = false;
            }
            other => other?,
        }
    }
    if whole {
        let _one_at_a_time = upkeep::lock(segments);
        // Another pass may have come further meanwhile.
        if done(segments).is_none_or(|done| done.through < through) {
            note(segments, through)?;
        }
        segments.update(|view| Arc::make_mut(&mut view.deleted).forget(through));
    }
    Ok(whole)
}

/// Which segments hold events of streams that were deleted; none if it is to stop.
fn concerned(
    segments: &Segments,
    through: Position,
    stop: &AtomicBool,
) -> Result<Option<BTreeSet<usize>>, SegmentError> {
    while !stop.load(Ordering::Relaxed) {
        if let Some(concerned) = look_up(segments, &segments.view(), through)? {
            return Ok(Some(concerned));
        }
    }
    Ok(None)
}

/// Which those are as one view has it; none if the keys of some were lost, and have been made anew, or if they were merged
/// with others meanwhile and their file is gone. Either way a newer view has them.
fn look_up(
    segments: &Segments,
    view: &View,
    through: Position,
) -> Result<Option<BTreeSet<usize>>, SegmentError> {
    let mut concerned = BTreeSet::new();
    for (namespace, stream, deleted_at) in view.deleted.through(through) {
        let plan = Plan::new(&Query::stream(namespace, stream));
        let last = view.segment_of(deleted_at);
        for run in view.runs.iter() {
            let mut range = run.places.clone();
            while let Some(at) = match first_of(run, &plan, range.clone(), view) {
                Err(SegmentError::Index) => {
                    upkeep::mend(segments, run)?;
                    return Ok(None);
                }
                other => other?,
            } {
                if at > last {
                    break;
                }
                concerned.insert(at);
                let next = view.part(at + 1).map_or(range.end, |part| part.header().place(0));
                range.start = next.max(range.start + 1);
            }
        }
    }
    Ok(Some(concerned))
}

/// The first segment that may hold what is looked for, within a range of places.
fn first_of(run: &Run, plan: &Plan, range: Range<u64>, view: &View) -> Result<Option<usize>, SegmentError> {
    if range.is_empty() {
        return Ok(None);
    }
    let Selection { places, .. } = run.select(&Reads::blocking(), plan, range, Direction::Forward)?;
    Ok(places.first().map(|place| view.segment_at(*place)))
}

/// Writes a segment anew without what was deleted of it, if it holds something of that.
fn compact(segments: &Segments, at: usize, deleted: &Deleted, through: Position) -> Result<(), SegmentError> {
    let _one_at_a_time = upkeep::lock(segments);
    let view = segments.view();
    let Some(original) = view.sealed.get(at).filter(|sealed| !sealed.is_kept()) else { return Ok(()) };
    let header = SegmentHeader { end: original.original_end(), ..original.header.clone() };
    let (bytes, removed) = scavenge::filtered(segments, original, &header, |raw| {
        !deleted.hides_through(through, raw.position, raw.namespace(), raw.stream())
    })?;
    if removed == 0 {
        return Ok(());
    }
    let name = files::less(header.sequence, through);
    let sequence = header.sequence;
    scavenge::put_in_place(segments, &view, at, header, name, &bytes)?;
    upkeep::write_keys_of(segments, sequence)
}

/// What the note says, if it is about the segments as they are.
pub(crate) fn done(segments: &Segments) -> Option<Done> {
    let view = segments.view();
    let file = segments.disk().open(NOTE).ok()?;
    let bytes = super::disk::read_to_end_at(&*file, 0).ok()?;
    let (done, form) = decode(segments.log, &bytes)?;
    (done.through <= view.head && form == form_of(&view, done.through)).then_some(done)
}

fn note(segments: &Segments, through: Position) -> Result<(), SegmentError> {
    let view = segments.view();
    let done = Done { through, end: segments.compacted.load(Ordering::Relaxed) };
    let bytes = encode(segments.log, done, form_of(&view, through));
    let disk = segments.disk();
    let temporary = format!("{NOTE}{TEMPORARY}");
    let file = disk.create(&temporary)?;
    file.write_at(&bytes, 0)?;
    file.sync_data()?;
    disk.rename(&temporary, NOTE)?;
    Ok(disk.sync_directory()?)
}

/// What the segments up to a position are: that they are not those of an older copy.
fn form_of(view: &View, through: Position) -> u64 {
    let covered = view.sealed.partition_point(|sealed| sealed.last <= through);
    view.subject(1, covered as u64).form
}

fn encode(log: LogId, done: Done, form: u64) -> Vec<u8> {
    let mut writer = Writer(Vec::new());
    writer.bytes(&MAGIC);
    writer.bytes(log.as_bytes());
    writer.u64(done.through.0);
    writer.u64(done.end);
    writer.u64(form);
    writer.u32(crc32c::crc32c(&writer.0));
    writer.0
}

fn decode(log: LogId, bytes: &[u8]) -> Option<(Done, u64)> {
    let (covered, stored) = bytes.split_last_chunk::<CHECKSUM>()?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*stored) {
        return None;
    }
    let mut reader = Reader(covered);
    if reader.array() != Some(MAGIC) || reader.array() != Some(*log.as_bytes()) {
        return None;
    }
    let done = Done { through: Position(reader.u64()?), end: reader.u64()? };
    Some((done, reader.u64()?))
}

#[cfg(test)]
mod tests;
