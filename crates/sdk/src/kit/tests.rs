use super::*;
use crate::events::{Events, Fact, Json};
use crate::testing::{Account, Command, Event, Refusal, State};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::panic::catch_unwind;

fn commands() -> impl Strategy<Value = Command> + Clone {
    prop_oneof![
        Just(Command::Open { owner: "ada".into() }),
        (0u32..9).prop_map(Command::Deposit),
        (0u32..9).prop_map(Command::Withdraw),
        Just(Command::Close),
    ]
}

fn events() -> impl Strategy<Value = Event> + Clone {
    prop_oneof![
        "[a-z]{1,5}".prop_map(|owner| Event::Opened { owner }),
        any::<u32>().prop_map(|amount| Event::Deposited { amount }),
        any::<u32>().prop_map(|amount| Event::Withdrawn { amount }),
        Just(Event::Closed),
    ]
}

/// What a test that must fail says.
fn failure(test: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = catch_unwind(test).expect_err("it should fail");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn an_example_is_given_when_then() {
    given::<Account>([Event::Opened { owner: "ada".into() }])
        .when(Command::Withdraw(1))
        .then_refused(Refusal::TooLittle(0))
        .when(Command::Deposit(2))
        .then([Event::Deposited { amount: 2 }])
        .when(Command::Deposit(0))
        .then_nothing()
        .when(&Command::Close)
        .then([Event::Withdrawn { amount: 2 }, Event::Closed]);
}

#[test]
fn an_example_that_fails_says_what_happened_instead() {
    let said = failure(|| drop(given::<Account>([]).when(Command::Close).then([Event::Closed])));
    assert_eq!(said, "the command was refused (the account is not open), it should lead to [Closed]");
    let said = failure(|| {
        let open = Event::Opened { owner: "ada".into() };
        drop(given::<Account>([open]).when(Command::Close).then_refused(Refusal::NotOpen));
    });
    assert_eq!(said, "the command led to [Closed], it should be refused: the account is not open");
}

#[test]
fn the_laws_hold_for_a_good_decider() {
    Laws::<Account>::check(commands(), events());
}

/// A counter that breaks one law for each of its faults.
struct Broken<const FAULT: u8>;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Counted {
    Up,
    Unlisted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Count {
    count: u8,
    #[serde(skip)]
    forgotten: u8,
}

impl Events for Counted {
    type Codec = Json;
    const AREA: &'static str = "test.counter";
    const FACTS: &'static [Fact] = &[Fact::v1("Up")];
}

impl<const FAULT: u8> Decider for Broken<FAULT> {
    type Command = ();
    type Event = Counted;
    type State = Count;
    type Error = Refusal;

    fn initial() -> Count {
        Count { count: 0, forgotten: 0 }
    }

    fn decide((): &(), state: &Count) -> Result<Vec<Counted>, Refusal> {
        match FAULT {
            1 if state.count > 2 => panic!("too many"),
            2 => Ok(vec![Counted::Unlisted]),
            _ => Ok(vec![Counted::Up]),
        }
    }

    fn evolve(state: Count, _: &Counted) -> Count {
        let count = state.count.saturating_add(1);
        Count { count, forgotten: if FAULT == 3 { count } else { 0 } }
    }

    fn is_terminal(state: &Count) -> bool {
        FAULT == 4 && state.count >= 2
    }
}

#[test]
fn each_law_is_broken_by_a_decider_that_breaks_it() {
    let check = |check: fn(Just<()>, Just<Counted>), part: &str| {
        let said = failure(move || check(Just(()), Just(Counted::Up)));
        assert!(said.contains(part), "{said}");
    };
    check(Laws::<Broken<1>>::check, "too many");
    check(Laws::<Broken<2>>::check, "has no fact \"Unlisted\"");
    check(Laws::<Broken<3>>::check, "forgotten");
    check(Laws::<Broken<4>>::check, "is final, yet");
    Laws::<Broken<0>>::check(Just(()), Just(Counted::Up));
}

#[test]
fn the_state_that_is_given_can_be_looked_at() {
    let closed = given::<Account>([Event::Closed]);
    assert_eq!(closed.state(), &State { closed: true, ..State::default() });
}
