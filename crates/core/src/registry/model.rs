//! Every order of commands on two instances and two services.

use super::*;
use crate::fixtures::{catalog, external, id, managed, millis, registration, service, stamp, system};
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Registered {
    catalog: catalog::State,
    commands: Vec<Command>,
}

impl Registered {
    fn new() -> Self {
        let services = vec![managed("payment", 1, "pay"), external("ledger", &[9_000])];
        let pairs = [("payment", "a"), ("payment", "b"), ("ledger", "a")];
        let commands = pairs.into_iter().flat_map(|(of, instance)| commands(of, instance)).collect();
        Self { catalog: catalog(system(services)), commands }
    }
}

fn commands(of: &str, instance: &str) -> Vec<Command> {
    let (service, instance) = (service(of), id(instance));
    let evidence = Evidence::new("TCP connection", "accepted", Duration::ZERO);
    let record = |to| Command::RecordHealth {
        service: service.clone(),
        instance: instance.clone(),
        to,
        evidence: evidence.clone(),
    };
    vec![
        Command::Register(registration(of, instance.as_str(), 9_000)),
        record(Status::Healthy),
        record(Status::Unhealthy),
        Command::Drain { service: service.clone(), instance: instance.clone() },
        Command::Deregister { service, instance, reason: DeregisterReason::Requested },
    ]
}

/// The registry, and the last event with the state that it came in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    state: State,
    accepted: Option<(State, Event)>,
}

impl Model for Registered {
    type State = Step;
    type Action = usize;

    fn init_states(&self) -> Vec<Step> {
        vec![Step { state: State::default(), accepted: None }]
    }

    fn actions(&self, _: &Step, actions: &mut Vec<usize>) {
        actions.extend(0..self.commands.len());
    }

    fn next_state(&self, last: &Step, which: usize) -> Option<Step> {
        let events = decide(&last.state, &self.catalog, &self.commands[which]).ok()?;
        let [event] = &events[..] else { return None };
        let mut state = last.state.clone();
        // Always the same time, so that the states are finitely many.
        state.evolve(&stamp(1, millis(0)), event);
        Some(Step { state, accepted: Some((last.state.clone(), event.clone())) })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("lookup returns only healthy instances of the service", |model, it: &Step| {
                ["payment", "ledger"].into_iter().map(service).all(|of| {
                    let found = it.state.lookup(&model.catalog, &of).unwrap_or_default();
                    found.iter().all(|it| it.is_callable() && it.registration.service == of)
                })
            }),
            Property::always("both indexes agree", |_, it: &Step| it.state.is_consistent()),
            Property::always("an accepted event changes the state", |_, it: &Step| {
                it.accepted.as_ref().is_none_or(|(before, _)| *before != it.state)
            }),
            Property::always("only new ids are registered", |_, it: &Step| {
                it.accepted.as_ref().is_none_or(|(before, event)| match event {
                    Event::InstanceRegistered(new) => before.get(&new.id).is_none(),
                    _ => true,
                })
            }),
            Property::sometimes("both instances may be called", |model, it: &Step| {
                it.state.lookup(&model.catalog, &service("payment")).is_ok_and(|it| it.len() == 2)
            }),
            Property::sometimes("a healthy instance drains", |_, it: &Step| {
                it.state.all().any(|it| it.draining && it.status == Status::Healthy)
            }),
        ]
    }
}

#[test]
fn every_order_of_commands_keeps_the_rules() {
    Registered::new().checker().spawn_bfs().join().assert_properties();
}
