//! A path's one spelling is its own, and leads nowhere else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::path::normalise;

fuzz_target!(|text: &str| {
    let path = format!("/{text}");
    let Ok(spelled) = normalise(&path) else { return };
    let once = spelled.unwrap_or(path);
    assert!(once.starts_with('/'));
    assert_eq!(normalise(&once), Ok(None), "{once}");
    assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")), "{once}");
});
