//! The rules of stock, and the state that they keep.
//!
//! A reservation is named by its order. Releasing one that never arrived leaves a tombstone, so that a
//! request which is still on its way is refused: no reservation ever follows its release.

use crate::id::{OrderId, Sku};
use crate::ledger::Fold;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most reservations that are kept; further ones are refused with 503.
const MAX_RESERVATIONS: usize = 200_000;

/// The most different products of one reservation.
const MAX_PRODUCTS: usize = 100;

/// So many of each product.
type Items = BTreeMap<Sku, u32>;

/// What is set aside for an order; a tombstone has no items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reservation {
    pub(super) order: OrderId,
    pub(super) items: Items,
    pub(super) released: bool,
}

/// One recorded decision.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Entry {
    Reserved { order: OrderId, items: Items },
    Released { order: OrderId },
}

/// What can still be reserved, and all reservations.
#[derive(Debug)]
pub(super) struct Warehouse {
    available: Items,
    reservations: BTreeMap<OrderId, Reservation>,
}

impl Warehouse {
    /// Decides a reservation of all these items or none; repeating it reserves nothing more.
    pub(super) fn reserve(&self, order: &OrderId, items: &[(Sku, u32)]) -> Result<Option<Entry>, Problem> {
        let items = summed(items)?;
        if let Some(first) = self.reservations.get(order) {
            return repeated(first, &items);
        }
        for (sku, quantity) in &items {
            let available = self.available(sku)?;
            if available < *quantity {
                let detail = format!("{quantity} of {sku} are wanted, {available} are available");
                return Err(Problem::new(409, "inventory.insufficient-stock", detail));
            }
        }
        self.room()?;
        Ok(Some(Entry::Reserved { order: order.clone(), items }))
    }

    /// Decides a release; releasing twice is releasing once.
    pub(super) fn release(&self, order: &OrderId) -> Result<Option<Entry>, Problem> {
        match self.reservations.get(order) {
            Some(reservation) if reservation.released => return Ok(None),
            Some(_) => {}
            None => self.room()?,
        }
        Ok(Some(Entry::Released { order: order.clone() }))
    }

    pub(super) fn reservation(&self, order: &OrderId) -> Result<Reservation, Problem> {
        let unknown =
            || Problem::new(404, "inventory.unknown-reservation", format!("nothing is reserved for {order}"));
        self.reservations.get(order).cloned().ok_or_else(unknown)
    }

    pub(super) fn stock(&self) -> Items {
        self.available.clone()
    }

    pub(super) fn available(&self, sku: &Sku) -> Result<u32, Problem> {
        let unknown = || Problem::new(404, "inventory.unknown-product", format!("there is no product {sku}"));
        self.available.get(sku).copied().ok_or_else(unknown)
    }

    fn room(&self) -> Result<(), Problem> {
        if self.reservations.len() < MAX_RESERVATIONS {
            return Ok(());
        }
        let detail = format!("the ledger holds its {MAX_RESERVATIONS} reservations");
        Err(Problem::new(503, "inventory.unavailable", detail))
    }

    /// Takes items out of the stock or puts them back. They were checked when the entry was decided, so a
    /// product that is not there is one of another seed and is left alone.
    fn book(&mut self, items: &Items, change: fn(u32, u32) -> u32) {
        for (sku, quantity) in items {
            if let Some(available) = self.available.get_mut(sku) {
                *available = change(*available, *quantity);
            }
        }
    }
}

/// The seeded stock: plenty of most things, few planes, no more jigs.
impl Default for Warehouse {
    fn default() -> Self {
        const PLENTY: u32 = 1_000_000;
        let seed = [
            ("auger", PLENTY),
            ("chisel", PLENTY),
            ("clamp", PLENTY),
            ("gauge", PLENTY),
            ("jig", 0),
            ("mallet", PLENTY),
            ("plane", 5),
            ("saw", PLENTY),
            ("square", PLENTY),
        ];
        let item = |(sku, quantity)| Sku::new(sku).map(|sku| (sku, quantity));
        Self { available: seed.into_iter().flat_map(item).collect(), reservations: BTreeMap::new() }
    }
}

impl Fold for Warehouse {
    type Entry = Entry;

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Reserved { order, items } => {
                self.book(&items, u32::saturating_sub);
                self.reservations.insert(order.clone(), Reservation { order, items, released: false });
            }
            Entry::Released { order } => {
                let items = self.reservations.remove(&order).map(|former| former.items).unwrap_or_default();
                self.book(&items, u32::saturating_add);
                self.reservations.insert(order.clone(), Reservation { order, items, released: true });
            }
        }
    }
}

/// One line for each product.
fn summed(items: &[(Sku, u32)]) -> Result<Items, Problem> {
    let invalid = |detail: &str| Err(Problem::new(422, "inventory.invalid-items", detail));
    if items.is_empty() || items.len() > MAX_PRODUCTS {
        return invalid("a reservation has 1 to 100 items");
    }
    let mut sums = Items::new();
    for (sku, quantity) in items {
        let sum = sums.entry(sku.clone()).or_default();
        match sum.checked_add(*quantity) {
            Some(more) if *quantity > 0 => *sum = more,
            _ => return invalid("a quantity is at least 1 and not absurdly large"),
        }
    }
    Ok(sums)
}

fn repeated(first: &Reservation, items: &Items) -> Result<Option<Entry>, Problem> {
    if first.released {
        let detail = format!("the reservation for {} was released", first.order);
        return Err(Problem::new(409, "inventory.released", detail));
    }
    if first.items == *items {
        return Ok(None);
    }
    let detail = format!("other items are reserved for {} already", first.order);
    Err(Problem::new(422, "inventory.key-reused", detail))
}

#[cfg(test)]
mod tests;
