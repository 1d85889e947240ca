//! `grpc-timeout` and Tenon's own: what is written is read, and never longer than it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::deadline::{GrpcTimeout, MillisTimeout};

fuzz_target!(|text: &str| {
    if let Ok(timeout) = text.parse::<GrpcTimeout>() {
        let again: GrpcTimeout = timeout.to_string().parse().expect("what is written is read");
        assert!(again.0 <= timeout.0);
    }
    if let Ok(timeout) = text.parse::<MillisTimeout>() {
        assert!(u128::from(timeout.as_millis()) <= timeout.0.as_millis().max(1));
    }
});
