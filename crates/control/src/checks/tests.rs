use super::*;
use crate::testing::{
    Fixture, LONG, apply, bare, external, id, record_health, register, registration, service_ref, system,
};
use std::sync::atomic::{AtomicU16, Ordering};
use tenon_core::health::{Check, Status};
use tenon_core::manifest::System;
use tenon_core::platform::Command;
use tenon_core::{Address, registry};
use tenon_store::memory::AppendFault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// A writer and the driver under test.
struct Rig {
    fixture: Fixture,
    heartbeats: Heartbeats,
}

impl Rig {
    async fn with(system: System) -> Self {
        Self::on(Fixture::with(system).await)
    }

    fn on(fixture: Fixture) -> Self {
        let on_duty = OnDuty::always(&fixture.writer, Duty::Health);
        let (heartbeats, _) =
            start(fixture.writer.clone(), fixture.clock.clone(), on_duty, fixture.stop.clone());
        Self { fixture, heartbeats }
    }

    async fn beat(&self, service: &str, name: &str) -> Result<(), Refusal> {
        self.heartbeats.beat(service_ref(service), id(name)).await
    }

    async fn register_with_ttl(&self, name: &str, ttl: Duration) {
        let registration = registration("payment", name, "127.0.0.1:1", Some(ttl));
        self.fixture.run(Command::Registry(registry::Command::Register(registration))).await;
    }

    async fn until_status(&self, name: &str, status: Status) {
        self.fixture
            .until(|view| view.state.registry.get(&id(name)).is_some_and(|it| it.status == status))
            .await;
    }

    /// Waits until the only instance has this status, and answers what that rests on.
    async fn until_only(&self, status: Status) -> Evidence {
        let is_so = |view: &View| {
            view.state.registry.all().all(|it| it.status == status) && !view.state.registry.is_empty()
        };
        self.fixture.until(is_so).await;
        self.fixture.writer.read(|view| view.evidence.values().next().unwrap().clone())
    }
}

/// Somebody who accepts connections until it is dropped.
async fn accepting() -> (Address, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (listener.local_addr().unwrap().into(), accept_on(listener))
}

fn accept_on(listener: TcpListener) -> JoinSet<()> {
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            listener.accept().await.unwrap();
        }
    });
    task
}

/// An HTTP server that answers with whatever status is set.
async fn http_server() -> (Address, Arc<AtomicU16>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, status) = (listener.local_addr().unwrap().into(), Arc::new(AtomicU16::new(200)));
    let answer = Arc::clone(&status);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let status = answer.load(Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = [0; 1_024];
                let _ = stream.read(&mut request).await;
                let response = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(response.as_bytes()).await;
            });
        }
    });
    (address, status)
}

fn one(address: Address, change: impl FnOnce(&mut Config)) -> System {
    let mut service = external("payment", &[address]);
    change(&mut service.health);
    system([service])
}

#[tokio::test]
async fn an_instance_that_answers_becomes_healthy_with_evidence() {
    let (address, _listener) = accepting().await;
    let rig = Rig::with(one(address, |_| {})).await;
    let evidence = rig.until_only(Status::Healthy).await;
    assert_eq!((evidence.check.as_str(), evidence.answer.as_str()), ("TCP connection", "connected"));
}

#[tokio::test]
async fn an_instance_that_goes_away_becomes_unhealthy_and_comes_back() {
    let (address, status) = http_server().await;
    let rig = Rig::with(one(address, |config| config.check = Check::Http { path: "/health".into() })).await;
    rig.until_only(Status::Healthy).await;
    status.store(503, Ordering::Relaxed);
    let evidence = rig.until_only(Status::Unhealthy).await;
    assert_eq!((evidence.check.as_str(), evidence.answer.as_str()), ("GET /health", "status 503"));
    status.store(204, Ordering::Relaxed);
    let evidence = rig.until_only(Status::Healthy).await;
    assert_eq!(evidence.answer, "status 204");
}

#[tokio::test]
async fn an_instance_that_starts_late_is_found_soon() {
    // Bound, so that nobody else gets it, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = Address::from(socket.local_addr().unwrap());
    let rig = Rig::with(one(address.clone(), |config| config.interval = Duration::from_secs(3_600))).await;
    let _listener = accept_on(socket.listen(64).unwrap());
    rig.until_only(Status::Healthy).await;
}

#[tokio::test]
async fn many_instances_are_checked_at_once() {
    let (address, _listener) = accepting().await;
    let rig = Rig::with(one(address.clone(), |config| config.interval = Duration::from_secs(3_600))).await;
    for number in 0..MOST_PROBES + 20 {
        let registration = registration("payment", &format!("p-{number}"), &address.to_string(), None);
        rig.fixture.run(Command::Registry(registry::Command::Register(registration))).await;
    }
    rig.fixture.until(|view| view.state.registry.all().all(|it| it.status == Status::Healthy)).await;
}

#[tokio::test]
async fn an_applied_manifest_changes_how_instances_are_checked() {
    let (address, status) = http_server().await;
    status.store(503, Ordering::Relaxed);
    let rig = Rig::with(one(address.clone(), |_| {})).await;
    rig.until_only(Status::Healthy).await;
    rig.fixture.run(apply(one(address, |config| config.check = Check::Http { path: "/".into() }))).await;
    let evidence = rig.until_only(Status::Unhealthy).await;
    assert_eq!(evidence.answer, "status 503");
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_makes_an_instance_healthy_before_it_is_answered() {
    let rig = Rig::with(system([bare("payment")])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(3)).await;
    assert_eq!(rig.heartbeats.last(&id("payment-a")), None);
    rig.beat("payment", "payment-a").await.unwrap();
    assert_eq!(rig.fixture.status("payment-a"), Some(Status::Healthy));
    assert!(rig.heartbeats.last(&id("payment-a")).is_some());
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_an_instance_healthy_and_silence_makes_it_unhealthy() {
    let rig = Rig::with(system([bare("payment")])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(3)).await;
    for _ in 0..10 {
        rig.beat("payment", "payment-a").await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(rig.fixture.status("payment-a"), Some(Status::Healthy));
    }
    rig.until_status("payment-a", Status::Unhealthy).await;
    let evidence = rig.fixture.writer.read(|view| view.evidence[&id("payment-a")].clone());
    assert_eq!(evidence.answer, "none for 3000 ms");
    rig.beat("payment", "payment-a").await.unwrap();
    assert_eq!(rig.fixture.status("payment-a"), Some(Status::Healthy));
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_stays_unhealthy_is_deregistered() {
    let mut service = bare("payment");
    service.health.deregister_after = Some(Duration::from_secs(5));
    let rig = Rig::with(system([service])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(1)).await;
    rig.beat("payment", "payment-a").await.unwrap();
    rig.until_status("payment-a", Status::Unhealthy).await;
    let unhealthy_since = tokio::time::Instant::now();
    rig.fixture.until(|view| view.state.registry.get(&id("payment-a")).is_none()).await;
    assert!(unhealthy_since.elapsed() >= Duration::from_secs(5));
    assert_eq!(rig.beat("payment", "payment-a").await.unwrap_err().code, Code::RegistryUnknownInstance);
    assert_eq!(rig.heartbeats.last(&id("payment-a")), None);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_of_what_is_not_registered_is_refused() {
    let rig = Rig::with(system([bare("payment"), bare("order")])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(3)).await;
    let code = async |service: &str, name: &str| rig.beat(service, name).await.unwrap_err().code;
    assert_eq!(code("payment", "payment-b").await, Code::RegistryUnknownInstance);
    assert_eq!(code("order", "payment-a").await, Code::RegistryUnknownInstance);
    assert_eq!(code("stock", "payment-a").await, Code::RegistryUnknownService);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_recorded_is_told_and_tried_again() {
    let rig = Rig::with(system([bare("payment")])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(20)).await;
    rig.fixture.log.faults().order(AppendFault::Full);
    assert_eq!(rig.beat("payment", "payment-a").await.unwrap_err().code, Code::LogFull);
    assert_eq!(rig.fixture.status("payment-a"), Some(Status::Unknown));
    rig.until_status("payment-a", Status::Healthy).await;
}

#[tokio::test(start_paused = true)]
async fn a_restarted_server_believes_the_log_and_grants_every_time_out_anew() {
    let before = Rig::with(system([bare("payment")])).await;
    before.register_with_ttl("payment-a", Duration::from_secs(10)).await;
    before.beat("payment", "payment-a").await.unwrap();
    let log = before.fixture.log.clone();
    drop(before);
    tokio::time::sleep(LONG).await;
    let after = Rig::on(Fixture::on(log).await);
    let started = tokio::time::Instant::now();
    assert_eq!(after.fixture.status("payment-a"), Some(Status::Healthy));
    after.until_status("payment-a", Status::Unhealthy).await;
    assert!(started.elapsed() >= Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn an_id_that_is_registered_anew_is_another_instance() {
    let rig = Rig::with(system([bare("payment")])).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(10)).await;
    rig.beat("payment", "payment-a").await.unwrap();
    let (service, instance) = (service_ref("payment"), id("payment-a"));
    let reason = registry::DeregisterReason::Requested;
    rig.fixture.run(Command::Registry(registry::Command::Deregister { service, instance, reason })).await;
    rig.register_with_ttl("payment-a", Duration::from_secs(10)).await;
    assert_eq!(rig.fixture.status("payment-a"), Some(Status::Unknown));
    rig.beat("payment", "payment-a").await.unwrap();
    assert_eq!(rig.fixture.status("payment-a"), Some(Status::Healthy));
}

#[tokio::test]
async fn instances_of_services_that_are_no_longer_declared_are_not_checked() {
    let rig = Rig::with(system([bare("payment")])).await;
    rig.fixture.run(register("payment", "payment-a")).await;
    rig.fixture.run(record_health("payment", "payment-a", Status::Healthy)).await;
    rig.fixture.run(apply(system([bare("order")]))).await;
    assert_eq!(rig.fixture.status("payment-a"), None, "the manifest took it out");
    assert_eq!(rig.beat("payment", "payment-a").await.unwrap_err().code, Code::RegistryUnknownService);
}

#[tokio::test]
async fn a_server_off_duty_refuses_heartbeats_and_says_who_takes_them() {
    let fixture = Fixture::with(system([bare("payment")])).await;
    let (leases, other) =
        (tenon_store::lease::MemoryLeases::default(), tenon_core::ServerId::from_bytes([7; 16]));
    // Another server has the duty, and goes on having it.
    tenon_store::Leases::hold(&leases, "health", other, LONG).await.unwrap();
    fixture.run(Command::Duty(duty::Command::Take { duty: Duty::Health, server: other })).await;
    let mut tasks = JoinSet::new();
    let own = tenon_core::ServerId::from_bytes([8; 16]);
    let (writer, stop) = (fixture.writer.clone(), fixture.stop.clone());
    let on_duty =
        crate::duties::take(Duty::Health, writer.clone(), Arc::new(leases), own, &mut tasks, stop.clone());
    let (heartbeats, _) = start(writer, fixture.clock.clone(), on_duty, stop);
    let refusal = heartbeats.beat(service_ref("payment"), id("p1")).await.unwrap_err();
    assert_eq!(refusal.code, Code::ServerOffDuty);
    assert!(refusal.detail.contains(&other.to_string()), "{refusal}");
}
