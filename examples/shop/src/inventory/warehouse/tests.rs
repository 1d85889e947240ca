use super::*;
use proptest::prelude::*;

fn order(text: &str) -> OrderId {
    OrderId::new(text).unwrap()
}

fn items(list: &[(&str, u32)]) -> Vec<(Sku, u32)> {
    list.iter().map(|(sku, quantity)| (Sku::new(*sku).unwrap(), *quantity)).collect()
}

fn reserve(warehouse: &mut Warehouse, name: &str, list: &[(&str, u32)]) -> Result<(), Problem> {
    let entry = warehouse.reserve(&order(name), &items(list))?;
    entry.into_iter().for_each(|entry| warehouse.apply(entry));
    Ok(())
}

fn release(warehouse: &mut Warehouse, name: &str) {
    warehouse.release(&order(name)).unwrap().into_iter().for_each(|entry| warehouse.apply(entry));
}

fn planes(warehouse: &Warehouse) -> u32 {
    warehouse.available(&Sku::new("plane").unwrap()).unwrap()
}

#[test]
fn a_repeated_reservation_takes_nothing_more() {
    let mut warehouse = Warehouse::default();
    reserve(&mut warehouse, "a", &[("plane", 1), ("plane", 1)]).unwrap();
    reserve(&mut warehouse, "a", &[("plane", 2)]).unwrap();
    assert_eq!(planes(&warehouse), 3);
    assert_eq!(reserve(&mut warehouse, "a", &[("plane", 1)]).unwrap_err().code, "inventory.key-reused");
}

#[test]
fn a_reservation_takes_all_items_or_none() {
    let mut warehouse = Warehouse::default();
    let refused = reserve(&mut warehouse, "a", &[("plane", 1), ("jig", 1)]).unwrap_err();
    assert_eq!((refused.status, &*refused.code), (409, "inventory.insufficient-stock"));
    let refused = reserve(&mut warehouse, "a", &[("plane", 1), ("anvil", 1)]).unwrap_err();
    assert_eq!((refused.status, &*refused.code), (404, "inventory.unknown-product"));
    assert_eq!(planes(&warehouse), 5);
}

#[test]
fn no_items_and_no_quantity_are_refused() {
    let mut warehouse = Warehouse::default();
    for bad in [&[][..], &[("plane", 0)], &[("saw", u32::MAX), ("saw", 1)]] {
        assert_eq!(reserve(&mut warehouse, "a", bad).unwrap_err().code, "inventory.invalid-items");
    }
}

#[test]
fn a_reservation_that_arrives_after_its_release_is_refused() {
    let mut warehouse = Warehouse::default();
    release(&mut warehouse, "a");
    assert_eq!(reserve(&mut warehouse, "a", &[("plane", 1)]).unwrap_err().code, "inventory.released");
    assert_eq!(planes(&warehouse), 5);
}

proptest! {
    #[test]
    fn stock_is_neither_made_nor_lost(steps in prop::collection::vec((any::<bool>(), 0u8..6, 1u32..4), 0..60)) {
        let mut warehouse = Warehouse::default();
        for (reserving, name, quantity) in steps {
            let name = format!("o{name}");
            if reserving {
                let _ = reserve(&mut warehouse, &name, &[("plane", quantity)]);
            } else {
                release(&mut warehouse, &name);
            }
            let held = warehouse.reservations.values().filter(|it| !it.released);
            let set_aside: u32 = held.flat_map(|it| it.items.values()).sum();
            prop_assert_eq!(planes(&warehouse) + set_aside, 5);
        }
    }
}
