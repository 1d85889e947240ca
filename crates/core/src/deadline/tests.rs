use super::*;
use proptest::prelude::*;

fn spans() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (0..2_000_000u64).prop_map(Duration::from_nanos),
        (0..200_000_000u64).prop_map(Duration::from_micros),
        any::<u64>().prop_map(Duration::from_nanos),
        (0..40_000_000_000u64).prop_map(Duration::from_millis),
        (any::<u64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
    ]
}

proptest! {
    #[test]
    fn a_written_grpc_timeout_is_short_and_never_longer_than_what_it_stands_for(span in spans()) {
        let text = GrpcTimeout(span).to_string();
        prop_assert!(text.len() <= 9, "{}", text);
        let read = text.parse::<GrpcTimeout>().expect("what is written can be read").0;
        prop_assert!(read <= span);
        // 8 digits of the next unit, at most 1,000 times as coarse: the loss is below one part in 10^5.
        let capped = span >= Duration::from_secs(99_999_999 * 3_600);
        prop_assert!(capped || span - read <= span / 100_000, "{:?} became {:?}", span, read);
    }

    #[test]
    fn a_written_timeout_loses_less_than_a_millisecond(span in spans()) {
        let read = MillisTimeout(span).to_string().parse::<MillisTimeout>().expect("can be read").0;
        prop_assert!(read <= span);
        let capped = span >= Duration::from_millis(MILLIS_MOST);
        prop_assert!(capped || span - read < Duration::from_millis(1));
    }

    #[test]
    fn reading_never_panics_and_accepts_only_the_form(text in "[0-9HMSmun+. -]{0,14}") {
        let grpc = text.parse::<GrpcTimeout>();
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let expected = text.len() <= 9
            && text.char_indices().last().is_some_and(|(at, unit)| "HMSmun".contains(unit) && digits(&text[..at]));
        prop_assert_eq!(grpc.is_ok(), expected);
        prop_assert_eq!(text.parse::<MillisTimeout>().is_ok(), text.len() <= 12 && digits(&text));
    }

    #[test]
    fn a_deadline_only_gets_nearer_from_hop_to_hop(
        first in spans(), hops in prop::collection::vec((0..5_000_000u64, prop::option::of(spans())), 0..8),
    ) {
        let mut now = Timestamp::from_millis(1);
        let mut deadline = Deadline::earliest(now, [Some(first)]).expect("a time-out was given");
        for (spent, own) in hops {
            now = now.after(Duration::from_micros(spent));
            let header = MillisTimeout(deadline.remaining(now)).to_string();
            let told = header.parse::<MillisTimeout>().expect("can be read").0;
            let next = Deadline::earliest(now, [own, Some(told)]).expect("a time-out was given");
            prop_assert!(next <= deadline || deadline.has_passed(now));
            prop_assert!(own.is_none_or(|own| next.remaining(now) <= own));
            deadline = next;
        }
    }
}

#[test]
fn without_a_timeout_there_is_no_deadline() {
    assert_eq!(Deadline::earliest(Timestamp::ZERO, [None, None]), None);
}

#[test]
fn a_try_gets_what_remains_and_no_more_than_its_own_timeout() {
    let start = Timestamp::from_millis(0);
    let deadline = Deadline::earliest(start, [Some(Duration::from_secs(3))]).expect("given");
    let later = Timestamp::from_millis(2_500);
    assert_eq!(deadline.for_try(Some(Duration::from_secs(1)), start), Duration::from_secs(1));
    assert_eq!(deadline.for_try(Some(Duration::from_secs(1)), later), Duration::from_millis(500));
    assert_eq!(deadline.for_try(None, Timestamp::from_millis(9_000)), Duration::ZERO);
    assert!(deadline.has_passed(Timestamp::from_millis(3_000)));
}

#[test]
fn grpc_timeouts_are_read_in_every_unit() {
    let read = |text: &str| text.parse::<GrpcTimeout>().expect("well-formed").0;
    assert_eq!(read("2H"), Duration::from_secs(7_200));
    assert_eq!(read("3M"), Duration::from_secs(180));
    assert_eq!(read("4S"), Duration::from_secs(4));
    assert_eq!(read("5m"), Duration::from_millis(5));
    assert_eq!(read("6u"), Duration::from_micros(6));
    assert_eq!(read("7n"), Duration::from_nanos(7));
    assert_eq!(read("99999999H"), Duration::from_secs(99_999_999 * 3_600));
}

#[test]
fn a_grpc_timeout_is_written_in_the_finest_unit_that_fits() {
    assert_eq!(GrpcTimeout(Duration::from_millis(20)).to_string(), "20000000n");
    assert_eq!(GrpcTimeout(Duration::from_secs(30)).to_string(), "30000000u");
    assert_eq!(GrpcTimeout(Duration::MAX).to_string(), "99999999H");
}
