//! How a listener that is removed lets its connections go.
//!
//! Life cycle: it *begins*: no new connections, each response of HTTP/1.1 asks for its connection to be closed, and HTTP/2
//! says GOAWAY, so that requests that are on their way are still answered. After the time for that it *is over*: idle connections are closed
//! and the others after the request in hand.

use std::cell::Cell;
use tokio::sync::Notify;

/// One listener's, shared with its connections.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun: Cell<bool>,
    over: Cell<bool>,
    changed: Notify,
}

impl Drain {
    pub(crate) fn begin(&self) {
        self.begun.set(true);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self) {
        self.begun.set(true);
        self.over.set(true);
        self.changed.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.get()
    }

    /// Waits until it has begun.
    pub(crate) async fn begins(&self) {
        let changed = self.changed.notified();
        if !self.begun.get() {
            changed.await;
        }
    }

    /// Waits until it is over.
    pub(crate) async fn is_over(&self) {
        while !self.over.get() {
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests;
