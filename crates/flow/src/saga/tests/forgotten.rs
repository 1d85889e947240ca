//! Sagas that do not run, and are not to be forgotten; and sagas that have ended, and are not to stand as if they ran.

use super::falls::{falling, with_a_timer};
use super::held_up::{approved, place, with_an_approval};
use super::log::Slow;
use super::servers::{bystander, have, server, started};
use super::*;
use std::sync::atomic::AtomicUsize;
use tenon_store::memory::AppendFault;

/// As many as run on a log, begun by a server that is gone.
async fn left_behind(store: &EventStore, shop: &Arc<Shop>, count: usize) -> Vec<SagaId> {
    let early = started(store, shop, alone()).await;
    early.define(with_an_approval(), false, None).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(early.begin(begin("order", None)).await.unwrap().view.id);
    }
    early.stop().await;
    ids
}

async fn with_room_for(most: usize, store: &EventStore, shop: &Arc<Shop>) -> Sagas {
    Sagas::start_most(store, Arc::clone(shop) as _, alone(), most).await.unwrap()
}

fn cancel() -> Input {
    Input::Cancel { cause: Cause::Cancelled }
}

/// Crashes after it was noted which sagas run.
async fn crash(sagas: &Sagas) {
    notes::all(&sagas.shared).await;
    sagas.shared.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn sagas_that_were_put_off_are_taken_up_by_the_next_start() {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    left_behind(&fixture.store, &shop, 5).await;
    let narrow = with_room_for(2, &fixture.store, &shop).await;
    assert_eq!(narrow.running(), 2);
    narrow.stop().await;
    assert_eq!(driven(&fixture, &shop).await.running(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_task_panics_each_time_is_taken_up_by_the_next_start() {
    let (sagas, _, id) = falling(with_a_timer(), 1_000).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(sagas.metrics().contains("tenon_sagas_put_off 1\n"), "{}", sagas.metrics());
    sagas.stop().await;
    let next = started(sagas.store(), &Arc::new(Shop::default()), alone()).await;
    assert_eq!(end_of(&next, id).await.instance.status(), Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_append_comes_when_it_was_given_up_is_not_forgotten() {
    // It is there and is noted before it is looked for the first time, or between two times.
    for (takes, hold) in [(10, true), (3_000, false)] {
        let (log, store) = Slow::new(Duration::from_millis(takes));
        let shop = Arc::new(Shop::default());
        let sagas = started(&store, &shop, alone()).await;
        sagas.define(with_an_approval(), false, None).await.unwrap();
        log.reads.send_replace(hold);
        log.answers_nothing.store(true, Ordering::Relaxed);
        sagas.begin(begin("order", None)).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(takes + 500)).await;
        crash(&sagas).await;
        log.reads.send_replace(false);
        assert_eq!(started(&store, &shop, alone()).await.running(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_append_comes_minutes_after_it_was_given_up_runs() {
    let (log, store) = Slow::new(Duration::from_secs(60));
    let (shop, leases) = (Arc::new(Shop::default()), MemoryLeases::default());
    let sagas = started(&store, &shop, server(1, &leases)).await;
    have(&[&sagas], &[4]).await;
    sagas.define(with_an_approval(), false, None).await.unwrap();
    log.answers_nothing.store(true, Ordering::Relaxed);
    sagas.begin(begin("order", None)).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(sagas.running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_append_takes_minutes_runs_though_whoever_began_it_is_gone() {
    let (_log, store) = Slow::new(Duration::from_secs(120));
    let shop = Arc::new(Shop::default());
    let sagas = started(&store, &shop, alone()).await;
    sagas.define(with_an_approval(), false, None).await.unwrap();
    let begun = tokio::time::timeout(Duration::from_millis(5), sagas.begin(begin("order", None))).await;
    assert!(begun.is_err());
    tokio::time::sleep(Duration::from_secs(119)).await;
    notes::all(&sagas.shared).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(sagas.running(), 1);
    let view = sagas.list(Filter { limit: 1, ..Filter::default() }).await.unwrap().sagas.remove(0);
    assert_eq!(view.instance.status(), Status::StepExecuting);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_task_panics_while_others_are_taken_up_is_taken_up_again() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    left_behind(&store, &shop, 100).await;
    // Of two batches one is late.
    log.late_if_of.store(36, Ordering::Relaxed);
    log.answers.send_replace(true);
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        log.answers.send_replace(false);
    };
    let (left, time) = (AtomicUsize::new(1), system_clock());
    let clock = move || {
        let one_less = |left: usize| left.checked_sub(1);
        let falls = tokio::task::try_id().is_some()
            && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok();
        assert!(!falls, "planted");
        time()
    };
    let options = SagaOptions { clock: Arc::new(clock), ..alone() };
    let (sagas, ()) = tokio::join!(started(&store, &shop, options), late);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sagas.running(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_cannot_go_on_is_put_off_and_goes_on_later() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let sagas = started(&store, &shop, alone()).await;
    sagas.define(with_an_approval(), false, None).await.unwrap();
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    log.log.faults().order(AppendFault::Closed);
    sagas.tell(id, approved(), None).await.unwrap_err();
    assert_eq!(sagas.running(), 0);
    let put_off = |count: usize| sagas.metrics().contains(&format!("tenon_sagas_put_off {count}\n"));
    assert!(put_off(1), "{}", sagas.metrics());
    assert!(sagas.view(id).await.unwrap().put_off.is_some());
    log.log.reopen();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(put_off(0) && sagas.running() == 1, "{}", sagas.metrics());
    sagas.tell(id, approved(), None).await.unwrap();
    assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_can_never_go_on_is_tried_later_and_later() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let sagas = started(&store, &shop, alone()).await;
    sagas.define(five(), false, None).await.unwrap();
    log.log.faults().order_success();
    log.log.faults().order(AppendFault::Closed);
    let before = log.appends.load(Ordering::Relaxed);
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let tried = log.appends.load(Ordering::Relaxed) - before;
    assert!((5..20).contains(&tried), "{tried}");
    log.log.reopen();
    assert_eq!(sagas.wait(id, Duration::from_secs(600)).await.unwrap().instance.status(), Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_ends_while_it_is_taken_up_does_not_run_on() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let ids = left_behind(&store, &shop, 2).await;
    let sagas = with_room_for(1, &store, &shop).await;
    let put_off = ids.iter().find(|id| sagas.shared.handle(**id).is_none()).unwrap();
    let runs = ids.iter().find(|id| sagas.shared.handle(**id).is_some()).unwrap();
    // There is room, it is read, and is ended meanwhile.
    sagas.tell(*runs, cancel(), None).await.unwrap();
    log.answer_late(&[true]);
    log.asked_late().await;
    assert_eq!(sagas.tell(*put_off, cancel(), None).await.unwrap().instance.status(), Status::Compensated);
    log.answers.send_replace(false);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(sagas.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_saga_that_another_server_ends_while_it_is_taken_up_does_not_run_on() {
    let (log, store) = Slow::new(Duration::ZERO);
    let (shop, leases) = (Arc::new(Shop::default()), MemoryLeases::default());
    let owner = started(&store, &shop, server(1, &leases)).await;
    have(&[&owner], &[4]).await;
    owner.define(with_an_approval(), false, None).await.unwrap();
    let other = started(&store, &shop, bystander(2)).await;
    let [id, _] = names::ids_of(&Namespace::default(), &SagaName::new("order").unwrap(), "7");
    let place = place(&owner, id);
    other.begin(begin("order", Some("7"))).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Whoever had the place gives it up, and the saga is read.
    log.answer_late(&[true]);
    drop(place);
    log.asked_late().await;
    other.tell(id, cancel(), None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    log.answers.send_replace(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(owner.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_retry_goes_on_when_whoever_asked_for_it_is_gone() {
    let (log, store) = Slow::new(Duration::ZERO);
    let shop = Arc::new(Shop::default());
    let ids = left_behind(&store, &shop, 2).await;
    let sagas = with_room_for(1, &store, &shop).await;
    let put_off = ids.iter().find(|id| sagas.shared.handle(**id).is_none()).unwrap();
    let runs = ids.iter().find(|id| sagas.shared.handle(**id).is_some()).unwrap();
    // What is read first tells that no step can be tried again.
    log.answer_late(&[false, true]);
    let told = sagas.tell(*put_off, Input::Operator(Operator::Retry(StepIx(0))), None);
    tokio::time::timeout(Duration::from_millis(100), told).await.unwrap_err();
    log.answers.send_replace(false);
    sagas.tell(*runs, cancel(), None).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(sagas.shared.handle(*put_off).is_some());
    assert!(sagas.metrics().contains("tenon_sagas_put_off 0\n"), "{}", sagas.metrics());
}
