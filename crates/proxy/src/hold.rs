//! Waiting for an instance, by a call whose service has none at the moment but should have: one that ended is replaced
//! within a fraction of a second, and nothing of the call has been sent.
//!
//! Life cycle: one [`Patience`] for each call, spent by all its waits together. A wait ends with the next change of the
//! view, whatever it was about; the call then looks again. Where somebody is at an address but does not listen yet, no change
//! tells that they do: such a wait ends soon, the next ones ever later, and they are asked again.
//!
//! Left out on purpose: how many may wait. A call that waits keeps its place among those in flight.

use crate::config::Limits;
use crate::worker::{LocalView, Worker};
use std::rc::Rc;
use std::time::Duration;
use tenon_core::ServiceRef;

/// After how long those are asked again of whom nobody listened; then twice as long each time, up to the longest.
const AGAIN: Duration = Duration::from_millis(50);
const AT_LAST: Duration = Duration::from_secs(1);

/// How long a call may still wait for an instance, and how long it did.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    held: Option<Duration>,
    /// How long the next wait for somebody to listen is.
    again: Duration,
}

impl Patience {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { left: limits.hold, held: None, again: AGAIN }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.left.is_zero()
    }

    /// How long the call has waited, if it did.
    pub(crate) fn held(&self) -> Option<Duration> {
        self.held
    }

    /// Waits until the view is another one than `view`, and no longer than `most`, or until somebody is asked again who did not
    /// listen. How long that took; `None` if there was another one already.
    pub(crate) async fn wait(
        &mut self,
        worker: &Worker,
        view: &Rc<LocalView>,
        service: &ServiceRef,
        most: Duration,
        asks_again: bool,
    ) -> Option<Duration> {
        // Begun before the look, so that no change can come in between.
        let changed = worker.shared.changed.notified();
        if !Rc::ptr_eq(&worker.view(), view) {
            return None;
        }
        if self.held.is_none() {
            worker.metrics.held(service);
        }
        let (began, mut most) = (worker.now(), most.min(self.left));
        if asks_again {
            most = most.min(self.again);
            self.again = (self.again * 2).min(AT_LAST);
        }
        let waited = match tokio::time::timeout(most, changed).await {
            Ok(()) => worker.now().since(began),
            Err(_) => most,
        };
        self.left = self.left.saturating_sub(waited);
        self.held = Some(self.held.unwrap_or_default().saturating_add(waited));
        Some(waited)
    }
}
