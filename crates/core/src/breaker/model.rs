//! Every interleaving of a few calls, answers, losses and waits around one breaker.

use super::{Answer, Config, Generation, Input, State, Transition, step};
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};
use std::time::Duration;

const LAST_MOMENT: u64 = 7;
const MOST_CALLS: usize = 3;

/// A breaker and the callers around it.
struct Callers {
    config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    breaker: State,
    /// Calls in flight, in order.
    calls: Vec<Call>,
    now: u64,
    /// When it opened, until it is half-open.
    opened_at: Option<u64>,
    /// How often it has opened.
    trips: u8,
    /// Successes of calls that were admitted since it last opened, up to as many as close it.
    proofs: u32,
    fault: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Call {
    generation: Generation,
    trips: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Admit,
    Succeed(usize),
    Fail(usize),
    Abandon(usize),
    Wait,
}

impl Callers {
    fn apply(&self, world: &mut World, input: Input) -> Answer {
        let (next, output) = step(world.breaker, &self.config, input, Timestamp::from_millis(world.now));
        world.breaker = next;
        match output.transition {
            Some(Transition::Opened) => {
                world.opened_at = Some(world.now);
                world.trips += 1;
                world.proofs = 0;
            }
            Some(Transition::HalfOpened) => world.opened_at = None,
            Some(Transition::Closed) if world.proofs < self.config.permitted_half_open_calls => {
                world.fault = Some("it closed without the proofs that it wants");
            }
            Some(Transition::Closed) | None => {}
        }
        output.answer
    }

    fn admit(&self, world: &mut World) {
        let early =
            world.opened_at.is_some_and(|at| world.now < at + self.config.open_timeout.as_millis() as u64);
        if let Answer::Admitted(generation) = self.apply(world, Input::Admit) {
            if early {
                world.fault = Some("it admitted a call before its time");
            }
            world.calls.push(Call { generation, trips: world.trips });
            world.calls.sort_unstable();
        }
    }

    fn end(&self, world: &mut World, number: usize, input: fn(Generation) -> Input) {
        let call = world.calls.remove(number);
        let input = input(call.generation);
        if matches!(input, Input::Succeeded(_)) && call.trips == world.trips {
            world.proofs = (world.proofs + 1).min(self.config.permitted_half_open_calls);
        }
        let (half_open, trips) = (matches!(world.breaker, State::HalfOpen { .. }), world.trips);
        let counted = self.apply(world, input) == Answer::Counted;
        if counted && call.trips != trips {
            world.fault = Some("an answer from before a trip counted");
        }
        let open = matches!(world.breaker, State::Open { .. });
        if half_open && counted && matches!(input, Input::Failed(_)) && !open {
            world.fault = Some("a failed probe did not open it");
        }
    }
}

impl Model for Callers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            breaker: State::default(),
            calls: Vec::new(),
            now: 1,
            opened_at: None,
            trips: 0,
            proofs: 0,
            fault: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < LAST_MOMENT {
            actions.push(Action::Wait);
        }
        if world.calls.len() < MOST_CALLS {
            actions.push(Action::Admit);
        }
        for number in 0..world.calls.len() {
            actions.extend([Action::Succeed(number), Action::Fail(number), Action::Abandon(number)]);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        match action {
            Action::Wait => next.now += 1,
            Action::Admit => self.admit(&mut next),
            Action::Succeed(number) => self.end(&mut next, number, Input::Succeeded),
            Action::Fail(number) => self.end(&mut next, number, Input::Failed),
            Action::Abandon(number) => self.end(&mut next, number, Input::Abandoned),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, world: &World| world.fault.is_none()),
            Property::always("permits are counted right", |model: &Self, world: &World| {
                match world.breaker {
                    State::HalfOpen { generation, in_flight, succeeded } => {
                        let held = world.calls.iter().filter(|call| call.generation == generation).count();
                        held == in_flight as usize
                            && in_flight + succeeded <= model.config.permitted_half_open_calls
                    }
                    State::Closed { .. } | State::Open { .. } => true,
                }
            }),
            Property::always("it can always be tried again", |model: &Self, world: &World| {
                let later = Timestamp::from_millis(world.now + 10);
                let (_, output) = step(world.breaker, &model.config, Input::Admit, later);
                matches!(output.answer, Answer::Admitted(_))
            }),
            Property::sometimes("it closes again", |_, world: &World| {
                world.trips > 0 && matches!(world.breaker, State::Closed { .. })
            }),
            Property::sometimes(
                "an answer from before a trip comes while it is half-open",
                |_, world: &World| {
                    let half_open = matches!(world.breaker, State::HalfOpen { .. });
                    half_open && world.calls.iter().any(|call| call.trips != world.trips)
                },
            ),
            Property::sometimes("lost permits are replaced", |model: &Self, world: &World| {
                let generation = world.breaker.generation();
                let half_open = matches!(world.breaker, State::HalfOpen { .. });
                let since_the_trip = world.calls.iter().filter(|call| call.trips == world.trips);
                let lost = since_the_trip.filter(|call| call.generation != generation).count();
                half_open && lost == model.config.permitted_half_open_calls as usize
            }),
        ]
    }
}

#[test]
fn every_interleaving_keeps_the_rules() {
    let config = Config {
        failure_threshold: 2,
        open_timeout: Duration::from_millis(2),
        permitted_half_open_calls: 2,
        half_open_max_wait: Duration::from_millis(2),
    };
    Callers { config }.checker().spawn_bfs().join().assert_properties();
}
