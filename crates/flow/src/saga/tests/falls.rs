//! Tasks of sagas that panic.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

/// Sagas whose tasks panic when they ask how late it is, so many times.
pub(super) async fn falling(definition: Definition, times: u32) -> (Sagas, Arc<AtomicU32>, SagaId) {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    let left = Arc::new(AtomicU32::new(0));
    let (fall, time) = (Arc::clone(&left), system_clock());
    let clock = move || {
        // The test itself is no task.
        let falls = tokio::task::try_id().is_some()
            && fall.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        assert!(!falls, "planted");
        time()
    };
    let options = SagaOptions { clock: Arc::new(clock), ..alone() };
    let sagas = Sagas::start(&fixture.store, shop, options).await.unwrap();
    sagas.define(definition, false, None).await.unwrap();
    left.store(times, Ordering::SeqCst);
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    (sagas, left, id)
}

pub(super) fn with_a_timer() -> Definition {
    saga(
        "order",
        json!({"steps": [{"name": "rest", "work": {"timer": {"delay_ms": 1}}}, call("order", &["rest"], "compensatable")]}),
    )
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_task_panics_is_taken_up_again() {
    let (sagas, left, id) = falling(with_a_timer(), 3).await;
    assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Completed);
    assert_eq!((left.load(Ordering::SeqCst), sagas.running()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_task_panics_each_time_waits_until_it_is_told_something() {
    let (sagas, left, id) = falling(with_a_timer(), 1_000).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after_a_minute = left.load(Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(left.swap(0, Ordering::SeqCst), after_a_minute, "it is no longer tried");
    assert_eq!(sagas.running(), 0);
    assert_eq!(sagas.view(id).await.unwrap().instance.ended(), None);
    sagas.tell(id, Input::Cancel { cause: Cause::Cancelled }, None).await.unwrap();
    assert_eq!(end_of(&sagas, id).await.instance.status(), Status::Compensated);
}

#[tokio::test(start_paused = true)]
async fn a_saga_whose_task_panics_each_time_is_seen_and_taken_up_when_it_is_retried() {
    let (sagas, left, id) = falling(with_a_timer(), 1_000).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let open = Filter { states: OPEN.into(), limit: 10, ..Filter::default() };
    let listed = sagas.list(open).await.unwrap().sagas;
    for view in [&listed[0], &sagas.view(id).await.unwrap()] {
        let why = view.put_off.clone().unwrap();
        assert!(view.id == id && why.contains("panicked (5 of 5)"), "{why}");
    }
    assert!(sagas.metrics().contains("tenon_sagas_put_off 1\n"), "{}", sagas.metrics());
    let retry = || Input::Operator(Operator::Retry(StepIx(0)));
    // It falls again, and is tried anew a few times.
    left.store(3, Ordering::SeqCst);
    sagas.tell(id, retry(), None).await.unwrap();
    let view = end_of(&sagas, id).await;
    assert_eq!((view.instance.status(), view.put_off), (Status::Completed, None));
    assert!(sagas.metrics().contains("tenon_sagas_put_off 0\n"), "{}", sagas.metrics());
    let late = sagas.tell(id, retry(), None).await.unwrap_err();
    assert_eq!(late.code, Code::SagaIllegal);
}

#[tokio::test]
async fn a_call_that_panics_may_have_been_made() {
    let driven = Driven::with(vec![five()]).await;
    driven.shop.order("payment/do", &[Order::Panic]);
    let id = driven.begin("order").await;
    assert_eq!(end_of(&driven.sagas, id).await.instance.status(), Status::Completed);
    let history = driven.sagas.history(id).await.unwrap();
    let deferred = history.iter().find_map(|entry| match &entry.event {
        Event::Deferred { outcome, .. } => Some((*outcome, entry.problem.clone())),
        _ => None,
    });
    let (outcome, problem) = deferred.unwrap();
    assert_eq!(outcome, Outcome::Unknown);
    assert!(problem.unwrap().as_str().contains("panicked"));
}
