use super::*;
use proptest::prelude::*;

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::NeverProcessed),
        Just(Outcome::Reset),
        Just(Outcome::TimedOut),
        prop_oneof![Just(200), Just(404), Just(500), Just(502), Just(503), Just(504)]
            .prop_map(Outcome::Status),
        (0..17u8).prop_map(Outcome::GrpcStatus),
    ]
}

fn advice() -> impl Strategy<Value = Advice> {
    prop_oneof![
        3 => Just(Advice::Nothing),
        1 => Just(Advice::Never),
        1 => (0..3_000u64).prop_map(|millis| Advice::After(Duration::from_millis(millis))),
    ]
}

fn tries() -> impl Strategy<Value = Tried> {
    let remaining = prop::option::of((0..3_000u64).prop_map(Duration::from_millis));
    let told = (prop::bool::weighted(0.2), advice());
    (outcomes(), any::<bool>(), prop::bool::weighted(0.9), told, remaining, any::<u64>()).prop_map(
        |(outcome, idempotent, replayable, (repetition, advice), remaining, random)| Tried {
            outcome,
            idempotent,
            replayable,
            repetition,
            advice,
            remaining,
            random,
        },
    )
}

fn policies() -> impl Strategy<Value = Policy> {
    let span = || prop_oneof![(0..2_000u64).prop_map(Duration::from_millis), Just(Duration::MAX)];
    let delay = prop_oneof![
        span().prop_map(Delay::Fixed),
        (span(), span()).prop_map(|(base, increment)| Delay::Linear { base, increment }),
        (span(), any::<u32>()).prop_map(|(base, factor)| Delay::Exponential { base, factor }),
    ];
    let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Decorrelated)];
    (0..5u32, delay, jitter, span(), any::<bool>()).prop_map(
        |(max_retries, delay, jitter, max_delay, non_idempotent)| Policy {
            max_retries,
            delay,
            jitter,
            max_delay,
            non_idempotent,
            ..Policy::default()
        },
    )
}

/// A try that the default policy retries.
fn failed() -> Tried {
    Tried {
        outcome: Outcome::Status(503),
        idempotent: true,
        replayable: true,
        repetition: false,
        advice: Advice::Nothing,
        remaining: None,
        random: u64::MAX,
    }
}

fn decide(policy: &Policy, tried: Tried) -> Decision {
    step(Attempts::new(), policy, Input::Tried(tried)).1
}

fn gives_up(reason: Reason) -> Decision {
    Decision::GiveUp { reason }
}

proptest! {
    #[test]
    fn there_are_at_most_as_many_tries_as_retries_and_one(
        policy in policies(), tries in prop::collection::vec(tries(), 1..12),
    ) {
        let mut attempts = Attempts::new();
        let mut made = 0;
        for tried in tries {
            made += 1;
            let (next, decision) = step(attempts, &policy, Input::Tried(tried));
            attempts = next;
            prop_assert_eq!(attempts.ended(), made);
            if matches!(decision, Decision::GiveUp { .. }) {
                break;
            }
        }
        prop_assert!(made <= policy.max_retries + 1);
    }

    #[test]
    fn what_may_have_been_processed_is_repeated_only_if_that_is_safe(policy in policies(), tried in tries()) {
        if let Decision::Retry { .. } = decide(&policy, tried) {
            let never = tried.outcome == Outcome::NeverProcessed;
            prop_assert!(tried.idempotent || policy.non_idempotent || never);
            prop_assert!(tried.replayable);
        }
    }

    #[test]
    fn a_retry_comes_within_the_longest_delay_and_before_the_deadline(policy in policies(), tried in tries()) {
        if let Decision::Retry { after } = decide(&policy, tried) {
            prop_assert!(after <= policy.max_delay);
            prop_assert!(tried.remaining.is_none_or(|remaining| after < remaining));
        }
    }

    #[test]
    fn what_is_given_up_stays_given_up(policy in policies(), tried in tries(), more in tries()) {
        let (state, decision) = step(Attempts::new(), &policy, Input::Tried(tried));
        if let Decision::GiveUp { .. } = decision {
            prop_assert_eq!(step(state, &policy, Input::Tried(more)), (state, decision));
            prop_assert_eq!(step(state, &policy, Input::BudgetSpent), (state, decision));
        }
    }

    #[test]
    fn full_jitter_reaches_from_nothing_to_the_whole_delay(policy in policies(), number in 1..6u32, random: u64) {
        let whole = Policy { jitter: Jitter::None, ..policy.clone() }.delay_before(number, Duration::ZERO, random);
        let policy = Policy { jitter: Jitter::Full, ..policy };
        prop_assert!(policy.delay_before(number, Duration::ZERO, random) <= whole);
        prop_assert_eq!(policy.delay_before(number, Duration::ZERO, 0), Duration::ZERO);
        // Spans beyond what a 64-bit count of microseconds holds are cut to that.
        let longest = Duration::from_micros(u64::MAX - 1).min(whole);
        let lost = longest.saturating_sub(policy.delay_before(number, Duration::ZERO, u64::MAX));
        prop_assert!(lost <= Duration::from_micros(1));
    }

    #[test]
    fn decorrelated_jitter_reaches_from_the_base_to_three_times_the_wait_before(
        policy in policies(), number in 1..6u32, waited in 0..5_000u64, random: u64,
    ) {
        let policy = Policy { jitter: Jitter::Decorrelated, ..policy };
        let waited = Duration::from_millis(waited);
        let base = policy.delay.before(1).min(policy.max_delay);
        let delay = policy.delay_before(number, waited, random);
        prop_assert!(delay >= base && delay <= policy.max_delay);
        prop_assert!(delay <= base.max(waited.max(base).saturating_mul(3)));
        prop_assert_eq!(policy.delay_before(number, waited, 0), base);
    }

    #[test]
    fn who_says_when_to_come_back_is_not_asked_before(policy in policies(), tried in tries()) {
        if let (Decision::Retry { after }, Advice::After(asked)) = (decide(&policy, tried), tried.advice) {
            prop_assert!(after >= asked);
        }
        let deaf = Policy { retry_after: false, ..policy };
        if let Advice::After(_) = tried.advice {
            let untold = Tried { advice: Advice::Nothing, ..tried };
            prop_assert_eq!(decide(&deaf, tried), decide(&deaf, untold));
        }
    }

    #[test]
    fn the_budget_is_asked_only_for_retries(policy in policies(), tried in tries(), left: bool) {
        let mut asked = 0;
        let mut attempts = Attempts::new();
        let decision = attempts.after_try(&policy, tried, || { asked += 1; left });
        let expected = decide(&policy, tried);
        prop_assert_eq!(asked, u32::from(matches!(expected, Decision::Retry { .. })));
        let spent = asked > 0 && !left;
        prop_assert_eq!(decision, if spent { gives_up(Reason::BudgetSpent) } else { expected });
    }
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let policy = Policy::default();
    assert_eq!(policy.max_retries, 3);
    for status in [502, 503, 504] {
        assert!(policy.retry_on.includes(Outcome::Status(status)));
    }
    for status in [200, 404, 429, 500, 501] {
        assert!(!policy.retry_on.includes(Outcome::Status(status)));
    }
    assert!(policy.retry_on.includes(Outcome::GrpcStatus(14)));
    assert!(!policy.retry_on.includes(Outcome::GrpcStatus(13)));
}

#[test]
fn delays_grow_as_their_kind_says() {
    let millis = Duration::from_millis;
    let delays = |delay| {
        let policy = Policy { delay, jitter: Jitter::None, ..Policy::default() };
        [1, 2, 3, 4].map(|number| policy.delay_before(number, Duration::ZERO, 0))
    };
    assert_eq!(delays(Delay::Fixed(millis(7))), [7, 7, 7, 7].map(millis));
    assert_eq!(delays(Delay::Linear { base: millis(5), increment: millis(2) }), [5, 7, 9, 11].map(millis));
    let exponential = Delay::Exponential { base: millis(200), factor: 2 };
    assert_eq!(delays(exponential), [200, 400, 800, 1_000].map(millis));
}

#[test]
fn each_reason_to_give_up_is_named() {
    let policy = Policy::default();
    let with = |change: fn(&mut Tried)| {
        let mut tried = failed();
        change(&mut tried);
        decide(&policy, tried)
    };
    assert_eq!(with(|it| it.outcome = Outcome::Status(200)), gives_up(Reason::Final));
    assert_eq!(with(|it| it.idempotent = false), gives_up(Reason::NotIdempotent));
    assert_eq!(with(|it| it.replayable = false), gives_up(Reason::NotReplayable));
    let near = with(|it| it.remaining = Some(Duration::from_millis(25)));
    assert_eq!(near, gives_up(Reason::DeadlineNear));
    assert_eq!(with(|it| it.repetition = true), gives_up(Reason::Repetition));
    assert_eq!(with(|it| it.advice = Advice::Never), gives_up(Reason::SpentBelow));
    let long = with(|it| it.advice = Advice::After(Duration::from_millis(1_001)));
    assert_eq!(long, gives_up(Reason::AskedToWait));
    let none = Policy { max_retries: 0, ..policy };
    assert_eq!(decide(&none, failed()), gives_up(Reason::RetriesExhausted));
}

#[test]
fn a_post_that_was_never_processed_is_tried_again() {
    let tried = Tried { outcome: Outcome::NeverProcessed, idempotent: false, ..failed() };
    assert!(matches!(decide(&Policy::default(), tried), Decision::Retry { .. }));
}

#[test]
fn methods_are_idempotent_as_the_standard_has_it() {
    assert!(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].iter().all(|it| is_idempotent(it)));
    assert!(!["POST", "PATCH", "CONNECT", "get", ""].iter().any(|it| is_idempotent(it)));
}
