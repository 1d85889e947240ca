use super::arbitrary::{command, event};
use super::*;
use crate::error::Code;
use crate::fixtures::{
    applied, external, id, key, local, managed, millis, registration, service, stamp, system, value,
    with_config,
};
use crate::health::{self, Evidence, Status};
use crate::manifest::System;
use crate::registry::{DeregisterReason, Origin, Registration};
use crate::runtime::{Action, Exit, Ports};
use crate::stamp::Stamp;
use crate::time::Timestamp;
use proptest::prelude::*;
use std::time::Duration;

/// A state with the log that it follows from.
struct World {
    state: State,
    log: Vec<(Stamp, Event)>,
    now: Timestamp,
    started: u16,
}

impl World {
    fn new() -> Self {
        Self { state: State::new(LogId::from_bytes([1; 16])), log: Vec::new(), now: millis(1), started: 0 }
    }

    fn of(system: System) -> Self {
        let mut world = Self::new();
        world.apply(system).unwrap();
        world
    }

    fn apply(&mut self, system: System) -> Result<Changes, Code> {
        self.order(&Command::Catalog(catalog::Command::Apply(applied(system))))
    }

    fn order(&mut self, command: &Command) -> Result<Changes, Code> {
        let events = decide(&self.state, command, self.now).map_err(|it| it.code)?;
        Ok(self.append(events))
    }

    fn append(&mut self, events: Vec<Event>) -> Changes {
        let mut changes = Changes::default();
        for event in events {
            let stamp = stamp(1 + self.log.len() as u64, self.now);
            changes.merge(self.state.evolve(&stamp, &event));
            self.log.push((stamp, event));
        }
        changes
    }

    /// Carries out one action of the plan.
    fn execute(&mut self, which: usize) -> Changes {
        let plan = runtime::plan(&self.state.runtime, &self.state.catalog, &self.state.registry, self.now);
        let command = match plan.actions.into_iter().nth(which) {
            Some(Action::Start { service, slot, spec }) => {
                self.started += 1;
                let base = 20_000 + 3 * self.started;
                let ports = Ports { application: base, inbound: base + 1, outbound: base + 2 };
                let instance = id(&format!("p{}", self.started));
                runtime::Command::Announce { instance, service, slot, spec, ports }
            }
            Some(Action::Stop { instance, reason }) => runtime::Command::Stop { instance, reason },
            Some(Action::Terminate { instance }) => {
                runtime::Command::ReportExited { instance, exit: Exit::Exited(0) }
            }
            None => return Changes::default(),
        };
        // An id that registered itself meanwhile is taken; a shell draws another one.
        self.order(&Command::Runtime(command)).unwrap_or_default()
    }

    fn record(&mut self, of: &str, instance: &str, to: Status) {
        let evidence = Evidence::new("TCP connection", "accepted", Duration::ZERO);
        let (service, instance) = (service(of), id(instance));
        self.order(&Command::Registry(registry::Command::RecordHealth { service, instance, to, evidence }))
            .unwrap();
    }

    fn instances(&self, of: &str) -> Vec<String> {
        self.state.registry.instances(&service(of)).map(|it| it.registration.address.to_string()).collect()
    }
}

fn shop() -> System {
    system(vec![managed("payment", 2, "pay"), external("ledger", &[9_000, 9_001])])
}

fn deregister(of: &str, instance: &str) -> Command {
    let reason = DeregisterReason::Requested;
    Command::Registry(registry::Command::Deregister { service: service(of), instance: id(instance), reason })
}

fn scale(replicas: u32) -> Command {
    Command::Runtime(runtime::Command::ScaleService { service: service("payment"), replicas })
}

fn wanted(world: &World) -> u32 {
    world.state.runtime.wanted(&world.state.catalog, &service("payment"))
}

#[test]
fn applying_a_manifest_registers_what_runs_elsewhere() {
    let mut world = World::of(shop());
    let mut found = world.instances("ledger");
    found.sort();
    assert_eq!(found, ["127.0.0.1:9000", "127.0.0.1:9001"]);
    world.apply(system(vec![external("ledger", &[9_001, 9_002])])).unwrap();
    let mut found = world.instances("ledger");
    found.sort();
    assert_eq!(found, ["127.0.0.1:9001", "127.0.0.1:9002"]);
    world.apply(system(vec![managed("payment", 1, "pay")])).unwrap();
    assert!(world.state.registry.is_empty());
}

#[test]
fn an_address_that_stays_keeps_its_health() {
    let mut world = World::of(system(vec![external("ledger", &[9_000])]));
    let known = world.state.registry.all().next().unwrap().id().to_string();
    world.record("ledger", &known, Status::Healthy);
    let mut newer = external("ledger", &[9_000]);
    newer.version = crate::manifest::Version::new("2.0.0").unwrap();
    world.apply(system(vec![newer.clone()])).unwrap();
    let instance = world.state.registry.get(&id(&known)).unwrap();
    assert!(instance.is_callable());
    assert_eq!(instance.registration.labels.version, newer.version);
}

#[test]
fn the_same_manifest_again_brings_back_what_was_given_up() {
    let mut world = World::of(system(vec![external("ledger", &[9_000])]));
    let known = world.state.registry.all().next().unwrap().id().clone();
    let give_up = Command::GiveUp { service: service("ledger"), instance: known };
    world.order(&give_up).unwrap();
    assert!(world.state.registry.is_empty());
    let changes = world.apply(system(vec![external("ledger", &[9_000])])).unwrap();
    assert_eq!(world.state.registry.len(), 1);
    assert!(!changes.routes, "the manifest itself is not recorded again");
}

#[test]
fn an_instance_is_registered_before_it_runs_and_deregistered_with_its_end() {
    let mut world = World::of(shop());
    world.execute(0);
    let instance = world.state.registry.get(&id("p1")).unwrap();
    assert_eq!(instance.registration.origin, Origin::Managed { slot: 1 });
    assert_eq!(instance.status, Status::Unknown);
    assert_eq!(sidecars(&world.state, |_| [7; 32]).sidecars.len(), 1);
    world.record("payment", "p1", Status::Healthy);
    assert_eq!(endpoints(&world.state).services[&service("payment")].len(), 1);
    let exit = runtime::Command::ReportExited { instance: id("p1"), exit: Exit::Signalled(9) };
    let changes = world.order(&Command::Runtime(exit)).unwrap();
    assert!(changes.endpoints.contains(&service("payment")) && changes.sidecars);
    assert!(endpoints(&world.state).services.is_empty());
    assert!(sidecars(&world.state, |_| [7; 32]).sidecars.is_empty());
}

#[test]
fn what_tenon_runs_can_be_neither_deregistered_nor_registered_by_others() {
    let mut world = World::of(shop());
    world.execute(0);
    assert_eq!(world.order(&deregister("payment", "p1")), Err(Code::RegistryManagedInstance));
    let mine = Registration { origin: Origin::Managed { slot: 1 }, ..registration("payment", "x", 1) };
    let register = Command::Registry(registry::Command::Register(mine));
    assert_eq!(world.order(&register), Err(Code::RequestInvalid));
}

#[test]
fn what_is_unhealthy_for_too_long_is_replaced_or_deregistered() {
    let mut world = World::of(shop());
    world.execute(0);
    let own = registry::Command::Register(registration("payment", "mine", 9_500));
    world.order(&Command::Registry(own)).unwrap();
    for instance in ["p1", "mine"] {
        let give_up = Command::GiveUp { service: service("payment"), instance: id(instance) };
        world.order(&give_up).unwrap();
    }
    assert!(world.state.registry.get(&id("mine")).is_none());
    assert!(world.state.registry.get(&id("p1")).unwrap().draining);
    assert!(world.state.runtime.get(&id("p1")).unwrap().1.stopping.is_some());
}

#[test]
fn scaling_by_hand_lasts_until_the_manifest_states_other_replicas() {
    let mut world = World::of(shop());
    world.order(&scale(5)).unwrap();
    let recommanded = |replicas| system(vec![managed("payment", replicas, "pay --faster")]);
    world.apply(recommanded(2)).unwrap();
    assert_eq!(wanted(&world), 5);
    world.apply(recommanded(3)).unwrap();
    assert_eq!(wanted(&world), 3);
}

#[test]
fn a_service_that_comes_back_after_its_removal_is_neither_stopped_nor_scaled() {
    let mut world = World::of(shop());
    world.order(&scale(5)).unwrap();
    let stop = runtime::Command::StopService { service: service("payment") };
    world.order(&Command::Runtime(stop)).unwrap();
    world.apply(system(vec![])).unwrap();
    world.apply(shop()).unwrap();
    assert_eq!(wanted(&world), 2);
}

#[test]
fn a_manifest_is_applied_with_its_configuration_or_not_at_all() {
    let mut world = World::of(with_config(shop(), "payment", &[("limit", "1")]));
    let read = |world: &World| world.state.config.get(&service("payment"), &key("limit")).cloned();
    assert_eq!(read(&world).unwrap().value, value("1"));
    let large = format!("\"{}\"", "x".repeat(config::Value::MAX_BYTES));
    let before = world.state.clone();
    let refused = world.apply(with_config(system(vec![]), "payment", &[("limit", &large)]));
    assert_eq!(refused, Err(Code::ConfigInvalidValue));
    assert_eq!(world.state, before);
}

#[test]
fn configuration_of_an_unknown_service_is_refused() {
    let mut world = World::of(shop());
    let (service, key, value) = (service("nobody"), key("limit"), value("1"));
    let set = config::Command::Set { service, key, value, expected: None };
    assert_eq!(world.order(&Command::Config(set)), Err(Code::RegistryUnknownService));
}

#[test]
fn an_instance_with_a_time_to_live_is_not_asked_and_does_not_stay_forever() {
    let mut world = World::of(shop());
    let ttl = Duration::from_secs(3);
    let origin = Origin::Registered { ttl: Some(ttl) };
    let own = Registration { origin, ..registration("payment", "mine", 9_500) };
    world.order(&Command::Registry(registry::Command::Register(own))).unwrap();
    let config = health_config(&world.state, world.state.registry.get(&id("mine")).unwrap()).unwrap();
    assert_eq!(config.check, health::Check::Ttl { ttl });
    assert_eq!(config.deregister_after, Some(Duration::from_secs(60)));
    world.execute(0);
    let config = health_config(&world.state, world.state.registry.get(&id("p1")).unwrap()).unwrap();
    assert_eq!(config, health::Config::default());
}

#[test]
fn a_service_rests_while_it_is_to_have_no_instance() {
    let mut world = World::of(system(vec![
        managed("payment", 1, "pay"),
        managed("batch", 0, "batch"),
        external("ledger", &[9_000]),
    ]));
    let payment = || service("payment");
    let order = |world: &mut World, command| world.order(&Command::Runtime(command)).unwrap().routes;
    let resting = |world: &World| routes(&world.state).resting;
    assert_eq!(resting(&world), [service("batch")].into(), "others may get instances at any time");

    assert!(order(&mut world, runtime::Command::StopService { service: payment() }));
    assert_eq!(resting(&world), [service("batch"), payment()].into());
    let scaled = |replicas| runtime::Command::ScaleService { service: payment(), replicas };
    assert!(!order(&mut world, scaled(0)), "it is stopped anyway");
    assert!(!order(&mut world, runtime::Command::StartService { service: payment() }));
    assert_eq!(resting(&world), [service("batch"), payment()].into());
    assert!(order(&mut world, scaled(2)));
    assert!(!order(&mut world, scaled(3)));
    assert_eq!(resting(&world), [service("batch")].into());
}

#[test]
fn events_go_to_the_stream_of_their_area_and_service() {
    let mut world = World::of(with_config(shop(), "payment", &[("limit", "1")]));
    world.execute(0);
    let streams: BTreeSet<_> = world.log.iter().map(|(_, event)| stream(event).to_string()).collect();
    let expected = [
        "$tenon/config/default/payment",
        "$tenon/registry/default/ledger",
        "$tenon/registry/default/payment",
        "$tenon/runtime/default/payment",
        "$tenon/system",
    ];
    assert_eq!(streams, expected.map(str::to_owned).into());
    for (_, event) in &world.log {
        assert!(stream(event).is_reserved());
        assert_eq!(tags(event)[0].as_str(), CONTROL_TAG);
    }
    assert_eq!(tags(&world.log[1].1)[1].as_str(), "service:default/payment");
}

#[test]
fn routes_and_sidecars_follow_from_the_manifest() {
    let mut order = managed("order", 1, "order");
    order.depends_on.insert(crate::fixtures::name("payment"));
    let mut system = system(vec![order, managed("payment", 1, "pay")]);
    system.egress = crate::manifest::Egress::Allow;
    let mut world = World::of(system);
    world.execute(0);
    let routes = routes(&world.state);
    assert_eq!(routes.services.len(), 2);
    assert_eq!(routes.egress, crate::manifest::Egress::Allow);
    let sidecars = sidecars(&world.state, |_| [7; 32]).sidecars;
    let sidecar = &sidecars[&id("p1")];
    assert_eq!(sidecar.service, service("order"));
    assert_eq!(sidecar.depends_on, [service("payment")].into());
    assert_eq!(sidecar.application, local(20_003));
}

/// What happens in a random run.
#[derive(Debug, Clone)]
enum Step {
    Order(Box<Command>),
    Execute(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => command().prop_map(|it| Step::Order(Box::new(it))),
        4 => (0..3usize).prop_map(Step::Execute),
        1 => (0..3_000u64).prop_map(Step::Wait),
    ]
}

fn take(world: &mut World, step: &Step) -> Changes {
    match step {
        Step::Order(command) => world.order(command).unwrap_or_default(),
        Step::Execute(which) => world.execute(*which),
        Step::Wait(millis) => {
            world.now = world.now.after(Duration::from_millis(*millis));
            Changes::default()
        }
    }
}

/// Everything that differs between two states and was not told.
fn untold(before: &State, after: &State, told: &Changes) -> Vec<&'static str> {
    let (mut earlier, later) = (before.clone(), after.clone());
    earlier.revision = later.revision;
    let mut untold = Vec::new();
    let (a, b) = (endpoints(&earlier).services, endpoints(&later).services);
    let differs = |of: &ServiceRef| a.get(of) != b.get(of);
    if a.keys().chain(b.keys()).any(|of| differs(of) && !told.endpoints.contains(of)) {
        untold.push("endpoints");
    }
    if !told.routes && routes(&earlier) != routes(&later) {
        untold.push("routes");
    }
    if !told.sidecars && sidecars(&earlier, |_| [0; 32]) != sidecars(&later, |_| [0; 32]) {
        untold.push("sidecars");
    }
    if told.config.is_empty()
        && earlier.config.values(&service("payment")) != later.config.values(&service("payment"))
    {
        untold.push("configuration");
    }
    if told.instances.is_empty() && earlier.registry != later.registry {
        untold.push("instances");
    }
    if told.runtime.is_empty() && earlier.runtime != later.runtime {
        untold.push("runtime");
    }
    untold
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_invariants_hold_after_any_commands(steps in proptest::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            take(&mut world, step);
            prop_assert_eq!(invariants::violated(&world.state), Vec::<&str>::new(), "after {:?}", step);
        }
    }

    #[test]
    fn every_change_is_told(steps in proptest::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            let before = world.state.clone();
            let told = take(&mut world, step);
            prop_assert_eq!(untold(&before, &world.state, &told), Vec::<&str>::new(), "after {:?}", step);
        }
    }

    #[test]
    fn an_accepted_command_changes_something_with_each_event(
        steps in proptest::collection::vec(step(), 0..60), last in command(),
    ) {
        let mut world = World::new();
        for step in &steps {
            take(&mut world, step);
        }
        for event in decide(&world.state, &last, world.now).unwrap_or_default() {
            let before = world.state.clone();
            let stamp = Stamp { position: before.revision.position, ..stamp(1, world.now) };
            world.state.evolve(&stamp, &event);
            prop_assert_ne!(&before, &world.state, "{:?}", event);
        }
    }

    #[test]
    fn a_replay_gives_the_same_state_from_the_start_or_from_a_snapshot(
        steps in proptest::collection::vec(step(), 0..60), at in 0..100usize,
    ) {
        let mut world = World::new();
        for step in &steps {
            take(&mut world, step);
        }
        let (head, tail) = world.log.split_at(at.min(world.log.len()));
        let mut replayed = World::new().state;
        for (stamp, event) in head {
            replayed.evolve(stamp, event);
        }
        let mut resumed = replayed.clone();
        for (stamp, event) in tail {
            replayed.evolve(stamp, event);
            resumed.evolve(stamp, event);
        }
        prop_assert_eq!(&replayed, &world.state);
        prop_assert_eq!(&resumed, &world.state);
    }

    #[test]
    fn any_sequence_of_events_is_folded_without_a_panic(
        events in proptest::collection::vec((event(), 0..20_000u64), 0..120),
    ) {
        let mut world = World::new();
        for (event, passed) in events {
            world.now = world.now.after(Duration::from_millis(passed));
            let before = world.state.clone();
            let told = world.append(vec![event]);
            for (name, holds) in invariants::UNCONDITIONAL {
                prop_assert!(holds(&world.state), "{}", name);
            }
            prop_assert_eq!(untold(&before, &world.state, &told), Vec::<&str>::new());
            runtime::plan(&world.state.runtime, &world.state.catalog, &world.state.registry, world.now);
            runtime::adopt(&world.state.runtime, &std::collections::BTreeMap::new());
        }
    }

    #[test]
    fn any_command_is_decided_in_any_state_without_a_panic(
        events in proptest::collection::vec(event(), 0..60), commands in proptest::collection::vec(command(), 0..20),
    ) {
        let mut world = World::new();
        world.append(events);
        for command in &commands {
            if let Err(code) = world.order(command) {
                prop_assert!(code != Code::Internal);
            }
        }
    }
}
