//! Giving back the space of events before the scavenge mark.
//!
//! A sealed segment that lies wholly before the mark is written anew with the events of reserved streams
//! only, under a name of its own, and takes the place of the original by a rename. The mark is durable
//! before that, so a crash at any moment leaves either file, and both serve the same. Segments keep their
//! numbers, so that one that is missing is always noticed.
//!
//! Deleted streams are taken out by the same means ([`compact`](super::compact)).

use super::SegmentError;
use super::disk::is_full;
use super::envelope::{self, Raw};
use super::files::{KEPT, TEMPORARY, segment};
use super::format::{BatchHeader, SegmentHeader, encode_batch};
use super::recovery;
use super::run::Source;
use super::segments::{Sealed, Segments, View};
use super::upkeep;
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
    sealed.last < mark && !sealed.is_kept()
}

fn scavenge_one(segments: &Segments, view: &View, at: usize) -> Result<(), SegmentError> {
    let Some(original) = view.sealed.get(at) else { return Ok(()) };
    let header = SegmentHeader { end: original.original_end(), ..original.header.clone() };
    let (bytes, _) = filtered(segments, original, &header, is_reserved)?;
    let name = segment(header.sequence, KEPT);
    put_in_place(segments, view, at, header, name, &bytes)
}

fn is_reserved(raw: &Raw<'_>) -> bool {
    raw.is_reserved()
}

/// The bytes of a segment with some of its events only, and how many were left out.
pub(crate) fn filtered(
    segments: &Segments,
    original: &Sealed,
    header: &SegmentHeader,
    is_kept: impl Fn(&Raw<'_>) -> bool,
) -> Result<(Vec<u8>, usize), SegmentError> {
    let mut bytes = header.encode().to_vec();
    let mut left_out = 0;
    recovery::for_each_batch(segments, original, |payload, _| {
        let mut kept = Vec::new();
        for raw in envelope::raw(payload) {
            let raw = raw?;
            if is_kept(&raw) {
                kept.push(raw);
            } else {
                left_out += 1;
            }
        }
        if let Some(first) = kept.first() {
            let batch = BatchHeader {
                offset: header.offset_of(bytes.len() as u64),
                durable: header.base,
                first: first.position,
                count: kept.len() as u32,
                time: first.time,
                mark: header.mark,
            };
            encode_batch(header.log, &batch, |out| envelope::copy(&kept, out), &mut bytes);
        }
        Ok(())
    })?;
    Ok((bytes, left_out))
}

/// Puts the bytes of a segment in the place of the original, under a name of their own.
pub(crate) fn put_in_place(
    segments: &Segments,
    view: &View,
    at: usize,
    header: SegmentHeader,
    name: String,
    bytes: &[u8],
) -> Result<(), SegmentError> {
    let Some(original) = view.sealed.get(at) else { return Ok(()) };
    write_kept(segments, &name, bytes)?;
    let sequence = header.sequence;
    let kept = Sealed::new(&segments.files, header, name, original.last, bytes.len() as u64);
    let index = Arc::new(recovery::index_of(segments, &kept)?);
    let kept = Arc::new(kept.with_memory(Arc::clone(&index)));
    // Both at once: keys of the one file name no places of the other.
    segments.update(|view| {
        if let Some(place) = Arc::make_mut(&mut view.sealed).get_mut(at) {
            *place = kept;
        }
        let run = upkeep::single(view, sequence, Source::Memory(index));
        upkeep::replace_in(view, sequence..=sequence, vec![run]);
    });
    remove(segments, &original.name);
    remove(segments, &original.index_name());
    Ok(())
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
