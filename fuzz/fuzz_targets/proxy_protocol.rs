//! The PROXY protocol's header: what is read of some bytes is read of more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::proxy_protocol::parse;

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    for length in 0..bytes.len().min(80) {
        match parse(&bytes[..length]) {
            Ok(None) => {}
            judged => assert_eq!(judged, whole),
        }
    }
    if let Ok(Some(header)) = whole {
        assert!(header.length <= bytes.len());
    }
});
