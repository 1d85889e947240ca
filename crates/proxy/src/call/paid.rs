//! A retry that the budget has paid for. If it is not sent after all, because the deadline passed, nobody could be
//! asked or the caller went away, it is given back.

use crate::cells::ServiceCells;
use crate::view::Destination;
use crate::worker::Worker;
use std::rc::Rc;
use std::sync::Arc;
use tenon_core::retry::budget::Config;

/// What one retry was paid with. Dropped, it is given back.
pub(super) struct Paid {
    worker: Rc<Worker>,
    cells: Arc<ServiceCells>,
    config: Config,
    sent: bool,
}

impl Paid {
    /// A retry was paid for from the destination's budget.
    pub(super) fn new(worker: &Rc<Worker>, destination: &Destination) -> Self {
        Self {
            worker: Rc::clone(worker),
            cells: Arc::clone(&destination.cells),
            config: destination.traffic.budget.clone(),
            sent: false,
        }
    }

    /// It is being sent.
    pub(super) fn sent(mut self) {
        self.sent = true;
    }
}

impl Drop for Paid {
    fn drop(&mut self) {
        if !self.sent {
            self.cells.budget.refund(&self.config, self.worker.now());
        }
    }
}
