//! A workload and an issuer that may fail, in whole seconds.

use super::{Input, Next, Renewal};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};

/// How long a certificate holds, and how long it is looked at.
const LIFE: u64 = 12;
const END: u64 = 40;

struct Issuing {
    /// Whether every answer is a certificate.
    reliable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    renewal: Renewal,
    /// The end of what was last issued.
    until: u64,
    lacked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Pass,
    Issue { random: u64 },
    Fail { random: u64 },
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

impl Model for Issuing {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { now: 0, renewal: Renewal::new(at(0)), until: 0, lacked: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.renewal.next(at(world.now)) == Next::Ask {
            actions.extend([0, u64::MAX].map(|random| Action::Issue { random }));
            if !self.reliable {
                actions.extend([0, u64::MAX].map(|random| Action::Fail { random }));
            }
        } else if world.now < END {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Pass => next.now += 1,
            Action::Issue { random } => {
                next.until = world.now + LIFE;
                let input = Input::Issued { until: at(next.until), random };
                next.renewal = world.renewal.step(input, at(world.now));
            }
            Action::Fail { random } => {
                next.renewal = world.renewal.step(Input::Failed { random }, at(world.now));
            }
        }
        next.lacked |= next.until > 0 && !next.renewal.is_usable(at(next.now));
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("none is used that has ended", |_, world: &World| {
                !world.renewal.is_usable(at(world.now)) || world.now < world.until
            }),
            Property::always("an issuer that answers is asked in time", |model: &Self, world: &World| {
                !(model.reliable && world.lacked)
            }),
            Property::sometimes("the end is reached", |_, world: &World| world.now == END),
        ]
    }
}

#[test]
fn certificates_are_renewed_in_time_and_never_used_too_long() {
    for reliable in [true, false] {
        Issuing { reliable }.checker().spawn_bfs().join().assert_properties();
    }
}
