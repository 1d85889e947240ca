//! What was seen on the way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use tenon_core::saga::{At, End, Instance, Saga, StepIx, StepName, Why};

/// What was seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    completed: AtomicU64,
    compensated: AtomicU64,
    failed: AtomicU64,
    pivot_unknown: AtomicU64,
    spent: AtomicU64,
    undo_spent: AtomicU64,
}

impl Seen {
    pub(super) fn note(&self, instance: &Instance) {
        let once = |place: &AtomicU64, bits: u64| {
            if bits & !place.load(Ordering::Relaxed) != 0 {
                place.fetch_or(bits, Ordering::Relaxed);
            }
        };
        match instance.ended() {
            Some(End::Completed) => once(&self.completed, 1),
            Some(End::Compensated) => once(&self.compensated, 1),
            Some(End::Failed) => once(&self.failed, 1),
            None => {}
        }
        for (number, step) in instance.steps().iter().enumerate() {
            let bit = 1u64.checked_shl(number as u32).unwrap_or(0);
            match step.at {
                At::DoParked(Why::PivotUnknown) => once(&self.pivot_unknown, bit),
                At::DoParked(_) => once(&self.spent, bit),
                At::UndoParked => once(&self.undo_spent, bit),
                _ => {}
            }
        }
    }

    /// How the saga ended, and where it waited for somebody.
    pub(super) fn told(&self, saga: &Saga) -> (BTreeSet<End>, BTreeSet<(StepName, Why)>) {
        let ends = [
            (&self.completed, End::Completed),
            (&self.compensated, End::Compensated),
            (&self.failed, End::Failed),
        ];
        let ends = ends
            .into_iter()
            .filter(|(seen, _)| seen.load(Ordering::Relaxed) != 0)
            .map(|(_, end)| end)
            .collect();
        let parks = [
            (&self.pivot_unknown, Why::PivotUnknown),
            (&self.spent, Why::Spent),
            (&self.undo_spent, Why::UndoSpent),
        ];
        let named = |step: StepIx, why| saga.get(step).map(|step| (step.name.clone(), why));
        let parks = parks.into_iter().flat_map(|(seen, why)| {
            let bits = seen.load(Ordering::Relaxed);
            saga.steps()
                .filter(move |step| bits & (1u64 << step.0) != 0)
                .filter_map(move |step| named(step, why))
        });
        (ends, parks.collect())
    }
}
