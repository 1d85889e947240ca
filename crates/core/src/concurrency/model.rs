//! Windows of every kind in every order, under a small range of limits.

use super::{Config, Phase, State, Window, step};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Service {
    config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: State,
    windows: u8,
    /// Windows in a row with a halved limit.
    halved: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Fast,
    Slow,
    Overloaded,
    Idle,
    Nothing,
}

impl Model for Service {
    type State = World;
    type Action = Seen;

    fn init_states(&self) -> Vec<World> {
        vec![World { state: State::new(&self.config), windows: 0, halved: 0 }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Seen>) {
        if world.windows < 9 {
            actions.extend([Seen::Fast, Seen::Slow, Seen::Overloaded, Seen::Idle, Seen::Nothing]);
        }
    }

    fn next_state(&self, world: &World, seen: Seen) -> Option<World> {
        let limit = world.state.limit(&self.config);
        let window = |micros, overloaded, peak| Window { ended: 10, micros, overloaded, peak };
        let window = match seen {
            Seen::Fast => window(10_000, 0, limit),
            Seen::Slow => window(100_000, 0, limit),
            Seen::Overloaded => window(10_000, 10, limit),
            Seen::Idle => window(10_000, 0, 0),
            Seen::Nothing => Window::default(),
        };
        let now = Timestamp::from_millis(u64::from(world.windows));
        let state = step(world.state, &self.config, &window, now, 0);
        let counts = state.phase != Phase::Steady && seen != Seen::Nothing;
        let halved = if state.phase == Phase::Steady { 0 } else { world.halved + u8::from(counts) };
        Some(World { state, windows: world.windows + 1, halved })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the limit stays within its bounds", |model: &Self, world: &World| {
                let limit = world.state.limit(&model.config);
                (model.config.min..=model.config.max).contains(&limit)
            }),
            Property::always("the limit is halved for two windows at most", |_, world: &World| {
                world.halved <= 2
            }),
            Property::sometimes("it is measured", |_, world: &World| world.halved == 2),
            Property::sometimes("the limit is at its least", |model: &Self, world: &World| {
                world.windows > 3 && world.state.limit(&model.config) == model.config.min
            }),
            Property::sometimes("the limit grows", |model: &Self, world: &World| {
                world.state.limit(&model.config) > State::new(&model.config).limit(&model.config)
            }),
        ]
    }
}

#[test]
fn the_limit_holds_its_bounds_in_every_order() {
    let config = Config { min: 16, max: 24, measure_every: Duration::from_millis(4), ..Config::default() };
    Service { config }.checker().spawn_bfs().join().assert_properties();
}
