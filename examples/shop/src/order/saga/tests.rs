use super::*;
use crate::order::draft::RawDraft;
use crate::order::machine::Stage;
use crate::testing::{NOBODY, Running, peers};
use serde_json::Value;

fn draft() -> Draft {
    let raw: RawDraft = serde_json::from_value(json!({
        "customer": "bob", "card": "card-bob", "items": [{"sku": "plane", "quantity": 1, "price": "10.00"}],
    }))
    .unwrap();
    Draft::new(raw).unwrap()
}

/// A replica of the order service with a ledger that it shares with others.
fn replica(folder: &std::path::Path, payment: &str, inventory: &str, notification: &str) -> Saga {
    Saga::new(Ledger::open(Some(folder), "order").unwrap(), peers(payment, inventory, notification))
}

async fn balance(payment: &Running) -> Value {
    payment.get("/accounts/card-bob").await.1["balance"].clone()
}

#[tokio::test]
async fn an_order_that_its_replica_left_is_taken_up_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let payment = Running::start("payment", crate::payment::start).await;
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let id = {
        let dying = replica(folder.path(), payment.base(), inventory.base(), NOBODY);
        let id = dying.create(draft(), None, 1_000).await.unwrap();
        // It takes the payment and dies before it can record that.
        dying.take_payment(&dying.load(&id).await.unwrap(), &Context::default()).await.unwrap();
        id
    };
    let other = replica(folder.path(), payment.base(), inventory.base(), NOBODY);
    assert_eq!(other.recover(999).await, Ok(0));
    assert_eq!(other.recover(1_000).await, Ok(1));
    assert_eq!(other.load(&id).await.unwrap().stage, Stage::Confirmed);
    assert_eq!(balance(&payment).await, "990.00");
    assert_eq!(other.recover(1_000).await, Ok(0));
}

#[tokio::test]
async fn a_compensation_that_failed_is_done_when_its_service_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let cut_off = replica(folder.path(), NOBODY, inventory.base(), NOBODY);
    let id = cut_off.create(draft(), None, 0).await.unwrap();
    let order = cut_off.see_through(&id, &Context::default()).await.unwrap();
    assert_eq!(order.next_step(), Step::Compensate(vec![Undo::Refund]));

    let payment = Running::start("payment", crate::payment::start).await;
    let back = replica(folder.path(), payment.base(), inventory.base(), NOBODY);
    assert_eq!(back.recover(0).await, Ok(1));
    assert_eq!(back.load(&id).await.unwrap().stage, Stage::Cancelled);
    // The charge that was lost on the way and arrives only now is refused.
    let late = back.take_payment(&order, &Context::default()).await.unwrap_err();
    assert!(matches!(late, CallError::Refused(problem) if problem.code == "payment.refunded"));
    assert_eq!(balance(&payment).await, "1000.00");
}

#[tokio::test]
async fn replicas_that_see_the_same_order_through_charge_once() {
    let folder = tempfile::tempdir().unwrap();
    let payment = Running::start("payment", crate::payment::start).await;
    let inventory = Running::start("inventory", crate::inventory::start).await;
    let [one, two] = [(); 2].map(|()| replica(folder.path(), payment.base(), inventory.base(), NOBODY));
    let id = one.create(draft(), None, 0).await.unwrap();
    let context = Context::default();
    let (first, second) = tokio::join!(one.see_through(&id, &context), two.see_through(&id, &context));
    assert_eq!((first.unwrap().stage, second.unwrap().stage), (Stage::Confirmed, Stage::Confirmed));
    assert_eq!(balance(&payment).await, "990.00");
    assert_eq!(inventory.get("/stock/plane").await.1["available"], 4);
}
