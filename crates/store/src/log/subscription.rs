//! Subscriptions: a cursor that reads pages while there are any, and waits for the head to move when not.
//!
//! There is no second path for live events: history and live events come by the same reads, so there is no
//! seam at which an event could be lost, repeated or reordered, and nothing to overflow when a subscriber is
//! slow. What it costs is a read for each wake-up, which takes all events that have come since.

use super::{Direction, Event, Log, MAX_PAGE_EVENTS, Page, Query, ReadAhead, ReadError};
use std::collections::VecDeque;
use std::sync::Arc;
use tenon_core::Position;
use tokio::sync::watch;

/// A subscription; see [the contract](super). Dropping it ends it.
pub struct Subscription {
    heads: watch::Receiver<Position>,
    pages: ReadAhead,
    /// Everything up to here has been read, though some of it may still be in `buffer`.
    read_to: Position,
    buffer: VecDeque<Event>,
}

impl Subscription {
    pub(crate) fn new(log: Arc<dyn Log>, query: Query, from: Position) -> Self {
        let heads = log.heads();
        let pages = ReadAhead::new(log, query, Direction::Forward);
        Self { heads, pages, read_to: from, buffer: VecDeque::new() }
    }

    /// The position up to which everything has been delivered, matching or not: subscribing again from here
    /// misses and repeats nothing.
    pub fn position(&self) -> Position {
        match self.buffer.front() {
            Some(event) => Position(event.position.0.saturating_sub(1)),
            None => self.read_to,
        }
    }

    /// The next matching event; waits for one. Cancelling it loses nothing.
    ///
    /// # Errors
    /// [`ReadError`]; `Closed` when the log was closed. Asking again goes on from the same place.
    pub async fn next(&mut self) -> Result<Event, ReadError> {
        loop {
            if let Some(event) = self.buffer.pop_front() {
                return Ok(event);
            }
            let page = self.read_page().await?;
            self.buffer.extend(page.events);
        }
    }

    /// Everything that has come since, as a page, as soon as the log has moved: it may hold no event, when
    /// none of the new ones match. For whoever keeps a checkpoint, or wants to know when it has caught up
    /// with a head. Cancelling it loses nothing.
    ///
    /// # Errors
    /// As [`Subscription::next`].
    pub async fn next_page(&mut self) -> Result<Page, ReadError> {
        if self.buffer.is_empty() {
            return self.read_page().await;
        }
        let events = self.buffer.drain(..).collect();
        Ok(Page { events, next: self.read_to, at_end: false })
    }

    async fn read_page(&mut self) -> Result<Page, ReadError> {
        let read_to = self.read_to;
        self.heads.wait_for(|head| *head > read_to).await.map_err(|_| ReadError::Closed)?;
        let page = self.pages.page(read_to, MAX_PAGE_EVENTS).await?;
        self.read_to = page.next;
        if !page.at_end {
            self.pages.begin(page.next, MAX_PAGE_EVENTS);
        }
        Ok(page)
    }
}
