//! What has become of sagas.

use std::sync::atomic::{AtomicU64, Ordering};
use tenon_core::saga::{End, Event};

/// What has become of sagas since this server began.
#[derive(Debug, Default)]
pub struct Counts {
    started: AtomicU64,
    completed: AtomicU64,
    compensated: AtomicU64,
    failed: AtomicU64,
    repeated: AtomicU64,
    parked: AtomicU64,
}

impl Counts {
    pub(super) fn of(&self, events: &[Event]) {
        let add = |count: &AtomicU64| _ = count.fetch_add(1, Ordering::Relaxed);
        for event in events {
            match event {
                Event::Started { .. } => add(&self.started),
                Event::Deferred { .. } | Event::Repeated { .. } => add(&self.repeated),
                Event::Parked { .. } => add(&self.parked),
                Event::Ended { end: End::Completed } => add(&self.completed),
                Event::Ended { end: End::Compensated } => add(&self.compensated),
                Event::Ended { end: End::Failed } => add(&self.failed),
                _ => {}
            }
        }
    }

    /// Each with its name.
    pub fn each(&self) -> [(&'static str, u64); 6] {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("started", of(&self.started)),
            ("completed", of(&self.completed)),
            ("compensated", of(&self.compensated)),
            ("failed", of(&self.failed)),
            ("repeated", of(&self.repeated)),
            ("parked", of(&self.parked)),
        ]
    }
}
