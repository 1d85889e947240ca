use super::*;
use proptest::prelude::*;

fn server(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

fn take(state: &mut State, duty: Duty, number: u8) -> Epoch {
    for event in decide(state, &Command::Take { duty, server: server(number) }) {
        state.evolve(&event);
    }
    state.epoch(duty)
}

#[test]
fn alone_everything_counts() {
    let state = State::default();
    assert_eq!(state.check(Duty::Health, Epoch::default()), Ok(()));
    assert_eq!(state.holder(Duty::Health), None);
}

#[test]
fn what_is_done_under_an_earlier_epoch_is_refused_with_who_has_the_duty() {
    let mut state = State::default();
    let first = take(&mut state, Duty::Health, 1);
    assert_eq!(state.check(Duty::Health, first), Ok(()));
    let second = take(&mut state, Duty::Health, 2);
    let refusal = state.check(Duty::Health, first).unwrap_err();
    assert_eq!(refusal.code, Code::ServerOffDuty);
    assert!(refusal.detail.contains(&server(2).to_string()), "{refusal}");
    assert_eq!(state.check(Duty::Health, second), Ok(()));
    // Duties are apart.
    assert_eq!(state.check(Duty::Runtime, Epoch::default()), Ok(()));
}

fn event() -> impl Strategy<Value = Event> {
    let duty = prop_oneof![Just(Duty::Health), Just(Duty::Runtime)];
    (duty, 0..3u8, 0..5u64).prop_map(|(duty, number, epoch)| Event::DutyTaken {
        duty,
        server: server(number),
        epoch: Epoch(epoch),
    })
}

proptest! {
    /// Whatever stands in a log: epochs only grow, and one epoch of a duty has one holder for good.
    #[test]
    fn epochs_only_grow(events in proptest::collection::vec(event(), 0..40)) {
        let mut state = State::default();
        for event in &events {
            let before = state.clone();
            state.evolve(event);
            for duty in Duty::ALL {
                prop_assert!(state.epoch(duty) >= before.epoch(duty));
                if state.epoch(duty) == before.epoch(duty) {
                    prop_assert_eq!(state.holder(duty), before.holder(duty));
                }
            }
        }
    }

    /// Taking a duty makes exactly the new epoch count.
    #[test]
    fn taking_a_duty_ends_all_earlier_epochs(takers in proptest::collection::vec(0..3u8, 1..20)) {
        let mut state = State::default();
        let epochs: Vec<Epoch> = takers.iter().map(|taker| take(&mut state, Duty::Runtime, *taker)).collect();
        let counts = |epoch: &&Epoch| state.check(Duty::Runtime, **epoch).is_ok();
        let counting: Vec<&Epoch> = epochs.iter().filter(counts).collect();
        prop_assert_eq!(counting, vec![epochs.last().unwrap()]);
    }
}
