use super::*;
use crate::catalog;
use crate::error::Code;
use crate::fixtures::{catalog, external, id, managed, millis, name, service, stamp, system};
use crate::health::{Evidence, Status};
use crate::registry::{self, Labels, Origin, Registration};
use proptest::prelude::*;

/// One service and all that bears on its plan.
struct World {
    catalog: catalog::State,
    registry: registry::State,
    state: State,
    now: Timestamp,
    ports: u16,
}

impl World {
    fn new(replicas: u32) -> Self {
        Self {
            catalog: catalog(system(vec![managed("payment", replicas, "pay"), external("ledger", &[9_000])])),
            registry: registry::State::default(),
            state: State::default(),
            now: millis(1_000),
            ports: 20_000,
        }
    }

    fn apply(&mut self, replicas: u32, command: &str) {
        self.catalog = catalog(system(vec![managed("payment", replicas, command)]));
    }

    fn plan(&self) -> Plan {
        plan(&self.state, &self.catalog, &self.registry, self.now)
    }

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Code> {
        decide(&self.state, &self.catalog, &self.registry, command, self.now).map_err(|it| it.code)
    }

    fn order(&mut self, command: &Command) {
        for event in self.decide(command).unwrap() {
            self.state.evolve(&stamp(1, self.now), &event);
        }
    }

    /// Starts what the plan wants started and says that it runs. Answers the new instances.
    fn start_planned(&mut self) -> Vec<String> {
        let starts = self.plan().actions.into_iter().filter_map(|action| match action {
            Action::Start { service, slot, spec } => Some((service, slot, spec)),
            _ => None,
        });
        starts.collect::<Vec<_>>().into_iter().map(|(of, slot, spec)| self.start(of, slot, spec)).collect()
    }

    fn start(&mut self, of: ServiceRef, slot: u32, spec: SpecHash) -> String {
        self.ports += 3;
        let text = format!("{}-{slot}-{}", of.name, self.ports);
        let (instance, started_at) = (id(&text), self.now);
        let ports = Ports { application: self.ports, inbound: self.ports + 1, outbound: self.ports + 2 };
        self.order(&Command::Announce { instance: instance.clone(), service: of, slot, spec, ports });
        self.order(&Command::ReportStarted { instance, pid: 7, started_at });
        text
    }

    /// Makes an instance healthy, or not.
    fn check(&mut self, instance: &str, to: Status) {
        let (service, known) = self.state.get(&id(instance)).unwrap();
        let (service, slot) = (service.clone(), known.slot);
        let new = Registration {
            origin: Origin::Managed { slot },
            labels: Labels::default(),
            ..crate::fixtures::registration("payment", instance, known.ports.application)
        };
        let evidence = Evidence::new("TCP connection", "accepted", Duration::ZERO);
        let (instance, from) = (id(instance), Status::Unknown);
        let changed = registry::Event::InstanceHealthChanged { service, instance, from, to, evidence };
        self.registry.evolve(&stamp(1, self.now), &registry::Event::InstanceRegistered(new));
        self.registry.evolve(&stamp(1, self.now), &changed);
    }

    fn exit(&mut self, instance: &str) {
        self.order(&Command::ReportExited { instance: id(instance), exit: Exit::Exited(1) });
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after(Duration::from_millis(millis));
    }

    fn stops(&self) -> Vec<(String, StopReason)> {
        let stop = |action| match action {
            Action::Stop { instance, reason } => Some((instance.to_string(), reason)),
            _ => None,
        };
        self.plan().actions.into_iter().filter_map(stop).collect()
    }

    /// Carries out the stops of the plan.
    fn stop_planned(&mut self) {
        for (instance, reason) in self.stops() {
            self.order(&Command::Stop { instance: id(&instance), reason });
        }
    }
}

fn payment() -> ServiceRef {
    service("payment")
}

#[test]
fn every_replica_is_started_once() {
    let mut world = World::new(3);
    let slots: Vec<_> = world.start_planned();
    assert_eq!(slots.len(), 3);
    assert_eq!(world.plan(), Plan::default(), "nothing is left to do, and nothing to wait for");
}

#[test]
fn a_service_that_runs_elsewhere_is_not_managed() {
    let world = World::new(1);
    let ledger = || service("ledger");
    assert_eq!(world.decide(&Command::StopService { service: ledger() }), Err(Code::RuntimeNotManaged));
    let scale = Command::ScaleService { service: ledger(), replicas: 2 };
    assert_eq!(world.decide(&scale), Err(Code::RuntimeNotManaged));
    let unknown = Command::StartService { service: service("nobody") };
    assert_eq!(world.decide(&unknown), Err(Code::RegistryUnknownService));
}

#[test]
fn a_crashed_instance_is_restarted_after_a_backoff_that_doubles() {
    let mut world = World::new(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let started = world.start_planned();
        world.exit(&started[0]);
        let plan = world.plan();
        assert_eq!(plan.actions, []);
        let due = plan.wake_at.unwrap();
        waits.push(due.since(world.now).as_millis());
        world.now = due;
    }
    assert_eq!(waits[..9], [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600]);
    assert_eq!(waits[9..], [30_000; 3]);
}

#[test]
fn a_steady_run_begins_the_backoff_anew() {
    let mut world = World::new(1);
    for _ in 0..5 {
        let started = world.start_planned();
        world.exit(&started[0]);
        world.now = world.plan().wake_at.unwrap();
    }
    let started = world.start_planned();
    world.pass(10_000);
    world.exit(&started[0]);
    assert_eq!(world.plan().wake_at.unwrap().since(world.now), FIRST_BACKOFF);
}

#[test]
fn an_end_that_was_asked_for_is_no_failure() {
    let mut world = World::new(1);
    let started = world.start_planned();
    world.order(&Command::Stop { instance: id(&started[0]), reason: StopReason::Unhealthy });
    world.exit(&started[0]);
    assert_eq!(world.start_planned().len(), 1, "there is no back-off to wait for");
}

#[test]
fn start_and_another_specification_do_not_wait_for_the_backoff() {
    let mut world = World::new(1);
    for _ in 0..5 {
        let started = world.start_planned();
        world.exit(&started[0]);
        world.now = world.plan().wake_at.unwrap();
    }
    let started = world.start_planned();
    world.exit(&started[0]);
    assert_eq!(world.plan().actions, []);
    world.apply(1, "pay --mended");
    assert_eq!(world.plan().actions.len(), 1);
    world.apply(1, "pay");
    world.order(&Command::StartService { service: payment() });
    assert_eq!(world.plan().actions.len(), 1);
}

#[test]
fn scaling_down_stops_the_highest_slots_first() {
    let mut world = World::new(3);
    let started = world.start_planned();
    world.order(&Command::ScaleService { service: payment(), replicas: 1 });
    let expected = [&started[2], &started[1]].map(|it| (it.clone(), StopReason::ScaledDown));
    assert_eq!(world.stops(), expected);
    world.stop_planned();
    world.exit(&started[2]);
    world.exit(&started[1]);
    assert_eq!(world.plan(), Plan::default(), "an end that was asked for is no failure");
}

#[test]
fn more_replicas_than_there_may_be_are_refused() {
    let world = World::new(1);
    let scale = |replicas| Command::ScaleService { service: payment(), replicas };
    assert_eq!(world.decide(&scale(crate::manifest::MAX_REPLICAS + 1)), Err(Code::RuntimeInvalidScale));
    assert_eq!(world.decide(&scale(crate::manifest::MAX_REPLICAS)).unwrap().len(), 1);
    assert_eq!(world.decide(&scale(0)).unwrap().len(), 1);
}

#[test]
fn a_stopped_service_stays_stopped_until_it_is_started() {
    let mut world = World::new(2);
    let started = world.start_planned();
    world.order(&Command::StopService { service: payment() });
    assert!(world.stops().iter().all(|(_, reason)| *reason == StopReason::ServiceStopped));
    world.stop_planned();
    for instance in &started {
        world.exit(instance);
    }
    assert_eq!(world.plan(), Plan::default());
    assert_eq!(world.decide(&Command::StopService { service: payment() }), Ok(vec![]));
    world.order(&Command::StartService { service: payment() });
    assert_eq!(world.plan().actions.len(), 2);
}

#[test]
fn an_instance_that_was_called_is_drained_before_it_is_ended() {
    let mut world = World::new(2);
    let started = world.start_planned();
    world.check(&started[0], Status::Healthy);
    world.order(&Command::StopService { service: payment() });
    world.stop_planned();
    let terminate = |it: &str| Action::Terminate { instance: id(it) };
    assert_eq!(world.plan().actions, [terminate(&started[1])], "that one was never called");
    assert_eq!(world.plan().wake_at, Some(world.now.after(DRAIN)));
    world.now = world.now.after(DRAIN);
    assert_eq!(world.plan().actions, [terminate(&started[0]), terminate(&started[1])]);
}

#[test]
fn a_changed_specification_replaces_one_instance_after_the_other() {
    let mut world = World::new(2);
    let old = world.start_planned();
    for instance in &old {
        world.check(instance, Status::Healthy);
    }
    world.apply(2, "pay --faster");
    let first = world.start_planned();
    assert_eq!(first.len(), 1);
    assert_eq!((world.plan(), world.stops()), (Plan::default(), vec![]), "it is not healthy yet");
    world.check(&first[0], Status::Healthy);
    assert_eq!(world.stops(), [(old[0].clone(), StopReason::Replaced)]);
    world.stop_planned();
    assert!(
        world.plan().actions.iter().all(|it| !matches!(it, Action::Start { .. })),
        "the old one still runs"
    );
    world.exit(&old[0]);
    let second = world.start_planned();
    world.check(&second[0], Status::Healthy);
    assert_eq!(world.stops(), [(old[1].clone(), StopReason::Replaced)]);
}

#[test]
fn a_replacement_that_keeps_failing_leaves_the_old_instances_alone() {
    let mut world = World::new(2);
    let old = world.start_planned();
    for instance in &old {
        world.check(instance, Status::Healthy);
    }
    world.apply(2, "pay --broken");
    for _ in 0..5 {
        let new = world.start_planned();
        assert_eq!(new.len(), 1);
        world.exit(&new[0]);
        assert_eq!(world.stops(), []);
        world.now = world.plan().wake_at.unwrap();
    }
    world.apply(2, "pay");
    assert_eq!(world.plan(), Plan::default(), "going back is all that is needed");
}

#[test]
fn a_specification_that_fails_in_one_slot_is_not_tried_in_another() {
    let mut world = World::new(2);
    let old = world.start_planned();
    world.check(&old[0], Status::Healthy);
    world.apply(2, "pay --broken");
    world.exit(&old[1]);
    let new = world.start_planned();
    assert_eq!(new.len(), 1, "the slot that is empty anyway");
    world.exit(&new[0]);
    assert_eq!(world.plan().actions, [], "the other slot is left alone");
}

#[test]
fn instances_of_a_removed_service_are_stopped() {
    let mut world = World::new(1);
    let started = world.start_planned();
    world.catalog = catalog(system(vec![]));
    assert_eq!(world.stops(), [(started[0].clone(), StopReason::ServiceRemoved)]);
    world.catalog = catalog(system(vec![external("payment", &[9_000])]));
    assert_eq!(world.stops(), [(started[0].clone(), StopReason::ServiceRemoved)]);
}

#[test]
fn an_action_that_is_no_longer_planned_is_refused() {
    let mut world = World::new(1);
    let started = world.start_planned();
    let (_, known) = world.state.get(&id(&started[0])).unwrap();
    let ports = Ports { application: 1, inbound: 2, outbound: 3 };
    let announce = Command::Announce {
        instance: id("payment-1-new"),
        service: payment(),
        slot: 1,
        spec: known.spec,
        ports,
    };
    assert_eq!(world.decide(&announce), Err(Code::RuntimePlanChanged));
    let stop = |reason| Command::Stop { instance: id(&started[0]), reason };
    assert_eq!(world.decide(&stop(StopReason::ScaledDown)), Err(Code::RuntimePlanChanged));
    assert_eq!(world.decide(&stop(StopReason::Unhealthy)).unwrap().len(), 1);
}

#[test]
fn a_port_is_given_once() {
    let mut world = World::new(2);
    let Some(Action::Start { spec, .. }) = world.plan().actions.into_iter().next() else { panic!() };
    let announce = |instance: &str, slot, ports: [u16; 3]| Command::Announce {
        instance: id(instance),
        service: payment(),
        slot,
        spec,
        ports: Ports { application: ports[0], inbound: ports[1], outbound: ports[2] },
    };
    world.order(&announce("a", 1, [1, 2, 3]));
    for ports in [[3, 4, 5], [4, 4, 5], [4, 5, 5], [4, 5, 4], [0, 4, 5]] {
        assert_eq!(world.decide(&announce("b", 2, ports)), Err(Code::RuntimePortTaken), "{ports:?}");
    }
    assert_eq!(world.decide(&announce("a", 2, [4, 5, 6])), Err(Code::RegistryDuplicateInstance));
    world.order(&announce("b", 2, [4, 5, 6]));
    assert_eq!(world.state.used_ports(), (1..=6).collect());
}

#[test]
fn a_restarted_server_adopts_what_runs_and_records_what_ended() {
    let mut world = World::new(3);
    let started = world.start_planned();
    let started_at = world.now;
    let runs = |pid| Observed::Running { pid, started_at };
    let observed = BTreeMap::from([
        (id(&started[0]), runs(7)),
        (id(&started[1]), Observed::Ended(Exit::Signalled(9))),
        (id("stranger"), runs(8)),
        (id("long-gone"), Observed::Ended(Exit::Exited(0))),
    ]);
    let adoption = adopt(&world.state, &observed);
    let exited = |it: &str, exit| Command::ReportExited { instance: id(it), exit };
    let expected = [exited(&started[1], Exit::Signalled(9)), exited(&started[2], Exit::Lost)];
    assert_eq!(adoption.commands, expected);
    assert_eq!(adoption.unknown, [id("stranger")]);
    for command in &adoption.commands {
        world.order(command);
    }
    let only = BTreeMap::from([(id(&started[0]), runs(7))]);
    assert_eq!(adopt(&world.state, &only), Adoption::default());
}

#[test]
fn an_instance_whose_start_was_not_reported_is_adopted() {
    let mut world = World::new(1);
    let Some(Action::Start { spec, .. }) = world.plan().actions.into_iter().next() else { panic!() };
    let ports = Ports { application: 1, inbound: 2, outbound: 3 };
    let (instance, service) = (id("a"), payment());
    world.order(&Command::Announce { instance, service, slot: 1, spec, ports });
    let observed = BTreeMap::from([(id("a"), Observed::Running { pid: 7, started_at: millis(5) })]);
    let expected = Command::ReportStarted { instance: id("a"), pid: 7, started_at: millis(5) };
    assert_eq!(adopt(&world.state, &observed).commands, [expected]);
}

#[test]
fn a_specification_covers_what_a_process_is_started_with_and_nothing_else() {
    let base = managed("payment", 2, "pay");
    let hash = |it: &crate::manifest::Service| spec_hash(it).unwrap();
    let mut scaled = managed("payment", 5, "pay");
    scaled.health.unhealthy_threshold = 9;
    assert_eq!(hash(&base), hash(&scaled));
    assert_ne!(hash(&base), hash(&managed("payment", 2, "pay2")));
    let mut versioned = base.clone();
    versioned.version = crate::manifest::Version::new("2.0.0").unwrap();
    assert_ne!(hash(&base), hash(&versioned));
    assert_eq!(spec_hash(&external("ledger", &[1])), None);
}

#[test]
fn a_specification_is_hashed_as_it_ever_was() {
    // Recorded in logs: if this changes, every instance is replaced by an upgrade.
    assert_eq!(spec_hash(&managed("payment", 2, "pay")), Some(SpecHash(KNOWN_HASH)));
}

const KNOWN_HASH: u64 = 7_415_835_848_106_607_719;

proptest! {
    #[test]
    fn an_instance_id_is_a_label_that_begins_with_its_service(
        of in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?", slot: u32, random: u32,
    ) {
        let instance = instance_id(&name(&of), slot, random);
        prop_assert!(instance.as_str().len() <= 63);
        prop_assert!(instance.as_str().starts_with(&of[..of.len().min(40)]));
        prop_assert_ne!(instance, instance_id(&name(&of), slot, random ^ 1));
    }
}
