//! The rules of payments, and the state that they keep.
//!
//! A payment is named by the idempotency key of its request. Refunding a payment that never arrived leaves a
//! tombstone, so that a request which is still on its way is refused: no charge ever follows its refund.

use crate::id::{Card, OrderId, PaymentId};
use crate::ledger::Fold;
use crate::money::Money;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The most payments that are kept; further ones are refused with 503.
const MAX_PAYMENTS: usize = 200_000;

/// What is to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) order: OrderId,
    pub(super) card: Card,
    pub(super) amount: Money,
}

/// Whether the money is with the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Charged,
    Refunded,
}

/// A payment, or the tombstone of one (then it has no request).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Payment {
    pub(super) id: PaymentId,
    pub(super) state: State,
    #[serde(flatten)]
    pub(super) request: Option<Request>,
}

impl Payment {
    /// What was charged, unless it was given back.
    pub(super) fn charged(&self) -> Option<&Request> {
        self.request.as_ref().filter(|_| self.state == State::Charged)
    }
}

/// One recorded decision.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Entry {
    Charged { payment: PaymentId, request: Request },
    Refunded { payment: PaymentId },
}

/// All payments and the accounts that they are taken from.
#[derive(Debug)]
pub(super) struct Book {
    balances: BTreeMap<Card, Money>,
    payments: BTreeMap<PaymentId, Payment>,
}

impl Book {
    /// Decides a charge; a repeated request is answered by the payment that the first one made.
    pub(super) fn charge(&self, id: &PaymentId, request: Request) -> Result<Option<Entry>, Problem> {
        if let Some(payment) = self.payments.get(id) {
            return repeated(payment, &request);
        }
        if request.amount.is_zero() {
            return Err(Problem::new(422, "payment.invalid-details", "the amount must be more than 0.00"));
        }
        let balance = self.balance(&request.card)?;
        if balance < request.amount {
            let detail = format!("the card {} does not hold {}", request.card, request.amount);
            return Err(Problem::new(402, "payment.insufficient-funds", detail));
        }
        self.room()?;
        Ok(Some(Entry::Charged { payment: id.clone(), request }))
    }

    /// Decides a refund; refunding twice is refunding once.
    pub(super) fn refund(&self, id: &PaymentId) -> Result<Option<Entry>, Problem> {
        match self.payments.get(id) {
            Some(payment) if payment.state == State::Refunded => return Ok(None),
            Some(_) => {}
            None => self.room()?,
        }
        Ok(Some(Entry::Refunded { payment: id.clone() }))
    }

    pub(super) fn payment(&self, id: &PaymentId) -> Result<Payment, Problem> {
        let unknown = || Problem::new(404, "payment.unknown", format!("there is no payment {id}"));
        self.payments.get(id).cloned().ok_or_else(unknown)
    }

    pub(super) fn balance(&self, card: &Card) -> Result<Money, Problem> {
        let unknown =
            || Problem::new(422, "payment.invalid-details", format!("the card {card} is not known"));
        self.balances.get(card).copied().ok_or_else(unknown)
    }

    fn room(&self) -> Result<(), Problem> {
        if self.payments.len() < MAX_PAYMENTS {
            return Ok(());
        }
        Err(Problem::new(503, "payment.unavailable", format!("the ledger holds its {MAX_PAYMENTS} payments")))
    }

    /// Moves an amount out of or back into an account. Amounts were checked when the entry was decided, so
    /// an account that is not there, or too small, is one of another seed and is left alone.
    fn book(&mut self, card: &Card, change: impl FnOnce(Money) -> Option<Money>) {
        if let Some(balance) = self.balances.get_mut(card) {
            *balance = change(*balance).unwrap_or(*balance);
        }
    }
}

/// The seeded accounts: one that lasts, one for a few orders, one that is nearly empty.
impl Default for Book {
    fn default() -> Self {
        let seed = [("card-ada", 4_000_000_000), ("card-bob", 100_000), ("card-eve", 100)];
        let account = |(card, cents)| Card::new(card).map(|card| (card, Money::from_cents(cents)));
        Self { balances: seed.into_iter().flat_map(account).collect(), payments: BTreeMap::new() }
    }
}

impl Fold for Book {
    type Entry = Entry;

    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Charged { payment: id, request } => {
                self.book(&request.card, |balance| balance.minus(request.amount));
                self.payments
                    .insert(id.clone(), Payment { id, state: State::Charged, request: Some(request) });
            }
            Entry::Refunded { payment: id } => {
                let former = self.payments.remove(&id).and_then(|payment| payment.request);
                if let Some(request) = &former {
                    self.book(&request.card, |balance| balance.plus(request.amount));
                }
                self.payments.insert(id.clone(), Payment { id, state: State::Refunded, request: former });
            }
        }
    }
}

fn repeated(payment: &Payment, request: &Request) -> Result<Option<Entry>, Problem> {
    match (&payment.state, &payment.request) {
        (State::Refunded, _) => {
            Err(Problem::new(409, "payment.refunded", format!("the payment {} was refunded", payment.id)))
        }
        (State::Charged, Some(first)) if first == request => Ok(None),
        (State::Charged, _) => {
            let detail = format!("the key {} was used for another payment; use a new one", payment.id);
            Err(Problem::new(422, "payment.key-reused", detail))
        }
    }
}

#[cfg(test)]
mod tests;
