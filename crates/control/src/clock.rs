//! The time, for machines that are told it.
//!
//! One origin in UTC, then the monotonic clock: what machines see never goes backwards, whatever the machine's
//! wall clock does. Times that the log's store assigned move it forward, so that nothing recorded lies in the
//! future. Under a paused tokio clock it stands still with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tenon_core::Timestamp;
use tokio::time::Instant;

/// A clock that never goes backwards. Clones are one clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    origin: Timestamp,
    started: Instant,
    /// Microseconds by which it was moved forward.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// A clock set by the machine's.
    pub(crate) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Timestamp::ZERO.after(wall), started: Instant::now(), ahead: Arc::default() }
    }

    /// Microseconds of UTC.
    pub(crate) fn now(&self) -> Timestamp {
        self.unmoved().after(self.ahead())
    }

    /// When this clock will show `at`; at once if that has passed.
    pub(crate) fn instant_of(&self, at: Timestamp) -> Instant {
        let since_start = at.since(self.origin.after(self.ahead()));
        // A year is as good as never, and far from what an `Instant` can hold.
        self.started + since_start.min(Duration::from_secs(365 * 24 * 3_600))
    }

    /// Moves it forward to `time`, if that is later.
    pub(crate) fn observe(&self, time: Timestamp) {
        let micros = time.since(self.unmoved()).as_micros();
        self.ahead.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn unmoved(&self) -> Timestamp {
        self.origin.after(self.started.elapsed())
    }

    fn ahead(&self) -> Duration {
        Duration::from_micros(self.ahead.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_moves_with_the_monotonic_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(before), Duration::from_secs(3));
        assert_eq!(clock.instant_of(clock.now()), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_never_behind_what_it_has_seen() {
        let clock = Clock::start();
        let ahead = clock.now().after(Duration::from_secs(60));
        clock.observe(ahead);
        assert_eq!(clock.now(), ahead);
        clock.observe(Timestamp::ZERO);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), ahead.after(Duration::from_secs(1)));
        assert_eq!(clock.instant_of(clock.now()), Instant::now());
    }
}
