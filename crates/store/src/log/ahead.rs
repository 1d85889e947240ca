//! Reading page after page: while one is looked at, the next is read, by a task of its own.

use super::{Direction, Log, Page, Query, ReadError};
use std::sync::Arc;
use tenon_core::Position;
use tokio::task::JoinSet;

/// Reads the pages of a query, one ahead. What is ahead was read before it is asked for: an event that is deleted
/// meanwhile may still be in it. Must be used inside of a tokio runtime. Dropping it ends what is under way.
#[derive(Debug)]
pub struct ReadAhead {
    log: LogHandle,
    query: Query,
    direction: Direction,
    /// The page that is being read, and from where.
    ahead: JoinSet<Result<Page, ReadError>>,
    from: Option<Position>,
}

/// The log, which says nothing of itself.
struct LogHandle(Arc<dyn Log>);

impl std::fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Log").field(&self.0.id()).finish()
    }
}

impl ReadAhead {
    /// Nothing is read before it is asked for.
    pub fn new(log: Arc<dyn Log>, query: Query, direction: Direction) -> Self {
        Self { log: LogHandle(log), query, direction, ahead: JoinSet::new(), from: None }
    }

    /// The page from a position on, as [`Log::read`] has it. Cancelling it loses nothing: asked again it goes on.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn page(&mut self, from: Position, limit: usize) -> Result<Page, ReadError> {
        if self.from != Some(from) {
            self.begin(from, limit);
        }
        let page = match self.ahead.join_next().await {
            Some(Ok(page)) => page,
            // The runtime is ending.
            Some(Err(_)) | None => Err(ReadError::Closed),
        };
        self.from = None;
        page
    }

    /// Begins to read the page from a position on, which is to be asked for next.
    pub fn begin(&mut self, from: Position, limit: usize) {
        self.ahead = JoinSet::new();
        self.from = Some(from);
        let (log, query, direction) = (Arc::clone(&self.log.0), self.query.clone(), self.direction);
        self.ahead.spawn(async move { log.read(query, from, direction, limit).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{MAX_PAGE_EVENTS, NewEvent};
    use crate::memory::MemoryLog;
    use bytes::Bytes;
    use tenon_core::{EventType, Namespace, StreamName};

    #[tokio::test]
    async fn pages_are_those_of_the_log_whatever_was_read_ahead() {
        let log = MemoryLog::default().into_log();
        for _ in 0..30 {
            let stream = StreamName::new("a").unwrap();
            let event_type = EventType::new("test.Done.v1").unwrap();
            let event = NewEvent::new(Namespace::default(), stream, event_type, Bytes::new());
            log.append(vec![event], None).await.unwrap();
        }
        let mut pages = ReadAhead::new(Arc::clone(&log), Query::user(), Direction::Forward);
        let read = |from| log.read(Query::user(), from, Direction::Forward, 10);
        let first = pages.page(Position::START, 10).await.unwrap();
        assert_eq!(first, read(Position::START).await.unwrap());
        pages.begin(first.next, 10);
        assert_eq!(pages.page(first.next, 10).await.unwrap(), read(first.next).await.unwrap());
        // Somewhere else than where it began to read.
        pages.begin(first.next, 10);
        assert_eq!(pages.page(Position(3), 10).await.unwrap(), read(Position(3)).await.unwrap());
        assert!(pages.page(Position(3), MAX_PAGE_EVENTS).await.unwrap().at_end);
    }
}
