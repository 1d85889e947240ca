//! Two threads at one breaker, in every order.

use super::{Config, Outcome, Shared, State, Transition};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

fn config() -> Config {
    Config { failure_threshold: 2, permitted_half_open_calls: 1, ..Config::default() }
}

const EARLY: Timestamp = Timestamp::from_millis(1);
const LATE: Timestamp = Timestamp::from_millis(100_000);

/// What both threads answer who do this at once.
fn both<T: 'static>(breaker: &Arc<Shared>, act: fn(&Shared) -> T) -> [T; 2] {
    let other = Arc::clone(breaker);
    let other = ::loom::thread::spawn(move || act(&other));
    let own = act(breaker);
    [own, other.join().expect("does not panic")]
}

fn fails(breaker: &Shared, now: Timestamp) -> Option<Transition> {
    let (permit, _) = breaker.admit(&config(), now).ok()?;
    breaker.record(permit, Outcome::FAILURE, &config(), now).transition
}

#[test]
fn no_failure_is_lost_and_one_thread_is_told_that_it_opened() {
    ::loom::model(|| {
        let breaker = Arc::new(Shared::new());
        let told = both(&breaker, |breaker| fails(breaker, EARLY));
        assert_eq!(told.into_iter().flatten().collect::<Vec<_>>(), [Transition::Opened]);
        assert!(matches!(breaker.state(), State::Open { .. }));
    });
}

#[test]
fn one_probe_passes_at_a_time() {
    ::loom::model(|| {
        let breaker = Arc::new(Shared::new());
        assert_eq!((fails(&breaker, EARLY), fails(&breaker, EARLY)), (None, Some(Transition::Opened)));
        let permits = both(&breaker, |breaker| breaker.admit(&config(), LATE).ok());
        let mut permits = permits.into_iter().flatten();
        let (permit, transition) = permits.next().expect("somebody is admitted");
        assert!(permits.next().is_none());
        assert_eq!(transition, Some(Transition::HalfOpened));
        breaker.abandon(permit, &config(), LATE);
        assert!(breaker.admit(&config(), LATE.after(Duration::from_millis(1))).is_ok());
    });
}
