//! Carries out what the machine says is next: the calls to payment and inventory, and their compensations.
//!
//! Every call is idempotent at its service (its key is the order's id), and every outcome is recorded before
//! the next call is made. So an order may be seen through by any replica, by several at once, and again
//! after a crash; [`Saga::recover`] does so for orders that nobody waits for.

use super::Peers;
use super::decider::{Command, Order, Refusal, Step, Undo};
use super::orders::{Orders, Versioned};
use crate::call::{CallError, Context};
use crate::id::{IdempotencyKey, OrderId};
use crate::problem::Problem;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use tenon_sdk::At;
use tokio::sync::Semaphore;

/// More steps than any order has.
const MAX_STEPS: usize = 8;

/// How many abandoned orders one recovery takes up.
const RECOVERED_AT_ONCE: u32 = 100;

/// How many notifications are on their way at most; further ones are dropped.
const NOTIFICATIONS: usize = 64;

/// The orders and what is needed to see them through. Clones share all of it.
#[derive(Clone)]
pub(super) struct Saga {
    orders: Orders,
    peers: Peers,
    notifications: Arc<Semaphore>,
}

impl Saga {
    pub(super) fn new(orders: Orders, peers: Peers) -> Self {
        Self { orders, peers, notifications: Arc::new(Semaphore::new(NOTIFICATIONS)) }
    }

    pub(super) fn orders(&self) -> &Orders {
        &self.orders
    }

    async fn load(&self, id: &OrderId) -> Result<Versioned, Problem> {
        self.orders.load(id, At::Now).await
    }

    /// Does step after step until the order rests, or a compensation has failed.
    pub(super) async fn see_through(&self, id: &OrderId, context: &Context) -> Result<Versioned, Problem> {
        for _ in 0..MAX_STEPS {
            let loaded = self.load(id).await?;
            let order = &loaded.order;
            match order.next_step() {
                Step::Rest => return Ok(loaded),
                Step::TakePayment => {
                    let outcome = self.take_payment(order, context).await;
                    self.forward(order, outcome, Command::Pay).await?;
                }
                Step::ReserveStock => {
                    let outcome = self.reserve_stock(order, context).await;
                    self.forward(order, outcome, Command::Confirm).await?;
                    self.notify_if_confirmed(id, context).await?;
                }
                Step::Compensate(owed) => return self.compensate(order, &owed, context).await,
            }
        }
        Err(Problem::new(500, "order.fault", "the order does not come to rest").about(id))
    }

    /// Takes up orders created before that time which still have a next step.
    ///
    /// # Errors
    /// The first failure of the log or the read model; the other orders wait for the next recovery.
    pub(super) async fn recover(&self, before_ms: u64) -> Result<usize, Problem> {
        let ids = self.orders.unfinished(before_ms, RECOVERED_AT_ONCE).await?;
        for id in &ids {
            tracing::info!(order = %id, "taken up again");
            self.see_through(id, &Context::default()).await?;
        }
        Ok(ids.len())
    }

    async fn take_payment(&self, order: &Order, context: &Context) -> Result<(), CallError> {
        let Some(by) = &order.by else { return Err(CallError::Refused(Refusal::Forgotten.into())) };
        let body = json!({"order": order.id, "amount": order.total, "card": by.card});
        self.peers.payment.call(Method::POST, "/payments", &key(&order.id), Some(&body), context).await
    }

    async fn reserve_stock(&self, order: &Order, context: &Context) -> Result<(), CallError> {
        let line = |item: &super::draft::Item| json!({"sku": item.sku, "quantity": item.quantity});
        let items: Vec<_> = order.items.iter().map(line).collect();
        let body = json!({"order": order.id, "items": items});
        self.peers.inventory.call(Method::POST, "/reservations", &key(&order.id), Some(&body), context).await
    }

    /// Records a step's success, or that the order is to be cancelled because of its failure.
    async fn forward(
        &self,
        order: &Order,
        outcome: Result<(), CallError>,
        success: Command,
    ) -> Result<(), Problem> {
        let command = match outcome {
            Ok(()) => success,
            Err(error) => {
                let because = failure(error);
                tracing::warn!(order = %order.id, %because, "step failed");
                Command::Cancel { reason: because.detail.clone(), because: Some(because) }
            }
        };
        self.record(&order.id, command).await
    }

    /// Tries everything that is owed, whatever fails; what failed stays owed.
    async fn compensate(
        &self,
        order: &Order,
        owed: &[Undo],
        context: &Context,
    ) -> Result<Versioned, Problem> {
        // The caller's patience does not limit this: it must be done.
        let context = context.without_deadline();
        for step in owed {
            match self.undo(order, *step, &context).await {
                Ok(()) => self.record(&order.id, Command::MarkUndone(*step)).await?,
                Err(error) => {
                    tracing::warn!(order = %order.id, ?step, ?error, "compensation failed; still owed");
                }
            }
        }
        self.load(&order.id).await
    }

    async fn undo(&self, order: &Order, step: Undo, context: &Context) -> Result<(), CallError> {
        let Peers { payment, inventory, .. } = &self.peers;
        let id = &order.id;
        match step {
            Undo::Release => {
                let path = format!("/reservations/{id}");
                inventory.call(Method::DELETE, &path, &key(id), None, context).await
            }
            Undo::Refund => {
                let path = format!("/payments/{id}/refund");
                // The card says where a charge would arrive that is still on its way.
                let body = order.by.as_ref().map(|by| json!({"card": by.card}));
                match payment.call(Method::POST, &path, &key(id), body.as_ref(), context).await {
                    // Whoever ordered is forgotten and was never charged, and will not be.
                    Err(CallError::Refused(problem)) if problem.code == "payment.unknown" => Ok(()),
                    outcome => outcome,
                }
            }
        }
    }

    /// Records a command unless somebody else was quicker: then the order stands elsewhere now, and the next
    /// step follows from that.
    async fn record(&self, id: &OrderId, command: Command) -> Result<(), Problem> {
        match self.orders.command(id, &command, None).await {
            Err(problem) if problem.code != "order.illegal-transition" => Err(problem),
            _ => Ok(()),
        }
    }

    /// Best effort: a customer who is not told has the order all the same.
    async fn notify_if_confirmed(&self, id: &OrderId, context: &Context) -> Result<(), Problem> {
        let order = self.load(id).await?.order;
        if order.next_step() != Step::Rest {
            return Ok(());
        }
        let Ok(permit) = self.notifications.clone().try_acquire_owned() else {
            tracing::warn!(order = %id, "notification dropped: too many are on their way");
            return Ok(());
        };
        let (notification, context) = (self.peers.notification.clone(), context.without_deadline());
        tokio::spawn(async move {
            let text = format!("Order {} over {} is confirmed", order.id, order.total);
            let body = json!({"order": order.id, "text": text});
            let key = key(&order.id);
            let sent = notification.call(Method::POST, "/notifications", &key, Some(&body), &context).await;
            if let Err(error) = sent {
                tracing::warn!(order = %order.id, ?error, "notification failed");
            }
            drop(permit);
        });
        Ok(())
    }
}

/// An order's calls have its id as their key: it has one payment, one reservation and one confirmation.
fn key(id: &OrderId) -> IdempotencyKey {
    IdempotencyKey::from(id.clone())
}

/// How a failed step is answered to whoever ordered.
fn failure(error: CallError) -> Problem {
    match error {
        // To inventory the product is what was not found; of the order it is a part that is wrong.
        CallError::Refused(problem) if problem.status == 404 => {
            Problem::new(422, problem.code, problem.detail)
        }
        CallError::Refused(problem) => problem,
        CallError::Unknown(detail) => Problem::new(503, "order.step-unavailable", detail),
    }
}

#[cfg(test)]
mod tests;
