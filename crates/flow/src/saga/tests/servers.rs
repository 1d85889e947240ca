//! Several servers on one log.

use super::*;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use tenon_store::LeaseError;
use tenon_store::lease::Held;
use tokio::time::Instant;

pub(super) fn server(number: u8, leases: &MemoryLeases) -> SagaOptions {
    SagaOptions {
        leases: Some(Arc::new(leases.clone())),
        server: ServerId::from_bytes([number; 16]),
        ..alone()
    }
}

/// A server that starts and changes sagas, and has none.
pub(super) fn bystander(number: u8) -> SagaOptions {
    let own = CutOff { leases: MemoryLeases::default(), cut: Arc::new(AtomicBool::new(true)) };
    SagaOptions { leases: Some(Arc::new(own)), server: ServerId::from_bytes([number; 16]), ..alone() }
}

pub(super) async fn started(store: &EventStore, shop: &Arc<Shop>, options: SagaOptions) -> Sagas {
    let participants: Arc<dyn Participants> = Arc::clone(shop) as _;
    Sagas::start(store, participants, options).await.unwrap()
}

#[tokio::test]
async fn any_server_starts_and_changes_sagas_and_one_runs_them() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&fixture.store, &shop, server(1, &leases)).await;
    let steps = json!({"steps": [
        call("order", &[], "compensatable"),
        {"name": "approval", "after": ["order"], "work": {"signal": {"name": "approved"}}},
    ]});
    owner.define(saga("order", steps), false, None).await.unwrap();
    let other = started(&fixture.store, &shop, server(2, &leases)).await;
    let name = SagaName::new("order").unwrap();
    while other.shared.definitions.get(&Namespace::default(), &name).is_none() {
        tokio::task::yield_now().await;
    }
    let id = other.begin(begin("order", None)).await.unwrap().view.id;
    shop.called("order", Direction::Do).await;
    // Either server finds it among those that run.
    for server in [&owner, &other] {
        let filter = Filter { states: [Status::StepExecuting].into(), limit: 10, ..Filter::default() };
        while server.list(filter.clone()).await.unwrap().sagas.iter().all(|it| it.id != id) {
            tokio::task::yield_now().await;
        }
    }
    let signal = Input::Signal { name: SignalName::new("approved").unwrap(), data: Data::new("1") };
    other.tell(id, signal, None).await.unwrap();
    assert_eq!(end_of(&other, id).await.instance.status(), Status::Completed);
    assert_eq!(other.running(), 0);
}

#[tokio::test]
async fn the_sagas_of_a_server_that_is_gone_go_on_at_another() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&fixture.store, &shop, server(1, &leases)).await;
    owner.define(five(), false, None).await.unwrap();
    shop.order("stock/do", &[Order::Swallow]);
    let id = owner.begin(begin("order", None)).await.unwrap().view.id;
    shop.called("stock", Direction::Do).await;
    let other = started(&fixture.store, &shop, server(2, &leases)).await;
    owner.stop().await;
    assert_eq!(end_of(&other, id).await.instance.status(), Status::Completed);
    assert_eq!(shop.done(id).len(), 5);
}

#[tokio::test]
async fn of_two_servers_that_both_believe_to_own_a_saga_one_is_refused_each_time() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    // Neither asks for a lease, so both take everything.
    let one = started(&fixture.store, &shop, alone()).await;
    // Either may be the one whose call is swallowed, and waits for it.
    let mut steps = five_steps();
    for step in steps["steps"].as_array_mut().unwrap() {
        step["work"]["call"]["timeout_ms"] = json!(1_000);
    }
    one.define(saga("order", steps), false, None).await.unwrap();
    for number in 0..20_u8 {
        shop.order(["order/do", "payment/do", "mail/do"][usize::from(number) % 3], &[Order::Swallow]);
        let id = one.begin(begin("order", None)).await.unwrap().view.id;
        let options = SagaOptions { server: ServerId::from_bytes([number + 2; 16]), ..alone() };
        let two = started(&fixture.store, &shop, options).await;
        if number % 2 == 0 {
            // Refused, as the other has appended since, it reads again and repeats what it does not know of.
            _ = one.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await;
        }
        let view = end_of(&two, id).await;
        let done = shop.done(id).len();
        assert_eq!(done, if view.instance.ended() == Some(End::Completed) { 5 } else { 0 });
        two.stop().await;
    }
}

#[tokio::test]
async fn of_two_servers_that_both_believe_to_own_sagas_of_one_key_neither_lets_one_begin_during_the_other() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let one = started(&fixture.store, &shop, alone()).await;
    let steps = json!({"serialize_by": "input.customer", "steps": [
        {"name": "approval", "work": {"signal": {"name": "approved"}}},
        call("order", &["approval"], "compensatable"),
    ]});
    one.define(saga("order", steps), false, None).await.unwrap();
    // It takes up what there is now, and hears nothing of what the other one does.
    let two =
        started(&fixture.store, &shop, SagaOptions { server: ServerId::from_bytes([2; 16]), ..alone() })
            .await;
    let first = one.begin(begin("order", None)).await.unwrap().view;
    let second = two.begin(begin("order", None)).await.unwrap().view;
    assert_eq!((first.instance.is_queued(), second.instance.is_queued()), (false, true));
    let approved = || Input::Signal { name: SignalName::new("approved").unwrap(), data: Data::new("1") };
    two.tell(second.id, approved(), None).await.unwrap();
    one.tell(first.id, approved(), None).await.unwrap();
    let first = end_of(&one, first.id).await;
    assert_eq!(end_of(&two, second.id).await.instance.status(), Status::Completed);
    let history = two.history(second.id).await.unwrap();
    let admitted = history.iter().find(|entry| entry.event == Event::Admitted).unwrap();
    assert!(admitted.position > first.position);
    // And when nobody has the turn, nobody waits.
    assert!(!one.begin(begin("order", None)).await.unwrap().view.instance.is_queued());
}

#[tokio::test]
async fn the_end_of_a_saga_that_another_server_has_ended_is_told_by_its_owner() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&fixture.store, &shop, server(1, &leases)).await;
    while owner.shared.shards.own().len() < 4 {
        tokio::task::yield_now().await;
    }
    let steps = json!({"serialize_by": "input.customer", "steps": [
        {"name": "approval", "work": {"signal": {"name": "approved"}}},
    ]});
    owner.define(saga("order", steps), false, None).await.unwrap();
    let other = started(&fixture.store, &shop, bystander(2)).await;
    let (mut endings, mut others) = (owner.endings(), other.endings());
    owner.begin(begin("order", None)).await.unwrap();
    let queued = owner.begin(begin("order", None)).await.unwrap().view;
    assert!(queued.instance.is_queued());
    let cancelled = other.tell(queued.id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap();
    assert_eq!(cancelled.instance.ended(), Some(End::Compensated));
    assert_eq!(endings.next().await, Some(vec![queued.id]));
    assert_eq!(others.next().await, Some(Vec::new()));
}

/// Waits until the servers have so many shards each, in whatever order.
pub(super) async fn have(servers: &[&Sagas], counts: &[usize]) {
    let shards = || -> Vec<BTreeSet<u8>> { servers.iter().map(|it| it.shared.shards.own()).collect() };
    let even = async {
        loop {
            let mut now: Vec<usize> = shards().iter().map(BTreeSet::len).collect();
            now.sort_unstable();
            if now == counts {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let within = tokio::time::timeout(Duration::from_secs(4), even).await;
    assert!(within.is_ok(), "{:?} and not {counts:?}", shards());
    // And it stays so.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let all: BTreeSet<u8> = shards().into_iter().flatten().collect();
    let count: usize = shards().iter().map(BTreeSet::len).sum();
    assert_eq!((all.len(), count), (4, 4), "each is one server's");
}

#[tokio::test(start_paused = true)]
async fn servers_have_as_many_shards_as_any_other_whoever_comes_and_goes() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let one = started(&fixture.store, &shop, server(1, &leases)).await;
    have(&[&one], &[4]).await;
    let steps = json!({"steps": [{"name": "approval", "work": {"signal": {"name": "approved"}}}]});
    one.define(saga("order", steps), false, None).await.unwrap();
    for _ in 0..32 {
        one.begin(begin("order", None)).await.unwrap();
    }
    let two = started(&fixture.store, &shop, server(2, &leases)).await;
    have(&[&one, &two], &[2, 2]).await;
    assert_eq!(one.running() + two.running(), 32);
    assert!(one.running() > 0 && two.running() > 0);
    assert!(two.metrics().contains("tenon_sagas_shard{shard=\"0\"} "), "{}", two.metrics());
    let three = started(&fixture.store, &shop, server(3, &leases)).await;
    have(&[&one, &two, &three], &[1, 1, 2]).await;
    one.stop().await;
    have(&[&two, &three], &[2, 2]).await;
    assert_eq!(two.running() + three.running(), 32);
    three.stop().await;
    have(&[&two], &[4]).await;
    assert_eq!(two.running(), 32);
}

/// Leases as a server has them that may be cut off: then it renews none, and gives none back.
struct CutOff {
    leases: MemoryLeases,
    cut: Arc<AtomicBool>,
}

impl CutOff {
    fn reach(&self) -> Result<&MemoryLeases, LeaseError> {
        match self.cut.load(Ordering::SeqCst) {
            true => Err(LeaseError(Arc::new(std::io::Error::other("it is cut off")))),
            false => Ok(&self.leases),
        }
    }
}

impl Leases for CutOff {
    fn hold<'a>(
        &'a self,
        name: &'a str,
        holder: ServerId,
        span: Duration,
    ) -> BoxFuture<'a, Result<bool, LeaseError>> {
        Box::pin(async move { self.reach()?.hold(name, holder, span).await })
    }

    fn held<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<Held>, LeaseError>> {
        Box::pin(async move { self.reach()?.held(prefix).await })
    }

    fn release<'a>(&'a self, name: &'a str, holder: ServerId) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async move { self.reach()?.release(name, holder).await })
    }
}

#[tokio::test(start_paused = true)]
async fn the_sagas_of_a_server_that_is_cut_off_go_on_at_another_within_five_seconds() {
    // At different moments since it renewed its leases.
    for after in [0, 250, 500, 750, 999] {
        let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
        let cut = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let clock: Clock = Arc::new(move || Timestamp::from_millis(1_000_000).after(began.elapsed()));
        let own: Arc<dyn Leases> = Arc::new(CutOff { leases: leases.clone(), cut: Arc::clone(&cut) });
        let options = SagaOptions { leases: Some(own), clock: Arc::clone(&clock), ..server(1, &leases) };
        let one = started(&fixture.store, &shop, options).await;
        let two = started(&fixture.store, &shop, SagaOptions { clock, ..server(2, &leases) }).await;
        have(&[&one, &two], &[2, 2]).await;
        let mut step = call("order", &[], "compensatable");
        step["work"]["call"]["timeout_ms"] = json!(600_000);
        one.define(saga("order", json!({"steps": [step]})), false, None).await.unwrap();
        // So many that each has some, wherever they fall.
        let all = 48;
        shop.order("order/do", &[Order::Swallow; 48]);
        let mut ids = Vec::new();
        for _ in 0..all {
            ids.push(one.begin(begin("order", None)).await.unwrap().view.id);
        }
        while shop.calls().len() < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let had = one.running();
        assert!(had > 0 && had < all, "{had}");
        tokio::time::sleep(Duration::from_millis(after)).await;
        cut.store(true, Ordering::SeqCst);
        let cut_off = Instant::now();
        let mut ended = 0;
        while ended < had {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let completed = Filter { states: [Status::Completed].into(), limit: 100, ..Filter::default() };
            ended = two.list(completed).await.unwrap().sagas.len();
            assert!(cut_off.elapsed() < Duration::from_secs(5), "{ended} of {had} have gone on");
        }
        // Those that the other had wait for their answers as before.
        assert_eq!((ended, two.running()), (had, all - had));
        two.stop().await;
    }
}
