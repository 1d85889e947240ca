use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn only_success_acknowledges_and_only_too_much_to_do_sets_the_wait(
        status in 100..600_u16,
        seconds in proptest::option::of(0..100_u64),
    ) {
        let wait = seconds.map(Duration::from_secs);
        match judge(status, wait) {
            Verdict::Acked => prop_assert!((200..300).contains(&status)),
            Verdict::Refused(Some(asked)) => {
                prop_assert!([429, 503].contains(&status) && Some(asked) == wait);
            }
            Verdict::Refused(None) => {
                prop_assert!(wait.is_none() || ![200, 429, 503].contains(&status));
            }
        }
    }
}
