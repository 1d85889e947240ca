use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_written_is_read_back(micros in 0..253_402_300_800_000_000_u64) {
        let time = Timestamp::from_micros(micros);
        prop_assert_eq!(parse(&time.to_string()), Ok(time));
    }

    #[test]
    fn no_text_panics(text in "[0-9TZ:.+ é-]{0,40}") {
        let _ = parse(&text);
    }
}

#[test]
fn offsets_fractions_and_leap_days_count() {
    let micros = |text| parse(text).unwrap().as_micros();
    assert_eq!(micros("1970-01-01T00:00:00Z"), 0);
    assert_eq!(micros("1970-01-01T02:30:00+02:30"), 0);
    assert_eq!(micros("1969-12-31T23:00:00.5-01:00"), 500_000);
    assert_eq!(micros("2000-02-29t12:00:00.1234567z"), 951_825_600_123_456);
    assert_eq!(micros("2016-12-31T23:59:60Z"), micros("2017-01-01T00:00:00Z"));
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-03-01T24:00:00Z",
        "2026-03-01T12:00:00.Z",
        "2026-03-01T12:00:00Z ",
        "1969-12-31T23:59:59Z",
        "+026-03-01T12:00:00Z",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}
