//! Opening the writer: what recovery found becomes the view of the readers and the state of the rules.

use super::{Group, Recent, Writer, begin_segment};
use crate::admission::Admission;
use crate::log::{AppendError, OpenError, ReadError, new_log_id};
use crate::segment::compact;
use crate::segment::disk::{Disk, is_full};
use crate::segment::files::Files;
use crate::segment::format::{SEGMENT_HEADER, SegmentHeader};
use crate::segment::names;
use crate::segment::recovery::{self, End, Recovered};
use crate::segment::segments::{Sealed, Segments, View};
use crate::segment::spare::Spares;
use crate::segment::upkeep;
use crate::segment::{OpenReport, SegmentError, SegmentOptions};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tenon_core::{Position, Timestamp};
use tokio::sync::watch;

impl Writer {
    /// Opens the log of a disk, or makes one; reports what was found.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        options: &SegmentOptions,
    ) -> Result<(Self, OpenReport), OpenError> {
        let files = Arc::new(Files::new(disk));
        let spares = Arc::new(Spares::default());
        let found = recovery::recover(&files)?;
        let created = found.is_none();
        let recovered = match found {
            Some(recovered) => recovered,
            None => create(&files, &spares, options)?,
        };
        let mut report = OpenReport { created, ..OpenReport::of(&recovered) };
        let mut writer = Self::new(files, spares, recovered, options)?;
        writer.remember_ids(options.remembered_ids)?;
        writer.remember_deletions()?;
        // Without room the mark is missing, which is no reason not to serve what is there.
        match writer.write_mark(writer.admission.first()) {
            Ok(()) | Err(AppendError::Full) => {}
            Err(error) => return Err(failed(&writer.segments.files, io::Error::other(error))),
        }
        report.head = writer.last();
        Ok((writer, report))
    }

    fn new(
        files: Arc<Files>,
        spares: Arc<Spares>,
        recovered: Recovered,
        options: &SegmentOptions,
    ) -> Result<Self, OpenError> {
        let log = recovered.log();
        let Recovered { names: all, sealed, active, end: End { tail, last, time, mark }, .. } = recovered;
        let (sealed, runs) = (Arc::new(sealed), Arc::default());
        let mut view = View {
            sealed,
            runs,
            names: Arc::default(),
            active: Arc::clone(&active),
            tail,
            head: last,
            first: mark,
            deleted: Arc::default(),
        };
        let (runs, useless) =
            upkeep::discover(&files, &view, &all).map_err(|error| unreadable(&files, error))?;
        view.runs = Arc::new(runs);
        let (lists, old) = names::discover(&files, &view, &all).map_err(|error| unreadable(&files, error))?;
        view.names = Arc::new(lists);
        for name in useless.into_iter().chain(old) {
            files.forget(&name);
            // What cannot be removed now is of no more use the next time.
            let _ = files.disk().remove(&name);
        }
        let segments = Arc::new(Segments::new(log, files, view, options.compress_sealed));
        let admission = Admission::new(last, time, mark, options.remembered_ids);
        let group = Group { since: admission.mark(), bytes: Vec::new(), batches: Vec::new() };
        let writer = Self {
            segments,
            spares,
            heads: watch::Sender::new(last),
            admission,
            active,
            // An index counts the bytes of a segment in 32 bits.
            segment_bytes: options.segment_bytes.min(1 << 30),
            retention: options.retention,
            tail,
            group,
            recent: Recent::default(),
            sealed: false,
            marked: false,
            failed: None,
        };
        if options.verify {
            let view = writer.segments.view();
            let verify = |sealed: &Arc<Sealed>| {
                let read = recovery::for_each_batch(&writer.segments, sealed, |_, _| Ok(()));
                read.map_err(|error| unreadable(&writer.segments.files, error))
            };
            view.sealed.iter().try_for_each(verify)?;
        }
        Ok(writer)
    }

    /// Where to learn of a moved head.
    pub(crate) fn heads(&self) -> watch::Receiver<Position> {
        self.heads.subscribe()
    }

    /// Looks up which streams were deleted.
    fn remember_deletions(&self) -> Result<(), OpenError> {
        let done = compact::done(&self.segments).unwrap_or_default();
        self.segments.compacted.store(done.end, Ordering::Relaxed);
        let deleted = self.segments.deletions(done.through).map_err(|error| match error {
            ReadError::Corrupt(damage) => OpenError::Corrupt(damage),
            other => failed(&self.segments.files, io::Error::other(other)),
        })?;
        self.segments.update(|view| view.deleted = Arc::new(deleted));
        Ok(())
    }

    /// Reads the ids of the last events from the indexes, newest segment first until there are enough.
    fn remember_ids(&mut self, wanted: usize) -> Result<(), OpenError> {
        let view = self.segments.view();
        let active = self.active.index();
        let mut count = active.ids().len();
        let mut parts = vec![numbered(self.active.header.first, active.ids())];
        for sealed in view.sealed.iter().rev() {
            if count >= wanted {
                break;
            }
            // What is left of a scavenged segment has gaps, so its positions are read with the ids.
            let ids = if sealed.is_scavenged() {
                recovery::ids_of(&self.segments, sealed)
            } else {
                sealed.ids(&self.segments).map(|ids| numbered(sealed.header.first, &ids))
            };
            let ids = ids.map_err(|error| unreadable(&self.segments.files, error))?;
            count += ids.len();
            parts.push(ids);
        }
        for (id, position) in parts.into_iter().rev().flatten() {
            self.admission.remember_fingerprint(id, position);
        }
        Ok(())
    }
}

fn numbered(first: Position, ids: &[u32]) -> Vec<(u32, Position)> {
    ids.iter().copied().zip((first.0..).map(Position)).collect()
}

/// Makes the first segment of a new log.
fn create(files: &Arc<Files>, spares: &Spares, options: &SegmentOptions) -> Result<Recovered, OpenError> {
    let header = SegmentHeader {
        log: options.id.unwrap_or_else(new_log_id),
        sequence: 1,
        base: 0,
        first: Position(1),
        time: Timestamp::ZERO,
        mark: Position(1),
        end: 0,
    };
    let size = options.segment_bytes.max(2 * SEGMENT_HEADER as u64);
    let made = spares.take(files.disk(), size).and_then(|spare| begin_segment(files, spare, header));
    let active = made.map_err(|source| {
        if is_full(&source) {
            return OpenError::Full;
        }
        OpenError::Io { doing: "make the first segment of", path: files.disk().path(), source }
    })?;
    let end =
        End { tail: SEGMENT_HEADER as u64, last: Position::START, time: Timestamp::ZERO, mark: Position(1) };
    Ok(Recovered { names: BTreeSet::new(), sealed: Vec::new(), active: Arc::new(active), end, cut: None })
}

fn unreadable(files: &Files, error: SegmentError) -> OpenError {
    match error {
        SegmentError::Damage(damage) => OpenError::Corrupt(damage),
        SegmentError::Io(source) => failed(files, source),
        SegmentError::Index | SegmentError::Changed | SegmentError::WouldBlock => {
            failed(files, io::Error::other("an index cannot be made anew"))
        }
    }
}

fn failed(files: &Files, source: io::Error) -> OpenError {
    OpenError::Io { doing: "open the log in", path: files.disk().path(), source }
}
