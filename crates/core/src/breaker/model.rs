//! Every interleaving of a few calls, answers, losses and waits around one breaker.

use super::{Answer, Breaker, Config, Generation, Outcome, Output, State, Transition, Window, step};
use crate::breaker::Input;
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};
use std::time::Duration;

const MOST_CALLS: usize = 3;

/// A breaker and the callers around it.
struct Callers {
    config: Config,
    last_moment: u64,
    /// How many calls may be admitted in all, if what a window counts would grow without end otherwise.
    most_admitted: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    breaker: Breaker,
    /// Calls in flight, in order.
    calls: Vec<Call>,
    now: u64,
    /// When it opened, until it is half-open.
    opened_at: Option<u64>,
    /// How many calls were admitted in all, if that is limited.
    admitted: u8,
    /// How often it has opened.
    trips: u8,
    /// Whether those that the window shows failed, oldest first.
    recent: Vec<bool>,
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

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Success,
    Failure,
    Drop,
}

impl Callers {
    fn heed(&self, world: &mut World, output: Output) -> Answer {
        match output.transition {
            Some(Transition::Opened) => {
                world.opened_at = Some(world.now);
                world.trips += 1;
                world.proofs = 0;
                world.recent.clear();
            }
            Some(Transition::HalfOpened) => world.opened_at = None,
            Some(Transition::Closed) if self.proofs_wanted() > world.proofs => {
                world.fault = Some("it closed without the proofs that it wants");
            }
            Some(Transition::Closed) | None => {}
        }
        output.answer
    }

    /// How many successes it takes to close it.
    fn proofs_wanted(&self) -> u32 {
        match self.config.window {
            Window::Consecutive => self.config.permitted_half_open_calls,
            // Of two calls one may fail, if it takes more than half.
            Window::Count { .. } | Window::Time { .. } => 1,
        }
    }

    fn admit(&self, world: &mut World) {
        let early =
            world.opened_at.is_some_and(|at| world.now < at + self.config.open_timeout.as_millis() as u64);
        let output = world.breaker.admit(&self.config, Timestamp::from_millis(world.now));
        if let Answer::Admitted(generation) = self.heed(world, output) {
            if early {
                world.fault = Some("it admitted a call before its time");
            }
            world.admitted += u8::from(self.most_admitted.is_some());
            world.calls.push(Call { generation, trips: world.trips });
            world.calls.sort_unstable();
        }
    }

    fn end(&self, world: &mut World, number: usize, how: End) {
        let call = world.calls.remove(number);
        if how == End::Success && call.trips == world.trips {
            world.proofs = (world.proofs + 1).min(self.config.permitted_half_open_calls);
        }
        let (before, trips) = (world.breaker.state, world.trips);
        let now = Timestamp::from_millis(world.now);
        let output = match how {
            End::Success => world.breaker.end(call.generation, Outcome::SUCCESS, &self.config, now),
            End::Failure => world.breaker.end(call.generation, Outcome::FAILURE, &self.config, now),
            End::Drop => world.breaker.abandon(call.generation, &self.config, now),
        };
        let expected = self.expected(world, before, output.answer, how);
        if expected.is_some_and(|opens| opens != (output.transition == Some(Transition::Opened))) {
            world.fault = Some("it opened although the calls were good enough, or did not although not");
        }
        let counted = self.heed(world, output) == Answer::Counted;
        if counted && call.trips != trips {
            world.fault = Some("an answer from before a trip counted");
        }
        let consecutive = self.config.window == Window::Consecutive;
        let half_open = matches!(before, State::HalfOpen { .. });
        let open = matches!(world.breaker.state, State::Open { .. });
        if consecutive && half_open && counted && how == End::Failure && !open {
            world.fault = Some("a failed probe did not open it");
        }
    }

    /// Whether a closed breaker with a window of the last calls is to open now, by the rule as it is written.
    fn expected(&self, world: &mut World, before: State, answer: Answer, how: End) -> Option<bool> {
        let Window::Count { size } = self.config.window else { return None };
        let closed = matches!(before, State::Closed { .. }) && answer == Answer::Counted;
        if !closed || how == End::Drop {
            return None;
        }
        world.recent.push(how == End::Failure);
        if world.recent.len() > size as usize {
            world.recent.remove(0);
        }
        let (calls, failed) = (world.recent.len(), world.recent.iter().filter(|failed| **failed).count());
        let enough = calls >= self.config.minimum_calls.min(size) as usize;
        Some(enough && failed * 100 >= self.config.failure_rate_percent as usize * calls)
    }
}

impl Model for Callers {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            breaker: Breaker::new(self.config.window),
            calls: Vec::new(),
            now: 1,
            opened_at: None,
            admitted: 0,
            trips: 0,
            recent: Vec::new(),
            proofs: 0,
            fault: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.last_moment {
            actions.push(Action::Wait);
        }
        let may_be_admitted = self.most_admitted.is_none_or(|most| world.admitted < most);
        if world.calls.len() < MOST_CALLS && may_be_admitted {
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
            Action::Succeed(number) => self.end(&mut next, number, End::Success),
            Action::Fail(number) => self.end(&mut next, number, End::Failure),
            Action::Abandon(number) => self.end(&mut next, number, End::Drop),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no rule is broken", |_, world: &World| world.fault.is_none()),
            Property::always("permits are counted right", |model: &Self, world: &World| {
                match world.breaker.state {
                    State::HalfOpen { generation, in_flight, ended, .. } => {
                        let held = world.calls.iter().filter(|call| call.generation == generation).count();
                        held == in_flight as usize
                            && in_flight + ended <= model.config.permitted_half_open_calls
                    }
                    State::Closed { .. } | State::Open { .. } => true,
                }
            }),
            Property::always("it can always be tried again", |model: &Self, world: &World| {
                let later = Timestamp::from_millis(world.now + 10);
                let (_, output) = step(world.breaker.state, &model.config, Input::Admit, later);
                matches!(output.answer, Answer::Admitted(_))
            }),
            Property::sometimes("it closes again", |_, world: &World| {
                world.trips > 0 && matches!(world.breaker.state, State::Closed { .. })
            }),
            Property::sometimes(
                "an answer from before a trip comes while it is half-open",
                |_, world: &World| {
                    let half_open = matches!(world.breaker.state, State::HalfOpen { .. });
                    half_open && world.calls.iter().any(|call| call.trips != world.trips)
                },
            ),
            Property::sometimes("lost permits are replaced", |model: &Self, world: &World| {
                let generation = world.breaker.state.generation();
                let half_open = matches!(world.breaker.state, State::HalfOpen { .. });
                let since_the_trip = world.calls.iter().filter(|call| call.trips == world.trips);
                let lost = since_the_trip.filter(|call| call.generation != generation).count();
                half_open && lost == model.config.permitted_half_open_calls as usize
            }),
        ]
    }
}

fn config(window: Window) -> Config {
    Config {
        window,
        failure_threshold: 2,
        minimum_calls: 2,
        failure_rate_percent: 60,
        open_timeout: Duration::from_millis(2),
        permitted_half_open_calls: 2,
        half_open_max_wait: Duration::from_millis(2),
        ..Config::default()
    }
}

#[test]
fn every_interleaving_keeps_the_rules() {
    let config = config(Window::Consecutive);
    Callers { config, last_moment: 7, most_admitted: None }.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn every_interleaving_keeps_the_rules_of_a_window_of_calls() {
    let config = config(Window::Count { size: 3 });
    Callers { config, last_moment: 6, most_admitted: None }.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn every_interleaving_keeps_the_rules_of_a_window_of_time() {
    let config =
        Config { failure_rate_percent: 100, ..config(Window::Time { span: Duration::from_millis(2) }) };
    Callers { config, last_moment: 6, most_admitted: Some(6) }
        .checker()
        .spawn_bfs()
        .join()
        .assert_properties();
}
