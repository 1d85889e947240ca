//! Opening a log: which segments there are, where the last one ends, and what is damage.
//!
//! The rules. All segments but the last were durable to their end when the next one was made, so they must
//! be whole; that is checked when they are read, or at once if asked for. In the last one, batches are read
//! until one is bad or there are only zeros. If a later batch says that the log was durable beyond the bad
//! one, then what was acknowledged is damaged, and the log is refused. Otherwise the bad bytes are what a
//! crash left of a group of appends that was never acknowledged: a torn tail, which is cut, that is,
//! overwritten with zeros, so that nothing of it can come back.
//!
//! The last group before the end is written once more and synced before it is served: if the last owner ended
//! because a sync failed, it may be in the kernel's cache and nowhere else, and the kernel would not write it
//! again by itself.

use super::disk::{Disk, DiskFile, is_full, read_exact_at, read_to_end_at};
use super::envelope;
use super::files::{self, Files, Form, INDEX, PACKED, RESTORING, SEGMENT, TEMPORARY};
use super::format::{
    BATCH_MAGIC, HeaderProblem, RawBatch, SEGMENT_HEADER, SegmentHeader, VERSION, decode_batch,
};
use super::keys;
use super::segments::{Active, Sealed, Segments};
use super::tail::TailIndex;
use super::{Cut, SegmentError};
use crate::admission::fingerprint;
use crate::log::{Damage, OpenError};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use tenon_core::{LogId, Position, Timestamp};

/// What was found on disk.
pub(crate) struct Recovered {
    /// All files of the log.
    pub(crate) names: BTreeSet<String>,
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) active: Arc<Active>,
    pub(crate) end: End,
    pub(crate) cut: Option<Cut>,
}

/// The state at the end of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// The byte in the last segment's file where the next batch goes.
    pub(crate) tail: u64,
    pub(crate) last: Position,
    pub(crate) time: Timestamp,
    pub(crate) mark: Position,
}

/// Reads what is on disk; none if there is no log yet. Cuts a torn tail.
pub(crate) fn recover(files: &Files) -> Result<Option<Recovered>, OpenError> {
    let disk = files.disk();
    check_restored(disk)?;
    let names = tidy(disk)?;
    let Some(named) = segment_names(&names, disk)? else { return Ok(None) };
    let mut segments = Vec::with_capacity(named.len());
    for (sequence, name) in (1..).zip(&named) {
        let header = read_header(files, name, sequence, segments.first())?;
        segments.push((name.clone(), header));
    }
    let Some((name, header)) = segments.pop() else { return Ok(None) };
    let sealed = seal_all(files, segments, &header)?;
    let (active, mut end, cut) = recover_active(files, name, header)?;
    // What has been scavenged was before the mark, whatever became of the mark.
    let scavenged = sealed.iter().rev().find(|sealed| sealed.is_kept());
    end.mark = end.mark.max(scavenged.map_or(end.mark, |sealed| Position(sealed.last.0 + 1)));
    Ok(Some(Recovered { names, sealed, active, end, cut }))
}

/// Reads through a sealed segment and makes its index.
pub(crate) fn index_of(segments: &Segments, sealed: &Sealed) -> Result<TailIndex, SegmentError> {
    let mut index = TailIndex::new(sealed.header.place(0));
    for_each_batch(segments, sealed, |payload, at| add_to(&mut index, payload, at))?;
    Ok(index)
}

/// The fingerprints of the ids of a segment's events, and their positions.
pub(crate) fn ids_of(segments: &Segments, sealed: &Sealed) -> Result<Vec<(u32, Position)>, SegmentError> {
    let mut ids = Vec::new();
    for_each_batch(segments, sealed, |payload, _| {
        for raw in envelope::raw(payload) {
            let raw = raw?;
            ids.push((fingerprint(&raw.id), raw.position));
        }
        Ok(())
    })?;
    Ok(ids)
}

/// Reads through a sealed segment, which must be whole; visits the payload of each batch and where it begins.
pub(crate) fn for_each_batch(
    segments: &Segments,
    sealed: &Sealed,
    mut visit: impl FnMut(&[u8], u32) -> Result<(), &'static str>,
) -> Result<(), SegmentError> {
    let file = segments.files.get(&sealed.name)?;
    let damage = |offset: usize, after, problem| Damage {
        file: sealed.name.clone(),
        offset: offset as u64,
        after,
        problem,
    };
    let before = Position(sealed.header.first.0.saturating_sub(1));
    let bytes = match read_exact_at(&*file, 0, sealed.size as usize) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damage(0, before, "the file is too short").into());
        }
        other => other?,
    };
    let mut scan = Scan::new(&sealed.header, &bytes);
    while let Some((batch, at)) = scan.next_batch() {
        let visited =
            check_batch(&batch, sealed.is_scavenged()).and_then(|()| visit(batch.payload, at as u32));
        visited.map_err(|problem| damage(at, scan.last, problem))?;
    }
    if scan.at == bytes.len() { Ok(()) } else { Err(damage(scan.at, scan.last, scan.problem).into()) }
}

/// Adds a batch to an index without making its events.
fn add_to(index: &mut TailIndex, payload: &[u8], at: u32) -> Result<(), &'static str> {
    for (number, raw) in envelope::raw(payload).enumerate() {
        let raw = raw?;
        if number == 0 {
            index.push_block(raw.position, at);
        }
        index.push_id(fingerprint(&raw.id));
        keys::of_raw(&raw).for_each(|key| index.push_key(key, at));
    }
    Ok(())
}

/// Reads the batches of a segment one after the other.
pub(crate) struct Scan<'a> {
    header: &'a SegmentHeader,
    bytes: &'a [u8],
    /// Where the next batch begins.
    pub(crate) at: usize,
    /// The last position so far.
    pub(crate) last: Position,
    /// Why there is no next batch.
    pub(crate) problem: &'static str,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(header: &'a SegmentHeader, bytes: &'a [u8]) -> Self {
        let last = Position(header.first.0.saturating_sub(1));
        Self { header, bytes, at: SEGMENT_HEADER, last, problem: "there is no batch" }
    }

    /// The next batch and where it begins; none at the end or at a bad one, which `problem` tells about.
    pub(crate) fn next_batch(&mut self) -> Option<(RawBatch<'a>, usize)> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        match decode_batch(self.header.log, rest, self.header.offset_of(at as u64)) {
            // A scavenged segment has gaps; in any other positions follow one upon the other.
            Ok(batch) if self.header.end == 0 && batch.header.first.0 != self.last.0 + 1 => {
                self.problem = "the batch does not follow the one before";
                None
            }
            Ok(batch) => {
                self.at += batch.size();
                if batch.header.count > 0 {
                    self.last = Position(batch.header.first.0 + u64::from(batch.header.count) - 1);
                }
                Some((batch, at))
            }
            Err(problem) => {
                self.problem = problem;
                None
            }
        }
    }
}

/// Refuses what is only a part of a log.
pub(crate) fn check_restored(disk: &dyn Disk) -> Result<(), OpenError> {
    match disk.open(RESTORING) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(OpenError::Io { doing: "look at the files of", path: disk.path(), source }),
        Ok(_) => Err(OpenError::Unfinished { path: disk.path() }),
    }
}

/// Removes what was not in use yet, and segments that have been scavenged. Answers all names that are left.
fn tidy(disk: &dyn Disk) -> Result<BTreeSet<String>, OpenError> {
    let failed = |doing| move |source| OpenError::Io { doing, path: disk.path(), source };
    // The last owner may have ended after a rename and before its sync, or because the sync failed.
    disk.sync_directory().map_err(failed("sync the folder"))?;
    let names: BTreeSet<String> =
        disk.list().map_err(failed("list the files of the log in"))?.into_iter().collect();
    let current = current(names.clone());
    for name in names.difference(&current) {
        disk.remove(name).map_err(failed("remove an unused file from"))?;
    }
    Ok(current)
}

/// Of these files those that are in use: of a segment its last form.
pub(crate) fn current(mut names: BTreeSet<String>) -> BTreeSet<String> {
    // One that is compressed takes the place of what it was made of.
    let form_of = |name: &str| files::form(name).map(|(of, form)| (of, (form, name.ends_with(PACKED))));
    let mut last: BTreeMap<u64, (Form, bool)> = BTreeMap::new();
    for (sequence, form) in names.iter().filter_map(|name| form_of(name)) {
        last.entry(sequence).and_modify(|last| *last = form.max(*last)).or_insert(form);
    }
    let is_last = |name: &str| form_of(name).is_none_or(|(of, form)| last.get(&of) == Some(&form));
    names.retain(|name| !name.ends_with(TEMPORARY) && is_last(name));
    names
}

/// The names of the segments in order; none if there has never been one.
pub(crate) fn segment_names(
    names: &BTreeSet<String>,
    disk: &dyn Disk,
) -> Result<Option<Vec<String>>, OpenError> {
    let mut found: Vec<(u64, &String)> =
        names.iter().filter_map(|name| Some((files::form(name)?.0, name))).collect();
    found.sort();
    let indexed = names.iter().any(|name| name.ends_with(INDEX));
    if found.is_empty() && !indexed {
        return Ok(None);
    }
    let missing = (1..).zip(&found).find(|(expected, (sequence, _))| expected != sequence);
    let missing = match (missing, found.last()) {
        (Some((expected, _)), _) => Some(expected),
        (None, None) => Some(1),
        // The last segment is never a scavenged one.
        (None, Some((last, name))) if !name.ends_with(SEGMENT) => Some(last + 1),
        (None, Some(_)) => None,
    };
    if let Some(sequence) = missing {
        let name = files::segment(sequence, SEGMENT);
        tracing::error!(name, folder = %disk.path().display(), "a segment of the log is missing");
        return Err(damage(&name, 0, Position::START, "the file is missing").into());
    }
    Ok(Some(found.into_iter().map(|(_, name)| name.clone()).collect()))
}

pub(crate) fn read_header(
    files: &Files,
    name: &str,
    sequence: u64,
    first: Option<&(String, SegmentHeader)>,
) -> Result<SegmentHeader, OpenError> {
    let failed = |source| OpenError::Io { doing: "read a segment of", path: files.disk().path(), source };
    let file = files.get(name).map_err(failed)?;
    let mut bytes = [0; SEGMENT_HEADER];
    let read = file.read_at(&mut bytes, 0).map_err(failed)?;
    let damaged = |problem| OpenError::from(damage(name, 0, Position::START, problem));
    let header = match SegmentHeader::decode(bytes.get(..read).unwrap_or_default()) {
        Ok(header) => header,
        Err(HeaderProblem::Damaged(problem)) => return Err(damaged(problem)),
        Err(HeaderProblem::Newer(found)) => {
            return Err(OpenError::NewerVersion { file: name.to_owned(), found, supported: VERSION });
        }
    };
    if header.sequence != sequence || first.is_some_and(|(_, first)| first.log != header.log) {
        return Err(damaged("the segment is of another place or log"));
    }
    Ok(header)
}

/// All segments but the last, each checked against its successor.
fn seal_all(
    files: &Files,
    segments: Vec<(String, SegmentHeader)>,
    active: &SegmentHeader,
) -> Result<Vec<Arc<Sealed>>, OpenError> {
    let followers: Vec<SegmentHeader> =
        segments.iter().skip(1).map(|(_, header)| header.clone()).chain([active.clone()]).collect();
    segments
        .into_iter()
        .zip(followers)
        .map(|((name, header), next)| Ok(Arc::new(seal(files, name, header, &next)?)))
        .collect()
}

fn seal(
    files: &Files,
    name: String,
    header: SegmentHeader,
    next: &SegmentHeader,
) -> Result<Sealed, OpenError> {
    let failed = |source| OpenError::Io { doing: "read a segment of", path: files.disk().path(), source };
    let present = files.get(&name).and_then(|file| file.size()).map_err(failed)?;
    let scavenged = header.end != 0;
    let whole = (next.base.saturating_sub(header.base)).saturating_add(SEGMENT_HEADER as u64);
    let size = if scavenged { present } else { whole };
    let last = Position(next.first.0.saturating_sub(1));
    let follows = next.base >= header.base && next.first >= header.first;
    let ends = !scavenged || header.end == next.base;
    if !follows || !ends || size > present {
        let before = Position(header.first.0.saturating_sub(1));
        return Err(damage(&name, present, before, "the segment does not reach the next one").into());
    }
    Ok(Sealed::new(files, header, name, last, size))
}

fn recover_active(
    files: &Files,
    name: String,
    header: SegmentHeader,
) -> Result<(Arc<Active>, End, Option<Cut>), OpenError> {
    let failed =
        |source| OpenError::Io { doing: "read the last segment of", path: files.disk().path(), source };
    let file = files.get(&name).map_err(failed)?;
    let bytes = read_to_end_at(&*file, 0).map_err(failed)?;
    let mut index = TailIndex::new(header.place(0));
    let before = Position(header.first.0.saturating_sub(1));
    let mut end = End { tail: SEGMENT_HEADER as u64, last: before, time: header.time, mark: header.mark };
    let mut durable = header.base;
    let mut scan = Scan::new(&header, &bytes);
    while let Some((batch, at)) = scan.next_batch() {
        durable = batch.header.durable;
        let added = check_events(&batch).and_then(|()| add_to(&mut index, batch.payload, at as u32));
        added.map_err(|problem| damage(&name, at as u64, end.last, problem))?;
        end = End {
            tail: scan.at as u64,
            last: scan.last,
            time: end.time.max(batch.header.time),
            mark: end.mark.max(batch.header.mark),
        };
    }
    let problem = scan.problem;
    let cut = cut_tail(&*file, &name, &header, &bytes, end, problem, files.disk())?;
    secure(&*file, &header, &bytes, durable, end.tail, files.disk())?;
    let capacity = bytes.len() as u64;
    Ok((Arc::new(Active::new(header, name, file, capacity, index)), end, cut))
}

/// What a batch holds must be events, and as its header says unless some have been scavenged.
pub(crate) fn check_batch(batch: &RawBatch<'_>, scavenged: bool) -> Result<(), &'static str> {
    if scavenged {
        envelope::raw(batch.payload).try_for_each(|raw| raw.map(|_| ()))
    } else {
        check_events(batch)
    }
}

/// The events of a batch must be as many and stand where its header says.
fn check_events(batch: &RawBatch<'_>) -> Result<(), &'static str> {
    let mut next = batch.header.first.0;
    for raw in envelope::raw(batch.payload) {
        if raw?.position.0 != next {
            return Err(NOT_AS_TOLD);
        }
        next += 1;
    }
    if next == batch.header.first.0 + u64::from(batch.header.count) { Ok(()) } else { Err(NOT_AS_TOLD) }
}

const NOT_AS_TOLD: &str = "the events of the batch are not those that its header tells of";

/// Makes the last group durable, whatever became of the sync of it.
fn secure(
    file: &dyn DiskFile,
    header: &SegmentHeader,
    bytes: &[u8],
    durable: u64,
    tail: u64,
    disk: &dyn Disk,
) -> Result<(), OpenError> {
    let from = durable.saturating_sub(header.base) + SEGMENT_HEADER as u64;
    let group = bytes.get(from as usize..tail as usize).unwrap_or_default();
    let secured = file.write_at(group, from).and_then(|()| file.sync_data());
    secured.map_err(|source| write_failed("secure the end of", disk, source))
}

fn write_failed(doing: &'static str, disk: &dyn Disk, source: io::Error) -> OpenError {
    if is_full(&source) {
        return OpenError::Full;
    }
    OpenError::Io { doing, path: disk.path(), source }
}

/// Decides whether what follows the last good batch is nothing, a torn tail, or damage.
fn cut_tail(
    file: &dyn DiskFile,
    name: &str,
    header: &SegmentHeader,
    bytes: &[u8],
    end: End,
    problem: &'static str,
    disk: &dyn Disk,
) -> Result<Option<Cut>, OpenError> {
    let tail = end.tail as usize;
    let rest = bytes.get(tail..).unwrap_or_default();
    let Some(last) = rest.iter().rposition(|byte| *byte != 0) else { return Ok(None) };
    if was_durable(header, bytes, tail) {
        return Err(damage(name, end.tail, end.last, problem).into());
    }
    let len = last + 1;
    tracing::warn!(name, offset = end.tail, bytes = len, after = %end.last, "cutting a torn tail off the log");
    let zeroed = file.write_at(&vec![0; len], end.tail).and_then(|()| file.sync_data());
    zeroed.map_err(|source| write_failed("cut the torn tail of", disk, source))?;
    Ok(Some(Cut { file: name.to_owned(), offset: end.tail, bytes: len as u64, after: end.last }))
}

/// Whether a batch behind `tail` says that the log was durable beyond it.
pub(crate) fn was_durable(header: &SegmentHeader, bytes: &[u8], tail: usize) -> bool {
    let begins = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(&BATCH_MAGIC));
    let tail_offset = header.offset_of(tail as u64);
    (tail + 1..bytes.len()).filter(begins).any(|at| {
        let rest = bytes.get(at..).unwrap_or_default();
        decode_batch(header.log, rest, header.offset_of(at as u64))
            .is_ok_and(|batch| batch.header.durable > tail_offset)
    })
}

fn damage(name: &str, offset: u64, after: Position, problem: &'static str) -> Damage {
    Damage { file: name.to_owned(), offset, after, problem }
}

/// The log that the recovered segments belong to.
impl Recovered {
    pub(crate) fn log(&self) -> LogId {
        self.active.header.log
    }
}
