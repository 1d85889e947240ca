//! More sagas than calls may be made at once.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Services that answer nothing until they are let.
struct Held {
    inside: AtomicUsize,
    most: AtomicUsize,
    gate: Semaphore,
}

impl Participants for Held {
    fn call(&self, _: Request) -> BoxFuture<'_, Called> {
        Box::pin(async {
            let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(inside, Ordering::SeqCst);
            _ = self.gate.acquire().await;
            self.inside.fetch_sub(1, Ordering::SeqCst);
            Ok(None)
        })
    }
}

fn held() -> Arc<Held> {
    Arc::new(Held { inside: AtomicUsize::new(0), most: AtomicUsize::new(0), gate: Semaphore::new(0) })
}

/// A saga of one step, which is tried once.
fn of_one_step(name: &str, service: &str, timeout_ms: u64) -> Definition {
    let mut step = call(service, &[], "compensatable");
    step["work"]["call"]["timeout_ms"] = json!(timeout_ms);
    step["retry"]["tries"] = json!(1);
    saga(name, json!({"steps": [step]}))
}

/// As many sagas as there may be calls, of two services, all of them held.
async fn full(held: &Arc<Held>) -> (Fixture, Sagas, Vec<SagaId>) {
    let fixture = Fixture::new();
    let participants: Arc<dyn Participants> = Arc::clone(held) as _;
    let sagas = Sagas::start(&fixture.store, participants, alone()).await.unwrap();
    let mut ids = Vec::new();
    for name in ["order", "stock"] {
        sagas.define(of_one_step(name, name, 600_000), false, None).await.unwrap();
        for _ in 0..MAX_CALLS / 2 {
            ids.push(sagas.begin(begin(name, None)).await.unwrap().view.id);
        }
    }
    while held.inside.load(Ordering::SeqCst) < MAX_CALLS {
        tokio::task::yield_now().await;
    }
    (fixture, sagas, ids)
}

#[tokio::test]
async fn calls_beyond_the_most_wait_for_their_turn() {
    let held = held();
    let (_fixture, sagas, mut ids) = full(&held).await;
    sagas.define(of_one_step("payment", "payment", 600_000), false, None).await.unwrap();
    for name in ["order", "payment"] {
        for _ in 0..5 {
            ids.push(sagas.begin(begin(name, None)).await.unwrap().view.id);
        }
    }
    let shown =
        |what: &str, count: usize| sagas.metrics().contains(&format!("tenon_saga_calls_{what} {count}\n"));
    while !shown("waiting", 10) {
        tokio::task::yield_now().await;
    }
    assert!(shown("in_flight", MAX_CALLS));
    held.gate.add_permits(Semaphore::MAX_PERMITS);
    for id in ids {
        assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Completed);
    }
    assert_eq!(held.most.load(Ordering::SeqCst), MAX_CALLS);
    assert!(shown("waiting", 0) && shown("in_flight", 0));
}

/// One service that never answers, and another that does at once.
struct OneHangs(AtomicUsize);

impl Participants for OneHangs {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            if request.action.service.name.as_str() == "hangs" {
                self.0.fetch_add(1, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
            Ok(None)
        })
    }
}

#[tokio::test]
async fn a_service_that_hangs_leaves_room_for_calls_of_others() {
    let (fixture, services) = (Fixture::new(), Arc::new(OneHangs(AtomicUsize::new(0))));
    let participants: Arc<dyn Participants> = Arc::clone(&services) as _;
    let sagas = Sagas::start(&fixture.store, participants, alone()).await.unwrap();
    sagas.define(of_one_step("hangs", "hangs", 600_000), false, None).await.unwrap();
    sagas.define(of_one_step("well", "well", 500), false, None).await.unwrap();
    for _ in 0..=MAX_CALLS {
        sagas.begin(begin("hangs", None)).await.unwrap();
    }
    while services.0.load(Ordering::SeqCst) < MAX_CALLS / 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        let well = sagas.begin(begin("well", None)).await.unwrap().view.id;
        assert_eq!(end_of(&sagas, well).await.instance.status(), Status::Completed);
    }
    assert_eq!(services.0.load(Ordering::SeqCst), MAX_CALLS / 2);
}

#[tokio::test]
async fn a_call_that_does_not_come_to_its_turn_in_time_was_certainly_not_sent() {
    let held = held();
    let (_fixture, sagas, _ids) = full(&held).await;
    sagas.define(of_one_step("late", "payment", 100), false, None).await.unwrap();
    let late = sagas.begin(begin("late", None)).await.unwrap().view.id;
    assert_eq!(end_of(&sagas, late).await.instance.status(), Status::Compensated);
    let history = sagas.history(late).await.unwrap();
    let gave_up = history.iter().find_map(|entry| match &entry.event {
        Event::GaveUp { outcome, may_have_run, .. } => Some((*outcome, *may_have_run)),
        _ => None,
    });
    assert_eq!(gave_up, Some((Outcome::Unsent, false)));
    // So it counts, and took no time.
    let metrics = sagas.metrics();
    let of_late = "{saga=\"late\",step=\"payment\",direction=\"do\"";
    assert!(
        metrics.contains(&format!("tenon_saga_calls_total{of_late},outcome=\"not-sent\"}} 1")),
        "{metrics}"
    );
    assert!(metrics.contains(&format!("tenon_saga_call_duration_seconds_count{of_late}}} 0")), "{metrics}");
}
