use super::*;
use proptest::prelude::*;

#[test]
fn the_preface_is_http2_and_nothing_shorter_is() {
    assert_eq!(judge(PREFACE), Some(Protocol::Http2));
    assert!((0..PREFACE.len()).all(|length| judge(&PREFACE[..length]).is_none()));
}

proptest! {
    #[test]
    fn what_has_shown_stays(bytes in "(PRI \\* HTTP/[12]|GET|CONNECT|[A-Z-]{0,22})? ?[/*hHx]?.{0,8}") {
        let bytes = bytes.as_bytes();
        let whole = judge(bytes);
        for length in 0..bytes.len() {
            if let Some(shown) = judge(&bytes[..length]) {
                prop_assert_eq!(Some(shown), whole, "{:?}", &bytes[..length]);
            }
        }
    }
}
