//! Where a log gets its time.

use std::sync::Arc;
use std::time::SystemTime;
use tenon_core::Timestamp;

/// Answers the present time, UTC. It need not be monotonic: a log never goes back in time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The machine's clock, UTC.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp::ZERO.after(since)
    })
}
