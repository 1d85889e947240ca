//! Every order of a few commands that concern several machines at once.

use super::*;
use crate::fixtures::{applied, external, id, managed, millis, registration, service, stamp, system};
use crate::health::{Evidence, Status};
use crate::runtime::{Action, Exit, Ports};
use stateright::{Checker, Model, Property};
use std::time::Duration;

struct Platform {
    manifests: Vec<catalog::Applied>,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Act {
    Apply(usize),
    Register,
    Record(InstanceId, Status),
    GiveUp(InstanceId),
    Execute(Action),
    Exit(InstanceId),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: State,
    steps: usize,
    started: u16,
    /// Endpoints or routes changed and it was not told.
    untold: bool,
}

impl World {
    fn command(&mut self, manifests: &[catalog::Applied], act: Act) -> Command {
        let of = |state: &State, instance: &InstanceId| {
            state.registry.get(instance).map_or(service("payment"), |it| it.registration.service.clone())
        };
        match act {
            Act::Apply(which) => Command::Catalog(catalog::Command::Apply(manifests[which].clone())),
            Act::Register => {
                Command::Registry(registry::Command::Register(registration("payment", "mine", 9_500)))
            }
            Act::Record(instance, to) => {
                let evidence = Evidence::new("TCP connection", "", Duration::ZERO);
                let service = of(&self.state, &instance);
                Command::Registry(registry::Command::RecordHealth { service, instance, to, evidence })
            }
            Act::GiveUp(instance) => Command::GiveUp { service: of(&self.state, &instance), instance },
            Act::Exit(instance) => {
                Command::Runtime(runtime::Command::ReportExited { instance, exit: Exit::Lost })
            }
            Act::Execute(action) => Command::Runtime(self.executed(action)),
        }
    }

    fn executed(&mut self, action: Action) -> runtime::Command {
        match action {
            Action::Start { service, slot, spec } => {
                self.started += 1;
                let base = 20_000 + 3 * self.started;
                let ports = Ports { application: base, inbound: base + 1, outbound: base + 2 };
                let instance = id(&format!("p{}", self.started));
                runtime::Command::Announce { instance, service, slot, spec, ports }
            }
            Action::Stop { instance, reason } => runtime::Command::Stop { instance, reason },
            Action::Terminate { instance } => {
                runtime::Command::ReportExited { instance, exit: Exit::Exited(0) }
            }
        }
    }
}

impl Model for Platform {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let state = State::new(LogId::from_bytes([1; 16]));
        vec![World { state, steps: 0, started: 0, untold: false }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        let State { catalog, registry, runtime, .. } = &world.state;
        acts.extend((0..self.manifests.len()).map(Act::Apply));
        acts.push(Act::Register);
        for instance in registry.all().map(|it| it.id().clone()) {
            acts.push(Act::Record(instance.clone(), Status::Healthy));
            acts.push(Act::GiveUp(instance));
        }
        acts.extend(runtime.instances().map(|(_, it)| Act::Exit(it.id.clone())));
        let plan = runtime::plan(runtime, catalog, registry, millis(1));
        acts.extend(plan.actions.into_iter().map(Act::Execute));
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = World { steps: before.steps + 1, untold: false, ..before.clone() };
        let command = world.command(&self.manifests, act);
        let events = decide(&world.state, &command, millis(1)).ok()?;
        let mut told = Changes::default();
        for event in &events {
            // Always the same place and time, so that equal states are found equal.
            told.merge(world.state.evolve(&stamp(1, millis(1)), event));
        }
        let (a, b) = (endpoints(&before.state).services, endpoints(&world.state).services);
        let differs = |of: &&ServiceRef| a.get(*of) != b.get(*of);
        let rests = |state: &State| routes(state).resting;
        world.untold = rests(&before.state) != rests(&world.state) && !told.routes;
        world.untold |= a.keys().chain(b.keys()).filter(differs).any(|of| !told.endpoints.contains(of));
        (!events.is_empty()).then_some(world)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.steps <= self.depth
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the invariants hold", |_, it: &World| {
                invariants::violated(&it.state).is_empty()
            }),
            Property::always("every change of endpoints and of what rests is told", |_, it: &World| {
                !it.untold
            }),
            Property::always("of removed services only what still ends is known", |_, it: &World| {
                let State { catalog, registry, .. } = &it.state;
                registry
                    .all()
                    .filter(|it| !catalog.declares(&it.registration.service))
                    .all(|it| matches!(it.registration.origin, registry::Origin::Managed { .. }))
            }),
            Property::sometimes("an instance of Tenon's and one of its own are called", |_, it: &World| {
                endpoints(&it.state).services.get(&service("payment")).is_some_and(|it| it.len() == 2)
            }),
            Property::sometimes("an instance outlives its service", |_, it: &World| {
                it.state.runtime.instances().any(|(of, _)| !it.state.catalog.declares(of))
            }),
        ]
    }
}

#[test]
fn every_order_of_commands_keeps_the_invariants() {
    let manifests = vec![
        applied(system(vec![managed("payment", 1, "pay"), external("ledger", &[9_000])])),
        applied(system(vec![external("ledger", &[9_000, 9_001])])),
    ];
    Platform { manifests, depth: 6 }.checker().spawn_bfs().join().assert_properties();
}
