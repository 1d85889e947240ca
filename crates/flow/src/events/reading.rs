//! Reading in pages: while one is on its way, the next is read.

use super::past::At;
use std::sync::Arc;
use tenon_core::Position;
use tenon_store::log::{END, MAX_PAGE_EVENTS};
use tenon_store::{Direction, Log, Page, Query, ReadError};
use tokio::task::JoinSet;

/// What is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) query: Query,
    /// Where to begin, itself excluded.
    pub(crate) from: Option<Position>,
    pub(crate) direction: Direction,
    /// The most events; none for all.
    pub(crate) limit: Option<u64>,
    pub(crate) at: At,
}

/// A read that is under way.
pub(crate) struct Reading {
    log: Arc<dyn Log>,
    query: Query,
    from: Position,
    direction: Direction,
    left: u64,
    until: Position,
    /// The next page, when it is being read already.
    ahead: JoinSet<Result<Page, ReadError>>,
    ended: bool,
}

impl Reading {
    pub(super) fn new(log: Arc<dyn Log>, wanted: Wanted, until: Position) -> Self {
        let Wanted { query, from, direction, limit, at: _ } = wanted;
        let from = match direction {
            Direction::Forward => from.unwrap_or(Position::START),
            Direction::Backward => from.unwrap_or(END).min(Position(until.0.saturating_add(1))),
        };
        let left = limit.unwrap_or(u64::MAX);
        Self { log, query, from, direction, left, until, ahead: JoinSet::new(), ended: false }
    }

    /// The next page; none after one that is at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, ReadError>> {
        if self.ended {
            return None;
        }
        if self.ahead.is_empty() {
            self.begin();
        }
        let page = match self.ahead.join_next().await {
            Some(Ok(page)) => page,
            Some(Err(_)) | None => Err(ReadError::Closed),
        };
        let page = page.map(|page| self.cut(page));
        match &page {
            Ok(page) if !page.at_end && self.left > 0 => {
                self.from = page.next;
                self.begin();
            }
            _ => self.ended = true,
        }
        Some(page)
    }

    fn begin(&mut self) {
        let (log, query, from, direction) =
            (Arc::clone(&self.log), self.query.clone(), self.from, self.direction);
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(MAX_PAGE_EVENTS);
        self.ahead.spawn(async move { log.read(query, from, direction, limit).await });
    }

    /// What of a page is within the bounds.
    fn cut(&mut self, mut page: Page) -> Page {
        if self.direction == Direction::Forward && page.next >= self.until {
            page.events.retain(|event| event.position <= self.until);
            page.next = self.until.max(self.from);
            page.at_end = true;
        }
        self.left = self.left.saturating_sub(page.events.len() as u64);
        page
    }
}
