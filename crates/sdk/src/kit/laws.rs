//! What must be true of every decider, tried on sequences of commands and events that nobody thought of.

use crate::decider::Decider;
use crate::events::{self, Events};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::marker::PhantomData;
use tenon_core::{Namespace, Position, StreamName, Timestamp};

/// How many commands or events a sequence has at most.
const LONGEST: usize = 30;

/// The laws of deciders. Each takes strategies for the decider's commands and events, and panics with the
/// smallest sequence that it found to break the law.
#[derive(Debug)]
pub struct Laws<D>(PhantomData<fn() -> D>);

impl<D: Decider> Laws<D>
where
    D::Command: Debug,
    D::Event: PartialEq,
    D::State: Debug + PartialEq + Serialize + DeserializeOwned,
{
    /// All laws. The strategy of events should make every fact, also where it could not happen.
    ///
    /// # Panics
    /// If a law is broken.
    pub fn check(
        commands: impl Strategy<Value = D::Command> + Clone,
        events: impl Strategy<Value = D::Event> + Clone,
    ) {
        Self::no_sequence_of_events_makes_it_panic(commands.clone(), events.clone());
        Self::a_replay_equals_a_snapshot_and_the_tail(events.clone());
        Self::events_survive_the_log(events);
        Self::what_is_decided_is_taken_in(commands.clone());
        Self::a_final_state_takes_no_event(commands);
    }

    /// Folding any events, possible or not, and then deciding any command does not panic, and deciding it again
    /// gives the same.
    ///
    /// # Panics
    /// If the law is broken.
    pub fn no_sequence_of_events_makes_it_panic(
        commands: impl Strategy<Value = D::Command>,
        events: impl Strategy<Value = D::Event>,
    ) {
        run(&(sequence(events), commands), |(events, command)| {
            let state = Self::fold(D::initial(), &events);
            let [once, again] = [(); 2].map(|()| D::decide(&command, &state).ok());
            prop_assert_eq!(once, again, "the same command in the same state was decided in two ways");
            Ok(())
        });
    }

    /// Whether a state is folded from all events, or kept in the middle, read again and folded from the rest:
    /// it is the same.
    ///
    /// # Panics
    /// If the law is broken.
    pub fn a_replay_equals_a_snapshot_and_the_tail(events: impl Strategy<Value = D::Event>) {
        run(&(sequence(events), 0..=LONGEST), |(events, at)| {
            let (head, tail) = events.split_at(at.min(events.len()));
            let kept = serde_json::to_vec(&Self::fold(D::initial(), head));
            let kept = kept.map_err(|error| TestCaseError::fail(format!("no snapshot: {error}")))?;
            let read: D::State = serde_json::from_slice(&kept)
                .map_err(|error| TestCaseError::fail(format!("the snapshot cannot be read: {error}")))?;
            prop_assert_eq!(Self::fold(read, tail), Self::fold(D::initial(), &events));
            Ok(())
        });
    }

    /// Every event is written under a listed type and is the same when it is read.
    ///
    /// # Panics
    /// If the law is broken.
    pub fn events_survive_the_log(events: impl Strategy<Value = D::Event>) {
        run(&events, |event| survives(&event));
    }

    /// Whatever commands come, the events they lead to are taken in, survive the log, and the state then
    /// decides the next one.
    ///
    /// # Panics
    /// If the law is broken.
    pub fn what_is_decided_is_taken_in(commands: impl Strategy<Value = D::Command>) {
        run(&sequence(commands), |commands| {
            let mut state = D::initial();
            for command in commands {
                let events = D::decide(&command, &state).unwrap_or_default();
                events.iter().try_for_each(survives)?;
                state = Self::fold(state, &events);
            }
            Ok(())
        });
    }

    /// In a final state no command leads to an event, and so it stays final.
    ///
    /// # Panics
    /// If the law is broken.
    pub fn a_final_state_takes_no_event(commands: impl Strategy<Value = D::Command>) {
        run(&sequence(commands), |commands| {
            let mut state = D::initial();
            for command in commands {
                let events = D::decide(&command, &state).unwrap_or_default();
                let ended = D::is_terminal(&state) && !events.is_empty();
                prop_assert!(!ended, "{:?} is final, yet {:?} leads to {:?}", state, command, events);
                state = Self::fold(state, &events);
            }
            Ok(())
        });
    }

    fn fold(state: D::State, events: &[D::Event]) -> D::State {
        events.iter().fold(state, D::evolve)
    }
}

fn survives<E: Events + PartialEq>(event: &E) -> TestCaseResult {
    let fail = |error: &dyn std::error::Error| TestCaseError::fail(format!("{event:?}: {error}"));
    let stream = StreamName::new("law").map_err(|error| fail(&error))?;
    let new = events::encode(event, &Namespace::default(), &stream).map_err(|error| fail(&error))?;
    let recorded = new.into_event(Position(1), Timestamp::ZERO);
    let read = events::decode(&recorded).map_err(|error| fail(&error))?;
    prop_assert_eq!(read.as_ref(), Some(event));
    Ok(())
}

fn sequence<T: Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(of, 0..=LONGEST)
}

fn run<S: Strategy>(strategy: &S, law: impl Fn(S::Value) -> TestCaseResult) {
    // No file of found cases: the smallest one is in the message, and becomes an example of its own.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if let Err(error) = TestRunner::new(config).run(strategy, law) {
        panic!("{error}");
    }
}
