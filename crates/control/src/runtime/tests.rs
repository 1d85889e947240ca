mod supervisor;

use super::*;
use crate::testing::{Fixture, apply, managed, service_ref, system};
use crate::writer::View;
use supervisor::FakeSupervisor;
use tenon_core::manifest::{System, Workload};
use tenon_core::registry::Instance;
use tenon_store::memory::AppendFault;

/// A server without its API, and a supervisor that plays its part.
struct Rig {
    fixture: Fixture,
    supervisor: FakeSupervisor,
    supervised: Supervised,
    _keys: tempfile::TempDir,
}

impl Rig {
    async fn with(system: System) -> Self {
        let fixture = Fixture::with(system).await;
        let supervisor = FakeSupervisor::start(&fixture.writer);
        Self::join(fixture, supervisor)
    }

    fn join(fixture: Fixture, supervisor: FakeSupervisor) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        let (writer, clock, stop) = (fixture.writer.clone(), fixture.clock.clone(), fixture.stop.clone());
        let [health, runtime] = Duty::ALL.map(|duty| OnDuty::always(&writer, duty));
        crate::checks::start(writer.clone(), clock.clone(), health, stop.clone());
        let api = "127.0.0.1:7420".parse().unwrap();
        let (supervised, _) = start(writer, clock, keys, supervisor.socket(), api, runtime, stop);
        Self { fixture, supervisor, supervised, _keys: folder }
    }

    /// Kills the server and starts another one on the same log, after `meanwhile`.
    async fn restart_server(self, meanwhile: impl FnOnce(&FakeSupervisor)) -> Self {
        let Self { fixture, supervisor, .. } = self;
        let log = fixture.log.clone();
        drop(fixture);
        supervisor.until_alone().await;
        meanwhile(&supervisor);
        let fixture = Fixture::on(log).await;
        supervisor.watch_with(&fixture.writer);
        Self::join(fixture, supervisor)
    }

    async fn until_healthy(&self, service: &str, count: usize) {
        let service = service_ref(service);
        self.fixture
            .until(|view| {
                callable(view, &service).len() == count
                    && view.state.registry.instances(&service).count() == count
            })
            .await;
    }

    fn instances(&self, service: &str) -> Vec<Instance> {
        self.fixture
            .writer
            .read(|view| view.state.registry.instances(&service_ref(service)).cloned().collect())
    }

    fn ids(&self, service: &str) -> Vec<InstanceId> {
        self.instances(service).iter().map(|it| it.id().clone()).collect()
    }

    async fn run(&self, command: runtime::Command) {
        self.fixture.run(Command::Runtime(command)).await;
    }

    async fn until_gone(&self, instance: &InstanceId) {
        self.fixture.until(|view| view.state.runtime.get(instance).is_none()).await;
    }

    /// How the instances ended that the log knows of.
    fn exits(&self) -> Vec<Exit> {
        use tenon_core::platform::Event;
        self.fixture.writer.read(|view| {
            let all = view.history.after(tenon_core::Position::START).unwrap();
            let exit = |recorded: &Arc<crate::writer::Recorded>| match &recorded.event {
                Event::Runtime(runtime::Event::InstanceExited { exit, .. }) => Some(exit.clone()),
                _ => None,
            };
            all.filter_map(exit).collect()
        })
    }
}

fn callable<'a>(view: &'a View, service: &ServiceRef) -> Vec<&'a Instance> {
    view.state.registry.instances(service).filter(|it| it.is_callable()).collect()
}

fn order(replicas: u32) -> System {
    system([managed("order", replicas)])
}

fn scale(replicas: u32) -> runtime::Command {
    runtime::Command::ScaleService { service: service_ref("order"), replicas }
}

#[tokio::test]
async fn every_replica_is_announced_started_and_found_healthy() {
    let rig = Rig::with(order(3)).await;
    rig.until_healthy("order", 3).await;
    let spawned = rig.supervisor.spawned();
    assert_eq!(spawned.len(), 3);
    assert!(rig.supervisor.every_start_was_announced());
    let ports: BTreeSet<&String> = spawned.iter().map(|it| &it.env["PORT"]).collect();
    assert_eq!(ports.len(), 3);
    for instance in rig.instances("order") {
        let spawn = spawned.iter().find(|it| it.instance == *instance.id()).unwrap();
        assert_eq!(spawn.env["PORT"], instance.registration.address.port().to_string());
        let running =
            rig.fixture.writer.read(|view| view.state.runtime.get(instance.id()).unwrap().1.process.unwrap());
        assert_eq!(Some(running.pid), rig.supervisor.pid_of(instance.id()));
    }
    assert!(rig.supervised.is_so());
}

#[tokio::test]
async fn ports_lie_in_the_range_and_never_clash() {
    let rig = Rig::with(order(5)).await;
    rig.until_healthy("order", 5).await;
    let ports: Vec<u16> = rig
        .fixture
        .writer
        .read(|view| view.state.runtime.instances().flat_map(|(_, it)| it.ports.all()).collect());
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 15);
    assert!(ports.iter().all(|port| crate::ports::RANGE.contains(port)));
}

#[tokio::test]
async fn a_process_that_crashes_leaves_at_once_and_is_started_anew() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let victim = rig.ids("order")[0].clone();
    rig.supervisor.crash(&victim, Ending::Signal(9));
    rig.until_gone(&victim).await;
    assert!(!rig.ids("order").contains(&victim), "taken out in the same append as its end");
    rig.until_healthy("order", 2).await;
    assert_eq!(rig.exits(), [Exit::Signalled(9)]);
    assert_eq!(rig.supervisor.spawned().len(), 3);
}

#[tokio::test]
async fn a_process_that_cannot_be_started_is_recorded_with_the_reason_and_tried_again() {
    let fixture = Fixture::with(order(1)).await;
    let supervisor = FakeSupervisor::start(&fixture.writer);
    supervisor.refuse_next(Refusal::new(Code::RuntimeStartFailed, "no such program"));
    let rig = Rig::join(fixture, supervisor);
    rig.until_healthy("order", 1).await;
    assert_eq!(rig.exits(), [Exit::StartFailed("no such program".into())]);
}

#[tokio::test]
async fn a_stopped_service_leaves_the_rotation_before_its_processes_end() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    rig.run(runtime::Command::StopService { service: service_ref("order") }).await;
    rig.fixture.until(|view| view.state.runtime.instances().next().is_none()).await;
    assert_eq!(rig.supervisor.stopped().len(), 2);
    assert!(rig.supervisor.every_stop_came_after_draining());
    assert_eq!(rig.instances("order"), []);
    rig.run(runtime::Command::StartService { service: service_ref("order") }).await;
    rig.until_healthy("order", 2).await;
}

#[tokio::test]
async fn scaling_starts_and_stops_as_many_as_asked_for() {
    let rig = Rig::with(order(1)).await;
    rig.until_healthy("order", 1).await;
    let first = rig.ids("order");
    rig.run(scale(3)).await;
    rig.until_healthy("order", 3).await;
    rig.run(scale(1)).await;
    rig.until_healthy("order", 1).await;
    assert_eq!(rig.ids("order"), first, "the highest slots are emptied");
}

#[tokio::test]
async fn another_specification_replaces_processes_one_by_one() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let before = rig.ids("order");
    let mut changed = managed("order", 2);
    if let Workload::Process(process) = &mut changed.workload {
        process.env.insert("COLOUR".into(), "blue".into());
    }
    rig.fixture.run(apply(system([changed]))).await;
    let service = service_ref("order");
    rig.fixture
        .until(|view| {
            let callable = callable(view, &service);
            assert!(!callable.is_empty(), "some instance may always be called");
            callable.len() == 2 && callable.iter().all(|it| !before.contains(it.id()))
        })
        .await;
    let blue = rig.supervisor.spawned().iter().filter(|it| it.env["COLOUR"] == "blue").count();
    assert_eq!(blue, 2);
}

#[tokio::test]
async fn a_removed_service_is_ended() {
    let rig = Rig::with(system([managed("order", 1), managed("payment", 1)])).await;
    rig.until_healthy("order", 1).await;
    rig.until_healthy("payment", 1).await;
    rig.fixture.run(apply(order(1))).await;
    rig.fixture.until(|view| view.state.runtime.instances().count() == 1).await;
    assert_eq!(rig.instances("payment"), []);
}

#[tokio::test]
async fn a_restarted_server_adopts_what_runs() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let before = rig.ids("order");
    let rig = rig.restart_server(|_| {}).await;
    rig.run(scale(3)).await;
    rig.until_healthy("order", 3).await;
    assert!(before.iter().all(|id| rig.ids("order").contains(id)));
    assert_eq!(rig.supervisor.spawned().len(), 3, "only the third was started");
    assert_eq!((rig.supervisor.stopped().len(), rig.exits().len()), (0, 0));
}

#[tokio::test]
async fn a_restarted_server_records_the_ends_that_it_missed() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let victim = rig.ids("order")[1].clone();
    let rig = rig.restart_server(|supervisor| supervisor.crash(&victim, Ending::Code(3))).await;
    rig.until_gone(&victim).await;
    assert_eq!(rig.exits(), [Exit::Exited(3)]);
    rig.until_healthy("order", 2).await;
}

#[tokio::test]
async fn what_no_supervisor_knows_any_more_is_recorded_as_lost() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let before = rig.ids("order");
    let rig = rig.restart_server(FakeSupervisor::forget_everything).await;
    for id in &before {
        rig.until_gone(id).await;
    }
    assert_eq!(rig.exits(), [Exit::Lost, Exit::Lost]);
    rig.until_healthy("order", 2).await;
}

#[tokio::test]
async fn a_process_that_the_log_does_not_know_is_ended() {
    let rig = Rig::with(order(1)).await;
    rig.until_healthy("order", 1).await;
    let stray = crate::testing::id("order-7-00000000");
    let rig = rig.restart_server(|supervisor| supervisor.run_unasked(&stray)).await;
    rig.supervisor.until(|it| it.pid_of(&stray).is_none()).await;
    assert_eq!(rig.supervisor.stopped(), [stray]);
    rig.until_healthy("order", 1).await;
}

#[tokio::test]
async fn a_lost_connection_changes_nothing() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    let before = rig.ids("order");
    rig.supervisor.drop_connection();
    rig.supervisor.until_joined().await;
    rig.run(scale(3)).await;
    rig.until_healthy("order", 3).await;
    assert!(before.iter().all(|id| rig.ids("order").contains(id)));
    assert_eq!(rig.exits(), []);
}

#[tokio::test]
async fn a_start_that_cannot_be_recorded_is_found_by_comparing() {
    let rig = Rig::with(order(1)).await;
    rig.until_healthy("order", 1).await;
    // The announcement of the next one succeeds, the report of its start does not.
    rig.fixture.log.faults().order_success();
    rig.fixture.log.faults().order_success();
    rig.fixture.log.faults().order(AppendFault::Full);
    rig.run(scale(2)).await;
    let is_so =
        |view: &View| view.state.runtime.instances().filter(|(_, it)| it.process.is_some()).count() == 2;
    rig.fixture.until(is_so).await;
    rig.until_healthy("order", 2).await;
    assert_eq!(rig.supervisor.spawned().len(), 2);
}

#[tokio::test]
async fn while_the_supervisor_ends_everything_ends_are_recorded_and_nothing_is_started() {
    let rig = Rig::with(order(2)).await;
    rig.until_healthy("order", 2).await;
    rig.supervisor.shut_down();
    rig.fixture.until(|view| view.state.runtime.instances().next().is_none()).await;
    assert_eq!(rig.exits(), [Exit::Signalled(15), Exit::Signalled(15)]);
    assert_eq!(rig.supervisor.spawned().len(), 2);
    assert_eq!(rig.instances("order"), []);
}

#[tokio::test]
async fn without_a_supervisor_nothing_is_started_until_one_comes() {
    let fixture = Fixture::with(order(1)).await;
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::open(folder.path()).unwrap();
    let socket = folder.path().join("supervisor.sock");
    let (writer, clock, stop) = (fixture.writer.clone(), fixture.clock.clone(), fixture.stop.clone());
    let (api, on_duty) = ("127.0.0.1:7420".parse().unwrap(), OnDuty::always(&writer, Duty::Runtime));
    let (supervised, _) = start(writer, clock, keys, socket.clone(), api, on_duty, stop);
    assert_eq!(fixture.writer.read(|view| view.state.runtime.instances().count()), 0);
    assert!(!supervised.is_so());
    let supervisor = FakeSupervisor::at(socket, &fixture.writer);
    fixture.until(|view| view.state.runtime.instances().any(|(_, it)| it.process.is_some())).await;
    assert_eq!(supervisor.spawned().len(), 1);
}

#[tokio::test]
async fn an_instance_that_stays_unhealthy_is_replaced() {
    let mut service = managed("order", 1);
    service.health.deregister_after = Some(Duration::from_millis(100));
    let rig = Rig::with(system([service])).await;
    rig.until_healthy("order", 1).await;
    let victim = rig.ids("order")[0].clone();
    rig.supervisor.hang(&victim);
    rig.until_gone(&victim).await;
    assert_eq!(rig.supervisor.stopped(), [victim]);
    rig.until_healthy("order", 1).await;
}
