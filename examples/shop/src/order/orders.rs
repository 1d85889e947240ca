//! All orders, as they are folded from the service's ledger.

use super::draft::Draft;
use super::machine::{Command, Event, Order, Step};
use crate::id::{IdempotencyKey, OrderId};
use crate::ledger::Fold;
use crate::problem::Problem;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most orders that are kept; further ones are refused with 503.
const MAX_ORDERS: usize = 100_000;

/// One recorded decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Entry {
    Created(Box<Created>),
    Changed {
        order: OrderId,
        #[serde(flatten)]
        event: Event,
    },
}

/// An order was taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Created {
    pub(super) created: OrderId,
    pub(super) at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<IdempotencyKey>,
    #[serde(flatten)]
    pub(super) draft: Draft,
}

/// All orders.
#[derive(Debug, Default)]
pub(super) struct Orders {
    orders: BTreeMap<OrderId, Order>,
    keys: BTreeMap<IdempotencyKey, OrderId>,
    /// Those that have a next step.
    unfinished: BTreeSet<OrderId>,
}

impl Orders {
    /// Decides to take an order; none is taken if one was with the same key.
    pub(super) fn create(&self, created: Created) -> Result<Option<Entry>, Problem> {
        let first = created.key.as_ref().and_then(|key| self.by_key(key));
        if let Some(first) = first {
            return same_draft(first, &created.draft);
        }
        if self.orders.len() >= MAX_ORDERS {
            return Err(Problem::new(
                503,
                "order.unavailable",
                format!("the ledger holds its {MAX_ORDERS} orders"),
            ));
        }
        if created.draft.total().is_none() {
            return Err(Problem::new(422, "order.invalid-item", "the total is too large"));
        }
        Ok(Some(Entry::Created(Box::new(created))))
    }

    /// Decides a command to one order.
    pub(super) fn command(&self, id: &OrderId, command: Command) -> Result<Option<Entry>, Problem> {
        let event = self.order(id)?.decide(command).map_err(|illegal| Problem::from(illegal).about(id))?;
        Ok(Some(Entry::Changed { order: id.clone(), event }))
    }

    pub(super) fn order(&self, id: &OrderId) -> Result<&Order, Problem> {
        self.orders
            .get(id)
            .ok_or_else(|| Problem::new(404, "order.unknown", format!("there is no order {id}")))
    }

    pub(super) fn by_key(&self, key: &IdempotencyKey) -> Option<&Order> {
        self.orders.get(self.keys.get(key)?)
    }

    /// The newest orders (by id), newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<Order> {
        self.orders.values().rev().take(limit).cloned().collect()
    }

    /// Orders that have a next step and were created before that time.
    pub(super) fn unfinished(&self, before_ms: u64, limit: usize) -> Vec<OrderId> {
        let old = |id: &&OrderId| self.orders.get(*id).is_some_and(|order| order.created_ms <= before_ms);
        self.unfinished.iter().filter(old).take(limit).cloned().collect()
    }

    fn note_progress(&mut self, id: &OrderId) {
        match self.orders.get(id).map(Order::next_step) {
            Some(Step::Rest) | None => self.unfinished.remove(id),
            Some(_) => self.unfinished.insert(id.clone()),
        };
    }
}

impl Fold for Orders {
    type Entry = Entry;

    fn apply(&mut self, entry: Entry) {
        let id = match entry {
            Entry::Created(created) => {
                let Created { created: id, at_ms, key, draft } = *created;
                if let Some(order) = Order::create(id.clone(), draft, at_ms) {
                    self.orders.insert(id.clone(), order);
                    self.keys.extend(key.map(|key| (key, id.clone())));
                }
                id
            }
            Entry::Changed { order: id, event } => {
                if let Some(order) = self.orders.get_mut(&id) {
                    order.evolve(event);
                }
                id
            }
        };
        self.note_progress(&id);
    }
}

fn same_draft(first: &Order, draft: &Draft) -> Result<Option<Entry>, Problem> {
    if first.customer == draft.customer && first.card == draft.card && first.items == draft.items {
        return Ok(None);
    }
    let detail = "the idempotency key was used for another order; use a new one";
    Err(Problem::new(422, "order.key-reused", detail).about(&first.id))
}

#[cfg(test)]
mod tests;
