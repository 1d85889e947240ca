use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn configs() -> impl Strategy<Value = Config> {
    (0..200u32, 0..40u32, 0..20u32).prop_map(|(percent, per_second, burst)| Config {
        percent,
        per_second,
        burst,
    })
}

fn inputs() -> impl Strategy<Value = Vec<(u64, Input)>> {
    let input = prop_oneof![3 => Just(Input::Request), 3 => Just(Input::Retry), 1 => Just(Input::Refund)];
    prop::collection::vec((prop_oneof![Just(0), 0..100_000u64], input), 0..300)
}

proptest! {
    #[test]
    fn retries_never_exceed_their_share_of_requests_and_time_and_the_burst(config in configs(), inputs in inputs()) {
        let start = Timestamp::from_millis(5);
        let mut now = start;
        let mut state = State::default();
        let (mut requests, mut retries) = (0u64, 0u64);
        for (wait, input) in inputs {
            now = now.after(Duration::from_micros(wait));
            if input == Input::Refund && retries == 0 {
                continue;
            }
            let (next, granted) = step(state, &config, input, now);
            state = next;
            match input {
                Input::Refund => retries -= 1,
                Input::Request => { prop_assert!(granted); requests += 1; }
                Input::Retry => retries += u64::from(granted),
            }
            let millis = now.since(start).as_millis() as u64;
            let earned = requests * u64::from(config.percent) * 10 + millis * u64::from(config.per_second);
            prop_assert!(retries * 1_000 <= earned + u64::from(config.burst) * 1_000);
            prop_assert_eq!(State::unpack(state.pack()), state);
        }
    }

    #[test]
    fn the_shared_budget_does_what_the_machine_does(config in configs(), inputs in inputs()) {
        let shared = Shared::new();
        let mut now = Timestamp::ZERO;
        let mut state = State::default();
        for (wait, input) in inputs {
            now = now.after(Duration::from_micros(wait));
            let (next, granted) = step(state, &config, input, now);
            match input {
                Input::Request => shared.deposit(&config, now),
                Input::Refund => shared.refund(&config, now),
                Input::Retry => prop_assert_eq!(shared.withdraw(&config, now), granted),
            }
            state = next;
            prop_assert_eq!(shared.state(), state);
        }
    }

    #[test]
    fn any_word_and_any_config_are_stepped_without_a_panic(
        word: u64, percent: u32, per_second: u32, burst: u32, now: u64, retry: bool,
    ) {
        let config = Config { percent, per_second, burst };
        let input = if retry { Input::Retry } else { Input::Request };
        let (next, _) = step(State::unpack(word), &config, input, Timestamp::from_micros(now));
        prop_assert_eq!(State::unpack(next.pack()), next);
    }

    #[test]
    fn what_is_left_is_what_can_be_withdrawn_at_once(config in configs(), inputs in inputs()) {
        let (mut state, now) = (State::default(), Timestamp::from_millis(1));
        for (_, input) in inputs {
            state = step(state, &config, input, now).0;
        }
        for _ in 0..state.left(&config) {
            let (next, granted) = step(state, &config, Input::Retry, now);
            prop_assert!(granted);
            state = next;
        }
        prop_assert!(!step(state, &config, Input::Retry, now).1);
    }
}

/// How many retries are granted at this moment.
fn withdrawn(shared: &Shared, config: &Config, now: Timestamp) -> usize {
    std::iter::repeat_with(|| shared.withdraw(config, now)).take_while(|granted| *granted).count()
}

#[test]
fn a_full_bucket_is_not_written() {
    let (next, granted) =
        step(State::default(), &Config::default(), Input::Request, Timestamp::from_millis(99));
    assert!(granted);
    assert_eq!(next.pack(), State::default().pack());
}

#[test]
fn requests_and_time_earn_retries() {
    let config = Config { percent: 20, per_second: 10, burst: 100 };
    let shared = Shared::new();
    assert_eq!(withdrawn(&shared, &config, Timestamp::ZERO), 100);
    for _ in 0..50 {
        shared.deposit(&config, Timestamp::ZERO);
    }
    assert_eq!(withdrawn(&shared, &config, Timestamp::ZERO), 10);
    assert_eq!(withdrawn(&shared, &config, Timestamp::from_millis(500)), 5);
    assert_eq!(withdrawn(&shared, &config, Timestamp::from_millis(60_000)), 100);
}
