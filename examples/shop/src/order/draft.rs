//! What a customer asks for, read once at the edge into what an order may be.

use crate::id::{Card, Customer, Sku};
use crate::money::Money;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};

/// The most items of an order.
const MAX_ITEMS: usize = 100;

/// The largest quantity of one item.
const MAX_QUANTITY: i64 = 1_000;

/// The highest price of one piece, in hundredths.
const MAX_PRICE_CENTS: u32 = 100_000_000;

/// The body of a request as it comes.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RawDraft {
    customer: Customer,
    card: Card,
    items: Vec<RawItem>,
}

#[derive(Debug, Clone, Deserialize)]
struct RawItem {
    sku: Sku,
    quantity: i64,
    price: String,
}

/// An order that can be taken: it has items, and every quantity and price is legal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Draft {
    pub(super) by: By,
    pub(super) items: Vec<Item>,
}

/// Who orders, and what is charged: what is forgotten with the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct By {
    pub(super) customer: Customer,
    pub(super) card: Card,
}

/// So many pieces of one product at a price each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) sku: Sku,
    pub(super) quantity: u32,
    pub(super) price: Money,
}

impl Draft {
    /// Checks a request.
    pub(super) fn new(raw: RawDraft) -> Result<Self, Problem> {
        if raw.items.is_empty() {
            return Err(Problem::new(422, "order.empty", "an order must have at least one item"));
        }
        if raw.items.len() > MAX_ITEMS {
            let detail = format!("an order has at most {MAX_ITEMS} items; split it");
            return Err(Problem::new(422, "order.invalid-item", detail));
        }
        let items = raw.items.into_iter().map(Item::new).collect::<Result<_, _>>()?;
        Ok(Self { by: By { customer: raw.customer, card: raw.card }, items })
    }
}

/// Σ price × quantity, exact. The limits of a draft keep it far from overflow; should items come with other limits, the total
/// is `None`.
pub(super) fn total(items: &[Item]) -> Option<Money> {
    let mut amounts = items.iter().map(|item| item.price.times(item.quantity));
    amounts.try_fold(Money::default(), |sum, amount| sum.plus(amount?))
}

impl Item {
    fn new(raw: RawItem) -> Result<Self, Problem> {
        let invalid = |what: String| Problem::new(422, "order.invalid-item", format!("{}: {what}", raw.sku));
        let quantity = match u32::try_from(raw.quantity) {
            Ok(quantity) if (1..=MAX_QUANTITY).contains(&raw.quantity) => quantity,
            _ => {
                return Err(invalid(format!(
                    "the quantity is {}, but must be 1 to {MAX_QUANTITY}",
                    raw.quantity
                )));
            }
        };
        let price: Money = raw.price.parse().map_err(|error| invalid(format!("{error}")))?;
        let most = Money::from_cents(MAX_PRICE_CENTS);
        if price.is_zero() || price > most {
            return Err(invalid(format!("the price is {price}, but must be 0.01 to {most}")));
        }
        Ok(Self { sku: raw.sku, quantity, price })
    }
}
