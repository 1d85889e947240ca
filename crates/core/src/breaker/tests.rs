//! The laws that `Breaker.v` proved of an idealised breaker, and those of generations and packing, of the
//! one that runs.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

mod windows;

/// What a caller does next; calls are chosen among those in flight by a number.
#[derive(Debug, Clone, Copy)]
enum Act {
    Admit,
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
    Lose(usize),
}

fn acts() -> impl Strategy<Value = Vec<(u64, Act)>> {
    let act = prop_oneof![
        4 => Just(Act::Admit),
        2 => any::<usize>().prop_map(Act::Succeed),
        3 => any::<usize>().prop_map(Act::Fail),
        1 => any::<usize>().prop_map(Act::Abandon),
        1 => any::<usize>().prop_map(Act::Lose),
    ];
    prop::collection::vec((prop_oneof![Just(0), 0..3_000u64, 0..40_000u64], act), 0..200)
}

fn configs() -> impl Strategy<Value = Config> {
    (1..5u32, 1..20u64, 1..5u32, 1..30u64).prop_map(|(failure_threshold, open, permitted, wait)| Config {
        failure_threshold,
        open_timeout: Duration::from_millis(open),
        permitted_half_open_calls: permitted,
        half_open_max_wait: Duration::from_millis(wait),
        ..Config::default()
    })
}

/// One step as a history saw it.
#[derive(Debug, Clone, Copy)]
struct Seen {
    before: State,
    input: Input,
    now: Timestamp,
    after: State,
    output: Output,
}

/// Everything that happens when callers do this, each call reporting once or never.
fn history(config: &Config, acts: &[(u64, Act)]) -> Vec<Seen> {
    let mut state = State::default();
    let mut calls = Vec::new();
    let mut now = Timestamp::from_micros(1_500);
    let mut seen = Vec::new();
    for (wait, act) in acts {
        now = now.after(Duration::from_micros(*wait));
        let Some(input) = input_of(*act, &mut calls) else { continue };
        let (after, output) = step(state, config, input, now);
        if let Answer::Admitted(generation) = output.answer {
            calls.push(generation);
        }
        seen.push(Seen { before: state, input, now, after, output });
        state = after;
    }
    seen
}

fn input_of(act: Act, calls: &mut Vec<Generation>) -> Option<Input> {
    let mut take = |number: usize| {
        let count = calls.len();
        (count > 0).then(|| calls.remove(number % count))
    };
    match act {
        Act::Admit => Some(Input::Admit),
        Act::Succeed(number) => take(number).map(succeeded),
        Act::Fail(number) => take(number).map(failed),
        Act::Abandon(number) => take(number).map(Input::Abandoned),
        Act::Lose(number) => {
            take(number);
            None
        }
    }
}

fn succeeded(generation: Generation) -> Input {
    Input::Ended(generation, Outcome::SUCCESS, Counts::default())
}

fn failed(generation: Generation) -> Input {
    Input::Ended(generation, Outcome::FAILURE, Counts::default())
}

fn is_success(input: Input) -> bool {
    matches!(input, Input::Ended(_, outcome, _) if !outcome.failed)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A breaker that has just opened after `threshold` failures at a time, and when it may be tried.
fn opened(config: &Config, now: Timestamp) -> State {
    let mut state = State::default();
    for _ in 0..config.failure_threshold {
        state = step(state, config, failed(state.generation()), now).0;
    }
    assert!(matches!(state, State::Open { .. }));
    state
}

fn admitted(output: Output) -> Generation {
    match output.answer {
        Answer::Admitted(generation) => generation,
        other => panic!("expected to be admitted, got {other:?}"),
    }
}

proptest! {
    #[test]
    fn counts_stay_within_their_bounds(config in configs(), acts in acts()) {
        for seen in history(&config, &acts) {
            match seen.after {
                State::Closed { failures, .. } => prop_assert!(failures < config.failure_threshold),
                State::Open { .. } => {}
                State::HalfOpen { in_flight, ended, .. } => {
                    prop_assert!(in_flight + ended <= config.permitted_half_open_calls);
                    prop_assert!(ended < config.permitted_half_open_calls);
                }
            }
        }
    }

    #[test]
    fn nothing_is_admitted_until_the_open_timeout_has_passed(config in configs(), acts in acts()) {
        let mut opened_at = None;
        for seen in history(&config, &acts) {
            let admitted = matches!(seen.output.answer, Answer::Admitted(_));
            if let Some(opened_at) = opened_at {
                let protected = seen.now.since(opened_at) < config.open_timeout;
                prop_assert!(!(protected && admitted), "admitted {:?} after opening", seen.now.since(opened_at));
                prop_assert!(!protected || seen.after == seen.before, "an open breaker changed early");
            }
            match seen.output.transition {
                Some(Transition::Opened) => opened_at = Some(seen.now),
                Some(_) => opened_at = None,
                None => {}
            }
        }
    }

    #[test]
    fn consecutive_failures_trip_it_whatever_came_before(config in configs(), acts in acts()) {
        let last = history(&config, &acts).last().copied();
        let (mut state, now) = last.map_or((State::default(), at(1)), |seen| (seen.after, seen.now));
        if let State::Closed { generation, failures } = state {
            let needed = config.failure_threshold - failures;
            for number in 1..=needed {
                let (next, output) = step(state, &config, failed(generation), now);
                prop_assert_eq!(output.transition, (number == needed).then_some(Transition::Opened));
                state = next;
            }
            let open = matches!(state, State::Open { .. });
            prop_assert!(open);
        }
    }

    #[test]
    fn generations_only_increase(config in configs(), acts in acts()) {
        for seen in history(&config, &acts) {
            prop_assert!(seen.after.generation() >= seen.before.generation());
            if seen.output.transition.is_some() {
                prop_assert!(seen.after.generation() > seen.before.generation());
            }
        }
    }

    #[test]
    fn generations_do_not_run_ahead_of_time(config in configs(), acts in acts()) {
        for seen in history(&config, &acts) {
            let ahead = seen.after.generation().began().since(seen.now);
            prop_assert!(ahead < Duration::from_millis(3), "{:?}", ahead);
        }
    }

    #[test]
    fn an_outcome_of_another_generation_changes_nothing(config in configs(), acts in acts(), other in 0..100u64) {
        for seen in history(&config, &acts) {
            let generation = Generation(other);
            if generation == seen.after.generation() {
                continue;
            }
            for input in [succeeded(generation), failed(generation), Input::Abandoned(generation)] {
                prop_assert_eq!(
                    step(seen.after, &config, input, seen.now),
                    (seen.after, Output { answer: Answer::Stale, transition: None, exceeded: None })
                );
            }
        }
    }

    #[test]
    fn a_refused_call_is_admitted_when_it_is_told_to_come_back(config in configs(), acts in acts()) {
        for seen in history(&config, &acts) {
            if let Answer::Refused(Refused { retry_after }) = seen.output.answer {
                prop_assert!(retry_after > Duration::ZERO);
                prop_assert_eq!(seen.after, seen.before);
                admitted(step(seen.after, &config, Input::Admit, seen.now.after(retry_after)).1);
            }
        }
    }

    #[test]
    fn it_closes_only_after_all_permitted_calls_succeeded(config in configs(), acts in acts()) {
        let mut succeeded = 0;
        for seen in history(&config, &acts) {
            let half_open = matches!(seen.before, State::HalfOpen { .. });
            if half_open && is_success(seen.input) && seen.output.answer == Answer::Counted {
                succeeded += 1;
            }
            match seen.output.transition {
                Some(Transition::Closed) => prop_assert_eq!(succeeded, config.permitted_half_open_calls),
                Some(Transition::HalfOpened) => succeeded = 0,
                Some(Transition::Opened) | None => {}
            }
        }
    }

    #[test]
    fn a_reached_state_packs_and_unpacks_to_itself(config in configs(), acts in acts()) {
        for seen in history(&config, &acts) {
            prop_assert_eq!(State::unpack(seen.after.pack()), seen.after);
        }
    }

    #[test]
    fn every_state_that_fits_packs_and_unpacks_to_itself(
        which in 0..3, generation in 0..=Generation::MAX, failures in 0..(1u32 << 20),
        counts in any::<[u8; 4]>(),
    ) {
        let generation = Generation(generation);
        let state = match which {
            0 => State::Closed { generation, failures },
            1 => State::Open { generation },
            _ => {
                let [in_flight, ended, failed, slow] = counts.map(|count| u32::from(count) % 32);
                State::HalfOpen { generation, in_flight, ended, failed, slow }
            }
        };
        prop_assert_eq!(State::unpack(state.pack()), state);
    }

    #[test]
    fn any_word_and_any_config_are_stepped_without_a_panic(
        word: u64, threshold: u32, permitted: u32, open: u64, wait: u64, now: u64, which in 0..4usize,
    ) {
        let config = Config {
            failure_threshold: threshold,
            open_timeout: Duration::from_micros(open),
            permitted_half_open_calls: permitted,
            half_open_max_wait: Duration::from_micros(wait),
            ..Config::default()
        };
        let state = State::unpack(word);
        let generation = state.generation();
        let input = [
            Input::Admit, succeeded(generation), failed(generation), Input::Abandoned(generation),
        ][which];
        let (next, _) = step(state, &config, input, Timestamp::from_micros(now));
        prop_assert_eq!(State::unpack(next.pack()), next);
    }

    #[test]
    fn the_shared_breaker_does_what_the_machine_does(config in configs(), acts in acts()) {
        let shared = Shared::new();
        let mut state = State::default();
        let mut permits = Vec::new();
        let mut now = at(1);
        for (wait, act) in acts {
            now = now.after(Duration::from_micros(wait));
            let mut take = |number: usize| {
                let count = permits.len();
                (count > 0).then(|| permits.swap_remove(number % count))
            };
            let input = match act {
                Act::Admit => Some(Input::Admit),
                Act::Succeed(number) => take(number).map(|permit: Permit| {
                    let generation = permit.0;
                    shared.record(permit, Outcome::SUCCESS, &config, now);
                    succeeded(generation)
                }),
                Act::Fail(number) => take(number).map(|permit| {
                    let generation = permit.0;
                    shared.record(permit, Outcome::FAILURE, &config, now);
                    failed(generation)
                }),
                Act::Abandon(number) => take(number).map(|permit| {
                    let generation = permit.0;
                    shared.abandon(permit, &config, now);
                    Input::Abandoned(generation)
                }),
                Act::Lose(number) => { take(number); None }
            };
            let Some(input) = input else { continue };
            let (next, output) = step(state, &config, input, now);
            if input == Input::Admit {
                match shared.admit(&config, now) {
                    Ok((permit, transition)) => {
                        prop_assert_eq!(admitted(output), permit.0);
                        prop_assert_eq!(output.transition, transition);
                        permits.push(permit);
                    }
                    Err(refused) => prop_assert_eq!(output.answer, Answer::Refused(refused)),
                }
            }
            state = next;
            prop_assert_eq!(shared.state(), state);
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::default();
    assert_eq!((config.failure_threshold, config.permitted_half_open_calls), (5, 3));
    assert_eq!(config.open_timeout, Duration::from_secs(60));
}

#[test]
fn a_success_while_closed_forgets_failures() {
    let config = Config::default();
    let mut state = State::default();
    for _ in 0..4 {
        state = step(state, &config, failed(state.generation()), at(1)).0;
    }
    state = step(state, &config, succeeded(state.generation()), at(1)).0;
    assert_eq!(state, State::default());
}

#[test]
fn a_success_while_closed_with_no_failure_changes_nothing() {
    let state = State::default();
    let (next, _) = step(state, &Config::default(), succeeded(state.generation()), at(77));
    assert_eq!(next.pack(), state.pack());
}

#[test]
fn it_opens_half_opens_and_closes() {
    let config = Config::default();
    let mut state = opened(&config, at(1_000));
    let mut now = at(61_000);
    for number in 1..=3 {
        let (next, output) = step(state, &config, Input::Admit, now);
        assert_eq!(output.transition, (number == 1).then_some(Transition::HalfOpened));
        let (next, output) = step(next, &config, succeeded(admitted(output)), now);
        assert_eq!(output.transition, (number == 3).then_some(Transition::Closed));
        (state, now) = (next, now.after(Duration::from_millis(1)));
    }
    assert!(matches!(state, State::Closed { failures: 0, .. }));
}

#[test]
fn a_failed_probe_opens_it_for_a_full_timeout() {
    let config = Config::default();
    let (state, output) = step(opened(&config, at(0)), &config, Input::Admit, at(70_000));
    let (state, output) = step(state, &config, failed(admitted(output)), at(71_000));
    assert_eq!(output.transition, Some(Transition::Opened));
    let (_, output) = step(state, &config, Input::Admit, at(71_001));
    let retry_after = Duration::from_millis(59_999);
    assert_eq!(output.answer, Answer::Refused(Refused { retry_after }));
}

#[test]
fn an_answer_from_before_the_trip_is_no_probe() {
    let config = Config { permitted_half_open_calls: 1, ..Config::default() };
    let old = admitted(step(State::default(), &config, Input::Admit, at(0)).1);
    let (state, output) = step(opened(&config, at(0)), &config, Input::Admit, at(60_001));
    let probe = admitted(output);
    let (state, output) = step(state, &config, succeeded(old), at(60_002));
    assert_eq!(output.answer, Answer::Stale);
    let (state, _) = step(state, &config, failed(old), at(60_002));
    let (state, output) = step(state, &config, succeeded(probe), at(60_003));
    assert_eq!(output.transition, Some(Transition::Closed));
    let (after, _) = step(state, &config, failed(old), at(60_004));
    assert_eq!(after, state);
}

#[test]
fn an_abandoned_probe_gives_its_permit_back() {
    let config = Config { permitted_half_open_calls: 1, ..Config::default() };
    let (state, output) = step(opened(&config, at(0)), &config, Input::Admit, at(60_001));
    let (full, _) = step(state, &config, Input::Admit, at(60_002));
    assert_eq!(full, state);
    let (state, _) = step(state, &config, Input::Abandoned(admitted(output)), at(60_003));
    admitted(step(state, &config, Input::Admit, at(60_003)).1);
}

#[test]
fn lost_permits_are_replaced_after_the_longest_wait_and_keep_what_succeeded() {
    let config = Config { permitted_half_open_calls: 2, ..Config::default() };
    let (state, first) = step(opened(&config, at(0)), &config, Input::Admit, at(60_001));
    let (state, second) = step(state, &config, Input::Admit, at(60_001));
    let (state, _) = step(state, &config, succeeded(admitted(first)), at(60_002));
    assert!(matches!(step(state, &config, Input::Admit, at(120_000)).1.answer, Answer::Refused(_)));
    let (state, third) = step(state, &config, Input::Admit, at(120_001));
    assert_eq!(step(state, &config, succeeded(admitted(second)), at(120_002)).1.answer, Answer::Stale);
    let (_, output) = step(state, &config, succeeded(admitted(third)), at(120_002));
    assert_eq!(output.transition, Some(Transition::Closed));
}

#[test]
fn slow_traffic_closes_it_too() {
    let config = Config::default();
    let mut state = opened(&config, at(0));
    for minute in 2..5 {
        let now = at(minute * 100_000);
        let (next, output) = step(state, &config, Input::Admit, now);
        state = step(next, &config, succeeded(admitted(output)), now).0;
    }
    assert!(matches!(state, State::Closed { .. }));
}

#[test]
fn permitting_fewer_calls_while_half_open_does_not_strand_it() {
    let config = Config::default();
    let (state, output) = step(opened(&config, at(0)), &config, Input::Admit, at(60_001));
    let (state, _) = step(state, &config, succeeded(admitted(output)), at(60_001));
    let fewer = Config { permitted_half_open_calls: 1, ..config };
    let (state, output) = step(state, &fewer, Input::Admit, at(200_000));
    let (_, output) = step(state, &fewer, succeeded(admitted(output)), at(200_000));
    assert_eq!(output.transition, Some(Transition::Closed));
}

#[test]
fn of_many_threads_at_once_only_the_permitted_probe_it() {
    let config = Config::default();
    let shared = Shared::new();
    for _ in 0..config.failure_threshold {
        let (permit, _) = shared.admit(&config, at(0)).expect("closed");
        shared.record(permit, Outcome::FAILURE, &config, at(0));
    }
    let permits = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| shared.admit(&config, at(60_001)).ok())).collect();
        threads.into_iter().filter_map(|it| it.join().expect("does not panic")).collect::<Vec<_>>()
    });
    let generations: BTreeSet<_> = permits.iter().map(|(permit, _)| permit.0).collect();
    assert_eq!((permits.len(), generations.len()), (3, 1));
    let half_opened = permits.iter().filter(|(_, it)| *it == Some(Transition::HalfOpened)).count();
    assert_eq!(half_opened, 1, "a transition is reported once");
    let closed: Vec<_> = permits
        .into_iter()
        .filter_map(|(permit, _)| shared.record(permit, Outcome::SUCCESS, &config, at(60_002)).transition)
        .collect();
    assert_eq!(closed, [Transition::Closed]);
}
