//! Three endpoints that turn unhealthy and recover while time passes, in every order: nobody is left without an endpoint
//! unless there is a reason, and a guard ends by itself.

use super::*;
use stateright::{Checker, Model, Property};

struct Service {
    panic_percent: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Known {
    standings: [Standing; 3],
    now: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Turn(usize),
    Pass(u64),
}

/// In tens of seconds.
fn at(tens: u64) -> Timestamp {
    Timestamp::from_millis(10_000 * tens)
}

impl Service {
    fn plan(&self, known: &Known) -> Plan {
        plan(&known.standings, self.panic_percent, at(known.now))
    }
}

impl Model for Service {
    type State = Known;
    type Action = Act;

    fn init_states(&self) -> Vec<Known> {
        let standing = Standing { healthy: true, since: Timestamp::ZERO, distance: Distance::Elsewhere };
        vec![Known { standings: [standing; 3], now: 100 }]
    }

    fn actions(&self, _: &Known, actions: &mut Vec<Act>) {
        actions.extend((0..3).map(Act::Turn));
        actions.extend([Act::Pass(1), Act::Pass(6)]);
    }

    fn next_state(&self, known: &Known, act: Act) -> Option<Known> {
        let mut next = known.clone();
        match act {
            Act::Pass(tens) => next.now += tens,
            Act::Turn(which) => {
                let healthy = !next.standings[which].healthy;
                next.standings[which] = Standing { healthy, since: at(next.now), ..next.standings[which] };
            }
        }
        Some(next)
    }

    fn within_boundary(&self, known: &Known) -> bool {
        known.now <= 114
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("whoever is healthy is used", |model: &Self, known: &Known| {
                let used: Vec<usize> =
                    model.plan(known).levels.into_iter().flat_map(|level| level.members).collect();
                (0..3).all(|index| !known.standings[index].healthy || used.contains(&index))
            }),
            Property::always("nobody is left without while panic is on", |model: &Self, known: &Known| {
                model.panic_percent == 0 || !model.plan(known).levels.is_empty()
            }),
            Property::always("a guard ends by itself", |model: &Self, known: &Known| {
                let plan = model.plan(known);
                let later = Known { standings: known.standings, now: known.now + 7 };
                plan.mode != Mode::Guarded
                    || (plan.until.is_some_and(|until| until > at(known.now) && until <= at(later.now))
                        && model.plan(&later).mode != Mode::Guarded)
            }),
            Property::always("one that fails alone is believed", |model: &Self, known: &Known| {
                let unhealthy = known.standings.iter().filter(|it| !it.healthy).count();
                unhealthy != 1 || model.plan(known).mode == Mode::Normal
            }),
            Property::sometimes("guarded", |model: &Self, known: &Known| {
                model.plan(known).mode == Mode::Guarded
            }),
        ]
    }
}

#[test]
fn endpoints_that_come_and_go_in_every_order() {
    for panic_percent in [0, 50] {
        Service { panic_percent }.checker().spawn_bfs().join().assert_properties();
    }
}
