//! `Retry-After` and gRPC's pushback: whatever they say, a time comes of it or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::Timestamp;
use tenon_core::priority::Priority;
use tenon_core::retry::after::{pushback, retry_after};

fuzz_target!(|input: (u64, &str)| {
    let (now, text) = input;
    let _ = retry_after(text, Timestamp::from_millis(now));
    let _ = pushback(text);
    if let Some(priority) = Priority::parse(text) {
        assert_eq!(Priority::parse(priority.as_str()), Some(priority));
    }
});
