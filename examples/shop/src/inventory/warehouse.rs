//! The warehouse as a decider: what is set aside for orders and put back, and the rules of that.
//!
//! A reservation is named by its order. Releasing one that never arrived leaves a tombstone, so that a
//! request which is still on its way is refused: no reservation ever follows its release.
//!
//! That items are set aside is told to others in the same append: `inventory.reserved`.

use crate::id::{OrderId, Sku};
use crate::problem::Problem;
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use tenon_sdk::events::EventsError;
use tenon_sdk::{Decider, Events, Fact, Json, Notice};

/// The topic of reservations.
const RESERVED: &str = "inventory.reserved";

/// The most reservations that are kept; further ones are refused with 503.
const MAX_RESERVATIONS: usize = 200_000;

/// The most different products of one reservation.
const MAX_PRODUCTS: usize = 100;

/// So many of each product.
type Items = BTreeMap<Sku, u32>;

/// What is set aside for an order; a tombstone has no items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reservation {
    pub(super) order: OrderId,
    pub(super) items: Items,
    pub(super) released: bool,
}

/// The rules of the warehouse.
pub(super) struct Stock;

/// What somebody wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Reserve { order: OrderId, items: Vec<(Sku, u32)> },
    Release { order: OrderId },
}

/// What happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    Reserved { order: OrderId, items: Items },
    Released { order: OrderId },
}

/// What can still be reserved, and all reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Warehouse {
    available: Items,
    reservations: Shared<BTreeMap<OrderId, Reservation>>,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownProduct(Sku),
    TooLittle { sku: Sku, wanted: u32, available: u32 },
    Number,
    Quantity,
    Released(OrderId),
    KeyReused(OrderId),
    Full,
}

impl Events for Event {
    type Codec = Json;
    const AREA: &'static str = "shop.inventory";
    const FACTS: &'static [Fact] = &[Fact::v1("Reserved"), Fact::v1("Released")];

    fn notices(&self) -> Result<Vec<Notice>, EventsError> {
        let Self::Reserved { order, items } = self else { return Ok(Vec::new()) };
        let notice = Notice::json(RESERVED, order.as_str(), &json!({"order": order, "items": items}))?;
        Ok(vec![notice.tagged(&format!("order:{order}"))?])
    }
}

impl Decider for Stock {
    type Command = Command;
    type Event = Event;
    type State = Warehouse;
    type Error = Refusal;

    fn initial() -> Warehouse {
        Warehouse::seeded()
    }

    fn decide(command: &Command, warehouse: &Warehouse) -> Result<Vec<Event>, Refusal> {
        let event = match command {
            Command::Reserve { order, items } => warehouse.reserve(order, items)?,
            Command::Release { order } => warehouse.release(order)?,
        };
        Ok(event.into_iter().collect())
    }

    /// What is recorded was decided, so a product that is not there is one of another seed and is left alone.
    fn evolve(mut warehouse: Warehouse, event: &Event) -> Warehouse {
        match event {
            Event::Reserved { order, items } => {
                warehouse.book(items, u32::saturating_sub);
                let (order, items) = (order.clone(), items.clone());
                let reservation = Reservation { order: order.clone(), items, released: false };
                warehouse.reservations.change().insert(order, reservation);
            }
            Event::Released { order } => {
                let former = warehouse.reservations.change().remove(order);
                let items = former.filter(|it| !it.released).map(|former| former.items).unwrap_or_default();
                warehouse.book(&items, u32::saturating_add);
                let reservation = Reservation { order: order.clone(), items, released: true };
                warehouse.reservations.change().insert(order.clone(), reservation);
            }
        }
        warehouse
    }

    fn is_terminal(_: &Warehouse) -> bool {
        false
    }
}

impl Warehouse {
    /// All these items or none; repeating it reserves nothing more.
    fn reserve(&self, order: &OrderId, items: &[(Sku, u32)]) -> Result<Option<Event>, Refusal> {
        let items = summed(items)?;
        match self.reservations.get(order) {
            Some(first) if first.released => return Err(Refusal::Released(order.clone())),
            Some(first) if first.items == items => return Ok(None),
            Some(_) => return Err(Refusal::KeyReused(order.clone())),
            None => {}
        }
        for (sku, wanted) in &items {
            let available = self.available(sku).ok_or_else(|| Refusal::UnknownProduct(sku.clone()))?;
            if available < *wanted {
                return Err(Refusal::TooLittle { sku: sku.clone(), wanted: *wanted, available });
            }
        }
        self.room()?;
        Ok(Some(Event::Reserved { order: order.clone(), items }))
    }

    /// Releasing twice is releasing once.
    fn release(&self, order: &OrderId) -> Result<Option<Event>, Refusal> {
        match self.reservations.get(order) {
            Some(reservation) if reservation.released => return Ok(None),
            Some(_) => {}
            None => self.room()?,
        }
        Ok(Some(Event::Released { order: order.clone() }))
    }

    pub(super) fn reservation(&self, order: &OrderId) -> Option<Reservation> {
        self.reservations.get(order).cloned()
    }

    pub(super) fn stock(&self) -> &Items {
        &self.available
    }

    pub(super) fn available(&self, sku: &Sku) -> Option<u32> {
        self.available.get(sku).copied()
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.reservations.len() < MAX_RESERVATIONS { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Takes items out of the stock or puts them back.
    fn book(&mut self, items: &Items, change: fn(u32, u32) -> u32) {
        for (sku, quantity) in items {
            if let Some(available) = self.available.get_mut(sku) {
                *available = change(*available, *quantity);
            }
        }
    }

    /// The seeded stock: plenty of most things, few planes, no more jigs.
    fn seeded() -> Self {
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
        Self { available: seed.into_iter().flat_map(item).collect(), reservations: Shared::default() }
    }
}

/// One line for each product.
fn summed(items: &[(Sku, u32)]) -> Result<Items, Refusal> {
    if items.is_empty() || items.len() > MAX_PRODUCTS {
        return Err(Refusal::Number);
    }
    let mut sums = Items::new();
    for (sku, quantity) in items {
        let sum = sums.entry(sku.clone()).or_default();
        match sum.checked_add(*quantity) {
            Some(more) if *quantity > 0 => *sum = more,
            _ => return Err(Refusal::Quantity),
        }
    }
    Ok(sums)
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownProduct(sku) => write!(f, "there is no product {sku}"),
            Self::TooLittle { sku, wanted, available } => {
                write!(f, "{wanted} of {sku} are wanted, {available} are available")
            }
            Self::Number => write!(f, "a reservation has 1 to {MAX_PRODUCTS} items"),
            Self::Quantity => f.write_str("a quantity is at least 1 and not absurdly large"),
            Self::Released(order) => write!(f, "the reservation for {order} was released"),
            Self::KeyReused(order) => write!(f, "other items are reserved for {order} already"),
            Self::Full => write!(f, "the warehouse holds its {MAX_RESERVATIONS} reservations"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::UnknownProduct(_) => (404, "inventory.unknown-product"),
            Refusal::TooLittle { .. } => (409, "inventory.insufficient-stock"),
            Refusal::Number | Refusal::Quantity => (422, "inventory.invalid-items"),
            Refusal::Released(_) => (409, "inventory.released"),
            Refusal::KeyReused(_) => (422, "inventory.key-reused"),
            Refusal::Full => (503, "inventory.unavailable"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests;
