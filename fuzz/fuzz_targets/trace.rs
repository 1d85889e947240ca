//! `traceparent` and `tracestate`: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::trace::{Parent, is_state};

fuzz_target!(|bytes: &[u8]| {
    if let Some(parent) = Parent::parse(bytes) {
        assert!(parent.trace != 0 && parent.span != 0);
        assert_eq!(Parent::parse(&parent.to_bytes()), Some(parent));
    }
    let values: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let joined = values.join(&b',');
    assert_eq!(is_state(values), is_state([&joined[..]]));
});
