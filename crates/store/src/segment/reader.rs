//! Reading pages of events from the segments: by scanning them, or by looking up where what is wanted may be.

use super::SegmentError;
use super::envelope::{self, Data, Names, Raw};
use super::format::SEGMENT_HEADER;
use super::keys::Plan;
use super::lookup::{Bounds, Selection};
use super::reads::Reads;
use super::run::Run;
use super::scan::{CHUNK, ONE, Resumed, Scan};
use super::segments::{Segments, View};
use super::upkeep;
use crate::deleted::Deleted;
use crate::log::{Direction, Event, MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Page, Query, QueryItem, ReadError};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use tenon_core::{EventId, EventType, Position};

/// Batches that are no farther apart than this are read together.
const NEAR: u64 = 16 << 10;
/// How much is read for them.
const TOGETHER: usize = 64 << 10;
/// Hardly an event takes less.
const SMALLEST: u64 = 100;
/// How often a page is tried while indexes are found damaged, or segments change under it.
const TRIES: usize = 8;

impl Segments {
    /// A page of what matches; see [`crate::Log::read`]. None if the read may not block and would have to.
    pub(crate) fn page(
        &self,
        reads: &Reads,
        query: &Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Option<Page>, ReadError> {
        query.validate()?;
        // Each time one run is made anew; there are not many.
        for _ in 0..TRIES + self.view().runs.len() {
            let view = self.view();
            query.check_mark(from, direction, view.first)?;
            let wanted = Wanted::new(query, from, direction, limit, &view);
            match self.read_view(reads, &view, wanted) {
                Ok(page) => return Ok(Some(page)),
                Err(SegmentError::WouldBlock) => return Ok(None),
                Err(SegmentError::Changed) => {}
                // A segment was scavenged meanwhile and its file is gone, or the like: look again.
                Err(_) if !view.is(&self.view()) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ReadError::Io(Arc::new(io::Error::other("indexes of the log cannot be made anew"))))
    }

    /// A page, as long as it takes.
    pub(crate) fn page_now(
        &self,
        query: &Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let page = self.page(&Reads::blocking(), query, from, direction, limit)?;
        page.ok_or_else(|| SegmentError::WouldBlock.into())
    }

    /// The ids of `count` published events from a position on.
    pub(crate) fn ids_from(&self, first: Position, count: usize) -> Result<Vec<EventId>, ReadError> {
        let mut ids = Vec::with_capacity(count);
        let mut from = Position(first.0.saturating_sub(1));
        while ids.len() < count {
            let page = self.page_unmarked(&Query::everything(), from, count - ids.len())?;
            ids.extend(page.events.iter().map(|event| event.id));
            from = page.next;
            if page.at_end {
                break;
            }
        }
        Ok(ids)
    }

    /// A page forward, whatever the scavenge mark is and whatever was deleted.
    fn page_unmarked(&self, query: &Query, from: Position, limit: usize) -> Result<Page, ReadError> {
        let view = View { first: Position(1), deleted: Arc::default(), ..self.view() };
        let wanted = Wanted::new(query, from, Direction::Forward, limit, &view);
        Ok(self.read_view(&Reads::blocking(), &view, wanted)?)
    }

    /// The deletions of streams after a position.
    pub(crate) fn deletions(&self, after: Position) -> Result<Deleted, ReadError> {
        let item = QueryItem { types: [EventType::stream_deleted()].into(), ..QueryItem::default() };
        let query = Query::user().or(item);
        let mut deleted = Deleted::default();
        let mut from = after.max(Position(self.view().first.0.saturating_sub(1)));
        loop {
            let page = self.page_now(&query, from, Direction::Forward, MAX_PAGE_EVENTS)?;
            page.events.iter().for_each(|event| deleted.note(event));
            from = page.next;
            if page.at_end {
                return Ok(deleted);
            }
        }
    }

    fn read_view(&self, reads: &Reads, view: &View, mut wanted: Wanted<'_>) -> Result<Page, SegmentError> {
        if wanted.bounds.after.0.saturating_add(1) < wanted.bounds.before.0 {
            match (&wanted.plan, wanted.direction) {
                (Plan::Everything, Direction::Forward) => self.scan_forward(reads, view, &mut wanted)?,
                (Plan::Everything, Direction::Backward) => self.scan_backward(reads, view, &mut wanted)?,
                (Plan::Union(_), _) => self.look_up(reads, view, &mut wanted)?,
            }
        }
        Ok(wanted.into_page(view.head))
    }

    fn scan_forward(&self, reads: &Reads, view: &View, wanted: &mut Wanted<'_>) -> Result<(), SegmentError> {
        let resumed = self.spare.resumed(wanted.bounds.after);
        let scanned = self.scan_from(reads, view, resumed.clone(), wanted);
        if let (Err(SegmentError::WouldBlock), Some(resumed)) = (&scanned, resumed) {
            self.spare.remember(resumed);
        }
        scanned
    }

    fn scan_from(
        &self,
        reads: &Reads,
        view: &View,
        mut resumed: Option<Resumed>,
        wanted: &mut Wanted<'_>,
    ) -> Result<(), SegmentError> {
        let after = wanted.bounds.after;
        let ahead = wanted.limit.saturating_mul(512).clamp(NEAR as usize, CHUNK);
        for at in view.segment_of(Position(after.0 + 1))..view.len() {
            let Some(part) = view.part(at) else { break };
            let mut scan = Scan::new(self, reads, part)?;
            let same = resumed.take().filter(|it| it.name == scan.part().name());
            let start = match &same {
                Some(resumed) => {
                    scan.resume(resumed);
                    resumed.at
                }
                None => scan.part().block_of(self, reads, Position(after.0 + 1))?.start,
            };
            self.scan_part(&mut scan, start, ahead, wanted)?;
            if wanted.is_done() {
                break;
            }
        }
        Ok(())
    }

    fn scan_part(
        &self,
        scan: &mut Scan<'_>,
        mut at: u64,
        ahead: usize,
        wanted: &mut Wanted<'_>,
    ) -> Result<(), SegmentError> {
        let scavenged = scan.part().header().end != 0;
        wanted.reserve(scan.part().end().saturating_sub(at));
        let mut last = Position(scan.part().header().first.0.saturating_sub(1));
        while at < scan.part().end() {
            let batch = scan.batch(at, last, ahead)?;
            let (first, count) = (batch.header.first, u64::from(batch.header.count));
            if first >= wanted.bounds.before {
                wanted.beyond = true;
                return Ok(());
            }
            // A batch that was scavenged holds fewer events than positions.
            let before = !scavenged && first.0 + count <= wanted.bounds.after.0 + 1;
            if count > 0 && !before {
                let chunk = scan.chunk();
                let payload = chunk.get(batch.payload.clone()).unwrap_or_default();
                let taken = wanted.take_forward(payload, wanted.data_of(chunk));
                taken.map_err(|problem| scan.damage(at, last, problem))?;
                if wanted.is_full() {
                    if let Some(event) = wanted.events.last() {
                        let ended = event.position.0 + 1 >= first.0 + count && !scavenged;
                        let next = if ended { at + batch.size() } else { at };
                        self.spare.remember(scan.resumed(event.position, next));
                    }
                    return Ok(());
                }
            }
            last = last.max(Position((first.0 + count).saturating_sub(1)));
            at += batch.size();
        }
        Ok(())
    }

    fn scan_backward(&self, reads: &Reads, view: &View, wanted: &mut Wanted<'_>) -> Result<(), SegmentError> {
        let newest = Position(wanted.bounds.before.0.saturating_sub(1));
        for at in (0..=view.segment_of(newest)).rev() {
            let Some(part) = view.part(at) else { break };
            let mut scan = Scan::new(self, reads, part)?;
            let mut position = newest;
            loop {
                let block = scan.part().block_of(self, reads, position)?;
                let Some(first) = self.scan_block(&mut scan, &block, wanted)? else { break };
                if wanted.is_done() {
                    return Ok(());
                }
                if first <= scan.part().header().first {
                    break;
                }
                position = Position(first.0 - 1);
            }
        }
        Ok(())
    }

    /// Takes what matches of a block, newest first; answers with the block's first position.
    fn scan_block(
        &self,
        scan: &mut Scan<'_>,
        block: &Range<u64>,
        wanted: &mut Wanted<'_>,
    ) -> Result<Option<Position>, SegmentError> {
        let before = Position(scan.part().header().first.0.saturating_sub(1));
        let (mut at, mut first, mut found) = (block.start, None, Vec::new());
        while at < block.end {
            let batch = scan.batch(at, before, (block.end - at) as usize)?;
            if batch.header.count > 0 {
                first.get_or_insert(batch.header.first);
                let chunk = scan.chunk();
                let payload = chunk.get(batch.payload.clone()).unwrap_or_default();
                let taken = wanted.collect(payload, wanted.data_of(chunk), &mut found);
                taken.map_err(|problem| scan.damage(at, before, problem))?;
            }
            at += batch.size();
        }
        wanted.take_reversed(found);
        if first.is_some_and(|first| first <= wanted.bounds.after) {
            wanted.beyond = true;
        }
        Ok(first)
    }

    fn look_up(&self, reads: &Reads, view: &View, wanted: &mut Wanted<'_>) -> Result<(), SegmentError> {
        let range = self.places(reads, view, wanted.bounds)?;
        let overlapping = |run: &&Arc<Run>| run.places.start < range.end && run.places.end > range.start;
        let runs = view.runs.iter().filter(overlapping).map(Some);
        let active = (view.active.header.place(0) < range.end).then_some(None);
        let mut sources: Vec<Option<&Arc<Run>>> = runs.chain(active).collect();
        if wanted.direction == Direction::Backward {
            sources.reverse();
        }
        for source in sources {
            let within = match source {
                Some(run) => range.start.max(run.places.start)..range.end.min(run.places.end),
                None => range.start.max(view.active.header.place(0))..range.end,
            };
            self.look_up_in(reads, view, source, within, wanted)?;
            if wanted.is_full() {
                break;
            }
        }
        Ok(())
    }

    fn look_up_in(
        &self,
        reads: &Reads,
        view: &View,
        source: Option<&Arc<Run>>,
        mut range: Range<u64>,
        wanted: &mut Wanted<'_>,
    ) -> Result<(), SegmentError> {
        while !range.is_empty() {
            let Selection { mut places, rest } = match source {
                None => view.active.select(&wanted.plan, range, wanted.direction)?,
                Some(run) => match run.select(reads, &wanted.plan, range, wanted.direction) {
                    Err(SegmentError::Index) => {
                        reads.may_block()?;
                        upkeep::mend(self, run)?;
                        return Err(SegmentError::Changed);
                    }
                    other => other?,
                },
            };
            if wanted.direction == Direction::Backward {
                places.reverse();
            }
            self.load(reads, view, &places, wanted)?;
            if wanted.is_full() {
                return Ok(());
            }
            range = rest;
        }
        Ok(())
    }

    /// Takes what matches of the batches at these places, which come in the order of the read.
    fn load(
        &self,
        reads: &Reads,
        view: &View,
        places: &[u64],
        wanted: &mut Wanted<'_>,
    ) -> Result<(), SegmentError> {
        let mut scan: Option<Scan<'_>> = None;
        for (number, place) in places.iter().enumerate() {
            let of_part = |scan: &Scan<'_>| {
                let header = scan.part().header();
                *place >= header.place(SEGMENT_HEADER as u64) && *place < header.place(scan.part().end())
            };
            if !scan.as_ref().is_some_and(of_part) {
                let part = view.part(view.segment_at(*place)).ok_or(SegmentError::Index)?;
                scan = Some(Scan::new(self, reads, part)?);
            }
            let Some(scan) = &mut scan else { continue };
            let near = places.get(number + 1).is_some_and(|next| *next > *place && next - place < NEAR);
            let at = place - scan.part().header().place(0);
            let payload = scan.payload(at, if near { TOGETHER } else { ONE })?;
            wanted.take(&payload).map_err(|problem| {
                scan.damage(at, Position(scan.part().header().first.0.saturating_sub(1)), problem)
            })?;
            if wanted.is_full() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The places of the batches that positions are in.
    fn places(&self, reads: &Reads, view: &View, bounds: Bounds) -> Result<Range<u64>, SegmentError> {
        let block = |position: Position| -> Result<Range<u64>, SegmentError> {
            let part = view.part(view.segment_of(position)).ok_or(SegmentError::Index)?;
            let block = part.block_of(self, reads, position)?;
            Ok(part.header().place(block.start)..part.header().place(block.end))
        };
        let oldest = view.part(0).map_or(Position(1), |part| part.header().first);
        let start = if bounds.after < oldest { 0 } else { block(Position(bounds.after.0 + 1))?.start };
        let end = if bounds.before > view.head { view.end() } else { block(bounds.before)?.end };
        Ok(start..end)
    }
}

impl View {
    /// Whether nothing has changed but the end of the log.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sealed, &other.sealed) && Arc::ptr_eq(&self.runs, &other.runs)
    }
}

/// What a read asks for, and what it has found so far.
struct Wanted<'a> {
    query: &'a Query,
    plan: Plan,
    from: Position,
    bounds: Bounds,
    direction: Direction,
    limit: usize,
    deleted: Arc<Deleted>,
    names: Names,
    events: Vec<Event>,
    bytes: usize,
    /// Whether what follows is beyond the bounds.
    beyond: bool,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a Query, from: Position, direction: Direction, limit: usize, view: &View) -> Self {
        // Users' events before the mark may still be on disk; they are not served.
        let hidden = if query.is_reserved_only() { 0 } else { view.first.0.saturating_sub(1) };
        let beyond = Position(view.head.0 + 1);
        let bounds = match direction {
            Direction::Forward => Bounds { after: from.max(Position(hidden)), before: beyond },
            Direction::Backward => Bounds { after: Position(hidden), before: from.min(beyond) },
        };
        let limit = limit.clamp(1, MAX_PAGE_EVENTS);
        let (plan, names) = (Plan::new(query), Names::default());
        Self {
            query,
            plan,
            from,
            bounds,
            direction,
            limit,
            deleted: Arc::clone(&view.deleted),
            names,
            events: Vec::new(),
            bytes: 0,
            beyond: false,
        }
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= MAX_PAGE_BYTES
    }

    fn is_done(&self) -> bool {
        self.beyond || self.is_full()
    }

    /// Whether events may keep slices of the whole chunk that they are read from: only if it is mostly wanted.
    fn data_of<'b>(&self, chunk: &'b Bytes) -> Data<'b> {
        if self.query.namespace.is_none() { Data::Slice(chunk) } else { Data::Mostly(chunk) }
    }

    fn matches(&self, raw: &Raw<'_>) -> bool {
        raw.position > self.bounds.after
            && raw.position < self.bounds.before
            && raw.matches(self.query)
            && !self.deleted.hides(raw.position, raw.namespace(), raw.stream())
    }

    /// Takes of a batch what matches, oldest first, until the page is full.
    fn take_forward(&mut self, payload: &[u8], data: Data<'_>) -> Result<(), &'static str> {
        match self.only_stream() {
            Some(stream) => self.take_each(envelope::raw_of(payload, stream), data),
            None => self.take_each(envelope::raw(payload), data),
        }
    }

    fn take_each<'b>(
        &mut self,
        events: impl Iterator<Item = Result<Raw<'b>, &'static str>>,
        data: Data<'_>,
    ) -> Result<(), &'static str> {
        for raw in events {
            let raw = raw?;
            if self.matches(&raw) {
                self.bytes += raw.size();
                self.events.push(raw.event(data, &mut self.names)?);
                if self.is_full() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The stream, if there is only one whose events can match.
    fn only_stream(&self) -> Option<&'a [u8]> {
        let query: &'a Query = self.query;
        let [item] = query.items.as_slice() else { return None };
        let (stream, 1) = (item.streams.first()?, item.streams.len()) else { return None };
        Some(stream.as_str().as_bytes())
    }

    /// Makes room for what so many bytes of batches may hold.
    fn reserve(&mut self, bytes: u64) {
        let most = usize::try_from(bytes / SMALLEST).unwrap_or(usize::MAX);
        self.events.reserve(most.min(self.limit - self.events.len().min(self.limit)));
    }

    /// Adds of a batch what matches to a list.
    fn collect(
        &mut self,
        payload: &[u8],
        data: Data<'_>,
        found: &mut Vec<Event>,
    ) -> Result<(), &'static str> {
        for raw in envelope::raw(payload) {
            let raw = raw?;
            if self.matches(&raw) {
                found.push(raw.event(data, &mut self.names)?);
            }
        }
        Ok(())
    }

    /// Takes what was collected, newest first, until the page is full.
    fn take_reversed(&mut self, found: Vec<Event>) {
        for event in found.into_iter().rev() {
            if self.is_full() {
                return;
            }
            self.bytes += event.size();
            self.events.push(event);
        }
    }

    /// Takes of a batch that was looked up what matches, in the direction of the read.
    fn take(&mut self, payload: &Bytes) -> Result<(), &'static str> {
        match self.direction {
            Direction::Forward => self.take_forward(payload, Data::Mostly(payload)),
            Direction::Backward => {
                let mut found = Vec::new();
                self.collect(payload, Data::Mostly(payload), &mut found)?;
                self.take_reversed(found);
                Ok(())
            }
        }
    }

    fn into_page(self, head: Position) -> Page {
        let at_end = !self.is_full();
        let next = match (at_end, self.events.last(), self.direction) {
            (false, Some(event), _) => event.position,
            (_, _, Direction::Forward) => self.from.max(head),
            (_, _, Direction::Backward) => Position::START,
        };
        Page { events: self.events, next, at_end }
    }
}
