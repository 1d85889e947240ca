//! The data plane's clock: Unix time when the process started, plus what a monotonic clock says since. So it never goes
//! back, as the machines of `core` want it, and reads as the time of day in what people see.

use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tenon_core::Timestamp;

/// A clock. Copies agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    origin_time: Timestamp,
}

impl Clock {
    /// A clock that is set by the system's.
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_time: Timestamp::ZERO.after(since_epoch) }
    }

    /// The present time.
    pub(crate) fn now(&self) -> Timestamp {
        self.origin_time.after(self.origin.elapsed())
    }
}
