//! Two threads at one limit, in every order.

use super::Shared;
use std::sync::Arc;

#[test]
fn never_more_are_let_in_than_the_limit_and_every_slot_comes_back() {
    ::loom::model(|| {
        let shared = Shared::new();
        let other = Arc::clone(&shared);
        let other = ::loom::thread::spawn(move || other.admit(1).ok());
        let own = shared.admit(1).ok();
        let other = other.join().expect("does not panic");
        assert_eq!((own.is_some() ^ other.is_some(), shared.in_flight()), (true, 1));
        drop((own, other));
        assert_eq!(shared.in_flight(), 0);
    });
}

#[test]
fn a_slot_that_is_given_back_meanwhile_is_not_counted_twice() {
    ::loom::model(|| {
        let shared = Shared::new();
        let first = shared.admit(2).expect("a slot is free");
        let other = Arc::clone(&shared);
        let other = ::loom::thread::spawn(move || other.admit(2).ok());
        drop(first);
        let other = other.join().expect("does not panic");
        assert!(other.is_some());
        assert_eq!(shared.in_flight(), 1);
    });
}
