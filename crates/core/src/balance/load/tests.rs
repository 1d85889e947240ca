use super::*;
use crate::fixtures::millis;
use proptest::prelude::*;

fn after(load: Load, measures: &[(u64, Measured)]) -> Load {
    measures.iter().fold(load, |load, (at, measured)| step(load, *measured, millis(*at)))
}

fn measured() -> impl Strategy<Value = Measured> {
    let value = prop_oneof![0..100_000_u64, any::<u64>()];
    (0..3, value).prop_map(|(which, value)| match which {
        0 => Measured::Peak(value),
        1 => Measured::Mean(value),
        _ => Measured::More(value),
    })
}

proptest! {
    #[test]
    fn a_word_holds_all_of_it(measures in prop::collection::vec((any::<u64>(), measured()), 0..20)) {
        let mut load = Load::default();
        for (at, measured) in measures {
            load = step(load, measured, Timestamp::from_micros(at));
            prop_assert!(load.value <= MOST && load.at < TICKS);
            prop_assert_eq!(Load::unpack(load.pack()), load);
        }
    }

    #[test]
    fn fading_never_rises(value in 0..=MOST, age in 0..TICKS - 1) {
        prop_assert!(faded(value, age) <= value);
        prop_assert!(faded(value, age + 1) <= faded(value, age));
    }

    #[test]
    fn a_peak_is_between_what_was_and_what_is(first in 1..1_000_000_u64, second in 1..1_000_000_u64, later in 0..100_000_u64) {
        let load = after(Load::default(), &[(0, Measured::Peak(first)), (later, Measured::Peak(second))]);
        let value = load.now(millis(later)).expect("something was measured");
        // In the ticks in which no lower value is taken in, the old one fades a little.
        let least = first.min(second) * 99 / 100;
        prop_assert!(value >= least && value <= first.max(second) + 1, "{}", value);
    }
}

#[test]
fn a_slow_answer_counts_at_once_and_a_quick_one_gradually() {
    let load = after(Load::default(), &[(0, Measured::Peak(1_000)), (10, Measured::Peak(50_000))]);
    assert_eq!(load.now(millis(10)), Some(50_000));
    let load = step(load, Measured::Peak(1_000), millis(5_010));
    let value = load.now(millis(5_010)).unwrap();
    assert!((25_000..26_500).contains(&value), "half of the way after 5 s: {value}");
}

#[test]
fn many_quick_answers_bring_it_down_however_close_they_come() {
    let mut load = step(Load::default(), Measured::Peak(50_000), millis(0));
    for at in 0..600_000_u64 {
        load = step(load, Measured::Peak(1_000), Timestamp::from_micros(100 * at));
    }
    let value = load.now(millis(60_000)).unwrap();
    assert!((1_000..1_050).contains(&value), "{value}");
}

#[test]
fn failures_add_up_and_fade() {
    let load =
        after(Load::default(), &[(0, Measured::More(1)), (0, Measured::More(1)), (1, Measured::More(1))]);
    assert_eq!(load.now(millis(1)), Some(3));
    let later = load.now(millis(10_000)).unwrap();
    assert_eq!(later, 1, "a quarter of three, rounded up");
    assert_eq!(load.now(millis(300_000)), Some(0));
}

#[test]
fn a_thread_whose_time_is_behind_does_no_harm() {
    let load = after(Load::default(), &[(1_000, Measured::Peak(500)), (900, Measured::Peak(400))]);
    assert_eq!(load.now(millis(800)), Some(500));
}

#[test]
fn threads_share_a_load() {
    let shared = Shared::default();
    assert_eq!(shared.now(millis(5)), None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..250).for_each(|_| shared.add(Measured::More(1), millis(5))));
        }
    });
    assert_eq!(shared.now(millis(5)), Some(1_000));
}
