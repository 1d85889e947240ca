use super::*;
use proptest::prelude::*;

#[test]
fn prints_rfc_3339() {
    assert_eq!(Timestamp::ZERO.to_string(), "1970-01-01T00:00:00.000000Z");
    assert_eq!(Timestamp::from_micros(951_782_400_000_250).to_string(), "2000-02-29T00:00:00.000250Z");
    assert_eq!(Timestamp::from_millis(1_772_366_399_999).to_string(), "2026-03-01T11:59:59.999000Z");
}

proptest! {
    #[test]
    fn moving_later_and_measuring_are_inverse(start in 0..u64::MAX / 2, span in 0..u64::MAX / 4) {
        let start = Timestamp::from_micros(start);
        let span = Duration::from_micros(span);
        prop_assert_eq!(start.after(span).since(start), span);
        prop_assert_eq!(start.since(start.after(span)), Duration::ZERO);
    }

    #[test]
    fn printed_times_sort_as_times_do(a in 0..4_000_000_000_000_000u64, b in 0..4_000_000_000_000_000u64) {
        let (a, b) = (Timestamp::from_micros(a), Timestamp::from_micros(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }
}
