//! The laws of breakers that look at rates, and of modes.

use super::*;
use crate::breaker::{Breaker, Window};

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::Consecutive),
        (1..8u32).prop_map(|size| Window::Count { size }),
        (10..200u64).prop_map(|span| Window::Time { span: Duration::from_millis(span) }),
    ]
}

fn rated() -> impl Strategy<Value = Config> {
    let modes = prop_oneof![4 => Just(Mode::Automatic), 1 => proptest::sample::select(&Mode::ALL[..])];
    (configs(), windows(), 1..6u32, 1..=100u32, prop::option::of(1..=100u32), modes).prop_map(
        |(config, window, minimum_calls, failure_rate_percent, slow, mode)| Config {
            window,
            mode,
            minimum_calls,
            failure_rate_percent,
            slow_call: slow
                .map(|rate_percent| SlowCall { longer_than: Duration::from_millis(10), rate_percent }),
            ..config
        },
    )
}

fn outcomes() -> impl Strategy<Value = Vec<(u64, Act, bool)>> {
    acts().prop_flat_map(|acts| {
        let count = acts.len();
        (Just(acts), prop::collection::vec(any::<bool>(), count)).prop_map(|(acts, slow)| {
            acts.into_iter().zip(slow).map(|((wait, act), slow)| (wait, act, slow)).collect()
        })
    })
}

proptest! {
    #[test]
    fn a_shared_breaker_does_what_the_machine_does_with_every_window(config in rated(), acts in outcomes()) {
        let shared = Shared::with(config.window);
        let mut breaker = Breaker::new(config.window);
        let mut permits: Vec<Permit> = Vec::new();
        let mut now = at(1);
        for (wait, act, slow) in acts {
            now = now.after(Duration::from_micros(wait));
            let mut take = |number: usize| {
                let count = permits.len();
                (count > 0).then(|| permits.swap_remove(number % count))
            };
            let ended = match act {
                Act::Admit => {
                    let output = breaker.admit(&config, now);
                    match shared.admit(&config, now) {
                        Ok((permit, transition)) => {
                            prop_assert_eq!(admitted(output), permit.0);
                            prop_assert_eq!(output.transition, transition);
                            permits.push(permit);
                        }
                        Err(refused) => prop_assert_eq!(output.answer, Answer::Refused(refused)),
                    }
                    None
                }
                Act::Succeed(number) => take(number).map(|permit| (permit, false)),
                Act::Fail(number) => take(number).map(|permit| (permit, true)),
                Act::Abandon(number) => {
                    if let Some(permit) = take(number) {
                        breaker.abandon(permit.0, &config, now);
                        shared.abandon(permit, &config, now);
                    }
                    None
                }
                Act::Lose(number) => { take(number); None }
            };
            if let Some((permit, failed)) = ended {
                let outcome = Outcome { failed, slow };
                let expected = breaker.end(permit.0, outcome, &config, now);
                prop_assert_eq!(shared.record(permit, outcome, &config, now), expected);
            }
            prop_assert_eq!(shared.state(), breaker.state);
        }
    }

    #[test]
    fn it_opens_if_and_only_if_a_rate_of_enough_calls_is_reached(
        size in 1..=100u32, minimum in 1..=120u32, rate in 1..=100u32, failures in prop::collection::vec(any::<bool>(), 1..300),
    ) {
        let window = Window::Count { size };
        let config = Config { window, minimum_calls: minimum, failure_rate_percent: rate, ..Config::default() };
        let mut breaker = Breaker::new(window);
        for (number, failed) in failures.iter().enumerate() {
            let generation = admitted(breaker.admit(&config, at(1)));
            let output = breaker.end(generation, Outcome { failed: *failed, slow: false }, &config, at(1));
            let recent = &failures[(number + 1).saturating_sub(size as usize)..=number];
            let bad = recent.iter().filter(|failed| **failed).count();
            let reached = recent.len() >= minimum.min(size) as usize && bad * 100 >= rate as usize * recent.len();
            prop_assert_eq!(output.transition == Some(Transition::Opened), reached);
            if reached {
                break;
            }
        }
    }

    #[test]
    fn permitted_calls_decide_by_their_rate(permitted in 1..=31u32, rate in 1..=100u32, fails in 0..=31u32) {
        let config = Config {
            window: Window::Count { size: 1 },
            failure_rate_percent: rate,
            permitted_half_open_calls: permitted,
            ..Config::default()
        };
        let mut breaker = Breaker { state: State::Open { generation: Generation(1) }, recent: Recent::Nothing };
        let generations: Vec<_> =
            (0..permitted).map(|_| admitted(breaker.admit(&config, at(100_000)))).collect();
        let refused = matches!(breaker.admit(&config, at(100_000)).answer, Answer::Refused(_));
        prop_assert!(refused);
        for (number, generation) in generations.into_iter().enumerate() {
            let failed = (number as u32) < fails;
            breaker.end(generation, Outcome { failed, slow: false }, &config, at(100_000));
        }
        let opens = fails.min(permitted) * 100 >= rate * permitted;
        let (open, closed) =
            (matches!(breaker.state, State::Open { .. }), matches!(breaker.state, State::Closed { .. }));
        prop_assert_eq!((open, closed), (opens, !opens));
    }

    #[test]
    fn a_disabled_breaker_admits_all_and_changes_nothing_and_a_forced_one_admits_none(
        config in rated(), word: u64, now: u64,
    ) {
        let state = State::unpack(word);
        let now = Timestamp::from_micros(now >> 20);
        let (same, output) = step(state, &Config { mode: Mode::Disabled, ..config.clone() }, Input::Admit, now);
        prop_assert_eq!((same, admitted(output)), (state, Generation::NONE));
        let (same, output) = step(state, &Config { mode: Mode::ForcedOpen, ..config.clone() }, Input::Admit, now);
        prop_assert_eq!(same, state);
        prop_assert!(matches!(output.answer, Answer::Refused(_)));
        let (closed, output) = step(state, &Config { mode: Mode::MetricsOnly, ..config }, Input::Admit, now);
        let is_closed = matches!(closed, State::Closed { .. });
        prop_assert!(is_closed);
        admitted(output);
    }

    #[test]
    fn a_set_of_outcomes_holds_what_it_was_given(
        statuses in prop::collection::btree_set(400..600u16, 0..20), grpc in prop::collection::btree_set(0..32u8, 0..8),
    ) {
        let set = Outcomes::of(statuses.iter().copied(), grpc.iter().copied());
        prop_assert_eq!(set.statuses().collect::<BTreeSet<_>>(), statuses);
        prop_assert_eq!(set.grpc_statuses().collect::<BTreeSet<_>>(), grpc);
    }
}

#[test]
fn calls_that_only_count_never_open_it_and_say_when_they_would() {
    let config = Config { mode: Mode::MetricsOnly, failure_threshold: 2, ..Config::default() };
    let mut breaker = Breaker::new(Window::Consecutive);
    let said: Vec<_> = (0..3)
        .map(|_| {
            let generation = admitted(breaker.admit(&config, at(1)));
            breaker.end(generation, Outcome::FAILURE, &config, at(1)).exceeded
        })
        .collect();
    assert_eq!(said, [None, Some(Exceeded::FailuresInARow), Some(Exceeded::FailuresInARow)]);
    assert!(matches!(breaker.state, State::Closed { .. }));
}

#[test]
fn a_window_of_time_forgets_what_is_older_and_begins_anew_with_each_generation() {
    let window = Window::Time { span: Duration::from_secs(10) };
    let config = Config { window, minimum_calls: 2, failure_rate_percent: 60, ..Config::default() };
    let mut breaker = Breaker::new(window);
    let mut fail = |millis: u64| {
        let generation = admitted(breaker.admit(&config, at(millis)));
        breaker.end(generation, Outcome::FAILURE, &config, at(millis)).transition
    };
    assert_eq!([fail(500), fail(10_600)], [None, None], "the first is out of sight");
    assert_eq!(fail(11_000), Some(Transition::Opened));
}

#[test]
fn slow_calls_open_it_too() {
    let slow_call = Some(SlowCall { longer_than: Duration::from_millis(100), rate_percent: 50 });
    let window = Window::Count { size: 4 };
    let config = Config { window, minimum_calls: 4, slow_call, ..Config::default() };
    let mut breaker = Breaker::new(window);
    let outputs = [300, 50, 50, 101].map(|took| {
        let generation = admitted(breaker.admit(&config, at(1)));
        breaker.end(generation, config.outcome(false, Duration::from_millis(took)), &config, at(1)).exceeded
    });
    assert_eq!(outputs, [None, None, None, Some(Exceeded::SlowCallRate)]);
}

#[test]
fn what_is_ignored_is_neither_success_nor_failure() {
    let ignored = Outcomes::of([503], [14]).and(false, true);
    let config = Config { ignored, ..Config::default() };
    assert_eq!(
        [200, 404, 500, 501, 503].map(|status| config.judge(status, None)),
        [Verdict::Succeeded, Verdict::Succeeded, Verdict::Failed, Verdict::Succeeded, Verdict::Ignored,]
    );
    assert_eq!(
        [0, 5, 13, 14].map(|status| config.judge(200, Some(status))),
        [Verdict::Succeeded, Verdict::Succeeded, Verdict::Failed, Verdict::Ignored,]
    );
    assert_eq!((config.judge_network(), config.judge_timeout()), (Verdict::Failed, Verdict::Ignored));
}

#[test]
fn a_service_fails_by_server_errors_and_by_grpc_statuses_like_them() {
    let judge = |status, grpc| Config::default().judge(status, grpc);
    for status in [500, 502, 503, 504, 599] {
        assert_eq!(judge(status, None), Verdict::Failed, "{status}");
    }
    for status in [200, 204, 304, 400, 404, 409, 429, 499, 501] {
        assert_eq!(judge(status, None), Verdict::Succeeded, "{status}");
    }
    for grpc in 0..=16 {
        let failed = matches!(grpc, 4 | 13 | 14 | 15);
        assert_eq!(judge(200, Some(grpc)) == Verdict::Failed, failed, "{grpc}");
    }
}
