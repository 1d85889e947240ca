//! Every order of answers, heartbeats and ends, as far as a few steps go.

use super::*;
use crate::time::Timestamp;
use stateright::{Checker, Model, Property};

/// An instance with what happened to it, the last first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Observed {
    state: State,
    now: Timestamp,
    history: Vec<Input>,
    transition: Option<Transition>,
}

struct Checked {
    config: Config,
    depth: usize,
}

const FAILED: Input = Input::Failed(Failure::Network);

impl Model for Checked {
    type State = Observed;
    type Action = Input;

    fn init_states(&self) -> Vec<Observed> {
        let state = State::new(Status::Unknown, Timestamp::ZERO);
        vec![Observed { state, now: Timestamp::ZERO, history: Vec::new(), transition: None }]
    }

    fn actions(&self, observed: &Observed, actions: &mut Vec<Input>) {
        if next_check_at(&observed.state, &self.config).is_some() {
            actions.extend([Input::Passed, FAILED]);
        }
        if next_tick_at(&observed.state, &self.config).is_some() {
            actions.push(Input::Tick);
        }
        actions.extend([Input::Heartbeat, Input::ProcessExited]);
    }

    fn next_state(&self, last: &Observed, input: Input) -> Option<Observed> {
        let due = match input {
            Input::Passed | Input::Failed(_) => next_check_at(&last.state, &self.config),
            Input::Tick => next_tick_at(&last.state, &self.config),
            Input::Heartbeat | Input::ProcessExited => None,
        };
        let now = due.unwrap_or(last.now).max(last.now);
        let (state, output) = step(&last.state, &self.config, input, now, 0);
        let mut history = last.history.clone();
        history.insert(0, input);
        Some(Observed { state, now, history, transition: output.transition })
    }

    fn within_boundary(&self, observed: &Observed) -> bool {
        observed.history.len() <= self.depth
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("leaves rotation only on evidence", leaves_only_on_evidence),
            Property::always("as many failures in a row as the threshold take it out", failures_take_it_out),
            Property::always("returns only on evidence", returns_only_on_evidence),
            Property::always("an end is final", an_end_is_final),
            Property::sometimes("recovers", |_, it: &Observed| {
                it.transition == Some(Transition { from: Status::Unhealthy, to: Status::Healthy })
            }),
            Property::sometimes("is taken out", |_, it: &Observed| {
                it.transition == Some(Transition { from: Status::Healthy, to: Status::Unhealthy })
            }),
        ]
    }
}

fn in_row(observed: &Observed, input: Input) -> u32 {
    // Ticks of the clock are no answers.
    let answers = observed.history.iter().filter(|it| **it != Input::Tick);
    answers.take_while(|it| **it == input).count() as u32
}

fn leaves_only_on_evidence(model: &Checked, it: &Observed) -> bool {
    if it.transition != Some(Transition { from: Status::Healthy, to: Status::Unhealthy }) {
        return true;
    }
    let silence = matches!(model.config.check, Check::Ttl { .. }) && it.history[0] == Input::Tick;
    silence || it.history[0] == Input::ProcessExited || in_row(it, FAILED) >= model.config.unhealthy_threshold
}

fn failures_take_it_out(model: &Checked, it: &Observed) -> bool {
    in_row(it, FAILED) < model.config.unhealthy_threshold || it.state.status() != Status::Healthy
}

fn returns_only_on_evidence(model: &Checked, it: &Observed) -> bool {
    match it.transition {
        Some(Transition { from: Status::Unhealthy, to: Status::Healthy }) => {
            it.history[0] == Input::Heartbeat
                || in_row(it, Input::Passed) >= model.config.healthy_threshold
                || it.history.iter().all(|it| *it != Input::Heartbeat)
                    && it.history.iter().filter(|it| **it == Input::Passed).count() == 1
        }
        Some(Transition { to: Status::Healthy, .. }) => {
            matches!(it.history[0], Input::Heartbeat | Input::Passed)
        }
        _ => true,
    }
}

fn an_end_is_final(_: &Checked, it: &Observed) -> bool {
    !it.history.contains(&Input::ProcessExited) || it.state.status() == Status::Unhealthy
}

#[test]
fn an_instance_that_is_asked_leaves_and_returns_on_evidence_only() {
    let config = Config { deregister_after: Some(Duration::from_secs(300)), ..Config::default() };
    Checked { config, depth: 7 }.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn an_instance_that_sends_heartbeats_leaves_and_returns_on_evidence_only() {
    let check = Check::Ttl { ttl: Duration::from_secs(10) };
    Checked { config: Config { check, ..Config::default() }, depth: 7 }
        .checker()
        .spawn_bfs()
        .join()
        .assert_properties();
}
