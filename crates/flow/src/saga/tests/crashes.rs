//! A crash at every append and at every call of a saga, and then a start on the same log.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use tenon_store::memory::AppendFault;

/// Services at whose so-manieth call the server crashes: before it arrives, or after it was answered.
struct Crashing {
    shop: Arc<Shop>,
    at: usize,
    before: bool,
    count: AtomicUsize,
    crashed: CancellationToken,
}

impl Participants for Crashing {
    fn call(&self, request: Request) -> BoxFuture<'_, Called> {
        Box::pin(async move {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            if number < self.at {
                return self.shop.call(request).await;
            }
            if number == self.at && !self.before {
                self.shop.answer(&request);
            }
            self.crashed.cancel();
            std::future::pending().await
        })
    }
}

fn failing(shop: &Shop) {
    shop.order("confirm/do", &[Order::Refuse]);
}

/// Crashes, starts again, and looks into the services' own ledgers.
async fn crash_at_call(at: usize, before: bool, fails: bool) -> bool {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    if fails {
        failing(&shop);
    }
    let crashed = CancellationToken::new();
    let crashing = Crashing {
        shop: Arc::clone(&shop),
        at,
        before,
        count: AtomicUsize::new(0),
        crashed: crashed.clone(),
    };
    let sagas = Sagas::start(&fixture.store, Arc::new(crashing), alone()).await.unwrap();
    sagas.define(five(), false, None).await.unwrap();
    let id = sagas.begin(begin("order", None)).await.unwrap().view.id;
    tokio::select! {
        () = crashed.cancelled() => {}
        _ = end_of(&sagas, id) => return false,
    }
    // Nothing is noted, as in a crash.
    sagas.shared.stop.cancel();
    let sagas = driven(&fixture, &shop).await;
    check(&sagas, &shop, id, fails).await;
    true
}

async fn check(sagas: &Sagas, shop: &Shop, id: SagaId, fails: bool) {
    let view = end_of(sagas, id).await;
    let done = shop.done(id);
    match view.instance.ended() {
        Some(End::Completed) => assert_eq!(done.len(), 5, "{:?}", view.instance),
        _ => assert!(done.is_empty(), "{done:?} {:?}", view.instance),
    }
    assert_eq!(view.instance.ended() == Some(End::Completed), !fails);
}

#[tokio::test]
async fn a_crash_at_any_call_leaves_nothing_half_done() {
    for fails in [false, true] {
        for before in [true, false] {
            let mut at = 0;
            while crash_at_call(at, before, fails).await {
                at += 1;
            }
            assert!(at >= 5, "{at}");
        }
    }
}

/// Crashes as the so-manieth append is made: it is lost, or only its answer is.
async fn crash_at_append(at: usize, fault: AppendFault, fails: bool) {
    let (fixture, shop) = (Fixture::new(), Arc::new(Shop::default()));
    if fails {
        failing(&shop);
    }
    let sagas = driven(&fixture, &shop).await;
    sagas.define(five(), false, None).await.unwrap();
    (0..at).for_each(|_| fixture.log.faults().order_success());
    fixture.log.faults().order(fault);
    fixture.log.faults().order(AppendFault::Closed);
    let begun = sagas.begin(begin("order", Some("k"))).await;
    let id = names::ids_of(&Namespace::default(), &SagaName::new("order").unwrap(), "k")[0];
    let runs = begun.is_ok();
    while runs && sagas.running() > 0 {
        tokio::task::yield_now().await;
    }
    sagas.shared.stop.cancel();
    fixture.log.faults().clear();
    fixture.log.reopen();
    let sagas = driven(&fixture, &shop).await;
    let again = sagas.begin(begin("order", Some("k"))).await.unwrap();
    assert_eq!(again.view.id, id);
    check(&sagas, &shop, id, fails).await;
}

#[tokio::test]
async fn a_crash_at_any_append_leaves_nothing_half_done() {
    for fails in [false, true] {
        for fault in [AppendFault::LostBefore, AppendFault::LostAfter] {
            // A saga of five steps takes no more than twelve appends, undone or not.
            for at in 0..12 {
                crash_at_append(at, fault, fails).await;
            }
        }
    }
}
