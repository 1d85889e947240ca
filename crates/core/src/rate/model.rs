//! Requests that come at any times while the limit changes.

use super::{By, Due, Limit, step};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Requests {
    limit: Limit,
    until: u64,
}

/// Time goes in whole intervals of 1 s.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    due: Due,
    now: u64,
    /// When requests were admitted.
    admitted: Vec<u64>,
    refused_wrongly: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Arrive,
    Wait,
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

impl Requests {
    /// The most requests that may be admitted from one second to another, both included.
    fn most(&self, from: u64, to: u64) -> u64 {
        u64::from(self.limit.burst) + (to - from)
    }
}

impl Model for Requests {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World { due: 0, now: 0, admitted: Vec::new(), refused_wrongly: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        actions.push(Action::Arrive);
        if world.now < self.until {
            actions.push(Action::Wait);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Wait => next.now += 1,
            Action::Arrive => {
                let (due, answer) = step(world.due, &self.limit, at(world.now));
                next.due = due;
                match answer {
                    Ok(_) => next.admitted.push(world.now),
                    Err(exceeded) => {
                        // Whoever comes again when it was told to is admitted, and not a moment earlier.
                        let again = at(world.now).after(exceeded.retry_after);
                        let earlier = Timestamp::from_micros(again.as_micros() - 1);
                        next.refused_wrongly |= step(due, &self.limit, again).1.is_err()
                            || step(due, &self.limit, earlier).1.is_ok();
                    }
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "never more than burst and rate, over any time",
                |model: &Self, world: &World| {
                    let all = &world.admitted;
                    (0..all.len()).all(|from| {
                        (from..all.len()).all(|to| (to - from + 1) as u64 <= model.most(all[from], all[to]))
                    })
                },
            ),
            Property::always("a refusal says when to come again", |_, world: &World| !world.refused_wrongly),
            Property::sometimes("the burst is used", |model: &Self, world: &World| {
                world.admitted.iter().filter(|at| **at == world.now).count() as u32 == model.limit.burst
            }),
        ]
    }
}

#[test]
fn the_limit_holds_in_every_order() {
    let limit = Limit { requests: 1, per: Duration::from_secs(1), burst: 3, by: By::All, shared: false };
    Requests { limit, until: 5 }.checker().spawn_bfs().join().assert_properties();
}
