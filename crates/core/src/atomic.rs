//! One machine's state in one atomic word, so that no lock is held while a call is in flight.
//!
//! Every atomic of this crate comes from here. With the feature `loom`, which only tests turn on, they are those of the
//! crate loom, which runs a test in every order that its threads may interleave in. Such tests stand beside their
//! machine in `x/loom.rs`, declared as `#[cfg(all(test, feature = "loom"))] mod loom;`, and every one of them calls
//! `::loom::model`; two threads with two steps each are enough to see a race, and more take too long. To run them, and no
//! others, which cannot run with loom's atomics: `cargo test -p tenon-core --features loom loom::`.

#[cfg(feature = "loom")]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(feature = "loom"))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering, fence};

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
