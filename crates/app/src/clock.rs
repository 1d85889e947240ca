//! The one place where the program asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};
use tenon_core::Timestamp;

/// The present time, UTC.
pub(crate) fn now() -> Timestamp {
    // A clock before 1970 is not worth an error path: times then start at the epoch.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
