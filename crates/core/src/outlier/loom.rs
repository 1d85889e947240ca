//! Two threads that eject at once, in every order.

use super::{Config, Shared, eject};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_millis(1);

#[test]
fn two_threads_together_eject_no_more_than_one_of_two() {
    ::loom::model(|| {
        let both = Arc::new([Shared::new(), Shared::new()]);
        let other = Arc::clone(&both);
        let other = ::loom::thread::spawn(move || eject(&other.iter(), &other[1], &Config::default(), NOW));
        let own = eject(&both.iter(), &both[0], &Config::default(), NOW);
        let told = [own, other.join().expect("does not panic")];
        let out = [both[0].is_ejected(NOW), both[1].is_ejected(NOW)];
        assert_eq!(told, out, "who is told that it ejected has");
        assert!(!(out[0] && out[1]));
    });
}

#[test]
fn no_failure_is_lost() {
    ::loom::model(|| {
        let config = Config { consecutive_failures: 2, ..Config::default() };
        let shared = Arc::new(Shared::new());
        let fail =
            |shared: &Shared, config: &Config| shared.failed(config, true, Duration::ZERO, NOW).is_some();
        let (other, own) = (Arc::clone(&shared), config.clone());
        let other = ::loom::thread::spawn(move || fail(&other, &own));
        let suspect = [fail(&shared, &config), other.join().expect("does not panic")];
        assert_eq!(suspect.iter().filter(|it| **it).count(), 1);
        assert_eq!(shared.take().failures, 2);
    });
}
