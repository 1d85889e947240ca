use super::*;
use proptest::prelude::*;

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        Just(Message::Ask),
        Just(Message::Offer),
        Just(Message::Accepting),
        Just(Message::Released),
        Just(Message::Abandoned),
    ]
}

fn giver_input() -> impl Strategy<Value = GiverInput> {
    prop_oneof![message().prop_map(GiverInput::Said), Just(GiverInput::Gone), Just(GiverInput::Late)]
}

fn taker_input() -> impl Strategy<Value = TakerInput> {
    prop_oneof![
        message().prop_map(TakerInput::Said),
        Just(TakerInput::Gone),
        Just(TakerInput::Late),
        Just(TakerInput::Prepared),
        Just(TakerInput::Failed),
    ]
}

#[test]
fn a_takeover_goes_step_by_step() {
    let (giver, command) = Giver::default().step(GiverInput::Said(Message::Ask));
    assert_eq!(command, GiverCommand::Offer);
    let (taker, command) = Taker::default().step(TakerInput::Said(Message::Offer));
    assert_eq!(command, TakerCommand::Prepare);
    let (taker, command) = taker.step(TakerInput::Prepared);
    assert_eq!((command, taker.accepts(), giver.accepts()), (TakerCommand::Accept, true, true));
    let (giver, command) = giver.step(GiverInput::Said(Message::Accepting));
    assert_eq!((command, giver.accepts()), (GiverCommand::Release, false));
    let (taker, command) = taker.step(TakerInput::Said(Message::Released));
    assert_eq!((command, taker), (TakerCommand::Serve, Taker::Serving));
}

#[test]
fn a_taker_that_cannot_be_made_ready_leaves_without_having_taken_a_connection() {
    let (taker, _) = Taker::default().step(TakerInput::Said(Message::Offer));
    assert_eq!(taker.step(TakerInput::Failed), (Taker::Left, TakerCommand::Leave));
}

proptest! {
    #[test]
    fn a_giver_lets_go_only_once_the_taker_takes_connections(inputs in prop::collection::vec(giver_input(), 0..12)) {
        let mut giver = Giver::default();
        for input in inputs {
            let (next, _) = giver.step(input);
            if giver.accepts() && !next.accepts() {
                prop_assert_eq!(input, GiverInput::Said(Message::Accepting));
            }
            giver = next;
        }
    }

    #[test]
    fn a_taker_that_has_left_or_serves_stays_so(inputs in prop::collection::vec(taker_input(), 0..12)) {
        let mut taker = Taker::default();
        for input in inputs {
            let (next, command) = taker.step(input);
            if matches!(taker, Taker::Left | Taker::Serving) {
                prop_assert_eq!((next, command), (taker, TakerCommand::Wait));
            }
            taker = next;
        }
    }
}
