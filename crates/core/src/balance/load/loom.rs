//! Two threads that measure one endpoint, in every order.

use super::{Measured, Shared};
use crate::time::Timestamp;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_millis(5);

#[test]
fn no_failure_is_lost() {
    ::loom::model(|| {
        let shared = Arc::new(Shared::default());
        let other = Arc::clone(&shared);
        let other = ::loom::thread::spawn(move || other.add(Measured::More(1), NOW));
        shared.add(Measured::More(1), NOW);
        other.join().expect("does not panic");
        assert_eq!(shared.now(NOW), Some(2));
    });
}

#[test]
fn the_slower_of_two_answers_counts_whichever_comes_last() {
    ::loom::model(|| {
        let shared = Arc::new(Shared::default());
        let other = Arc::clone(&shared);
        let other = ::loom::thread::spawn(move || other.add(Measured::Peak(900), NOW));
        shared.add(Measured::Peak(100), NOW);
        other.join().expect("does not panic");
        assert_eq!(shared.now(NOW), Some(900));
    });
}
