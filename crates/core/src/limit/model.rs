//! Requests that come and go while the limit changes.

use super::{Input, step};
use stateright::{Checker, Model, Property};

struct Requests {
    most: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    in_flight: u64,
    held: u64,
    limit: u32,
    over_limit: bool,
    refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Admit,
    Release,
    SetLimit(u32),
}

impl Model for Requests {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { in_flight: 0, held: 0, limit: 2, over_limit: false, refused: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.extend([0, 1, 2, 3].map(Action::SetLimit));
        if world.held < self.most {
            actions.push(Action::Admit);
        }
        if world.held > 0 {
            actions.push(Action::Release);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::SetLimit(limit) => next.limit = limit,
            Action::Release => {
                next.held -= 1;
                next.in_flight = step(world.in_flight, world.limit, Input::Released).0;
            }
            Action::Admit => {
                let (in_flight, answer) = step(world.in_flight, world.limit, Input::Admit);
                next.in_flight = in_flight;
                next.held += u64::from(answer.is_ok());
                next.over_limit |= answer.is_ok() && world.held >= u64::from(world.limit);
                next.refused |= answer.is_err();
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the count is what is held", |_, world: &World| world.in_flight == world.held),
            Property::always("none is admitted over the limit", |_, world: &World| !world.over_limit),
            Property::sometimes("one is refused", |_, world: &World| world.refused),
            Property::sometimes("the limit falls below what is held", |_, world: &World| {
                world.held > u64::from(world.limit)
            }),
        ]
    }
}

#[test]
fn the_limit_holds_in_every_order() {
    Requests { most: 4 }.checker().spawn_bfs().join().assert_properties();
}
