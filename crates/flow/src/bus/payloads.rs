//! The events that a group holds and has not given yet, as far as there is room; others are read again when they are to
//! be given.

use crate::EventStore;
use std::collections::HashMap;
use tenon_core::Position;
use tenon_store::{Direction, Event, Query, ReadError};

/// The most bytes of events that are kept. Those that wait for something but a member are kept up to half of it.
const MOST_BYTES: usize = 32 << 20;

/// Events that are read at once, if more than one is wanted.
const PAGE: usize = 256;

/// Events by position.
pub(super) struct Payloads {
    store: EventStore,
    /// Every event that may be wanted.
    all: Query,
    events: HashMap<Position, Event>,
    bytes: usize,
}

impl Payloads {
    pub(super) fn new(store: EventStore, all: Query) -> Self {
        Self { store, all, events: HashMap::new(), bytes: 0 }
    }

    /// Whether there is room for more.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < MOST_BYTES
    }

    /// Keeps an event, if it is to be given soon or there is much room.
    pub(super) fn put(&mut self, event: Event, soon: bool) {
        if soon || self.bytes < MOST_BYTES / 2 {
            self.bytes += event.size();
            self.events.insert(event.position, event);
        }
    }

    pub(super) fn take(&mut self, at: Position) -> Option<Event> {
        let event = self.events.remove(&at)?;
        self.bytes = self.bytes.saturating_sub(event.size());
        Some(event)
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }

    /// Reads events again, given their positions in order. Those that are not answered are no longer there.
    pub(super) async fn read(&self, wanted: &[Position]) -> Result<Vec<Event>, ReadError> {
        let mut found = Vec::with_capacity(wanted.len());
        let mut rest = wanted.iter().copied().peekable();
        let limit = if wanted.len() > 1 { PAGE } else { 1 };
        while let Some(first) = rest.peek().copied() {
            let log = self.store.log();
            let before = first.0.saturating_sub(1).max(log.first().0.saturating_sub(1));
            let page = log.read(self.all.clone(), Position(before), Direction::Forward, limit).await?;
            let read_to = if page.at_end { Position(u64::MAX) } else { page.next.max(first) };
            let mut events = page.events.into_iter().peekable();
            while let Some(at) = rest.next_if(|at| *at <= read_to) {
                while events.next_if(|event| event.position < at).is_some() {}
                found.extend(events.next_if(|event| event.position == at));
            }
        }
        Ok(found)
    }
}
