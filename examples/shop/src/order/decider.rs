//! The life of an order as a decider: [`Ordering::decide`] turns a command into events or refuses it,
//! [`Ordering::evolve`] takes an event in, and [`Order::next_step`] says what is to be done next.
//!
//! ```text
//! Created ─pay─► Paid ─confirm─► Confirmed ─ship─► Shipped ─deliver─► Delivered
//!    └──────cancel─┴────────cancel──┘
//!                       └─► (undo in reverse: release stock, refund payment) ─► Cancelled
//! ```
//!
//! A cancellation locks the order at once (every other command is refused), names what is owed, and ends in
//! Cancelled when nothing is owed any more. What is owed is what may have happened, not what is known to
//! have: an answer that was lost may stand for a charge.

use super::draft::{By, Draft, Item};
use crate::id::{Customer, OrderId};
use crate::money::Money;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;
use tenon_sdk::{Decider, Events, Fact, Json};

/// The rules of orders.
pub(super) struct Ordering;

/// What somebody wants of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Create { id: OrderId, draft: Draft, at_ms: u64 },
    Pay,
    Confirm,
    Ship { tracking: String },
    Deliver,
    Cancel { reason: String, because: Option<Problem> },
    MarkUndone(Undo),
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    Created {
        id: OrderId,
        items: Vec<Item>,
        total: Money,
        at_ms: u64,
    },
    /// Apart, because it is kept under the customer's own key: when they are forgotten, the order stays and this is gone.
    PlacedBy(By),
    Paid,
    Confirmed,
    Shipped {
        tracking: String,
    },
    Delivered,
    CancelStarted {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<Problem>,
    },
    Undone {
        step: Undo,
    },
}

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Stage {
    Created,
    Paid,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
}

/// An order with everything that its rules need. What is shown of it is [`Order::shown`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) id: OrderId,
    pub(super) stage: Stage,
    /// None once the customer is forgotten.
    pub(super) by: Option<By>,
    pub(super) items: Vec<Item>,
    pub(super) total: Money,
    /// When it was created, in milliseconds since the Unix epoch.
    pub(super) created_ms: u64,
    pub(super) tracking: Option<String>,
    pub(super) cancellation: Option<Cancellation>,
}

/// Why an order is or will be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cancellation {
    pub(super) reason: String,
    /// The failure that caused it; none if somebody asked for it.
    pub(super) because: Option<Problem>,
    /// What is still to be undone, in this order.
    pub(super) owed: Vec<Undo>,
}

/// A step's compensation. Both are idempotent at the services that do them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Undo {
    Release,
    Refund,
}

/// What is to be done next for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    TakePayment,
    ReserveStock,
    /// Try every one of these, in this order, even if one fails.
    Compensate(Vec<Undo>),
    /// Nothing, until somebody commands it.
    Rest,
}

/// An order as it is shown: without the card, and without the failure that caused a cancellation.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    id: &'a OrderId,
    state: Stage,
    customer: Option<&'a Customer>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forgotten: bool,
    items: &'a [Item],
    total: Money,
    created_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation: Option<ShownCancellation<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownCancellation<'a> {
    reason: &'a str,
    owed: &'a [Undo],
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such order.
    Unknown,
    /// The idempotency key was used for an order with other contents.
    KeyReused,
    /// The customer was forgotten.
    Forgotten,
    /// The total cannot be held exactly.
    TooLarge,
    /// The command is not possible at the order's stage.
    Illegal { command: &'static str, stage: Stage, cancelling: bool },
}

impl Events for Event {
    type Codec = Json;
    const AREA: &'static str = "shop.order";
    const FACTS: &'static [Fact] = &[
        Fact::v1("Created"),
        Fact::v1("PlacedBy"),
        Fact::v1("Paid"),
        Fact::v1("Confirmed"),
        Fact::v1("Shipped"),
        Fact::v1("Delivered"),
        Fact::v1("CancelStarted"),
        Fact::v1("Undone"),
    ];

    fn subject(&self) -> Option<&str> {
        match self {
            Self::PlacedBy(by) => Some(by.customer.as_str()),
            _ => None,
        }
    }
}

impl Decider for Ordering {
    type Command = Command;
    type Event = Event;
    /// None before the order is created.
    type State = Option<Order>;
    type Error = Refusal;

    fn initial() -> Option<Order> {
        None
    }

    fn decide(command: &Command, state: &Option<Order>) -> Result<Vec<Event>, Refusal> {
        match (state, command) {
            (None, Command::Create { id, draft, at_ms }) => {
                let total = draft.total().ok_or(Refusal::TooLarge)?;
                let (id, items) = (id.clone(), draft.items.clone());
                let created = Event::Created { id, items, total, at_ms: *at_ms };
                Ok(vec![created, Event::PlacedBy(draft.by.clone())])
            }
            // The same order again: its id follows from the idempotency key.
            (Some(order), Command::Create { draft, .. }) => match &order.by {
                None => Err(Refusal::Forgotten),
                Some(by) if *by == draft.by && order.items == draft.items => Ok(vec![]),
                Some(_) => Err(Refusal::KeyReused),
            },
            (None, _) => Err(Refusal::Unknown),
            (Some(order), command) => Ok(vec![order.decide(command)?]),
        }
    }

    fn evolve(state: Option<Order>, event: &Event) -> Option<Order> {
        match (state, event) {
            (None, Event::Created { id, items, total, at_ms }) => Some(Order {
                id: id.clone(),
                stage: Stage::Created,
                by: None,
                items: items.clone(),
                total: *total,
                created_ms: *at_ms,
                tracking: None,
                cancellation: None,
            }),
            (state, event) => state.map(|order| order.evolve(event)),
        }
    }

    fn is_terminal(state: &Option<Order>) -> bool {
        state.as_ref().is_some_and(|order| matches!(order.stage, Stage::Delivered | Stage::Cancelled))
    }
}

impl Order {
    /// What a command leads to, if it is possible now.
    fn decide(&self, command: &Command) -> Result<Event, Refusal> {
        let illegal =
            Refusal::Illegal { command: command.name(), stage: self.stage, cancelling: self.is_cancelling() };
        match (self.stage, &self.cancellation, command) {
            (_, Some(cancellation), Command::MarkUndone(step)) if cancellation.owed.contains(step) => {
                Ok(Event::Undone { step: *step })
            }
            (_, Some(_), _) => Err(illegal),
            (Stage::Created, None, Command::Pay) => Ok(Event::Paid),
            (Stage::Paid, None, Command::Confirm) => Ok(Event::Confirmed),
            (Stage::Confirmed, None, Command::Ship { tracking }) => {
                Ok(Event::Shipped { tracking: tracking.clone() })
            }
            (Stage::Shipped, None, Command::Deliver) => Ok(Event::Delivered),
            (Stage::Created | Stage::Paid | Stage::Confirmed, None, Command::Cancel { reason, because }) => {
                Ok(Event::CancelStarted { reason: reason.clone(), because: because.clone() })
            }
            (_, None, _) => Err(illegal),
        }
    }

    /// Takes in what happened.
    fn evolve(mut self, event: &Event) -> Self {
        match event {
            Event::Created { .. } => {}
            Event::PlacedBy(by) => self.by = Some(by.clone()),
            Event::Paid => self.stage = Stage::Paid,
            Event::Confirmed => self.stage = Stage::Confirmed,
            Event::Shipped { tracking } => {
                self.stage = Stage::Shipped;
                self.tracking = Some(tracking.clone());
            }
            Event::Delivered => self.stage = Stage::Delivered,
            Event::CancelStarted { reason, because } => {
                let (reason, because) = (reason.clone(), because.clone());
                self.cancellation = Some(Cancellation { reason, because, owed: self.compensations() });
            }
            Event::Undone { step } => self.undone(*step),
        }
        self
    }

    /// What is to be done next.
    pub(super) fn next_step(&self) -> Step {
        match (self.stage, &self.cancellation) {
            (Stage::Cancelled, _) => Step::Rest,
            (_, Some(cancellation)) => Step::Compensate(cancellation.owed.clone()),
            (Stage::Created, None) => Step::TakePayment,
            (Stage::Paid, None) => Step::ReserveStock,
            (Stage::Confirmed | Stage::Shipped | Stage::Delivered, None) => Step::Rest,
        }
    }

    /// What customers and clerks see of it.
    pub(super) fn shown(&self) -> Shown<'_> {
        let cancellation = self.cancellation.as_ref();
        Shown {
            id: &self.id,
            state: self.stage,
            customer: self.by.as_ref().map(|by| &by.customer),
            forgotten: self.by.is_none(),
            items: &self.items,
            total: self.total,
            created_ms: self.created_ms,
            tracking: self.tracking.as_deref(),
            cancellation: cancellation.map(|it| ShownCancellation { reason: &it.reason, owed: &it.owed }),
        }
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancellation.is_some() && self.stage != Stage::Cancelled
    }

    /// What undoes everything that may have been done so far: the steps in reverse. The step that is next
    /// counts as done, because it may be under way.
    fn compensations(&self) -> Vec<Undo> {
        match self.stage {
            Stage::Created => vec![Undo::Refund],
            _ => vec![Undo::Release, Undo::Refund],
        }
    }

    fn undone(&mut self, step: Undo) {
        let Some(cancellation) = &mut self.cancellation else { return };
        cancellation.owed.retain(|owed| *owed != step);
        if cancellation.owed.is_empty() {
            self.stage = Stage::Cancelled;
        }
    }
}

impl Cancellation {
    /// How the request that created the order is answered.
    pub(super) fn answer(&self, order: &OrderId) -> Problem {
        let asked =
            || Problem::new(409, "order.cancelled", format!("the order was cancelled: {}", self.reason));
        self.because.clone().unwrap_or_else(asked).about(order)
    }
}

impl Command {
    fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Pay => "pay",
            Self::Confirm => "confirm",
            Self::Ship { .. } => "ship",
            Self::Deliver => "deliver",
            Self::Cancel { .. } => "cancel",
            Self::MarkUndone(_) => "mark undone",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such order"),
            Self::KeyReused => f.write_str("the idempotency key was used for another order; use a new one"),
            Self::Forgotten => f.write_str("whoever ordered was forgotten"),
            Self::TooLarge => f.write_str("the total is too large"),
            Self::Illegal { command, stage, cancelling } => {
                let cancelling = if *cancelling { " and being cancelled" } else { "" };
                write!(f, "cannot {command} an order that is {stage:?}{cancelling}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::Unknown => (404, "order.unknown"),
            Refusal::KeyReused => (422, "order.key-reused"),
            Refusal::Forgotten => (410, "order.forgotten"),
            Refusal::TooLarge => (422, "order.invalid-item"),
            Refusal::Illegal { .. } => (409, "order.illegal-transition"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

#[cfg(test)]
mod tests;
