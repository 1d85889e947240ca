use super::*;
use crate::order::decider::Stage;
use crate::order::draft::{Draft, RawDraft};
use crate::testing::{NOBODY, Running, peers};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use tenon_sdk::store::{Log, MemoryLog};

fn draft() -> Draft {
    let raw: RawDraft = serde_json::from_value(json!({
        "customer": "bob", "card": "card-bob", "items": [{"sku": "plane", "quantity": 1, "price": "10.00"}],
    }))
    .unwrap();
    Draft::new(raw).unwrap()
}

/// What the replicas of the order service share, and a folder for the read models of each.
struct Shared {
    log: Arc<dyn Log>,
    folder: tempfile::TempDir,
    replicas: AtomicUsize,
}

impl Shared {
    fn new() -> Self {
        let (log, folder) = (MemoryLog::default().into_log(), tempfile::tempdir().unwrap());
        Self { log, folder, replicas: AtomicUsize::new(0) }
    }

    async fn replica(&self, payment: &str, inventory: &str, notification: &str) -> Saga {
        let number = self.replicas.fetch_add(1, Ordering::Relaxed);
        let models = self.folder.path().join(number.to_string());
        let orders = Orders::open(Arc::clone(&self.log), &models).await.unwrap();
        Saga::new(orders, peers(payment, inventory, notification))
    }
}

async fn balance(payment: &Running) -> Value {
    payment.get("/accounts/card-bob").await.1["balance"].clone()
}

#[tokio::test]
async fn an_order_that_its_replica_left_is_taken_up_by_another() {
    let shared = Shared::new();
    let payment = Running::start("payment", crate::payment::start).await;
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let id = {
        let dying = shared.replica(payment.base(), inventory.base(), NOBODY).await;
        let id = dying.orders().create(draft(), None, 1_000).await.unwrap();
        // It takes the payment and dies before it can record that.
        dying.take_payment(&dying.load(&id).await.unwrap().order, &Context::default()).await.unwrap();
        id
    };
    let other = shared.replica(payment.base(), inventory.base(), NOBODY).await;
    assert_eq!(other.recover(999).await, Ok(0));
    assert_eq!(other.recover(1_000).await, Ok(1));
    assert_eq!(other.load(&id).await.unwrap().order.stage, Stage::Confirmed);
    assert_eq!(balance(&payment).await, "990.00");
    assert_eq!(other.recover(1_000).await, Ok(0));
}

#[tokio::test]
async fn a_compensation_that_failed_is_done_when_its_service_is_back() {
    let shared = Shared::new();
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let cut_off = shared.replica(NOBODY, inventory.base(), NOBODY).await;
    let id = cut_off.orders().create(draft(), None, 0).await.unwrap();
    let order = cut_off.see_through(&id, &Context::default()).await.unwrap().order;
    assert_eq!(order.next_step(), Step::Compensate(vec![Undo::Refund]));

    let payment = Running::start("payment", crate::payment::start).await;
    let back = shared.replica(payment.base(), inventory.base(), NOBODY).await;
    assert_eq!(back.recover(0).await, Ok(1));
    assert_eq!(back.load(&id).await.unwrap().order.stage, Stage::Cancelled);
    // The charge that was lost on the way and arrives only now is refused.
    let late = back.take_payment(&order, &Context::default()).await.unwrap_err();
    assert!(matches!(late, CallError::Refused(problem) if problem.code == "payment.refunded"));
    assert_eq!(balance(&payment).await, "1000.00");
}

#[tokio::test]
async fn replicas_that_see_the_same_order_through_charge_once() {
    let shared = Shared::new();
    let payment = Running::start("payment", crate::payment::start).await;
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let one = shared.replica(payment.base(), inventory.base(), NOBODY).await;
    let two = shared.replica(payment.base(), inventory.base(), NOBODY).await;
    let id = one.orders().create(draft(), None, 0).await.unwrap();
    let context = Context::default();
    let (first, second) = tokio::join!(one.see_through(&id, &context), two.see_through(&id, &context));
    assert_eq!(
        (first.unwrap().order.stage, second.unwrap().order.stage),
        (Stage::Confirmed, Stage::Confirmed)
    );
    assert_eq!(balance(&payment).await, "990.00");
    assert_eq!(inventory.get("/stock/plane").await.1["available"], 4);
}
