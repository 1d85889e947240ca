//! One request whose tries end in every possible way.

use super::{Attempts, Decision, Input, Outcome, Policy, Reason, Tried, step};
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Caller {
    policy: Policy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    attempts: Attempts,
    idempotent: bool,
    tries: u32,
    /// How often the other side may have processed the request.
    processed: u32,
    decision: Option<Decision>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Try(Outcome, bool),
    SpendTheBudget,
}

impl Model for Caller {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let world = |idempotent| World {
            attempts: Attempts::new(),
            idempotent,
            tries: 0,
            processed: 0,
            decision: None,
        };
        vec![world(true), world(false)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if matches!(world.decision, Some(Decision::GiveUp { .. })) {
            return;
        }
        if world.decision.is_some() {
            actions.push(Action::SpendTheBudget);
        }
        for outcome in [
            Outcome::NeverProcessed,
            Outcome::Reset,
            Outcome::TimedOut,
            Outcome::Status(200),
            Outcome::Status(503),
            Outcome::GrpcStatus(14),
        ] {
            actions.extend([Action::Try(outcome, false), Action::Try(outcome, true)]);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let input = match action {
            Action::SpendTheBudget => Input::BudgetSpent,
            Action::Try(outcome, late) => {
                next.tries += 1;
                next.processed += u32::from(outcome != Outcome::NeverProcessed);
                let remaining = late.then_some(Duration::ZERO);
                let idempotent = world.idempotent;
                Input::Tried(Tried { outcome, idempotent, replayable: true, remaining, random: 0 })
            }
        };
        let (attempts, decision) = step(world.attempts, &self.policy, input);
        next.attempts = attempts;
        next.decision = Some(decision);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is not idempotent is processed once at most", |_, world: &World| {
                world.idempotent || world.processed <= 1
            }),
            Property::always("tries are bounded", |model: &Self, world: &World| {
                world.tries <= model.policy.max_retries + 1
            }),
            Property::always("every try is counted", |_, world: &World| {
                world.tries == world.attempts.ended()
            }),
            Property::sometimes("a request that is not idempotent is tried again", |_, world: &World| {
                !world.idempotent && world.tries > 1
            }),
            Property::sometimes("retries run out", |_, world: &World| {
                world.decision == Some(Decision::GiveUp { reason: Reason::RetriesExhausted })
            }),
            Property::sometimes("the budget ends it", |_, world: &World| {
                world.decision == Some(Decision::GiveUp { reason: Reason::BudgetSpent })
            }),
        ]
    }
}

#[test]
fn every_sequence_of_outcomes_is_safe() {
    let policy = Policy { max_retries: 2, ..Policy::default() };
    Caller { policy }.checker().spawn_bfs().join().assert_properties();
}
