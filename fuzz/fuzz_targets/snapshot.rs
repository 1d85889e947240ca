//! A data plane's stored snapshot: what is read is written and read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_api::snapshot::Stored;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(stored) = Stored::from_bytes(bytes) {
        let again = Stored::from_bytes(&stored.to_bytes()).expect("what is written is read");
        assert_eq!(again, stored);
    }
});
