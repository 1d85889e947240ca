//! Two threads at one limit, in every order.

use super::{By, Limit, Shared};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

fn limit(burst: u32) -> Limit {
    Limit { requests: 1, per: Duration::from_secs(1), burst, by: By::All, shared: false }
}

/// How many of two requests by each of two threads are admitted.
fn admitted(limit: &Limit, own_at: Timestamp, other_at: Timestamp) -> usize {
    let shared = Arc::new(Shared::default());
    let (other, its_limit) = (Arc::clone(&shared), limit.clone());
    let ask = |shared: &Shared, limit: &Limit, at| (0..2).filter(|_| shared.admit(limit, at).is_ok()).count();
    let other = ::loom::thread::spawn(move || ask(&other, &its_limit, other_at));
    let own = ask(&shared, limit, own_at);
    own + other.join().expect("does not panic")
}

#[test]
fn as_many_are_admitted_as_the_burst_whoever_asks_first() {
    ::loom::model(|| {
        let now = Timestamp::from_millis(1_000);
        assert_eq!(admitted(&limit(3), now, now), 3);
    });
}

#[test]
fn a_thread_whose_clock_is_behind_gains_nothing() {
    ::loom::model(|| {
        let (now, later) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        // At most the burst, and one more for the second in between.
        assert!((1..=2).contains(&admitted(&limit(1), now, later)));
    });
}
