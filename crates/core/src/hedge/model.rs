//! One call whose tries are slow, fail and succeed in every order.

use super::{After, Command, Input, Policy, Race, step};
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Caller {
    policy: Policy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    race: Race,
    running: u32,
    sent: u32,
    good: bool,
    taken: u32,
    last: Option<Command>,
}

impl Model for Caller {
    type State = World;
    type Action = Input;

    fn init_states(&self) -> Vec<World> {
        vec![World { race: Race::new(), running: 1, sent: 1, good: false, taken: 0, last: None }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Input>) {
        if world.taken > 0 {
            return;
        }
        actions.push(Input::Slow);
        if world.last == Some(Command::Send) {
            actions.push(Input::Unsent);
        }
        if world.running > 0 {
            actions.extend([Input::Ended { good: true }, Input::Ended { good: false }]);
        }
    }

    fn next_state(&self, world: &World, input: Input) -> Option<World> {
        let mut next = world.clone();
        let (race, command) = step(world.race, &self.policy, input);
        next.race = race;
        next.last = Some(command);
        match input {
            Input::Unsent => {
                next.running -= 1;
                next.sent -= 1;
            }
            Input::Ended { good } => {
                next.running -= 1;
                next.good = good;
            }
            Input::Slow => {}
        }
        next.running += u32::from(command == Command::Send);
        next.sent += u32::from(command == Command::Send);
        next.taken += u32::from(command == Command::Take);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no more are sent than the policy says", |model: &Self, world: &World| {
                world.sent <= model.policy.max + 1
            }),
            Property::always("a good answer is taken at once", |_, world: &World| {
                !world.good || world.taken == 1
            }),
            Property::always("a bad one is taken only when it is the last", |_, world: &World| {
                world.taken == 0 || world.good || world.running == 0
            }),
            Property::always("somebody is waited for until one is taken", |_, world: &World| {
                world.taken == 1 || world.running > 0
            }),
            Property::sometimes("the hedge wins", |_, world: &World| world.good && world.sent > 1),
            Property::sometimes("all fail", |_, world: &World| {
                world.taken == 1 && !world.good && world.sent > 2
            }),
        ]
    }
}

#[test]
fn every_order_of_slow_and_failing_tries_ends_with_one_answer() {
    let policy = Policy { after: After::Fixed(Duration::ZERO), max: 2 };
    Caller { policy }.checker().spawn_bfs().join().assert_properties();
}
