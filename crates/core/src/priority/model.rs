//! Calls of every priority that come and go under one limit, with the limit's own machine.

use super::{Priority, Rules};
use crate::limit::{self, Input};
use stateright::{Checker, Model, Property};

struct Callers {
    rules: Rules,
    limit: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    in_flight: u64,
    held: [u8; 3],
    /// The lowest priority that was admitted, and the highest that was refused, by the last call of each.
    admitted: [bool; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Call(usize),
    End(usize),
}

impl Callers {
    fn admit(&self, in_flight: u64, at: usize) -> (u64, bool) {
        let limit = self.rules.share(self.limit, Priority::ALL[at]);
        let (next, answer) = limit::step(in_flight, limit, Input::Admit);
        (next, answer.is_ok())
    }
}

impl Model for Callers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { in_flight: 0, held: [0; 3], admitted: [true; 3] }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for at in 0..3 {
            actions.push(Action::Call(at));
            if world.held[at] > 0 {
                actions.push(Action::End(at));
            }
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Call(at) => {
                let (in_flight, admitted) = self.admit(world.in_flight, at);
                next.in_flight = in_flight;
                next.held[at] += u8::from(admitted);
            }
            Action::End(at) => {
                next.held[at] -= 1;
                next.in_flight = limit::step(world.in_flight, self.limit, Input::Released).0;
            }
        }
        next.admitted = [0, 1, 2].map(|at| self.admit(next.in_flight, at).1);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the lower ones are shed first", |_, world: &World| world.admitted.is_sorted()),
            Property::always("the limit holds", |model: &Self, world: &World| {
                world.in_flight <= u64::from(model.limit)
            }),
            Property::sometimes("critical ones only are admitted", |_, world: &World| {
                world.admitted == [false, false, true]
            }),
            Property::sometimes("all but sheddable ones are", |_, world: &World| {
                world.admitted == [false, true, true]
            }),
            Property::sometimes("nobody is", |_, world: &World| world.admitted == [false; 3]),
        ]
    }
}

#[test]
fn every_order_of_calls_sheds_the_lower_ones_first() {
    let rules = Rules { calls: Priority::Default, sheddable: 50, default: 75 };
    Callers { rules, limit: 4 }.checker().spawn_bfs().join().assert_properties();
}
