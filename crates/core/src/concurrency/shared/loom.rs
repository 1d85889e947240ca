//! Two threads whose tries end when a window does, in every interleaving.

use super::super::Config;
use super::{Ordering, STEPPING, Shared};
use crate::time::Timestamp;
use std::time::Duration;

#[test]
fn one_thread_takes_the_step_and_nothing_is_lost() {
    ::loom::model(|| {
        let shared = ::loom::sync::Arc::new(Shared::default());
        let config = Config::default();
        let record = move |shared: &Shared| {
            shared.record(&config, (Duration::from_millis(1), false), 3, Timestamp::from_millis(5), 0);
        };
        let other = {
            let shared = ::loom::sync::Arc::clone(&shared);
            ::loom::thread::spawn(move || record(&shared))
        };
        record(&shared);
        other.join().unwrap();
        assert_eq!(shared.ended.load(Ordering::Relaxed), 2);
        assert_ne!(shared.until.load(Ordering::Relaxed), STEPPING);
        assert_eq!(shared.limit(&config), 20);
    });
}
