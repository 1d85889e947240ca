//! Three instances that fail, recover and wait in every order, and go away.

use super::{Config, Input, Output, State, step};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};
use std::time::Duration;

const LAST_MOMENT: u64 = 7;

struct Service {
    config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    instances: Vec<State>,
    now: u64,
    ever_ejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Succeed(usize),
    Fail(usize),
    Refuse(usize),
    Interval,
    Wait,
}

impl World {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn out(&self) -> usize {
        self.instances.iter().filter(|it| it.is_ejected(self.now())).count()
    }
}

impl Service {
    fn tell(&self, world: &mut World, index: usize, input: Input) {
        let now = world.now();
        let (next, output) = step(world.instances[index], &self.config, input, now);
        world.instances[index] = next;
        if matches!(output, Output::Suspect(_)) && world.out() < self.config.most(world.instances.len()) {
            world.instances[index] = step(next, &self.config, Input::Eject, now).0;
            world.ever_ejected = true;
        }
    }
}

impl Model for Service {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { instances: vec![State::default(); 3], now: 1, ever_ejected: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < LAST_MOMENT {
            actions.push(Action::Wait);
            actions.push(Action::Interval);
        }
        for index in 0..world.instances.len() {
            actions.extend([Action::Succeed(index), Action::Fail(index), Action::Refuse(index)]);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Wait => next.now += 1,
            Action::Interval => {
                next.now += 1;
                (0..3).for_each(|index| self.tell(&mut next, index, Input::Interval));
            }
            Action::Succeed(index) => self.tell(&mut next, index, Input::Succeeded),
            Action::Fail(index) => self.tell(&mut next, index, Input::Failed { connected: true }),
            Action::Refuse(index) => self.tell(&mut next, index, Input::Failed { connected: false }),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no more are out than may be", |model: &Self, world: &World| {
                world.out() <= model.config.most(world.instances.len())
            }),
            Property::always("everyone is in again in time", |model: &Self, world: &World| {
                let later = world.now().after(model.config.max_ejection + Duration::from_millis(1));
                world.instances.iter().all(|it| !it.is_ejected(later))
            }),
            Property::sometimes("one is out", |_, world: &World| world.out() == 1),
            Property::sometimes("one comes back", |_, world: &World| world.ever_ejected && world.out() == 0),
            Property::sometimes("one is out for the second time", |_, world: &World| {
                world.instances.iter().any(|it| it.ejections == 2 && it.is_ejected(world.now()))
            }),
            Property::sometimes("one is forgiven", |_, world: &World| {
                world.ever_ejected && world.instances.iter().all(|it| it.ejections == 0)
            }),
        ]
    }
}

#[test]
fn every_order_keeps_the_rules() {
    let config = Config {
        consecutive_failures: 2,
        consecutive_refusals: 1,
        base_ejection: Duration::from_millis(2),
        max_ejection: Duration::from_millis(3),
        ..Config::default()
    };
    Service { config }.checker().spawn_bfs().join().assert_properties();
}
