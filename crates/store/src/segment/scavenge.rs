//! Giving back the space of events before the scavenge mark.
//!
//! A sealed segment that lies wholly before the mark is written anew with the events of reserved streams
//! only, under a name of its own, and takes the place of the original by a rename. The mark is durable
//! before that, so a crash at any moment leaves either file, and both serve the same. Segments keep their
//! numbers, so that one that is missing is always noticed.

use super::SegmentError;
use super::disk::is_full;
use super::envelope::{self, Data, Names, Raw};
use super::files::{KEPT, TEMPORARY, segment};
use super::format::{BatchHeader, SegmentHeader, encode_batch};
use super::recovery;
use super::run::Source;
use super::segments::{Sealed, Segments, View};
use super::upkeep;
use crate::log::Event;
use std::sync::Arc;
use tenon_core::Position;

/// Scavenges every segment that lies before the mark and has not been yet. Must not run twice at a time.
pub(crate) fn scavenge(segments: &Segments) -> Result<(), SegmentError> {
    let _one_at_a_time = upkeep::lock(segments);
    while step(segments)? {}
    Ok(())
}

/// Scavenges one segment that is due, if there is one: whether there was. The lock of upkeep must be held.
pub(crate) fn step(segments: &Segments) -> Result<bool, SegmentError> {
    let view = segments.view();
    let Some(at) = view.sealed.iter().position(|sealed| is_due(sealed, view.first)) else { return Ok(false) };
    scavenge_one(segments, &view, at)?;
    Ok(true)
}

fn is_due(sealed: &Sealed, mark: Position) -> bool {
    sealed.last < mark && !sealed.is_scavenged()
}

fn scavenge_one(segments: &Segments, view: &View, at: usize) -> Result<(), SegmentError> {
    let Some(original) = view.sealed.get(at) else { return Ok(()) };
    let end = original.header.offset_of(original.size);
    let header = SegmentHeader { end, ..original.header.clone() };
    let bytes = kept_bytes(segments, original, &header)?;
    let name = segment(header.sequence, KEPT);
    write_kept(segments, &name, &bytes)?;
    let kept = Sealed::new(&segments.files, header, name, original.last, bytes.len() as u64);
    let index = Arc::new(recovery::index_of(segments, &kept)?);
    let kept = Arc::new(kept.with_memory(Arc::clone(&index)));
    segments.update(|view| {
        if let Some(place) = Arc::make_mut(&mut view.sealed).get_mut(at) {
            *place = kept;
        }
    });
    let sequence = original.header.sequence;
    let run = upkeep::single(&segments.view(), sequence, Source::Memory(index));
    upkeep::replace(segments, sequence..=sequence, vec![run]);
    remove(segments, &original.name);
    remove(segments, &original.index_name());
    Ok(())
}

/// The bytes of the scavenged segment.
fn kept_bytes(
    segments: &Segments,
    original: &Sealed,
    header: &SegmentHeader,
) -> Result<Vec<u8>, SegmentError> {
    let mut bytes = header.encode().to_vec();
    let mut names = Names::default();
    recovery::for_each_batch(segments, original, |payload, _| {
        let kept = kept_events(payload, &mut names)?;
        if let Some(first) = kept.first() {
            let batch = BatchHeader {
                offset: header.offset_of(bytes.len() as u64),
                durable: header.base,
                first: first.position,
                count: kept.len() as u32,
                time: first.time,
                mark: header.mark,
            };
            encode_batch(header.log, &batch, |out| envelope::encode(&kept, out), &mut bytes);
        }
        Ok(())
    })?;
    Ok(bytes)
}

fn kept_events(payload: &[u8], names: &mut Names) -> Result<Vec<Event>, &'static str> {
    let kept = envelope::raw(payload).filter(|raw| raw.as_ref().map_or(true, Raw::is_reserved));
    kept.map(|raw| raw?.into_event(Data::Copy, names)).collect()
}

fn write_kept(segments: &Segments, name: &str, bytes: &[u8]) -> Result<(), SegmentError> {
    let disk = segments.disk();
    let temporary = format!("{name}{TEMPORARY}");
    let written = disk.create(&temporary).and_then(|file| {
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        disk.rename(&temporary, name)?;
        disk.sync_directory()
    });
    written.inspect_err(|error| {
        if is_full(error) {
            // What cannot be removed now is removed when the log is opened.
            let _ = disk.remove(&temporary);
        }
    })?;
    Ok(())
}

/// What cannot be removed now is removed when the log is opened, or is an index that nobody looks for.
fn remove(segments: &Segments, name: &str) {
    segments.files.forget(name);
    if let Err(error) = segments.disk().remove(name) {
        tracing::warn!(%error, name, "a scavenged file cannot be removed");
    }
}
