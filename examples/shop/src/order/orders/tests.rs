use super::*;
use crate::id::{Card, Sku};
use crate::money::Money;
use crate::order::draft::{By, Item};
use serde_json::json;
use tenon_sdk::store::{EventType, MemoryLog, NewEvent, StreamName};

fn draft(customer: &str, sku: &str, quantity: u32) -> Draft {
    let item = Item { sku: Sku::new(sku).unwrap(), quantity, price: Money::from_cents(250) };
    let by = By { customer: Customer::new(customer).unwrap(), card: Card::new("card-ada").unwrap() };
    Draft { by, items: vec![item] }
}

struct Shop {
    log: Arc<dyn Log>,
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Self {
        Self { log: MemoryLog::default().into_log(), folder: tempfile::tempdir().unwrap() }
    }

    /// A replica with read models of its own.
    async fn replica(&self, name: &str) -> Orders {
        let folder = self.folder.path().join(name);
        Orders::open(Arc::clone(&self.log), &folder, Faults::none("order")).await.unwrap()
    }
}

/// As the service and its saga do it.
async fn create(orders: &Orders, draft: Draft, key: Option<&str>) -> Result<OrderId, Problem> {
    let id = Orders::id(key.map(|key| IdempotencyKey::new(key).unwrap()).as_ref())?;
    let create = Command::Create { id: id.clone(), items: draft.items.clone(), at_ms: 0, saga: None };
    orders.place(&id, draft).await?;
    orders.command(&id, &create, None).await?;
    Ok(id)
}

async fn give(orders: &Orders, id: &OrderId, commands: impl IntoIterator<Item = Command>) -> Revision {
    let mut revision = None;
    for command in commands {
        revision = Some(orders.command(id, &command, None).await.unwrap().revision);
    }
    revision.unwrap()
}

#[tokio::test]
async fn a_key_names_one_order_at_every_replica() {
    let shop = Shop::new();
    let [one, two] = [shop.replica("one").await, shop.replica("two").await];
    let first = create(&one, draft("ada", "saw", 1), Some("k")).await.unwrap();
    assert_eq!(create(&two, draft("ada", "saw", 1), Some("k")).await.unwrap(), first);
    assert_eq!(create(&two, draft("ada", "saw", 2), Some("k")).await.unwrap_err().code, "order.key-reused");
    assert_ne!(create(&one, draft("ada", "saw", 1), None).await.unwrap(), first);
    one.place(&OrderId::generate(), draft("ada", "saw", 1)).await.unwrap();
    assert_eq!(two.newest(None, 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn orders_are_listed_by_customer_newest_first() {
    let shop = Shop::new();
    let orders = shop.replica("one").await;
    let mut ids = Vec::new();
    for customer in ["ada", "bob", "ada"] {
        ids.push(create(&orders, draft(customer, "saw", 1), None).await.unwrap());
    }
    let listed = async |customer: Option<&str>, limit| {
        let customer = customer.map(|name| Customer::new(name).unwrap());
        let listed = orders.newest(customer.as_ref(), limit).await.unwrap();
        listed.into_iter().map(|order| order.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 2).await, [ids[2].clone(), ids[1].clone()]);
    assert_eq!(listed(Some("ada"), 9).await, [ids[2].clone(), ids[0].clone()]);
    assert_eq!(listed(Some("eve"), 9).await, []);
}

#[tokio::test]
async fn an_order_and_the_sales_are_shown_as_they_were() {
    let shop = Shop::new();
    let orders = shop.replica("one").await;
    let id = create(&orders, draft("ada", "saw", 2), None).await.unwrap();
    let confirmed = give(&orders, &id, [Command::Pay, Command::Confirm]).await;
    let cancelled = give(&orders, &id, [Command::Cancel { reason: "no".into() }, Command::Close]).await;
    let state = async |at| serde_json::to_value(orders.load(&id, at).await.unwrap().order.shown()).unwrap();
    assert_eq!(state(At::Now).await["state"], "Cancelled");
    assert_eq!(state(At::Position(confirmed.position)).await["state"], "Confirmed");
    assert_eq!(orders.load(&id, At::Now).await.unwrap().revision, cancelled);
    assert_eq!(orders.load(&id, At::Position(Position::START)).await.err().unwrap().code, "order.unknown");
    let sales = async |at| serde_json::to_value(orders.sales(at).await.unwrap()).unwrap();
    assert_eq!(sales(At::Now).await, json!([]));
    let sold = json!([{"sku": "saw", "quantity": 2, "revenue": "5.00"}]);
    assert_eq!(sales(At::Position(confirmed.position)).await, sold);
    let facts = orders.history(&id).await.unwrap();
    assert_eq!((facts.len(), &facts[2].event), (6, &Event::Paid));
}

#[tokio::test]
async fn a_command_for_another_version_is_refused() {
    let shop = Shop::new();
    let orders = shop.replica("one").await;
    let id = create(&orders, draft("ada", "saw", 1), None).await.unwrap();
    let seen = give(&orders, &id, [Command::Pay]).await.position;
    give(&orders, &id, [Command::Confirm]).await;
    let stale = orders.command(&id, &Command::Ship { tracking: "T".into() }, Some(seen)).await;
    assert_eq!(stale.err().unwrap().status, 412);
}

#[tokio::test]
async fn a_customer_who_is_forgotten_is_in_no_list_and_the_orders_stay() {
    let shop = Shop::new();
    let orders = shop.replica("one").await;
    let id = create(&orders, draft("ada", "saw", 2), None).await.unwrap();
    give(&orders, &id, [Command::Pay, Command::Confirm]).await;
    create(&orders, draft("bob", "saw", 1), None).await.unwrap();
    let stream = StreamName::new("$subject/ada").unwrap();
    let told = EventType::new(tenon_sdk::projection::SUBJECT_FORGOTTEN).unwrap();
    let told = NewEvent::new(Namespace::default(), stream, told, Default::default());
    shop.log.append(vec![told], None).await.unwrap();
    let ada = Customer::new("ada").unwrap();
    assert_eq!(orders.newest(Some(&ada), 9).await.unwrap(), []);
    let listed = orders.newest(None, 9).await.unwrap();
    assert_eq!(listed.len(), 2);
    let order = listed.iter().find(|order| order.id == id).unwrap();
    assert_eq!((&order.by, order.total), (&None, Money::from_cents(500)));
    // What comes later does not bring the customer back.
    give(&orders, &id, [Command::Ship { tracking: "T".into() }]).await;
    assert!(orders.newest(None, 9).await.unwrap().iter().any(|order| order.id == id && order.by.is_none()));
    let sold = serde_json::to_value(orders.sales(At::Now).await.unwrap()).unwrap();
    assert_eq!(sold, json!([{"sku": "saw", "quantity": 2, "revenue": "5.00"}]));
}
