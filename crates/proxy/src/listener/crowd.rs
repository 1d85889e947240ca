//! One worker's connections, counted, so that whoever ends can wait until they have.

use std::cell::Cell;
use std::rc::Rc;
use tokio::sync::Notify;

/// How many there are.
#[derive(Default)]
pub(super) struct Crowd {
    count: Cell<usize>,
    left: Notify,
}

/// A connection, or a tunnel in one, that is counted until it is dropped.
pub(crate) struct Guest(Rc<Crowd>);

impl Crowd {
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// Waits until there are none.
    pub(super) async fn is_gone(&self) {
        while self.count.get() > 0 {
            self.left.notified().await;
        }
    }
}

impl Guest {
    pub(super) fn enter(crowd: &Rc<Crowd>) -> Self {
        crowd.count.set(crowd.count.get() + 1);
        Self(Rc::clone(crowd))
    }

    /// One more of the same crowd.
    pub(crate) fn another(&self) -> Self {
        Self::enter(&self.0)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get().saturating_sub(1));
        self.0.left.notify_one();
    }
}
