//! What this process knows of the log's ends, from its own appends, from reads, and from being told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tenon_core::{LogId, Position};
use tokio::sync::watch;

use super::schema::Head;

/// Why appends and reads are refused once a database has gone back in time.
const WENT_BACK: &str = "the database holds less than it had acknowledged, as if an older copy had been restored; \
                         give that log an id of its own, then start again";
const OTHER_LOG: &str = "the database holds another log now; start again";

/// The ends of the log. Both only ever move up; what was told late is no news.
#[derive(Debug)]
pub(super) struct Seen {
    log: LogId,
    last: AtomicU64,
    first: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    /// None once the log is closed, which ends every subscription.
    heads: Option<watch::Sender<Position>>,
    /// Why it was closed.
    reason: &'static str,
}

impl Seen {
    pub(super) fn new(head: Head) -> Self {
        let heads = Some(watch::Sender::new(Position(head.last)));
        Self {
            log: head.log,
            last: AtomicU64::new(head.last),
            first: AtomicU64::new(head.first),
            open: Mutex::new(Open { heads, reason: "" }),
        }
    }

    pub(super) fn log(&self) -> LogId {
        self.log
    }

    pub(super) fn last(&self) -> Position {
        Position(self.last.load(Ordering::Acquire))
    }

    pub(super) fn first(&self) -> Position {
        Position(self.first.load(Ordering::Acquire))
    }

    /// The head and its moves; a channel that is closed once the log is.
    pub(super) fn heads(&self) -> watch::Receiver<Position> {
        match &self.open().heads {
            Some(heads) => heads.subscribe(),
            None => watch::channel(self.last()).1,
        }
    }

    /// Notes where the log ends and begins.
    pub(super) fn note(&self, last: u64, first: u64) {
        self.first.fetch_max(first, Ordering::AcqRel);
        if self.last.fetch_max(last, Ordering::AcqRel) >= last {
            return;
        }
        if let Some(heads) = &self.open().heads {
            heads.send_if_modified(|head| {
                let moved = head.0 < last;
                *head = Position(head.0.max(last));
                moved
            });
        }
    }

    /// Notes what the database says, which was asked after `known` was known, and closes the log if that cannot be
    /// the same log further on.
    pub(super) fn check(&self, head: Head, known: Position) -> Result<(), &'static str> {
        let problem = match head {
            Head { log, .. } if log != self.log => OTHER_LOG,
            Head { last, .. } if last < known.0 => WENT_BACK,
            Head { last, first, .. } => {
                self.note(last, first);
                return Ok(());
            }
        };
        tracing::error!(log = %self.log, problem, "the log is closed");
        self.close(problem);
        Err(problem)
    }

    /// Ends subscriptions; appends and reads are refused for this reason.
    pub(super) fn close(&self, reason: &'static str) {
        let mut open = self.open();
        if open.heads.take().is_some() {
            open.reason = reason;
        }
    }

    /// Why the log is closed, if it is.
    pub(super) fn closed(&self) -> Option<&'static str> {
        let open = self.open();
        open.heads.is_none().then_some(open.reason)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // What it guards is whole between any two lines of code here.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
