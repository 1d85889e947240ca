//! Requests, retries and time in every order.

use super::{Config, Input, State, step};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};

struct Callers {
    config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    budget: State,
    now: u64,
    requests: u64,
    retries: u64,
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Do(Input),
    Wait,
}

impl Model for Callers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { budget: State::default(), now: 0, requests: 0, retries: 0, refused: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Do(Input::Retry));
        if world.retries > 0 {
            actions.push(Action::Do(Input::Refund));
        }
        if world.requests < 5 {
            actions.push(Action::Do(Input::Request));
        }
        if world.now < 6 {
            actions.push(Action::Wait);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Wait => next.now += 1,
            Action::Do(input) => {
                let now = Timestamp::from_millis(world.now);
                let (budget, granted) = step(world.budget, &self.config, input, now);
                next.budget = budget;
                next.requests += u64::from(input == Input::Request);
                next.retries += u64::from(input == Input::Retry && granted);
                next.retries -= u64::from(input == Input::Refund);
                next.refused |= !granted;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("retries are within the law", |model: &Self, world: &World| {
                let Config { percent, per_second, burst } = model.config;
                let earned = world.requests * u64::from(percent) * 10 + world.now * u64::from(per_second);
                world.retries * 1_000 <= earned + u64::from(burst) * 1_000
            }),
            Property::sometimes("a retry is refused", |_, world: &World| world.refused),
            Property::sometimes("everything that may be earned is used", |model: &Self, world: &World| {
                let Config { percent, per_second, burst } = model.config;
                let earned = world.requests * u64::from(percent) * 10 + world.now * u64::from(per_second);
                world.now > 3 && world.retries * 1_000 == earned + u64::from(burst) * 1_000
            }),
        ]
    }
}

#[test]
fn no_order_exceeds_the_budget() {
    let config = Config { percent: 50, per_second: 250, burst: 2 };
    Callers { config }.checker().spawn_bfs().join().assert_properties();
}
