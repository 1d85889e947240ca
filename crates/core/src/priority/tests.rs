use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_higher_priority_is_admitted_wherever_a_lower_one_is(
        sheddable: u32, default: u32, limit: u32, in_flight: u32, low in 0..3usize, high in 0..3usize,
    ) {
        let rules = Rules { calls: Priority::Default, sheddable, default };
        let (low, high) = (low.min(high), low.max(high));
        let admits = |at: usize| in_flight < rules.share(limit, Priority::ALL[at]);
        prop_assert!(!admits(low) || admits(high));
    }

    #[test]
    fn the_limit_is_kept_and_nobody_is_shut_out_of_it(
        sheddable: u32, default: u32, limit: u32, at in 0..3usize,
    ) {
        let rules = Rules { calls: Priority::Default, sheddable, default };
        let share = rules.share(limit, Priority::ALL[at]);
        prop_assert!(share <= limit);
        prop_assert_eq!(share == 0, limit == 0);
    }
}

#[test]
fn the_defaults_keep_the_whole_limit_for_calls_that_say_nothing() {
    let rules = Rules::default();
    assert_eq!(rules.share(100, rules.calls), 100);
    assert_eq!(rules.share(100, Priority::Sheddable), 70);
}

#[test]
fn names_are_read_as_they_are_written() {
    for priority in Priority::ALL {
        assert_eq!(Priority::parse(priority.as_str()), Some(priority));
    }
    assert_eq!(Priority::parse("CRITICAL"), None);
}
