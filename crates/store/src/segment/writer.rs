//! The writer: judges appends, writes them in groups with one fdatasync, and publishes them.
//!
//! It is synchronous and has no thread, clock or queue of its own: the committer drives it, and so do the
//! fault schedules. Life cycle: [`Writer::open`]; then [`Writer::commit`] and [`Writer::set_mark`];
//! [`Writer::close`].
//!
//! Failures. No room: the group is taken back, which includes overwriting with zeros, durably, whatever part
//! of it may be in the file, so that a refused append cannot come back after a crash. Anything else, above
//! all a failed sync: the writer has failed for good, because what is on disk is unknown from then on.

use super::disk::is_full;
use super::envelope;
use super::files::{Files, SEGMENT, segment};
use super::format::{BATCH_HEADER, BatchHeader, SEGMENT_HEADER, SegmentHeader, encode_batch};
use super::keys::Plan;
use super::run::Source;
use super::segments::{Active, Sealed, Segments};
use super::spare::{Spare, Spares};
use super::tail::TailIndex;
use super::upkeep;
use crate::admission::{Admission, Mark, Past, Verdict};
use crate::deleted::MOST_DELETED;
use crate::log::{AppendError, Appended, Condition, Direction, Event, InvalidInput, NewEvent, ReadError};
use crate::queue::Request;
use recent::Recent;
use std::io;
use std::sync::Arc;
use tenon_core::retention::{Retention, Stretch};
use tenon_core::{EventId, Position, Timestamp};
use tokio::sync::watch;

mod open;
mod recent;

/// The one writer of a log.
#[derive(Debug)]
pub(crate) struct Writer {
    segments: Arc<Segments>,
    spares: Arc<Spares>,
    heads: watch::Sender<Position>,
    admission: Admission,
    active: Arc<Active>,
    segment_bytes: u64,
    retention: Retention,
    /// The byte in the active segment where the durable batches end.
    tail: u64,
    group: Group,
    /// Where the last batches of the active segment are.
    recent: Recent,
    /// Whether a segment was sealed since somebody asked.
    sealed: bool,
    /// Whether the last batch shows that all before it was durable.
    marked: bool,
    failed: Option<&'static str>,
}

/// What has been admitted and is not yet on disk.
#[derive(Debug)]
struct Group {
    since: Mark,
    bytes: Vec<u8>,
    /// The byte in the file where each will begin, and its events.
    batches: Vec<(u64, Vec<Event>)>,
}

impl Writer {
    /// Appends a group. One answer for each request, in their order; all are durable when it returns.
    pub(crate) fn commit(
        &mut self,
        requests: Vec<Request>,
        now: Timestamp,
    ) -> Vec<Result<Appended, AppendError>> {
        let mut answers = Vec::with_capacity(requests.len());
        let mut settled = 0;
        for request in requests {
            let need = encoded_bound(&request.events);
            if !self.fits(need) {
                self.settle(&mut answers, &mut settled);
            }
            let answer = self.make_room(need).and_then(|()| self.admit(request, now));
            answers.push(answer);
        }
        self.settle(&mut answers, &mut settled);
        answers
    }

    /// Makes a scavenge mark durable and publishes it. It must not be beyond the next position.
    pub(crate) fn set_mark(&mut self, first: Position) -> Result<(), AppendError> {
        if first <= self.admission.first() {
            return Ok(());
        }
        // The second shows that the first was durable, so that damage to it cannot pass for a torn tail and
        // take the mark back: what it allows to be removed is gone for good.
        self.write_mark(first)?;
        self.write_mark(first)?;
        self.admission.set_first(first);
        self.segments.update(|view| view.first = first);
        Ok(())
    }

    /// Forgets what the log is not to keep any longer: moves the mark, if need be. Answers where to.
    pub(crate) fn retain(&mut self, now: Timestamp) -> Result<Option<Position>, AppendError> {
        let mark = self.retention_mark(now);
        if let Some(mark) = mark {
            self.set_mark(mark)?;
        }
        Ok(mark)
    }

    /// Where the mark is to be moved to, if anywhere.
    pub(crate) fn retention_mark(&self, now: Timestamp) -> Option<Position> {
        let view = self.segments.view();
        let next = view.sealed.iter().skip(1).map(|sealed| &sealed.header).chain([&view.active.header]);
        let stretches: Vec<Stretch> = view
            .sealed
            .iter()
            .zip(next)
            .filter(|(sealed, _)| !sealed.is_kept())
            .map(|(sealed, next)| Stretch { last: sealed.last, time: next.time, bytes: sealed.size })
            .collect();
        self.retention.mark(&stretches, now).filter(|mark| *mark > self.admission.first())
    }

    /// Shows on disk that everything before was durable, so that damage to the last group is told from a
    /// torn tail. The log is as good without it, hence nothing is answered.
    pub(crate) fn close(mut self) {
        if !self.marked && self.failed.is_none() && self.fits(BATCH_HEADER) {
            let _ = self.write_mark(self.admission.first());
        }
    }

    /// What readers look at.
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    /// Where segments are made ahead.
    pub(crate) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// How many bytes the next segment has as a rule.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Whether the active segment is filled so far that the next one should be made ahead.
    pub(crate) fn is_half_full(&self) -> bool {
        self.tail > self.active.capacity / 2
    }

    /// The last position that was assigned and published.
    pub(crate) fn last(&self) -> Position {
        self.admission.last()
    }

    fn fits(&self, need: usize) -> bool {
        self.tail + (self.group.bytes.len() + need) as u64 <= self.active.capacity
    }

    /// Goes over to the next segment if need be. There is no group then.
    fn make_room(&mut self, need: usize) -> Result<(), AppendError> {
        self.check_open()?;
        if self.fits(need) { Ok(()) } else { self.roll_over(need) }
    }

    fn check_open(&self) -> Result<(), AppendError> {
        self.failed.map_or(Ok(()), |reason| Err(AppendError::Closed(reason)))
    }

    fn admit(&mut self, request: Request, now: Timestamp) -> Result<Appended, AppendError> {
        let Request { events, condition } = request;
        self.check_deletions(&events)?;
        let past = WriterPast {
            segments: &self.segments,
            active: &self.active,
            recent: &self.recent,
            tail: self.tail,
            batches: &self.group.batches,
        };
        match self.admission.admit(&past, events, condition.as_ref(), now)? {
            Verdict::Repeated(appended) => Ok(appended),
            Verdict::Admitted(events) => Ok(self.add(events)),
        }
    }

    /// What is deleted is remembered until its space was given back.
    fn check_deletions(&self, events: &[NewEvent]) -> Result<(), InvalidInput> {
        let more = events.iter().filter(|event| event.is_deletion()).count();
        if more == 0 {
            return Ok(());
        }
        let found = self.segments.view().deleted.len() + more;
        InvalidInput::check("deleted streams whose space was not given back yet", found, MOST_DELETED)
    }

    /// Adds a batch to the group.
    fn add(&mut self, events: Vec<Event>) -> Appended {
        let first = events.first().map_or(Position::START, |event| event.position);
        let appended = Appended::run(first, events.len(), false);
        let at = self.tail + self.group.bytes.len() as u64;
        let header = self.batch_header(first, events.len(), self.admission.first());
        let payload = |out: &mut Vec<u8>| envelope::encode(&events, out);
        encode_batch(self.segments.log, &header, payload, &mut self.group.bytes);
        self.active.change_index(|index| index.push(&events, at as u32));
        self.group.batches.push((at, events));
        appended
    }

    fn batch_header(&self, first: Position, count: usize, mark: Position) -> BatchHeader {
        BatchHeader {
            offset: self.active.header.offset_of(self.tail + self.group.bytes.len() as u64),
            durable: self.active.header.offset_of(self.tail),
            first,
            count: count as u32,
            time: self.admission.time(),
            mark,
        }
    }

    /// Writes a batch without events, by itself.
    fn write_mark(&mut self, mark: Position) -> Result<(), AppendError> {
        self.make_room(BATCH_HEADER)?;
        let header = self.batch_header(Position(self.admission.last().0 + 1), 0, mark);
        encode_batch(self.segments.log, &header, |_| {}, &mut self.group.bytes);
        self.flush()?;
        self.marked = true;
        Ok(())
    }

    /// Writes the group; if that fails, those that were to succeed have failed, too.
    fn settle(&mut self, answers: &mut [Result<Appended, AppendError>], settled: &mut usize) {
        if let Err(error) = self.flush() {
            for answer in answers.iter_mut().skip(*settled).filter(|answer| answer.is_ok()) {
                *answer = Err(error.clone());
            }
        }
        *settled = answers.len();
    }

    fn flush(&mut self) -> Result<(), AppendError> {
        if self.group.bytes.is_empty() {
            return Ok(());
        }
        match self.active.file.write_at(&self.group.bytes, self.tail) {
            Ok(()) => {}
            Err(error) if is_full(&error) => return Err(self.take_back()),
            Err(error) => return Err(self.fail_group("writing failed", &error)),
        }
        if let Err(error) = self.active.file.sync_data() {
            return Err(self.fail_group("a sync failed", &error));
        }
        self.publish();
        Ok(())
    }

    fn publish(&mut self) {
        self.tail += self.group.bytes.len() as u64;
        self.group.bytes.clear();
        let events = self.group.batches.iter().flat_map(|(_, events)| events);
        let deletions: Vec<Event> = events.filter(|event| event.is_deletion()).cloned().collect();
        for (at, events) in self.group.batches.drain(..) {
            self.recent.push(events.first().map(|event| event.position), at);
        }
        self.marked = false;
        self.admission.settle();
        self.group.since = self.admission.mark();
        let (head, tail) = (self.admission.last(), self.tail);
        self.segments.update(|view| {
            view.head = head;
            view.tail = tail;
            if !deletions.is_empty() {
                let deleted = Arc::make_mut(&mut view.deleted);
                deletions.iter().for_each(|event| deleted.note(event));
            }
        });
        self.heads.send_if_modified(|known| std::mem::replace(known, head) != head);
    }

    /// Undoes the group, on disk as well.
    fn take_back(&mut self) -> AppendError {
        let zeros = vec![0; self.group.bytes.len()];
        let undone = self.active.file.write_at(&zeros, self.tail).and_then(|()| self.active.file.sync_data());
        if let Err(error) = undone {
            return self.fail_group("an append without room could not be taken back", &error);
        }
        self.forget_group();
        AppendError::Full
    }

    fn fail_group(&mut self, reason: &'static str, error: &io::Error) -> AppendError {
        self.forget_group();
        self.fail(reason, error);
        AppendError::Unknown(reason)
    }

    fn fail(&mut self, reason: &'static str, error: &io::Error) -> AppendError {
        tracing::error!(%error, reason, "the log accepts no more appends until it is opened again");
        self.failed = Some(reason);
        AppendError::Closed(reason)
    }

    fn forget_group(&mut self) {
        let batches = std::mem::take(&mut self.group.batches);
        self.active.change_index(|index| {
            batches.iter().rev().for_each(|(at, events)| index.pop(events, *at as u32));
        });
        self.group.bytes.clear();
        self.admission.undo(self.group.since);
    }

    /// Seals the active segment and begins the next one.
    fn roll_over(&mut self, need: usize) -> Result<(), AppendError> {
        let size = self.segment_bytes.max((SEGMENT_HEADER + need + BATCH_HEADER) as u64);
        let disk = Arc::clone(&self.segments.files);
        let spare = match self.spares.take(disk.disk(), size) {
            Ok(spare) => spare,
            Err(error) if is_full(&error) => return Err(AppendError::Full),
            Err(error) => return Err(self.fail("a segment could not be made", &error)),
        };
        let header = SegmentHeader {
            log: self.segments.log,
            sequence: self.active.header.sequence + 1,
            base: self.active.header.offset_of(self.tail),
            first: Position(self.admission.last().0 + 1),
            time: self.admission.time(),
            mark: self.admission.first(),
            end: 0,
        };
        let spare_name = spare.name.clone();
        let next = match begin_segment(&self.segments.files, spare, header) {
            Ok(next) => Arc::new(next),
            Err(error) if is_full(&error) => {
                // What cannot be removed now is removed when the log is opened.
                let _ = disk.disk().remove(&spare_name);
                return Err(AppendError::Full);
            }
            Err(error) => return Err(self.fail("a segment could not be begun", &error)),
        };
        self.seal_active(next);
        Ok(())
    }

    fn seal_active(&mut self, next: Arc<Active>) {
        let former = std::mem::replace(&mut self.active, Arc::clone(&next));
        let index = former.index();
        let (header, name) = (former.header.clone(), former.name.clone());
        let sealed = Sealed::new(&self.segments.files, header, name, self.admission.last(), self.tail);
        let sealed = Arc::new(sealed.with_memory(Arc::clone(&index)));
        let sequence = sealed.header.sequence;
        self.recent.clear();
        self.sealed = true;
        self.tail = SEGMENT_HEADER as u64;
        self.segments.update(|view| {
            Arc::make_mut(&mut view.sealed).push(Arc::clone(&sealed));
            view.active = next;
            view.tail = SEGMENT_HEADER as u64;
            let run = upkeep::single(view, sequence, Source::Memory(index));
            Arc::make_mut(&mut view.runs).push(run);
        });
    }

    /// Whether a segment was sealed since this was asked last.
    pub(crate) fn take_sealed(&mut self) -> bool {
        std::mem::take(&mut self.sealed)
    }

    /// How many segments have their keys in memory only, as nobody has written them yet.
    pub(crate) fn unwritten(&self) -> usize {
        let view = self.segments.view();
        view.runs.iter().rev().take_while(|run| matches!(run.source, Source::Memory(_))).count()
    }
}

/// Makes a spare file a segment of the log, durably.
fn begin_segment(files: &Files, spare: Spare, header: SegmentHeader) -> io::Result<Active> {
    let name = segment(header.sequence, SEGMENT);
    let Spare { name: spare_name, file, size } = spare;
    file.write_at(&header.encode(), 0)?;
    file.sync_data()?;
    let disk = files.disk();
    disk.rename(&spare_name, &name)?;
    // From here on the segment may be there after a crash, so failing must be for good.
    disk.sync_directory().map_err(io::Error::other)?;
    let index = TailIndex::new(header.place(0));
    Ok(Active::new(header, name, file, size, index))
}

/// At most how many bytes an append takes.
fn encoded_bound(events: &[NewEvent]) -> usize {
    BATCH_HEADER + events.iter().map(NewEvent::size).sum::<usize>()
}

/// What the rules look at: what is published, then the group.
struct WriterPast<'a> {
    segments: &'a Segments,
    active: &'a Active,
    recent: &'a Recent,
    /// Where what is published ends.
    tail: u64,
    batches: &'a [(u64, Vec<Event>)],
}

impl WriterPast<'_> {
    /// Whether the index in memory shows that no published event is meant, so that none need be read. It does for most
    /// conditions: what they ask about was appended just before, and by whoever asks.
    fn is_unchanged(&self, condition: &Condition) -> Result<bool, ReadError> {
        if condition.after >= self.segments.view().head {
            return Ok(true);
        }
        let plan = Plan::new(&condition.query);
        let Some(at) = self.recent.batch_of(Position(condition.after.0 + 1)) else { return Ok(false) };
        if plan.choices().is_empty() {
            return Ok(false);
        }
        let place = |at: u64| self.active.header.place(at);
        let found = self.active.select(&plan, place(at)..place(self.tail), Direction::Forward)?;
        Ok(found.places.is_empty() && found.rest.is_empty())
    }

    fn first_match_in_group(&self, condition: &Condition) -> Result<Option<&Event>, ReadError> {
        let Some((start, _)) = self.batches.first() else { return Ok(None) };
        let place = |at: u64| self.active.header.place(at);
        let (plan, mut range) = (Plan::new(&condition.query), place(*start)..u64::MAX);
        while !range.is_empty() {
            let found = self.active.select(&plan, range, Direction::Forward)?;
            let batch = |sought: &u64| {
                let at = self.batches.binary_search_by_key(sought, |(at, _)| place(*at)).ok()?;
                self.batches.get(at)
            };
            let events = found.places.iter().filter_map(batch).flat_map(|(_, events)| events);
            if let Some(event) = events.into_iter().find(|event| condition.contradicted_by(event)) {
                return Ok(Some(event));
            }
            range = found.rest;
        }
        Ok(None)
    }
}

impl Past for WriterPast<'_> {
    fn first_match(&self, condition: &Condition) -> Result<Option<(Position, EventId)>, ReadError> {
        if self.is_unchanged(condition)? {
            let found = self.first_match_in_group(condition)?;
            return Ok(found.map(|event| (event.position, event.id)));
        }
        let mut from = condition.after;
        while let Some(event) =
            self.segments.page_now(&condition.query, from, Direction::Forward, 1)?.events.first()
        {
            if condition.counts(event) {
                return Ok(Some((event.position, event.id)));
            }
            from = event.position;
        }
        let found = self.first_match_in_group(condition)?;
        Ok(found.map(|event| (event.position, event.id)))
    }

    fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError> {
        let mut ids = self.segments.ids_from(first, count)?;
        let group =
            self.batches.iter().flat_map(|(_, events)| events).filter(|event| event.position >= first);
        ids.extend(group.map(|event| event.id));
        ids.truncate(count);
        Ok(ids)
    }
}
