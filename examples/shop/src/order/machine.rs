//! The life of an order as a pure state machine: [`Order::decide`] turns a command into an event or refuses
//! it, [`Order::evolve`] takes the event in, and [`Order::next_step`] says what is to be done next.
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

use super::draft::{Draft, Item};
use crate::id::{Card, Customer, OrderId};
use crate::money::Money;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) enum Stage {
    Created,
    Paid,
    Confirmed,
    Shipped,
    Delivered,
    Cancelled,
}

/// An order as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Order {
    pub(super) id: OrderId,
    #[serde(rename = "state")]
    pub(super) stage: Stage,
    pub(super) customer: Customer,
    #[serde(skip)]
    pub(super) card: Card,
    pub(super) items: Vec<Item>,
    pub(super) total: Money,
    /// When it was created, in milliseconds since the Unix epoch.
    pub(super) created_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tracking: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cancellation: Option<Cancellation>,
}

/// Why an order is or will be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Cancellation {
    pub(super) reason: String,
    /// The failure that caused it; none if somebody asked for it.
    #[serde(skip)]
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

/// What somebody wants of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Pay,
    Confirm,
    Ship { tracking: String },
    Deliver,
    Cancel { reason: String, because: Option<Problem> },
    MarkUndone(Undo),
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
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

/// A command that is not possible at an order's stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Illegal {
    command: &'static str,
    stage: Stage,
    cancelling: bool,
}

impl Order {
    /// A new order; `None` if its total is not exact (see [`Draft::total`]).
    pub(super) fn create(id: OrderId, draft: Draft, created_ms: u64) -> Option<Self> {
        let total = draft.total()?;
        let Draft { customer, card, items } = draft;
        let stage = Stage::Created;
        Some(Self { id, stage, customer, card, items, total, created_ms, tracking: None, cancellation: None })
    }

    /// What a command leads to, if it is possible now.
    pub(super) fn decide(&self, command: Command) -> Result<Event, Illegal> {
        let illegal =
            Illegal { command: command.name(), stage: self.stage, cancelling: self.is_cancelling() };
        match (self.stage, &self.cancellation, command) {
            (_, Some(cancellation), Command::MarkUndone(step)) if cancellation.owed.contains(&step) => {
                Ok(Event::Undone { step })
            }
            (_, Some(_), _) => Err(illegal),
            (Stage::Created, None, Command::Pay) => Ok(Event::Paid),
            (Stage::Paid, None, Command::Confirm) => Ok(Event::Confirmed),
            (Stage::Confirmed, None, Command::Ship { tracking }) => Ok(Event::Shipped { tracking }),
            (Stage::Shipped, None, Command::Deliver) => Ok(Event::Delivered),
            (Stage::Created | Stage::Paid | Stage::Confirmed, None, Command::Cancel { reason, because }) => {
                Ok(Event::CancelStarted { reason, because })
            }
            (_, None, _) => Err(illegal),
        }
    }

    /// Takes in what happened.
    pub(super) fn evolve(&mut self, event: Event) {
        match event {
            Event::Paid => self.stage = Stage::Paid,
            Event::Confirmed => self.stage = Stage::Confirmed,
            Event::Shipped { tracking } => {
                self.stage = Stage::Shipped;
                self.tracking = Some(tracking);
            }
            Event::Delivered => self.stage = Stage::Delivered,
            Event::CancelStarted { reason, because } => {
                self.cancellation = Some(Cancellation { reason, because, owed: self.compensations() });
            }
            Event::Undone { step } => self.undone(step),
        }
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

    fn is_cancelling(&self) -> bool {
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
            Self::Pay => "pay",
            Self::Confirm => "confirm",
            Self::Ship { .. } => "ship",
            Self::Deliver => "deliver",
            Self::Cancel { .. } => "cancel",
            Self::MarkUndone(_) => "mark undone",
        }
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancelling = if self.cancelling { " and being cancelled" } else { "" };
        write!(f, "cannot {} an order that is {:?}{cancelling}", self.command, self.stage)
    }
}

impl std::error::Error for Illegal {}

impl From<Illegal> for Problem {
    fn from(illegal: Illegal) -> Self {
        Self::new(409, "order.illegal-transition", illegal.to_string())
    }
}

#[cfg(test)]
mod tests;
