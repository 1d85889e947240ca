//! What one subscriber is told: history, then what comes, with no gap and nothing twice.
//!
//! History is read from the log, a page ahead. At its end the subscriber gets a mailbox ([`tail`](super::tail)), reads the
//! log up to where the mailbox begins, and lives on its mail. When there was too much of it, it reads the log again.

use super::EventStore;
use super::error::Error;
use super::past::At;
use super::reading::{Reading, Wanted};
use super::tail::{Mail, Post};
use std::sync::Arc;
use std::time::Duration;
use tenon_core::Position;
use tenon_store::{Direction, Page, Query, ReadError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// How often a subscriber for whom nothing comes is told how far the log has been looked at.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// How long to wait for the mailbox of a subscriber that has not caught up.
const BEHIND: Duration = Duration::from_millis(1);

/// One subscriber's events.
pub(crate) struct Feed {
    store: EventStore,
    query: Query,
    /// Everything up to here has been told.
    position: Position,
    /// History that is being read.
    history: Option<Reading>,
    post: Option<Post>,
    /// Whether it has been told that it has caught up.
    caught_up: bool,
    told_at: Instant,
    ended: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Feed {
    /// Events after a position, or from now on. What serves itself needs no permit.
    pub(crate) fn new(
        store: EventStore,
        query: Query,
        after: Option<Position>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let position = after.unwrap_or_else(|| store.log().head());
        let told_at = Instant::now();
        let (history, post) = (None, None);
        Self {
            store,
            query,
            position,
            history,
            post,
            caught_up: false,
            told_at,
            ended: false,
            _permit: permit,
        }
    }

    /// What comes next. It may hold no event: then it tells how far the log has been looked at. None after an error.
    pub(crate) async fn next(&mut self) -> Option<Result<Page, Error>> {
        if self.ended {
            return None;
        }
        loop {
            let page = match &self.post {
                Some(post) if post.since() <= self.position => self.mail().await,
                _ => self.read().await,
            };
            match page {
                Ok(page) if self.is_news(&page) => {
                    self.caught_up |= page.at_end;
                    self.told_at = Instant::now();
                    return Some(Ok(page));
                }
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
    }

    fn is_news(&self, page: &Page) -> bool {
        let first_time = page.at_end && !self.caught_up;
        !page.events.is_empty() || first_time || self.told_at.elapsed() >= CHECKPOINT_EVERY
    }

    /// A page of history. After the last one there is a mailbox.
    async fn read(&mut self) -> Result<Page, Error> {
        let log = self.store.log();
        let history = self.history.get_or_insert_with(|| {
            let wanted = Wanted {
                query: self.query.clone(),
                from: Some(self.position),
                direction: Direction::Forward,
                limit: None,
                at: At::Now,
            };
            Reading::new(Arc::clone(log), wanted, log.head())
        });
        let page = history.next().await.unwrap_or(Err(ReadError::Closed))?;
        self.position = page.next;
        if page.at_end {
            self.history = None;
            if self.post.is_none() {
                self.post = Some(self.store.tail().open(self.query.clone()));
            }
        }
        let at_end = self.position >= log.head();
        Ok(Page { at_end, ..page })
    }

    /// What is in the mailbox, once there is something, or it is time to tell how far it is.
    async fn mail(&mut self) -> Result<Page, Error> {
        let Some(post) = &self.post else { return self.read().await };
        let mut mail = post.take();
        if let Mail::Events { events, up_to } = &mail
            && events.is_empty()
        {
            let due = if self.caught_up {
                // The usual case: wait for something, or until it is time to tell how far it is.
                Some(self.told_at + CHECKPOINT_EVERY)
            } else {
                // Who fills the mailboxes is not yet where the log ends, and must get its turn.
                let is_behind = self.position.max(*up_to) < self.store.log().head();
                is_behind.then(|| Instant::now() + BEHIND)
            };
            if let Some(due) = due {
                let _ = tokio::time::timeout_at(due, post.filled()).await;
                mail = post.take();
            }
        }
        match mail {
            Mail::Events { events, up_to } => {
                let told = self.position;
                let events = events.into_iter().filter(|event| event.position > told);
                let events = events.map(Arc::unwrap_or_clone).collect();
                self.position = self.position.max(up_to);
                let at_end = self.position >= self.store.log().head();
                Ok(Page { events, next: self.position, at_end })
            }
            Mail::Overflow => {
                self.post = None;
                Ok(Page { events: Vec::new(), next: self.position, at_end: false })
            }
            Mail::Closed => Err(ReadError::Closed.into()),
        }
    }
}

#[cfg(test)]
mod tests;
