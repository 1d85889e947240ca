//! Reading pages of events from the segments.

use super::SegmentError;
use super::keys::Plan;
use super::lookup::Bounds;
use super::segments::{Part, Segments, View};
use crate::log::{Direction, Event, MAX_PAGE_BYTES, MAX_PAGE_EVENTS, Page, Query, ReadError};
use std::sync::Arc;
use tenon_core::{EventId, Position};

impl Segments {
    /// A page of what matches; see [`crate::Log::read`].
    pub(crate) fn page(
        &self,
        query: &Query,
        from: Position,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, ReadError> {
        query.validate()?;
        loop {
            let view = self.view();
            query.check_mark(from, direction, view.first)?;
            let wanted = Wanted::new(query, from, direction, limit, &view);
            match self.read_view(&view, wanted) {
                Ok(page) => return Ok(page),
                // A segment was scavenged meanwhile and its file is gone: look again.
                Err(_) if !Arc::ptr_eq(&view.sealed, &self.view().sealed) => {}
                Err(error) => return Err(error.into()),
            }
        }
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

    /// A page forward, whatever the scavenge mark is.
    fn page_unmarked(&self, query: &Query, from: Position, limit: usize) -> Result<Page, ReadError> {
        let view = View { first: Position(1), ..self.view() };
        Ok(self.read_view(&view, Wanted::new(query, from, Direction::Forward, limit, &view))?)
    }

    fn read_view(&self, view: &View, mut wanted: Wanted<'_>) -> Result<Page, SegmentError> {
        let bounds = wanted.bounds;
        let overlapping = view.parts().filter(move |part| part.overlaps(bounds));
        let parts: Box<dyn Iterator<Item = Part>> = match wanted.direction {
            Direction::Forward => Box::new(overlapping),
            Direction::Backward => Box::new(overlapping.rev()),
        };
        for part in parts {
            self.read_part(&part, &mut wanted)?;
            if wanted.is_full() {
                break;
            }
        }
        Ok(wanted.into_page(view.head))
    }

    fn read_part(&self, part: &Part, wanted: &mut Wanted<'_>) -> Result<(), SegmentError> {
        let mut range = None;
        loop {
            let found = part.select(self, &wanted.plan, wanted.bounds, range, wanted.direction)?;
            for entry in found.entries {
                wanted.take(part.load(self, &entry)?);
                if wanted.is_full() {
                    return Ok(());
                }
            }
            if found.rest.is_empty() {
                return Ok(());
            }
            range = Some(found.rest);
        }
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
    events: Vec<Event>,
    bytes: usize,
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
        Self { query, plan: Plan::new(query), from, bounds, direction, limit, events: Vec::new(), bytes: 0 }
    }

    fn is_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= MAX_PAGE_BYTES
    }

    /// Takes of a batch what matches, until the page is full.
    fn take(&mut self, mut batch: Vec<Event>) {
        if self.direction == Direction::Backward {
            batch.reverse();
        }
        for event in batch {
            let within = event.position > self.bounds.after && event.position < self.bounds.before;
            if within && self.query.matches(&event) && !self.is_full() {
                self.bytes += event.size();
                self.events.push(event);
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
