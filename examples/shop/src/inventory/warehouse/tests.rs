use super::*;
use proptest::prelude::*;
use tenon_sdk::kit::{Laws, given};

fn order(name: &str) -> OrderId {
    OrderId::new(name).unwrap()
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn reserve(name: &str, list: &[(&str, u32)]) -> Command {
    let items = list.iter().map(|(name, quantity)| (sku(name), *quantity)).collect();
    Command::Reserve { order: order(name), items }
}

fn release(name: &str) -> Command {
    Command::Release { order: order(name) }
}

fn reserved(name: &str, list: &[(&str, u32)]) -> Event {
    let items = list.iter().map(|(name, quantity)| (sku(name), *quantity)).collect();
    Event::Reserved { order: order(name), items }
}

fn released(name: &str) -> Event {
    Event::Released { order: order(name) }
}

fn planes(warehouse: &Warehouse) -> u32 {
    warehouse.available(&sku("plane")).unwrap()
}

#[test]
fn a_repeated_reservation_takes_nothing_more() {
    let stock = given::<Stock>([])
        .when(reserve("a", &[("plane", 1), ("plane", 1)]))
        .then([reserved("a", &[("plane", 2)])])
        .when(reserve("a", &[("plane", 2)]))
        .then_nothing();
    assert_eq!(planes(stock.state()), 3);
    stock.when(reserve("a", &[("plane", 1)])).then_refused(Refusal::KeyReused(order("a")));
}

#[test]
fn a_reservation_takes_all_items_or_none() {
    let too_little = Refusal::TooLittle { sku: sku("jig"), wanted: 1, available: 0 };
    given::<Stock>([]).when(reserve("a", &[("plane", 1), ("jig", 1)])).then_refused(too_little);
    let unknown = Refusal::UnknownProduct(sku("anvil"));
    given::<Stock>([]).when(reserve("a", &[("plane", 1), ("anvil", 1)])).then_refused(unknown);
}

#[test]
fn no_items_and_no_quantity_are_refused() {
    given::<Stock>([]).when(reserve("a", &[])).then_refused(Refusal::Number);
    for bad in [&[("plane", 0)][..], &[("saw", u32::MAX), ("saw", 1)]] {
        given::<Stock>([]).when(reserve("a", bad)).then_refused(Refusal::Quantity);
    }
}

#[test]
fn a_reservation_that_arrives_after_its_release_is_refused() {
    let stock = given::<Stock>([])
        .when(release("a"))
        .then([released("a")])
        .when(reserve("a", &[("plane", 1)]))
        .then_refused(Refusal::Released(order("a")));
    assert_eq!(planes(stock.state()), 5);
}

#[test]
fn others_are_told_of_what_was_set_aside_and_of_nothing_else() {
    let told = reserved("o1", &[("saw", 2)]).notices().unwrap();
    assert_eq!((told[0].topic.as_str(), told[0].key.as_str()), ("inventory.reserved", "o1"));
    assert_eq!(told[0].tags.first().unwrap().as_str(), "order:o1");
    let data: serde_json::Value = serde_json::from_slice(&told[0].data).unwrap();
    assert_eq!(data, json!({"order": "o1", "items": {"saw": 2}}));
    assert!(released("o1").notices().unwrap().is_empty());
}

fn any_command() -> impl Strategy<Value = Command> + Clone {
    (any::<bool>(), 0u8..6, 1u32..4).prop_map(|(reserving, name, quantity)| {
        let name = format!("o{name}");
        if reserving { reserve(&name, &[("plane", quantity)]) } else { release(&name) }
    })
}

fn any_event() -> impl Strategy<Value = Event> + Clone {
    (any::<bool>(), 0u8..6, 1u32..4).prop_map(|(reserving, name, quantity)| {
        let name = format!("o{name}");
        if reserving { reserved(&name, &[("plane", quantity)]) } else { released(&name) }
    })
}

#[test]
fn the_laws_of_deciders_hold() {
    Laws::<Stock>::check(any_command(), any_event());
}

proptest! {
    #[test]
    fn stock_is_neither_made_nor_lost(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut warehouse = Stock::initial();
        for command in commands {
            let events = Stock::decide(&command, &warehouse).unwrap_or_default();
            warehouse = events.iter().fold(warehouse, Stock::evolve);
            let held = warehouse.reservations.values().filter(|it| !it.released);
            let set_aside: u32 = held.flat_map(|it| it.items.values()).sum();
            prop_assert_eq!(planes(&warehouse) + set_aside, 5);
        }
    }
}
