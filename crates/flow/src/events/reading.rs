//! Reading in pages: while one is on its way, the next is read.

use super::past::At;
use std::sync::Arc;
use tenon_core::Position;
use tenon_store::log::{END, MAX_PAGE_EVENTS, ReadAhead};
use tenon_store::{Direction, Log, Page, Query, ReadError};

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
    pages: ReadAhead,
    from: Position,
    direction: Direction,
    left: u64,
    until: Position,
    ended: bool,
}

impl Reading {
    pub(super) fn new(log: Arc<dyn Log>, wanted: Wanted, until: Position) -> Self {
        let Wanted { query, from, direction, limit, at: _ } = wanted;
        let from = match direction {
            Direction::Forward => from.unwrap_or(Position::START),
            Direction::Backward => from.unwrap_or(END).min(Position(until.0.saturating_add(1))),
        };
        let pages = ReadAhead::new(log, query, direction);
        Self { pages, from, direction, left: limit.unwrap_or(u64::MAX), until, ended: false }
    }

    /// The next page; none after one that is at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, ReadError>> {
        if self.ended {
            return None;
        }
        let page = self.pages.page(self.from, self.limit()).await.map(|page| self.cut(page));
        match &page {
            Ok(page) if !page.at_end && self.left > 0 => {
                self.from = page.next;
                self.pages.begin(page.next, self.limit());
            }
            _ => self.ended = true,
        }
        Some(page)
    }

    fn limit(&self) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(MAX_PAGE_EVENTS)
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
