//! What is done beside appending and reading: giving back the space of what the log need not keep, writing the indexes of
//! segments that have been sealed, merging runs so that there are few, and making anew what was lost.
//!
//! Nothing here may fail an append, and nothing of it is needed for anything to be right: until it is done, reads take
//! longer.

use super::SegmentError;
use super::names;
use super::packed;
use super::pages::Subject;
use super::recovery;
use super::run::{self, Run, RunFile, Source, merge, write};
use super::scavenge;
use super::segments::{Segments, View};
use super::tail::TailIndex;
use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, MutexGuard, PoisonError};

/// So many runs of about the same length in a row become one.
const FANOUT: u64 = 4;
/// The longest run, in bytes of segments: what five bytes can count is more, but a merge of it takes long.
const LONGEST: u64 = 64 << 30;

/// Does one thing that is due, if anything is: whether there was.
pub(crate) fn step(segments: &Segments, stop: &AtomicBool) -> Result<bool, SegmentError> {
    let _one_at_a_time = lock(segments);
    match scavenge::step(segments) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        // What else is due does not wait for it.
        Err(error) => {
            tracing::warn!(?error, "the space of events that need not be kept cannot be given back");
        }
    }
    let view = segments.view();
    let unwritten = |run: &&Arc<Run>| !matches!(run.source, Source::File(_));
    if let Some(run) = view.runs.iter().find(unwritten) {
        return write_one(segments, run);
    }
    if let Some(runs) = mergeable(&view) {
        return merge_some(segments, &view, &runs, stop);
    }
    // Last, as nothing but lists of streams takes longer without.
    if names::write::step(segments, stop)? {
        return Ok(true);
    }
    packed::step(segments)
}

/// Makes a run anew, which turned out to be lost or damaged, from its segments.
pub(crate) fn mend(segments: &Segments, run: &Arc<Run>) -> Result<(), SegmentError> {
    let _one_at_a_time = lock(segments);
    let view = segments.view();
    if !view.runs.iter().any(|it| Arc::ptr_eq(it, run)) {
        return Ok(());
    }
    tracing::warn!(
        first = run.first,
        last = run.last,
        "the keys of segments are lost or damaged; making them anew"
    );
    for sequence in run.first..=run.last {
        let Some(sealed) = view.sealed.get(sequence as usize - 1) else { continue };
        let index = Arc::new(recovery::index_of(segments, sealed)?);
        sealed.write_index(segments, &index);
        let source = match write_keys(segments, view.subject(sequence, sequence), &index) {
            Ok(file) => Source::File(file),
            Err(error) => {
                tracing::warn!(
                    ?error,
                    sequence,
                    "the keys of a segment cannot be written; keeping them in memory"
                );
                Source::Memory(index)
            }
        };
        replace(segments, sequence..=sequence, vec![single(&view, sequence, source)]);
    }
    Ok(())
}

/// The runs of sealed segments as they are found on disk; what is not covered is lost. Answers also which files are of no
/// use.
pub(crate) fn discover(
    files: &Arc<super::files::Files>,
    view: &View,
    names: &BTreeSet<String>,
) -> Result<(Vec<Arc<Run>>, Vec<String>), SegmentError> {
    let mut found: Vec<(u64, u64)> = names.iter().filter_map(|name| run::parse_name(name)).collect();
    // The longest first of those that begin with the same segment.
    found.sort_unstable_by_key(|(first, last)| (*first, std::cmp::Reverse(*last)));
    let sealed = view.sealed.len() as u64;
    let (mut runs, mut useless) = (Vec::new(), Vec::new());
    let mut next = 1;
    let lost = |sequence| single(view, sequence, Source::Lost);
    for (first, last) in found {
        let fits = first >= next && last >= first && last <= sealed;
        let opened = if fits { open(files, view.subject(first, last))? } else { None };
        if let Some(file) = opened {
            runs.extend((next..first).map(lost));
            runs.push(Arc::new(of(view, first, last, Source::File(file))));
            next = last + 1;
        } else {
            useless.push(run::name(first, last));
        }
    }
    runs.extend((next..=sealed).map(lost));
    Ok((runs, useless))
}

/// The run of one segment.
pub(crate) fn single(view: &View, sequence: u64, source: Source) -> Arc<Run> {
    Arc::new(of(view, sequence, sequence, source))
}

/// Puts other runs in the place of those that cover some segments.
pub(crate) fn replace(segments: &Segments, covered: RangeInclusive<u64>, by: Vec<Arc<Run>>) {
    segments.update(|view| replace_in(view, covered, by));
}

/// The same, beside other changes of a view.
pub(crate) fn replace_in(view: &mut View, covered: RangeInclusive<u64>, by: Vec<Arc<Run>>) {
    let runs = Arc::make_mut(&mut view.runs);
    let start = runs.partition_point(|run| run.last < *covered.start());
    let end = runs.partition_point(|run| run.first <= *covered.end());
    let whole = runs.get(start..end).unwrap_or_default();
    // Of a run that covers more than is replaced, the rest is lost.
    let before = whole.first().map_or(0..0, |run| run.first..*covered.start());
    let behind = whole.last().map_or(0..0, |run| covered.end() + 1..run.last + 1);
    let lost = |range: Range<u64>| -> Vec<Arc<Run>> {
        let make = |sequence| single_of(&view.sealed, &view.active.header, sequence, Source::Lost);
        range.map(make).collect()
    };
    let (before, behind) = (lost(before), lost(behind));
    runs.splice(start..end, before.into_iter().chain(by).chain(behind));
}

pub(crate) fn lock(segments: &Segments) -> MutexGuard<'_, ()> {
    // What is guarded is changed in one step at the end of whatever is done.
    segments.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(files: &Arc<super::files::Files>, subject: Subject) -> Result<Option<RunFile>, SegmentError> {
    match RunFile::open(files, subject) {
        Ok(file) => Ok(Some(file)),
        Err(SegmentError::Index) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of(view: &View, first: u64, last: u64, source: Source) -> Run {
    let at = |sequence: u64| view.sealed.get(sequence as usize - 1).map(|sealed| sealed.places());
    let start = at(first).map_or(0, |places| places.start);
    let end = at(last).map_or(0, |places| places.end);
    // Of a scavenged segment the end is that of the original.
    let next = view.part(last as usize).map_or(end, |part| part.header().place(0));
    Run { first, last, places: start..end.max(next), source }
}

fn single_of(
    sealed: &[Arc<super::segments::Sealed>],
    active: &super::format::SegmentHeader,
    sequence: u64,
    source: Source,
) -> Arc<Run> {
    let places = sealed.get(sequence as usize - 1).map_or(0..0, |sealed| sealed.places());
    let next = sealed.get(sequence as usize).map_or(active, |sealed| &sealed.header).place(0);
    Arc::new(Run { first: sequence, last: sequence, places: places.start..places.end.max(next), source })
}

/// Writes the keys and the index of one segment; reads them from the segment first if they are lost.
fn write_one(segments: &Segments, run: &Arc<Run>) -> Result<bool, SegmentError> {
    let view = segments.view();
    let Some(sealed) = view.sealed.get(run.first as usize - 1) else { return Ok(false) };
    let index = match &run.source {
        Source::Memory(index) => Arc::clone(index),
        _ => Arc::new(recovery::index_of(segments, sealed)?),
    };
    sealed.write_index(segments, &index);
    let written = write_keys(segments, view.subject(run.first, run.last), &index)?;
    let anew = single(&view, run.first, Source::File(written));
    replace(segments, run.first..=run.last, vec![anew]);
    Ok(true)
}

/// Writes the keys of one segment that are in memory. The lock must be held.
pub(crate) fn write_keys_of(segments: &Segments, sequence: u64) -> Result<(), SegmentError> {
    let view = segments.view();
    let of_it = |run: &&Arc<Run>| run.first == sequence && matches!(run.source, Source::Memory(_));
    if let Some(run) = view.runs.iter().find(of_it) {
        write_one(segments, run)?;
    }
    Ok(())
}

fn write_keys(segments: &Segments, subject: Subject, index: &TailIndex) -> Result<RunFile, SegmentError> {
    let name = run::name(subject.first, subject.last);
    segments.files.forget(&name);
    write::write(&segments.files, subject, index).inspect_err(|_| {
        // A part of it would be found out, too.
        let _ = segments.disk().remove(&name);
    })
}

/// Runs in a row, about as long as each other, as many as make one.
fn mergeable(view: &View) -> Option<Vec<Arc<Run>>> {
    let level = |run: &Run| run.len().ilog(FANOUT);
    let bytes = |runs: &[Arc<Run>]| match (runs.first(), runs.last()) {
        (Some(first), Some(last)) => last.places.end - first.places.start,
        _ => 0,
    };
    let alike = |runs: &&[Arc<Run>]| {
        let first = runs.first().map(|run| level(run));
        runs.iter().all(|run| Some(level(run)) == first) && bytes(runs) <= LONGEST
    };
    view.runs.windows(FANOUT as usize).find(alike).map(<[Arc<Run>]>::to_vec)
}

fn merge_some(
    segments: &Segments,
    view: &View,
    runs: &[Arc<Run>],
    stop: &AtomicBool,
) -> Result<bool, SegmentError> {
    let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(false) };
    let subject = view.subject(first.first, last.last);
    let files: Vec<&RunFile> = runs
        .iter()
        .filter_map(|run| match &run.source {
            Source::File(file) => Some(file),
            _ => None,
        })
        .collect();
    let name = run::name(subject.first, subject.last);
    segments.files.forget(&name);
    let merged = merge::merge(segments.disk(), &files, subject, stop);
    let merged = merged
        .and_then(|whole| if whole { Ok(Some(RunFile::open(&segments.files, subject)?)) } else { Ok(None) });
    let merged = match merged {
        Ok(Some(merged)) => merged,
        other => {
            let _ = segments.disk().remove(&name);
            if matches!(other, Err(SegmentError::Index)) {
                // One of them is damaged. All are made anew.
                let lost = |sequence| single(view, sequence, Source::Lost);
                let all = (subject.first..=subject.last).map(lost).collect();
                replace(segments, subject.first..=subject.last, all);
                return Ok(true);
            }
            return other.map(|_| false);
        }
    };
    let anew = Arc::new(of(view, subject.first, subject.last, Source::File(merged)));
    replace(segments, subject.first..=subject.last, vec![anew]);
    for file in files {
        segments.files.forget(file.name());
        if let Err(error) = segments.disk().remove(file.name()) {
            tracing::warn!(%error, name = file.name(), "a file of keys that have been merged cannot be removed");
        }
    }
    Ok(true)
}
