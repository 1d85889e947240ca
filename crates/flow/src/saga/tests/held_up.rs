//! Sagas, shares and whoever looks, where something else takes long.

use super::log::Slow;
use super::servers::{bystander, have, server, started};
use super::*;
use crate::saga::runner::Ask;
use crate::saga::shared::Inbox;
use tenon_api::saga::Beginning;
use tenon_store::memory::AppendFault;
use tokio::sync::watch;
use tokio::time::Instant;

pub(super) fn with_an_approval() -> Definition {
    saga("order", json!({"steps": [{"name": "approval", "work": {"signal": {"name": "approved"}}}]}))
}

pub(super) fn approved() -> Input {
    Input::Signal { name: SignalName::new("approved").unwrap(), data: Data::new("1") }
}

/// A place among the sagas that run, for one that does not run.
pub(super) fn place(sagas: &Sagas, id: SagaId) -> Inbox {
    let (namespace, name) = (Namespace::default(), SagaName::new("order").unwrap());
    let of = Beginning {
        namespace,
        name,
        key: None,
        turn: None,
        parent: None,
        trace: 1,
        kept: None,
        defined_at: None,
    };
    sagas.shared.reserve(id, &Arc::new(of)).unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn sagas_that_take_long_to_be_handed_on_hold_up_no_other() {
    let (fixture, shop, leases) = (Fixture::new(), Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&fixture.store, &shop, server(1, &leases)).await;
    have(&[&owner], &[4]).await;
    owner.define(five(), false, None).await.unwrap();
    let other = started(&fixture.store, &shop, bystander(2)).await;
    let name = SagaName::new("order").unwrap();
    let keys: Vec<String> = (0..70).map(|number| number.to_string()).collect();
    let mut places = Vec::new();
    for key in &keys {
        let [id, _] = names::ids_of(&Namespace::default(), &name, key);
        places.push(place(&owner, id));
        let asks = owner.shared.handle(id).unwrap().asks;
        while asks.try_send(Ask::Begin).is_ok() {}
    }
    let mut stuck = Vec::new();
    for key in &keys {
        stuck.push(other.begin(begin("order", Some(key))).await.unwrap().view.id);
    }
    let next = other.begin(begin("order", None)).await.unwrap().view.id;
    assert_eq!(end_of(&other, next).await.instance.status(), Status::Completed);
    assert!(stuck.iter().all(|id| shop.done(*id).is_empty()));
    drop(places);
    for id in stuck {
        assert_eq!(end_of(&other, id).await.instance.status(), Status::Completed);
    }
}

#[tokio::test(start_paused = true)]
async fn sagas_that_do_not_answer_are_listed_without_waiting_for_each() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let early = driven(&fixture, &shop).await;
    early.define(with_an_approval(), false, None).await.unwrap();
    let late = started(&fixture.store, &shop, bystander(2)).await;
    let mut places = Vec::new();
    for _ in 0..300 {
        places.push(place(&late, early.begin(begin("order", None)).await.unwrap().view.id));
    }
    let began = Instant::now();
    let page = late.list(Filter { states: OPEN.into(), limit: 1_000, ..Filter::default() }).await.unwrap();
    assert_eq!(page.sagas.len(), places.len());
    let name = SagaName::new("order").unwrap();
    let (former, _) = late.former(&Namespace::default(), &name, None).await.unwrap();
    assert_eq!(former.len(), places.len());
    let page = late.list(Filter { limit: 300, ..Filter::default() }).await.unwrap();
    assert_eq!(page.sagas.len(), places.len());
    // In the time of timers: a tenth of a second for some of them at once.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn shares_are_given_away_and_kept_where_nothing_can_be_noted() {
    let (log, store) = Slow::new(Duration::ZERO);
    let (shop, leases) = (Arc::new(Shop::default()), MemoryLeases::default());
    let one = started(&store, &shop, server(1, &leases)).await;
    have(&[&one], &[4]).await;
    one.define(with_an_approval(), false, None).await.unwrap();
    for _ in 0..16 {
        one.begin(begin("order", None)).await.unwrap();
    }
    log.notes_nothing.store(true, Ordering::Relaxed);
    let two = started(&store, &shop, server(2, &leases)).await;
    have(&[&one, &two], &[2, 2]).await;
    assert_eq!(one.running() + two.running(), 16);
    one.stop().await;
    have(&[&two], &[4]).await;
    assert_eq!(two.running(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_comes_back_while_it_is_taken_up_is_taken_up() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let sagas = started(&store, &shop, bystander(1)).await;
    let (tell, told) = watch::channel(true);
    log.reads.send_replace(true);
    let waiting = log.waiting.load(Ordering::Relaxed);
    tokio::spawn(owner::keep(Arc::clone(&sagas.shared), 0, told));
    while log.waiting.load(Ordering::Relaxed) == waiting {
        tokio::task::yield_now().await;
    }
    // It is given away, and is this server's again before anybody has looked.
    tell.send_replace(false);
    owner::let_go(&sagas.shared, 0);
    tell.send_replace(true);
    log.reads.send_replace(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(sagas.shared.shards.own().contains(&0));
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_waits_for_the_log_is_as_the_log_has_it() {
    let driven = Driven::with(vec![with_an_approval()]).await;
    let id = driven.begin("order").await;
    (0..1_000).for_each(|_| driven.fixture.log.faults().order(AppendFault::Full));
    let (sagas, began) = (driven.sagas.clone(), Instant::now());
    let told = tokio::spawn(async move { sagas.tell(id, approved(), None).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let view = driven.sagas.view(id).await.unwrap();
    assert_eq!(view.instance.status(), Status::StepExecuting);
    assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    assert!(!told.is_finished());
    driven.fixture.log.faults().clear();
    assert_eq!(told.await.unwrap().unwrap().instance.status(), Status::Completed);
}

#[tokio::test]
async fn what_is_said_to_a_saga_that_somebody_else_has_ended_is_refused() {
    let says: [fn() -> Input; 3] =
        [approved, || Input::Cancel { cause: Cause::Cancelled }, || Input::Operator(Operator::Compensate)];
    for says in says {
        let driven = Driven::with(vec![with_an_approval()]).await;
        let id = driven.begin("order").await;
        // It has all sagas as well, and neither hears of the other.
        let options = SagaOptions { server: ServerId::from_bytes([2; 16]), ..alone() };
        let other = started(&driven.fixture.store, &driven.shop, options).await;
        other.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap();
        assert_eq!(driven.sagas.running(), 1);
        let refusal = driven.sagas.tell(id, says(), None).await.unwrap_err();
        assert_eq!((refusal.code, refusal.detail.as_str()), (Code::SagaIllegal, "the saga has ended"));
        assert_eq!(driven.sagas.running(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_have_come_are_appended_together_and_before_what_follows() {
    let (log, store) = Slow::new(Duration::from_millis(5));
    let shop = Arc::new(Shop::default());
    let sagas = started(&store, &shop, alone()).await;
    let steps = json!({"steps": [
        call("order", &[], "compensatable"),
        call("payment", &["order"], "compensatable"),
        call("stock", &["order"], "compensatable"),
        call("points", &["order"], "compensatable"),
        call("confirm", &[], "pivot"),
    ]});
    sagas.define(saga("order", steps), false, None).await.unwrap();
    for (refused, appends) in [(None, 4), (Some("stock/do"), 5)] {
        let before = log.appends.load(Ordering::Relaxed);
        refused.iter().for_each(|step| shop.order(step, &[Order::Refuse]));
        let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
        let view = end_of(&sagas, id).await;
        // Begun; the first is done; three have answered; and the pivot, or two and then the first are undone.
        assert_eq!(log.appends.load(Ordering::Relaxed) - before, appends);
        let (status, done) =
            if refused.is_some() { (Status::Compensated, 0) } else { (Status::Completed, 5) };
        assert_eq!((view.instance.status(), shop.done(id).len()), (status, done));
        let history = sagas.history(id).await.unwrap();
        let answers = history.iter().filter(|entry| {
            matches!(entry.event, Event::Succeeded { token, .. } | Event::GaveUp { token, .. } if (1..=3).contains(&token.step.0) && token.direction == Direction::Do)
        });
        let at: std::collections::BTreeSet<Position> = answers.map(|entry| entry.position).collect();
        assert_eq!(at.len(), 3, "each is an event of its own");
    }
}
