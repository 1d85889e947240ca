//! A test kit for deciders: examples as *given, when, then*, and laws that hold for every decider, run on yours.
//!
//! ```
//! # use tenon_sdk::{Decider, Events, Fact, Json};
//! # use serde::{Serialize, Deserialize};
//! # struct Lamp;
//! # #[derive(Debug, Clone, PartialEq)] enum Command { Switch }
//! # #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)] enum Event { On, Off }
//! # impl Events for Event {
//! #     type Codec = Json;
//! #     const AREA: &'static str = "home.lamp";
//! #     const FACTS: &'static [Fact] = &[Fact::v1("On"), Fact::v1("Off")];
//! # }
//! # impl Decider for Lamp {
//! #     type Command = Command;
//! #     type Event = Event;
//! #     type State = bool;
//! #     type Error = std::fmt::Error;
//! #     fn initial() -> bool { false }
//! #     fn decide(_: &Command, on: &bool) -> Result<Vec<Event>, Self::Error> {
//! #         Ok(vec![if *on { Event::Off } else { Event::On }])
//! #     }
//! #     fn evolve(_: bool, event: &Event) -> bool { *event == Event::On }
//! # }
//! use tenon_sdk::kit::{Laws, given};
//!
//! given::<Lamp>([Event::On]).when(Command::Switch).then([Event::Off]);
//!
//! let commands = proptest::strategy::Just(Command::Switch);
//! let events = proptest::prop_oneof![proptest::strategy::Just(Event::On), proptest::strategy::Just(Event::Off)];
//! Laws::<Lamp>::check(commands, events);
//! ```
//!
//! And the checker of sagas ([`saga`]).
//!
//! Needs the feature `kit`; for tests only. Failures are panics, as tests expect them.

#![allow(clippy::panic, reason = "tests fail by panics")]

mod laws;
pub mod saga;

pub use laws::Laws;

use crate::decider::Decider;
use std::borrow::Borrow;

/// What has happened so far: the state is folded from it.
pub fn given<D: Decider>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let evolve = |state, event| D::evolve(state, &event);
    Given { state: events.into_iter().fold(D::initial(), evolve) }
}

/// A state to give a command to.
#[derive(Debug, Clone)]
pub struct Given<D: Decider> {
    state: D::State,
}

/// What a command led to.
#[derive(Debug, Clone)]
pub struct When<D: Decider> {
    state: D::State,
    decided: Result<Vec<D::Event>, D::Error>,
}

impl<D: Decider> Given<D> {
    /// The command to decide.
    #[must_use]
    pub fn when(self, command: impl Borrow<D::Command>) -> When<D> {
        let decided = D::decide(command.borrow(), &self.state);
        When { state: self.state, decided }
    }

    /// The state itself.
    pub fn state(&self) -> &D::State {
        &self.state
    }
}

impl<D: Decider> When<D>
where
    D::Event: PartialEq,
{
    /// It led to exactly these events. The state after them is what is given next.
    ///
    /// # Panics
    /// If it did not.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) -> Given<D> {
        let expected: Vec<D::Event> = events.into_iter().collect();
        match self.decided {
            Ok(events) => {
                assert_eq!(events, expected, "the command led to other events");
                Given { state: events.iter().fold(self.state, D::evolve) }
            }
            Err(refusal) => panic!("the command was refused ({refusal}), it should lead to {expected:?}"),
        }
    }

    /// It changed nothing, and was not refused.
    ///
    /// # Panics
    /// If it did.
    #[track_caller]
    pub fn then_nothing(self) -> Given<D> {
        self.then([])
    }
}

impl<D: Decider> When<D>
where
    D::Error: PartialEq,
{
    /// It was refused for this reason.
    ///
    /// # Panics
    /// If it was not.
    #[track_caller]
    pub fn then_refused(self, refusal: impl Borrow<D::Error>) -> Given<D> {
        match self.decided {
            Err(refused) => {
                assert_eq!(&refused, refusal.borrow(), "the command was refused for another reason");
            }
            Ok(events) => panic!("the command led to {events:?}, it should be refused: {}", refusal.borrow()),
        }
        Given { state: self.state }
    }
}

#[cfg(test)]
mod tests;
