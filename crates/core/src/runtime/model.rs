//! The loop of planning and executing, with processes that end at any time and an operator who changes his mind.
//!
//! The model plays the shell (it executes any action of the plan, in any order), the supervisor (it starts and
//! ends what it is asked to, late), the health checks and the operator. All rules are the platform's own.

use super::*;
use crate::catalog;
use crate::fixtures::{applied, id, managed, service, stamp, system};
use crate::health::{Evidence, Status};
use crate::manifest::System;
use crate::platform::{self, invariants};
use proptest::prelude::*;
use stateright::{Checker, Model, Property};
use std::collections::BTreeSet;

struct Operated {
    systems: [System; 2],
    /// How many things may happen that nobody planned.
    surprises: u32,
    orders: Vec<Order>,
}

/// The most replicas that the models run.
const MOST_REPLICAS: u32 = 2;

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Order {
    Scale(u32),
    Stop,
    Start,
    Apply(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Act {
    Execute(Action),
    Report(InstanceId),
    BecomeHealthy(InstanceId),
    End(InstanceId),
    Wait(Timestamp),
    /// Not planned by anybody.
    Crash(InstanceId),
    BecomeUnhealthy(InstanceId),
    Order(Order),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    state: platform::State,
    now: Timestamp,
    surprises: u32,
    started: u16,
    /// Processes that were asked to end.
    ending: BTreeSet<InstanceId>,
    /// A start went beyond replicas and one.
    exceeded: bool,
}

impl World {
    fn carry_out(&mut self, command: &platform::Command) -> bool {
        let Ok(events) = platform::decide(&self.state, command, self.now) else { return false };
        for event in &events {
            // Always the same position, so that the same state reached otherwise is the same.
            self.state.evolve(&stamp(1, self.now), event);
        }
        !events.is_empty()
    }

    fn runtime(&mut self, command: Command) -> bool {
        self.carry_out(&platform::Command::Runtime(command))
    }

    fn plan(&self) -> Plan {
        plan(&self.state.runtime, &self.state.catalog, &self.state.registry, self.now)
    }

    fn wanted(&self) -> u32 {
        self.state.runtime.wanted(&self.state.catalog, &service("payment"))
    }

    fn known(&self) -> Option<&Service> {
        self.state.runtime.service(&service("payment"))
    }

    fn instances(&self) -> impl Iterator<Item = &Instance> {
        self.known().into_iter().flat_map(|it| it.instances.values())
    }

    fn execute(&mut self, action: Action) -> bool {
        match action {
            Action::Start { service, slot, spec } => {
                self.started += 1;
                let base = 20_000 + 3 * self.started;
                let ports = Ports { application: base, inbound: base + 1, outbound: base + 2 };
                let instance = id(&format!("p{}", self.started));
                let done = self.runtime(Command::Announce { instance, service, slot, spec, ports });
                self.exceeded |= self.instances().count() as u32 > self.wanted() + 1;
                done
            }
            Action::Stop { instance, reason } => self.runtime(Command::Stop { instance, reason }),
            Action::Terminate { instance } => self.ending.insert(instance),
        }
    }

    fn end(&mut self, instance: InstanceId) -> bool {
        self.ending.remove(&instance);
        self.runtime(Command::ReportExited { instance, exit: Exit::Exited(1) })
    }

    fn check(&mut self, instance: InstanceId, to: Status) -> bool {
        let evidence = Evidence::new("TCP connection", "", Duration::ZERO);
        let service = service("payment");
        let command = crate::registry::Command::RecordHealth { service, instance, to, evidence };
        self.carry_out(&platform::Command::Registry(command))
    }

    fn order(&mut self, order: Order, systems: &[System; 2]) -> bool {
        let service = service("payment");
        match order {
            Order::Scale(replicas) => self.runtime(Command::ScaleService { service, replicas }),
            Order::Stop => self.runtime(Command::StopService { service }),
            Order::Start => self.runtime(Command::StartService { service }),
            Order::Apply(which) => {
                let command = catalog::Command::Apply(applied(systems[which].clone()));
                self.carry_out(&platform::Command::Catalog(command))
            }
        }
    }

    /// What happens by itself, sooner or later.
    fn expected(&self) -> Vec<Act> {
        let plan = self.plan();
        let mut acts = Vec::new();
        for action in plan.actions {
            match &action {
                Action::Terminate { instance } if self.ending.contains(instance) => {}
                _ => acts.push(Act::Execute(action)),
            }
        }
        for instance in self.instances() {
            acts.extend(self.expected_of(instance));
        }
        acts.extend(plan.wake_at.map(Act::Wait));
        acts
    }

    fn expected_of(&self, instance: &Instance) -> Option<Act> {
        let status = self.state.registry.get(&instance.id)?.status;
        if self.ending.contains(&instance.id) {
            Some(Act::End(instance.id.clone()))
        } else if instance.process.is_none() {
            Some(Act::Report(instance.id.clone()))
        } else if status != Status::Healthy && instance.stopping.is_none() {
            Some(Act::BecomeHealthy(instance.id.clone()))
        } else {
            None
        }
    }

    /// Whether an instance may not be called itself, or another one of its slot may.
    fn has_successor(&self, instance: &InstanceId) -> bool {
        let callable = |it: &Instance| {
            self.state.registry.get(&it.id).is_some_and(crate::registry::Instance::is_callable)
        };
        let Some((_, replaced)) = self.state.runtime.get(instance) else { return false };
        let others = self.instances().filter(|it| it.slot == replaced.slot && it.id != replaced.id);
        !callable(replaced) || others.filter(|it| callable(it)).count() > 0
    }

    /// Every replica runs once, as the present manifest has it, may be called, and nothing else runs.
    fn is_as_desired(&self) -> bool {
        let system = self.state.catalog.get(&service("payment"));
        let spec = system.and_then(spec_hash);
        let mut slots: Vec<u32> = self.instances().map(|it| it.slot).collect();
        slots.sort_unstable();
        let good = |it: &Instance| {
            it.stopping.is_none()
                && Some(it.spec) == spec
                && self.state.registry.get(&it.id).is_some_and(crate::registry::Instance::is_callable)
        };
        slots == (1..=self.wanted()).collect::<Vec<_>>() && self.instances().all(good)
    }
}

impl Model for Operated {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            state: platform::State::new(crate::LogId::from_bytes([1; 16])),
            now: Timestamp::from_millis(1),
            surprises: self.surprises,
            started: 0,
            ending: BTreeSet::new(),
            exceeded: false,
        };
        assert!(world.order(Order::Apply(0), &self.systems));
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        acts.extend(world.expected());
        if world.surprises > 0 {
            for instance in world.instances().filter(|it| it.process.is_some()) {
                acts.extend([Act::Crash(instance.id.clone()), Act::BecomeUnhealthy(instance.id.clone())]);
            }
            acts.extend(self.orders.iter().copied().map(Act::Order));
        }
    }

    fn next_state(&self, before: &World, act: Act) -> Option<World> {
        let mut world = before.clone();
        if matches!(act, Act::Crash(_) | Act::BecomeUnhealthy(_) | Act::Order(_)) {
            world.surprises -= 1;
        }
        let changed = match act {
            Act::Execute(action) => world.execute(action),
            Act::Report(instance) => {
                let started_at = world.now;
                world.runtime(Command::ReportStarted { instance, pid: 1, started_at })
            }
            Act::BecomeHealthy(instance) => world.check(instance, Status::Healthy),
            Act::BecomeUnhealthy(instance) => world.check(instance, Status::Unhealthy),
            Act::End(instance) | Act::Crash(instance) => world.end(instance),
            Act::Wait(until) => {
                world.now = until;
                true
            }
            Act::Order(order) => world.order(order, &self.systems),
        };
        changed.then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no start goes beyond replicas and one", |_, it: &World| !it.exceeded),
            // Without this, a plan that starts and stops without end would make the check endless, not fail.
            Property::always("instances are started only for a reason", |model, it: &World| {
                let reasons = 1 + model.surprises - it.surprises;
                u32::from(it.started) <= MOST_REPLICAS * reasons
            }),
            Property::always("the invariants hold", |_, it: &World| {
                invariants::violated(&it.state).is_empty()
            }),
            Property::always("whoever is planned to act may act", |_, it: &World| {
                it.plan().actions.into_iter().all(|action| match action {
                    Action::Terminate { .. } => true,
                    _ => it.clone().execute(action),
                })
            }),
            Property::always("what may be called is replaced only by what may be called", |_, it: &World| {
                it.plan().actions.iter().all(|action| match action {
                    Action::Stop { instance, reason: StopReason::Replaced } => it.has_successor(instance),
                    _ => true,
                })
            }),
            Property::always("when nothing is left to do, what runs is what should run", |_, it: &World| {
                !it.expected().is_empty() || it.is_as_desired()
            }),
            Property::sometimes("a slot has two instances while it is replaced", |_, it: &World| {
                it.known().is_some_and(|it| it.live_by_slot().values().any(|it| it.len() == 2))
            }),
            Property::sometimes("a slot waits for its back-off", |_, it: &World| {
                it.known().is_some_and(|it| !it.slots.is_empty()) && it.plan().wake_at.is_some()
            }),
            Property::sometimes("an instance is drained", |_, it: &World| {
                it.instances().any(|it| it.stopping.is_some()) && it.plan().wake_at.is_some()
            }),
        ]
    }
}

fn systems(replicas: u32) -> [System; 2] {
    ["pay", "pay --faster"].map(|command| system(vec![managed("payment", replicas, command)]))
}

fn check(model: Operated) {
    model.checker().spawn_bfs().join().assert_properties();
}

#[test]
fn a_service_that_crashes_and_changes_comes_to_rest_as_desired() {
    let orders = vec![Order::Apply(1), Order::Apply(0)];
    check(Operated { systems: systems(2), surprises: 2, orders });
}

#[test]
fn a_service_whose_operator_changes_his_mind_comes_to_rest_as_desired() {
    let orders =
        vec![Order::Scale(2), Order::Scale(0), Order::Stop, Order::Start, Order::Apply(1), Order::Apply(0)];
    check(Operated { systems: systems(1), surprises: 3, orders });
}

proptest! {
    #[test]
    fn from_anywhere_what_happens_by_itself_comes_to_an_end(
        chaos in proptest::collection::vec(any::<usize>(), 0..60),
        choices in proptest::collection::vec(any::<usize>(), 400),
    ) {
        let orders = vec![Order::Apply(1), Order::Scale(2), Order::Stop, Order::Apply(0), Order::Start];
        let model = Operated { systems: systems(3), surprises: 20, orders };
        let mut world = model.init_states().remove(0);
        for choice in chaos {
            let mut acts = Vec::new();
            model.actions(&world, &mut acts);
            world = take(&model, world, &acts, choice);
        }
        for choice in choices {
            let acts = world.expected();
            world = take(&model, world, &acts, choice);
        }
        prop_assert_eq!(world.expected(), Vec::new(), "it does not come to rest");
        prop_assert!(world.is_as_desired());
    }
}

fn take(model: &Operated, world: World, acts: &[Act], choice: usize) -> World {
    let Some(act) = acts.get(choice % acts.len().max(1)) else { return world };
    model.next_state(&world, act.clone()).unwrap_or(world)
}
