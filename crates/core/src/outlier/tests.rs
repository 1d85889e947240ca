use super::*;
use proptest::prelude::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Succeed,
    Fail { connected: bool },
    EndInterval,
}

fn acts() -> impl Strategy<Value = Vec<(u64, usize, Act)>> {
    let act = prop_oneof![
        2 => Just(Act::Succeed),
        5 => any::<bool>().prop_map(|connected| Act::Fail { connected }),
        1 => Just(Act::EndInterval),
    ];
    prop::collection::vec((0..40u64, any::<usize>(), act), 0..200)
}

fn configs() -> impl Strategy<Value = Config> {
    (0..4u32, 0..3u32, 1..60u64, 1..200u64, 0..=100u32, any::<bool>()).prop_map(
        |(failures, refusals, base, most, percent, compared)| Config {
            consecutive_failures: failures,
            consecutive_refusals: refusals,
            success_rate: compared.then_some(SuccessRate {
                minimum_calls: 3,
                minimum_instances: 2,
                deviations_thousandths: 500,
            }),
            latency: compared.then_some(Latency { minimum_calls: 3, factor_percent: 200 }),
            base_ejection: Duration::from_millis(base),
            max_ejection: Duration::from_millis(most),
            max_ejected_percent: percent,
            ..Config::default()
        },
    )
}

proptest! {
    #[test]
    fn no_more_are_out_than_may_be_and_everyone_comes_back(
        config in configs(), count in 1..6usize, acts in acts(),
    ) {
        let all: Vec<Shared> = (0..count).map(|_| Shared::new()).collect();
        let references: Vec<&Shared> = all.iter().collect();
        let mut now = at(1);
        for (wait, which, act) in acts {
            now = now.after(Duration::from_millis(wait));
            let instance = &all[which % count];
            let took = Duration::from_millis(wait);
            let before = instance.state();
            match act {
                Act::Succeed => instance.succeeded(&config, took, now),
                Act::Fail { connected } => {
                    if instance.failed(&config, connected, took, now).is_some() {
                        let room = all.iter().filter(|it| it.is_ejected(now)).count() < config.most(count);
                        prop_assert_eq!(eject(&all.iter(), instance, &config, now), room);
                    }
                }
                Act::EndInterval => { Round::end(&references, &config, now); }
            }
            if before.is_ejected(now) && !matches!(act, Act::EndInterval) {
                prop_assert_eq!(instance.state(), before, "what is told of an ejected instance changes nothing");
            }
            prop_assert!(all.iter().filter(|it| it.is_ejected(now)).count() <= config.most(count));
            let latest = now.after(config.max_ejection + Duration::from_millis(1));
            prop_assert!(all.iter().all(|it| !it.is_ejected(latest)));
        }
    }

    #[test]
    fn the_last_of_a_row_makes_it_suspect_and_none_before(row in 1..=255u32) {
        let config = Config { consecutive_failures: row, ..Config::default() };
        let mut state = State::default();
        for number in 1..=row {
            let (next, output) = step(state, &config, Input::Failed { connected: true }, at(1));
            prop_assert_eq!(output == Output::Suspect(Reason::Failures), number == row);
            state = next;
        }
    }

    #[test]
    fn every_state_that_fits_packs_and_unpacks_to_itself(
        until in 0..(1u64 << 42), ejections in 0..128u32, failures in 0..256u32, refusals in 0..128u32,
    ) {
        let state = State { until, ejections, failures, refusals };
        prop_assert_eq!(State::unpack(state.pack()), state);
    }

    #[test]
    fn any_word_and_any_config_are_stepped_without_a_panic(
        word: u64, failures: u32, refusals: u32, base: u64, most: u64, now: u64, which in 0..6usize,
    ) {
        let config = Config {
            consecutive_failures: failures,
            consecutive_refusals: refusals,
            base_ejection: Duration::from_micros(base),
            max_ejection: Duration::from_micros(most),
            ..Config::default()
        };
        let input = [
            Input::Succeeded, Input::Failed { connected: true }, Input::Failed { connected: false }, Input::Eject,
            Input::Reinstate, Input::Interval,
        ][which];
        let (next, _) = step(State::unpack(word), &config, input, Timestamp::from_micros(now));
        prop_assert_eq!(State::unpack(next.pack()), next);
    }

    #[test]
    fn instances_that_do_alike_are_not_suspect(calls in 1..10_000u32, failures in 0..100u32, micros in 0..1_000_000u64) {
        let one = Observation { calls, failures: failures.min(calls), micros };
        let config = Config { latency: Some(Latency::default()), ..Config::default() };
        prop_assert_eq!(compare(&config, &[one; 7]), []);
    }

    #[test]
    fn a_comparison_names_each_instance_once_and_never_all(
        observed in prop::collection::vec((0..300u32, 0..300u32, 0..1_000_000u64), 0..12), config in configs(),
    ) {
        let observed: Vec<_> = observed
            .into_iter()
            .map(|(calls, failures, micros)| Observation { calls, failures: failures.min(calls), micros })
            .collect();
        let suspects = compare(&config, &observed);
        let mut indices: Vec<_> = suspects.iter().map(|(index, _)| *index).collect();
        indices.sort_unstable();
        indices.dedup();
        prop_assert_eq!(indices.len(), suspects.len());
        for reason in [Reason::SuccessRate, Reason::Latency] {
            let named = suspects.iter().filter(|(_, it)| *it == reason).count();
            prop_assert!(named == 0 || named < observed.len());
        }
    }
}

#[test]
fn of_two_instances_one_may_be_out_and_the_only_one_never() {
    let config = Config::default();
    assert_eq!([0, 1, 2, 3, 4, 5, 10].map(|count| config.most(count)), [0, 0, 1, 1, 2, 2, 5]);
    let little = Config { max_ejected_percent: 10, ..Config::default() };
    assert_eq!([1, 2, 9, 20].map(|count| little.most(count)), [0, 1, 1, 2]);
    let all = Config { max_ejected_percent: 100, ..Config::default() };
    assert_eq!([1, 2, 9].map(|count| all.most(count)), [0, 1, 8]);
    assert_eq!(Config { max_ejected_percent: 0, ..Config::default() }.most(9), 0);
}

#[test]
fn each_ejection_is_longer_up_to_the_longest_and_quiet_intervals_forgive() {
    let config = Config {
        base_ejection: Duration::from_secs(30),
        max_ejection: Duration::from_secs(80),
        ..Config::default()
    };
    let (mut state, mut now) = (State::default(), at(0));
    for seconds in [30, 60, 80, 80] {
        state = step(state, &config, Input::Eject, now).0;
        assert_eq!(state.until().since(now), Duration::from_secs(seconds));
        assert!(state.is_ejected(now.after(Duration::from_secs(seconds) - Duration::from_millis(1))));
        now = state.until();
        assert!(!state.is_ejected(now));
    }
    for _ in 0..4 {
        state = step(state, &config, Input::Interval, now).0;
    }
    assert_eq!(step(state, &config, Input::Eject, now).0.until().since(now), Duration::from_secs(30));
}

#[test]
fn after_an_ejection_one_failure_is_enough_and_a_success_clears_it() {
    let config = Config::default();
    let mut state = State::default();
    for _ in 0..5 {
        state = step(state, &config, Input::Failed { connected: true }, at(1)).0;
    }
    let state = step(state, &config, Input::Eject, at(1)).0;
    let back = at(40_000);
    let (_, output) = step(state, &config, Input::Failed { connected: true }, back);
    assert_eq!(output, Output::Suspect(Reason::Failures));
    let (state, _) = step(state, &config, Input::Succeeded, back);
    assert_eq!(step(state, &config, Input::Failed { connected: true }, back).1, Output::Noted);
}

#[test]
fn refused_connections_count_by_themselves() {
    let config = Config::default();
    let state = step(State::default(), &config, Input::Failed { connected: false }, at(1)).0;
    assert_eq!(step(state, &config, Input::Failed { connected: true }, at(1)).1, Output::Noted);
    let (_, output) = step(state, &config, Input::Failed { connected: false }, at(1));
    assert_eq!(output, Output::Suspect(Reason::Refusals));
}

#[test]
fn one_that_fails_far_more_often_than_the_others_is_suspect() {
    let good = Observation { calls: 200, failures: 2, micros: 0 };
    let bad = Observation { calls: 200, failures: 60, micros: 0 };
    let config = Config::default();
    assert_eq!(compare(&config, &[good, good, bad, good, good]), [(2, Reason::SuccessRate)]);
    assert_eq!(compare(&config, &[good, good, bad, good]), [], "too few to compare");
    let few = Observation { calls: 99, failures: 99, micros: 0 };
    assert_eq!(compare(&config, &[good, good, few, good, good]), [], "too few calls");
}

#[test]
fn one_that_takes_far_longer_than_the_median_of_the_others_is_suspect() {
    let config = Config { latency: Some(Latency::default()), ..Config::default() };
    let mean = |millis: u64| Observation { calls: 100, failures: 0, micros: millis * 100_000 };
    assert_eq!(compare(&config, &[mean(1), mean(4)]), [(1, Reason::Latency)]);
    assert_eq!(
        compare(&config, &[mean(10), mean(1), mean(2), mean(9)]),
        [(0, Reason::Latency), (3, Reason::Latency)]
    );
    assert_eq!(compare(&config, &[mean(9)]), [], "there is nobody to compare with");
}

#[test]
fn who_is_out_comes_back_when_too_few_are_left() {
    let config = Config::default();
    let all: Vec<Shared> = (0..4).map(|_| Shared::new()).collect();
    assert!(eject(&all.iter(), &all[0], &config, at(1)));
    assert!(eject(&all.iter(), &all[1], &config, at(5)));
    assert!(!eject(&all.iter(), &all[2], &config, at(5)), "no more than half");
    let left: Vec<&Shared> = all.iter().take(2).collect();
    let round = Round::end(&left, &config, at(9));
    assert_eq!(round.reinstated, [0]);
    assert!(all[1].is_ejected(at(9)));
}
