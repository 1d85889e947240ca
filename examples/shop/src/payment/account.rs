//! An account as a decider: what is charged to it and given back, and the rules of that.
//!
//! A payment is named by the idempotency key of its request. Refunding a payment that never arrived leaves a
//! tombstone, so that a request which is still on its way is refused: no charge ever follows its refund. That is why the
//! account is what decides, and not the payment: what it holds and what was charged to it are in one stream.
//!
//! That a payment was taken is told to others in the same append: `payment.completed`.

use crate::id::{Card, OrderId, PaymentId};
use crate::money::Money;
use crate::problem::Problem;
use crate::shared::Shared;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tenon_sdk::events::EventsError;
use tenon_sdk::store::Tag;
use tenon_sdk::{Decider, Events, Fact, Json, Notice};

/// The topic of payments that were taken.
const COMPLETED: &str = "payment.completed";

/// The most payments of an account; further ones are refused with 503.
const MAX_PAYMENTS: usize = 200_000;

/// The rules of accounts.
pub(super) struct Accounts;

/// What somebody wants of an account. Each names it, because an account that was never used is one of the seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Charge { card: Card, payment: PaymentId, order: OrderId, amount: Money },
    Refund { card: Card, payment: PaymentId },
}

/// What happened to an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    Opened { card: Card, balance: Money },
    Charged { payment: PaymentId, order: OrderId, amount: Money },
    Refunded { payment: PaymentId },
}

/// An account that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) card: Card,
    pub(super) balance: Money,
    payments: Shared<BTreeMap<PaymentId, Payment>>,
}

/// A payment, or the tombstone of one (then there is no charge).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Payment {
    charge: Option<(OrderId, Money)>,
    refunded: bool,
}

/// Whether the money is with the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum State {
    Charged,
    Refunded,
}

/// A payment as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    pub(super) id: PaymentId,
    pub(super) state: State,
    #[serde(flatten)]
    charge: Option<Charge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Charge {
    order: OrderId,
    card: Card,
    amount: Money,
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownCard(Card),
    Nothing,
    TooLittle { card: Card, amount: Money },
    KeyReused(PaymentId),
    Refunded(PaymentId),
    Full,
}

impl Events for Event {
    type Codec = Json;
    const AREA: &'static str = "shop.payment";
    const FACTS: &'static [Fact] = &[Fact::v1("Opened"), Fact::v1("Charged"), Fact::v1("Refunded")];

    /// By which a payment finds its account.
    fn tags(&self) -> BTreeSet<Tag> {
        match self {
            Self::Opened { .. } => BTreeSet::new(),
            Self::Charged { payment, .. } | Self::Refunded { payment } => {
                tag_of(payment).into_iter().collect()
            }
        }
    }

    fn notices(&self) -> Result<Vec<Notice>, EventsError> {
        let Self::Charged { payment, order, amount } = self else { return Ok(Vec::new()) };
        let data = json!({"payment": payment, "order": order, "amount": amount});
        let notice = Notice::json(COMPLETED, order.as_str(), &data)?;
        Ok(vec![notice.tagged(&format!("order:{order}"))?])
    }
}

/// The tag of what happened to a payment.
pub(super) fn tag_of(payment: &PaymentId) -> Option<Tag> {
    // An id has no character that a tag cannot have.
    Tag::new(&format!("payment:{payment}")).ok()
}

impl Decider for Accounts {
    type Command = Command;
    type Event = Event;
    /// None before the account is used.
    type State = Option<Account>;
    type Error = Refusal;

    fn initial() -> Option<Account> {
        None
    }

    fn decide(command: &Command, state: &Option<Account>) -> Result<Vec<Event>, Refusal> {
        let (opened, account) = match state {
            Some(account) => (None, account.clone()),
            None => {
                let account = seeded(command.card())?;
                (Some(Event::Opened { card: account.card.clone(), balance: account.balance }), account)
            }
        };
        let event = match command {
            Command::Charge { payment, order, amount, .. } => account.charge(payment, order, *amount)?,
            Command::Refund { payment, .. } => account.refund(payment)?,
        };
        // What changes nothing does not even open the account.
        Ok(event.map(|event| opened.into_iter().chain([event]).collect()).unwrap_or_default())
    }

    fn evolve(state: Option<Account>, event: &Event) -> Option<Account> {
        match (state, event) {
            (None, Event::Opened { card, balance }) => {
                Some(Account { card: card.clone(), balance: *balance, payments: Shared::default() })
            }
            (state, event) => state.map(|account| account.evolve(event)),
        }
    }

    fn is_terminal(_: &Option<Account>) -> bool {
        false
    }
}

impl Command {
    fn card(&self) -> &Card {
        match self {
            Self::Charge { card, .. } | Self::Refund { card, .. } => card,
        }
    }
}

/// An account of the seed: one that lasts, one for a few orders, one that is nearly empty.
pub(super) fn seeded(card: &Card) -> Result<Account, Refusal> {
    let cents = match card.as_str() {
        "card-ada" => 4_000_000_000,
        "card-bob" => 100_000,
        "card-eve" => 100,
        _ => return Err(Refusal::UnknownCard(card.clone())),
    };
    Ok(Account { card: card.clone(), balance: Money::from_cents(cents), payments: Shared::default() })
}

impl Account {
    /// A payment, if it was ever heard of.
    pub(super) fn payment(&self, id: &PaymentId) -> Option<Shown> {
        let Payment { charge, refunded } = self.payments.get(id)?;
        let charge = charge.as_ref().map(|(order, amount)| Charge {
            order: order.clone(),
            card: self.card.clone(),
            amount: *amount,
        });
        let state = if *refunded { State::Refunded } else { State::Charged };
        Some(Shown { id: id.clone(), state, charge })
    }

    /// A repeated request changes nothing: it is answered by the payment that the first one made.
    fn charge(&self, id: &PaymentId, order: &OrderId, amount: Money) -> Result<Option<Event>, Refusal> {
        match self.payments.get(id) {
            Some(Payment { refunded: true, .. }) => return Err(Refusal::Refunded(id.clone())),
            Some(Payment { charge: Some((first, paid)), .. }) if first == order && *paid == amount => {
                return Ok(None);
            }
            Some(_) => return Err(Refusal::KeyReused(id.clone())),
            None => {}
        }
        if amount.is_zero() {
            return Err(Refusal::Nothing);
        }
        if self.balance < amount {
            return Err(Refusal::TooLittle { card: self.card.clone(), amount });
        }
        self.room()?;
        Ok(Some(Event::Charged { payment: id.clone(), order: order.clone(), amount }))
    }

    /// Refunding twice is refunding once.
    fn refund(&self, id: &PaymentId) -> Result<Option<Event>, Refusal> {
        match self.payments.get(id) {
            Some(Payment { refunded: true, .. }) => return Ok(None),
            Some(_) => {}
            None => self.room()?,
        }
        Ok(Some(Event::Refunded { payment: id.clone() }))
    }

    fn room(&self) -> Result<(), Refusal> {
        if self.payments.len() < MAX_PAYMENTS { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Takes in what happened. Amounts were checked when it was decided.
    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Opened { .. } => {}
            Event::Charged { payment, order, amount } => {
                self.balance = self.balance.minus(*amount).unwrap_or(self.balance);
                let charge = Some((order.clone(), *amount));
                self.payments.change().insert(payment.clone(), Payment { charge, refunded: false });
            }
            Event::Refunded { payment } => {
                let tombstone = Payment { charge: None, refunded: true };
                let payment = self.payments.change().entry(payment.clone()).or_insert(tombstone);
                payment.refunded = true;
                if let Some((_, amount)) = &payment.charge {
                    self.balance = self.balance.plus(*amount).unwrap_or(self.balance);
                }
            }
        }
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCard(card) => write!(f, "the card {card} is not known"),
            Self::Nothing => f.write_str("the amount must be more than 0.00"),
            Self::TooLittle { card, amount } => write!(f, "the card {card} does not hold {amount}"),
            Self::KeyReused(id) => write!(f, "the key {id} was used for another payment; use a new one"),
            Self::Refunded(id) => write!(f, "the payment {id} was refunded"),
            Self::Full => write!(f, "the account holds its {MAX_PAYMENTS} payments"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::UnknownCard(_) | Refusal::Nothing => (422, "payment.invalid-details"),
            Refusal::TooLittle { .. } => (402, "payment.insufficient-funds"),
            Refusal::KeyReused(_) => (422, "payment.key-reused"),
            Refusal::Refunded(_) => (409, "payment.refunded"),
            Refusal::Full => (503, "payment.unavailable"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests;
