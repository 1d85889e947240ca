use super::*;
use crate::fixtures::millis;
use crate::time::Timestamp;
use proptest::prelude::*;

fn feed(
    state: State,
    config: &Config,
    inputs: &[Input],
    every: Duration,
    from: Timestamp,
) -> (State, Timestamp) {
    inputs.iter().fold((state, from), |(state, now), input| {
        let now = now.after(every);
        (step(&state, config, *input, now, 0).0, now)
    })
}

fn healthy() -> State {
    State::new(Status::Healthy, Timestamp::ZERO)
}

const FAILED: Input = Input::Failed(Failure::Network);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_success_makes_a_new_instance_healthy() {
    let state = State::new(Status::Unknown, Timestamp::ZERO);
    let (state, output) = step(&state, &Config::default(), Input::Passed, millis(50), 0);
    assert_eq!(state.status(), Status::Healthy);
    assert_eq!(output.transition, Some(Transition { from: Status::Unknown, to: Status::Healthy }));
}

#[test]
fn a_new_instance_is_checked_every_50_ms_and_may_fail_while_it_starts() {
    let config = Config::default();
    let mut state = State::new(Status::Unknown, Timestamp::ZERO);
    assert_eq!(next_check_at(&state, &config), Some(Timestamp::ZERO));
    for turn in 0..100 {
        let now = millis(50 * turn);
        assert_eq!(next_check_at(&state, &config), Some(now));
        state = step(&state, &config, FAILED, now, u64::MAX).0;
        assert_eq!(state.status(), Status::Unknown);
    }
}

#[test]
fn an_instance_that_never_starts_becomes_unhealthy_and_is_checked_less_often() {
    let config = Config::default();
    let state = State::new(Status::Unknown, Timestamp::ZERO);
    let late = Timestamp::ZERO.after(STARTING_GRACE);
    let (state, output) = step(&state, &config, FAILED, late, u64::MAX / 2);
    assert_eq!(output.transition, Some(Transition { from: Status::Unknown, to: Status::Unhealthy }));
    assert!(next_check_at(&state, &config).unwrap().since(late) >= STALLED_INTERVAL * 9 / 10);
    let (state, _) = step(&state, &config, Input::Passed, late.after(SECOND), 0);
    assert_eq!(state.status(), Status::Healthy, "one success still suffices");
}

#[test]
fn three_failures_in_a_row_make_a_healthy_instance_unhealthy() {
    let config = Config::default();
    let (state, now) =
        feed(healthy(), &config, &[FAILED, FAILED, Input::Passed, FAILED, FAILED], SECOND, Timestamp::ZERO);
    assert_eq!(state.status(), Status::Healthy, "a success begins the count anew");
    let (state, output) = step(&state, &config, FAILED, now, 0);
    assert_eq!(state.status(), Status::Unhealthy);
    assert!(output.transition.is_some());
}

#[test]
fn two_successes_in_a_row_make_it_healthy_again() {
    let config = Config::default();
    let (state, now) = feed(healthy(), &config, &[FAILED; 3], SECOND, Timestamp::ZERO);
    let (state, now) = feed(state, &config, &[Input::Passed, FAILED, Input::Passed], SECOND, now);
    assert_eq!(state.status(), Status::Unhealthy);
    assert_eq!(step(&state, &config, Input::Passed, now, 0).0.status(), Status::Healthy);
}

#[test]
fn the_end_of_its_process_is_immediate_and_final() {
    let config = Config::default();
    let (state, output) = step(&healthy(), &config, Input::ProcessExited, millis(1), 0);
    assert_eq!(output.transition, Some(Transition { from: Status::Healthy, to: Status::Unhealthy }));
    assert_eq!(next_check_at(&state, &config), None);
    let (state, _) = feed(state, &config, &[Input::Passed, Input::Heartbeat], SECOND, millis(1));
    assert_eq!(state.status(), Status::Unhealthy);
}

#[test]
fn a_heartbeat_holds_for_its_ttl() {
    let config = Config { check: Check::Ttl { ttl: SECOND }, ..Config::default() };
    let state = State::new(Status::Unknown, Timestamp::ZERO);
    assert_eq!(next_check_at(&state, &config), None);
    let (state, _) = step(&state, &config, Input::Heartbeat, millis(500), 0);
    assert_eq!(state.status(), Status::Healthy);
    assert_eq!(next_tick_at(&state, &config), Some(millis(1_500)));
    assert_eq!(step(&state, &config, Input::Tick, millis(1_499), 0).0.status(), Status::Healthy);
    let (state, _) = step(&state, &config, Input::Tick, millis(1_500), 0);
    assert_eq!(state.status(), Status::Unhealthy);
    assert_eq!(step(&state, &config, Input::Heartbeat, millis(1_600), 0).0.status(), Status::Healthy);
}

#[test]
fn a_server_that_starts_grants_every_ttl_in_full() {
    let config = Config { check: Check::Ttl { ttl: SECOND }, ..Config::default() };
    let started = millis(1_000_000);
    let state = State::new(Status::Healthy, started);
    assert_eq!(next_tick_at(&state, &config), Some(started.after(SECOND)));
    assert_eq!(step(&state, &config, Input::Tick, started, 0).0.status(), Status::Healthy);
}

#[test]
fn what_is_unhealthy_for_too_long_is_to_be_deregistered() {
    let config = Config { deregister_after: Some(SECOND), ..Config::default() };
    let state = State::new(Status::Unhealthy, Timestamp::ZERO);
    assert_eq!(next_tick_at(&state, &config), Some(millis(1_000)));
    assert!(!step(&state, &config, Input::Tick, millis(999), 0).1.deregister);
    assert!(step(&state, &config, Input::Tick, millis(1_000), 0).1.deregister);
    let patient = Config::default();
    assert_eq!(next_tick_at(&state, &patient), None);
    assert!(!step(&state, &patient, Input::Tick, millis(1_000_000), 0).1.deregister);
}

#[test]
fn evidence_is_cut_at_the_border_of_a_character() {
    let evidence = Evidence::new("GET /health", &"ä".repeat(Evidence::MAX_TEXT), SECOND);
    assert_eq!(evidence.answer.len(), Evidence::MAX_TEXT);
    let odd = Evidence::new("GET /health", &format!("x{}", "ä".repeat(Evidence::MAX_TEXT)), SECOND);
    assert_eq!(odd.answer.len(), Evidence::MAX_TEXT - 1);
    assert_eq!(Evidence::new("heartbeat", "none", SECOND).to_string(), "heartbeat: none after 1000 ms");
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        4 => Just(Input::Passed),
        4 => Just(FAILED),
        1 => Just(Input::Failed(Failure::Timeout)),
        1 => Just(Input::ProcessExited),
        1 => Just(Input::Heartbeat),
        2 => Just(Input::Tick),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    let check =
        prop_oneof![Just(Check::Tcp), (1..5u64).prop_map(|it| Check::Ttl { ttl: SECOND * it as u32 })];
    (check, 0..6u32, 0..6u32, proptest::option::of(0..10u64)).prop_map(|(check, down, up, after)| Config {
        check,
        unhealthy_threshold: down,
        healthy_threshold: up,
        deregister_after: after.map(Duration::from_secs),
        ..Config::default()
    })
}

proptest! {
    #[test]
    fn transitions_tell_exactly_how_the_status_changes(
        config in config(),
        inputs in proptest::collection::vec((input(), 0..2_000u64, any::<u64>()), 0..60),
    ) {
        let mut state = State::new(Status::Unknown, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        for (input, passed, jitter) in inputs {
            now = now.after(Duration::from_millis(passed));
            let (next, output) = step(&state, &config, input, now, jitter);
            let changed = (next.status() != state.status())
                .then(|| Transition { from: state.status(), to: next.status() });
            prop_assert_eq!(output.transition, changed);
            prop_assert!(!output.deregister || next.status() == Status::Unhealthy);
            prop_assert!(next.status() != Status::Unknown || state.status() == Status::Unknown);
            state = next;
        }
    }

    #[test]
    fn a_check_follows_within_a_tenth_of_the_interval(interval in 1..100_000u64, jitter: u64) {
        let config = Config { interval: Duration::from_millis(interval), ..Config::default() };
        let (state, _) = step(&healthy(), &config, Input::Passed, Timestamp::ZERO, jitter);
        let waits = next_check_at(&state, &config).unwrap().since(Timestamp::ZERO);
        prop_assert!(waits >= config.interval * 9 / 10 && waits <= config.interval * 11 / 10);
    }

    #[test]
    fn a_tick_when_it_is_due_changes_something_and_none_before(
        config in config(),
        inputs in proptest::collection::vec((input(), 0..2_000u64), 0..30),
    ) {
        let mut state = State::new(Status::Unknown, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        for (input, passed) in inputs {
            now = now.after(Duration::from_millis(passed));
            state = step(&state, &config, input, now, 0).0;
        }
        let ticked = |at| step(&state, &config, Input::Tick, at, 0).1;
        match next_tick_at(&state, &config) {
            None => prop_assert_eq!(ticked(now.after(SECOND * 1_000)), Output::default()),
            Some(due) => {
                prop_assert_ne!(ticked(due.max(now)), Output::default());
                if due > now {
                    let before = Timestamp::from_micros(due.as_micros() - 1);
                    prop_assert_eq!(ticked(before), Output::default());
                }
            }
        }
    }
}

#[test]
fn an_instance_that_flaps_is_held_back_until_it_has_been_quiet() {
    let config = Config { unhealthy_threshold: 1, healthy_threshold: 1, ..Config::default() };
    let mut state = healthy();
    let mut now = Timestamp::ZERO;
    for turn in 1..=4 {
        now = now.after(SECOND);
        let (next, output) = step(&state, &config, FAILED, now, 0);
        assert_eq!((next.status(), output.held), (Status::Unhealthy, turn == 4));
        now = now.after(SECOND);
        state = step(&next, &config, Input::Passed, now, 0).0;
        assert_eq!(state.status() == Status::Healthy, turn < 4, "turn {turn}");
    }
    let (state, output) = step(&state, &config, Input::Heartbeat, now, 0);
    assert_eq!((state.status(), output.transition), (Status::Unhealthy, None), "whatever it says itself");
    let (state, output) = step(&state, &config, Input::Passed, now.after(config.damping * 2), 0);
    assert_eq!(state.status(), Status::Healthy);
    assert!(output.transition.is_some());
}
