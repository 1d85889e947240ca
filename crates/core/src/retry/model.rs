//! One request whose tries end in every possible way.

use super::{Advice, Attempts, Decision, Input, Outcome, Policy, Reason, Tried, step};
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Caller {
    policy: Policy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    attempts: Attempts,
    idempotent: bool,
    repetition: bool,
    advice: Advice,
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
        let world = |(idempotent, repetition, advice)| World {
            attempts: Attempts::new(),
            idempotent,
            repetition,
            advice,
            tries: 0,
            processed: 0,
            decision: None,
        };
        let mut worlds = Vec::new();
        for advice in [Advice::Nothing, Advice::Never, Advice::After(Duration::from_secs(9))] {
            for (idempotent, repetition) in [(true, false), (false, false), (true, true)] {
                worlds.push(world((idempotent, repetition, advice)));
            }
        }
        worlds
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
                Input::Tried(Tried {
                    outcome,
                    idempotent: world.idempotent,
                    replayable: true,
                    repetition: world.repetition,
                    advice: world.advice,
                    remaining,
                    random: 0,
                })
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
            Property::always(
                "another try of a caller, or what was tried below, is processed once",
                |_, world: &World| {
                    !(world.repetition || world.advice == Advice::Never) || world.processed <= 1
                },
            ),
            Property::always("who has spent nothing stops nobody", |_, world: &World| {
                let told = world.repetition || world.advice != Advice::Nothing;
                let paid = world.decision == Some(Decision::GiveUp { reason: Reason::BudgetSpent });
                !world.attempts.stops_callers() || world.tries > 1 || told || paid
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
    let policy = Policy { max_retries: 2, jitter: super::Jitter::None, ..Policy::default() };
    Caller { policy }.checker().spawn_bfs().join().assert_properties();
}
