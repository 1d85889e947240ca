//! SPIFFE ids, as certificates show them: one that is accepted is spelled in one way only.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::identity::SpiffeId;

fuzz_target!(|text: &str| {
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.to_string(), text);
    }
});
