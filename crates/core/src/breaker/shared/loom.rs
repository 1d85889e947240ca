//! Two threads that fill one window, in every order.

use super::recent::Recent;
use super::{Generation, Outcome, Window};
use crate::breaker::Counts;
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1);
const GENERATION: Generation = Generation(1);

/// What a window shows of one more success, after both threads have recorded this.
fn after_both(window: Window, own: Outcome, other: Outcome) -> Counts {
    let recent = Arc::new(Recent::new(window));
    let shared = Arc::clone(&recent);
    let thread = ::loom::thread::spawn(move || shared.record(GENERATION, other, NOW));
    recent.record(GENERATION, own, NOW);
    thread.join().expect("does not panic");
    recent.record(GENERATION, Outcome::SUCCESS, NOW)
}

const SLOW: Outcome = Outcome { failed: false, slow: true };

#[test]
fn a_ring_loses_nothing_and_counts_nothing_twice() {
    ::loom::model(|| {
        let counts = after_both(Window::Count { size: 3 }, Outcome::FAILURE, SLOW);
        assert_eq!(counts, Counts { calls: 3, failed: 1, slow: 1 });
    });
}

#[test]
fn a_ring_that_is_full_forgets_one_for_each_that_comes() {
    ::loom::model(|| {
        let counts = after_both(Window::Count { size: 1 }, Outcome::FAILURE, Outcome::FAILURE);
        assert_eq!(counts, Counts { calls: 1, failed: 0, slow: 0 });
    });
}

#[test]
fn a_bucket_loses_nothing_and_counts_nothing_twice() {
    ::loom::model(|| {
        let counts = after_both(Window::Time { span: Duration::from_secs(1) }, Outcome::FAILURE, SLOW);
        assert_eq!(counts, Counts { calls: 3, failed: 1, slow: 1 });
    });
}
