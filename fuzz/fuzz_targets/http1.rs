//! The strict scanner: it judges any bytes, and how they are cut makes no difference.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tenon_core::http1::{Limits, Scanner, Step};

/// What passes, and whether the rest is refused.
fn follow(bytes: &[u8], piece: usize) -> (usize, bool) {
    let mut scanner = Scanner::new(Limits { head: 400, line: 100, fields: 8 });
    let (mut passed, mut shown) = (0, 0);
    while shown < bytes.len() {
        shown = bytes.len().min(shown.saturating_add(piece));
        while passed < shown {
            match scanner.scan(&bytes[passed..shown]) {
                Ok(Step::Head(count) | Step::Body(count)) => {
                    assert!(count > 0 && count <= shown - passed);
                    passed += count;
                }
                Ok(Step::More) => break,
                Ok(Step::Wait) => scanner.answered(bytes[passed] & 1 == 0),
                Ok(Step::Other) => passed = shown,
                Err(violation) => {
                    assert_eq!(scanner.scan(b"x"), Err(violation));
                    return (passed, true);
                }
            }
        }
    }
    (passed, false)
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let (whole, cut) = (follow(bytes, usize::MAX), follow(bytes, usize::from(piece).max(1)));
    assert_eq!(whole.1, cut.1);
    if !whole.1 {
        assert_eq!(whole.0, cut.0);
    }
});
