//! All that a log serves, to be taken elsewhere.

use super::{Direction, Event, Log, MAX_PAGE_EVENTS, Query, ReadError};
use std::sync::Arc;
use tenon_core::Position;

/// Reads all events that a log serves, in order: Tenon's own from the beginning, users' from the mark on. For a log that
/// nobody appends to meanwhile.
pub struct Whole {
    log: Arc<dyn Log>,
    mark: Position,
    from: Position,
    /// Whether it is still before the mark, where there are Tenon's own streams only.
    before_mark: bool,
    ended: bool,
}

impl Whole {
    /// Begins.
    pub fn new(log: Arc<dyn Log>) -> Self {
        let mark = log.first();
        Self { log, mark, from: Position::START, before_mark: mark > Position(1), ended: false }
    }

    /// The next events, at least one; none at the end.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Option<Vec<Event>>, ReadError> {
        while !self.ended {
            let query = if self.before_mark { Query::reserved() } else { Query::everything() };
            let page = self.log.read(query, self.from, Direction::Forward, MAX_PAGE_EVENTS).await?;
            let mut events = page.events;
            self.from = page.next;
            if self.before_mark {
                let found = events.len();
                events.retain(|event| event.position < self.mark);
                if page.at_end || events.len() < found {
                    self.before_mark = false;
                    self.from = Position(self.mark.0.saturating_sub(1));
                }
            } else {
                self.ended = page.at_end;
            }
            if !events.is_empty() {
                return Ok(Some(events));
            }
        }
        Ok(None)
    }
}
