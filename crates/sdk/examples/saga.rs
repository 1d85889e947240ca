//! A saga of five steps in Rust: written, checked, and printed as the definition that a server takes.
//!
//! ```text
//! cargo run -p tenon-sdk --example saga > place-order.json
//! tenon saga define place-order place-order.json
//! ```
//!
//! Who takes part in it uses the same constants: see `Participant::step`. In a crate of your own the steps are in a library
//! that both sides share, and the check is a unit test.

#![allow(clippy::print_stdout, reason = "a program whose output is its purpose")]

use std::error::Error;
use std::time::Duration;
use tenon_sdk::saga::{
    Compensatable, OnUndoFailure, Pivot, Refusal, Retriable, Saga, Signal, delete, post, record,
};

record! {
    /// What a customer orders.
    struct Order as OrderOf {
        customer: String,
        items: Vec<Item>,
        card: String,
    }
    /// Some pieces of a product.
    struct Item as ItemOf {
        sku: String,
        pieces: u32,
    }
    /// What the order service makes of it.
    struct NewOrder as NewOrderOf {
        customer: String,
        items: Vec<Item>,
    }
    struct Created as CreatedOf {
        id: String,
        total: u64,
    }
    /// What is taken from the shelves, or packed.
    struct Stock as StockOf {
        order: String,
        items: Vec<Item>,
    }
    struct Payment as PaymentOf {
        order: String,
        amount: u64,
        card: String,
    }
    struct Paid as PaidOf {
        receipt: String,
    }
    struct Mail as MailOf {
        to: String,
        receipt: String,
    }
    /// What the saga answers with.
    struct Placed as PlacedOf {
        order: String,
        receipt: String,
    }
}

const CREATE: Compensatable<NewOrder, Created> =
    Compensatable::new("create_order", post("order", "/orders"), post("order", "/orders/{id}/cancel"));
const RESERVE: Compensatable<Stock, ()> = Compensatable::new(
    "reserve_stock",
    post("inventory", "/reservations"),
    delete("inventory", "/reservations/{order}"),
)
.on_undo_failure(OnUndoFailure::Escalate);
/// Somebody looks at the order, if there is time for it.
const LOOKED_AT: Signal<bool> = Signal::new("looked_at");
const PAY: Pivot<Payment, Paid> =
    Pivot::new("take_payment", post("payment", "/payments")).timeout(Duration::from_secs(5));
const TELL: Retriable<Mail, ()> = Retriable::new("tell_customer", post("notification", "/mails"));
const PACK: Retriable<Stock, ()> = Retriable::new("pack", post("warehouse", "/parcels"));

/// Stock is reserved while somebody may look at the order; then the card is charged, and the rest follows in any case.
fn place_order() -> Result<Saga<Order, Placed>, Refusal> {
    let saga = Saga::<Order, Placed>::define("place-order").deadline(Duration::from_secs(60));
    saga.serialize_by(|order| order.customer).steps(|mut saga, input| {
        let order = saga.step(CREATE, NewOrderOf { customer: input.customer, items: input.items });
        saga.step(RESERVE, StockOf { order: order.id, items: input.items });
        saga.after(order.id).wait_or_go_on(LOOKED_AT, Duration::from_secs(10));
        let payment = PaymentOf { order: order.id, amount: order.total, card: input.card };
        let (mut saga, paid) = saga.pivot(PAY, payment);
        saga.step(TELL, MailOf { to: input.customer, receipt: paid.receipt });
        saga.step(PACK, StockOf { order: order.id, items: input.items });
        saga.done(PlacedOf { order: order.id, receipt: paid.receipt })
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let saga = place_order()?;
    eprintln!("{}", saga.verify());
    println!("{}", serde_json::to_string_pretty(&saga.document())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_never_left_half_placed() {
        place_order().unwrap().verify().assert_verified();
    }
}
