//! The life of an order as a decider: [`Ordering::decide`] turns a command into events or refuses it, and
//! [`Ordering::evolve`] takes an event in. What is done at other services for it, and in which order, is the manifest's sagas.
//!
//! ```text
//! place ─► (who orders) ─create─► Created ─pay─► Paid ─confirm─► Confirmed ─ship─► Shipped ─deliver─► Delivered
//!                                    └─stop, withdraw─┘              └─cancel, close─► Cancelled
//!                                            └─► Cancelled
//! ```
//!
//! Who orders is there before the order is, because a saga is given nothing of them: what it is given is never forgotten.
//!
//! A cancellation locks the order at once (every other command is refused), and ends in Cancelled when the saga has undone what
//! was done for it.

use super::draft::{self, By, Draft, Item};
use crate::id::{Customer, OrderId};
use crate::money::Money;
use crate::problem::Problem;
use axum::body::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fmt;
use tenon_sdk::events::{Current, EventsError, Old};
use tenon_sdk::{Decider, Events, Fact, Json, Notice};

/// The topics of orders.
const CREATED: &str = "order.created";
const CONFIRMED: &str = "order.confirmed";

/// The rules of orders.
pub(super) struct Ordering;

/// What somebody wants of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Somebody orders, and a saga is to create it.
    Place {
        draft: Draft,
    },
    Create {
        id: OrderId,
        items: Vec<Item>,
        at_ms: u64,
        saga: Option<String>,
    },
    Pay,
    Confirm,
    Ship {
        tracking: String,
    },
    Deliver,
    /// It is not to be confirmed any more: whatever creates it turns back.
    Stop {
        reason: String,
    },
    /// What was done for it so far is undone.
    Withdraw {
        reason: String,
        because: Option<Problem>,
    },
    /// It was confirmed, and is to be cancelled.
    Cancel {
        reason: String,
    },
    /// What was done for it is undone.
    Close,
}

/// What happened to an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    Created {
        id: OrderId,
        items: Vec<Item>,
        total: Money,
        at_ms: u64,
        /// The saga that creates it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saga: Option<String>,
    },
    /// Apart, because it is kept under the customer's own key: when they are forgotten, the order stays and this is gone.
    PlacedBy(By),
    Paid,
    /// Named are what others are told; older ones have neither.
    Confirmed {
        id: Option<OrderId>,
        total: Option<Money>,
    },
    Shipped {
        tracking: String,
    },
    Delivered,
    CancelStarted {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<Problem>,
    },
    /// What was done for it is undone, too.
    Cancelled,
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

/// An order, or what comes before one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    /// Nothing was heard of it.
    Nothing,
    /// It is known who orders.
    Placed(By),
    /// It was created.
    Taken(Box<Order>),
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
    /// The saga that creates it.
    #[serde(default)]
    pub(super) saga: Option<String>,
    pub(super) cancellation: Option<Cancellation>,
}

/// Why an order is or will be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cancellation {
    pub(super) reason: String,
    /// The failure that caused it; none if somebody asked for it.
    pub(super) because: Option<Problem>,
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
    saga: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellation: Option<ShownCancellation<'a>>,
}

#[derive(Debug, Serialize)]
struct ShownCancellation<'a> {
    reason: &'a str,
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
        Fact { name: "Confirmed", version: 2 },
        Fact::v1("Shipped"),
        Fact::v1("Delivered"),
        Fact::v1("CancelStarted"),
        Fact::v1("Cancelled"),
    ];

    /// That an order was created, and that it is confirmed.
    fn notices(&self) -> Result<Vec<Notice>, EventsError> {
        let (topic, order, total) = match self {
            Self::Created { id, total, .. } => (CREATED, id, Some(total)),
            Self::Confirmed { id: Some(id), total } => (CONFIRMED, id, total.as_ref()),
            _ => return Ok(Vec::new()),
        };
        let notice = Notice::json(topic, order.as_str(), &json!({"order": order, "total": total}))?;
        Ok(vec![notice.tagged(&format!("order:{order}"))?])
    }

    /// Version 1 of Confirmed held nothing.
    fn upcast(old: &Old<'_>) -> Option<Current> {
        let data = Bytes::from_static(br#"{"id":null,"total":null}"#);
        (old.name == "Confirmed").then_some(Current { name: "Confirmed", data })
    }

    fn subject(&self) -> Option<&str> {
        match self {
            Self::PlacedBy(by) => Some(by.customer.as_str()),
            _ => None,
        }
    }
}

impl State {
    /// The order, if it was created.
    pub(super) fn taken(&self) -> Option<&Order> {
        match self {
            Self::Taken(order) => Some(order),
            Self::Nothing | Self::Placed(_) => None,
        }
    }

    /// The same.
    pub(super) fn into_taken(self) -> Option<Order> {
        match self {
            Self::Taken(order) => Some(*order),
            Self::Nothing | Self::Placed(_) => None,
        }
    }
}

impl Decider for Ordering {
    type Command = Command;
    type Event = Event;
    type State = State;
    type Error = Refusal;

    fn initial() -> State {
        State::Nothing
    }

    fn decide(command: &Command, state: &State) -> Result<Vec<Event>, Refusal> {
        match (state, command) {
            (State::Nothing, Command::Place { draft }) => {
                draft::total(&draft.items).ok_or(Refusal::TooLarge)?;
                Ok(vec![Event::PlacedBy(draft.by.clone())])
            }
            // The same order again: its id follows from the idempotency key.
            (State::Placed(by), Command::Place { draft }) if *by == draft.by => Ok(vec![]),
            (State::Placed(_), Command::Place { .. }) => Err(Refusal::KeyReused),
            (State::Taken(order), Command::Place { draft }) => match &order.by {
                None => Err(Refusal::Forgotten),
                Some(by) if *by == draft.by && order.items == draft.items => Ok(vec![]),
                Some(_) => Err(Refusal::KeyReused),
            },
            (State::Placed(_), Command::Create { id, items, at_ms, saga }) => {
                let total = draft::total(items).ok_or(Refusal::TooLarge)?;
                let (id, items, saga) = (id.clone(), items.clone(), saga.clone());
                Ok(vec![Event::Created { id, items, total, at_ms: *at_ms, saga }])
            }
            // Whoever placed it was forgotten since.
            (State::Nothing, Command::Create { .. }) => Err(Refusal::Forgotten),
            (State::Taken(_), Command::Create { .. }) => Ok(vec![]),
            (State::Taken(order), command) => order.decide(command),
            (State::Nothing | State::Placed(_), _) => Err(Refusal::Unknown),
        }
    }

    fn evolve(state: State, event: &Event) -> State {
        match (state, event) {
            (State::Nothing, Event::PlacedBy(by)) => State::Placed(by.clone()),
            (
                before @ (State::Nothing | State::Placed(_)),
                Event::Created { id, items, total, at_ms, saga },
            ) => {
                let by = match before {
                    State::Placed(by) => Some(by),
                    _ => None,
                };
                State::Taken(Box::new(Order {
                    id: id.clone(),
                    stage: Stage::Created,
                    by,
                    items: items.clone(),
                    total: *total,
                    created_ms: *at_ms,
                    tracking: None,
                    saga: saga.clone(),
                    cancellation: None,
                }))
            }
            (State::Taken(order), event) => State::Taken(Box::new(order.evolve(event))),
            (state, _) => state,
        }
    }

    fn is_terminal(state: &State) -> bool {
        state.taken().is_some_and(|order| matches!(order.stage, Stage::Delivered | Stage::Cancelled))
    }
}

impl Order {
    /// What a command leads to, if it is possible now.
    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        let illegal =
            Refusal::Illegal { command: command.name(), stage: self.stage, cancelling: self.is_cancelling() };
        let started = |reason: &String, because: &Option<Problem>| Event::CancelStarted {
            reason: reason.clone(),
            because: because.clone(),
        };
        let confirmed = Event::Confirmed { id: Some(self.id.clone()), total: Some(self.total) };
        match (self.stage, &self.cancellation, command) {
            (Stage::Created | Stage::Paid, Some(_), Command::Withdraw { .. })
            | (Stage::Confirmed, Some(_), Command::Close) => Ok(vec![Event::Cancelled]),
            (_, Some(_), _) => Err(illegal),
            (Stage::Created, None, Command::Pay) => Ok(vec![Event::Paid]),
            // Whoever confirms it knows that it is paid, even if the news of that are still on their way.
            (Stage::Created, None, Command::Confirm) => Ok(vec![Event::Paid, confirmed]),
            (Stage::Paid, None, Command::Confirm) => Ok(vec![confirmed]),
            (Stage::Confirmed, None, Command::Ship { tracking }) => {
                Ok(vec![Event::Shipped { tracking: tracking.clone() }])
            }
            (Stage::Shipped, None, Command::Deliver) => Ok(vec![Event::Delivered]),
            (Stage::Created | Stage::Paid, None, Command::Stop { reason })
            | (Stage::Confirmed, None, Command::Cancel { reason }) => Ok(vec![started(reason, &None)]),
            (Stage::Created | Stage::Paid, None, Command::Withdraw { reason, because }) => {
                Ok(vec![started(reason, because), Event::Cancelled])
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
            Event::Confirmed { .. } => self.stage = Stage::Confirmed,
            Event::Shipped { tracking } => {
                self.stage = Stage::Shipped;
                self.tracking = Some(tracking.clone());
            }
            Event::Delivered => self.stage = Stage::Delivered,
            Event::CancelStarted { reason, because } => {
                let (reason, because) = (reason.clone(), because.clone());
                self.cancellation = Some(Cancellation { reason, because });
            }
            Event::Cancelled => self.stage = Stage::Cancelled,
        }
        self
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
            saga: self.saga.as_deref(),
            cancellation: cancellation.map(|it| ShownCancellation { reason: &it.reason }),
        }
    }

    pub(super) fn is_cancelling(&self) -> bool {
        self.cancellation.is_some() && self.stage != Stage::Cancelled
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
            Self::Place { .. } => "place",
            Self::Create { .. } => "create",
            Self::Pay => "pay",
            Self::Confirm => "confirm",
            Self::Ship { .. } => "ship",
            Self::Deliver => "deliver",
            Self::Stop { .. } | Self::Cancel { .. } => "cancel",
            Self::Withdraw { .. } => "withdraw",
            Self::Close => "close",
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
