use super::*;
use crate::testing::{Fixture, LONG, bare, record_health, register, system};
use tenon_core::Code;
use tenon_core::health::Status;
use tenon_store::MemoryLog;
use tenon_store::lease::MemoryLeases;

/// A server that wants the duty of health.
struct Server {
    fixture: Fixture,
    on_duty: OnDuty,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

const fn id(number: u8) -> ServerId {
    ServerId::from_bytes([number; 16])
}

impl Server {
    async fn start(log: &MemoryLog, leases: &MemoryLeases, number: u8) -> Self {
        let fixture = Fixture::on(log.clone()).await;
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (writer, leases) = (fixture.writer.clone(), Arc::new(leases.clone()));
        let on_duty = take(Duty::Health, writer, leases, id(number), &mut tasks, stop.clone());
        Self { fixture, on_duty, tasks, stop }
    }

    async fn begins(&mut self) -> Epoch {
        tokio::time::timeout(LONG, self.on_duty.begins()).await.expect("the server never has the duty")
    }

    async fn ends(&mut self, epoch: Epoch) {
        tokio::time::timeout(LONG, self.on_duty.ends(epoch)).await.expect("the server keeps the duty");
    }

    /// Records what health checks say, under an epoch.
    async fn record(&self, epoch: Epoch, to: Status) -> Result<(), Code> {
        let writer = self.fixture.writer.under(Duty::Health, epoch);
        let recorded = writer.command(server_actor(), record_health("payment", "p1", to)).await;
        recorded.map(drop).map_err(|refusal| refusal.code)
    }
}

async fn two_servers() -> (Server, Server, Epoch, MemoryLeases) {
    let (log, leases) = (MemoryLog::default(), MemoryLeases::default());
    let mut one = Server::start(&log, &leases, 1).await;
    let epoch = one.begins().await;
    one.fixture.run(crate::testing::apply(system([bare("payment")]))).await;
    one.fixture.run(register("payment", "p1")).await;
    let two = Server::start(&log, &leases, 2).await;
    (one, two, epoch, leases)
}

#[tokio::test(start_paused = true)]
async fn one_of_two_servers_has_a_duty_and_the_other_takes_it_at_its_end() {
    let (one, mut two, epoch, _) = two_servers().await;
    assert!(tokio::time::timeout(SPAN * 5, two.on_duty.begins()).await.is_err(), "both have the duty");
    one.stop.cancel();
    one.tasks.join_all().await;
    let next = two.begins().await;
    assert!(next > epoch);
    let holder = two.fixture.writer.read(|view| view.state.duties.holder(Duty::Health));
    assert_eq!(holder, Some(Holder { server: id(2), epoch: next }));
}

#[tokio::test(start_paused = true)]
async fn what_a_server_records_after_another_took_its_duty_is_refused() {
    let (mut one, mut two, epoch, _) = two_servers().await;
    assert_eq!(one.record(epoch, Status::Healthy).await, Ok(()));
    // It dies, as far as others can see, and gives nothing back.
    one.tasks.abort_all();
    let next = two.begins().await;
    assert_eq!(one.record(epoch, Status::Unhealthy).await, Err(Code::ServerOffDuty));
    assert_eq!(two.record(next, Status::Unhealthy).await, Ok(()));
    // Changes that need no duty are made by both, as ever.
    one.fixture.run(register("payment", "p2")).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_lease_is_another_s_leaves_off() {
    let (mut one, mut two, epoch, leases) = two_servers().await;
    // As if it had been halted for longer than its lease.
    leases.release(Duty::Health.as_str(), id(1)).await.unwrap();
    assert!(leases.hold(Duty::Health.as_str(), id(2), SPAN).await.unwrap());
    let next = two.begins().await;
    one.ends(epoch).await;
    assert!(next > epoch);
}

#[tokio::test]
async fn a_server_alone_has_every_duty() {
    let fixture = Fixture::new().await;
    let mut on_duty = OnDuty::always(&fixture.writer, Duty::Runtime);
    assert_eq!(on_duty.begins().await, Epoch::default());
}
