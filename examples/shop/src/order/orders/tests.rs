use super::*;
use crate::id::{Card, Customer, Sku};
use crate::money::Money;
use crate::order::draft::Item;

fn created(id: &str, key: Option<&str>, quantity: u32, at_ms: u64) -> Created {
    let item = Item { sku: Sku::new("saw").unwrap(), quantity, price: Money::from_cents(100) };
    let draft = Draft {
        customer: Customer::new("ada").unwrap(),
        card: Card::new("card-ada").unwrap(),
        items: vec![item],
    };
    let key = key.map(|key| IdempotencyKey::new(key).unwrap());
    Created { created: OrderId::new(id).unwrap(), at_ms, key, draft }
}

fn create(orders: &mut Orders, created: Created) -> Result<bool, Problem> {
    let entry = orders.create(created)?;
    let taken = entry.is_some();
    entry.into_iter().for_each(|entry| orders.apply(entry));
    Ok(taken)
}

#[test]
fn a_key_names_one_order_only() {
    let mut orders = Orders::default();
    assert_eq!(create(&mut orders, created("a", Some("k"), 1, 0)), Ok(true));
    assert_eq!(create(&mut orders, created("b", Some("k"), 1, 0)), Ok(false));
    assert_eq!(create(&mut orders, created("c", Some("k"), 2, 0)).unwrap_err().code, "order.key-reused");
    assert_eq!(create(&mut orders, created("d", None, 1, 0)), Ok(true));
    assert_eq!(orders.newest(9).len(), 2);
}

#[test]
fn an_order_is_unfinished_until_it_rests() {
    let mut orders = Orders::default();
    create(&mut orders, created("a", None, 1, 10)).unwrap();
    let id = OrderId::new("a").unwrap();
    for command in [Command::Pay, Command::Confirm] {
        assert!(orders.unfinished(10, 9).contains(&id));
        assert_eq!(orders.unfinished(9, 9), []);
        let entry = orders.command(&id, command).unwrap().unwrap();
        orders.apply(entry);
    }
    assert_eq!(orders.unfinished(10, 9), []);
}

#[test]
fn an_entry_survives_being_written_and_read() {
    let id = OrderId::new("a").unwrap();
    let because = Some(Problem::new(402, "payment.insufficient-funds", "no").about(&id));
    let entries = [
        Entry::Created(Box::new(created("a", Some("k"), 1, 7))),
        Entry::Changed { order: id.clone(), event: Event::Paid },
        Entry::Changed { order: id, event: Event::CancelStarted { reason: "no".into(), because } },
    ];
    let (mut written, mut read) = (Orders::default(), Orders::default());
    for entry in entries {
        let text = serde_json::to_string(&entry).unwrap();
        written.apply(entry);
        read.apply(serde_json::from_str(&text).unwrap());
    }
    assert_eq!(written.newest(1), read.newest(1));
    assert_eq!(written.newest(1).len(), 1);
    assert!(read.by_key(&IdempotencyKey::new("k").unwrap()).is_some());
}
