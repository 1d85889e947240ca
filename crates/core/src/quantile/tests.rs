use super::*;
use proptest::prelude::*;

/// Numbers that look random (Knuth's constants).
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |it| {
        Some(it.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    })
    .map(|it| it >> 33)
}

proptest! {
    #[test]
    fn it_rests_where_that_share_of_the_values_lies_below(
        seed: u64, percent in prop_oneof![Just(50u32), Just(90), Just(95)], scale in 10..1_000u64,
    ) {
        let mut state = State::default();
        let mut sum = 0;
        for (count, number) in numbers(seed).take(8_000).enumerate() {
            state = step(state, percent, Duration::from_micros(number % (100 * scale)));
            if count >= 4_000 {
                sum += state.estimate().unwrap().as_micros() as u64;
            }
        }
        // Values are spread evenly below `100 * scale`.
        let (mean, wanted) = (sum / 4_000, u64::from(percent) * scale);
        prop_assert!(mean.abs_diff(wanted) <= wanted / 6, "{mean} for {wanted}");
    }

    #[test]
    fn any_value_is_taken_and_the_word_holds_it(values in prop::collection::vec(any::<u64>(), 1..300), percent: u32) {
        let (mut state, shared) = (State::default(), Shared::default());
        for value in values {
            state = step(state, percent, Duration::from_micros(value));
            shared.record(percent, Duration::from_micros(value));
            prop_assert_eq!(State::unpack(state.pack()), state);
        }
        prop_assert_eq!(shared.estimate(), state.estimate());
    }
}

#[test]
fn nothing_is_told_until_there_are_enough_values() {
    let shared = Shared::default();
    for _ in 1..ENOUGH {
        shared.record(95, Duration::from_millis(3));
        assert_eq!(shared.estimate(), None);
    }
    shared.record(95, Duration::from_millis(3));
    assert_eq!(shared.estimate(), Some(Duration::from_millis(3)));
}
