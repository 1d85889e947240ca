//! Opening the writer: what recovery found becomes the view of the readers and the state of the rules.

use super::{Group, Writer, begin_segment};
use crate::admission::Admission;
use crate::log::{AppendError, OpenError, new_log_id};
use crate::segment::disk::{Disk, is_full};
use crate::segment::files::Files;
use crate::segment::format::{SEGMENT_HEADER, SegmentHeader};
use crate::segment::recovery::{self, End, Recovered};
use crate::segment::segments::{Segments, View};
use crate::segment::spare::Spares;
use crate::segment::{OpenReport, SegmentError, SegmentOptions};
use std::io;
use std::sync::Arc;
use std::sync::PoisonError;
use tenon_core::{EventId, Position, Timestamp};
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
        // Without room the mark is missing, which is no reason not to serve what is there.
        match writer.write_mark(writer.admission.first()) {
            Ok(()) | Err(AppendError::Full) => {}
            Err(error) => return Err(failed(&writer, io::Error::other(error))),
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
        let Recovered { sealed, active, end: End { tail, last, time, mark }, .. } = recovered;
        let view = View { sealed: Arc::new(sealed), active: Arc::clone(&active), head: last, first: mark };
        let segments = Arc::new(Segments::new(log, files, view));
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
            tail,
            group,
            marked: false,
            failed: None,
        };
        if options.verify {
            let view = writer.segments.view();
            let verify = |sealed: &Arc<_>| writer.rebuild(sealed);
            view.sealed.iter().try_for_each(verify)?;
        }
        Ok(writer)
    }

    fn rebuild(&self, sealed: &crate::segment::segments::Sealed) -> Result<(), OpenError> {
        sealed.rebuild_index(&self.segments).map_err(|error| unreadable(self, error))
    }

    /// Where to learn of a moved head.
    pub(crate) fn heads(&self) -> watch::Receiver<Position> {
        self.heads.subscribe()
    }

    /// Reads the ids of the last events from the indexes, newest segment first until there are enough.
    fn remember_ids(&mut self, wanted: usize) -> Result<(), OpenError> {
        let view = self.segments.view();
        let recent = self.active.index.read().unwrap_or_else(PoisonError::into_inner).ids().to_vec();
        let mut count = recent.len();
        let mut parts: Vec<Vec<(EventId, Position)>> = vec![recent];
        for sealed in view.sealed.iter().rev() {
            if count >= wanted {
                break;
            }
            let ids = sealed.ids(&self.segments).map_err(|error| unreadable(self, error))?;
            count += ids.len();
            parts.push(ids);
        }
        for (id, position) in parts.into_iter().rev().flatten() {
            self.admission.remember(id, position);
        }
        Ok(())
    }
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
    Ok(Recovered { sealed: Vec::new(), active: Arc::new(active), end, cut: None })
}

fn unreadable(writer: &Writer, error: SegmentError) -> OpenError {
    match error {
        SegmentError::Damage(damage) => OpenError::Corrupt(damage),
        SegmentError::Io(source) => failed(writer, source),
        SegmentError::Index => failed(writer, io::Error::other("an index cannot be made anew")),
    }
}

fn failed(writer: &Writer, source: io::Error) -> OpenError {
    OpenError::Io { doing: "open the log in", path: writer.segments.disk().path(), source }
}
