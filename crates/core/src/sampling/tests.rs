use super::*;
use proptest::prelude::*;

fn ratio() -> impl Strategy<Value = Ratio> {
    (0..=1_000_000_u32).prop_map(|millionths| Ratio::of_millionths(millionths).unwrap())
}

#[test]
fn all_are_kept_at_one_and_none_at_zero() {
    for trace in [0, 1, u128::from(RANDOM), u128::MAX] {
        assert!(head(trace, None, Ratio::ALL));
        assert!(!head(trace, None, Ratio::NONE));
    }
}

#[test]
fn as_many_are_kept_as_the_ratio_says() {
    let quarter = Ratio::of_millionths(250_000).unwrap();
    let kept = (0..=255_u128).filter(|top| head(top << 48, None, quarter)).count();
    assert_eq!(kept, 64);
}

#[test]
fn what_failed_or_was_slow_is_kept_in_any_case() {
    let slow = Duration::from_millis(500);
    assert!(tail(true, Duration::ZERO, slow));
    assert!(tail(false, slow, slow));
    assert!(!tail(false, slow - Duration::from_micros(1), slow));
}

proptest! {
    #[test]
    fn a_parents_decision_holds(trace: u128, parent: bool, ratio in ratio()) {
        prop_assert_eq!(head(trace, Some(parent), ratio), parent);
    }

    #[test]
    fn a_smaller_ratio_keeps_a_subset(trace: u128, one in ratio(), other in ratio()) {
        let (less, more) = (one.min(other), one.max(other));
        prop_assert!(!head(trace, None, less) || head(trace, None, more));
    }

    #[test]
    fn only_the_random_bits_count(trace: u128, beyond: u128, ratio in ratio()) {
        let other = (trace & u128::from(RANDOM)) | (beyond & !u128::from(RANDOM));
        prop_assert_eq!(head(trace, None, ratio), head(other, None, ratio));
    }
}
