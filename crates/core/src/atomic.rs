//! One machine's state in one atomic word, so that no lock is held while a call is in flight.

use std::sync::atomic::{AtomicU64, Ordering};

/// Replaces the word by what `step` makes of it and answers with what `step` answered for the replacement
/// that took effect. `step` may run several times, and nothing is written when it changes nothing, so that
/// a machine at rest costs its callers a load and no contended cache line.
pub(crate) fn update<T>(cell: &AtomicU64, mut step: impl FnMut(u64) -> (u64, T)) -> T {
    let mut present = cell.load(Ordering::Acquire);
    loop {
        let (next, answer) = step(present);
        if next == present {
            return answer;
        }
        match cell.compare_exchange_weak(present, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return answer,
            Err(newer) => present = newer,
        }
    }
}
