use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn limit(requests: u32, per_ms: u64, burst: u32) -> Limit {
    Limit { requests, per: Duration::from_millis(per_ms), burst, by: By::All, shared: false }
}

fn any_limit() -> impl Strategy<Value = Limit> {
    (1..2_000_u32, 1..5_000_u64, 1..50_u32).prop_map(|(requests, per, burst)| limit(requests, per, burst))
}

proptest! {
    #[test]
    fn over_any_time_no_more_are_admitted_than_burst_and_rate(
        limit in any_limit(),
        gaps in vec(prop_oneof![Just(0_u64), 0..2_000_u64, 0..3_000_000_u64], 1..150),
    ) {
        let (mut due, mut now, mut admitted) = (0, 1_000_000_u64, Vec::new());
        for gap in gaps {
            now += gap;
            let (next, answer) = step(due, &limit, Timestamp::from_micros(now));
            if answer.is_ok() {
                admitted.push(now);
            } else {
                prop_assert_eq!(next, due, "a refusal changes nothing");
            }
            due = next;
        }
        for (from, first) in admitted.iter().enumerate() {
            for (to, last) in admitted.iter().enumerate().skip(from) {
                let by_rate = u128::from(last - first) * 1_000 * u128::from(limit.requests) / limit.per.as_nanos();
                prop_assert!((to - from + 1) as u128 <= u128::from(limit.burst) + by_rate);
            }
        }
    }

    #[test]
    fn data_planes_that_share_a_limit_keep_to_it_together(
        limit in any_limit(),
        planes in 1..6_usize,
        requests in vec((0..6_usize, prop_oneof![Just(0_u64), 0..200_000_u64]), 1..200),
    ) {
        let part = Limit { shared: true, ..limit.clone() }.part(planes as u32);
        let (mut due, mut now, mut admitted) = (vec![0; planes], 1_000_000_u64, Vec::new());
        for (plane, gap) in requests {
            now += gap;
            let due = &mut due[plane % planes];
            let (next, answer) = step(*due, &part, Timestamp::from_micros(now));
            *due = next;
            if answer.is_ok() {
                admitted.push(now);
            }
        }
        let most_at_once = u128::from(limit.burst).max(planes as u128);
        for (from, first) in admitted.iter().enumerate() {
            for (to, last) in admitted.iter().enumerate().skip(from) {
                // Each plane's part is rounded down to whole requests, so their sum is at most this.
                let by_rate = u128::from(last - first) * 1_000 * u128::from(limit.requests) / limit.per.as_nanos();
                prop_assert!((to - from + 1) as u128 <= most_at_once + by_rate);
            }
        }
    }

    #[test]
    fn a_limit_that_is_not_shared_is_whole_everywhere(limit in any_limit(), planes in 0..9_u32) {
        prop_assert_eq!(limit.part(planes), limit);
    }

    #[test]
    fn whoever_keeps_to_the_rate_is_never_refused(limit in any_limit(), count in 1..100_u64) {
        let mut due = 0;
        for number in 0..count {
            let now = Timestamp::from_micros(number * limit.interval().div_ceil(1_000));
            let (next, answer) = step(due, &limit, now);
            prop_assert!(answer.is_ok());
            due = next;
        }
    }

    #[test]
    fn what_is_said_to_be_left_is_left(limit in any_limit(), before in 0..60_u32) {
        let mut due = 0;
        for _ in 0..before {
            due = step(due, &limit, Timestamp::ZERO).0;
        }
        if let (mut due, Ok(admitted)) = step(due, &limit, Timestamp::ZERO) {
            for _ in 0..admitted.left {
                let (next, answer) = step(due, &limit, Timestamp::ZERO);
                prop_assert!(answer.is_ok());
                due = next;
            }
            prop_assert!(step(due, &limit, Timestamp::ZERO).1.is_err());
        }
    }

    #[test]
    fn those_who_share_a_place_are_never_admitted_more_than_one_would_be(
        limit in any_limit(),
        requests in vec((any::<u64>(), 0..100_000_u64), 1..100),
    ) {
        let (shared, alone) = (Table::new(1), Shared::default());
        let mut now = 0;
        for (key, gap) in requests {
            now += gap;
            let at = Timestamp::from_micros(now);
            prop_assert_eq!(shared.admit(key, &limit, at), alone.admit(&limit, at));
        }
    }
}

#[test]
fn a_burst_is_admitted_at_once_and_then_one_each_interval() {
    let (limit, shared) = (limit(10, 1_000, 3), Shared::default());
    let at = |millis| shared.admit(&limit, Timestamp::from_millis(millis));
    assert_eq!([at(0), at(0), at(0)].map(|it| it.map(|it| it.left)), [Ok(2), Ok(1), Ok(0)]);
    assert_eq!(at(0), Err(Exceeded { retry_after: Duration::from_millis(100) }));
    assert_eq!(at(99), Err(Exceeded { retry_after: Duration::from_millis(1) }));
    assert!(at(100).is_ok());
    assert!(at(101).is_err());
    assert_eq!(at(10_000).map(|it| it.left), Ok(2));
}

#[test]
fn threads_at_once_are_admitted_as_many_as_the_burst() {
    let (limit, shared) = (limit(1, 60_000, 5), Shared::default());
    let admitted: usize = std::thread::scope(|scope| {
        let admit = || (0..10).filter(|_| shared.admit(&limit, Timestamp::ZERO).is_ok()).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(admit)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 5);
}

#[test]
fn callers_in_a_table_are_counted_apart() {
    let (limit, table) = (limit(1, 1_000, 1), Table::new(Table::PLACES));
    assert!(table.admit(1, &limit, Timestamp::ZERO).is_ok());
    assert!(table.admit(1, &limit, Timestamp::ZERO).is_err());
    assert!(table.admit(u64::MAX, &limit, Timestamp::ZERO).is_ok());
}
