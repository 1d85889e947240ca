use super::*;
use proptest::prelude::*;

/// What happens at a service: calls of one step, in any order, each of which would succeed or not.
fn calls() -> impl Strategy<Value = Vec<(Ask, bool)>> {
    let ask = prop_oneof![3 => (0..3u32).prop_map(Ask::Do), 1 => Just(Ask::Undo)];
    prop::collection::vec((ask, any::<bool>()), 0..12)
}

proptest! {
    #[test]
    fn a_step_takes_effect_once_and_is_undone_once(calls in calls()) {
        let (mut record, mut done, mut undone) = (Record::Nothing, 0, 0);
        for (ask, succeeds) in calls {
            let ran = arrive(record, ask) == Verdict::Run && succeeds;
            match ask {
                Ask::Do(_) => done += u32::from(ran),
                Ask::Undo => undone += u32::from(ran),
            }
            record = settle(record, ask, succeeds);
            prop_assert!(done <= 1 && undone <= done);
            prop_assert_eq!(record == Record::Done, done > undone);
        }
    }

    #[test]
    fn nothing_is_done_after_it_was_undone(calls in calls(), late in calls()) {
        let heard = calls.into_iter().fold(Record::Nothing, |record, (ask, ok)| settle(record, ask, ok));
        let mut record = settle(heard, Ask::Undo, true);
        prop_assert_eq!(record, Record::Undone);
        for (ask, succeeds) in late {
            prop_assert_ne!(arrive(record, ask), Verdict::Run);
            record = settle(record, ask, succeeds);
        }
    }

    #[test]
    fn a_repeat_is_answered_as_before(calls in calls(), round in 0..3u32, succeeds in any::<bool>(), again in any::<bool>()) {
        let record = calls.into_iter().fold(Record::Nothing, |record, (ask, ok)| settle(record, ask, ok));
        let first = arrive(record, Ask::Do(round));
        let settled = settle(record, Ask::Do(round), succeeds);
        let second = arrive(settled, Ask::Do(round));
        let expected = match (first, succeeds) {
            (Verdict::Run, true) => Verdict::Repeat,
            (Verdict::Run, false) => Verdict::RepeatRefusal,
            (other, _) => other,
        };
        prop_assert_eq!(second, expected);
        prop_assert_eq!(settle(settled, Ask::Do(round), again), settled);
    }
}

#[test]
fn a_refused_step_may_be_tried_under_a_new_key() {
    let refused = settle(Record::Nothing, Ask::Do(0), false);
    assert_eq!(arrive(refused, Ask::Do(0)), Verdict::RepeatRefusal);
    assert_eq!(arrive(refused, Ask::Do(1)), Verdict::Run);
    let refused = settle(refused, Ask::Do(1), false);
    assert_eq!(arrive(refused, Ask::Do(0)), Verdict::RepeatRefusal, "the old key stays refused");
}

#[test]
fn undoing_that_fails_is_tried_again() {
    let record = settle(Record::Done, Ask::Undo, false);
    assert_eq!(arrive(record, Ask::Undo), Verdict::Run);
}
