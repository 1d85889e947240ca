//! The decider: the rules of one aggregate, as four pure functions.
//!
//! ```text
//!            ┌────────── state ◄──────────┐
//!            ▼                            │
//! command ─► decide ─► events ─► log ─► evolve
//! ```
//!
//! Nothing here reads a clock, a random number or anything but its arguments: what a decision depends on is in
//! the command or in the events. So a decider is tested without any infrastructure (module `kit`), a state is
//! the same whoever folds it, and "what was it last Tuesday" is a fold that stops earlier.

use crate::events::Events;
use std::error::Error;

/// A state that is folded from events.
pub trait Fold: Send + Sync + 'static {
    /// What it is folded from.
    type Event: Events;
    /// The state.
    type State: Clone + Send + Sync + 'static;

    /// The state before any event.
    fn initial() -> Self::State;

    /// The state after one more event. Takes every event in every state: what happened has happened.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;
}

/// The rules of an aggregate.
pub trait Decider: Send + Sync + 'static {
    /// What can be asked of it.
    type Command: Send + Sync;
    /// What can happen to it.
    type Event: Events;
    /// What it is now, as far as the rules need to know.
    type State: Clone + Send + Sync + 'static;
    /// Why a command is refused.
    type Error: Error + Send + Sync + 'static;

    /// The state before any event.
    fn initial() -> Self::State;

    /// What a command leads to in a state: events, none if there is nothing to change, or a refusal.
    ///
    /// # Errors
    /// The refusal. Nothing has changed.
    fn decide(command: &Self::Command, state: &Self::State) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after one more event. Takes every event in every state: what happened has happened.
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;

    /// Whether the state is final: no command can lead to an event any more.
    fn is_terminal(state: &Self::State) -> bool {
        let _ = state;
        false
    }
}

/// A decider's state may be read by other commands and by projections.
impl<D: Decider> Fold for D {
    type Event = D::Event;
    type State = D::State;

    fn initial() -> D::State {
        D::initial()
    }

    fn evolve(state: D::State, event: &D::Event) -> D::State {
        D::evolve(state, event)
    }
}
