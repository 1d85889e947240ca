//! Which protocol a connection speaks: what has shown stays, and shows within the length of HTTP/2's preface or a
//! method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::detect::judge;

fuzz_target!(|bytes: &[u8]| {
    let whole = judge(bytes);
    assert!(whole.is_some() || bytes.len() < 24);
    for length in 0..bytes.len().min(40) {
        if let Some(shown) = judge(&bytes[..length]) {
            assert_eq!(Some(shown), whole);
        }
    }
});
