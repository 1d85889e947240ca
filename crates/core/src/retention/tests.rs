use super::*;
use proptest::prelude::*;

fn log(parts: &[(u64, u64)]) -> Vec<Stretch> {
    let (mut last, mut time) = (0, 0);
    parts
        .iter()
        .map(|(span, bytes)| {
            last += span + 1;
            time += span;
            Stretch { last: Position(last), time: Timestamp::from_micros(time), bytes: *bytes }
        })
        .collect()
}

fn of(micros: Option<u64>, bytes: Option<u64>) -> Retention {
    Retention { age: micros.map(Duration::from_micros), bytes }
}

#[test]
fn by_default_nothing_is_forgotten() {
    let stretches = log(&[(10, 100), (10, 100)]);
    assert_eq!(Retention::default().mark(&stretches, Timestamp::from_micros(1 << 60)), None);
    assert_eq!(of(Some(0), Some(0)).mark(&[], Timestamp::from_micros(1 << 60)), None);
}

#[test]
fn what_is_older_than_stated_is_forgotten_and_so_is_what_is_too_much() {
    let stretches = log(&[(10, 100), (10, 100), (10, 100)]);
    let now = Timestamp::from_micros(25);
    assert_eq!(of(Some(10), None).mark(&stretches, now), Some(Position(12)));
    assert_eq!(of(None, Some(250)).mark(&stretches, now), Some(Position(12)));
    assert_eq!(of(Some(10), Some(100)).mark(&stretches, now), Some(Position(23)));
    assert_eq!(of(Some(10), Some(0)).mark(&stretches, now), Some(Position(34)));
}

proptest! {
    /// What is kept is a tail; what is forgotten is too old or too much; what is kept by age is kept unless it is too
    /// much; and deciding again on what is left forgets nothing more.
    #[test]
    fn the_mark_is_the_least_that_keeps_within_the_bounds(
        parts in proptest::collection::vec((0_u64..100, 0_u64..100), 0..20),
        age in proptest::option::of(0_u64..500),
        bytes in proptest::option::of(0_u64..1_000),
        now in 0_u64..2_000,
    ) {
        let (stretches, retention, now) = (log(&parts), of(age, bytes), Timestamp::from_micros(now));
        let mark = retention.mark(&stretches, now).unwrap_or(Position(1));
        let (gone, kept): (Vec<Stretch>, Vec<Stretch>) = stretches.iter().partition(|it| it.last < mark);
        prop_assert!(gone.last().map_or(mark.0 == 1, |last| last.last.0 + 1 == mark.0));
        let total = |stretches: &[Stretch]| stretches.iter().map(|it| it.bytes).sum::<u64>();
        prop_assert!(bytes.is_none_or(|most| kept.is_empty() || total(&kept) <= most));
        if let Some(last) = gone.last() {
            let old = age.is_some_and(|age| last.time.after(Duration::from_micros(age)) < now);
            let much = bytes.is_some_and(|most| total(&kept) + last.bytes > most);
            prop_assert!(old || much);
        }
        prop_assert_eq!(retention.mark(&kept, now), None);
    }
}
